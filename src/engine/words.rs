//! The words that tell what a tool does: all that [`super::classify`] knows of language is in these tables.

use super::class::{Class, Risk};

use Class::{Destructive, Execute, Financial, Read, Write};
use Kind::{Either, First, Noun, Verb};
use Risk::{Critical, High, Low, Medium};

/// How a word is used in names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It says what the tool does, wherever it stands: `delete`.
    Verb,
    /// It may as well be the thing that something is done to: `run_tests`, but `get_run`.
    Either,
    /// The same, and it is the thing unless it stands first: `log_event`, but `git_log`.
    First,
    /// The thing that the tool gives, if nothing says more: `weather`.
    Noun,
}

/// A word, and what it says of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    /// How it is used.
    pub(super) kind: Kind,
    /// What it does.
    pub(super) class: Class,
    /// How bad that can be.
    pub(super) risk: Risk,
}

/// Words by what they mean.
const WORDS: [(Kind, Class, Risk, &str); 21] = [
    (
        Verb,
        Read,
        Low,
        "analyse analyze ask autocomplete browse calculate capture categorise categorize classify compare \
         compute convert count crawl decode describe detect divide echo enumerate estimate examine \
         explain explore extract fetch find get glob grep identify inspect introspect list look lookup \
         measure monitor multiply observe parse peek ping poll predict preview probe read recall recommend \
         retrieve scrape search show simulate solve subtract summarise summarize suggest think \
         transcribe translate validate verify view visualise visualize wait whoami",
    ),
    (Either, Read, Low, "check diagnose filter load match query render scan score select watch"),
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
        "accept acknowledge activate add adjust alter annotate append assign attach \
         click close complete compose compress concatenate configure create crop deactivate \
         decline define detach dismiss download draft drag duplicate edit emulate enable encrypt enhance fill finalise finalize \
         fix follow generate handle hover increment initialise initialize insert join \
         make mark migrate mkdir modify navigate organise organize patch pause persist pin play populate \
         prepend press promote put redirect register rename reopen reorder reschedule resize \
         rewrite rotate save say scroll shorten speak store stylize subscribe swipe sync synchronise \
         synchronize synthesise synthesize tap toggle turn unarchive unassign unfollow unlock unpin \
         unstage unsubscribe unzip update upload upscale upsert write zip",
    ),
    (
        Either,
        Write,
        Medium,
        "archive backup change clone comment commit copy draw export flag fork format import init label \
         link lock manage merge move open pull rebase resolve scale schedule set sort split \
         stage star stash submit switch tag touch track transform type upgrade vote",
    ),
    (First, Write, Medium, "book log note order place plan record request"),
    (Noun, Write, Medium, "rembg tts"),
    (
        Verb,
        Write,
        High,
        "approve authorise authorize ban broadcast cancel disable kick notify \
         overwrite publish reject replace restore revert rollback send sign suspend tweet unpublish",
    ),
    (Either, Write, High, "block force forward grant invite post push reply share"),
    (First, Write, High, "dm email mail message sms text"),
    (
        Verb,
        Execute,
        High,
        "act apply automate bootstrap dispatch eval evaluate exec execute install interact invoke \
         kill reboot redeploy reinstall relaunch rerun restart shutdown spawn undeploy",
    ),
    (Either, Execute, High, "boot build compile deploy launch run start stop trigger"),
    (First, Execute, High, "call test"),
    (
        Noun,
        Execute,
        High,
        "bash cmd command console javascript powershell python repl shell sql ssh terminal tmux zsh",
    ),
    (
        Verb,
        Financial,
        Critical,
        "buy donate invest pay reimburse remit repay sell unstake withdraw",
    ),
    (
        Either,
        Financial,
        Critical,
        "bet bid borrow charge checkout deposit lend mint payout purchase refund stake swap trade transfer wire",
    ),
    (First, Financial, High, "bill invoice"),
    (
        Verb,
        Destructive,
        High,
        "cleanup clear del delete discard prune remove reset revoke rm rmdir terminate trash \
         uninstall unlink",
    ),
    (Either, Destructive, High, "clean"),
    (
        Verb,
        Destructive,
        Critical,
        "destroy drop erase expunge flush nuke obliterate purge shred truncate wipe",
    ),
];

/// Words that mean something else beside another one.
const PAIRS: [(&str, &str, Class, Risk); 25] = [
    ("approve", "allowance spending token tokens", Financial, Critical),
    ("cancel", "order orders subscription", Financial, High),
    ("checkout", "branch commit file git pr pull ref repo repository tag", Write, Medium),
    ("clean", "data string text", Write, Medium),
    ("clear", "cache filter filters selection", Write, Medium),
    ("close", "position", Financial, Critical),
    ("create", "order orders subscription transaction", Financial, High),
    ("drop", "browser drag", Write, Medium),
    ("flush", "buffer", Write, Medium),
    ("format", "disk drive partition volume", Destructive, Critical),
    ("modify", "order orders subscription", Financial, High),
    ("open", "doc document directory file files folder node nodes note notebook page", Read, Low),
    ("open", "account position", Financial, Critical),
    ("place", "bet bid order orders", Financial, Critical),
    ("remove", "background noise watermark whitespace", Write, Medium),
    ("reset", "password view zoom", Write, High),
    ("resolve", "address dns host hostname id library name path", Read, Low),
    (
        "send",
        "bitcoin btc crypto eth ether fund funds money nft payment payments",
        Financial,
        Critical,
    ),
    ("send", "token tokens transaction usdc usdt", Financial, Critical),
    ("sign", "transaction", Financial, Critical),
    ("submit", "order orders transaction", Financial, Critical),
    ("swap", "file files item items", Write, Medium),
    ("test", "connection", Read, Low),
    (
        "transfer",
        "call data domain file files issue ownership project repo repository",
        Write,
        High,
    ),
    ("update", "order orders subscription", Financial, High),
];

/// Things that stand for money: to make or change one is financial.
pub(super) const MONEY: &str = "bitcoin btc charge charges checkout crypto eth ether fund funds invoice invoices loan loans money nft \
     payment payments payout payouts purchase purchases refund refunds satoshis trade \
     trades transfer transfers usdc usdt withdrawal withdrawals";

/// Things that obey: to write to one is to have it run what is written.
pub(super) const RUNS: &str =
    "bash cmd command commands powershell repl shell ssh stdin terminal tmux zsh";

/// Things that one program should not tell another.
pub(super) const SECRETS: &str = "apikey apikeys credential credentials env environ keychain passphrase passwd password passwords \
     secret secrets vault";

/// Things that take much with them when they are destroyed.
pub(super) const WHOLES: &str = "account accounts all bucket buckets cluster clusters database databases db disk everything instance \
     org organisation organization project projects repo repository schema table tables volume workspace";

/// Words beside which an execution is one of whatever the call holds.
pub(super) const CODE: &str =
    "bash cmd code command commands javascript powershell python script scripts shell sql";

/// Words of a description that say nothing before its verb.
pub(super) const FILLERS: &str = "a ability also an and api attempts be can do does enables endpoint for function helper helps i \
     important it lets mcp method only or perform performs please the this that to tool tries used use useful uses \
     using utility will you your allow allows";

/// Arguments that hold what is run. All arguments are in small letters here, without the marks between words.
pub(super) const CODE_ARGUMENTS: &str = "bash cmd code command commands expression function javascript js program python script shell source sql statement";

/// Arguments that give a tool away that runs them, even if its description does not.
pub(super) const COMMAND_ARGUMENTS: &str = "cmd command commands script shell sql statement";

/// Arguments that hold an address.
pub(super) const ADDRESS_ARGUMENTS: &str = "endpoint href uri uris url urls webhook";

/// Arguments that say where something is written.
pub(super) const OUTPUT_ARGUMENTS: &str = "dest destination outdir outfile outputdir outputdirectory outputfile outputfilename outputpath \
     savepath saveto";

/// Arguments that say how much is paid.
pub(super) const AMOUNT_ARGUMENTS: &str = "amount value";

/// Arguments that make an amount one of money.
pub(super) const PAYMENT_ARGUMENTS: &str =
    "beneficiary chain currency iban payee recipient toaddress wallet";

/// True if `word` is one of a list that blanks part.
#[must_use]
pub(super) fn is_one_of(word: &str, list: &str) -> bool {
    list.split_ascii_whitespace().any(|other| other == word)
}

/// What a word means, as often as it means something.
pub(super) fn meanings(word: &str) -> impl Iterator<Item = Meaning> {
    WORDS
        .iter()
        .filter(move |(.., words)| is_one_of(word, words))
        .map(|&(kind, class, risk, _)| Meaning { kind, class, risk })
}

/// What a word means beside others, if that is not what it means by itself; and the other word.
#[must_use]
pub(super) fn meaning_beside<'w>(
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
pub(super) fn glued(word: &str) -> Option<(&'static str, Meaning)> {
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
    use super::{Kind, PAIRS, WORDS, meanings};

    #[test]
    fn a_word_has_one_meaning_in_each_use() {
        for (kind, .., words) in WORDS {
            for word in words.split_ascii_whitespace() {
                let alike = meanings(word).filter(|meaning| meaning.kind == kind);
                assert_eq!(alike.count(), 1, "{word}");
                let is_verb = meanings(word).any(|meaning| meaning.kind == Kind::Verb);
                assert!(!is_verb || meanings(word).count() == 1, "{word} is more than a verb");
                assert!(word.bytes().all(|b| b.is_ascii_lowercase()), "{word}");
            }
        }
        for (word, ..) in PAIRS {
            assert!(meanings(word).next().is_some(), "{word} means nothing by itself");
        }
    }
}
