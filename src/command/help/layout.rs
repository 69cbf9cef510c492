//! Lays out words and lines on a screen, and keeps track of their widths.

use unicode_width::UnicodeWidthChar as _;
use unicode_width::UnicodeWidthStr as _;

use super::document::{Span, Style};

/// The layout of a page.
#[derive(Debug, Clone, Copy)]
pub struct PageLayout {
    /// The columns of the terminal.
    pub columns: usize,
    /// True to use escape sequences for colours and styles.
    pub is_coloured: bool,
}

/// The text between two spaces, which may have several styles.
#[derive(Debug, Clone, Default)]
pub(super) struct LaidWord {
    parts: Vec<(String, Style)>,
    pub(super) width: usize,
}

/// One line, with its width on the screen.
#[derive(Debug, Clone, Default)]
pub(super) struct PageLine {
    pub(super) text: String,
    pub(super) width: usize,
}

impl PageLayout {
    /// Wraps text in escape sequences, if the layout has them.
    pub(super) fn paint(self, text: &str, code: &str) -> String {
        if self.is_coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Applies a style to the text.
    pub(super) fn styled(self, text: &str, style: Style) -> String {
        match style {
            Style::Plain => text.to_owned(),
            Style::Strong => self.paint(text, "1"),
            Style::Emphasis => self.paint(text, "3"),
            Style::Code => self.paint(text, "36"),
            Style::Link => self.paint(text, "4"),
        }
    }

    /// Splits a text into words. Without colours, backticks mark code.
    pub(super) fn words(self, text: &[Span]) -> Vec<LaidWord> {
        let mut words = Vec::new();
        let mut word = LaidWord::default();
        for span in text {
            let quoted = span.style == Style::Code && !self.is_coloured;
            let shown = if quoted { format!("`{}`", span.text) } else { span.text.clone() };
            for (nth, piece) in shown.split(' ').enumerate() {
                if nth > 0 && word.width > 0 {
                    words.push(std::mem::take(&mut word));
                }
                if !piece.is_empty() {
                    word.width = word.width.saturating_add(piece.width());
                    word.parts.push((piece.to_owned(), span.style));
                }
            }
        }
        words.extend(Some(word).filter(|word| word.width > 0));
        words
    }

    /// Arranges words in lines of at most `width` columns. A longer word is broken.
    pub(super) fn wrap(self, words: &[LaidWord], width: usize) -> Vec<PageLine> {
        let width = width.max(1);
        let mut lines = Vec::new();
        let mut line = PageLine::default();
        for word in words.iter().flat_map(|word| word.pieces(width)) {
            let wider = line.width.saturating_add(1).saturating_add(word.width);
            if line.width > 0 && wider > width {
                lines.push(std::mem::take(&mut line));
            }
            if line.width > 0 {
                line.text.push(' ');
                line.width = line.width.saturating_add(1);
            }
            for (part, style) in &word.parts {
                line.text.push_str(&self.styled(part, *style));
            }
            line.width = line.width.saturating_add(word.width);
        }
        if line.width > 0 || lines.is_empty() {
            lines.push(line);
        }
        lines
    }
}

impl LaidWord {
    /// Breaks the word into pieces of at most `width` columns, after a separator where possible.
    pub(super) fn pieces(&self, width: usize) -> Vec<LaidWord> {
        if self.width <= width {
            return vec![self.clone()];
        }
        let styled = self.parts.iter().map(|(part, style)| part.chars().map(|c| (c, *style)));
        let chars: Vec<(char, Style)> = styled.flatten().collect();
        let mut pieces = Vec::new();
        let mut rest = &*chars;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(cut(rest, width));
            pieces.push(LaidWord::of(piece));
            rest = behind;
        }
        pieces
    }

    pub(super) fn of(chars: &[(char, Style)]) -> LaidWord {
        let mut word = LaidWord::default();
        for (c, style) in chars {
            word.width = word.width.saturating_add(c.width().unwrap_or_default());
            match word.parts.last_mut() {
                Some((part, last)) if last == style => part.push(*c),
                _ => word.parts.push((c.to_string(), *style)),
            }
        }
        word
    }
}

/// How many characters fit into `width` columns, at least one; up to a separator in the second half, if there is one.
fn cut(chars: &[(char, Style)], width: usize) -> usize {
    let mut columns = 0_usize;
    let fitting = chars.iter().take_while(|(c, _)| {
        columns = columns.saturating_add(c.width().unwrap_or_default());
        columns <= width
    });
    let fit = fitting.count().max(1);
    let is_separator = |(c, _): &(char, Style)| "/\\.:,]".contains(*c);
    let separator = chars.iter().take(fit).rposition(is_separator);
    match separator {
        Some(at) if fit < chars.len() && at >= fit / 2 => at.saturating_add(1),
        _ => fit,
    }
}
