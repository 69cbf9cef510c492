//! The outermost members of a text of any depth. Each nested level costs one bit here; [`super::reader::Reader`] needs
//! more, because it compares keys.

use super::reader::{Fault, JsonError};
use super::token::Cursor;
use super::value::{Str, Value};
use crate::engine::interrupt::Interrupt;

/// Proves that `text` is one JSON value with nothing but white space around it. If the value is an object, `member`
/// receives each of its members. `interrupt` ends the reading of a long text.
///
/// # Errors
/// The first place where the text is not JSON, or where the reading was interrupted.
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

/// The open objects and arrays, one bit each; the bit is set for an object.
#[derive(Debug, Default)]
struct Levels {
    /// The bits of the outer levels, in full words.
    outer: Vec<u64>,
    /// The bits of the inner levels; the innermost is the lowest bit.
    inner: u64,
    depth: usize,
}

impl Levels {
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.inner);
        }
        self.inner = self.inner << 1 | u64::from(is_object);
        self.depth = self.depth.saturating_add(1);
    }

    /// Leaves the innermost level. Returns the bit of the level around it, if there is one.
    fn pop(&mut self) -> Option<bool> {
        self.inner >>= 1;
        self.depth = self.depth.saturating_sub(1);
        if self.depth == 0 {
            return None;
        }
        if self.depth.is_multiple_of(64) {
            self.inner = self.outer.pop().unwrap_or_default();
        }
        Some(self.inner & 1 == 1)
    }

    /// Steps over the next value.
    fn behind_value<'a>(
        &mut self,
        mut cursor: Cursor<'a>,
        is_interrupted: impl Fn() -> bool,
    ) -> Result<Cursor<'a>, JsonError> {
        // The type of the innermost level: true for an object.
        let mut inside = None;
        'next: loop {
            if is_interrupted() {
                return Err(JsonError { at: cursor.at(), fault: Fault::Interrupted });
            }
            if inside == Some(true) {
                cursor.key()?;
            }
            match cursor.peek() {
                Some(b'"') => {
                    cursor.string()?;
                }
                Some(b'-' | b'0'..=b'9') => cursor.number()?,
                Some(open @ (b'{' | b'[')) => {
                    self.push(open == b'{');
                    inside = Some(open == b'{');
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
            while let Some(is_object) = inside {
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
                inside = self.pop();
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
    fn members_are_found_beside_deeply_nested_values() {
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
    fn every_level_needs_its_own_closing_bracket() {
        for depth in [1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000] {
            let (opened, closed) = ("[{\"\":".repeat(depth), "}]".repeat(depth));
            let read = |text: &str| outline(text, &Interrupt::default(), |_, _| ()).map(|_| ());
            assert!(read(&format!("{opened}0{closed}")).is_ok(), "{depth}");
            for wrong in 0..closed.len() {
                let mut closed = closed.clone().into_bytes();
                closed[wrong] ^= b']' ^ b'}';
                let closed = String::from_utf8(closed).expect("ASCII");
                let error = read(&format!("{opened}0{closed}")).expect_err("a wrong bracket");
                assert_eq!(error.at, opened.len() + 1 + wrong, "{depth}");
            }
        }
    }

    #[test]
    fn errors_name_the_first_byte_that_is_not_json() {
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
