//! Inserts entries into the text of a policy: at the end of its lists, in its own layout, without changing a byte of
//! what is there.

use super::proposal::{JsonLayout, Proposal, Treatment, string};
use crate::engine::json::reader::{KeyRule, MAX_DEPTH, Reader, Scratch};
use crate::engine::json::value::Value;

/// Inserts proposals into the text of a sound policy. `None` if the text is none.
#[must_use]
pub fn extend(text: &str, proposals: &[Proposal]) -> Option<String> {
    let mut scratch = Scratch::default();
    let root = Reader::new(text, MAX_DEPTH, &mut scratch).document(KeyRule::Unique).ok()?;
    let file = File::of(text, root);
    let (hidden, ruled): (Vec<&Proposal>, Vec<&Proposal>) =
        proposals.iter().partition(|proposal| proposal.treatment == Treatment::Hide);
    let mut insertions = Vec::new();
    let mut members = Vec::new();
    let name = |proposal: &&Proposal, _: &JsonLayout<'_>, _: &str| string(&proposal.tool);
    let rule = |proposal: &&Proposal, layout: &JsonLayout<'_>, indent: &str| {
        proposal.entry(layout, indent)
    };
    for (key, brackets, items, write) in [
        ("hide", ["[", "]"], hidden, &name as Write<'_>),
        ("tools", ["{", "}"], ruled, &rule as Write<'_>),
    ] {
        if items.is_empty() {
            continue;
        }
        match root.member(key) {
            Some(list) => insertions.push(file.insert(list, &items, write)),
            None => members.push((key, brackets, items, write)),
        }
    }
    if !members.is_empty() {
        let write =
            |(key, brackets, items, write): &NewList<'_>, layout: &JsonLayout<'_>, indent: &str| {
                let inner = [indent, layout.unit].concat();
                let items = items.iter().map(|item| write(item, layout, &inner));
                format!("{}: {}", string(key), layout.list(items, *brackets, indent))
            };
        insertions.push(file.insert(root, &members, &write));
    }
    insertions.sort_by_key(|(at, _)| *at);
    let mut extended = String::with_capacity(text.len().saturating_add(1024));
    let mut copied = 0;
    for (at, inserted) in insertions {
        extended.push_str(text.get(copied..at)?);
        extended.push_str(&inserted);
        copied = at;
    }
    extended.push_str(text.get(copied..)?);
    Some(extended)
}

/// Writes an item.
type Write<'w> = &'w dyn Fn(&&Proposal, &JsonLayout<'_>, &str) -> String;

/// The key of a list to add, with its brackets, items and their writer.
type NewList<'m> = (&'m str, [&'m str; 2], Vec<&'m Proposal>, Write<'m>);

/// A file, and how it is laid out.
struct File<'f> {
    text: &'f str,
    newline: &'static str,
    unit: &'f str,
}

impl<'f> File<'f> {
    fn of(text: &'f str, root: Value<'_>) -> Self {
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let mut file = File { text, newline, unit: "  " };
        // The first member is one step deeper than the brace.
        let first = root.members().next().map(|member| member.key.start().saturating_sub(1));
        if let Some(indent) = first.and_then(|first| file.indent_before(first)) {
            let outer = file.line_indent(root.start());
            file.unit = indent.strip_prefix(outer).filter(|unit| !unit.is_empty()).unwrap_or("  ");
        }
        file
    }

    /// The white space between the beginning of the line and `at`, if there is nothing else.
    fn indent_before(&self, at: usize) -> Option<&'f str> {
        let before = self.text.get(..at)?;
        let start = before.rfind('\n')?.saturating_add(1);
        before.get(start..).filter(|indent| indent.trim().is_empty())
    }

    /// The white space that the line of `at` begins with.
    fn line_indent(&self, at: usize) -> &'f str {
        let before = self.text.get(..at).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
        let line = self.text.get(start..).unwrap_or_default();
        let end = line.find(|c| !matches!(c, ' ' | '\t')).unwrap_or(line.len());
        line.get(..end).unwrap_or_default()
    }

    /// What to insert behind the last item of a list, and where.
    fn insert<T>(
        &self,
        list: Value<'_>,
        items: &[T],
        write: &dyn Fn(&T, &JsonLayout<'_>, &str) -> String,
    ) -> (usize, String) {
        let (last_key, last_end) = last_item(list);
        let inside = list.start().saturating_add(1);
        let outer = self.line_indent(list.start());
        let closing = list.end().saturating_sub(1);
        let is_open = self.text.get(inside..closing).unwrap_or_default().contains('\n');
        let own = match last_key {
            Some(key) => self.indent_before(key).map(str::to_owned),
            // In a file of many lines, an empty list gets lines of its own.
            None => {
                (is_open || self.text.trim().contains('\n')).then(|| [outer, self.unit].concat())
            }
        };
        let Some(indent) = own else {
            let layout = JsonLayout { newline: None, unit: self.unit };
            let items: Vec<String> = items.iter().map(|item| write(item, &layout, "")).collect();
            let before = if last_end.is_some() { ", " } else { "" };
            return (last_end.unwrap_or(inside), [before, &items.join(", ")].concat());
        };
        let layout = JsonLayout { newline: Some(self.newline), unit: self.unit };
        let mut inserted = String::new();
        for (nth, item) in items.iter().enumerate() {
            let comma = if nth > 0 || last_end.is_some() { "," } else { "" };
            let item = write(item, &layout, &indent);
            inserted.extend([comma, self.newline, &indent, &item]);
        }
        if last_key.is_none() && !is_open {
            inserted.extend([self.newline, outer]);
        }
        (last_end.unwrap_or(inside), inserted)
    }
}

/// Where the last item of a list begins and ends: with its key, if it has one.
fn last_item(list: Value<'_>) -> (Option<usize>, Option<usize>) {
    let element = list.elements().last().map(|element| (element.start(), element.end()));
    let member = list.members().last();
    let member = member.map(|member| (member.key.start().saturating_sub(1), member.value.end()));
    element.or(member).unzip()
}
