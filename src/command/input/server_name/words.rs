//! Splits command lines into options and words.

use super::runner::is_one_of;

/// A command line, split into leading options and the rest.
pub(super) struct Options<'a> {
    /// Each option with its value, which is `""` if there is none.
    pub(super) given: Vec<(&'a str, &'a str)>,
    /// What follows.
    pub(super) rest: &'a [&'a str],
}

impl<'a> Options<'a> {
    /// Takes the options off `words`. An option in `valued` takes the next word, unless it holds its own value.
    pub(super) fn of(words: &'a [&'a str], valued: &str) -> Self {
        let mut given = Vec::new();
        let mut rest = words;
        while let Some((word, behind)) = rest.split_first() {
            if *word == "--" {
                rest = behind;
                break;
            }
            if !word.starts_with('-') || *word == "-" {
                break;
            }
            rest = behind;
            if let Some((option, value)) = word.split_once('=') {
                given.push((option, value));
            } else if is_one_of(word, valued) {
                given.push((word, rest.first().copied().unwrap_or_default()));
                rest = rest.get(1..).unwrap_or_default();
            } else if let Some((option, value)) = attached(word, valued) {
                given.push((option, value));
            } else {
                given.push((word, ""));
            }
        }
        Options { given, rest }
    }

    /// The value of the last of these options.
    pub(super) fn value(&self, names: &[&str]) -> Option<&'a str> {
        let mut given = self.given.iter().rev();
        given.find(|(option, _)| names.contains(option)).map(|(_, value)| *value)
    }

    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.value(names).is_some()
    }
}

/// `-p8080`: a short option with its value.
fn attached<'a>(word: &'a str, valued: &str) -> Option<(&'a str, &'a str)> {
    let (option, value) = word.split_at_checked(2)?;
    (!word.starts_with("--") && !value.is_empty() && is_one_of(option, valued))
        .then_some((option, value))
}

/// True for `NAME=value`, which stands before a command in a shell and after `env`.
pub(super) fn is_assignment(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else { return false };
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(is_part)
}

/// The words of a text that is one simple shell command, without expansions and with nothing after it.
pub(super) fn simple_command(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.trim().chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some('"'), '$' | '`') => return None,
            (Some('"') | None, '\\') if chars.as_str().starts_with(['"', '\'', '\\', ' ']) => {
                word.get_or_insert_default().extend(chars.next());
            }
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, c) if "|&;<>()`$*?[]#~!{}^\n\r".contains(c) => return None,
            (Some(_) | None, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (quote.is_none() && !words.is_empty()).then_some(words)
}
