//! An independent JSON parser: `serde_json`, which shares no code with the engine.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A decoded string. A lone surrogate takes three bytes of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

/// An object as written: decoded keys, each with the text of its value.
#[derive(Debug)]
pub(crate) struct Members<'a>(pub(crate) Vec<(Bytes, &'a str)>);

/// An array as written: the text of each element.
#[derive(Debug)]
pub(crate) struct Elements<'a>(pub(crate) Vec<&'a str>);

/// True if `line` is one JSON value in UTF-8.
pub(crate) fn is_json(line: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(line).is_ok()
}

/// The members of an object; `None` if the text is not an object.
pub(crate) fn members(text: &str) -> Option<Members<'_>> {
    // Keys are read as bytes, which accepts control characters too.
    is_json(text.as_bytes()).then(|| serde_json::from_str(text).ok())?
}

/// The elements of an array; `None` if the text is not an array.
pub(crate) fn elements(text: &str) -> Option<Elements<'_>> {
    serde_json::from_str(text).ok()
}

/// A decoded string; `None` if the text is not a string.
pub(crate) fn string(text: &str) -> Option<Bytes> {
    let is_string = text.starts_with('"') && is_json(text.as_bytes());
    is_string.then(|| serde_json::from_str(text).ok())?
}

/// A string of Unicode text; `None` if `text` is not a string, or contains a lone surrogate.
pub(crate) fn unicode(text: &str) -> Option<String> {
    String::from_utf8(string(text)?.0).ok()
}

/// The nesting depth of a JSON text; a scalar has depth 0.
pub(crate) fn depth(text: &str) -> usize {
    let (mut open, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' if !in_string => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// True if an object in `text`, at any depth, has duplicate keys.
pub(crate) fn has_duplicates(text: &str) -> bool {
    match members(text) {
        Some(members) => {
            members.has_duplicates() || members.0.iter().any(|(_, value)| has_duplicates(value))
        }
        None => elements(text)
            .is_some_and(|elements| elements.0.iter().any(|element| has_duplicates(element))),
    }
}

impl<'a> Members<'a> {
    /// The value of the last member with this key.
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(name, _)| name.0 == key.as_bytes()).map(|(_, value)| *value)
    }

    /// True if this object itself has duplicate keys.
    pub(crate) fn has_duplicates(&self) -> bool {
        let mut seen = HashSet::new();
        !self.0.iter().all(|(key, _)| seen.insert(key))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Decoded;
        impl Visitor<'_> for Decoded {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        // `serde_json` accepts lone surrogates when it reads bytes.
        deserializer.deserialize_bytes(Decoded)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<Bytes, &RawValue>()? {
                    members.push((key, value.get()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Elements<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Elements<'de>, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element::<&RawValue>()? {
                    elements.push(element.get());
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Array)
    }
}
