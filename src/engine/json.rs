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
        let floor = self.scratch.open.len();
        loop {
            let entered = self.scalar_or_enter(keys)?;
            if entered && !self.first_in_container()? {
                continue;
            }
            if self.leave_and_advance(floor)? {
                return Ok(self.view(start));
            }
        }
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
                self.scratch.keys.push(key);
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

    /// Reads a scalar, or the opening bracket of a container (then true).
    fn scalar_or_enter(&mut self, keys: KeyRule) -> Result<bool, JsonError> {
        self.skip_space();
        match self.byte() {
            Some(b'"') => {
                self.string()?;
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'{') => {
                self.enter(match keys {
                    KeyRule::Unique => Open::Unique(self.scratch.keys.count()),
                    KeyRule::Any => Open::Object,
                })?;
                return Ok(true);
            }
            Some(b'[') => {
                self.enter(Open::Array)?;
                return Ok(true);
            }
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            _ => return self.expected("a value"),
        }
        Ok(false)
    }

    /// After an opening bracket: true if the container is empty (its closing bracket comes next), else its
    /// first key is read, if it has keys.
    fn first_in_container(&mut self) -> Result<bool, JsonError> {
        match (self.scratch.open.last().copied(), self.peek()) {
            (Some(Open::Array), Some(b']'))
            | (Some(Open::Object | Open::Unique(_)), Some(b'}')) => Ok(true),
            (Some(Open::Array) | None, _) => Ok(false),
            (Some(Open::Object | Open::Unique(_)), _) => self.nested_key().map(|()| false),
        }
    }

    /// After a value: closes what is closed here. True when the depth is back at `floor`; otherwise the
    /// cursor stands before the next value.
    fn leave_and_advance(&mut self, floor: usize) -> Result<bool, JsonError> {
        // A container that has just been found empty stands before its closing bracket, any other value is
        // complete: both go the same way from here.
        while self.scratch.open.len() > floor {
            match (self.scratch.open.last().copied(), self.peek()) {
                (Some(Open::Array), Some(b']')) => {
                    self.bump(1);
                    self.scratch.open.pop();
                }
                (Some(Open::Object | Open::Unique(_)), Some(b'}')) => {
                    self.bump(1);
                    self.leave();
                }
                (Some(Open::Array), Some(b',')) => {
                    self.bump(1);
                    return Ok(false);
                }
                (Some(Open::Object | Open::Unique(_)), Some(b',')) => {
                    self.bump(1);
                    self.nested_key()?;
                    return Ok(false);
                }
                (Some(Open::Array), _) => return self.expected("`,` or `]`"),
                _ => return self.expected("`,` or `}`"),
            }
        }
        Ok(true)
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
            self.scratch.keys.close(base, self.text);
        }
    }

    /// Reads a key inside a value, and its colon.
    fn nested_key(&mut self) -> Result<(), JsonError> {
        let key = self.key()?;
        if let Some(Open::Unique(_)) = self.scratch.open.last() {
            self.scratch.keys.push(key);
        }
        Ok(())
    }

    /// Reads a key and its colon.
    fn key(&mut self) -> Result<Str<'a>, JsonError> {
        if self.peek() != Some(b'"') {
            return self.expected("a key in double quotes");
        }
        let start = self.at.saturating_add(1);
        let escaped = self.string()?;
        let raw = self.text.get(start..self.at.saturating_sub(1)).unwrap_or_default();
        self.skip_space();
        self.eat(b':', "`:`")?;
        Ok(Str::proved(raw, start, escaped))
    }

    /// Reads a string; true if there is an escape in it.
    fn string(&mut self) -> Result<bool, JsonError> {
        let mut escaped = false;
        self.bump(1);
        loop {
            self.bump(plain_run(self.rest()));
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(_) => return self.expected("no raw control character in a string"),
                None => return self.expected("the closing quote of a string"),
            }
            escaped = true;
        }
        self.bump(1);
        Ok(escaped)
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.rest() {
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.bump(2),
            [_, b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|h| h.is_ascii_hexdigit()) => {
                self.bump(6);
            }
            _ => return self.expected("an escape such as `\\n` or `\\u0041`"),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        if self.byte() == Some(b'-') {
            self.bump(1);
        }
        match self.byte() {
            Some(b'0') => self.bump(1),
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.bump(1);
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.bump(1);
            if let Some(b'+' | b'-') = self.byte() {
                self.bump(1);
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let run = self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        if run == 0 {
            return self.expected("a digit");
        }
        self.bump(run);
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Result<(), JsonError> {
        if self.rest().starts_with(word.as_bytes()) {
            self.bump(word.len());
            return Ok(());
        }
        self.expected("a value")
    }

    fn eat(&mut self, byte: u8, what: &'static str) -> Result<(), JsonError> {
        if self.byte() == Some(byte) {
            self.bump(1);
            return Ok(());
        }
        self.expected(what)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.bump(1);
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn bump(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn view(&self, start: usize) -> Value<'a> {
        Value::proved_at(self.text.get(start..self.at).unwrap_or_default(), start)
    }

    fn expected<T>(&self, what: &'static str) -> Result<T, JsonError> {
        Err(JsonError { at: self.at, fault: Fault::Expected(what) })
    }
}
