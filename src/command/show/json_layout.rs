//! Formats JSON as a person would write it, with short values on one line, or as compactly as possible.

use crate::engine::json::reader::{KeyRule, MAX_DEPTH, Reader, Scratch};
use crate::engine::json::value::{Kind, Value};

/// The longest line, in characters, if the value can be broken.
const WIDTH: usize = 110;

/// Formats a JSON text. Objects of the first two levels are always broken into lines.
#[must_use]
pub fn pretty(json: &str) -> String {
    let mut scratch = Scratch::default();
    let Ok(root) = Reader::new(json, MAX_DEPTH, &mut scratch).document(KeyRule::Any) else {
        return json.to_owned();
    };
    let mut text = String::with_capacity(json.len());
    write(&mut text, root, 0, 0);
    text.push('\n');
    text
}

/// Writes a value at this depth, after `before` columns of its line.
fn write(text: &mut String, value: Value<'_>, depth: usize, before: usize) {
    let is_object = matches!(value.kind(), Kind::Object);
    let line = in_line(value);
    let fits = before.saturating_add(line.chars().count()) <= WIDTH;
    let parts = value.members().count().saturating_add(value.elements().count());
    if parts == 0 || fits && !(is_object && depth < 2) {
        text.push_str(&line);
        return;
    }
    let inner = depth.saturating_add(1);
    let indent = "  ".repeat(inner);
    let mut separator = "\n";
    let mut begin = |text: &mut String| {
        text.push_str(separator);
        text.push_str(&indent);
        separator = ",\n";
    };
    text.push(if is_object { '{' } else { '[' });
    for member in value.members() {
        begin(text);
        let key = format!("\"{}\"", member.key.raw());
        text.push_str(&key);
        text.push_str(": ");
        let columns = indent.len().saturating_add(key.chars().count()).saturating_add(3);
        write(text, member.value, inner, columns);
    }
    for element in value.elements() {
        begin(text);
        write(text, element, inner, indent.len().saturating_add(1));
    }
    text.push('\n');
    text.push_str(&"  ".repeat(depth));
    text.push(if is_object { '}' } else { ']' });
}

fn in_line(value: Value<'_>) -> String {
    let parts: Vec<String> = match value.kind() {
        Kind::Object => value
            .members()
            .map(|member| format!("\"{}\": {}", member.key.raw(), in_line(member.value)))
            .collect(),
        Kind::Array => value.elements().map(in_line).collect(),
        _ => return value.text().to_owned(),
    };
    match (value.kind(), parts.is_empty()) {
        (Kind::Object, true) => "{}".to_owned(),
        (_, true) => "[]".to_owned(),
        (Kind::Object, false) => format!("{{ {} }}", parts.join(", ")),
        (_, false) => format!("[{}]", parts.join(", ")),
    }
}

/// Formats a document without white space between its tokens.
#[must_use]
pub fn compact(json: &str) -> String {
    let mut in_string = false;
    let mut is_escaped = false;
    let keep = |c: &char| {
        let keeps = in_string || !c.is_ascii_whitespace();
        if *c == '"' && !is_escaped {
            in_string = !in_string;
        }
        is_escaped = in_string && *c == '\\' && !is_escaped;
        keeps
    };
    json.chars().filter(keep).collect()
}
