//! README.md and the pages of the manual: text, blocks, tables and links.

use std::fs;

use callgate::manual;

use super::root;

/// A page of the manual, or a similar file.
pub(super) struct Page {
    /// Its path in the repository.
    pub(super) path: String,
    text: String,
}

/// A fenced block.
pub(super) struct Block<'p> {
    /// The text after the requested words on the opening fence.
    pub(super) name: &'p str,
    pub(super) text: &'p str,
    /// The page, and the line of the opening fence, counted from 1.
    pub(super) place: String,
}

impl Page {
    /// README.md.
    pub(super) fn readme() -> Self {
        Self::read("README.md".to_owned())
    }

    /// The page of a topic.
    pub(super) fn topic(topic: &str) -> Self {
        Self::read(format!("src/manual/{topic}.md"))
    }

    /// README.md and the whole manual.
    pub(super) fn all() -> Vec<Self> {
        let topics = manual::pages().map(|page| Self::topic(page.topic));
        std::iter::once(Self::readme()).chain(topics).collect()
    }

    /// The project files in `.github`.
    pub(super) fn of_forge() -> Vec<Self> {
        ["CONTRIBUTING", "SECURITY"].map(|name| Self::read(format!(".github/{name}.md"))).into()
    }

    fn read(path: String) -> Self {
        let text = fs::read_to_string(root().join(&path)).expect(&path);
        Page { path, text }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The blocks with a fence that begins with the word or words `words`.
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
                let place = format!("{}:{line}", self.path);
                blocks.push(Block { name: name.trim_start(), text, place });
            }
            line += 1 + text.matches('\n').count();
            rest = after;
        }
        blocks
    }

    /// The rows of the first table with these column titles: cells without surrounding blanks.
    pub(super) fn table(&self, titles: &str) -> Vec<Vec<&str>> {
        table(&self.text, titles).unwrap_or_else(|| panic!("{}: no table `{titles}`", self.path))
    }

    /// The text outside of fenced blocks.
    pub(super) fn prose(&self) -> String {
        self.text.split("```").step_by(2).collect()
    }

    /// The link targets of the page's headings.
    pub(super) fn anchors(&self) -> Vec<String> {
        let prose = self.prose();
        let headings = prose.lines().filter(|line| line.starts_with('#'));
        headings.map(|line| anchor(line.trim_start_matches('#').trim_start())).collect()
    }

    /// The targets of the page's links.
    pub(super) fn links(&self) -> Vec<String> {
        let prose = self.prose();
        prose
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
            .map(str::to_owned)
            .collect()
    }
}

/// The rows of the first table with these column titles in a text.
pub(super) fn table<'t>(text: &'t str, titles: &str) -> Option<Vec<Vec<&'t str>>> {
    let (_, table) = text.split_once(&format!("\n| {titles} |\n"))?;
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    Some(rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect())
}

/// The link target of a heading.
fn anchor(heading: &str) -> String {
    let words = heading.to_lowercase().replace(' ', "-");
    words.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

/// The blocks of this kind on all pages.
pub(super) fn each_block(words: &str, mut check: impl FnMut(&Block<'_>)) -> usize {
    let mut count = 0;
    for page in Page::all() {
        for block in page.blocks(words) {
            check(&block);
            count += 1;
        }
    }
    count
}

/// The words in backticks in a text.
pub(super) fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}
