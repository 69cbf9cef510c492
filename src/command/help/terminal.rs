//! Renders a page of the manual for a terminal: only lines of code may be wider than it.

use unicode_width::UnicodeWidthStr as _;

use super::document::{Block, PageDocument, Span, Style};
use super::layout::PageLayout;
use super::table;

/// Indentation of text under headings.
const INDENT: usize = 4;

/// Renders a page, with the pages that it links to at the end.
#[must_use]
pub fn render(document: &PageDocument, layout: PageLayout) -> String {
    let mut painter = Painter { layout, lines: Vec::new() };
    painter.blocks(&document.blocks, INDENT);
    if !document.see_also.is_empty() {
        let pages: Vec<String> =
            document.see_also.iter().map(|page| format!("callgate help {page}")).collect();
        painter.lines.push(String::new());
        painter.heading("See also", 0);
        painter.lines.push(String::new());
        let span = |text: &String| Span { text: text.clone(), style: Style::Code };
        for page in &pages {
            painter.paragraph(&[span(page)], INDENT);
        }
    }
    let mut text = painter.lines.join("\n");
    text.push('\n');
    text
}

/// Renders blocks line by line.
struct Painter {
    layout: PageLayout,
    lines: Vec<String>,
}

impl Painter {
    fn blocks(&mut self, blocks: &[Block], indent: usize) {
        for (nth, block) in blocks.iter().enumerate() {
            if nth > 0 {
                self.lines.push(String::new());
            }
            match block {
                Block::Heading(level, text) => {
                    let shown: String = text.iter().map(|span| &*span.text).collect();
                    let indent = if *level > 2 { INDENT / 2 } else { 0 };
                    let shown = if *level == 1 { shown.to_uppercase() } else { shown };
                    self.heading(&shown, indent);
                }
                Block::Paragraph(text) => self.paragraph(text, indent),
                Block::Code(code) => self.code(code, indent),
                Block::List(first, items) => self.list(*first, items, indent),
                Block::Table(table) => {
                    let width = self.layout.columns.saturating_sub(indent);
                    for line in table::lines(table, self.layout, width) {
                        self.line(&line, indent);
                    }
                }
            }
        }
    }

    /// Adds an indented line; an empty one gets no spaces.
    fn line(&mut self, text: &str, indent: usize) {
        let line = format!("{}{text}", " ".repeat(indent));
        self.lines.push(line.trim_end().to_owned());
    }

    fn heading(&mut self, text: &str, indent: usize) {
        let words = self.layout.words(&[Span { text: text.to_owned(), style: Style::Strong }]);
        for line in self.layout.wrap(&words, self.layout.columns.saturating_sub(indent)) {
            self.line(&line.text, indent);
        }
    }

    fn paragraph(&mut self, text: &[Span], indent: usize) {
        let words = self.layout.words(text);
        for line in self.layout.wrap(&words, self.layout.columns.saturating_sub(indent)) {
            self.line(&line.text, indent);
        }
    }

    fn code(&mut self, code: &str, indent: usize) {
        for line in code.lines() {
            self.line(line, indent.saturating_add(2));
        }
    }

    /// Adds items, each after its mark, without blank lines between them if each is a single paragraph.
    fn list(&mut self, first: Option<u64>, items: &[Vec<Block>], indent: usize) {
        let is_tight = items.iter().all(|item| matches!(item[..], [Block::Paragraph(_)] | []));
        for (nth, item) in items.iter().enumerate() {
            if nth > 0 && !is_tight {
                self.lines.push(String::new());
            }
            let number = u64::try_from(nth).unwrap_or_default();
            let mark = match first {
                Some(first) => format!("{}.", first.saturating_add(number)),
                None => "•".to_owned(),
            };
            let deeper = indent.saturating_add(mark.width()).saturating_add(1);
            let begin = self.lines.len();
            self.blocks(item, deeper);
            // The mark replaces the indentation of the first line.
            if let Some(line) = self.lines.get_mut(begin) {
                let text = line.trim_start().to_owned();
                *line = format!("{}{mark} {text}", " ".repeat(indent));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PageDocument, PageLayout, render};

    fn plain(markdown: &str, columns: usize) -> String {
        render(&PageDocument::read(markdown), PageLayout { columns, is_coloured: false })
    }

    #[test]
    fn text_is_wrapped_and_lists_hang() {
        let page = "# A `b`\n\nOne two three [four](five.md) six.\n\n1. seven eight nine\n2. ten\n\n```\ncode that is never broken\n```\n";
        let shown = "A B\n\n    One two three\n    four six.\n\n    1. seven eight\n       nine\n    2. ten\n\n      code that is never broken\n\nSee also\n\n    `callgate help\n    five`\n";
        assert_eq!(plain(page, 18), shown);
    }

    #[test]
    fn long_words_are_broken_and_wide_ones_counted() {
        assert_eq!(plain("`ab/cdef/gh`", 11), "    `ab/\n    cdef/\n    gh`\n");
        assert_eq!(plain("abcdefghij kl", 9), "    abcde\n    fghij\n    kl\n");
        assert_eq!(plain("全角全角 a", 10), "    全角全\n    角 a\n");
    }

    #[test]
    fn colour_takes_no_room() {
        let layout = PageLayout { columns: 12, is_coloured: true };
        let text = render(&PageDocument::read("a **b** `c d` e"), layout);
        assert_eq!(
            text,
            "    a \u{1b}[1mb\u{1b}[0m \u{1b}[36mc\u{1b}[0m \u{1b}[36md\u{1b}[0m\n    e\n"
        );
    }
}
