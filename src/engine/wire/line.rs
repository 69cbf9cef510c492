//! Lines: who sends them, and how they are cut out of a stream of bytes, with a cap on their length.

use std::fmt;

use super::frame::id_finder::IdFinder;
use crate::engine::text::words::words;

/// How many bytes of a discarded line are kept to be shown.
pub const HEAD_BYTES: usize = 1024;

/// The least room for a read: the capacity of a pipe.
const READ_BYTES: usize = 64 * 1024;
/// Room for lines that are read while others are being written.
const BUFFER_BYTES: usize = 4 * READ_BYTES;

/// Who sent a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The MCP client.
    Client,
    /// The MCP server.
    Server,
}

words!(Side { Client => "client", Server => "server" });

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One line in a [`LineBuffer`]: offsets that stay valid until the next read.
#[derive(Debug)]
pub enum Line {
    /// A line with its line end in the buffer.
    Whole {
        /// First byte.
        start: usize,
        /// After the last byte of the content.
        content_end: usize,
        /// After the line end.
        end: usize,
    },
    /// A line over the cap. Its bytes are discarded.
    TooLong(LongLine),
}

/// The remains of a line over the cap.
#[derive(Debug)]
pub struct LongLine {
    /// Its first 1 KiB.
    pub head: Vec<u8>,
    /// The ids found at the tops of its messages.
    pub ids: Vec<String>,
}

/// A growing buffer between a source and the frames in it.
///
/// ```text
///   bytes:  [ decided: lines handed out | begun: no line end so far | … spare capacity … ]
///           0                    decided                     scanned = len between calls
/// ```
#[derive(Debug)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// `0 <= decided <= scanned <= bytes.len()`
    decided: usize,
    scanned: usize,
    max: usize,
    /// Set while the rest of a line over the cap is being discarded.
    skipping: Option<(Vec<u8>, IdFinder)>,
}

impl LineBuffer {
    /// `max` is the longest line to keep, in bytes without its line end.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let bytes = Vec::with_capacity(BUFFER_BYTES);
        LineBuffer { bytes, decided: 0, scanned: 0, max, skipping: None }
    }

    /// The buffer, with room for a read to append to. Discards the lines handed out so far.
    pub fn spare(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.decided);
        self.scanned = self.scanned.saturating_sub(self.decided);
        self.decided = 0;
        if self.room() < READ_BYTES / 2 {
            // Double the buffer, but reserve no more than the longest line can use.
            let useful = self.max.saturating_add(READ_BYTES).saturating_sub(self.bytes.len());
            self.bytes.reserve_exact(self.bytes.len().min(useful).max(READ_BYTES));
        }
        &mut self.bytes
    }

    /// Frees the memory that only a large line needed, if no line is left. Discards the lines handed out so far.
    pub fn shrink(&mut self) {
        if self.begun() == 0 && self.bytes.capacity() > BUFFER_BYTES {
            self.bytes = Vec::with_capacity(BUFFER_BYTES);
            self.scanned = 0;
            self.decided = 0;
        }
    }

    /// As [`LineBuffer::spare`], but keeps the lines handed out, and moves nothing. `None` if there is too little room;
    /// the extra capacity from a large line does not count.
    pub fn spare_behind(&mut self) -> Option<&mut Vec<u8>> {
        let used = self.bytes.len().saturating_add(READ_BYTES);
        (used <= BUFFER_BYTES).then_some(&mut self.bytes)
    }

    fn room(&self) -> usize {
        self.bytes.capacity().saturating_sub(self.bytes.len())
    }

    /// The next complete line, if there is one.
    pub fn next_line(&mut self) -> Option<Line> {
        let unscanned = self.bytes.get(self.scanned..).unwrap_or_default();
        let Some(found) = memchr::memchr(b'\n', unscanned) else {
            self.scanned = self.bytes.len();
            // One byte of grace: it may be the carriage return of the line end.
            if self.skipping.is_some() || self.begun() > self.max.saturating_add(1) {
                self.skip_to(self.scanned);
            }
            return None;
        };
        let newline = self.scanned.saturating_add(found);
        self.scanned = newline.saturating_add(1);
        self.take_line(newline, self.scanned)
    }

    /// At the end of input: the rest without a line end, if there is any.
    pub fn last_line(&mut self) -> Option<Line> {
        self.scanned = self.bytes.len();
        if self.begun() == 0 && self.skipping.is_none() {
            return None;
        }
        self.take_line(self.scanned, self.scanned)
    }

    /// The bytes between two offsets of a [`Line`].
    #[must_use]
    pub fn slice(&self, start: usize, end: usize) -> &[u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// Where the next line begins.
    #[must_use]
    pub fn decided(&self) -> usize {
        self.decided
    }

    /// The number of bytes not yet handed out.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.bytes.len().saturating_sub(self.decided)
    }

    /// Hands out the line with its line feed at `newline` and its end at `end`.
    fn take_line(&mut self, newline: usize, end: usize) -> Option<Line> {
        let start = self.decided;
        let content = self.slice(start, newline);
        let carriage_return = newline < end && content.ends_with(b"\r");
        let content_end = newline.saturating_sub(usize::from(carriage_return));
        if self.skipping.is_some() || content_end.saturating_sub(start) > self.max {
            self.skip_to(end);
            let (head, finder) = self.skipping.take()?;
            return Some(Line::TooLong(LongLine { head, ids: finder.found() }));
        }
        self.decided = end;
        Some(Line::Whole { start, content_end, end })
    }

    /// Discards the bytes up to `end`, all of which belong to a line over the cap.
    fn skip_to(&mut self, end: usize) {
        let gone = self.bytes.get(self.decided..end).unwrap_or_default();
        let (head, finder) = self.skipping.get_or_insert_default();
        let room = HEAD_BYTES.saturating_sub(head.len());
        head.extend_from_slice(gone.get(..room).unwrap_or(gone));
        finder.feed(gone);
        self.decided = end;
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, LineBuffer};

    /// Feeds `pieces` one by one. Returns the lines as text, with `!` before a line over the cap.
    fn lines(max: usize, pieces: &[&str]) -> Vec<String> {
        let mut buffer = LineBuffer::new(max);
        let mut lines = Vec::new();
        let show = |line: Line, buffer: &LineBuffer| match line {
            Line::Whole { start, content_end, end } => {
                let text = |from, to| String::from_utf8_lossy(buffer.slice(from, to)).into_owned();
                format!("{}|{}", text(start, content_end), text(content_end, end).escape_debug())
            }
            Line::TooLong(line) => {
                format!("!{}:{}", String::from_utf8_lossy(&line.head), line.ids.join(","))
            }
        };
        for piece in pieces {
            buffer.spare().extend_from_slice(piece.as_bytes());
            while let Some(line) = buffer.next_line() {
                lines.push(show(line, &buffer));
            }
        }
        lines.extend(buffer.last_line().map(|line| show(line, &buffer)));
        lines
    }

    #[test]
    fn lines_are_whole_however_they_are_cut() {
        assert_eq!(
            lines(9, &["ab\ncd", "", "ef\r", "\n", "\n", "g\rh\r"]),
            ["ab|\\n", "cdef|\\r\\n", "|\\n", "g\rh\r|"]
        );
    }

    #[test]
    fn a_line_over_the_cap_is_skipped_to_its_end() {
        assert_eq!(lines(3, &["abc\r\nabcd\nx\n"]), ["abc|\\r\\n", "!abcd\n:", "x|\\n"]);
        assert_eq!(
            lines(3, &["ab", "cd", "ef", "gh\nx\nabcde"]),
            ["!abcdefgh\n:", "x|\\n", "!abcde:"]
        );
        assert_eq!(
            lines(3, &["{\"a\":{\"id\":1},", "\"id\" : \"x\\\"y\"", "}\n"]),
            ["!{\"a\":{\"id\":1},\"id\" : \"x\\\"y\"}\n:\"x\\\"y\""]
        );
    }
}
