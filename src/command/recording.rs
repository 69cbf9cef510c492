//! A recorded session, read line by line; nothing of it is kept.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use crate::engine::recording::{Entry, Reader};

/// The longest line of a recording. One that callgate wrote holds a message of at most 2 GiB, mostly far less.
const MAX_LINE: u64 = 2 * 1024 * 1024 * 1024;

/// How much is read at once.
const BUFFER: usize = 256 * 1024;

/// A recording that is being read.
pub struct Recording {
    path: PathBuf,
    file: Box<dyn BufRead>,
    reader: Reader,
    line: Vec<u8>,
    number: u64,
    is_torn: bool,
}

impl Recording {
    /// Opens a recording; `-` is stdin.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let what = || format!("failed to read recording `{}`", path.display());
        let file: Box<dyn BufRead> = if path == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            let file = File::open(path).with_context(what)?;
            if file.metadata().with_context(what)?.is_dir() {
                return Err(anyhow!("it is a directory").context(what()));
            }
            Box::new(BufReader::with_capacity(BUFFER, file))
        };
        let (reader, line) = (Reader::default(), Vec::new());
        Ok(Recording { path: path.to_owned(), file, reader, line, number: 0, is_torn: false })
    }

    /// The next entry, with the number of its line; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or is no recording.
    pub fn next_entry(&mut self) -> anyhow::Result<Option<(u64, Entry<'_>)>> {
        let what = || format!("failed to read recording `{}`", self.path.display());
        let mut is_whole = true;
        self.line.clear();
        while self.line.iter().all(u8::is_ascii_whitespace) {
            self.line.clear();
            let read = (&mut self.file).take(MAX_LINE).read_until(b'\n', &mut self.line);
            if read.with_context(what)? == 0 {
                return Ok(None);
            }
            self.number = self.number.saturating_add(1);
            is_whole = self.line.pop_if(|last| *last == b'\n').is_some();
            self.line.pop_if(|last| *last == b'\r');
        }
        match self.reader.read(&self.line) {
            Ok(entry) => Ok(entry.map(|entry| (self.number, entry))),
            Err(_) if !is_whole => {
                self.is_torn = true;
                Ok(None)
            }
            Err(no) => {
                let (path, number) = (self.path.display(), self.number);
                Err(anyhow!("`{path}` is no recording: line {number}: {no}"))
            }
        }
    }

    /// The number of the last line, if it was cut off while it was written.
    #[must_use]
    pub fn torn(&self) -> Option<u64> {
        self.is_torn.then_some(self.number)
    }
}
