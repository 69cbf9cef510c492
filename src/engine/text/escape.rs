//! Escapes text that is not callgate's own: the one definition of what is safe to show (contract C1).
//!
//! Whatever callgate prints that it did not write itself goes through here: [`escape_line`] for people, who then see
//! one line without a hidden character, and [`escape_json`] for programs, who read the same value.

use std::borrow::Cow;
use std::fmt::Write as _;

use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;

use super::shorten::MARK;

/// True for a character that a terminal could obey or a person not see: controls, line separators, marks that turn
/// the direction of writing, and everything that has no shape of its own, letters such as U+3164 included.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    // The format controls of Egyptian hieroglyphs and interlinear annotations are not among the ignorable ones.
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FFF9}'..='\u{FFFB}' | '\u{13430}'..='\u{1343F}')
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// A text in one line: every hidden character, a line feed as well, is written as Rust does it, `\u{1b}`.
#[must_use]
pub fn escape_line(text: &str) -> Cow<'_, str> {
    if is_plain(text) || !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len().saturating_add(32));
    text.chars().for_each(|c| push_escaped(&mut escaped, c));
    Cow::Owned(escaped)
}

/// Adds a character as [`escape_line`] shows it.
pub fn push_escaped(line: &mut String, c: char) {
    if is_hidden(c) { line.extend(c.escape_unicode()) } else { line.push(c) }
}

/// Bytes that may be no text, as [`escape_line`] shows text; bytes that are not UTF-8 are written as `\xff`. At most
/// `max` bytes; `…` ends what was cut.
#[must_use]
pub fn escape_bytes(bytes: &[u8], max: usize) -> String {
    let mut line = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let whole = line.len();
            push_escaped(&mut line, c);
            if is_over(&mut line, whole, max) {
                return line;
            }
        }
        for byte in chunk.invalid() {
            let whole = line.len();
            let _ = write!(line, "\\x{byte:02x}");
            if is_over(&mut line, whole, max) {
                return line;
            }
        }
    }
    line
}

/// Ends a line at `whole`, if it has no room for more than `…`.
fn is_over(line: &mut String, whole: usize, max: usize) -> bool {
    let is_over = line.len().saturating_add(MARK.len_utf8()) > max;
    if is_over {
        line.truncate(whole);
        line.push(MARK);
    }
    is_over
}

/// A JSON text in which every hidden character is written as `\uXXXX`. They stand in strings only, but for the
/// white space between tokens, which stays.
#[must_use]
pub fn escape_json(json: &str) -> Cow<'_, str> {
    let is_out = |c: char| is_hidden(c) && !matches!(c, '\t' | '\n' | '\r');
    if is_plain(json) || !json.contains(is_out) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len().saturating_add(64));
    for c in json.chars() {
        if is_out(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// A text as a JSON string, with its quotes.
#[must_use]
pub fn json_string(text: &str) -> String {
    // A string always becomes JSON.
    let json = serde_json::to_string(text).unwrap_or_default();
    match escape_json(&json) {
        Cow::Borrowed(_) => json,
        Cow::Owned(escaped) => escaped,
    }
}

/// Adds a text as a JSON string, with its quotes, as [`json_string`] makes it.
pub(in crate::engine) fn push_json_string(bytes: &mut Vec<u8>, text: &str) {
    let as_it_is = is_plain(text) && memchr::memchr2(b'"', b'\\', text.as_bytes()).is_none();
    if as_it_is {
        bytes.push(b'"');
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'"');
    } else {
        bytes.extend_from_slice(json_string(text).as_bytes());
    }
}

/// True for printable ASCII, which most of what comes here is. Many bytes are looked at at once.
fn is_plain(text: &str) -> bool {
    const AT_ONCE: usize = 64;
    let is_plain = |byte: &u8| (b' '..=b'~').contains(byte);
    let mut pieces = text.as_bytes().chunks(AT_ONCE);
    pieces.all(|piece| piece.iter().fold(true, |all, byte| all & is_plain(byte)))
}

#[cfg(test)]
mod tests {
    use super::{escape_bytes, escape_json, escape_line, is_hidden, json_string, push_json_string};

    /// contract C1: a row for each kind, and its twin that is seen.
    #[test]
    fn hidden_characters_are_told_from_visible_ones() {
        let hidden = [
            "\0\t\n\r\u{1b}\u{7f}\u{85}\u{9b}",
            "\u{2028}\u{2029}",
            "\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}",
            "\u{ad}\u{34f}\u{180e}\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}",
            "\u{115f}\u{1160}\u{17b4}\u{3164}\u{ffa0}",
            "\u{180b}\u{fe00}\u{fe0f}\u{e0100}",
            "\u{e0001}\u{e0041}\u{e007f}\u{e0fff}",
            "\u{fff9}\u{fffb}\u{13430}\u{1343f}\u{1bca0}\u{1d173}",
        ];
        for c in hidden.concat().chars() {
            assert!(is_hidden(c), "{c:?}");
        }
        for c in " ~aéßжあ漢한كहି\u{301}😀…—`\"\\\u{a0}\u{3000}\u{1342f}\u{13440}".chars()
        {
            assert!(!is_hidden(c), "{c:?}");
        }
    }

    #[test]
    fn a_text_for_people_is_one_line() {
        assert_eq!(escape_line("a\u{1b}[2J\nb\u{200B}\t"), "a\\u{1b}[2J\\u{a}b\\u{200b}\\u{9}");
        assert_eq!(escape_line("plain ü `x` \\n"), "plain ü `x` \\n");
        assert_eq!(escape_bytes("a b\u{1b}é\u{202E}\\".as_bytes(), 99), "a b\\u{1b}é\\u{202e}\\");
        assert_eq!(escape_bytes(b"\xFFa\r", 99), "\\xffa\\u{d}");
        assert_eq!(escape_bytes(&[b'a'; 100], 20), format!("{}…", "a".repeat(17)));
        assert_eq!(escape_bytes(&[0xFF; 100], 20), format!("{}…", "\\xff".repeat(4)));
    }

    #[test]
    fn a_text_for_programs_keeps_its_value() {
        assert_eq!(
            escape_json("{\n\t\"a\":\"é\u{202E}\u{7f}\u{E0041}\"}"),
            "{\n\t\"a\":\"é\\u202e\\u007f\\udb40\\udc41\"}"
        );
        assert_eq!(json_string("a\"\u{ad}"), r#""a\"\u00ad""#);
        let long = "x".repeat(200);
        for text in [
            "",
            "a b",
            "a\"b",
            "a\\b",
            "\u{7f}",
            "\n",
            "é",
            "\u{ad}",
            &long,
            &format!("{long}\u{1}"),
        ] {
            let mut bytes = Vec::new();
            push_json_string(&mut bytes, text);
            assert_eq!(bytes, json_string(text).as_bytes(), "{text}");
        }
        for c in ['\u{ad}', '\u{2028}', '\u{e0041}', '\u{7f}', '\n', '"', '\\'] {
            let text = format!("a{c}b");
            assert_eq!(serde_json::from_str::<String>(&json_string(&text)).ok(), Some(text));
        }
    }
}
