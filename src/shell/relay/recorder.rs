//! The recording of a session (contract S5): every line that client and server send, as it came and before it is decided.
//! callgate's own answers follow from it, and are left out.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use crate::engine::interrupt::Interrupt;
use crate::engine::json::reader::Fault;
use crate::engine::wire::line::Side;
use crate::engine::wire::transcript::{self, Form, MAX_LINE, TranscriptReader};
use crate::shell::os::{self, Links};

/// How much of a long line is written at once.
const PIECE_BYTES: usize = 256 * 1024;

/// A recording that is being written.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    /// `None` once a line could not be written: a recording with a gap would be misleading.
    file: Option<File>,
    interrupt: Interrupt,
}

impl Recorder {
    /// Opens a recording for its owner alone, or continues one. Only a regular file is taken: it never makes callgate wait.
    ///
    /// # Errors
    /// It cannot be opened for writing, or holds anything else than a recording (contract S5).
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let what = || format!("failed to open recording `{}`", path.display());
        let mut options = OpenOptions::new();
        os::without_waiting(&mut options, Links::Followed, 0o600);
        options.read(true).append(true).create(true);
        let mut file = options.open(path).with_context(what)?;
        if !file.metadata().with_context(what)?.is_file() {
            return Err(anyhow!("not a regular file").context(what()));
        }
        continues(&file).with_context(what)?;
        // A callgate that was killed may have left half a line.
        let mut last = [0];
        if file.seek(SeekFrom::End(-1)).is_ok() && file.read(&mut last).is_ok() && last != *b"\n" {
            file.write_all(b"\n").with_context(what)?;
        }
        let interrupt = Interrupt::default();
        Ok(Recorder { path: path.to_owned(), file: Some(file), interrupt })
    }

    /// The same recorder, which leaves out a long line once `interrupt` is raised, and all that follows.
    #[must_use]
    pub fn interrupted_by(self, interrupt: &Interrupt) -> Self {
        Recorder { interrupt: interrupt.clone(), ..self }
    }

    /// True if the recording is the file at `path`.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        let ours = self.file.as_ref().and_then(|file| file.metadata().ok());
        let theirs = std::fs::metadata(path).ok();
        ours.zip(theirs).is_some_and(|(a, b)| os::file_id(&a) == os::file_id(&b))
    }

    /// Adds a line that `from` has sent; in one write, unless it is long.
    ///
    /// # Errors
    /// The line could not be written, or a signal ended it: then nothing of it is left in the file. The error is returned
    /// once; nothing more is recorded then.
    pub(super) fn write_line(
        &mut self,
        wall_ms: u64,
        from: Side,
        line: &[u8],
    ) -> anyhow::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let is_long = Interrupt::is_long(line.len());
        let begin =
            if is_long { file.metadata().ok().map(|metadata| metadata.len()) } else { None };
        let interrupt = &self.interrupt;
        let (mut pieces, mut written) = (Vec::new(), Ok(()));
        transcript::write_in_pieces(wall_ms, from, line, |piece| {
            pieces.extend_from_slice(piece);
            if pieces.len() >= PIECE_BYTES && written.is_ok() {
                written = if interrupt.ends(line.len()) {
                    Err(io::Error::other(Fault::Interrupted.to_string()))
                } else {
                    file.write_all(&pieces)
                };
                pieces.clear();
            }
        });
        if let Err(error) = written.and_then(|()| file.write_all(&pieces)) {
            // Half of a long line would take much room, and is no entry.
            let _ = begin.map(|begin| file.set_len(begin));
            self.file = None;
            let what = format!("failed to write recording `{}`", self.path.display());
            return Err(anyhow::Error::new(error).context(what));
        }
        Ok(())
    }
}

/// Proves that a file is empty or a recording: its first line that is not blank is an entry.
fn continues(file: &File) -> anyhow::Result<()> {
    let mut lines = BufReader::new(file);
    let mut reader = TranscriptReader::default();
    let mut line = Vec::new();
    while reader.form().is_none() {
        line.clear();
        if (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        line.pop_if(|last| *last == b'\n');
        if reader.read(&line).is_err() {
            break;
        }
    }
    if reader.form() == Some(Form::Entries) {
        return Ok(());
    }
    Err(anyhow!("it is not empty, and no recording of `--record`"))
}
