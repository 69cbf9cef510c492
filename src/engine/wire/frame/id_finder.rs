//! Finds the ids of the messages on a server's line that cannot be relayed, so that waiting requests get an error
//! (contract W6).

use super::MAX_ID_BYTES;
use crate::engine::interrupt::Interrupt;
use crate::engine::json::outline::outline;
use crate::engine::json::token::plain_run;
use crate::engine::text::name::same_but_for_case;

/// The most ids kept for one message, and for one line that is too long to keep.
const MOST: usize = 64;

/// The most strings compared at the tops of messages in one line (contract W8). Ids after them are not found.
const MAX_STRINGS: usize = 100_000;

/// Finds the ids at the tops of the messages on a line that is not JSON, or is too long to keep, on a best-effort
/// basis. It follows strings and brackets byte by byte, and takes each string or number under a key `id`, in any case.
/// A line that does not begin with an object has no message.
///
/// ```text
///   {"jsonrpc":"2.0","id":7,"result":{…}}{"jsonrpc":"2.0","id":8,"resu
///   └────────── one message ────────────┘└──────── another ───────────
/// ```
///
/// A message with a method but without a result or an error is the server's own request: its id is not the client's.
#[derive(Debug, Default)]
pub struct IdFinder {
    depth: usize,
    state: FinderState,
    /// The string or number being read.
    token: Vec<u8>,
    /// Of the message being read: whether it has a key `method`, or `result` or `error`, and its ids.
    has_method: bool,
    has_answer: bool,
    pending: Vec<String>,
    found: Vec<String>,
    /// How many strings at the tops of messages were compared.
    strings: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum FinderState {
    /// Before the first message.
    #[default]
    Begin,
    /// The line does not begin with an object, or has too many strings.
    Other,
    /// Outside strings.
    Between,
    /// In a string; `true` after a backslash.
    InString(bool),
    /// After a string that may be this key.
    Behind(EnvelopeKey),
    /// After the colon of the key `id`.
    BeforeId,
    /// In the id itself, a string; `true` after a backslash.
    InIdString(bool),
    /// In the id itself, a number.
    InIdNumber,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EnvelopeKey {
    Id,
    Method,
    Answer,
}

impl EnvelopeKey {
    /// The key between quotes, with its escapes.
    fn of(token: &[u8]) -> Option<Self> {
        // No reader accepts a longer spelling of these keys: an escape of six bytes stands for a character.
        const LONGEST: usize = 6 * 6;
        if token.len() > LONGEST {
            return None;
        }
        if token.is_ascii() && !token.contains(&b'\\') {
            let is = |name: &str| token.eq_ignore_ascii_case(name.as_bytes());
            return EnvelopeKey::found(is);
        }
        let key: String = serde_json::from_slice(&[b"\"", token, b"\""].concat()).ok()?;
        EnvelopeKey::found(|name| same_but_for_case(&key, name))
    }

    fn found(is: impl Fn(&str) -> bool) -> Option<Self> {
        if is("id") {
            Some(EnvelopeKey::Id)
        } else if is("method") {
            Some(EnvelopeKey::Method)
        } else {
            (is("result") || is("error")).then_some(EnvelopeKey::Answer)
        }
    }
}

impl IdFinder {
    /// Searches the next bytes of the line.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut at = 0_usize;
        while let Some(&byte) = bytes.get(at) {
            if self.state == FinderState::Other {
                return;
            }
            match self.skip(bytes.get(at..).unwrap_or_default()) {
                0 => self.step(byte),
                skipped => {
                    at = at.saturating_add(skipped);
                    continue;
                }
            }
            at = at.saturating_add(1);
        }
    }

    /// The texts of the ids found, at most 64, for [`super::read_id`].
    #[must_use]
    pub fn found(mut self) -> Vec<String> {
        self.end();
        self.found
    }

    /// Steps over bytes at the start of `rest` that change at most the depth, and nothing at the top of a message.
    /// Returns how many.
    fn skip(&mut self, rest: &[u8]) -> usize {
        match self.state {
            FinderState::InString(false) | FinderState::InIdString(false) => {
                let is_kept = self.depth == 1 && self.token.len() <= MAX_ID_BYTES;
                if !is_kept {
                    return string_run(rest);
                }
                let room = MAX_ID_BYTES.saturating_add(1).saturating_sub(self.token.len());
                let run = plain_run(rest);
                self.token.extend(rest.iter().take(run.min(room)));
                run
            }
            FinderState::Between if self.depth > 0 => {
                let (skipped, depth) = between_run(rest, self.depth);
                self.depth = depth;
                skipped
            }
            _ => 0,
        }
    }

    /// The key just read, if it stands at the top of a message. It may also be a value.
    fn key(&mut self) -> Option<EnvelopeKey> {
        if self.depth != 1 {
            return None;
        }
        self.strings = self.strings.saturating_add(1);
        EnvelopeKey::of(&self.token)
    }

    fn step(&mut self, byte: u8) {
        use FinderState::{
            BeforeId, Begin, Behind, Between, InIdNumber, InIdString, InString, Other,
        };
        self.state = match (self.state, byte) {
            (Begin, b' ' | b'\t' | 0xEF | 0xBB | 0xBF) => Begin,
            (Begin, b'{') | (Between, b'{' | b'[') if self.depth > 0 || byte == b'{' => {
                self.depth = self.depth.saturating_add(1);
                Between
            }
            (Begin | Other, _) => Other,
            (Between, b'"') if self.depth > 0 => {
                self.token.clear();
                InString(false)
            }
            (Between, b'}' | b']') => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.end();
                }
                Between
            }
            (InString(false), b'"') if self.strings >= MAX_STRINGS => Other,
            (InString(false), b'"') => self.key().map_or(Between, Behind),
            (InString(escaped), _) => {
                self.keep(byte);
                InString(!escaped && byte == b'\\')
            }
            (Behind(key), b' ' | b'\t') => Behind(key),
            (Behind(key), b':') => {
                self.has_method |= key == EnvelopeKey::Method;
                self.has_answer |= key == EnvelopeKey::Answer;
                if key == EnvelopeKey::Id { BeforeId } else { Between }
            }
            (BeforeId, b' ' | b'\t') => BeforeId,
            (BeforeId, b'"') => {
                self.token = vec![byte];
                InIdString(false)
            }
            (BeforeId, b'-' | b'0'..=b'9') => {
                self.token = vec![byte];
                InIdNumber
            }
            (InIdString(false), b'"') => {
                self.keep(byte);
                self.take();
                Between
            }
            (InIdString(escaped), _) => {
                self.keep(byte);
                InIdString(!escaped && byte == b'\\')
            }
            (InIdNumber, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') => {
                self.keep(byte);
                InIdNumber
            }
            (InIdNumber, _) => {
                self.take();
                self.state = Between;
                return self.step(byte);
            }
            (Behind(_) | BeforeId, _) => {
                self.state = Between;
                return self.step(byte);
            }
            (Between, _) => Between,
        };
    }

    fn keep(&mut self, byte: u8) {
        if self.token.len() <= MAX_ID_BYTES {
            self.token.push(byte);
        }
    }

    fn take(&mut self) {
        let id = String::from_utf8(std::mem::take(&mut self.token));
        if self.pending.len() < MOST {
            self.pending.extend(id);
        }
    }

    /// Ends a message, at its last bracket or at the end of the line.
    fn end(&mut self) {
        if self.state == FinderState::InIdNumber {
            self.take();
        }
        let is_request = self.has_method && !self.has_answer;
        let room = MOST.saturating_sub(self.found.len());
        let ids = std::mem::take(&mut self.pending);
        self.found.extend(ids.into_iter().filter(|_| !is_request).take(room));
        (self.has_method, self.has_answer) = (false, false);
    }
}

/// How many bytes at the start belong to an open string: up to its closing quote, or to an escape that is cut off.
fn string_run(rest: &[u8]) -> usize {
    let mut at = 0_usize;
    loop {
        match rest.get(at..) {
            Some([b'"', ..] | [b'\\'] | []) | None => return at,
            Some([b'\\', _, ..]) => at = at.saturating_add(2),
            Some([0..0x20, ..]) => at = at.saturating_add(1),
            Some(plain) => at = at.saturating_add(plain_run(plain)),
        }
    }
}

/// How many bytes at the start neither end a message nor begin a string at its top, and the depth after them.
fn between_run(rest: &[u8], mut depth: usize) -> (usize, usize) {
    let mut at = 0_usize;
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'"' | b'}' | b']' if depth == 1 => break,
            b'"' => {
                let begun = at.saturating_add(1);
                let run = string_run(rest.get(begun..).unwrap_or_default());
                let end = begun.saturating_add(run);
                if rest.get(end) != Some(&b'"') {
                    break;
                }
                at = end;
            }
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at = at.saturating_add(1);
    }
    (at, depth)
}

/// Passes to `each` the ids at the tops of the messages on a line that cannot be relayed. Valid JSON that is not
/// JSON-RPC is skipped: a log line after an answer answers nothing. `interrupt` ends the search.
pub fn ids_on(line: &[u8], interrupt: &Interrupt, mut each: impl FnMut(&str)) {
    let mut finder = IdFinder::default();
    let mut start = 0;
    let mut at = 0_usize;
    while let Some(&byte) = line.get(at) {
        if interrupt.ends(line.len()) {
            return;
        }
        let skipped = finder.skip(line.get(at..).unwrap_or_default());
        if skipped > 0 {
            at = at.saturating_add(skipped);
            continue;
        }
        let before = finder.depth;
        finder.step(byte);
        match (before, finder.depth, finder.state) {
            (_, _, FinderState::Other) => return,
            (0, 1, _) => start = at,
            (1, 0, _) => {
                let found = std::mem::take(&mut finder.found);
                let message = line.get(start..=at).unwrap_or_default();
                if !found.is_empty() && !is_foreign(message, interrupt) {
                    found.iter().for_each(|id| each(id));
                }
            }
            _ => {}
        }
        at = at.saturating_add(1);
    }
    finder.found().iter().for_each(|id| each(id));
}

/// True for a strict JSON object that is not a JSON-RPC message.
fn is_foreign(message: &[u8], interrupt: &Interrupt) -> bool {
    let mut is_jsonrpc = false;
    let read = std::str::from_utf8(message).map(|text| {
        outline(text, interrupt, |key, value| {
            let version = value.as_str().filter(|_| key.is("jsonrpc"));
            is_jsonrpc |= version.is_some_and(|version| version.is("2.0"));
        })
    });
    matches!(read, Ok(Ok(_))) && !is_jsonrpc
}

#[cfg(test)]
mod tests {
    use super::{IdFinder, Interrupt, ids_on};

    #[test]
    fn the_ids_of_all_messages_on_a_line_are_found() {
        let rows: [(&str, &[&str]); 27] = [
            (r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, &["7"]),
            (r#"{"jsonrpc":"2.0","id":7,"result":{"#, &["7"]),
            (r#"{"jsonrpc":"2.0","id" : "a\"b" ,"error":1,}"#, &[r#""a\"b""#]),
            (r#"{"jsonrpc":"2.0","id":7"#, &["7"]),
            (r#"{"jsonrpc":"2.0","result":{"id":8},"id":7}"#, &["7"]),
            ("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}", &["7"]),
            (
                r#"{"jsonrpc":"2.0","id":7,"result":{}}{"jsonrpc":"2.0","id":8,"result":{}}"#,
                &["7", "8"],
            ),
            (
                r#"{"jsonrpc":"2.0","id":7,"result":{}} done {"jsonrpc":"2.0","id":8,"res"#,
                &["7", "8"],
            ),
            (
                r#"{"jsonrpc":"2.0","result":{},"id":7},{"jsonrpc":"2.0","result":{},"id":-8.5e1}"#,
                &["7", "-8.5e1"],
            ),
            (r#"{"jsonrpc":"2.0","id":7,"id":8,"result":{}}"#, &["7", "8"]),
            (r#"{"jsonrpc":"2.0","ID":7,"result":{}}"#, &["7"]),
            (r#"{"jsonrpc":"2.0","id":7,"method":"x",}"#, &[]),
            (
                r#"{"jsonrpc":"2.0","id":7,"method":"x"}{"jsonrpc":"2.0","id":8,"result":{}}"#,
                &["8"],
            ),
            (r#"{"jsonrpc":"2.0","id":7,"method":"x","result":{}}"#, &["7"]),
            (r#"{"level":"info","id":7}{"jsonrpc":"2.0","id":8,"result":{}}"#, &["8"]),
            (r#"{"level":"info","id":7,"x":NaN}"#, &["7"]),
            (r#"{"jsonrpc":"2.0","\u0069d":11,"result":{},}"#, &["11"]),
            (r#"{"jsonrpc":"2.0","\u0049\u0044":11,"result":{},}"#, &["11"]),
            (r#"{"jsonrpc":"2.0","id":11,"\u006dethod":"x",}"#, &[]),
            (r#"{"jsonrpc":"2.0","id":11,"method":"x","r\u0065sult":{},}"#, &["11"]),
            (r#"{"jsonrpc":"2.0","id":11,"method":"x","re\u017fult":{},}"#, &["11"]),
            (r#"{"jsonrpc":"2.0","\\u0069d":11,"\u006":12,"result":{},}"#, &[]),
            (r#"{"x":"id","y":7}x"#, &[]),
            (r#"{"x":"\"id\":7","y":7}x"#, &[]),
            (r#"[{"jsonrpc":"2.0","id":7,"result":{}}]"#, &[]),
            (r#"sent {"jsonrpc":"2.0","id":7,"result":{}}"#, &[]),
            ("", &[]),
        ];
        for (line, ids) in rows {
            let mut found = Vec::new();
            ids_on(line.as_bytes(), &Interrupt::default(), |id| found.push(id.to_owned()));
            assert_eq!(found, ids, "{line}");
            if !line.contains("level") {
                let mut finder = IdFinder::default();
                finder.feed(line.as_bytes());
                assert_eq!(finder.found(), ids, "{line}");
            }
        }
    }
}
