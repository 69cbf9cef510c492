//! Edits to a server's results: tools are cut out of `tools/list`, and `listChanged` is set in `initialize`
//! (contract W1). All other bytes stay as the server wrote them.

use crate::engine::json::decimal::Decimal;
use crate::engine::json::value::{Elements, Kind, Str, Value};

/// The largest `ttlMs` of a filtered modern list, in milliseconds: the policy may change.
const MAX_TTL_MS: &str = "1000";

/// The longest name of a tool in a list, in bytes: calls with longer names are refused (contract W3).
const MAX_NAME_BYTES: usize = super::frame::MAX_NAME_BYTES;

/// How many elements of a list of tools are checked (contract W8). Elements after them are cut.
const MAX_TOOLS: usize = 100_000;

/// A line being edited from start to end. It is copied once, during the edits: half of a line of millions of elements
/// may be cut (contract W8).
struct Edited<'a> {
    line: &'a str,
    bytes: Vec<u8>,
    /// The line is copied up to here.
    kept_to: usize,
}

impl<'a> Edited<'a> {
    fn new(line: &'a str) -> Self {
        Edited { line, bytes: Vec::with_capacity(line.len().saturating_add(64)), kept_to: 0 }
    }

    /// Keeps the bytes before `end`.
    fn keep(&mut self, end: usize) {
        let kept = self.line.get(self.kept_to..end).unwrap_or_default();
        self.bytes.extend_from_slice(kept.as_bytes());
        self.kept_to = self.kept_to.max(end);
    }

    /// Replaces the bytes from `start` to `end`, which must follow all bytes replaced before.
    fn replace(&mut self, start: usize, end: usize, with: &str) {
        self.keep(start);
        self.bytes.extend_from_slice(with.as_bytes());
        self.kept_to = self.kept_to.max(end);
    }

    fn finish(mut self) -> Vec<u8> {
        self.keep(self.line.len());
        self.bytes
    }
}

/// The members of a `tools/list` result that may be edited, found in one pass: the result may be long.
#[derive(Debug, Default)]
struct EditedMembers<'a> {
    tools: Option<Value<'a>>,
    ttl: Option<Value<'a>>,
    scope: Option<Value<'a>>,
}

impl<'a> EditedMembers<'a> {
    fn of(result: Value<'a>) -> Self {
        let mut members = EditedMembers::default();
        for member in result.members() {
            let place = match member.key {
                key if key.is("tools") => &mut members.tools,
                key if key.is("ttlMs") => &mut members.ttl,
                key if key.is("cacheScope") => &mut members.scope,
                _ => continue,
            };
            place.get_or_insert(member.value);
        }
        members
    }
}

/// Cuts hidden tools, elements that are not tools, and elements after the first 100,000 out of a `tools/list` result.
/// `result` is a view of the text `line`. `None` if nothing needs to be cut.
#[must_use]
pub fn hide_tools(
    line: &str,
    result: Value<'_>,
    modern: bool,
    mut is_hidden: impl FnMut(&str) -> bool,
) -> Option<Vec<u8>> {
    let EditedMembers { tools, ttl, scope } = EditedMembers::of(result);
    let tools = tools?;
    let mut stays = |tool: Value<'_>| {
        let name = tool.member("name").and_then(Value::as_str);
        let name = name.filter(|name| !name.is_longer_than(MAX_NAME_BYTES)).and_then(Str::decode);
        name.is_some_and(|name| !is_hidden(&name))
    };
    let mut behind_kept = None;
    let mut elements = tools.elements().enumerate();
    let (nth, first) = elements.find(|(nth, tool)| {
        let is_cut = *nth >= MAX_TOOLS || !stays(*tool);
        behind_kept = if is_cut { behind_kept } else { Some(tool.end()) };
        is_cut
    })?;
    let mut edited = Edited::new(line);
    let (before, behind): (Vec<_>, Vec<_>) = uncached(ttl, scope)
        .filter(|_| modern)
        .partition(|(value, _)| value.start() < tools.start());
    let replace = |edited: &mut Edited<'_>, edits: Vec<(Value<'_>, &str)>| {
        for (value, with) in edits {
            edited.replace(value.start(), value.end(), with);
        }
    };
    replace(&mut edited, before);
    let cut = Cut { nth, first, behind_kept, end: tools.end().saturating_sub(1) };
    cut_elements(&mut edited, &cut, stays);
    replace(&mut edited, behind);
    Some(edited.finish())
}

/// Where the cuts in an array begin.
struct Cut<'a> {
    /// The first element to cut, and its index.
    nth: usize,
    first: Value<'a>,
    /// The end of the element before it.
    behind_kept: Option<usize>,
    /// The bracket that ends the array.
    end: usize,
}

/// Cuts elements out of an array: each with the comma after it, and at the end the comma that would be left over.
fn cut_elements(edited: &mut Edited<'_>, cut: &Cut<'_>, mut stays: impl FnMut(Value<'_>) -> bool) {
    // The comma after the last element kept, in the edited bytes, as long as no element after it is kept.
    let mut dangling: Option<usize> = None;
    if let Some(behind) = cut.behind_kept
        && let Some(comma) = comma_between(edited.line, behind, cut.first.start())
    {
        edited.keep(comma);
        dangling = Some(edited.bytes.len());
    }
    let numbers = cut.nth..;
    let behind = Elements::behind(edited.line, cut.first.start());
    let mut elements = numbers.zip(behind).peekable();
    while let Some((nth, element)) = elements.next() {
        let is_over = nth >= MAX_TOOLS;
        let next = elements.peek().map(|(_, next)| next.start()).filter(|_| !is_over);
        let comma = next.and_then(|next| comma_between(edited.line, element.end(), next));
        if nth > cut.nth && !is_over && stays(element) {
            edited.keep(comma.unwrap_or(element.end()));
            dangling = comma.map(|_| edited.bytes.len());
            continue;
        }
        let end = if is_over { cut.end } else { element.end() };
        edited.replace(element.start(), end, "");
        match (comma, dangling.take_if(|_| comma.is_none())) {
            (Some(comma), _) => edited.replace(comma, comma.saturating_add(1), ""),
            (None, Some(left_over)) => {
                edited.bytes.remove(left_over);
            }
            (None, None) => {}
        }
        if is_over {
            break;
        }
    }
}

/// Sets `listChanged` in an existing `capabilities.tools` of an `initialize` result, so that the client expects
/// notifications when a reload changes the list. `None` if nothing needs to be set.
#[must_use]
pub fn announce_list_changes(line: &str, result: Value<'_>) -> Option<Vec<u8>> {
    let tools = result.member("capabilities")?.member("tools").filter(|tools| tools.is_object())?;
    let inside = tools.start().saturating_add(1);
    let (start, end, with) = match (tools.member("listChanged"), tools.members().next()) {
        (Some(value), _) if value.text() == "true" => return None,
        (Some(value), _) => (value.start(), value.end(), "true"),
        (None, Some(_)) => (inside, inside, "\"listChanged\":true,"),
        (None, None) => (inside, inside, "\"listChanged\":true"),
    };
    let mut edited = Edited::new(line);
    edited.replace(start, end, with);
    Some(edited.finish())
}

/// The cache members to replace in a filtered list, with their new values: the list is private, and valid for a short
/// time.
fn uncached<'a>(
    ttl: Option<Value<'a>>,
    scope: Option<Value<'a>>,
) -> impl Iterator<Item = (Value<'a>, &'static str)> {
    let ttl = ttl.filter(|ttl| match ttl.kind() {
        Kind::Number(number) => number > Decimal::read(MAX_TTL_MS),
        _ => true,
    });
    let scope = scope.filter(|scope| scope.text() != "\"private\"");
    let ttl = ttl.map(|value| (value, MAX_TTL_MS));
    let scope = scope.map(|value| (value, "\"private\""));
    let mut edits = [ttl, scope];
    edits.sort_by_key(|edit| edit.map(|(value, _)| value.start()));
    edits.into_iter().flatten()
}

fn comma_between(line: &str, start: usize, end: usize) -> Option<usize> {
    let between = line.get(start..end)?;
    between.find(',').map(|at| start.saturating_add(at))
}

#[cfg(test)]
mod tests {
    use super::{announce_list_changes, hide_tools};
    use crate::engine::json::reader::{KeyRule, MAX_DEPTH, Reader, Scratch};

    fn hidden(text: &str, modern: bool) -> String {
        let mut scratch = Scratch::default();
        let value =
            Reader::new(text, MAX_DEPTH, &mut scratch).document(KeyRule::Any).expect("JSON");
        let edited = hide_tools(text, value, modern, |name| name.starts_with('h'));
        edited.map_or_else(|| "same".to_owned(), |bytes| String::from_utf8(bytes).expect("UTF-8"))
    }

    /// contract W1: only the element's bytes and one comma are cut.
    #[test]
    fn each_tool_is_cut_with_one_comma() {
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
    fn list_changed_is_set_if_the_server_has_tools() {
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
