//! The files of a store: whether they are still those that were opened.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};

/// What a database begins with (<https://sqlite.org/fileformat2.html#magic_header_string>).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// How long it is trusted that nothing has changed.
const TRUST: Duration = Duration::from_millis(10);
/// A write-ahead log of so many bytes is long.
const LONG_LOG: u64 = 4 * 1024 * 1024;

/// What tells a file from another one at the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Stamp { device: found.dev(), inode: found.ino() }
    }
}

/// What was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Opened {
    database: Stamp,
    /// Seconds, nanoseconds and length: the database is written by checkpoints, and by whoever should not.
    written: (i64, i64, u64),
    log: Option<Stamp>,
}

/// The files of a store.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    log: PathBuf,
    opened: Option<Opened>,
    checked: Option<Instant>,
}

impl Files {
    pub(super) fn new(path: PathBuf) -> Self {
        let log = beside(&path, "-wal");
        Files { path, log, opened: None, checked: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// True if what is open may go on being used.
    ///
    /// # Errors
    /// A store that was there is gone. It is not made anew: that would give all quota back.
    pub(super) fn are_ours(&mut self, is_open: bool) -> anyhow::Result<bool> {
        let now = Instant::now();
        let is_fresh = |at: Instant| is_open && now.saturating_duration_since(at) < TRUST;
        if self.checked.is_some_and(is_fresh) {
            return Ok(true);
        }
        self.checked = None;
        let Some(opened) = self.opened else { return Ok(false) };
        let found = self.look().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => anyhow!("it was removed or renamed"),
            _ => error.into(),
        })?;
        let ours = is_open && found == opened;
        if ours {
            self.checked = Some(now);
        }
        Ok(ours)
    }

    /// Takes note of what was opened.
    pub(super) fn note(&mut self) {
        self.opened = self.look().ok();
        self.checked = None;
    }

    /// Makes directory and file if they were never there, for their owner alone.
    ///
    /// # Errors
    /// They cannot be made, or something else stands there.
    pub(super) fn make(&self) -> anyhow::Result<()> {
        if let Some(directory) = self.path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .with_context(|| format!("failed to create directory `{}`", directory.display()))?;
        }
        match std::fs::metadata(&self.path) {
            Ok(found) if !found.is_file() => Err(anyhow!("it is not a regular file")),
            Ok(found) if found.len() == 0 => Ok(()),
            // The write-ahead log may hide that there is nothing sound below it.
            Ok(_) => {
                let mut begin = [0; MAGIC.len()];
                File::open(&self.path)?.read_exact_at(&mut begin, 0)?;
                if begin == *MAGIC { Ok(()) } else { Err(anyhow!("it is damaged, or no database")) }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.opened.is_none() => {
                // Two may do it at once.
                OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// True if the write-ahead log has grown long.
    pub(super) fn log_is_long(&self) -> bool {
        std::fs::metadata(&self.log).is_ok_and(|found| found.len() > LONG_LOG)
    }

    /// The file that writers lock.
    pub(super) fn lock_inode(&self) -> Option<u64> {
        std::fs::metadata(beside(&self.path, "-shm")).ok().map(|found| found.ino())
    }

    fn look(&self) -> io::Result<Opened> {
        let found = std::fs::metadata(&self.path)?;
        let log = std::fs::metadata(&self.log).ok();
        Ok(Opened {
            database: Stamp::of(&found),
            written: (found.mtime(), found.mtime_nsec(), found.len()),
            log: log.as_ref().map(Stamp::of),
        })
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(end);
    path.with_file_name(name)
}
