//! The outermost members of a text, however deep the rest goes. A text of brackets costs a bit a level here, where
//! [`super::reader::Reader`] keeps what it needs to compare keys.

use super::reader::{Fault, JsonError};
use super::token::Cursor;
use super::value::{Str, Value};
use crate::engine::interrupt::Interrupt;

/// Proves that `text` is one JSON value with nothing but white space around it. If it is an object, `member` is shown
/// each of its members. `interrupt` ends the reading of a long text.
///
/// # Errors
/// The first place where the text is not JSON, or where the reading ended.
pub fn outline<'a>(
    text: &'a str,
    interrupt: &Interrupt,
    mut member: impl FnMut(Str<'a>, Value<'a>),
) -> Result<Value<'a>, JsonError> {
    let mut levels = Levels::default();
    let is_interrupted = || interrupt.ends(text.len());
    let mut cursor = Cursor::new(text, 0);
    cursor.peek();
    let start = cursor.at();
    if cursor.eat(b'{') {
        if cursor.peek() != Some(b'}') {
            loop {
                let (place, escaped) = cursor.key()?;
                let key =
                    Str::proved(text.get(place.clone()).unwrap_or_default(), place.start, escaped);
                cursor.peek();
                let at = cursor.at();
                cursor = levels.behind_value(cursor, is_interrupted)?;
                member(key, Value::proved_at(text.get(at..cursor.at()).unwrap_or_default(), at));
                if !cursor.eat(b',') {
                    break;
                }
            }
        }
        if !cursor.eat(b'}') {
            return Ok(cursor.expected("`,` or `}`")?);
        }
    } else {
        cursor = levels.behind_value(cursor, is_interrupted)?;
    }
    let end = cursor.at();
    match cursor.peek() {
        Some(_) => Ok(cursor.expected("the end of the text")?),
        None => Ok(Value::proved_at(text.get(start..end).unwrap_or_default(), start)),
    }
}

/// The open objects and arrays: a bit each, which is set for an object.
#[derive(Debug, Default)]
struct Levels {
    words: Vec<u64>,
    depth: usize,
}

impl Levels {
    fn push(&mut self, is_object: bool) {
        let (word, bit) = (self.depth / 64, self.depth % 64);
        if self.words.len() <= word {
            self.words.push(0);
        }
        if let Some(word) = self.words.get_mut(word) {
            *word = *word & !(1 << bit) | u64::from(is_object) << bit;
        }
        self.depth = self.depth.saturating_add(1);
    }

    /// True if the innermost one is an object; `None` if there is none.
    fn innermost(&self) -> Option<bool> {
        let last = self.depth.checked_sub(1)?;
        self.words.get(last / 64).map(|word| word >> (last % 64) & 1 == 1)
    }

    /// Steps over the value that comes next.
    fn behind_value<'a>(
        &mut self,
        mut cursor: Cursor<'a>,
        is_interrupted: impl Fn() -> bool,
    ) -> Result<Cursor<'a>, JsonError> {
        'next: loop {
            if is_interrupted() {
                return Err(JsonError { at: cursor.at(), fault: Fault::Interrupted });
            }
            if self.innermost() == Some(true) {
                cursor.key()?;
            }
            match cursor.peek() {
                Some(b'"') => {
                    cursor.string()?;
                }
                Some(b'-' | b'0'..=b'9') => cursor.number()?,
                Some(open @ (b'{' | b'[')) => {
                    self.push(open == b'{');
                    cursor.bump(1);
                    if !matches!((open, cursor.peek()), (b'{', Some(b'}')) | (b'[', Some(b']'))) {
                        continue;
                    }
                }
                Some(b't') => cursor.word(b"true")?,
                Some(b'f') => cursor.word(b"false")?,
                Some(b'n') => cursor.word(b"null")?,
                _ => cursor.expected("a value")?,
            }
            while let Some(is_object) = self.innermost() {
                match (is_object, cursor.peek()) {
                    (_, Some(b',')) => {
                        cursor.bump(1);
                        continue 'next;
                    }
                    (true, Some(b'}')) | (false, Some(b']')) => {}
                    (true, _) => cursor.expected("`,` or `}`")?,
                    (false, _) => cursor.expected("`,` or `]`")?,
                }
                cursor.bump(1);
                self.depth = self.depth.saturating_sub(1);
            }
            return Ok(cursor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::outline;
    use crate::engine::interrupt::Interrupt;

    #[test]
    fn members_are_shown_at_any_depth_of_the_rest() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let text = format!(r#" {{"a" : {deep},"b":{{"a":[1,{{"c":[]}}]}}, "c":"}}"}} "#);
        let mut keys = Vec::new();
        let whole = outline(&text, &Interrupt::default(), |key, value| {
            keys.push((key.raw(), value.text().len()));
        });
        assert_eq!(keys, [("a", 200_000), ("b", 18), ("c", 3)]);
        assert_eq!(whole.expect("JSON").text(), text.trim());
    }

    #[test]
    fn what_is_not_json_is_told_by_its_place() {
        for (text, at) in [
            ("[1,]", 3),
            ("{\"a\":1,}", 7),
            ("{} x", 3),
            ("[{]", 2),
            ("[1}", 2),
            ("", 0),
            ("[[1],", 5),
        ] {
            assert_eq!(
                outline(text, &Interrupt::default(), |_, _| ()).map_err(|error| error.at).err(),
                Some(at),
                "{text}"
            );
        }
    }
}
