//! Parses a page of the manual into blocks, for both renderers.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// A page.
#[derive(Debug, Default)]
pub struct PageDocument {
    /// Its blocks, in order.
    pub blocks: Vec<Block>,
    /// The pages that it links to, each once, in order.
    pub see_also: Vec<String>,
}

/// A part of a page.
#[derive(Debug)]
pub enum Block {
    /// A heading of this level, from 1.
    Heading(u8, StyledText),
    /// Running text.
    Paragraph(StyledText),
    /// Text that keeps its lines.
    Code(String),
    /// Items, with the number of the first if they are numbered.
    List(Option<u64>, Vec<Vec<Block>>),
    /// A table.
    Table(PageTable),
}

/// A table, whose rows have as many cells as its head.
#[derive(Debug, Default)]
pub struct PageTable {
    /// The column titles; all empty if there are none.
    pub head: Vec<StyledText>,
    /// The cells.
    pub rows: Vec<Vec<StyledText>>,
}

/// A run of text in several styles.
pub type StyledText = Vec<Span>;

/// Text in one style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The text.
    pub text: String,
    /// How it is set off.
    pub style: Style,
}

/// How text is set off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Not at all.
    Plain,
    /// Important.
    Strong,
    /// Stressed.
    Emphasis,
    /// Code, as it is typed.
    Code,
    /// A link to another page.
    Link,
}

impl PageDocument {
    /// Parses Markdown. Elements without a block of their own, such as HTML, are left out.
    #[must_use]
    pub fn read(markdown: &str) -> Self {
        let mut reader = PageReader {
            events: Parser::new_ext(markdown, Options::ENABLE_TABLES),
            see_also: Vec::new(),
        };
        PageDocument { blocks: reader.blocks(), see_also: reader.see_also }
    }
}

/// Reads the events of a parser.
struct PageReader<'m> {
    events: Parser<'m>,
    see_also: Vec<String>,
}

impl PageReader<'_> {
    /// Reads blocks up to the end of the enclosing block.
    fn blocks(&mut self) -> Vec<Block> {
        let mut blocks = Vec::new();
        // An item of a tight list holds text without a paragraph around it.
        let mut loose = StyledText::new();
        while let Some(event) = self.events.next() {
            let block = match event {
                Event::Start(Tag::Heading { level, .. }) => {
                    Block::Heading(number(level), self.text())
                }
                Event::Start(Tag::Paragraph) => Block::Paragraph(self.text()),
                Event::Start(Tag::CodeBlock(kind)) => Block::Code(self.code(&kind)),
                Event::Start(Tag::List(first)) => Block::List(first, self.items()),
                Event::Start(Tag::Table(_)) => Block::Table(self.table()),
                Event::End(_) => break,
                inline => {
                    self.inline(inline, Style::Plain, &mut loose);
                    continue;
                }
            };
            if !loose.is_empty() {
                blocks.push(Block::Paragraph(std::mem::take(&mut loose)));
            }
            blocks.push(block);
        }
        if !loose.is_empty() {
            blocks.push(Block::Paragraph(loose));
        }
        blocks
    }

    fn items(&mut self) -> Vec<Vec<Block>> {
        let mut items = Vec::new();
        while let Some(Event::Start(Tag::Item)) = self.events.next() {
            items.push(self.blocks());
        }
        items
    }

    fn code(&mut self, _kind: &CodeBlockKind<'_>) -> String {
        let mut code = String::new();
        while let Some(Event::Text(text)) = self.events.next() {
            code.push_str(&text);
        }
        code
    }

    fn table(&mut self) -> PageTable {
        let mut table = PageTable::default();
        while let Some(event) = self.events.next() {
            match event {
                Event::Start(Tag::TableHead) => table.head = self.cells(),
                Event::Start(Tag::TableRow) => table.rows.push(self.cells()),
                Event::End(TagEnd::Table) => break,
                _ => {}
            }
        }
        table
    }

    fn cells(&mut self) -> Vec<StyledText> {
        let mut cells = Vec::new();
        while let Some(Event::Start(Tag::TableCell)) = self.events.next() {
            cells.push(self.text());
        }
        cells
    }

    /// Reads text up to the end of the enclosing block.
    fn text(&mut self) -> StyledText {
        let mut text = StyledText::new();
        while let Some(event) = self.events.next() {
            if matches!(event, Event::End(_)) {
                break;
            }
            self.inline(event, Style::Plain, &mut text);
        }
        text
    }

    /// Appends the text of an inline event, with everything inside it.
    fn inline(&mut self, event: Event<'_>, style: Style, text: &mut StyledText) {
        let mut push = |added: &str, style| {
            text.push(Span { text: added.to_owned(), style });
        };
        match event {
            Event::Text(added) => push(&added, style),
            Event::Code(added) => push(&added, Style::Code),
            Event::SoftBreak | Event::HardBreak => push(" ", style),
            Event::Start(Tag::Strong) => self.inside(Style::Strong, text),
            Event::Start(Tag::Emphasis) => self.inside(Style::Emphasis, text),
            Event::Start(Tag::Link { dest_url, .. }) => {
                let is_url = dest_url.contains("://");
                let page = (!is_url).then(|| topic(&dest_url)).flatten();
                let style = if page.is_some() { Style::Link } else { style };
                let before = text.len();
                self.inside(style, text);
                let shown: String = text.iter().skip(before).map(|span| &*span.text).collect();
                if is_url && shown != *dest_url {
                    text.push(Span { text: format!(" <{dest_url}>"), style: Style::Plain });
                }
                self.see_also.extend(page.filter(|page| !self.see_also.contains(page)));
            }
            _ => {}
        }
    }

    /// Appends the content of an element in this style.
    fn inside(&mut self, style: Style, text: &mut StyledText) {
        while let Some(event) = self.events.next() {
            if matches!(event, Event::End(_)) {
                break;
            }
            self.inline(event, style, text);
        }
    }
}

/// The topic of a relative link: `limits` for `limits.md#windows`.
fn topic(link: &str) -> Option<String> {
    let file = link.split('#').next().unwrap_or_default();
    file.strip_suffix(".md").filter(|topic| !topic.contains('/')).map(str::to_owned)
}

fn number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, PageDocument, Style};

    #[test]
    fn markdown_becomes_blocks() {
        let text = "# A `b`\n\nc **d** [e](f.md#g), [h](https://i/)\n\n- j\n- k\n\n  l\n\n```console\n$ m\n```\n\n| n | o |\n|---|---|\n| p | q \\| r |\n";
        let document = PageDocument::read(text);
        assert_eq!(document.see_also, ["f"]);
        let [Block::Heading(1, title), Block::Paragraph(text), rest @ ..] = &*document.blocks
        else {
            panic!("{document:?}")
        };
        assert_eq!(title[1].style, Style::Code);
        let shown: String = text.iter().map(|span| &*span.text).collect();
        assert_eq!(shown, "c d e, h <https://i/>");
        assert!(text.iter().any(|span| span.text == "e" && span.style == Style::Link));
        let [Block::List(None, items), Block::Code(code), Block::Table(table)] = rest else {
            panic!("{rest:?}")
        };
        assert_eq!(items.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(code, "$ m\n");
        let cell: String = table.rows[0][1].iter().map(|span| &*span.text).collect();
        assert_eq!((table.head.len(), &*cell), (2, "q | r"));
    }
}
