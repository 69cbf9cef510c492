//! Request ids (contract W3, W4).

use std::borrow::Cow;
use std::ops::Range;

use crate::engine::json::decimal::is_plain_integer;
use crate::engine::json::reader::{KeyRule, MAX_DEPTH, Reader, Scratch};
use crate::engine::json::value::{Kind, Value};

/// The longest request id, in bytes as spelt (contract W3).
pub const MAX_ID_BYTES: usize = 4096;

/// A longer spelling is never an id of at most [`MAX_ID_BYTES`]: an escape of six bytes decodes to at least one byte.
const MAX_SPELLING: usize = 6 * MAX_ID_BYTES + 2;

/// A request id as its sender spells it: a string or a number.
#[derive(Debug, Clone, Copy)]
pub struct RequestId<'a> {
    value: Value<'a>,
}

impl<'a> RequestId<'a> {
    /// `None` if `value` is neither a string nor a number.
    #[must_use]
    pub fn new(value: Value<'a>) -> Option<Self> {
        (value.is_string() || value.is_number()).then_some(RequestId { value })
    }

    /// An id from its spelling, as [`RequestId::raw`] returns it.
    #[must_use]
    pub(crate) fn again(raw: &'a str) -> Self {
        RequestId { value: Value::proved(raw) }
    }

    /// Where the id stands in its line.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.value.start()..self.value.end()
    }

    /// The raw text.
    #[must_use]
    pub fn raw(self) -> &'a str {
        self.value.text()
    }

    /// Equal for equal ids: `1` and `1.0` have the same key, `1` and `"1"` different ones (contract W4). Ids of over 24
    /// KiB are compared by their spelling; none of them is ever in flight.
    #[must_use]
    pub fn key(self) -> Cow<'a, [u8]> {
        if is_plain_integer(self.raw()) || self.raw().len() > MAX_SPELLING {
            return Cow::Borrowed(self.raw().as_bytes());
        }
        match self.value.kind() {
            Kind::String(string) if string.is_escaped() => {
                let mut key = vec![b'"'];
                key.extend_from_slice(&string.wtf8());
                key.push(b'"');
                Cow::Owned(key)
            }
            Kind::Number(number) => Cow::Owned(number.canonical().into_bytes()),
            _ => Cow::Borrowed(self.raw().as_bytes()),
        }
    }
}

impl RequestId<'_> {
    /// The key of the number that this id, a string, spells (contract W4).
    #[must_use]
    pub fn key_of_number_in_string(self) -> Option<Vec<u8>> {
        let text = self.value.as_str().filter(|_| self.raw().len() <= MAX_SPELLING)?.decode()?;
        let number = read_id(&text).filter(|id| id.value.is_number() && id.raw() == text)?;
        Some(number.key().into_owned())
    }
}

/// A value as an id, if it is short enough to be echoed.
pub(super) fn short_id(value: Value<'_>) -> Option<RequestId<'_>> {
    RequestId::new(value).filter(|id| id.raw().len() <= MAX_ID_BYTES)
}

/// Reads an id from a text that holds nothing else.
#[must_use]
pub fn read_id(text: &str) -> Option<RequestId<'_>> {
    let mut scratch = Scratch::default();
    let value = Reader::new(text, MAX_DEPTH, &mut scratch).document(KeyRule::Any).ok()?;
    RequestId::new(value)
}
