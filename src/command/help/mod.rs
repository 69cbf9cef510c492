//! `callgate help`: shows the manual, laid out for a terminal, as Markdown or as man pages.

pub mod document;
pub mod layout;
pub mod man;
mod pager;
pub mod table;
pub mod terminal;

use std::fmt::Write as _;

use anyhow::anyhow;

use crate::cli::{HelpArgs, PageFormat};
use crate::manual::{self, GROUPS, Page};

use self::document::PageDocument;
use self::layout::PageLayout;
use super::Error;
use super::show::stdout;

/// The topic of the page on the command line itself: callgate(1).
const PROGRAM: &str = "callgate";

/// The widest text: longer lines are hard to read.
const MAX_COLUMNS: usize = 100;

/// How similar a topic must be to be suggested, from 0 to 1.
const ALIKE: f64 = 0.75;

/// Shows a page of the manual, or the list of pages.
///
/// # Errors
/// There is no such topic, or stdout cannot be written.
pub fn help(args: &HelpArgs) -> Result<(), Error> {
    let page = args.topic.as_deref().map(find).transpose()?;
    let text = match (args.format, page) {
        (PageFormat::Text, page) => {
            let columns = stdout::columns().min(MAX_COLUMNS);
            let layout = PageLayout { columns, is_coloured: stdout::in_colour() };
            pager::show(&shown(page, layout))?;
            return Ok(());
        }
        (PageFormat::Markdown, Some(page)) => page.text.to_owned(),
        (PageFormat::Markdown, None) => contents(),
        (PageFormat::Man, page) => {
            let program = manual::page(PROGRAM);
            page.or(program).map(man::page).unwrap_or_default()
        }
    };
    stdout::result(|out| Ok(out.write_all(text.as_bytes())?))?;
    Ok(())
}

/// A page, or the list of pages, as text in this layout.
#[must_use]
pub fn shown(page: Option<&Page>, layout: PageLayout) -> String {
    match page {
        Some(page) => terminal::render(&PageDocument::read(page.text), layout),
        None => terminal::render(&PageDocument::read(&contents()), layout),
    }
}

/// Finds the page of a topic; the error suggests a similar one.
fn find(topic: &str) -> anyhow::Result<&'static Page> {
    manual::page(topic).ok_or_else(|| match closest(topic) {
        Some(near) => anyhow!("no page of the manual is called `{topic}`; did you mean `{near}`?"),
        None => anyhow!("no page of the manual is called `{topic}`; `callgate help` lists them"),
    })
}

/// The topic that a word probably means: one that contains it, or else the most similar one.
fn closest(word: &str) -> Option<&'static str> {
    let word = word.to_lowercase();
    let is_part = |topic: &&str| word.len() > 2 && (topic.contains(&*word) || word.contains(topic));
    let topics = || manual::pages().map(|page| page.topic);
    let near = || {
        let scored = topics().map(|topic| (strsim::jaro_winkler(topic, &word), topic));
        let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
        (best.0 >= ALIKE).then_some(best.1)
    };
    topics().find(is_part).or_else(near)
}

/// The list of pages, in Markdown.
fn contents() -> String {
    let mut text = "# The manual of callgate\n\n`callgate help TOPIC` shows a page. \
        `callgate VERB --help` lists the options of a verb.\n"
        .to_owned();
    for group in GROUPS {
        let _ = write!(text, "\n## {}\n\n| | |\n|---|---|\n", group.title);
        for page in group.pages {
            let _ = writeln!(text, "| {} | {} |", page.topic, page.summary);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{closest, find};

    #[test]
    fn a_wrong_topic_gets_the_right_one() {
        for (typed, meant) in [
            ("limit", "limits"),
            ("Limits", "limits"),
            ("audit", "audit-log"),
            ("quickstart", "quick-start"),
            ("wrp", "wrap"),
            ("operater", "operators"),
        ] {
            assert_eq!(closest(typed), Some(meant), "{typed}");
        }
        assert_eq!(closest("zzz"), None);
        let error = find("zzz").expect_err("no such page").to_string();
        assert_eq!(error, "no page of the manual is called `zzz`; `callgate help` lists them");
    }
}
