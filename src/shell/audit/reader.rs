//! Reading the lines of a file forwards and backwards, in bounded memory.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::Context as _;

use super::files::{OpenedFile, failed, rotated_path};
use super::head::{ChainLink, Head};
use crate::shell::digest::Hash;
use crate::shell::os;

/// How much is read at once.
const BLOCK: usize = 256 * 1024;
/// A longer line was never written by callgate, and is not kept.
const MAX_LINE: usize = 1024 * 1024;
/// How much of such a line is kept.
const SHOWN: usize = 256;

/// One line of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLine<'b> {
    /// Where it begins.
    pub at: u64,
    /// Its length without the line feed.
    pub length: u64,
    /// The line, or the beginning of one that is too long.
    pub bytes: &'b [u8],
    /// True if it ends with a line feed.
    pub is_ended: bool,
}

impl LogLine<'_> {
    /// True if it is here as a whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.bytes.len() as u64 == self.length
    }

    /// Where the next one begins.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.at.saturating_add(self.length).saturating_add(u64::from(self.is_ended))
    }
}

/// Reads lines from a place on.
#[derive(Debug)]
pub struct Forward {
    buffer: Vec<u8>,
    /// Where the next line begins in the buffer.
    begin: usize,
    /// How much behind that has no line feed.
    searched: usize,
    /// Where the next line begins in the file.
    at: u64,
    /// How much of it went by.
    skipped: u64,
    /// What lies behind this place is not read.
    end: u64,
}

impl Forward {
    /// From `at` to `end`.
    #[must_use]
    pub fn new(at: u64, end: u64) -> Self {
        Forward { buffer: Vec::new(), begin: 0, searched: 0, at, skipped: 0, end }
    }

    /// The next line that has an end; none if the file has no more of them now.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next(&mut self, file: &File) -> io::Result<Option<LogLine<'_>>> {
        self.consume();
        loop {
            let unread = self.buffer.get(self.begin..).unwrap_or_default();
            let new = unread.get(self.searched..).unwrap_or_default();
            if let Some(found) = memchr::memchr(b'\n', new) {
                self.searched = self.searched.saturating_add(found).saturating_add(1);
                return Ok(Some(self.line(true)));
            }
            self.searched = unread.len();
            if unread.len() > MAX_LINE {
                self.skipped =
                    self.skipped.saturating_add(unread.len().saturating_sub(SHOWN) as u64);
                self.buffer.truncate(self.begin.saturating_add(SHOWN));
                self.searched = SHOWN;
            }
            if !self.fill(file)? {
                return Ok(None);
            }
        }
    }

    /// The line that [`Forward::next`] has found, once more.
    #[must_use]
    pub fn last(&self) -> Option<LogLine<'_>> {
        self.holds_line().then(|| self.line(true))
    }

    /// What stands at the end of the file without a line feed, once [`Forward::next`] has found no more lines.
    #[must_use]
    pub fn tail(&self) -> Option<LogLine<'_>> {
        let line = self.line(false);
        (line.length > 0).then_some(line)
    }

    /// The line that has been searched to its end.
    fn line(&self, is_ended: bool) -> LogLine<'_> {
        let length = self.searched.saturating_sub(usize::from(is_ended));
        let kept = if self.skipped > 0 { length.min(SHOWN) } else { length };
        let bytes = self.buffer.get(self.begin..self.begin.saturating_add(kept));
        LogLine {
            at: self.at,
            length: self.skipped.saturating_add(length as u64),
            bytes: bytes.unwrap_or_default(),
            is_ended,
        }
    }

    fn holds_line(&self) -> bool {
        let last = self.begin.saturating_add(self.searched).checked_sub(1);
        self.searched > 0 && last.and_then(|last| self.buffer.get(last)) == Some(&b'\n')
    }

    /// Drops the line that was returned last.
    fn consume(&mut self) {
        if self.holds_line() {
            self.at = self.at.saturating_add(self.skipped).saturating_add(self.searched as u64);
            self.begin = self.begin.saturating_add(self.searched);
            self.skipped = 0;
            self.searched = 0;
        }
    }

    /// Reads on; false at the end.
    fn fill(&mut self, file: &File) -> io::Result<bool> {
        self.buffer.drain(..std::mem::take(&mut self.begin));
        let held = self.buffer.len();
        let from = self.at.saturating_add(self.skipped).saturating_add(held as u64);
        let left = usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX);
        self.buffer.resize(held.saturating_add(BLOCK.min(left)), 0);
        let read = loop {
            match os::read_at(file, self.buffer.get_mut(held..).unwrap_or_default(), from) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(held.saturating_add(*read.as_ref().unwrap_or(&0)));
        Ok(read? > 0)
    }
}

/// Reads lines from the end of a file on, newest first.
#[derive(Debug)]
pub struct Backward {
    /// What was read and not handed out: the file from `from` on.
    buffer: Vec<u8>,
    from: u64,
    /// How much of the line at the end of the buffer went by.
    skipped: u64,
    /// Where the line is in the buffer that was handed out last.
    handed: Option<usize>,
}

impl Backward {
    /// From `end` on.
    #[must_use]
    pub fn new(end: u64) -> Self {
        Backward { buffer: Vec::new(), from: end, skipped: 0, handed: None }
    }

    /// The line before; none at the beginning of the file. The first one may have no line feed.
    ///
    /// # Errors
    /// The file cannot be read, or has become shorter.
    pub fn previous(&mut self, file: &File) -> io::Result<Option<LogLine<'_>>> {
        if let Some(begin) = self.handed.take() {
            self.buffer.truncate(begin);
            self.skipped = 0;
        }
        if self.buffer.is_empty() && !self.fill(file)? {
            return Ok(None);
        }
        let is_ended = self.buffer.last() == Some(&b'\n');
        let begin = loop {
            let content =
                self.buffer.len().saturating_sub(usize::from(is_ended && self.skipped == 0));
            let before = self.buffer.get(..content).unwrap_or_default();
            if let Some(found) = memchr::memrchr(b'\n', before) {
                break found.saturating_add(1);
            }
            if self.buffer.len() > MAX_LINE {
                self.skipped =
                    self.skipped.saturating_add(self.buffer.len().saturating_sub(SHOWN) as u64);
                self.buffer.truncate(SHOWN);
            }
            if !self.fill(file)? {
                break 0;
            }
        };
        self.handed = Some(begin);
        let held = self.buffer.get(begin..).unwrap_or_default();
        let length = (held.len() as u64).saturating_add(self.skipped);
        let length = length.saturating_sub(u64::from(is_ended));
        let kept = if self.skipped > 0 { SHOWN as u64 } else { length };
        let kept = usize::try_from(kept).unwrap_or_default().min(held.len());
        let at = self.from.saturating_add(begin as u64);
        Ok(Some(LogLine { at, length, bytes: held.get(..kept).unwrap_or_default(), is_ended }))
    }

    /// Reads what stands before; false at the beginning.
    fn fill(&mut self, file: &File) -> io::Result<bool> {
        let start = self.from.saturating_sub(BLOCK as u64);
        let length = usize::try_from(self.from.saturating_sub(start)).unwrap_or_default();
        if length == 0 {
            return Ok(false);
        }
        let mut block = vec![0; length];
        os::read_exact_at(file, &mut block, start)?;
        block.append(&mut self.buffer);
        self.buffer = block;
        self.from = start;
        Ok(true)
    }
}

/// The link of the first line of a file that has one: before it there may be pieces of lines that were torn.
///
/// # Errors
/// The file cannot be read.
pub fn first_link(path: &Path) -> anyhow::Result<Option<ChainLink>> {
    let OpenedFile { file, .. } = OpenedFile::read(path)?;
    let mut lines = Forward::new(0, MAX_LINE as u64);
    while let Some(line) = lines.next(&file).with_context(|| failed("read", path))? {
        if let Some(link) = ChainLink::of(line.bytes) {
            return Ok(Some(link));
        }
    }
    Ok(None)
}

/// The link and the hash of the newest line of a file, and where it ends.
pub(super) fn newest_line(path: &Path) -> anyhow::Result<Option<(ChainLink, Hash, u64)>> {
    let OpenedFile { file, .. } = OpenedFile::read(path)?;
    let named = || failed("read", path);
    let mut lines = Backward::new(file.metadata().with_context(named)?.len());
    while let Some(line) = lines.previous(&file).with_context(named)? {
        if let Some(link) = ChainLink::of(line.bytes).filter(|_| line.is_ended && line.is_whole()) {
            return Ok(Some((link, Hash::of(line.bytes), line.end())));
        }
    }
    Ok(None)
}

/// True if lines may be linked to `head`: the log at `path` holds the line that the head notes, ends before it, or goes on
/// right after it. A damaged file proves nothing and is left to `verify`.
///
/// # Errors
/// The file cannot be read.
pub(super) fn head_fits(head: &Head, path: &Path) -> anyhow::Result<bool> {
    let named = || failed("read", path);
    let OpenedFile { file, .. } = OpenedFile::read(path)?;
    let length = file.metadata().with_context(named)?.len();
    let Some(first) = first_link(path)? else { return Ok(true) };
    if Some(first.seq) == head.seq.checked_add(1) && first.prev == head.hash {
        return Ok(true);
    }
    if length >= head.length
        && let Some(line) = Backward::new(head.length).previous(&file).with_context(named)?
        && Hash::of(line.bytes) == head.hash
    {
        return Ok(true);
    }
    let mut lines = Forward::new(0, length);
    let mut last: Option<(u64, Hash)> = None;
    while let Some(line) = lines.next(&file).with_context(named)? {
        let link = ChainLink::of(line.bytes).filter(|_| line.is_whole());
        let follows = |link: &ChainLink| {
            last.is_none_or(|(seq, hash)| Some(link.seq) == seq.checked_add(1) && link.prev == hash)
        };
        let Some(link) = link.filter(follows) else { return Ok(true) };
        let hash = Hash::of(line.bytes);
        if (link.seq, hash) == (head.seq, head.hash) {
            return Ok(true);
        }
        last = Some((link.seq, hash));
    }
    // The end was cut off, or the file that the head tells of was rotated just now.
    let is_cut = length < head.length && first.seq == head.file_from;
    Ok(is_cut || rotated_path(path, head.file_from).exists())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{BLOCK, Backward, Forward, MAX_LINE};

    #[test]
    fn lines_are_the_same_from_both_ends() {
        let long = "l".repeat(MAX_LINE * 3);
        let near = "n".repeat(BLOCK);
        let texts = [
            String::new(),
            "\n".into(),
            "a\nbc\n\nd".into(),
            format!("a\n{near}\nb\n{near}x\n"),
            format!("a\n{long}\nb\n{long}"),
            format!("{long}\n\n{long}\nend\n"),
        ];
        for text in texts {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let expected: Vec<(u64, bool, String)> = text
                .split_inclusive('\n')
                .map(|line| {
                    let content = line.trim_end_matches('\n');
                    let shown = if content.len() > MAX_LINE { &content[..256] } else { content };
                    (content.len() as u64, line.ends_with('\n'), shown.to_owned())
                })
                .collect();
            let seen = |line: super::LogLine<'_>| {
                (line.length, line.is_ended, String::from_utf8(line.bytes.to_vec()).unwrap())
            };
            let mut forward = Forward::new(0, u64::MAX);
            let mut forwards = Vec::new();
            let mut at = 0;
            while let Some(line) = forward.next(&file).unwrap() {
                assert_eq!(line.at, at);
                at = line.end();
                forwards.push(seen(line));
            }
            assert!(forward.next(&file).unwrap().is_none());
            forwards.extend(forward.tail().map(seen));
            assert!(forwards == expected, "forwards");
            let mut backward = Backward::new(text.len() as u64);
            let mut backwards = Vec::new();
            while let Some(line) = backward.previous(&file).unwrap() {
                assert_eq!(
                    line.end(),
                    text.len() as u64
                        - backwards
                            .iter()
                            .map(|(length, ended, _): &(u64, bool, String)| length
                                + u64::from(*ended))
                            .sum::<u64>()
                );
                backwards.push(seen(line));
            }
            backwards.reverse();
            assert!(backwards == expected, "backwards");
        }
    }
}
