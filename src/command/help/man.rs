//! Renders a page of the manual as a man page (roff with the macros of man(7), tables by tbl(1)).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::manual::{GROUPS, Page};

use super::PROGRAM;
use super::document::{Block, PageDocument, PageTable, Span, Style};

/// The widest table cell, in characters, that stays on one line; wider ones share the remaining room.
const NARROW: usize = 24;

/// The page as roff: verbs are in section 1, other topics in section 7.
#[must_use]
pub fn page(page: &Page) -> String {
    let document = PageDocument::read(page.text);
    let mut roff = Roff::default();
    let name = name(page.topic);
    let version = concat!("callgate ", env!("CARGO_PKG_VERSION"));
    // Asks man(1) to run tbl(1).
    let _ = writeln!(roff.text, "'\\\" t");
    let section = section(page.topic);
    let _ = writeln!(roff.text, ".TH {} {section} \"\" \"{version}\"", name.to_uppercase());
    roff.text.push_str(&fallbacks(page.text));
    // Neither hyphenates nor justifies, which would change names and options.
    let _ = writeln!(roff.text, ".nh\n.ad l");
    let _ = writeln!(roff.text, ".SH NAME\n{} \\- {}", escape(&name), escape(page.summary));
    let _ = writeln!(roff.text, ".SH DESCRIPTION");
    for block in &document.blocks {
        roff.block(block);
    }
    if !document.see_also.is_empty() {
        let pages = document
            .see_also
            .iter()
            .map(|topic| format!(".BR {} ({})", escape(&self::name(topic)), self::section(topic)));
        let _ = writeln!(roff.text, ".SH SEE ALSO\n{}", pages.collect::<Vec<_>>().join(" ,\n"));
    }
    roff.text
}

/// Replacements for characters of `text` that printer fonts lack.
fn fallbacks(text: &str) -> String {
    let drawn: BTreeSet<char> = text.chars().filter(|c| !c.is_ascii()).collect();
    let mut lines = String::new();
    for c in drawn {
        let plain = match c {
            '\u{2500}' => "\\-".to_owned(),
            '\u{2502}' => "|".to_owned(),
            '\u{2501}'..='\u{257f}' => "+".to_owned(),
            '\u{2588}' => "#".to_owned(),
            '\u{25b2}' => "\\(ha".to_owned(),
            '\u{25ba}' => ">".to_owned(),
            '\u{25bc}' => "v".to_owned(),
            '\u{25c4}' => "<".to_owned(),
            // Full-width forms are in the same order as ASCII.
            '\u{ff01}'..='\u{ff5e}' => {
                let ascii = u32::from(c).checked_sub(0xfee0).and_then(char::from_u32);
                escape(&ascii.map(String::from).unwrap_or_default())
            }
            _ => continue,
        };
        let _ = writeln!(lines, ".fchar \\[u{:04X}] {plain}", u32::from(c));
    }
    lines
}

/// The page's name among all man pages.
fn name(topic: &str) -> String {
    if topic == PROGRAM { topic.to_owned() } else { format!("{PROGRAM}-{topic}") }
}

/// 1 for the program and its verbs, 7 for everything else.
fn section(topic: &str) -> u8 {
    let is_verb = GROUPS.iter().any(|group| {
        group.title == "Commands" && group.pages.iter().any(|page| page.topic == topic)
    });
    if is_verb { 1 } else { 7 }
}

/// Escapes text so that roff shows it as it is, even at the beginning of a line.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '\'' => escaped.push_str("\\(aq"),
            '`' => escaped.push_str("\\(ga"),
            '^' => escaped.push_str("\\(ha"),
            '~' => escaped.push_str("\\(ti"),
            '.' if escaped.is_empty() => escaped.push_str("\\&."),
            c if c.is_ascii() => escaped.push(c),
            // Some formatters read bytes, not characters.
            c => {
                let _ = write!(escaped, "\\[u{:04X}]", u32::from(c));
            }
        }
    }
    escaped
}

/// The page so far.
#[derive(Default)]
struct Roff {
    text: String,
}

impl Roff {
    fn block(&mut self, block: &Block) {
        match block {
            // The name section serves as the title.
            Block::Heading(1, _) => {}
            Block::Heading(level, text) => {
                let macro_name = if *level == 2 { "SH" } else { "SS" };
                let title: String = text.iter().map(|span| &*span.text).collect();
                let _ = writeln!(
                    self.text,
                    ".{macro_name} \"{}\"",
                    escape(&title).replace('"', "\\(dq")
                );
            }
            Block::Paragraph(text) => {
                let _ = writeln!(self.text, ".PP\n{}", inline(text));
            }
            Block::Code(code) => self.code(code),
            Block::List(first, items) => self.list(*first, items),
            Block::Table(table) => self.table(table),
        }
    }

    fn code(&mut self, code: &str) {
        let _ = writeln!(self.text, ".PP\n.RS 4\n.EX");
        for line in code.lines() {
            let _ = writeln!(self.text, "{}", escape(line));
        }
        let _ = writeln!(self.text, ".EE\n.RE");
    }

    fn list(&mut self, first: Option<u64>, items: &[Vec<Block>]) {
        let numbers = first.unwrap_or_default()..;
        for (number, item) in numbers.zip(items) {
            let mark = if first.is_some() { format!("{number}.") } else { "\\(bu".to_owned() };
            let _ = writeln!(self.text, ".IP {mark} 4");
            let mut blocks = item.iter();
            if let [Block::Paragraph(text), ..] = &item[..] {
                let _ = writeln!(self.text, "{}", inline(text));
                blocks.next();
            }
            if blocks.len() > 0 {
                let _ = writeln!(self.text, ".RS 4");
                blocks.for_each(|block| self.block(block));
                let _ = writeln!(self.text, ".RE");
            }
        }
    }

    fn table(&mut self, table: &PageTable) {
        let wide = |column: usize| {
            let cells = table.rows.iter().filter_map(|row| row.get(column));
            let widths = cells.map(|cell| cell.iter().map(|span| span.text.chars().count()).sum());
            widths.max().unwrap_or(0_usize) > NARROW
        };
        let columns: Vec<bool> = (0..table.head.len()).map(wide).collect();
        let format: Vec<&str> = columns.iter().map(|wide| if *wide { "lx" } else { "l" }).collect();
        let _ = writeln!(self.text, ".PP\n.TS\ntab(\x01);\n{}.", format.join(" "));
        let has_titles = table.head.iter().any(|title| !title.is_empty());
        let titles = has_titles.then_some(&table.head);
        for (nth, row) in titles.into_iter().chain(&table.rows).enumerate() {
            let is_title = has_titles && nth == 0;
            let cells = row.iter().zip(&columns).map(|(cell, wide)| {
                let text = if is_title { bold(cell) } else { inline(cell) };
                if *wide { format!("T{{\n{}\nT}}", breakable(&text)) } else { text }
            });
            let _ = writeln!(self.text, "{}", cells.collect::<Vec<_>>().join("\x01"));
            if is_title {
                let _ = writeln!(self.text, "_");
            }
        }
        let _ = writeln!(self.text, ".TE");
    }
}

/// Allows line breaks in paths and URLs: after slashes and the separators of a query.
fn breakable(text: &str) -> String {
    let text = text.replace('/', "/\\:").replace('?', "?\\:").replace('&', "&\\:");
    // This escape prints nothing.
    text.replace("\\&\\:", "\\&")
}

/// Renders text with its fonts.
fn inline(text: &[Span]) -> String {
    let mut line = String::new();
    for span in text {
        let text = if line.is_empty() { escape(&span.text) } else { escape_inside(&span.text) };
        match span.style {
            Style::Plain | Style::Link => line.push_str(&text),
            Style::Strong | Style::Code => {
                let _ = write!(line, "\\fB{text}\\fR");
            }
            Style::Emphasis => {
                let _ = write!(line, "\\fI{text}\\fR");
            }
        }
    }
    line
}

/// Escapes text that does not begin a line.
fn escape_inside(text: &str) -> String {
    escape(&format!("x{text}")).split_off(1)
}

fn bold(text: &[Span]) -> String {
    let plain: String = text.iter().map(|span| &*span.text).collect();
    if plain.is_empty() { plain } else { format!("\\fB{}\\fR", escape(&plain)) }
}

#[cfg(test)]
mod tests {
    use super::page;
    use crate::manual::Page;

    #[test]
    fn roff_shows_text_as_it_is() {
        let text = "# X\n\n.a 'b' \\c `d-e` … ►\n\n## F \"g\"\n\n- h\n\n```\n.i ~ ^\n```\n\n| j | k |\n|---|---|\n| l | a cell/with more text than a narrow one |\n\n[m](wrap.md)\n";
        let page = page(&Page { topic: "limits", summary: "s", text });
        for part in [
            ".TH CALLGATE-LIMITS 7 ",
            "callgate\\-limits \\- s\n",
            "\\&.a \\(aqb\\(aq \\ec \\fBd\\-e\\fR \\[u2026] \\[u25BA]\n",
            ".SH \"F \\(dqg\\(dq\"\n",
            ".IP \\(bu 4\nh\n",
            "\\&.i \\(ti \\(ha\n",
            "l lx.\n\\fBj\\fR\x01T{\n\\fBk\\fR\nT}\n_\nl\x01T{\na cell/\\:with more text than a narrow one\nT}\n",
            ".BR callgate\\-wrap (1)\n",
            ".fchar \\[u25BA] >\n",
        ] {
            assert!(page.contains(part), "{part:?} is missing:\n{page}");
        }
    }
}
