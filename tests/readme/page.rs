//! README.md as text, blocks, tables and links.

use std::fs;

use super::root;

/// The page.
pub(super) struct Page {
    text: String,
}

/// A fenced block.
pub(super) struct Block<'p> {
    /// What follows the wanted words on the opening fence.
    pub(super) name: &'p str,
    pub(super) text: &'p str,
    /// The line of the opening fence, from 1.
    pub(super) line: usize,
}

impl Page {
    pub(super) fn read() -> Self {
        let text = fs::read_to_string(root().join("README.md")).unwrap();
        Page { text }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The blocks whose fence begins with `words`, which end at a blank.
    pub(super) fn blocks<'p>(&'p self, words: &str) -> Vec<Block<'p>> {
        let mut blocks = Vec::new();
        let mut line = 1;
        let mut rest = self.text();
        while let Some((before, opened)) = rest.split_once("```") {
            line += before.matches('\n').count();
            let (info, inside) = opened.split_once('\n').expect("a line behind the fence");
            let (text, after) = inside.split_once("```").expect("a closing fence");
            let name = info.strip_prefix(words);
            if let Some(name) = name.filter(|name| name.is_empty() || name.starts_with(' ')) {
                blocks.push(Block { name: name.trim_start(), text, line });
            }
            line += 1 + text.matches('\n').count();
            rest = after;
        }
        blocks
    }

    /// The rows of the first table under a heading, whose column titles are `titles`: cells without blanks around.
    pub(super) fn table(&self, heading: &str, titles: &str) -> Vec<Vec<&str>> {
        let (_, section) = self.text.split_once(&format!("\n{heading}\n")).expect(heading);
        let (_, table) = section.split_once(&format!("\n| {titles} |\n")).expect(titles);
        let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
        rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }

    /// The titles of all sections.
    pub(super) fn headings(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.lines().filter(|line| line.starts_with('#'));
        lines.map(|line| line.trim_start_matches('#').trim_start())
    }

    /// Where links lead.
    pub(super) fn links(&self) -> impl Iterator<Item = &str> {
        self.text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
    }
}

/// What a heading is linked by.
pub(super) fn anchor(heading: &str) -> String {
    let words = heading.to_lowercase().replace(' ', "-");
    words.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
}

/// The words of a text that stand in backticks.
pub(super) fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}
