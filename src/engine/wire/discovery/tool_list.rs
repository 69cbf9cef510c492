//! A server's list of tools as text. The elements are kept as the server wrote them, one after another, so that a list
//! takes little more memory than its bytes, whatever it contains (contract W8).

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The most tools in a list. A policy for more tools would exceed the maximum size of a policy.
pub const MAX_TOOLS: usize = 20_000;

/// Elements of a list; each is an object with a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolList {
    text: String,
    ends: Vec<usize>,
}

impl ToolList {
    /// Adds an element. False if the list is full.
    pub fn push(&mut self, tool: &str) -> bool {
        let has_room = self.ends.len() < MAX_TOOLS;
        if has_room {
            self.text.push_str(tool);
            self.ends.push(self.text.len());
        }
        has_room
    }

    /// The elements, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ranges = starts.zip(self.ends.iter().copied());
        ranges.filter_map(|(start, end)| self.text.get(start..end))
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The names of the tools, each once, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        let names = self.iter().filter_map(name_of);
        names.filter(|name| seen.insert(name.clone())).map(Cow::into_owned).collect()
    }
}

/// The name of an element. An element without a name is not a tool, and `wrap` cuts it from the list too.
#[must_use]
pub fn name_of(tool: &str) -> Option<Cow<'_, str>> {
    text(member(tool, "name")?)
}

/// A page of a list.
#[derive(Debug, Default)]
pub struct ToolPage {
    /// False if the page has more tools than the list has room for.
    pub is_whole: bool,
    /// The cursor of the next page; `None` at the end, which some servers write as `""`.
    pub next_cursor: Option<String>,
}

impl ToolPage {
    /// Reads a `tools/list` result, and adds its tools to a list. `None` if it is not such a result.
    #[must_use]
    pub fn read(result: &str, list: &mut ToolList) -> Option<Self> {
        let tools = member(result, "tools")?;
        let mut is_whole = true;
        elements(tools.get(), |tool| {
            if name_of(tool.get()).is_some() {
                is_whole = is_whole && list.push(tool.get());
            }
        })?;
        let next_cursor = match member(result, "nextCursor") {
            Some(cursor) if cursor.get() != "null" => Some(text(cursor)?.into_owned()),
            _ => None,
        };
        Some(ToolPage { is_whole, next_cursor: next_cursor.filter(|cursor| !cursor.is_empty()) })
    }
}

/// A JSON string, decoded; `None` for anything else.
#[must_use]
pub fn text(json: &RawValue) -> Option<Cow<'_, str>> {
    struct Text;
    impl<'de> Visitor<'de> for Text {
        type Value = Cow<'de, str>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(text))
        }
        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Cow::Owned(text.to_owned()))
        }
    }
    let mut json = serde_json::Deserializer::from_str(json.get());
    json.deserialize_str(Text).ok()
}

/// The value of a member of a JSON object; the last one if the key is repeated.
#[must_use]
pub fn member<'a>(object: &'a str, name: &str) -> Option<&'a RawValue> {
    let mut found = None;
    members(object, |key, value| {
        if key == name {
            found = Some(value);
        }
    })?;
    found
}

/// Passes each member of a JSON object to `each`. `None` if the text is not an object.
pub fn members<'a>(object: &'a str, each: impl FnMut(&str, &'a RawValue)) -> Option<()> {
    struct ObjectVisitor<F>(F);
    impl<'de, F: FnMut(&str, &'de RawValue)> Visitor<'de> for ObjectVisitor<F> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some(BorrowedKey(key)) = map.next_key_seed(BorrowedKey(Cow::Borrowed("")))? {
                (self.0)(&key, map.next_value()?);
            }
            Ok(())
        }
    }
    serde_json::Deserializer::from_str(object).deserialize_map(ObjectVisitor(each)).ok()
}

/// A key, borrowed if it has no escapes.
struct BorrowedKey<'a>(Cow<'a, str>);

impl<'de> DeserializeSeed<'de> for BorrowedKey<'de> {
    type Value = Self;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for BorrowedKey<'de> {
    type Value = Self;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self, E> {
        Ok(BorrowedKey(Cow::Borrowed(key)))
    }
    fn visit_str<E>(self, key: &str) -> Result<Self, E> {
        Ok(BorrowedKey(Cow::Owned(key.to_owned())))
    }
}

/// Passes each element of a JSON array to `each`. `None` if the text is not an array.
fn elements<'a>(array: &'a str, each: impl FnMut(&'a RawValue)) -> Option<()> {
    struct ArrayVisitor<F>(F);
    impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for ArrayVisitor<F> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }
        fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<(), A::Error> {
            while let Some(element) = array.next_element()? {
                (self.0)(element);
            }
            Ok(())
        }
    }
    serde_json::Deserializer::from_str(array).deserialize_seq(ArrayVisitor(each)).ok()
}

#[cfg(test)]
mod tests {
    use super::{MAX_TOOLS, ToolList, ToolPage};

    fn read(result: &str) -> Option<(Vec<String>, Option<String>)> {
        let mut list = ToolList::default();
        let page = ToolPage::read(result, &mut list)?;
        Some((list.names(), page.next_cursor))
    }

    #[test]
    fn a_page_has_the_tools_that_wrap_would_relay() {
        let page = r#"{"tools":[{"name":"a"},7,{"n":1},{"name":1},{"\u006eame":"\u0062"},{"name":"a"}],"nextCursor":"x"}"#;
        assert_eq!(read(page), Some((vec!["a".to_owned(), "b".to_owned()], Some("x".to_owned()))));
        for end in ["", r#","nextCursor":null"#, r#","nextCursor":"""#] {
            assert_eq!(read(&format!(r#"{{"tools":[]{end}}}"#)), Some((Vec::new(), None)), "{end}");
        }
        for none in ["7", "[]", "{}", r#"{"tools":{}}"#, r#"{"tools":[],"nextCursor":7}"#] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn a_list_has_a_maximum_length() {
        let mut list = ToolList::default();
        assert!((0..MAX_TOOLS).all(|_| list.push("{}")));
        assert!(!list.push("{}"));
        assert_eq!((list.len(), list.iter().count()), (MAX_TOOLS, MAX_TOOLS));
    }
}
