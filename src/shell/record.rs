//! The recording of a session (SPEC S5): what client and server have sent, line by line, as it came and before it
//! is decided. What callgate answered itself follows from it, and is not in it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use rustix::fs::OFlags;

use crate::engine::line::Side;
use crate::engine::recording;

/// So much of a long line is written at once.
const PIECE_BYTES: usize = 256 * 1024;

/// A recording in the making.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    /// `None` once a line could not be written: a recording with a hole in it would tell lies.
    file: Option<File>,
}

impl Recorder {
    /// Opens a recording, for its owner alone; one that is there goes on. Only a regular file never makes us wait.
    ///
    /// # Errors
    /// It cannot be opened for writing.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let what = || format!("failed to open recording `{}`", path.display());
        let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600).custom_flags(nonblocking);
        let mut file = options.open(path).with_context(what)?;
        if !file.metadata().with_context(what)?.is_file() {
            return Err(anyhow!("not a regular file").context(what()));
        }
        // Whoever was killed in the midst of a line is not to spoil ours.
        let mut last = [0];
        if file.seek(SeekFrom::End(-1)).is_ok() && file.read(&mut last).is_ok() && last != *b"\n" {
            file.write_all(b"\n").with_context(what)?;
        }
        Ok(Recorder { path: path.to_owned(), file: Some(file) })
    }

    /// Writes down a line that `from` has sent; in one write, unless it is long.
    ///
    /// # Errors
    /// It could not be written. This is said once; nothing more is recorded then.
    pub(super) fn take_down(
        &mut self,
        wall_ms: u64,
        from: Side,
        line: &[u8],
    ) -> anyhow::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let (mut pieces, mut written) = (Vec::new(), Ok(()));
        recording::write_in_pieces(wall_ms, from, line, |piece| {
            pieces.extend_from_slice(piece);
            if pieces.len() >= PIECE_BYTES && written.is_ok() {
                written = file.write_all(&pieces);
                pieces.clear();
            }
        });
        if let Err(error) = written.and_then(|()| file.write_all(&pieces)) {
            self.file = None;
            let what = format!("failed to write recording `{}`", self.path.display());
            return Err(anyhow::Error::new(error).context(what));
        }
        Ok(())
    }
}
