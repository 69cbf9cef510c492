//! The types of unquoted values, as Intercept's reader of YAML sees them. A value on which readers disagree is a problem.

use serde_json::value::RawValue;

use super::draft::DraftValue;
use super::fields::PlacedNode;
use super::problems::YamlProblems;
use super::yaml::{self, YamlNode};
use crate::engine::json::decimal::Decimal;

/// What a scalar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScalarKind<'n> {
    /// `null`, `~`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number as JSON writes it.
    Number(&'n str),
    /// Anything in quotes, and any other text.
    Text(&'n str),
    /// A text that some readers take for a number or a time.
    Doubtful,
}

/// What a value is; `None` for a list or map.
#[must_use]
pub(crate) fn kind(node: &YamlNode) -> Option<ScalarKind<'_>> {
    let yaml::YamlValue::Scalar(scalar) = &node.value else { return None };
    let text = scalar.text.as_str();
    Some(match scalar.boolean() {
        _ if !scalar.is_plain => ScalarKind::Text(text),
        _ if scalar.is_null() => ScalarKind::Null,
        Some(value) => ScalarKind::Bool(value),
        None if is_json_number(text) => ScalarKind::Number(text),
        None if looks_like_number(text) || looks_like_time(text) => ScalarKind::Doubtful,
        None => ScalarKind::Text(text),
    })
}

/// A value to compare with; a problem for a list, a map, or a doubtful value.
pub(crate) fn value(found: &PlacedNode<'_>, problems: &mut YamlProblems) -> Option<DraftValue> {
    Some(match kind(found.node) {
        Some(ScalarKind::Null) => DraftValue::Null,
        Some(ScalarKind::Bool(value)) => DraftValue::Bool(value),
        Some(ScalarKind::Number(text)) => {
            DraftValue::Number(RawValue::from_string(text.to_owned()).ok()?)
        }
        Some(ScalarKind::Text("<nil>")) => {
            problems.add(&found.place, "to Intercept, `<nil>` and null are equal", None);
            return None;
        }
        Some(ScalarKind::Text(text)) => DraftValue::String(text.to_owned()),
        Some(ScalarKind::Doubtful) => {
            let message = "readers of YAML disagree about this number or time";
            let help = "write a plain decimal number, or put it in quotes";
            problems.add(&found.place, message, Some(help));
            return None;
        }
        None => {
            problems.wrong_type(found, "text, a number, `true`, `false` or `null`", None);
            return None;
        }
    })
}

/// A number; a problem for anything else.
pub(crate) fn number(found: &PlacedNode<'_>, problems: &mut YamlProblems) -> Option<DraftValue> {
    if let Some(ScalarKind::Number(_) | ScalarKind::Doubtful) = kind(found.node) {
        return value(found, problems);
    }
    problems.wrong_type(found, "a number", None);
    None
}

/// A list of values of one type; a problem for anything else.
pub(crate) fn list(found: &PlacedNode<'_>, problems: &mut YamlProblems) -> Option<DraftValue> {
    let elements = found.elements(problems);
    if found.node.is_empty_list() {
        problems.add(&found.place, "an empty list matches nothing", None);
    }
    let values: Vec<Option<DraftValue>> =
        elements.iter().map(|element| value(element, problems)).collect();
    let values: Vec<DraftValue> = values.into_iter().collect::<Option<_>>()?;
    let mut typed =
        values.iter().zip(&elements).filter(|(value, _)| !matches!(value, DraftValue::Null));
    if let Some((first, _)) = typed.next() {
        let same =
            |value: &DraftValue| std::mem::discriminant(value) == std::mem::discriminant(first);
        if let Some((_, other)) = typed.find(|(value, _)| !same(value)) {
            let message = "values of different types in one list";
            let help = "to Intercept `5` and `\"5\"` are equal, to callgate they are not";
            problems.add(&other.place, message, Some(help));
            return None;
        }
    }
    Some(DraftValue::List(values)).filter(|_| !elements.is_empty())
}

/// True if Intercept takes another value in a list for this text or number, and callgate does not.
pub(crate) fn has_twin(value: &DraftValue) -> bool {
    match value {
        DraftValue::Null | DraftValue::List(_) => false,
        DraftValue::Bool(_) | DraftValue::Number(_) => true,
        DraftValue::String(text) => {
            matches!(text.as_str(), "true" | "false")
                || text.starts_with('[')
                || text.starts_with("map[")
                || looks_like_number(text)
        }
    }
}

/// True for a number that JSON and YAML write alike and a double can hold.
fn is_json_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_digit())
        && serde_json::from_str::<&RawValue>(text).is_ok()
        && !Decimal::read(text).is_beyond_double()
}

/// True for `0x1F`, `0o17`, `017`, `1_000`, `+1`, `.5`, `5.`, `1e999`, `.inf` and the like.
fn looks_like_number(text: &str) -> bool {
    if !text.starts_with(|c: char| matches!(c, '+' | '-' | '.') || c.is_ascii_digit()) {
        return false;
    }
    let text = text.replace('_', "").to_ascii_lowercase();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let based = ["0x", "0o", "0b"].iter().find_map(|base| unsigned.strip_prefix(base));
    if let Some(digits) = based {
        return !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = unsigned.split_once('e').unwrap_or((unsigned, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = !(exponent.is_empty() || whole.is_empty() && part.is_empty());
    matches!(unsigned, ".inf" | ".nan")
        || has_digits && all_digits(exponent) && all_digits(whole) && all_digits(part)
}

/// True for `2026-01-31` and what begins so.
fn looks_like_time(text: &str) -> bool {
    let is_number = |text: &str, least: usize, most: usize| {
        (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let day = text.split(['T', 't', ' ', '\t']).next().unwrap_or_default();
    match day.split('-').collect::<Vec<_>>().as_slice() {
        [year, month, day] => {
            is_number(year, 4, 4) && is_number(month, 1, 2) && is_number(day, 1, 2)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_json_number, looks_like_number, looks_like_time};

    #[test]
    fn only_numbers_that_all_readers_agree_on_are_numbers() {
        for text in ["0", "-0", "5", "-12.5", "1e3", "1.5E-7", "9007199254740993"] {
            assert!(is_json_number(text), "{text}");
        }
        for text in [
            "017", "0x1F", "0b1", "0o7", "1_000", "+1", ".5", "5.", "-.5", "1e999", ".inf",
            "-.INF", ".NaN",
        ] {
            assert!(!is_json_number(text) && looks_like_number(text), "{text}");
        }
        for text in
            ["", "-", ".", "e5", "5e", "1.2.3", "10.0.0.1", "5/hour", "1:30", "-foo", "0xg", "1 "]
        {
            assert!(!is_json_number(text) && !looks_like_number(text), "{text}");
        }
        for (text, is_time) in [
            ("2026-01-31", true),
            ("2026-1-1T00:00:00Z", true),
            ("2026-01-31 10:00:00", true),
            ("2026-01", false),
            ("20260131", false),
            ("2026-01-31x", false),
        ] {
            assert_eq!(looks_like_time(text), is_time, "{text}");
        }
    }
}
