//! Reading the lines of a log over all its files, without the lock: backwards from the newest, and forwards as they come.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context as _;

use super::files::{OpenedFile, failed, rotated_files};
use super::head::ChainLink;
use super::reader::{Backward, Forward, LogLine};

/// A place between two lines of a log.
#[derive(Debug, Clone)]
pub struct LogPlace {
    file: Rc<OpenFile>,
    at: u64,
}

/// A file that is being read. It stays open, so that it can be read further after it was renamed or removed.
#[derive(Debug)]
struct OpenFile {
    opened: OpenedFile,
    path: PathBuf,
    /// `seq` of its first line, if its name says it.
    from: Option<u64>,
}

impl OpenFile {
    /// None if it is not there: those who write rename files and drop old ones at any time.
    fn open(path: &Path, from: Option<u64>) -> anyhow::Result<Option<Rc<Self>>> {
        let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        match OpenedFile::read(path) {
            Err(error) if error.downcast_ref().is_some_and(is_gone) => Ok(None),
            opened => Ok(Some(Rc::new(OpenFile { opened: opened?, path: path.to_owned(), from }))),
        }
    }
}

/// The current file of a log.
fn current(path: &Path) -> anyhow::Result<Option<Rc<OpenFile>>> {
    OpenFile::open(path, None)
}

/// Reads the lines of a log backwards, from the newest.
#[derive(Debug)]
pub struct Newest {
    /// The file that is being read.
    file: Option<Rc<OpenFile>>,
    lines: Option<Backward>,
    /// Those before it, oldest first.
    older: Vec<(u64, PathBuf)>,
}

impl Newest {
    /// Of the log at `path`.
    ///
    /// # Errors
    /// Its files cannot be read.
    pub fn new(path: &Path) -> anyhow::Result<Self> {
        let file = current(path)?;
        let mut older = rotated_files(path)?;
        // A file that is being rotated just now is there once.
        let is_other = |path: &Path| !file.as_ref().is_some_and(|file| file.opened.is_at(path));
        older.retain(|(_, path)| is_other(path));
        Ok(Newest { file, lines: None, older })
    }

    /// The place behind the newest line; none if there are no files.
    ///
    /// # Errors
    /// The newest file cannot be read.
    pub fn newest(&self) -> anyhow::Result<Option<LogPlace>> {
        let newest = match (&self.file, self.older.last()) {
            (Some(file), _) => Some(file.clone()),
            (None, Some((from, path))) => OpenFile::open(path, Some(*from))?,
            (None, None) => None,
        };
        let Some(file) = newest else { return Ok(None) };
        let length = file.opened.file.metadata().with_context(|| failed("read", &file.path))?.len();
        Ok(Some(LogPlace { file, at: length }))
    }

    /// Hands the line before to `take`, with the place before it; none at the beginning. A line that has no end yet is
    /// left out.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn previous<T>(
        &mut self,
        take: impl FnOnce(&LogLine<'_>, LogPlace) -> T,
    ) -> anyhow::Result<Option<T>> {
        loop {
            let Some(file) = self.file.clone() else {
                let Some((from, path)) = self.older.pop() else { return Ok(None) };
                self.file = OpenFile::open(&path, Some(from))?;
                continue;
            };
            let named = || failed("read", &file.path);
            let lines = match &mut self.lines {
                Some(lines) => lines,
                none => {
                    let length = file.opened.file.metadata().with_context(named)?.len();
                    none.insert(Backward::new(length))
                }
            };
            match lines.previous(&file.opened.file).with_context(named)? {
                Some(line) if !line.is_ended && file.from.is_none() => {}
                Some(line) => {
                    return Ok(Some(take(&line, LogPlace { at: line.at, file: file.clone() })));
                }
                None => {
                    self.file = None;
                    self.lines = None;
                }
            }
        }
    }
}

/// Reads the lines of a log from a place on, from file to file, also while it is written and rotated.
#[derive(Debug)]
pub struct Trail {
    path: PathBuf,
    file: Option<Rc<OpenFile>>,
    lines: Forward,
    /// The number of the newest line that was read.
    seq: u64,
}

/// A line that a [`Trail`] has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundLine<'b> {
    /// The file.
    pub path: &'b Path,
    /// The line.
    pub line: LogLine<'b>,
}

impl Trail {
    /// Of the log at `path`; from its beginning, if there is no place yet.
    #[must_use]
    pub fn new(path: &Path, from: Option<LogPlace>) -> Self {
        let at = from.as_ref().map_or(0, |place| place.at);
        let file = from.map(|place| place.file);
        Trail { path: path.to_owned(), file, lines: Forward::new(at, u64::MAX), seq: 0 }
    }

    /// Hands the next line to `take`; none if there is none yet.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn next<T>(&mut self, take: impl FnOnce(FoundLine<'_>) -> T) -> anyhow::Result<Option<T>> {
        loop {
            let Some(file) = self.file.clone() else {
                self.file = self.oldest()?;
                if self.file.is_none() {
                    return Ok(None);
                }
                continue;
            };
            let named = || failed("read", &file.path);
            let mut found = self.lines.next(&file.opened.file).with_context(named)?.is_some();
            if !found {
                if file.opened.is_at(&self.path) {
                    return Ok(None);
                }
                // What was written before it was rotated.
                found = self.lines.next(&file.opened.file).with_context(named)?.is_some();
            }
            if found && let Some(line) = self.lines.last() {
                if let Some(link) = ChainLink::of(line.bytes) {
                    self.seq = link.seq;
                }
                return Ok(Some(take(FoundLine { path: &file.path, line })));
            }
            let Some(next) = self.following(&file)? else { return Ok(None) };
            self.file = Some(next);
            let lines = std::mem::replace(&mut self.lines, Forward::new(0, u64::MAX));
            if let Some(line) = lines.tail() {
                return Ok(Some(take(FoundLine { path: &file.path, line })));
            }
        }
    }

    fn oldest(&self) -> anyhow::Result<Option<Rc<OpenFile>>> {
        self.first_of(|_| 0)
    }

    /// What stands at the end of the current file without a line feed: it is being written, or was torn.
    #[must_use]
    pub fn tail(&self) -> Option<FoundLine<'_>> {
        let path = &self.file.as_ref()?.path;
        self.lines.tail().map(|line| FoundLine { path, line })
    }

    /// The file behind one that is not written any more.
    fn following(&self, file: &OpenFile) -> anyhow::Result<Option<Rc<OpenFile>>> {
        // If it was removed, others may have been as well, before they were read.
        let read = file.from.unwrap_or_default().max(self.seq);
        self.first_of(|rotated| {
            match rotated.iter().position(|(_, path)| file.opened.is_at(path)) {
                Some(nth) => nth.saturating_add(1),
                None => rotated.partition_point(|(from, _)| *from <= read),
            }
        })
    }

    /// The first file that is there, of the rotated ones from a place on, and then the current one. That is opened
    /// before the others are listed: what is rotated meanwhile is among them.
    fn first_of(
        &self,
        begin: impl FnOnce(&[(u64, PathBuf)]) -> usize,
    ) -> anyhow::Result<Option<Rc<OpenFile>>> {
        let current = current(&self.path)?;
        let rotated = rotated_files(&self.path)?;
        for (from, path) in rotated.get(begin(&rotated)..).unwrap_or_default() {
            if let Some(file) = OpenFile::open(path, Some(*from))? {
                return Ok(Some(file));
            }
        }
        Ok(current)
    }
}
