//! Text from elsewhere on its way to people: what a terminal could obey, or a person not see, is spelt out.

use std::borrow::Cow;

use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;

/// True for a character that a terminal could obey or a person not see: controls, line separators, marks that turn
/// the direction of writing, and everything that has no shape of its own.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FFF9}'..='\u{FFFB}')
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// A JSON text in which every such character is escaped. They stand in strings only.
#[must_use]
pub fn escape_json(json: &str) -> Cow<'_, str> {
    let plain = json.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if plain || !json.chars().any(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len().saturating_add(64));
    for c in json.chars() {
        if is_hidden(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                escaped.push_str("\\u");
                // Four digits, from the highest.
                let digit = |shift: u32| char::from_digit(u32::from(*unit >> shift) & 15, 16);
                escaped.extend([12, 8, 4, 0].into_iter().filter_map(digit));
            }
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// A text in which every such character but the line feed is escaped as Rust does it: `\u{1b}`.
#[must_use]
pub fn escape_text(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| c != '\n' && is_hidden(c);
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let spelt = text.chars().fold(String::new(), |mut spelt, c| {
        if hidden(c) {
            spelt.extend(c.escape_unicode());
        } else {
            spelt.push(c);
        }
        spelt
    });
    Cow::Owned(spelt)
}

#[cfg(test)]
mod tests {
    use super::{escape_json, escape_text};

    #[test]
    fn what_nobody_sees_is_spelt_out() {
        assert_eq!(
            escape_json("{\"a\":\"é\u{202E}\u{7f}\u{E0041}\"}"),
            r#"{"a":"é\u202e\u007f\udb40\udc41"}"#
        );
        assert_eq!(escape_text("a\u{1b}[2J\nb\u{200B}"), "a\\u{1b}[2J\nb\\u{200b}");
        assert_eq!(escape_text("plain ü"), "plain ü");
    }
}
