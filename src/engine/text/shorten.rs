//! Cuts text to a length. One mark stands for what was cut.

use std::borrow::Cow;

/// The mark for what was cut.
pub const MARK: char = '…';

/// The longest name in a message, in bytes (contract W2).
const MAX_NAME_BYTES: usize = 128;

/// A name in a message, cut after 128 bytes (contract W2). Whoever shows the message escapes it.
#[must_use]
pub fn short_name(name: &str) -> Cow<'_, str> {
    if name.len() <= MAX_NAME_BYTES {
        return Cow::Borrowed(name);
    }
    let end = name.floor_char_boundary(MAX_NAME_BYTES);
    let mut short = name.get(..end).unwrap_or_default().to_owned();
    short.push(MARK);
    Cow::Owned(short)
}

/// The first `chars` characters of a text; [`MARK`] follows if there are more.
#[must_use]
pub fn excerpt(text: &str, chars: usize) -> String {
    let mut excerpt = text.to_owned();
    if let Some((end, _)) = text.char_indices().nth(chars) {
        excerpt.truncate(end);
        excerpt.push(MARK);
    }
    excerpt
}

/// A text in at most `columns` characters, cut at its end; it is escaped already.
#[must_use]
pub fn cut(text: &str, columns: usize) -> String {
    match text.char_indices().nth(columns) {
        None => text.to_owned(),
        Some(_) => excerpt(text, columns.saturating_sub(1)),
    }
}

/// A text in at most `columns` characters, cut in its middle, since names differ at their ends; it is escaped already.
#[must_use]
pub fn cut_middle(text: &str, columns: usize) -> String {
    let length = text.chars().count();
    if length <= columns {
        return text.to_owned();
    }
    let kept = columns.saturating_sub(1);
    let behind = kept.div_ceil(2);
    let before = kept.saturating_sub(behind);
    let head = text.chars().take(before);
    head.chain([MARK]).chain(text.chars().skip(length.saturating_sub(behind))).collect()
}

#[cfg(test)]
mod tests {
    use super::{cut, cut_middle, excerpt, short_name};

    #[test]
    fn names_are_cut_in_messages() {
        assert_eq!(short_name(&"é".repeat(64)), "é".repeat(64));
        assert_eq!(short_name(&format!("a{}", "é".repeat(64))), format!("a{}…", "é".repeat(63)));
    }

    #[test]
    fn columns_are_a_bound() {
        assert_eq!(cut_middle("image_generate_rate", 9), "imag…rate");
        assert_eq!(cut_middle("ünïcödé", 4), "ü…dé");
        assert_eq!(cut_middle("short", 5), "short");
        assert_eq!(cut("too long", 5), "too …");
        assert_eq!(cut("short", 5), "short");
        assert_eq!(excerpt("ünïcödé", 4), "ünïc…");
        assert_eq!(excerpt("ünïc", 4), "ünïc");
    }
}
