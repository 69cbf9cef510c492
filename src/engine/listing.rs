//! Edits to a server's results, made by cutting bytes: tools out of `tools/list`, `listChanged` into
//! `initialize` (SPEC W1). What is not cut stays as the server wrote it.

use super::decimal::Decimal;
use super::value::{Kind, Str, Value};

/// The most that the `ttlMs` of a filtered modern list may say, in milliseconds: the policy may change.
const MAX_TTL_MS: &str = "1000";

/// A replacement of some bytes of a line.
#[derive(Debug)]
struct Edit {
    start: usize,
    end: usize,
    with: &'static str,
}

/// Cuts hidden tools, and elements that are no tool, out of a `tools/list` result. `line` is the text that
/// `result` is a view of. `None` if nothing is to be cut.
#[must_use]
pub fn hide_tools(
    line: &str,
    result: Value<'_>,
    modern: bool,
    is_hidden: impl Fn(&str) -> bool,
) -> Option<Vec<u8>> {
    let tools: Vec<Value<'_>> = result.member("tools")?.elements().collect();
    let stays = |tool: &Value<'_>| {
        let name = tool.member("name").and_then(Value::as_str).and_then(Str::decode);
        name.is_some_and(|name| !is_hidden(&name))
    };
    let mut edits = Vec::new();
    // Where the comma stands behind the last tool that stays, while nothing behind it stays.
    let mut dangling: Option<usize> = None;
    let mut cut_any = false;
    for (nth, tool) in tools.iter().enumerate() {
        let next = tools.get(nth.saturating_add(1));
        let comma = next.and_then(|next| comma_between(line, tool.end(), next.start()));
        if stays(tool) {
            dangling = comma;
            continue;
        }
        cut_any = true;
        edits.push(Edit { start: tool.start(), end: tool.end(), with: "" });
        // The comma behind it goes with it; behind the last element, the one that would be left over.
        if let Some(at) = comma.or_else(|| dangling.take()) {
            edits.push(Edit { start: at, end: at.saturating_add(1), with: "" });
        }
    }
    if !cut_any {
        return None;
    }
    if modern {
        edits.extend(uncached(result));
    }
    Some(apply(line, edits))
}

/// Sets `listChanged` in an existing `capabilities.tools` of an `initialize` result, so that the client listens
/// when a reload changes the list. `None` if there is nothing to set.
#[must_use]
pub fn announce_list_changes(line: &str, result: Value<'_>) -> Option<Vec<u8>> {
    let tools = result.member("capabilities")?.member("tools").filter(|tools| tools.is_object())?;
    let inside = tools.start().saturating_add(1);
    let edit = match (tools.member("listChanged"), tools.members().next()) {
        (Some(value), _) if value.text() == "true" => return None,
        (Some(value), _) => Edit { start: value.start(), end: value.end(), with: "true" },
        (None, Some(_)) => Edit { start: inside, end: inside, with: "\"listChanged\":true," },
        (None, None) => Edit { start: inside, end: inside, with: "\"listChanged\":true" },
    };
    Some(apply(line, vec![edit]))
}

/// A filtered list is nobody else's, and not for long.
fn uncached(result: Value<'_>) -> impl Iterator<Item = Edit> {
    let ttl = result.member("ttlMs").filter(|ttl| match ttl.kind() {
        Kind::Number(number) => number > Decimal::read(MAX_TTL_MS),
        _ => true,
    });
    let scope = result.member("cacheScope").filter(|scope| scope.text() != "\"private\"");
    let replace = |value: Value<'_>, with| Edit { start: value.start(), end: value.end(), with };
    ttl.map(|value| replace(value, MAX_TTL_MS))
        .into_iter()
        .chain(scope.map(|value| replace(value, "\"private\"")))
}

fn comma_between(line: &str, start: usize, end: usize) -> Option<usize> {
    let between = line.get(start..end)?;
    between.find(',').map(|at| start.saturating_add(at))
}

fn apply(line: &str, mut edits: Vec<Edit>) -> Vec<u8> {
    edits.sort_by_key(|edit| edit.start);
    let mut edited = Vec::with_capacity(line.len().saturating_add(32));
    let mut kept_to = 0;
    for edit in edits {
        edited.extend_from_slice(line.get(kept_to..edit.start).unwrap_or_default().as_bytes());
        edited.extend_from_slice(edit.with.as_bytes());
        kept_to = edit.end;
    }
    edited.extend_from_slice(line.get(kept_to..).unwrap_or_default().as_bytes());
    edited
}

#[cfg(test)]
mod tests {
    use super::{announce_list_changes, hide_tools};
    use crate::engine::json::{KeyRule, MAX_DEPTH, Reader, Scratch};

    fn hidden(text: &str, modern: bool) -> String {
        let mut scratch = Scratch::default();
        let value =
            Reader::new(text, MAX_DEPTH, &mut scratch).document(KeyRule::Any).expect("JSON");
        let edited = hide_tools(text, value, modern, |name| name.starts_with('h'));
        edited.map_or_else(|| "same".to_owned(), |bytes| String::from_utf8(bytes).expect("UTF-8"))
    }

    /// SPEC W1: only the element's bytes and one comma go.
    #[test]
    fn tools_are_cut_with_one_comma_each() {
        let a = r#"{"name":"a"}"#;
        let h = r#"{"name":"h"}"#;
        let list = |inside: &str| format!(r#"{{"tools":[{inside}],"nextCursor":"x"}}"#);
        let rows = [
            (format!("{h} , {a}"), format!("  {a}")),
            (format!("{a} , {h} "), format!("{a}   ")),
            (format!("{a}, {h},  {a}"), format!("{a},   {a}")),
            (format!(" {h} "), "  ".to_owned()),
            (format!("{h},{h},{h}"), String::new()),
            (format!("{h},{a},{h},{h}"), a.to_owned()),
            (format!("{a},7,{{}},{{\"name\":1}}"), a.to_owned()),
        ];
        for (before, after) in rows {
            assert_eq!(hidden(&list(&before), false), list(&after), "{before}");
        }
        assert_eq!(hidden(&list(a), false), "same");
        assert_eq!(hidden(r#"{"tools":7}"#, false), "same");
    }

    #[test]
    fn a_filtered_modern_list_is_private_and_short_lived() {
        let list = |rest: &str| format!(r#"{{"tools":[{{"name":"h"}}],{rest}}}"#);
        let cut = |rest: &str| format!(r#"{{"tools":[],{rest}}}"#);
        let before = r#""ttlMs":1e4 ,"cacheScope":"public""#;
        assert_eq!(hidden(&list(before), true), cut(r#""ttlMs":1000 ,"cacheScope":"private""#));
        assert_eq!(hidden(&list(before), false), cut(before));
        let short = r#""ttlMs":1000,"cacheScope":"private""#;
        assert_eq!(hidden(&list(short), true), cut(short));
    }

    #[test]
    fn list_changed_is_set_where_there_are_tools() {
        let rows = [
            (
                r#"{"capabilities":{"tools":{}}}"#,
                Some(r#"{"capabilities":{"tools":{"listChanged":true}}}"#),
            ),
            (
                r#"{"capabilities":{"tools":{ "x":1}}}"#,
                Some(r#"{"capabilities":{"tools":{"listChanged":true, "x":1}}}"#),
            ),
            (
                r#"{"capabilities":{"tools":{"listChanged": false }}}"#,
                Some(r#"{"capabilities":{"tools":{"listChanged": true }}}"#),
            ),
            (r#"{"capabilities":{"tools":{"listChanged":true}}}"#, None),
            (r#"{"capabilities":{"prompts":{}}}"#, None),
            (r#"{"capabilities":{"tools":null}}"#, None),
        ];
        for (before, after) in rows {
            let mut scratch = Scratch::default();
            let value =
                Reader::new(before, MAX_DEPTH, &mut scratch).document(KeyRule::Any).expect("JSON");
            let edited = announce_list_changes(before, value);
            assert_eq!(edited.as_deref(), after.map(str::as_bytes), "{before}");
        }
    }
}
