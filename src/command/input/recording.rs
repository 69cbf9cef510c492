//! Reads a recorded session line by line, and keeps nothing of it in memory.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use crate::engine::wire::transcript::{Entry, MAX_LINE, TranscriptReader, is_frame};
use crate::shell::os;

/// Bytes to read at once.
const BUFFER: usize = 256 * 1024;

/// A recording, open for reading.
pub struct RecordingFile {
    path: PathBuf,
    file: Box<dyn BufRead>,
    reader: TranscriptReader,
    line: Vec<u8>,
    number: u64,
    is_torn: bool,
    /// True once a line was read as a message.
    has_frame: bool,
}

impl RecordingFile {
    /// Opens a recording; `-` is stdin.
    ///
    /// # Errors
    /// The file cannot be read, or is neither a regular file nor a pipe: a device may have no end (contract S5).
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let what = || format!("failed to read recording `{}`", path.display());
        let file: Box<dyn BufRead> = if path == Path::new("-") {
            let stdin = io::stdin().lock();
            has_end(&os::stdin_metadata().with_context(what)?).with_context(what)?;
            Box::new(stdin)
        } else {
            // Merely opening some devices has effects.
            has_end(&std::fs::metadata(path).with_context(what)?).with_context(what)?;
            let file = File::open(path).with_context(what)?;
            has_end(&file.metadata().with_context(what)?).with_context(what)?;
            Box::new(BufReader::with_capacity(BUFFER, file))
        };
        Ok(RecordingFile {
            path: path.to_owned(),
            file,
            reader: TranscriptReader::default(),
            line: Vec::new(),
            number: 0,
            is_torn: false,
            has_frame: false,
        })
    }

    /// The next entry, with the number of its line; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or is not a recording.
    pub fn next_entry(&mut self) -> anyhow::Result<Option<(u64, Entry<'_>)>> {
        let Some(is_whole) = self.next_line()? else { return Ok(None) };
        match self.reader.read(&self.line) {
            Ok(entry) => {
                if let Some(entry) = entry.as_ref().filter(|_| !self.has_frame) {
                    self.has_frame = is_frame(entry);
                }
                Ok(entry.map(|entry| (self.number, entry)))
            }
            Err(_) if !is_whole => {
                self.is_torn = true;
                Ok(None)
            }
            Err(no) => {
                let (path, number) = (self.path.display(), self.number);
                Err(anyhow!("`{path}` is not a recording: line {number}: {no}"))
            }
        }
    }

    /// The next readable entry; other lines are skipped. `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_readable(&mut self) -> anyhow::Result<Option<Entry<'_>>> {
        loop {
            if self.next_line()?.is_none() {
                return Ok(None);
            }
            // Reads the line a second time, since a loop cannot return what it borrows.
            if matches!(self.reader.read(&self.line), Ok(Some(_))) {
                break;
            }
        }
        Ok(self.reader.read(&self.line).ok().flatten())
    }

    /// Reads the next line that is not blank. False if its line feed is missing, `None` at the end.
    fn next_line(&mut self) -> anyhow::Result<Option<bool>> {
        let what = || format!("failed to read recording `{}`", self.path.display());
        let mut is_whole = true;
        self.line.clear();
        while self.line.iter().all(u8::is_ascii_whitespace) {
            self.line.clear();
            let most = MAX_LINE.saturating_add(1);
            let read = (&mut self.file).take(most).read_until(b'\n', &mut self.line);
            if read.with_context(what)? == 0 {
                return Ok(None);
            }
            self.number = self.number.saturating_add(1);
            if let Some(why) = foreign_encoding(&self.line).filter(|_| self.number == 1) {
                return Err(anyhow!("`{}` is not a recording: {why}", self.path.display()));
            }
            if self.line.len() as u64 > MAX_LINE && self.line.last() != Some(&b'\n') {
                let (number, mib) = (self.number, MAX_LINE / (1024 * 1024));
                return Err(anyhow!("line {number} is longer than {mib} MiB").context(what()));
            }
            is_whole = self.line.pop_if(|last| *last == b'\n').is_some();
            self.line.pop_if(|last| *last == b'\r');
        }
        Ok(Some(is_whole))
    }

    /// True once a line was read as a message.
    #[must_use]
    pub fn has_frame(&self) -> bool {
        self.has_frame
    }

    /// Checks, at the end, that the file was a recording.
    ///
    /// # Errors
    /// It holds no message (contract C2).
    pub fn prove(&self) -> anyhow::Result<()> {
        if self.has_frame {
            return Ok(());
        }
        let path = self.path.display();
        Err(match self.number {
            0 => anyhow!("`{path}` is not a recording: it is empty"),
            _ => anyhow!("`{path}` is not a recording: no line of it is a JSON-RPC message"),
        })
    }

    /// The number of the last line, if it was cut off during writing.
    #[must_use]
    pub fn torn(&self) -> Option<u64> {
        self.is_torn.then_some(self.number)
    }
}

/// Names the encoding of a file that begins with these bytes, if it is not plain UTF-8. PowerShell's `>` and some
/// editors produce such files.
fn foreign_encoding(beginning: &[u8]) -> Option<&'static str> {
    match beginning {
        [0xef, 0xbb, 0xbf, ..] => Some(
            "it begins with a byte order mark; save it as UTF-8 without one, which `tail -c +4 FILE` does",
        ),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            Some("it is UTF-16; save it as UTF-8, which `iconv -f UTF-16 -t UTF-8 FILE` does")
        }
        // JSON without a mark: every second byte of its first characters is zero.
        [1..=255, 0, 1..=255, 0, ..] => {
            Some("it is UTF-16; save it as UTF-8, which `iconv -f UTF-16LE -t UTF-8 FILE` does")
        }
        [0, 1..=255, 0, 1..=255, ..] => {
            Some("it is UTF-16; save it as UTF-8, which `iconv -f UTF-16BE -t UTF-8 FILE` does")
        }
        _ => None,
    }
}

/// Rejects everything but regular files and pipes. Sockets pass, since some programs use them as pipes for their
/// children.
fn has_end(metadata: &Metadata) -> anyhow::Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() || os::is_pipe(metadata) {
        return Ok(());
    }
    Err(anyhow!(if kind.is_dir() {
        "it is a directory"
    } else {
        "neither a regular file nor a pipe"
    }))
}
