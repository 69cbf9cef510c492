//! Strict JSON (RFC 8259), read where it lies: one validating pass over the text, and views into it.
//!
//! [`Reader`] checks a text that nobody has looked at yet. It is iterative (no input can exhaust the stack),
//! counts depth, and notes duplicate keys, compared after unescaping. [`Value`] and [`Str`] are views of text
//! that a reader has passed; they decode only what is asked of them. Nothing here copies a value.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use super::decimal::Decimal;

/// The deepest nesting that is read; the outermost object is level 1 (SPEC W3).
pub const MAX_DEPTH: usize = 512;

/// Up to this many keys of one object are compared pair by pair; more are sorted by hash.
const FEW_KEYS: usize = 12;

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

/// A stretch of the text, in bytes. Frames are shorter than 4 GiB, so 32 bits do.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

/// The memory that one pass needs, kept from frame to frame.
#[derive(Debug, Default)]
pub struct Scratch {
    open: Vec<Open>,
    /// Keys of the open objects, innermost last: raw text between the quotes.
    keys: Vec<Span>,
    hashed: Vec<(u64, Span)>,
    hasher: RandomState,
    duplicates: Vec<usize>,
}

/// One object or array that has been entered and not left.
#[derive(Debug, Clone, Copy)]
enum Open {
    Array,
    /// `keys` is where this object's keys begin in [`Scratch::keys`]; `None` if they are not compared.
    Object {
        keys: Option<usize>,
    },
}

impl Scratch {
    /// Where the second key of each duplicate pair begins (its opening quote), in bytes, at most 64 of them.
    #[must_use]
    pub fn duplicates(&self) -> &[usize] {
        &self.duplicates
    }

    /// Forgets the last text, and gives back what only a large one needed.
    fn reset(&mut self) {
        const KEEP: usize = 4096;
        self.open.clear();
        self.keys.clear();
        self.hashed.clear();
        self.duplicates.clear();
        self.keys.shrink_to(KEEP);
        self.hashed.shrink_to(KEEP);
        self.open.shrink_to(KEEP);
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
            if entered && !self.first_in_container(keys)? {
                continue;
            }
            if self.leave_and_advance(floor, keys)? {
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
        self.enter(Open::Object { keys: Some(self.scratch.keys.len()) })?;
        if self.peek() != Some(b'}') {
            loop {
                let key = self.key(KeyRule::Unique)?;
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
                let base = (keys == KeyRule::Unique).then_some(self.scratch.keys.len());
                self.enter(Open::Object { keys: base })?;
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
    fn first_in_container(&mut self, keys: KeyRule) -> Result<bool, JsonError> {
        self.skip_space();
        match (self.scratch.open.last(), self.byte()) {
            (Some(Open::Array), Some(b']')) | (Some(Open::Object { .. }), Some(b'}')) => Ok(true),
            (Some(Open::Object { .. }), _) => self.key(keys).map(|_| false),
            _ => Ok(false),
        }
    }

    /// After a value: closes what is closed here. True when the depth is back at `floor`; otherwise the
    /// cursor stands before the next value.
    fn leave_and_advance(&mut self, floor: usize, keys: KeyRule) -> Result<bool, JsonError> {
        // A container that has just been found empty stands before its closing bracket, any other value is
        // complete: both go the same way from here.
        while self.scratch.open.len() > floor {
            self.skip_space();
            match (self.scratch.open.last(), self.byte()) {
                (Some(Open::Array), Some(b']')) | (Some(Open::Object { .. }), Some(b'}')) => {
                    self.bump(1);
                    self.leave();
                }
                (Some(Open::Array), Some(b',')) => {
                    self.bump(1);
                    return Ok(false);
                }
                (Some(Open::Object { .. }), Some(b',')) => {
                    self.bump(1);
                    self.key(keys)?;
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
        if let Some(Open::Object { keys: Some(base) }) = self.scratch.open.pop() {
            self.note_duplicates(base);
            self.scratch.keys.truncate(base);
        }
    }

    /// Reads a key and its colon.
    fn key(&mut self, keys: KeyRule) -> Result<Str<'a>, JsonError> {
        self.skip_space();
        if self.byte() != Some(b'"') {
            return self.expected("a key in double quotes");
        }
        let key = self.string()?;
        if keys == KeyRule::Unique {
            let start = u32::try_from(key.at).unwrap_or(u32::MAX);
            let end = u32::try_from(key.end()).unwrap_or(u32::MAX);
            self.scratch.keys.push(Span { start, end });
        }
        self.skip_space();
        self.eat(b':', "`:`")?;
        Ok(key)
    }

    fn string(&mut self) -> Result<Str<'a>, JsonError> {
        self.bump(1);
        let start = self.at;
        loop {
            self.bump(plain_run(self.rest()));
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(_) => return self.expected("no raw control character in a string"),
                None => return self.expected("the closing quote of a string"),
            }
        }
        let raw = self.text.get(start..self.at).unwrap_or_default();
        self.bump(1);
        Ok(Str { raw, at: start })
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
        Value { text: self.text.get(start..self.at).unwrap_or_default(), at: start }
    }

    fn expected<T>(&self, what: &'static str) -> Result<T, JsonError> {
        Err(JsonError { at: self.at, fault: Fault::Expected(what) })
    }

    /// Compares the keys of the innermost object, which begin at `base`.
    fn note_duplicates(&mut self, base: usize) {
        let Scratch { keys, hashed, hasher, duplicates, .. } = &mut *self.scratch;
        let keys = keys.get(base..).unwrap_or_default();
        let key = |span: Span| Str {
            raw: self.text.get(span.start as usize..span.end as usize).unwrap_or_default(),
            at: span.start as usize,
        };
        if keys.len() <= FEW_KEYS {
            for (nth, &later) in keys.iter().enumerate() {
                let later = key(later);
                if keys.iter().take(nth).any(|&earlier| key(earlier) == later) {
                    note(duplicates, later);
                }
            }
            return;
        }
        // The hash is keyed and random, so no agent can choose keys that collide.
        hashed.clear();
        hashed.extend(keys.iter().map(|&span| (hasher.hash_one(key(span)), span)));
        hashed.sort_unstable_by_key(|&(hash, span)| (hash, span.start));
        for pair in hashed.windows(2) {
            if let [(first, earlier), (second, later)] = *pair
                && first == second
                && key(earlier) == key(later)
            {
                note(duplicates, key(later));
            }
        }
    }
}

fn note(duplicates: &mut Vec<usize>, key: Str<'_>) {
    if duplicates.len() < 64 {
        duplicates.push(key.at.saturating_sub(1));
    }
}

/// How many bytes from the start may stand in a string as they are: no quote, backslash or control character.
fn plain_run(bytes: &[u8]) -> usize {
    const LANES: usize = 16;
    let special = |b: u8| b < 0x20 || b == b'"' || b == b'\\';
    let (chunks, _) = bytes.as_chunks::<LANES>();
    // Without a branch in the inner loop this compiles to a handful of vector instructions.
    let plain = chunks
        .iter()
        .take_while(|chunk| !chunk.iter().fold(false, |found, &b| found | special(b)))
        .count()
        .saturating_mul(LANES);
    let tail = bytes.get(plain..).unwrap_or_default();
    plain.saturating_add(tail.iter().position(|&b| special(b)).unwrap_or(tail.len()))
}

/// One JSON value: a view of text that a [`Reader`] has passed.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    text: &'a str,
    at: usize,
}

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as it is spelt.
    Number(Decimal<'a>),
    /// A string, not yet unescaped.
    String(Str<'a>),
    /// See [`Value::elements`].
    Array,
    /// See [`Value::members`].
    Object,
}

impl<'a> Value<'a> {
    /// A view of a text that is known to be one value, and nothing else.
    pub(crate) fn proved(text: &'a str) -> Self {
        Value { text, at: 0 }
    }

    /// The value's own text, without the white space around it.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.text
    }

    /// Where the value begins, in bytes from the start of the text that was read.
    #[must_use]
    pub fn start(self) -> usize {
        self.at
    }

    /// Where the value ends: the offset of the first byte behind it.
    #[must_use]
    pub fn end(self) -> usize {
        self.at.saturating_add(self.text.len())
    }

    /// What the value is.
    #[must_use]
    pub fn kind(self) -> Kind<'a> {
        match self.text.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String(self.unquoted()),
            Some(b't') => Kind::Bool(true),
            Some(b'f') => Kind::Bool(false),
            Some(b'-' | b'0'..=b'9') => Kind::Number(Decimal::read(self.text)),
            _ => Kind::Null,
        }
    }

    /// The string, if the value is one.
    #[must_use]
    pub fn as_str(self) -> Option<Str<'a>> {
        self.text.starts_with('"').then(|| self.unquoted())
    }

    /// True if the value is an object.
    #[must_use]
    pub fn is_object(self) -> bool {
        self.text.starts_with('{')
    }

    /// The members of an object in their order; nothing for any other value.
    #[must_use]
    pub fn members(self) -> Members<'a> {
        Members { walk: Walk::inside(self, '{') }
    }

    /// The elements of an array in their order; nothing for any other value.
    #[must_use]
    pub fn elements(self) -> Elements<'a> {
        Elements { walk: Walk::inside(self, '[') }
    }

    /// The value of the member `key`, if this is an object that has it.
    #[must_use]
    pub fn member(self, key: &str) -> Option<Value<'a>> {
        self.members().find(|member| member.key.is(key)).map(|member| member.value)
    }

    fn unquoted(self) -> Str<'a> {
        let raw = self.text.get(1..self.text.len().saturating_sub(1)).unwrap_or_default();
        Str { raw, at: self.at.saturating_add(1) }
    }
}

/// One `"key": value` of an object.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// The key.
    pub key: Str<'a>,
    /// Its value.
    pub value: Value<'a>,
}

/// See [`Value::members`].
#[derive(Debug, Clone)]
pub struct Members<'a> {
    walk: Walk<'a>,
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let key = self.walk.next()?.unquoted();
        let value = self.walk.next()?;
        Some(Member { key, value })
    }
}

/// See [`Value::elements`].
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    walk: Walk<'a>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.walk.next()
    }
}

/// Goes from value to value inside a container of text that has been proved JSON. Keys count as values here.
#[derive(Debug, Clone)]
struct Walk<'a> {
    rest: &'a str,
    at: usize,
}

impl<'a> Walk<'a> {
    fn inside(value: Value<'a>, bracket: char) -> Self {
        Walk {
            rest: value.text.strip_prefix(bracket).unwrap_or_default(),
            at: value.at.saturating_add(1),
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
        self.at = self.at.saturating_add(bytes);
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let between = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':');
        self.advance(self.rest.bytes().take_while(between).count());
        let text = self.rest.get(..proved_value_len(self.rest.as_bytes())).unwrap_or_default();
        if text.is_empty() {
            return None;
        }
        let value = Value { text, at: self.at };
        self.advance(text.len());
        Some(value)
    }
}

/// The length of the value at the start of proved text; 0 at a closing bracket and at the end.
fn proved_value_len(bytes: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0_usize;
    while let Some(&byte) = bytes.get(at) {
        let step = match byte {
            b'"' => proved_string_len(bytes.get(at..).unwrap_or_default()),
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                1
            }
            b'}' | b']' => {
                if depth == 0 {
                    return 0;
                }
                depth = depth.saturating_sub(1);
                1
            }
            _ if depth > 0 => 1,
            _ => {
                let ends = |b: &u8| matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
                return bytes.iter().position(ends).unwrap_or(bytes.len());
            }
        };
        at = at.saturating_add(step);
        if depth == 0 {
            return at;
        }
    }
    at
}

/// The length of the string at the start of proved text, with both quotes.
fn proved_string_len(bytes: &[u8]) -> usize {
    let mut at = 1_usize;
    while let Some(found) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at = at.saturating_add(found);
        if bytes.get(at) == Some(&b'"') {
            return at.saturating_add(1);
        }
        at = at.saturating_add(2);
    }
    bytes.len()
}

/// A JSON string: its text between the quotes, not yet unescaped. Equality is that of the decoded strings.
#[derive(Debug, Clone, Copy)]
pub struct Str<'a> {
    raw: &'a str,
    at: usize,
}

impl<'a> Str<'a> {
    /// Where the text between the quotes begins, in bytes from the start of the text that was read.
    #[must_use]
    pub fn start(self) -> usize {
        self.at
    }

    /// True if the decoded string is exactly `text`.
    #[must_use]
    pub fn is(self, text: &str) -> bool {
        if self.is_plain() {
            self.raw == text
        } else {
            self.units().eq(text.chars().map(u32::from))
        }
    }

    /// The string as Unicode text, or `None` if it has a lone surrogate and so is none.
    #[must_use]
    pub fn decode(self) -> Option<Cow<'a, str>> {
        if self.is_plain() {
            return Some(Cow::Borrowed(self.raw));
        }
        self.units().map(char::from_u32).collect::<Option<String>>().map(Cow::Owned)
    }

    /// The string for people: a lone surrogate becomes U+FFFD.
    #[must_use]
    pub fn decode_lossy(self) -> Cow<'a, str> {
        if self.is_plain() {
            return Cow::Borrowed(self.raw);
        }
        self.units()
            .map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    }

    /// The text between the quotes, escapes and all.
    #[must_use]
    pub fn raw(self) -> &'a str {
        self.raw
    }

    /// The decoded code points; lone surrogates are passed on as what they are.
    pub(crate) fn units(self) -> Units<'a> {
        Units { rest: self.raw }
    }

    fn is_plain(self) -> bool {
        memchr::memchr(b'\\', self.raw.as_bytes()).is_none()
    }

    fn end(self) -> usize {
        self.at.saturating_add(self.raw.len())
    }
}

impl PartialEq for Str<'_> {
    fn eq(&self, other: &Self) -> bool {
        if self.is_plain() && other.is_plain() {
            return self.raw == other.raw;
        }
        self.units().eq(other.units())
    }
}

impl Hash for Str<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.wtf8());
    }
}

impl<'a> Str<'a> {
    /// The decoded bytes: UTF-8, in which a lone surrogate takes three bytes of its own (WTF-8). Two strings
    /// are equal exactly if these are.
    pub(crate) fn wtf8(self) -> Cow<'a, [u8]> {
        if self.is_plain() {
            return Cow::Borrowed(self.raw.as_bytes());
        }
        let mut bytes = Vec::with_capacity(self.raw.len());
        for unit in self.units() {
            match char::from_u32(unit) {
                Some(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => bytes.extend([0xED, 0x80 | low6(unit >> 6), 0x80 | low6(unit)]),
            }
        }
        Cow::Owned(bytes)
    }
}

fn low6(unit: u32) -> u8 {
    u8::try_from(unit & 0x3F).unwrap_or_default()
}

/// Decodes the text of a string code point by code point.
#[derive(Debug, Clone)]
pub(crate) struct Units<'a> {
    rest: &'a str,
}

impl Iterator for Units<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let mut chars = self.rest.chars();
        let first = chars.next()?;
        if first != '\\' {
            self.rest = chars.as_str();
            return Some(u32::from(first));
        }
        let escape = chars.next()?;
        self.rest = chars.as_str();
        let unit = match escape {
            'b' => 0x08,
            'f' => 0x0C,
            'n' => 0x0A,
            'r' => 0x0D,
            't' => 0x09,
            'u' => self.hex()?,
            other => u32::from(other),
        };
        Some(self.paired(unit))
    }
}

impl Units<'_> {
    /// Joins a high surrogate with the low one that follows it, if one does.
    fn paired(&mut self, unit: u32) -> u32 {
        let ahead =
            self.rest.strip_prefix("\\u").and_then(|rest| rest.get(..4)).and_then(parse_hex);
        match (unit, ahead) {
            (high @ 0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
                self.rest = self.rest.get(6..).unwrap_or_default();
                0x1_0000_u32.wrapping_add((high & 0x3FF) << 10 | low & 0x3FF)
            }
            _ => unit,
        }
    }

    fn hex(&mut self) -> Option<u32> {
        let unit = self.rest.get(..4).and_then(parse_hex)?;
        self.rest = self.rest.get(4..).unwrap_or_default();
        Some(unit)
    }
}

fn parse_hex(digits: &str) -> Option<u32> {
    u32::from_str_radix(digits, 16).ok()
}
