//! The words that tell what a tool does: everything that [`super::classify`] knows of language.

use super::class::{Class, Risk};
use crate::engine::text::name;

use Class::{Destructive, Execute, Financial, Read, Write};
use Risk::{Critical, High, Low, Medium};
use WordKind::{Either, First, Noun, Verb};

/// The part of a name, a description or a list of arguments that is read, in bytes or arguments.
pub(in crate::engine) const MAX_LOOKED_AT: usize = 1024;

/// How a word is used in names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum WordKind {
    /// It says what the tool does, wherever it stands: `delete`.
    Verb,
    /// A verb or a noun: `run_tests`, but `get_run`.
    Either,
    /// A verb at the beginning and a noun elsewhere: `log_event`, but `git_log`.
    First,
    /// A noun: what the tool returns, if there is no verb: `weather`.
    Noun,
}

/// A word, and what it says of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Meaning {
    /// How it is used.
    pub(in crate::engine) kind: WordKind,
    /// What it does.
    pub(in crate::engine) class: Class,
    /// The damage that a wrong call can do.
    pub(in crate::engine) risk: Risk,
}

/// Words by what they mean.
const WORDS: &[(WordKind, Class, Risk, &str)] = &[
    (
        Verb,
        Read,
        Low,
        "aggregate analyse analyze ask autocomplete browse calculate capture categorise categorize classify compare \
         compute convert count crawl decode describe detect divide echo enumerate estimate examine \
         explain explore extract fetch find get glob grep hget hgetall hmget identify inspect introspect list look lookup \
         lrange measure mget monitor multiply observe parse peek ping poll predict preview probe read recall recommend \
         retrieve reveal scrape search show simulate smembers solve subtract summarise summarize suggest think \
         transcribe translate validate verify view visualise visualize wait whoami",
    ),
    (
        Either,
        Read,
        Low,
        "check diagnose filter load match power query render scan score select top watch",
    ),
    (First, Read, Low, "display give return tell"),
    (
        Noun,
        Read,
        Low,
        "balance blame calculator contents details diff docs documentation forecast health help history info \
         information log logs ls metadata metrics news ocr price prices pwd schema screenshot snapshot \
         stat statistics stats status summary thinking tree usage version weather whois",
    ),
    (
        Verb,
        Write,
        Medium,
        "accept acknowledge activate add adjust alter annotate append apply assign attach boost \
         click close complete compose compress concatenate configure confirm create crop deactivate \
         decline define detach dismiss download draft drag duplicate edit emulate enable encrypt enhance extend fill finalise finalize \
         fix follow generate handle hover hset increment initialise initialize insert join lpush \
         make mark migrate mkdir modify mset navigate organise organize patch pause persist pin play populate \
         prepend press promote provision put reactivate redirect register rename renew reopen reorder reschedule reserve resize \
         rewrite rotate rpush sadd save say scroll settle setup shorten speak store stylize subscribe swipe sync synchronise \
         synchronize synthesise synthesize tap toggle turn unarchive unassign unfollow unlock unpin \
         unstage unsubscribe unzip update upload upscale upsert write zadd zip",
    ),
    (
        Either,
        Write,
        Medium,
        "archive backup bridge change clone comment commit copy downgrade draw exchange export flag fork format import init label \
         link lock manage merge move open pull rebase resolve scale schedule set sort split \
         stage star stash submit switch tag touch track transform type upgrade vote",
    ),
    (First, Write, Medium, "book log note order place plan process record request"),
    (Noun, Write, Medium, "rembg tts"),
    (
        Verb,
        Write,
        High,
        "approve authorise authorize ban broadcast cancel disable kick notify \
         overwrite publish reject replace restore revert rollback send sign suspend tweet unpublish void",
    ),
    (Either, Write, High, "block force forward grant invite post push release reply share"),
    (First, Write, High, "dm email mail message sms text"),
    (
        Verb,
        Execute,
        High,
        "act automate bootstrap dispatch drain eval evaluate exec execute halt hibernate install interact invoke \
         kill poweroff poweron reboot rebuild redeploy reinstall relaunch rerun restart shutdown spawn sudo undeploy",
    ),
    (Either, Execute, High, "boot build compile deploy launch run start stop trigger"),
    (First, Execute, High, "call test"),
    (
        Noun,
        Execute,
        High,
        "bash cmd command console executor interpreter javascript playbook powershell python repl shell sql ssh terminal tmux zsh",
    ),
    (
        Verb,
        Financial,
        Critical,
        "airdrop buy disburse donate invest liquidate pay reimburse remit repay sell topup unstake withdraw",
    ),
    (
        Either,
        Financial,
        Critical,
        "bet bid borrow charge checkout debit deposit lend mint payout purchase refund stake swap trade transfer wire",
    ),
    (Verb, Financial, High, "hire redeem"),
    (Either, Financial, High, "rent"),
    (First, Financial, High, "bill invoice"),
    (
        Verb,
        Destructive,
        High,
        "cleanup clear del delete deprovision deregister discard dispose eliminate evict forget getdel hdel \
         lpop lrem ltrim offboard prune recreate reimage remove reprovision reset retire revoke rm rmdir rpop spop srem \
         teardown terminate trash uninstall unlink unregister xdel xtrim zrem",
    ),
    (Either, Destructive, High, "clean deletion erasure removal"),
    (First, Destructive, High, "empty"),
    (
        Verb,
        Destructive,
        Critical,
        "annihilate decommission destroy dismantle drop dropindex erase eradicate expunge flush flushall flushdb nuke obliterate purge shred truncate wipe",
    ),
];

/// Words that have another meaning beside a second word.
const PAIRS: &[(&str, &str, Class, Risk)] = &[
    ("accept", "bid contract offer proposal quote quotation", Financial, High),
    (
        "apply",
        "ansible chart compose helm infrastructure k8s kubectl kubernetes kustomize manifest manifests migration migrations playbook stack terraform tf tofu",
        Execute,
        High,
    ),
    ("approve", "allowance spending token tokens", Financial, Critical),
    (
        "book",
        "accommodation cab car cruise excursion experience flight flights hotel hotels lodging reservation restaurant ride room rooms seat seats stay table taxi ticket tickets tour train transfer travel trip vacation",
        Financial,
        High,
    ),
    ("boost", "ad ads post", Financial, High),
    ("bridge", "asset assets eth funds token tokens usdc", Financial, Critical),
    (
        "cancel",
        "booking bookings flight hotel reservation reservations ticket tickets trip",
        Financial,
        High,
    ),
    ("cancel", "order orders subscription", Financial, High),
    ("cancel", "account accounts", Destructive, High),
    ("capture", "authorization charge funds order payment", Financial, Critical),
    ("change", "subscription tier", Financial, High),
    ("checkout", "branch commit file git pr pull ref repo repository tag", Write, Medium),
    ("clean", "data string text", Write, Medium),
    ("clear", "cache filter filters selection", Write, Medium),
    ("close", "position", Financial, Critical),
    ("close", "account accounts", Destructive, High),
    ("complete", "booking order purchase", Financial, High),
    (
        "confirm",
        "booking bookings flight hotel order orders purchase reservation subscription",
        Financial,
        High,
    ),
    ("create", "booking order orders reservation subscription transaction", Financial, High),
    (
        "deactivate",
        "account accounts customer employee member members user users",
        Destructive,
        High,
    ),
    ("deletion", "protection", Write, Medium),
    ("downgrade", "account membership plan subscription tier", Financial, High),
    ("drop", "browser drag", Write, Medium),
    ("exchange", "rate rates", Read, Low),
    (
        "exchange",
        "bitcoin btc coin coins crypto currencies currency eth money usdc",
        Financial,
        Critical,
    ),
    (
        "extend",
        "booking domain lease licence license membership plan rental reservation subscription trial",
        Financial,
        High,
    ),
    ("finalise", "booking order purchase", Financial, High),
    ("finalize", "booking order purchase", Financial, High),
    ("flush", "buffer", Write, Medium),
    ("format", "disk drive partition volume", Destructive, Critical),
    ("make", "booking order reservation", Financial, High),
    ("modify", "booking flight order orders reservation subscription", Financial, High),
    ("open", "doc document directory file files folder node nodes note notebook page", Read, Low),
    ("open", "account position", Financial, Critical),
    (
        "order",
        "card cards drink drinks food groceries grocery meal meals pizza product products ride supplies taxi",
        Financial,
        High,
    ),
    ("place", "bet bid order orders", Financial, Critical),
    ("power", "off on cycle down reset", Execute, High),
    ("reactivate", "membership plan subscription", Financial, High),
    (
        "rebuild",
        "droplet host instance instances machine server servers vm vms vps",
        Destructive,
        High,
    ),
    ("register", "domain domains", Financial, High),
    ("reinstall", "droplet host instance machine os server system vm vps", Destructive, High),
    (
        "release",
        "address addresses domain eip elastic hold ip ips lease number numbers phone",
        Destructive,
        High,
    ),
    ("release", "changelog date dates details info note notes version versions", Read, Low),
    ("remove", "background noise watermark whitespace", Write, Medium),
    (
        "renew",
        "auto contract domain domains hosting insurance licence license membership plan policy subscription subscriptions",
        Financial,
        High,
    ),
    ("rent", "roll", Read, Low),
    ("request", "deletion destruction erasure removal termination", Destructive, High),
    (
        "reserve",
        "accommodation car flight hotel number restaurant room rooms seat seats table ticket tickets",
        Financial,
        High,
    ),
    ("reset", "password view zoom", Write, High),
    ("resolve", "address dns host hostname id library name path", Read, Low),
    ("schedule", "deletion destruction erasure removal termination", Destructive, High),
    (
        "send",
        "bitcoin btc crypto eth ether fund funds money nft payment payments",
        Financial,
        Critical,
    ),
    ("send", "token tokens transaction usdc usdt", Financial, Critical),
    ("sign", "transaction", Financial, Critical),
    ("start", "trial", Financial, High),
    ("submit", "booking order orders reservation transaction", Financial, Critical),
    ("subscribe", "license membership plan premium pro tier", Financial, High),
    ("swap", "file files item items", Write, Medium),
    ("switch", "subscription tier", Financial, High),
    ("test", "connection", Read, Low),
    ("top", "up", Financial, Critical),
    ("trash", "recover restore untrash", Write, High),
    (
        "transfer",
        "call data domain file files issue ownership project repo repository",
        Write,
        High,
    ),
    ("update", "order orders subscription", Financial, High),
    ("upgrade", "account billing membership plan seat subscription tier", Financial, High),
    (
        "void",
        "check cheque invoice invoices payment payments transaction transactions",
        Financial,
        High,
    ),
];

/// Verbs that are things as well: behind a reader's verb they are what it reads, as in `get_draft_note`.
const THINGS: &str = "act apply ban bootstrap broadcast buy capture cleanup click close complete compose create crop dispatch dm \
     download draft drag drop duplicate edit fill fix follow handle hover increment insert install join kill make \
     mark merge patch pause pay pin play press process provision purge put reboot recreate redirect register renew \
     reorder reserve reset restart restore rewrite rollback save scroll sell setup shutdown sign store subscribe swipe \
     sync tap toggle trash turn tweet uninstall update upload void zip";

/// Verbs at the head of a description that say only that the tool does something: "Run a search".
pub(in crate::engine) const LIGHT: &str = "call execute invoke launch run start trigger";

/// What is only looked up or worked out, though somebody says that it is run.
pub(in crate::engine) const LOOKUPS: &str = "aggregation aggregations analysis calculation comparison count find lookup lookups search searches simulation";

/// Things that stand for money: to make or change one is financial.
pub(in crate::engine) const MONEY: &str = "bitcoin btc charge charges checkout crypto deposit deposits eth ether fund funds invoice invoices loan loans money nft \
     autopay autorenew autorenewal payment payments payout payouts purchase purchases refund refunds renewal renewals satoshis trade \
     trades transfer transfers usdc usdt withdrawal withdrawals";

/// Things that obey: to write to one is to have it run what is written.
pub(in crate::engine) const RUNS: &str =
    "bash cmd command commands powershell repl shell ssh stdin terminal tmux zsh";

/// Things whose renewal costs nothing.
pub(in crate::engine) const UNPAID: &str =
    "cert certificate certificates certs lease leases lock session sessions ssl tls token tokens";

/// Ends that somebody asks for, or has done.
pub(in crate::engine) const ENDS: &str =
    "deletion deletions destruction erasure purge removal removals teardown termination wipe";

/// Verbs that keep an end from coming, and what keeps it from coming.
pub(in crate::engine) const KEEPS: &str = "abort block cancel decline defer delay disable enable postpone prevent protection reject restore \
     revert stop undo";

/// Things that one program should not tell another.
pub(in crate::engine) const SECRETS: &str = "apikey apikeys authcode connectionstring cookies credential credentials cvv dotenv env environ htpasswd \
     jwt jwts keychain keypair keypairs keystore keytab kubeconfig kubeconfigs mnemonic netrc otp passcode passcodes \
     passphrase passwd password passwords privatekey secret secrets seedphrase totp vault";

/// The same for two words that stand side by side: one of the first, one of the second.
const SECRET_PAIRS: &[(&str, &str)] = &[
    (
        "access account activation admin api auth authentication authorization bitlocker consumer decryption deploy \
         ed25519 encryption gpg host hosting host licence license master pgp private product provisioning recovery \
         registration root rsa sas secret service shared signing ssh ssl storage subscription tls unlock wallet webhook",
        "key keys",
    ),
    (
        "access admin api auth authentication authorization bearer bootstrap bot csrf deploy deployment device id \
         invite join login oauth oauth2 pairing pat personal push refresh registration reset runner sas secret security \
         service session user verification webhook",
        "token tokens",
    ),
    ("backup mnemonic recovery secret seed wallet", "code codes phrase phrases seed word words"),
    (
        "2fa access activation auth authentication authorisation authorization card door epp factor login mfa one otp \
         pairing security sms time transfer unlock verification",
        "code codes password passwords pin pins",
    ),
    ("auth authorization", "info"),
    ("connection", "string strings uri uris url urls"),
    ("database db jdbc mongo mongodb mysql postgres postgresql redis", "dsn uri url"),
    ("auth login session", "cookie"),
    ("card", "cvv number numbers"),
    ("kube", "config"),
];

/// Verbs that take something to be told more of it, and do not hand it out.
const TAKE: &str = "analyse analyze calculate check classify compare count decode detect diagnose estimate identify inspect \
     introspect match measure parse scan score validate verify";

/// Words beside which a token is one of a chain or of a text.
const COINS: &str = "address balance balances chain chains coin coins contract count crypto erc20 holder holders mint nft \
     pool price prices supply swap ticker usage wallet";

/// Things that take much with them when they are destroyed.
pub(in crate::engine) const WHOLES: &str = "account accounts all bucket buckets cluster clusters database databases db disk everything instance \
     org organisation organization project projects repo repository schema table tables volume workspace";

/// Words beside which an execution is one of whatever the call holds.
pub(in crate::engine) const CODE: &str =
    "bash cmd code command commands javascript powershell python script scripts shell sql";

/// Words of a description that say nothing before its verb.
pub(in crate::engine) const FILLERS: &str = "a ability also an and api attempts be can do does enables endpoint for function helper helps i \
     important it lets mcp method only or perform performs please the this that to tool tries used use useful uses \
     using utility will you your allow allows";

/// Arguments that hold what is run. All arguments are in small letters here, without the marks between words.
pub(in crate::engine) const CODE_ARGUMENTS: &str = "bash cmd code command commands expression function javascript js program python script shell source sql statement";

/// Arguments that give a tool away that runs them, even if its description does not.
pub(in crate::engine) const COMMAND_ARGUMENTS: &str =
    "cmd command commands script shell sql statement";

/// Arguments that hold an address.
pub(in crate::engine) const ADDRESS_ARGUMENTS: &str = "endpoint href uri uris url urls webhook";

/// Arguments that say where something is written.
pub(in crate::engine) const OUTPUT_ARGUMENTS: &str = "dest destination outdir outfile outputdir outputdirectory outputfile outputfilename outputpath \
     savepath saveto";

/// Arguments that say how much is paid.
pub(in crate::engine) const AMOUNT_ARGUMENTS: &str = "amount value";

/// Arguments that make an amount one of money.
pub(in crate::engine) const PAYMENT_ARGUMENTS: &str =
    "beneficiary chain currency iban payee recipient toaddress wallet";

/// Verbs of other languages. A name with one of them is not read as English, for other words of it may only look so.
const FOREIGN: &str = "abrir actualizar afficher aggiorna aggiornare agregar ajouter anlegen anzeigen apagar aprobar atualizar \
     bezahlen bijwerken borrar buscar cambiar cancella cancellare cancelar chercher comprar consultar criar crear creer \
     editar ejecutar elenca eliminar elimina eliminare enviar envoyer erstellen esborrar excluir executar executer \
     fermer guardar hinzufuegen inserir insertar invia inviare lancer leer lesen lire listar lister loeschen mettre \
     modificar modifica modifier mostrar obtener obtenir obter opslaan ouvrir pagar paga pagare payer poner publicar \
     quitar recuperer remover retirer scrivere senden speichern starten suchen supprimer toevoegen trouver ukloni \
     usun utworz verwijderen verwijder wyslij zahlen zoeken sil guncelle olustur gonder chaxun shanchu xiugai \
     tianjia sakujo kensaku udalit sozdat otpravit poluchit";

/// True if a verb is among the words of a name.
#[must_use]
pub(in crate::engine) fn says_what(name: &str) -> bool {
    let is_verb = |word: &String| meanings(word).any(|meaning| meaning.kind == WordKind::Verb);
    name_words(name).iter().any(is_verb)
}

/// True for a verb of another language.
#[must_use]
pub(in crate::engine) fn is_foreign(word: &str) -> bool {
    is_one_of(word, FOREIGN)
}

/// True for a verb that is a thing as well.
#[must_use]
pub(in crate::engine) fn may_be_thing(word: &str) -> bool {
    is_one_of(word, THINGS)
}

/// What among the words of a reader is a secret that it hands out. `arguments` are those that it takes.
#[must_use]
pub(in crate::engine) fn secret<'w>(words: &[&'w str], arguments: &[&str]) -> Option<&'w str> {
    let takes = |word: &&str| {
        let stem = word.strip_suffix('s').unwrap_or(word);
        is_one_of(word, TAKE) || is_one_of(stem, TAKE)
    };
    let named = words.iter().copied().find(|word| is_one_of(word, SECRETS));
    if named.is_some() || words.iter().any(takes) {
        return named;
    }
    let neighbours = words.windows(2).find_map(|pair| match *pair {
        [first, second] => SECRET_PAIRS
            .iter()
            .any(|(firsts, seconds)| is_one_of(first, firsts) && is_one_of(second, seconds))
            .then_some(second),
        _ => None,
    });
    // A token, and nothing more: not one of a chain, nor one of a text.
    let last = words.last().copied().filter(|last| matches!(*last, "token" | "tokens"));
    let is_coin = || words.iter().chain(arguments).any(|word| is_one_of(word, COINS));
    neighbours.or_else(|| last.filter(|_| !is_coin() && !words.contains(&"search")))
}

/// True if `word` is in a list separated by blanks.
#[must_use]
pub(in crate::engine) fn is_one_of(word: &str, list: &str) -> bool {
    list.split_ascii_whitespace().any(|other| other == word)
}

/// The words of a name in lower case, split at marks and before capitals.
#[must_use]
pub(in crate::engine) fn name_words(name: &str) -> Vec<String> {
    let name = name.get(..name.floor_char_boundary(MAX_LOOKED_AT)).unwrap_or_default();
    let mut words = Vec::new();
    for part in name.split(|c: char| !c.is_alphanumeric()) {
        let letters: Vec<char> = part.chars().collect();
        let mut word = String::new();
        for (place, &c) in letters.iter().enumerate() {
            let before = place.checked_sub(1).and_then(|before| letters.get(before));
            let behind = letters.get(place.saturating_add(1));
            let begins = c.is_uppercase()
                && before.is_some_and(|before| {
                    !before.is_uppercase() || behind.is_some_and(|behind| behind.is_lowercase())
                });
            if begins {
                words.push(std::mem::take(&mut word));
            }
            word.push(c);
        }
        words.push(word);
    }
    words.retain(|word| !word.is_empty());
    words.iter().map(|word| name::fold(word).into_owned()).collect()
}

/// The meanings of a word.
pub(in crate::engine) fn meanings(word: &str) -> impl Iterator<Item = Meaning> {
    WORDS
        .iter()
        .filter(move |(.., words)| is_one_of(word, words))
        .map(|&(kind, class, risk, _)| Meaning { kind, class, risk })
}

/// The meaning that a word has beside another one, if it differs, and the other word.
#[must_use]
pub(in crate::engine) fn meaning_beside<'w>(
    word: &str,
    others: impl IntoIterator<Item = &'w str>,
) -> Option<(Class, Risk, &'w str)> {
    let mut pairs = PAIRS.iter().filter(|(first, ..)| *first == word).peekable();
    pairs.peek()?;
    let others: Vec<&str> = others.into_iter().collect();
    pairs.find_map(|&(_, list, class, risk)| {
        let other = others.iter().find(|other| is_one_of(other, list))?;
        Some((class, risk, *other))
    })
}

/// The verb that a long word begins with, where somebody has left out what parts them: `deletefile`.
#[must_use]
pub(in crate::engine) fn glued(word: &str) -> Option<(&'static str, Meaning)> {
    /// Shorter ones begin too many other words.
    const LEAST: usize = 6;
    WORDS.iter().filter(|(kind, ..)| *kind == Verb).find_map(|&(kind, class, risk, words)| {
        let verb = words.split_ascii_whitespace().find(|verb| {
            // `deleted` and `deletes` are no verbs here, nor is who does it.
            verb.len() >= LEAST
                && word
                    .strip_prefix(verb)
                    .is_some_and(|rest| rest.len() > 2 && !rest.starts_with(['d', 'r', 's', 'i']))
        })?;
        Some((verb, Meaning { kind, class, risk }))
    })
}

#[cfg(test)]
mod tests {
    use super::{PAIRS, THINGS, WORDS, WordKind, meanings, name_words};

    #[test]
    fn a_word_has_one_meaning_in_each_use() {
        for &(kind, .., words) in WORDS {
            for word in words.split_ascii_whitespace() {
                let alike = meanings(word).filter(|meaning| meaning.kind == kind);
                assert_eq!(alike.count(), 1, "{word}");
                let is_verb = meanings(word).any(|meaning| meaning.kind == WordKind::Verb);
                assert!(!is_verb || meanings(word).count() == 1, "{word} is more than a verb");
                assert!(word.bytes().all(|b| b.is_ascii_lowercase()), "{word}");
            }
        }
        for (word, ..) in PAIRS {
            assert!(meanings(word).next().is_some(), "{word} means nothing by itself");
        }
        for word in THINGS.split_ascii_whitespace() {
            assert!(meanings(word).next().is_some(), "{word} means nothing by itself");
        }
    }

    #[test]
    fn names_split_at_marks_and_capitals() {
        for (name, words) in [
            ("image_generate", "image generate"),
            ("browser.tab/close:now-2", "browser tab close now 2"),
            ("getUserByID", "get user by id"),
            ("HTTPGet", "http get"),
            ("DeleteHTTPServer", "delete http server"),
            ("ｄｅｌｅｔｅ_all", "delete all"),
            ("--", ""),
            ("résumé\u{1F4A5}löschen", "résumé löschen"),
        ] {
            assert_eq!(name_words(name).join(" "), words, "{name}");
        }
    }
}
