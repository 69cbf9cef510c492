//! Shows problems and warnings about a file to people: the place, the line, and a mark under the token.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use crate::engine::compile::diagnostic::{Diagnostic, Severity};
use crate::engine::compile::fields::{Position, token_at};
use crate::engine::text::escape::{escape_line, is_hidden, push_escaped};
use crate::engine::text::shorten::MARK;

/// Columns that the frame around a line of the file takes.
const FRAME_COLUMNS: usize = 12;

/// The least number of columns for a line.
const LEAST_COLUMNS: usize = 30;

/// A file with diagnostics.
#[derive(Debug)]
pub struct SourceFile<'f> {
    path: String,
    text: Cow<'f, str>,
}

/// A diagnostic as JSON.
#[derive(Debug, Serialize)]
pub struct JsonDiagnostic<'d> {
    severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    line: usize,
    column: usize,
    /// The column of the character after the token.
    end_column: usize,
    pointer: &'d str,
    message: &'d str,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'d str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'d [String],
}

impl<'f> SourceFile<'f> {
    /// The file at `path` with this content.
    #[must_use]
    pub fn new(path: &Path, content: &'f [u8]) -> Self {
        // Only the first bad byte of a file that is not UTF-8 is ever reported, and nothing before it moves.
        let text = String::from_utf8_lossy(content);
        SourceFile { path: escape_line(&path.display().to_string()).into_owned(), text }
    }

    /// Renders a diagnostic as rustc would, in at most `columns` columns, without a final line feed.
    #[must_use]
    pub fn show(&self, diagnostic: &Diagnostic, columns: usize, in_colour: bool) -> String {
        let Diagnostic { severity, code, at, len, pointer, message, help, notes } = diagnostic;
        let place = Position::of(*at, self.text.as_bytes());
        let width = columns.saturating_sub(FRAME_COLUMNS).max(LEAST_COLUMNS);
        let (line, token) = self.excerpt(*at, self.token(*at, *len), width);
        let level = match severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut title = level.primary_title(escape_line(message));
        if let Some(code) = code {
            title = title.id(*code);
        }
        let origin = Origin::path(self.path.as_str()).line(place.line).char_column(place.column);
        let mark = AnnotationKind::Primary.span(token);
        let snippet = Snippet::source(line).line_start(place.line).fold(false).annotation(mark);
        let mut group: Group<'_> = title.element(origin).element(snippet);
        if !pointer.is_empty() {
            group = group.element(Level::NOTE.with_name("at").message(escape_line(pointer)));
        }
        if !notes.is_empty() {
            let notes: Vec<Cow<'_, str>> = notes.iter().map(|note| escape_line(note)).collect();
            group = group.element(Level::NOTE.message(notes.join("\n")));
        }
        if let Some(help) = help {
            group = group.element(Level::HELP.message(escape_line(help)));
        }
        let renderer = if in_colour { Renderer::styled() } else { Renderer::plain() };
        // The line is already cut to fit.
        let shown = renderer.term_width(usize::from(u16::MAX)).render(&[group]);
        // The crate marks a gap between the place and the line, where there is none.
        let is_gap = |&(nth, line): &(usize, &str)| nth == 3 && line.contains(":::");
        let lines = shown.lines().enumerate().filter(|numbered| !is_gap(numbered));
        lines.map(|(_, line)| line.trim_end()).collect::<Vec<_>>().join("\n")
    }

    /// The diagnostic as JSON.
    #[must_use]
    pub fn json<'d>(&self, diagnostic: &'d Diagnostic) -> JsonDiagnostic<'d> {
        let Diagnostic { severity, code, at, len, pointer, message, help, notes } = diagnostic;
        let Position { line, column } = Position::of(*at, self.text.as_bytes());
        let token = self.token(*at, *len);
        JsonDiagnostic {
            severity: *severity,
            code: *code,
            line,
            column,
            end_column: column.saturating_add(token.chars().count()),
            pointer,
            message,
            help: help.as_deref(),
            notes,
        }
    }

    /// The token at a byte of the file, up to the end of its line.
    fn token(&self, at: usize, len: Option<usize>) -> &str {
        let at = self.text.floor_char_boundary(at);
        let end = len.map_or(at, |len| self.text.floor_char_boundary(at.saturating_add(len)));
        let range = if end > at { at..end } else { token_at(&self.text, at) };
        let token = self.text.get(range).unwrap_or_default();
        token.lines().next().unwrap_or_default()
    }

    /// The part of the line around a byte of the file that fits into `width` columns, and the token's range in it.
    fn excerpt(&self, at: usize, token: &str, width: usize) -> (String, Range<usize>) {
        let text = &*self.text;
        let at = text.floor_char_boundary(at);
        let (before, behind) = text.split_at_checked(at).unwrap_or((text, ""));
        let before = before.rsplit('\n').next().unwrap_or_default();
        let behind = behind.split('\n').next().unwrap_or_default();
        let behind = behind.strip_suffix('\r').unwrap_or(behind);
        // The token may take two thirds if the text before it needs more than the first third.
        let room_before =
            width.saturating_sub(cells(behind).min(width.saturating_mul(2).div_ceil(3)));
        let mut line = String::new();
        let head = fitting_tail(before, room_before);
        if head.len() < before.len() {
            line.push(MARK);
        }
        head.chars().for_each(|c| push_visible(&mut line, c));
        let start = line.len();
        let mut end = start;
        let room = width.saturating_sub(cells(head));
        let tail = fitting_head(behind, room);
        for (offset, c) in tail.char_indices() {
            push_visible(&mut line, c);
            if offset < token.len() {
                end = line.len();
            }
        }
        if tail.len() < behind.len() {
            line.push(MARK);
        }
        (line, start..end)
    }
}

/// The greatest number of columns that a text can take.
fn cells(text: &str) -> usize {
    // No terminal is wider than this.
    text.chars().take(1024).map(cells_of).fold(0, usize::saturating_add)
}

fn cells_of(c: char) -> usize {
    match c {
        ' '..='~' => 1,
        '\t' => 4,
        c if is_hidden(c) => 10,
        _ => 2,
    }
}

/// The longest beginning of a text that fits into `width` columns.
fn fitting_head(text: &str, width: usize) -> &str {
    let mut taken = 0_usize;
    let over = text.char_indices().find(|&(_, c)| {
        taken = taken.saturating_add(cells_of(c));
        taken > width
    });
    over.map_or(text, |(end, _)| text.get(..end).unwrap_or_default())
}

/// The longest end of a text that fits into `width` columns.
fn fitting_tail(text: &str, width: usize) -> &str {
    let mut taken = 0_usize;
    let over = text.char_indices().rev().find(|&(_, c)| {
        taken = taken.saturating_add(cells_of(c));
        taken > width
    });
    over.map_or(text, |(at, c)| text.get(at.saturating_add(c.len_utf8())..).unwrap_or_default())
}

/// Appends a character, escaped if it is not visible; a tab counts as white space.
fn push_visible(line: &mut String, c: char) {
    if c == '\t' { line.push(c) } else { push_escaped(line, c) }
}
