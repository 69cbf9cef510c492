//! Views of JSON text that a [`super::reader::Reader`] has validated. They decode a value only when it is used, and
//! copy nothing.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use super::decimal::Decimal;
use super::token::plain_run;
use crate::engine::text::name::same_but_for_case;

/// One JSON value.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    text: &'a str,
    at: usize,
}

/// A value by its type.
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

/// The types of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Type {
    /// All types.
    pub const ALL: [Type; 6] =
        [Type::Null, Type::Bool, Type::Number, Type::String, Type::Array, Type::Object];

    /// The bit of this type in a set of types.
    pub(in crate::engine) const fn bit(self) -> u8 {
        match self {
            Type::Null => 1,
            Type::Bool => 2,
            Type::Number => 4,
            Type::String => 8,
            Type::Array => 16,
            Type::Object => 32,
        }
    }

    /// The type in messages, with its article.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Type::Null => "null",
            Type::Bool => "a boolean",
            Type::Number => "a number",
            Type::String => "a string",
            Type::Array => "an array",
            Type::Object => "an object",
        }
    }
}

impl<'a> Value<'a> {
    /// A view of a text that is known to be exactly one value.
    pub(in crate::engine) fn proved(text: &'a str) -> Self {
        Value { text, at: 0 }
    }

    /// The same for a part of a larger text; `at` is the part's first byte in that text.
    pub(in crate::engine) fn proved_at(text: &'a str, at: usize) -> Self {
        Value { text, at }
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

    /// The type of the value. Reads only the first byte, however long the value is.
    #[must_use]
    pub fn of_type(self) -> Type {
        match self.text.as_bytes().first() {
            Some(b'{') => Type::Object,
            Some(b'[') => Type::Array,
            Some(b'"') => Type::String,
            Some(b't' | b'f') => Type::Bool,
            Some(b'-' | b'0'..=b'9') => Type::Number,
            _ => Type::Null,
        }
    }

    /// The value by its type.
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
        self.is_string().then(|| self.unquoted())
    }

    /// True if the value is a string.
    #[must_use]
    pub fn is_string(self) -> bool {
        self.text.starts_with('"')
    }

    /// True if the value is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.text.starts_with('n')
    }

    /// True if the value is a number.
    #[must_use]
    pub fn is_number(self) -> bool {
        self.text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
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
        let escaped = memchr::memchr(b'\\', raw.as_bytes()).is_some();
        Str { raw, at: self.at.saturating_add(1), escaped }
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

impl<'a> Elements<'a> {
    /// The elements of an array in validated JSON, starting at byte `at` of `text`.
    pub(in crate::engine) fn behind(text: &'a str, at: usize) -> Self {
        Elements { walk: Walk { rest: text.get(at..).unwrap_or_default(), at } }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.walk.next()
    }
}

/// Steps from value to value inside a container of validated JSON. Keys count as values here.
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

/// The length of the value at the start of validated text; 0 at a closing bracket and at the end.
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

/// The length of the string at the start of validated text, with both quotes.
pub(in crate::engine) fn proved_string_len(bytes: &[u8]) -> usize {
    let mut at = 1_usize;
    while let Some(rest) = bytes.get(at..) {
        // Escapes usually come in runs.
        if rest.first() != Some(&b'\\') {
            at = at.saturating_add(plain_run(rest));
        }
        match bytes.get(at) {
            Some(b'"') => return at.saturating_add(1),
            Some(_) => at = at.saturating_add(2),
            None => break,
        }
    }
    bytes.len()
}

/// A JSON string: its text between the quotes, not yet unescaped. Equality is that of the decoded strings.
#[derive(Debug, Clone, Copy)]
pub struct Str<'a> {
    raw: &'a str,
    at: usize,
    /// The text contains a backslash.
    escaped: bool,
}

impl<'a> Str<'a> {
    /// A view of the text between the quotes of a string; `at` is its first byte in the text that was read.
    pub(in crate::engine) fn proved(raw: &'a str, at: usize, escaped: bool) -> Self {
        Str { raw, at, escaped }
    }

    /// Where the text between the quotes begins, in bytes from the start of the text that was read.
    #[must_use]
    pub fn start(self) -> usize {
        self.at
    }

    /// True if the decoded string is exactly `text`.
    #[must_use]
    #[inline]
    pub fn is(self, text: &str) -> bool {
        if self.escaped { self.decodes_to(text) } else { self.raw == text }
    }

    #[cold]
    #[inline(never)]
    fn decodes_to(self, text: &str) -> bool {
        self.units().eq(text.chars().map(u32::from))
    }

    /// True if the decoded string differs from `text` by case at most, as [`same_but_for_case`] says.
    #[must_use]
    pub fn resembles(self, text: &str) -> bool {
        /// Bytes for each byte of `text`: an escape of six bytes stands for at least one byte, and case folding changes
        /// the length by a factor of at most twelve.
        const WIDEST: usize = 72;
        let (Some(first), Some(wanted)) = (self.raw.bytes().next(), text.bytes().next()) else {
            return self.raw.is_empty() && text.is_empty();
        };
        let may_differ = first == b'\\' || !first.is_ascii() || !wanted.is_ascii();
        if !may_differ && !first.eq_ignore_ascii_case(&wanted)
            || self.raw.len() > text.len().saturating_mul(WIDEST)
        {
            return false;
        }
        same_but_for_case(&self.decode_lossy(), text)
    }

    /// True if the decoded string has more than `bytes` bytes. Strings far longer than that are not decoded.
    #[must_use]
    pub fn is_longer_than(self, bytes: usize) -> bool {
        if !self.escaped {
            return self.raw.len() > bytes;
        }
        self.raw.len() > bytes.saturating_mul(6) || self.decode_lossy().len() > bytes
    }

    /// The string as Unicode text; `None` if it contains a lone surrogate.
    #[must_use]
    pub fn decode(self) -> Option<Cow<'a, str>> {
        if !self.escaped {
            return Some(Cow::Borrowed(self.raw));
        }
        self.units().map(char::from_u32).collect::<Option<String>>().map(Cow::Owned)
    }

    /// The string for display: a lone surrogate becomes U+FFFD.
    #[must_use]
    pub fn decode_lossy(self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        self.units()
            .map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    }

    /// The raw text between the quotes, with its escapes.
    #[must_use]
    pub fn raw(self) -> &'a str {
        self.raw
    }

    /// The decoded code points. Lone surrogates are passed on unchanged.
    pub(crate) fn units(self) -> Units<'a> {
        Units { rest: self.raw }
    }

    /// True if the text contains an escape.
    pub(in crate::engine) fn is_escaped(self) -> bool {
        self.escaped
    }
}

impl PartialEq for Str<'_> {
    fn eq(&self, other: &Self) -> bool {
        if !self.escaped && !other.escaped {
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
    /// The decoded bytes: UTF-8, in which a lone surrogate takes three bytes of its own (WTF-8). Two strings are equal
    /// if and only if these bytes are equal.
    pub(crate) fn wtf8(self) -> Cow<'a, [u8]> {
        if !self.escaped {
            return Cow::Borrowed(self.raw.as_bytes());
        }
        let mut bytes = Vec::with_capacity(self.raw.len());
        self.wtf8_in_pieces(&mut |piece| bytes.extend_from_slice(piece));
        Cow::Owned(bytes)
    }

    /// The same bytes, passed to `show` piece by piece: a string may be as long as a frame.
    pub(in crate::engine) fn wtf8_in_pieces(self, show: &mut impl FnMut(&[u8])) {
        if !self.escaped {
            return show(self.raw.as_bytes());
        }
        for unit in self.units() {
            match char::from_u32(unit) {
                Some(c) => show(c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => show(&[0xED, 0x80 | low6(unit >> 6), 0x80 | low6(unit)]),
            }
        }
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
    /// Joins a high surrogate with the low surrogate that follows it, if there is one.
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
