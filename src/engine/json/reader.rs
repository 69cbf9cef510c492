//! Strict JSON (RFC 8259), read in place: one validating pass over an untrusted text.
//!
//! The reader is iterative (no input can exhaust the stack), counts depth, and notes duplicate keys, compared after
//! unescaping. [`super::value`] provides views of what it has validated.

use std::fmt;

use super::keys::{KeySet, Keys, MAX_COMPARED};
use super::token::{Cursor, Expected};
use super::value::{Str, Value};
use crate::engine::interrupt::Interrupt;

/// The deepest nesting allowed; the outermost object is level 1 (contract W3).
pub const MAX_DEPTH: usize = 512;

/// Why a text is not JSON, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonError {
    /// Offset of the byte that could not be read, from the start of the text.
    pub at: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// The ways in which a text can fail to be JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The reader expected this instead.
    Expected(&'static str),
    /// The text nests deeper than the reader allows.
    TooDeep,
    /// The text has more keys than the reader compares (contract W8).
    TooManyKeys,
    /// The reader was interrupted ([`Scratch::interrupt`]); the text may be valid.
    Interrupted,
}

impl From<Expected> for JsonError {
    fn from(Expected { at, what }: Expected) -> Self {
        JsonError { at, fault: Fault::Expected(what) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Expected(what) => write!(f, "expected {what}"),
            Fault::TooDeep => write!(f, "nested deeper than {MAX_DEPTH} levels"),
            Fault::TooManyKeys => write!(f, "over {MAX_COMPARED} keys that must differ"),
            Fault::Interrupted => f.write_str("callgate is told to stop"),
        }
    }
}

/// Whether the keys of the objects inside a value must differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRule {
    /// Duplicates are noted in [`Scratch::duplicates`].
    Unique,
    /// Duplicates are noted among the keys of each element of the value, an array, but not further inside.
    OfElements,
    /// Duplicates are ignored.
    Any,
}

impl KeyRule {
    /// True if the keys of an object at this level are compared; `elements` is the level of objects in the value itself.
    #[inline]
    fn compares_at(self, level: usize, elements: usize) -> bool {
        match self {
            KeyRule::Unique => true,
            KeyRule::OfElements => level == elements,
            KeyRule::Any => false,
        }
    }
}

/// The memory that one pass needs, reused from frame to frame.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The objects and arrays around the innermost one, outermost first.
    around: Vec<Inside>,
    keys: Keys,
    /// A key, at any depth, resembles [`INPUT_REQUESTS`].
    has_input_requests: bool,
    interrupt: Interrupt,
}

/// The key under which a server asks the client to run methods (MCP 2026-07-28). The reader watches for it because it
/// may stand at any depth (contract P15).
pub const INPUT_REQUESTS: &str = "inputRequests";

/// What encloses the value being read.
#[derive(Debug, Clone, Copy)]
enum Inside {
    /// No object or array that this call opened.
    Nothing,
    Array,
    Object(KeySet),
}

impl Scratch {
    /// Where the second key of each duplicate pair begins (its opening quote), in bytes, at most 16 of them.
    #[must_use]
    pub fn duplicates(&self) -> &[usize] {
        self.keys.duplicates()
    }

    /// True if a key at any depth of the text is `inputRequests`, in any case.
    #[must_use]
    pub fn has_input_requests(&self) -> bool {
        self.has_input_requests
    }

    /// The flag that interrupts the reading of a long text.
    #[must_use]
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Clears what belongs to the last text, and frees memory that only a large text needed.
    fn reset(&mut self) {
        const KEEP: usize = 4096;
        self.has_input_requests = false;
        self.around.clear();
        self.around.shrink_to(KEEP);
        self.keys.reset(KEEP);
    }
}

/// A reader of unvalidated text.
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
        match self.peek() {
            Some(_) => Ok(self.cursor().expected("the end of the text")?),
            // The keys of an interrupted text were not compared.
            None => self.go_on(self.cursor()),
        }
    }

    /// The first byte of the value that comes next, after white space; `None` at the end of the text.
    pub fn peek(&mut self) -> Option<u8> {
        let mut cursor = self.cursor();
        let next = cursor.peek();
        self.at = cursor.at();
        next
    }

    /// Reads one value of any kind.
    ///
    /// # Errors
    /// Where the text is not JSON, or too deep.
    pub fn value(&mut self, rule: KeyRule) -> Result<Value<'a>, JsonError> {
        let mut cursor = self.cursor();
        cursor.peek();
        let start = cursor.at();
        let elements = self.scratch.around.len().saturating_add(2);
        let mut inside = Inside::Nothing;
        // Each iteration reads one element, or one member with its key, and then closes every container that ends
        // behind it.
        'next: loop {
            self.go_on(cursor)?;
            match &mut inside {
                Inside::Nothing | Inside::Array => {}
                Inside::Object(keys) => {
                    cursor.peek();
                    let known = self.scratch.keys.again(keys, self.text.as_bytes(), cursor.rest());
                    if known > 0 {
                        cursor.bump(known);
                        cursor.colon()?;
                    } else {
                        (cursor, *keys) = self.another_key(cursor, *keys)?;
                    }
                }
            }
            match cursor.peek() {
                Some(b'"') => {
                    cursor.string()?;
                }
                Some(b'-' | b'0'..=b'9') => cursor.number()?,
                Some(b'{') => {
                    self.enter(cursor, inside)?;
                    cursor.bump(1);
                    let level = self.scratch.around.len();
                    let compares = rule.compares_at(level, elements);
                    inside = Inside::Object(self.scratch.keys.enter_at(level, compares));
                    if cursor.peek() != Some(b'}') {
                        continue;
                    }
                }
                Some(b'[') => {
                    self.enter(cursor, inside)?;
                    cursor.bump(1);
                    inside = Inside::Array;
                    if cursor.peek() != Some(b']') {
                        continue;
                    }
                }
                Some(b't') => cursor.word(b"true")?,
                Some(b'f') => cursor.word(b"false")?,
                Some(b'n') => cursor.word(b"null")?,
                _ => cursor.expected("a value")?,
            }
            loop {
                if let Inside::Nothing = inside {
                    self.at = cursor.at();
                    return Ok(self.view(start));
                }
                match (inside, cursor.peek()) {
                    (_, Some(b',')) => {
                        cursor.bump(1);
                        continue 'next;
                    }
                    (Inside::Array, Some(b']')) => {}
                    (Inside::Object(keys), Some(b'}')) => self.close(keys),
                    (Inside::Array, _) => cursor.expected("`,` or `]`")?,
                    _ => cursor.expected("`,` or `}`")?,
                }
                cursor.bump(1);
                inside = self.scratch.around.pop().unwrap_or(Inside::Nothing);
            }
        }
    }

    /// Reads one object member by member: `member` receives each key and must read its value. The object's own keys are
    /// always compared.
    ///
    /// # Errors
    /// Where the text is not JSON, or is no object, or too deep; and whatever `member` returns.
    pub fn object(
        &mut self,
        member: impl FnMut(&mut Self, Str<'a>) -> Result<(), JsonError>,
    ) -> Result<Value<'a>, JsonError> {
        self.object_of(true, member)
    }

    /// As [`Reader::object`], without comparing the object's own keys.
    ///
    /// # Errors
    /// As [`Reader::object`].
    pub fn open_object(
        &mut self,
        member: impl FnMut(&mut Self, Str<'a>) -> Result<(), JsonError>,
    ) -> Result<Value<'a>, JsonError> {
        self.object_of(false, member)
    }

    #[inline]
    fn object_of(
        &mut self,
        compared: bool,
        mut member: impl FnMut(&mut Self, Str<'a>) -> Result<(), JsonError>,
    ) -> Result<Value<'a>, JsonError> {
        if self.peek() != Some(b'{') {
            return Ok(self.cursor().expected("`{`")?);
        }
        let start = self.at;
        self.enter(self.cursor(), Inside::Nothing)?;
        let mut keys = self.scratch.keys.enter();
        let mut cursor = self.cursor();
        cursor.bump(1);
        if cursor.peek() != Some(b'}') {
            loop {
                self.go_on(cursor)?;
                let key = self.key(&mut cursor)?;
                if compared {
                    self.scratch.keys.push(&mut keys, key, self.text);
                    self.bound_keys(cursor)?;
                }
                self.at = cursor.at();
                member(self, key)?;
                cursor = self.cursor();
                if !cursor.eat(b',') {
                    break;
                }
            }
        }
        if !cursor.eat(b'}') {
            cursor.expected("`,` or `}`")?;
        }
        self.at = cursor.at();
        self.close(keys);
        self.scratch.around.pop();
        Ok(self.view(start))
    }

    /// Compares the keys of an object that ends. This may take long, so an interrupt skips it.
    #[inline]
    fn close(&mut self, keys: KeySet) {
        if !self.scratch.interrupt.ends(self.text.len()) {
            self.scratch.keys.close(keys, self.text);
        }
    }

    /// Fails if the reading of a long text is interrupted.
    #[inline]
    fn go_on(&self, cursor: Cursor<'a>) -> Result<(), JsonError> {
        if self.scratch.interrupt.ends(self.text.len()) {
            return Err(JsonError { at: cursor.at(), fault: Fault::Interrupted });
        }
        Ok(())
    }

    /// Enters one more level: the container at the cursor stands in `around`.
    #[inline]
    fn enter(&mut self, cursor: Cursor<'a>, around: Inside) -> Result<(), JsonError> {
        if self.scratch.around.len() >= self.max_depth {
            return Err(JsonError { at: cursor.at(), fault: Fault::TooDeep });
        }
        self.scratch.around.push(around);
        Ok(())
    }

    /// Reads a key that differs from the previous object's key in that place, and its colon.
    #[inline(never)]
    fn another_key(
        &mut self,
        mut cursor: Cursor<'a>,
        keys: KeySet,
    ) -> Result<(Cursor<'a>, KeySet), JsonError> {
        let key = self.key(&mut cursor)?;
        let keys = self.scratch.keys.push_other(keys, key, self.text);
        self.bound_keys(cursor)?;
        Ok((cursor, keys))
    }

    /// Fails if there are more keys to compare than one text may have.
    #[inline]
    fn bound_keys(&self, cursor: Cursor<'a>) -> Result<(), JsonError> {
        if self.scratch.keys.are_too_many() {
            return Err(JsonError { at: cursor.at(), fault: Fault::TooManyKeys });
        }
        Ok(())
    }

    /// Reads a key and its colon.
    #[inline]
    fn key(&mut self, cursor: &mut Cursor<'a>) -> Result<Str<'a>, JsonError> {
        let (place, escaped) = cursor.key()?;
        let start = place.start;
        let key = Str::proved(self.text.get(place).unwrap_or_default(), start, escaped);
        // Keys found by `Keys::again` skip this check: the same bytes passed it before, and no spelling is shorter.
        if key.raw().len() >= INPUT_REQUESTS.len() && !self.scratch.has_input_requests {
            self.scratch.has_input_requests = key.resembles(INPUT_REQUESTS);
        }
        Ok(key)
    }

    fn cursor(&self) -> Cursor<'a> {
        Cursor::new(self.text, self.at)
    }

    fn view(&self, start: usize) -> Value<'a> {
        Value::proved_at(self.text.get(start..self.at).unwrap_or_default(), start)
    }
}
