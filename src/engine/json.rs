//! Strict JSON (RFC 8259), read where it lies: one validating pass over a text that nobody has looked at yet.
//!
//! The reader is iterative (no input can exhaust the stack), counts depth, and notes duplicate keys, compared
//! after unescaping. What it has passed is seen through [`super::value`].

use std::fmt;

use super::keys::Keys;
use super::scan::plain_run;
use super::value::{Str, Value};

/// The deepest nesting that is read; the outermost object is level 1 (SPEC W3).
pub const MAX_DEPTH: usize = 512;

/// Why a text is not the JSON it should be, and the byte at which that shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonError {
    /// Offset of the byte that could not be read, in bytes from the start of the text.
    pub at: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// The ways in which a text can fail to be JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Something else was due here.
    Expected(&'static str),
    /// Nested deeper than the reader allows.
    TooDeep,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Expected(what) => write!(f, "expected {what}"),
            Fault::TooDeep => write!(f, "nested deeper than {MAX_DEPTH} levels"),
        }
    }
}

/// Whether the keys of the objects inside a value must differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRule {
    /// Duplicates are noted in [`Scratch::duplicates`].
    Unique,
    /// Duplicates are nobody's business.
    Any,
}

/// The memory that one pass needs, kept from frame to frame.
#[derive(Debug, Default)]
pub struct Scratch {
    open: Vec<Open>,
    keys: Keys,
}

/// One object or array that has been entered and not left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Array,
    /// An object whose keys are not compared.
    Object,
    /// An object whose keys are, and where they begin in [`Scratch::keys`].
    Unique(u32),
}

impl Scratch {
    /// Where the second key of each duplicate pair begins (its opening quote), in bytes, at most 16 of them.
    #[must_use]
    pub fn duplicates(&self) -> &[usize] {
        self.keys.duplicates()
    }

    /// Forgets the last text, and gives back what only a large one needed.
    fn reset(&mut self) {
        const KEEP: usize = 4096;
        self.open.clear();
        self.open.shrink_to(KEEP);
        self.keys.reset(KEEP);
    }
}

/// A cursor over text that is to be proved JSON.
#[derive(Debug)]
pub struct Reader<'a, 's> {
    text: &'a str,
    /// `at <= text.len()`
    at: usize,
    max_depth: usize,
    scratch: &'s mut Scratch,
}

impl<'a, 's> Reader<'a, 's> {
    /// Starts at the beginning of `text`. Deeper nesting than `max_depth` is an error.
    pub fn new(text: &'a str, max_depth: usize, scratch: &'s mut Scratch) -> Self {
        scratch.reset();
        Reader { text, at: 0, max_depth, scratch }
    }

    /// Proves that the whole text is one value, with nothing but white space around it.
    ///
    /// # Errors
    /// The first place where the text is not JSON, or too deep.
    pub fn document(mut self, keys: KeyRule) -> Result<Value<'a>, JsonError> {
        let value = self.value(keys)?;
        self.end()?;
        Ok(value)
    }

    /// Proves that nothing but white space is left.
    ///
    /// # Errors
    /// Where something is left.
    pub fn end(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.at < self.text.len() { self.expected("the end of the text") } else { Ok(()) }
    }

    /// The first byte of the value that comes next, after white space; `None` at the end of the text.
    pub fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.byte()
    }

    /// Reads one value of any kind.
    ///
    /// # Errors
    /// Where the text is not JSON, or too deep.
    pub fn value(&mut self, keys: KeyRule) -> Result<Value<'a>, JsonError> {
        self.skip_space();
        let start = self.at;
        self.at = self.scratch.value(self.text.as_bytes(), start, keys, self.max_depth)?;
        Ok(self.view(start))
    }

    /// Reads one object member by member: `member` is given each key and must read its value.
    /// The object's own keys are always compared.
    ///
    /// # Errors
    /// Where the text is not JSON, or is no object, or too deep; and whatever `member` returns.
    pub fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Str<'a>) -> Result<(), JsonError>,
    ) -> Result<Value<'a>, JsonError> {
        self.skip_space();
        let start = self.at;
        if self.byte() != Some(b'{') {
            return self.expected("`{`");
        }
        self.enter(Open::Unique(self.scratch.keys.count()))?;
        if self.peek() != Some(b'}') {
            loop {
                let key = self.key()?;
                self.scratch.keys.push(key.raw().as_bytes(), key.start(), key.is_escaped());
                member(self, key)?;
                if self.peek() != Some(b',') {
                    break;
                }
                self.bump(1);
            }
        }
        self.eat(b'}', "`,` or `}`")?;
        self.leave();
        Ok(self.view(start))
    }

    /// Reads one array element by element: `element` must read each.
    ///
    /// # Errors
    /// As [`Reader::object`].
    pub fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), JsonError>,
    ) -> Result<Value<'a>, JsonError> {
        self.skip_space();
        let start = self.at;
        if self.byte() != Some(b'[') {
            return self.expected("`[`");
        }
        self.enter(Open::Array)?;
        if self.peek() != Some(b']') {
            loop {
                element(self)?;
                if self.peek() != Some(b',') {
                    break;
                }
                self.bump(1);
            }
        }
        self.eat(b']', "`,` or `]`")?;
        self.leave();
        Ok(self.view(start))
    }

    /// Steps over an opening bracket.
    fn enter(&mut self, open: Open) -> Result<(), JsonError> {
        if self.scratch.open.len() >= self.max_depth {
            return Err(JsonError { at: self.at, fault: Fault::TooDeep });
        }
        self.scratch.open.push(open);
        self.bump(1);
        Ok(())
    }

    fn leave(&mut self) {
        if let Some(Open::Unique(base)) = self.scratch.open.pop() {
            self.scratch.keys.close(base, self.text.as_bytes());
        }
    }

    /// Reads a key and its colon.
    fn key(&mut self) -> Result<Str<'a>, JsonError> {
        if self.peek() != Some(b'"') {
            return self.expected("a key in double quotes");
        }
        let start = after(self.at, 1);
        let (end, escaped) = string_end(self.text.as_bytes(), self.at)?;
        self.at = end;
        let raw = self.text.get(start..end.saturating_sub(1)).unwrap_or_default();
        self.skip_space();
        self.eat(b':', "`:`")?;
        Ok(Str::proved(raw, start, escaped))
    }

    fn eat(&mut self, byte: u8, what: &'static str) -> Result<(), JsonError> {
        if self.byte() == Some(byte) {
            self.bump(1);
            return Ok(());
        }
        self.expected(what)
    }

    fn skip_space(&mut self) {
        self.at = behind_space(self.text.as_bytes(), self.at);
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn bump(&mut self, bytes: usize) {
        self.at = after(self.at, bytes);
    }

    fn view(&self, start: usize) -> Value<'a> {
        Value::proved_at(self.text.get(start..self.at).unwrap_or_default(), start)
    }

    fn expected<T>(&self, what: &'static str) -> Result<T, JsonError> {
        expected(self.at, what)
    }
}

/// The inner loop. The place in the text is a local here, not a field, and so stays in a register; a large frame
/// takes most of its time in these few functions.
impl Scratch {
    /// Reads one value, which begins at `at`; returns where it ends.
    fn value(
        &mut self,
        text: &[u8],
        mut at: usize,
        keys: KeyRule,
        max_depth: usize,
    ) -> Result<usize, JsonError> {
        let floor = self.open.len();
        let mut inside = Open::Array;
        'value: loop {
            match byte(text, at) {
                b'"' => (at, _) = string_end(text, at)?,
                b'-' | b'0'..=b'9' => at = number_end(text, at)?,
                bracket @ (b'{' | b'[') => {
                    if self.open.len() >= max_depth {
                        return Err(JsonError { at, fault: Fault::TooDeep });
                    }
                    inside = match (bracket, keys) {
                        (b'[', _) => Open::Array,
                        (_, KeyRule::Unique) => Open::Unique(self.keys.count()),
                        (_, KeyRule::Any) => Open::Object,
                    };
                    self.open.push(inside);
                    at = behind_space(text, after(at, 1));
                    match (inside, byte(text, at)) {
                        // It is empty: a value has ended, as it were, before the closing bracket.
                        (Open::Array, b']') | (Open::Object | Open::Unique(_), b'}') => {}
                        (Open::Array, _) => continue 'value,
                        (Open::Object | Open::Unique(_), _) => {
                            at = self.key(text, at, inside)?;
                            continue 'value;
                        }
                    }
                }
                b't' => at = word_end(text, at, b"true")?,
                b'f' => at = word_end(text, at, b"false")?,
                b'n' => at = word_end(text, at, b"null")?,
                _ => return expected(at, "a value"),
            }
            while self.open.len() > floor {
                at = behind_space(text, at);
                match (inside, byte(text, at)) {
                    (Open::Array, b',') => {
                        at = behind_space(text, after(at, 1));
                        continue 'value;
                    }
                    (Open::Object | Open::Unique(_), b',') => {
                        at = self.key(text, behind_space(text, after(at, 1)), inside)?;
                        continue 'value;
                    }
                    (Open::Array, b']') | (Open::Object, b'}') => {}
                    (Open::Unique(base), b'}') => self.keys.close(base, text),
                    (Open::Array, _) => return expected(at, "`,` or `]`"),
                    (Open::Object | Open::Unique(_), _) => return expected(at, "`,` or `}`"),
                }
                at = after(at, 1);
                self.open.pop();
                inside = self.open.last().copied().unwrap_or(Open::Array);
            }
            return Ok(at);
        }
    }

    /// Reads a key, which begins at `at`, and its colon; returns where its value begins.
    fn key(&mut self, text: &[u8], at: usize, inside: Open) -> Result<usize, JsonError> {
        if byte(text, at) != b'"' {
            return expected(at, "a key in double quotes");
        }
        let (end, escaped) = string_end(text, at)?;
        if let Open::Unique(_) = inside {
            let raw = text.get(after(at, 1)..end.saturating_sub(1)).unwrap_or_default();
            self.keys.push(raw, after(at, 1), escaped);
        }
        let colon = behind_space(text, end);
        if byte(text, colon) != b':' {
            return expected(colon, "`:`");
        }
        Ok(behind_space(text, after(colon, 1)))
    }
}

/// The byte at a place; behind the end a NUL, which has no place in JSON.
#[inline]
fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

/// A place further on. Texts are shorter than the address space.
#[inline]
fn after(at: usize, bytes: usize) -> usize {
    at.wrapping_add(bytes)
}

#[inline]
fn behind_space(text: &[u8], mut at: usize) -> usize {
    while let b' ' | b'\t' | b'\n' | b'\r' = byte(text, at) {
        at = after(at, 1);
    }
    at
}

/// Reads a string, whose opening quote is at `at`; returns where it ends, and whether there is an escape in it.
#[inline]
fn string_end(text: &[u8], at: usize) -> Result<(usize, bool), JsonError> {
    let mut at = after(at, 1);
    let mut escaped = false;
    loop {
        at = after(at, plain_run(text.get(at..).unwrap_or_default()));
        match text.get(at) {
            Some(b'"') => return Ok((after(at, 1), escaped)),
            Some(b'\\') => at = escape_end(text, at)?,
            Some(_) => return expected(at, "no raw control character in a string"),
            None => return expected(at, "the closing quote of a string"),
        }
        escaped = true;
    }
}

fn escape_end(text: &[u8], at: usize) -> Result<usize, JsonError> {
    match text.get(at..).unwrap_or_default() {
        [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Ok(after(at, 2)),
        [_, b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|h| h.is_ascii_hexdigit()) => {
            Ok(after(at, 6))
        }
        _ => expected(at, "an escape such as `\\n` or `\\u0041`"),
    }
}

#[inline]
fn number_end(text: &[u8], at: usize) -> Result<usize, JsonError> {
    let mut at = if byte(text, at) == b'-' { after(at, 1) } else { at };
    at = if byte(text, at) == b'0' { after(at, 1) } else { digits_end(text, at)? };
    if byte(text, at) == b'.' {
        at = digits_end(text, after(at, 1))?;
    }
    if let b'e' | b'E' = byte(text, at) {
        at = after(at, 1);
        if let b'+' | b'-' = byte(text, at) {
            at = after(at, 1);
        }
        at = digits_end(text, at)?;
    }
    Ok(at)
}

#[inline]
fn digits_end(text: &[u8], start: usize) -> Result<usize, JsonError> {
    let mut at = start;
    while byte(text, at).is_ascii_digit() {
        at = after(at, 1);
    }
    if at == start { expected(at, "a digit") } else { Ok(at) }
}

#[inline]
fn word_end(text: &[u8], at: usize, word: &[u8]) -> Result<usize, JsonError> {
    if text.get(at..).unwrap_or_default().starts_with(word) {
        return Ok(after(at, word.len()));
    }
    expected(at, "a value")
}

fn expected<T>(at: usize, what: &'static str) -> Result<T, JsonError> {
    Err(JsonError { at, fault: Fault::Expected(what) })
}
