//! What is recorded of a call's arguments: their names, and if so wished their values, both bounded (SPEC S3).

use super::path::Arguments;
use super::value::{Kind, Str, Value};
use super::work::Work;

/// How many keys are recorded.
const MAX_KEYS: usize = 64;
/// How much of one.
const MAX_KEY_BYTES: usize = 64;
/// How much of a string value.
const MAX_STRING_BYTES: usize = 256;
/// How much of all values together, more or less.
const MAX_VALUE_BYTES: usize = 16 * 1024;

/// How many steps all values take at most: each level of nesting is gone through anew.
const MAX_WORK: u64 = 50_000_000;

/// Marks what was cut.
const CUT: &str = "…";

/// The names of the arguments: the first 64 in their order, each cut to 64 bytes.
#[must_use]
pub fn keys(arguments: &Arguments<'_>) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for member in arguments.members() {
        keys.push(cut(member.key, MAX_KEY_BYTES));
        // Sorted now and then, so that a million of them take no more room than a few.
        if keys.len() >= 2 * MAX_KEYS {
            keys.sort_unstable();
            keys.truncate(MAX_KEYS);
        }
    }
    keys.sort_unstable();
    keys.truncate(MAX_KEYS);
    keys
}

/// The arguments as JSON, with strings cut to 256 bytes; what goes beyond some 16 KiB is left out, and `…` stands in
/// its place.
#[must_use]
pub fn values(arguments: &Arguments<'_>) -> String {
    let mut out = String::new();
    let mut work = Work::of(MAX_WORK);
    let members = arguments.members().map(|member| (Some(member.key), member.value));
    list(&mut out, members, ["{", "}"], &mut work);
    out
}

/// Writes the members of an object or the elements of an array.
fn list<'a>(
    out: &mut String,
    items: impl Iterator<Item = (Option<Str<'a>>, Value<'a>)>,
    [open, close]: [&str; 2],
    work: &mut Work,
) {
    out.push_str(open);
    let mut between = "";
    for (key, item) in items {
        out.push_str(between);
        between = ",";
        if out.len() > MAX_VALUE_BYTES || work.walk(item.text().len()).is_err() {
            push_string(out, CUT);
            if key.is_some() {
                out.push(':');
                push_string(out, CUT);
            }
            break;
        }
        if let Some(key) = key {
            push_string(out, &cut(key, MAX_STRING_BYTES));
            out.push(':');
        }
        value(out, item, work);
    }
    out.push_str(close);
}

/// Goes no deeper than a frame may be: 512.
fn value(out: &mut String, item: Value<'_>, work: &mut Work) {
    match item.kind() {
        Kind::Object => {
            let members = item.members().map(|member| (Some(member.key), member.value));
            list(out, members, ["{", "}"], work);
        }
        Kind::Array => {
            let elements = item.elements().map(|element| (None, element));
            list(out, elements, ["[", "]"], work);
        }
        Kind::String(text) => push_string(out, &cut(text, MAX_STRING_BYTES)),
        Kind::Number(_) if item.text().len() > MAX_STRING_BYTES => push_string(out, CUT),
        Kind::Number(_) | Kind::Null | Kind::Bool(_) => out.push_str(item.text()),
    }
}

/// A text of at most `max` bytes, which ends with `…` if more was there.
fn cut(text: Str<'_>, max: usize) -> String {
    let text = text.decode_lossy();
    if text.len() <= max {
        return text.into_owned();
    }
    let end = text.floor_char_boundary(max.saturating_sub(CUT.len()));
    [text.get(..end).unwrap_or_default(), CUT].concat()
}

fn push_string(out: &mut String, text: &str) {
    // Nothing in a string can fail to be JSON.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}
