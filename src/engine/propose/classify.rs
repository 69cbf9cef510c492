//! Classifies a tool: first by its name, and by its description, arguments and hints only where they make the class
//! stricter or the name says nothing. All of these are the server's own words and prove nothing.
//!
//! ```text
//! name ─► a verb in it ──────────────────────────────► class, risk
//!    └──► a word that may be a verb, or a thing ─┬───► the stricter of both
//!         description ─► its verbs ──────────────┘
//!         arguments  ─► what runs, what pays ─────────► stricter, where the name has no verb
//!         hints ─► not read-only, destructive ────────► stricter; `readOnlyHint` is believed if nothing else speaks
//! nothing of these ──────────────────────────────────► Unknown
//! ```

use std::borrow::Cow;
use std::fmt::Write as _;

use super::class::{Class, Risk};
use super::lexicon::{
    self, ADDRESS_ARGUMENTS, AMOUNT_ARGUMENTS, CODE, CODE_ARGUMENTS, COMMAND_ARGUMENTS, ENDS,
    FILLERS, KEEPS, LIGHT, LOOKUPS, MONEY, Meaning, OUTPUT_ARGUMENTS, PAYMENT_ARGUMENTS, RUNS,
    UNPAID, WHOLES, WordKind, is_one_of,
};
use super::listed_tool::ListedTool;

/// The number of words after "Run" in which the object is looked for.
const LOOKUP_WITHIN: usize = 6;

/// The longest quotation of a word, in bytes.
const MAX_SHOWN: usize = 24;

/// The class of a tool, and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification {
    /// The class.
    pub class: Class,
    /// The damage that a wrong call can do.
    pub risk: Risk,
    /// The reason, as a sentence without its full stop.
    pub reason: String,
}

/// A word and what it tells of the tool.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Evidence<'w> {
    class: Class,
    risk: Risk,
    /// The word, and the other word that gave it its meaning.
    words: Vec<Cow<'w, str>>,
    /// True if the word can only be a verb.
    is_sure: bool,
}

impl Evidence<'_> {
    /// True for a verb that only looks something up.
    fn is_reader(&self) -> bool {
        self.is_sure && self.class == Class::Read
    }

    /// True if a text has the word, in whatever form.
    fn is_in(&self, text: &str) -> bool {
        let mut words = text.split_ascii_whitespace().map(|piece| plain(piece).to_lowercase());
        words.any(|word| self.words.first().is_some_and(|own| word.starts_with(&**own)))
    }

    /// True for a verb that only says that something is done.
    fn is_light(&self) -> bool {
        let is_light = |word: &str| verb_of(word).is_some_and(|(stem, _)| is_one_of(&stem, LIGHT));
        self.class == Class::Execute
            && matches!(self.words.as_slice(), [word] if is_light(&word.to_lowercase()))
    }
}

/// An argument, and its name in lower case without marks.
struct Argument<'t> {
    name: &'t str,
    plain: String,
}

impl<'t> Argument<'t> {
    fn of(name: &'t str) -> Self {
        let name = name.get(..name.floor_char_boundary(MAX_SHOWN)).unwrap_or_default();
        let letters = name.chars().filter(char::is_ascii_alphanumeric);
        Argument { name, plain: letters.map(|c| c.to_ascii_lowercase()).collect() }
    }

    /// The first of them that a list names.
    fn find(arguments: &[Self], list: &str) -> Option<&'t str> {
        arguments.iter().find(|argument| is_one_of(&argument.plain, list)).map(|found| found.name)
    }
}

/// Classifies a tool.
#[must_use]
pub fn classify(tool: &ListedTool) -> Classification {
    let name = lexicon::name_words(&tool.name);
    let name: Vec<&str> = name.iter().map(String::as_str).collect();
    let arguments: Vec<Argument<'_>> =
        tool.arguments.iter().map(|name| Argument::of(name)).collect();
    let said = in_text(&tool.description, &name).or_else(|| in_text(&tool.title, &name));
    let told = in_name(&name);
    let verbs = told.words();
    let mut assessment = Assessment::new(told, said, &tool.description);
    assessment.arguments(&arguments);
    assessment
        .things(&verbs, name.iter().copied().filter(|word| !verbs.iter().any(|verb| verb == word)));
    assessment.hints(tool);
    assessment.worst(&name, &arguments, tool);
    assessment.secrets(&name, &arguments, tool);
    Classification { class: assessment.class, risk: assessment.risk, reason: assessment.reason }
}

/// What the words of a name tell.
enum NameMeaning<'w> {
    /// What the tool does.
    Clearly(Evidence<'w>),
    /// What it may do, or what it may be about.
    Perhaps(Evidence<'w>),
    /// The same, but it is what the tool is about only if the description clearly reads: `rpc_block_volume`.
    Inside(Evidence<'w>),
    Nothing,
}

impl NameMeaning<'_> {
    /// The words that tell it.
    fn words(&self) -> Vec<String> {
        match self {
            NameMeaning::Clearly(Evidence { words, .. })
            | NameMeaning::Perhaps(Evidence { words, .. })
            | NameMeaning::Inside(Evidence { words, .. }) => {
                words.iter().map(|word| word.clone().into_owned()).collect()
            }
            NameMeaning::Nothing => Vec::new(),
        }
    }
}

fn in_name<'w>(name: &[&'w str]) -> NameMeaning<'w> {
    let last = name.len().saturating_sub(1);
    let mut verbs: Vec<(usize, Evidence<'_>)> = Vec::new();
    let mut others = Vec::new();
    for (place, word) in name.iter().enumerate() {
        let is_read = verbs.iter().any(|(_, before)| before.class == Class::Read)
            || name.first().is_some_and(|first| place > 0 && *first == "check");
        let before = place.checked_sub(1).and_then(|before| name.get(before));
        let is_joined = before.is_some_and(|before| matches!(*before, "and" | "or" | "then"));
        for meaning in lexicon::meanings(word) {
            let evidence = evidence(word, meaning, name);
            let is_last = place == last && evidence.class >= Class::Execute && *word != "trash";
            match meaning.kind {
                WordKind::Verb
                    if is_read && !is_joined && !is_last && lexicon::may_be_thing(word) => {}
                WordKind::Verb => verbs.push((place, evidence)),
                WordKind::Either | WordKind::First if is_joined => verbs.push((place, evidence)),
                WordKind::Either => others.push((place, evidence)),
                WordKind::First if place == 0 || evidence.words.len() > 1 => {
                    others.push((place, evidence));
                }
                WordKind::Noun if place == last => others.push((place, evidence)),
                WordKind::First | WordKind::Noun => {}
            }
        }
    }
    if let Some((place, verb)) = strictest(verbs) {
        // At the end it may be a thing: a `todo_list`.
        return match verb.class {
            Class::Read if place == last => NameMeaning::Perhaps(verb),
            _ => NameMeaning::Clearly(verb),
        };
    }
    if name.iter().any(|word| lexicon::is_foreign(word)) {
        return NameMeaning::Nothing;
    }
    let gives = |word: &&str| {
        lexicon::meanings(word)
            .any(|meaning| meaning.kind == WordKind::Noun && meaning.class == Class::Read)
    };
    let of_place = |place| others.iter().find(|(other, _)| *other == place);
    if let Some((_, given)) = name.last().filter(|word| gives(word)).and_then(|_| of_place(last)) {
        return NameMeaning::Perhaps(given.clone());
    }
    // Two candidates, and the last does more than look: either may be the verb.
    let is_stricter =
        |other: &Evidence<'_>| others.first().is_some_and(|(_, first)| other.class > first.class);
    if let Some((_, end)) = of_place(last).filter(|(_, end)| is_stricter(end)) {
        return NameMeaning::Perhaps(end.clone());
    }
    match others.into_iter().next() {
        Some((0, verb)) if last > 0 => NameMeaning::Clearly(verb),
        Some((place, verb)) if place < last => NameMeaning::Inside(verb),
        Some((_, verb)) => NameMeaning::Perhaps(verb),
        None => name
            .iter()
            .find_map(|word| lexicon::glued(word))
            .map_or(NameMeaning::Nothing, |(verb, meaning)| {
                NameMeaning::Perhaps(evidence(verb, meaning, name))
            }),
    }
}

fn evidence<'w>(word: &'w str, meaning: Meaning, beside: &[&'w str]) -> Evidence<'w> {
    let others = beside.iter().copied().filter(|other| *other != word);
    if let Some((class, risk, other)) = lexicon::meaning_beside(word, others) {
        let words = vec![Cow::Borrowed(word), Cow::Borrowed(other)];
        return Evidence { class, risk, words, is_sure: false };
    }
    let Meaning { kind, class, risk } = meaning;
    Evidence { class, risk, words: vec![Cow::Borrowed(word)], is_sure: kind == WordKind::Verb }
}

/// The strictest; the first of several.
fn strictest(found: Vec<(usize, Evidence<'_>)>) -> Option<(usize, Evidence<'_>)> {
    found.into_iter().reduce(|strictest, other| {
        let is_stricter = (other.1.class, other.1.risk) > (strictest.1.class, strictest.1.risk);
        if is_stricter { other } else { strictest }
    })
}

/// What the verbs of a text's first sentence tell: those at its head, and those joined to them by a comma or an `and`.
/// `beside` are words that accompany all of them.
fn in_text(text: &str, beside: &[&str]) -> Option<Evidence<'static>> {
    let sentence = text.trim_start().split(['.', '\n', ';', '!']).next().unwrap_or_default();
    let pieces: Vec<(&str, String)> = sentence
        .split_ascii_whitespace()
        .map(|piece| (piece, plain(piece).to_lowercase()))
        .collect();
    let beside: Vec<&str> =
        pieces.iter().map(|(_, word)| word.as_str()).chain(beside.iter().copied()).collect();
    let mut found = Vec::new();
    // At its head a word is a verb; further on, a word that can be a noun is one.
    let mut is_head = true;
    let mut is_joined = true;
    for (place, (piece, word)) in pieces.iter().enumerate() {
        let joins = matches!(word.as_str(), "and" | "or" | "then");
        let is_filler = found.is_empty() && is_one_of(word, FILLERS);
        if joins || is_filler || word.ends_with("ly") || word.is_empty() {
            is_joined |= joins;
            continue;
        }
        let verb = if is_joined { verb_of(word) } else { None };
        let verb = verb.filter(|(_, verb)| is_head || verb.kind == WordKind::Verb);
        is_joined = piece.ends_with(',');
        is_head &= verb.is_some();
        match verb {
            Some((stem, meaning)) => {
                let Evidence { class, risk, is_sure, .. } = evidence(&stem, meaning, &beside);
                let words = vec![Cow::Owned(shown(piece))];
                let behind = pieces.iter().skip(place).take(LOOKUP_WITHIN);
                let lookup = behind.map(|(_, word)| word).find(|word| is_one_of(word, LOOKUPS));
                found.push((
                    0,
                    match lookup.filter(|_| is_one_of(&stem, LIGHT)) {
                        Some(lookup) => Evidence {
                            class: Class::Read,
                            risk: Risk::Medium,
                            words: vec![Cow::Owned(shown(piece)), Cow::Owned(shown(lookup))],
                            is_sure: false,
                        },
                        None => Evidence { class, risk, words, is_sure },
                    },
                ));
            }
            None if found.is_empty() => return None,
            None => {}
        }
    }
    strictest(found).map(|(_, evidence)| evidence)
}

/// A word without punctuation around it.
fn plain(piece: &str) -> &str {
    piece.trim_matches(|c: char| !c.is_alphanumeric())
}

/// A word of a description as it is quoted.
fn shown(piece: &str) -> String {
    plain(piece).chars().take(MAX_SHOWN).collect()
}

/// The meaning of a word in the place of a verb, in any person, and its stem.
fn verb_of(word: &str) -> Option<(String, Meaning)> {
    let of = |word: String| {
        let meaning = lexicon::meanings(&word).find(|meaning| meaning.kind != WordKind::Noun)?;
        Some((word, meaning))
    };
    let stem = |end: &str, new: &str| Some([word.strip_suffix(end)?, new].concat());
    of(word.to_owned())
        .or_else(|| of(stem("s", "")?))
        .or_else(|| of(stem("es", "")?))
        .or_else(|| of(stem("ies", "y")?))
}

/// A classification in the making.
struct Assessment {
    class: Class,
    risk: Risk,
    reason: String,
    /// True if the name has no verb, so that arguments may make the class stricter.
    is_open: bool,
    /// True if neither name nor description tells anything.
    is_blank: bool,
}

impl Assessment {
    /// `said` is what `text` says.
    fn new(name: NameMeaning<'_>, said: Option<Evidence<'_>>, text: &str) -> Self {
        let by_name = |Evidence { class, risk, words, .. }: Evidence<'_>| Assessment {
            class,
            risk,
            reason: format!("its name says {}", quoted(&words)),
            is_open: false,
            is_blank: false,
        };
        let by_text = |Evidence { class, risk, words, .. }: Evidence<'_>| Assessment {
            class,
            risk,
            reason: format!("its description says {}", quoted(&words)),
            is_open: true,
            is_blank: false,
        };
        let is_stricter = |said: &Evidence<'_>, name: &Evidence<'_>| {
            (said.class, said.risk) > (name.class, name.risk)
        };
        match (name, said) {
            // The description says that it pays or destroys.
            (NameMeaning::Clearly(name), Some(said))
                if name.class == Class::Read && said.class >= Class::Financial =>
            {
                let Evidence { class, risk, words, .. } = said;
                let mut assessment = by_name(name);
                let why = format_args!("its description says {}", quoted(&words));
                assessment.becomes(class, risk, why);
                assessment
            }
            (NameMeaning::Inside(name), Some(said)) if said.is_reader() && name.is_in(text) => {
                by_text(said)
            }
            (NameMeaning::Perhaps(name), Some(said)) if name.is_reader() && said.is_light() => {
                let mut assessment = Assessment { is_open: true, ..by_name(name) };
                assessment.worse(format_args!("its description says {}", quoted(&said.words)));
                assessment
            }
            (NameMeaning::Clearly(name) | NameMeaning::Inside(name), Some(said))
                if is_stricter(&said, &name) =>
            {
                let mut assessment = by_name(name);
                assessment.worse(format_args!("its description says {}", quoted(&said.words)));
                assessment
            }
            (NameMeaning::Clearly(name) | NameMeaning::Inside(name), _) => by_name(name),
            (NameMeaning::Perhaps(name), Some(said)) if is_stricter(&said, &name) => by_text(said),
            (NameMeaning::Perhaps(name), _) => Assessment { is_open: true, ..by_name(name) },
            (NameMeaning::Nothing, Some(said)) => by_text(said),
            (NameMeaning::Nothing, None) => Assessment {
                class: Class::Unknown,
                risk: Risk::Medium,
                reason: "nothing says what it does, so it may do anything".to_owned(),
                is_open: true,
                is_blank: true,
            },
        }
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to memory cannot fail.
        let _ = write!(self.reason, "; {what}");
    }

    /// Raises the risk by a step.
    fn worse(&mut self, why: std::fmt::Arguments<'_>) {
        self.risk = self.risk.worse();
        self.note(why);
    }

    /// Changes the class; if nothing was known before, replaces the reason as well.
    fn becomes(&mut self, class: Class, risk: Risk, why: std::fmt::Arguments<'_>) {
        let blank = std::mem::take(&mut self.is_blank);
        (self.class, self.risk) = (class, risk);
        if blank {
            self.reason = why.to_string();
        } else {
            self.note(why);
        }
    }

    /// Looks at its arguments: whether it writes somewhere and, if its name has no verb, whether it runs or pays.
    fn arguments(&mut self, arguments: &[Argument<'_>]) {
        let find = |list| Argument::find(arguments, list);
        if let Some(output) = find(OUTPUT_ARGUMENTS).filter(|_| self.class == Class::Read) {
            let why = format_args!("it writes to `{output}`");
            self.becomes(Class::Write, Risk::Medium, why);
        }
        if !self.is_open {
            return;
        }
        let runs =
            find(COMMAND_ARGUMENTS).or_else(|| find(CODE_ARGUMENTS).filter(|_| self.is_blank));
        let pays = find(AMOUNT_ARGUMENTS).zip(find(PAYMENT_ARGUMENTS));
        if let Some(argument) = runs.filter(|_| self.is_blank || self.class < Class::Execute) {
            self.becomes(Class::Execute, Risk::High, format_args!("it takes a `{argument}`"));
        } else if let Some((amount, other)) = pays.filter(|_| self.class < Class::Financial) {
            let why = format_args!("it takes `{amount}` and `{other}`");
            self.becomes(Class::Financial, Risk::Critical, why);
        }
    }

    /// Looks at its objects: money, the end of something, or something that runs what is written to it.
    fn things<'w>(&mut self, verbs: &[String], name: impl Iterator<Item = &'w str>) {
        let name: Vec<&str> = name.collect();
        let keeps = |word: &str| is_one_of(word, KEEPS);
        let is_kept = verbs.iter().any(|verb| keeps(verb)) || name.iter().any(|word| keeps(word));
        let thing = |list| name.iter().find(|word| is_one_of(word, list));
        if !(Class::Write..=Class::Execute).contains(&self.class) || self.is_blank {
            return;
        }
        let is_unpaid = |money: &str| money.starts_with("renewal") && thing(UNPAID).is_some();
        if let Some(end) = thing(ENDS).filter(|_| !is_kept) {
            self.becomes(Class::Destructive, Risk::High, format_args!("`{end}` ends something"));
        } else if let Some(money) = thing(MONEY).filter(|money| !is_unpaid(money)) {
            self.becomes(Class::Financial, Risk::High, format_args!("`{money}` is money"));
        } else if let Some(runs) = thing(RUNS).filter(|_| self.class == Class::Write) {
            self.becomes(Class::Execute, Risk::High, format_args!("`{runs}` does what is written"));
        }
    }

    /// Looks at the server's hints.
    fn hints(&mut self, tool: &ListedTool) {
        let changes = tool.read_only == Some(false);
        let destroys = tool.destructive == Some(true) && tool.read_only != Some(true);
        let says_harmless = tool.read_only == Some(true);
        if says_harmless && self.is_blank {
            let why = "only its own `readOnlyHint` says what it does";
            self.becomes(Class::Read, Risk::Medium, format_args!("{why}"));
        } else if says_harmless && self.class > Class::Read {
            self.note(format_args!("its `readOnlyHint` is not believed"));
        } else if destroys && self.is_blank {
            self.risk = Risk::High;
            self.note(format_args!("the server calls it destructive"));
        } else if destroys && self.class <= Class::Write {
            self.class = Class::Write;
            self.risk = self.risk.max(Risk::High);
            self.note(format_args!("the server calls it destructive"));
        } else if changes && self.class == Class::Read {
            self.class = Class::Write;
            self.risk = self.risk.max(Risk::Medium);
            self.note(format_args!("the server says that it is not read-only"));
        }
    }

    /// Raises the risk of a reader that hands out secrets.
    fn secrets(&mut self, name: &[&str], arguments: &[Argument<'_>], tool: &ListedTool) {
        let gives = self.class == Class::Read
            || self.class == Class::Write
                && name.iter().any(|word| is_one_of(word, "download dump export"));
        if !gives {
            return;
        }
        let arguments: Vec<&str> =
            arguments.iter().map(|argument| argument.plain.as_str()).collect();
        let said = subject(&tool.description);
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        let public = |words: &[&str]| words.contains(&"public");
        let found = lexicon::secret(name, &arguments)
            .or_else(|| lexicon::secret(&said, &arguments).filter(|_| !public(&said)));
        if let Some(secret) = found.filter(|_| !public(name)) {
            self.risk = Risk::High;
            self.note(format_args!("`{secret}` may be secret"));
        }
    }

    /// Raises the risk for what is worse than the rest of its class.
    fn worst(&mut self, name: &[&str], arguments: &[Argument<'_>], tool: &ListedTool) {
        let named = |list| name.iter().find(|word| is_one_of(word, list));
        let taken = |list| Argument::find(arguments, list);
        match self.class {
            Class::Read => {
                if let Some(argument) = taken(ADDRESS_ARGUMENTS) {
                    self.risk = self.risk.max(Risk::Medium);
                    self.note(format_args!("`{argument}` may be any address"));
                } else if tool.open_world == Some(true) && self.risk < Risk::Medium {
                    self.worse(format_args!("what it reads may come from anywhere"));
                }
            }
            Class::Write if named("force").is_some() => self.risk = self.risk.max(Risk::High),
            Class::Write | Class::Unknown => {}
            Class::Execute => {
                let code = taken(CODE_ARGUMENTS);
                if let Some(code) = code {
                    self.risk = Risk::Critical;
                    self.note(format_args!("`{code}` may be anything"));
                } else if named(CODE).is_some() {
                    self.risk = Risk::Critical;
                }
            }
            Class::Financial => {
                if let Some(amount) = taken(AMOUNT_ARGUMENTS).filter(|_| self.risk < Risk::Critical)
                {
                    self.risk = Risk::Critical;
                    self.note(format_args!("it takes `{amount}`"));
                }
            }
            Class::Destructive => {
                if let Some(whole) = named(WHOLES).filter(|_| self.risk < Risk::Critical) {
                    self.worse(format_args!("`{whole}` may be much"));
                }
            }
        }
    }
}

/// The words of a description up to its first preposition: its verb and object.
fn subject(text: &str) -> Vec<String> {
    const PARTS: &str = "about after as at before by for from given in into of on onto so that to under using when \
         where which with without";
    let sentence =
        text.trim_start().split(['.', '\n', ';', '!', ',', '(']).next().unwrap_or_default();
    let words = sentence.split_ascii_whitespace().map(|piece| plain(piece).to_lowercase());
    let words = words.take_while(|word| !is_one_of(word, PARTS));
    words.flat_map(|word| word.split(['-', '_']).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Words in backticks.
fn quoted(words: &[Cow<'_, str>]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" and ")
}
