//! What a server says of a tool in `tools/list`.

use serde_json::Value;
use serde_json::value::RawValue;

use super::lexicon::MAX_LOOKED_AT;
use crate::engine::wire::discovery::tool_list::{member, members, name_of, text};

/// The parts of a listed tool that tell what it does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListedTool {
    /// Its name.
    pub name: String,
    /// `title`, or the one among the hints.
    pub title: String,
    /// `description`.
    pub description: String,
    /// `annotations.readOnlyHint`.
    pub read_only: Option<bool>,
    /// `annotations.destructiveHint`.
    pub destructive: Option<bool>,
    /// `annotations.openWorldHint`.
    pub open_world: Option<bool>,
    /// The names of its arguments.
    pub arguments: Vec<String>,
}

impl ListedTool {
    /// Reads an element of `tools/list`. `None` if it has no name.
    #[must_use]
    pub fn read(tool: &Value) -> Option<Self> {
        Self::of(&tool.to_string())
    }

    /// Reads the text of an element, and keeps only what is used.
    #[must_use]
    pub fn of(tool: &str) -> Option<Self> {
        let name = name_of(tool)?.into_owned();
        let mut listed = ListedTool { name, ..ListedTool::default() };
        let mut title_of_hints = None;
        members(tool, |key, value| match key {
            "title" => listed.title = beginning(value),
            "description" => listed.description = beginning(value),
            "annotations" => title_of_hints = listed.hints(value.get()),
            "inputSchema" => listed.arguments = argument_names(value.get()),
            _ => {}
        })?;
        if listed.title.is_empty() {
            listed.title = title_of_hints.unwrap_or_default();
        }
        Some(listed)
    }

    /// Takes its hints over; returns the title among them.
    fn hints(&mut self, hints: &str) -> Option<String> {
        let mut title = None;
        members(hints, |key, value| {
            let hint = serde_json::from_str::<bool>(value.get()).ok();
            match key {
                "readOnlyHint" => self.read_only = hint,
                "destructiveHint" => self.destructive = hint,
                "openWorldHint" => self.open_world = hint,
                "title" => title = Some(beginning(value)),
                _ => {}
            }
        })?;
        title
    }

    /// A tool of which only the name is known.
    #[must_use]
    pub fn named(name: &str) -> Self {
        ListedTool { name: name.to_owned(), ..ListedTool::default() }
    }
}

/// The beginning of a string; empty for any other value.
fn beginning(value: &RawValue) -> String {
    let whole = text(value).unwrap_or_default();
    whole.get(..whole.floor_char_boundary(MAX_LOOKED_AT)).unwrap_or_default().to_owned()
}

/// The names of the arguments in an input schema, sorted.
fn argument_names(schema: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let Some(properties) = member(schema, "properties") else { return names };
    let shorten = |names: &mut Vec<String>| {
        names.sort_unstable();
        names.dedup();
        names.truncate(MAX_LOOKED_AT);
    };
    members(properties.get(), |name, _| {
        names.push(name.to_owned());
        // Shortened now and then, so that a million of them take no more memory than a few.
        if names.len() >= 2 * MAX_LOOKED_AT {
            shorten(&mut names);
        }
    });
    shorten(&mut names);
    names
}
