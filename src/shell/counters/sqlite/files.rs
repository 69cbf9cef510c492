//! The files of a store, and whether they are still the ones that were opened.
//!
//! This module only stats the files: closing a file that the database also has open would drop its locks (a rule of
//! POSIX).

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

use crate::shell::file::create_in_one_step;
use crate::shell::os::{self, FileId};

/// How long to assume that the files beside the database are untouched.
const TRUST: Duration = Duration::from_millis(10);
/// From this size on, in bytes, a write-ahead log is long.
pub(super) const LONG_LOG: u64 = 4 * 1024 * 1024;

/// A file as it was when checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FoundFile {
    pub(super) stamp: FileId,
    /// Modification time, and size in bytes.
    written: ((i64, i64), u64),
}

impl FoundFile {
    fn new(found: &Metadata) -> Self {
        FoundFile { stamp: os::file_id(found), written: (os::modified(found), found.len()) }
    }

    /// Stats the file at `path`.
    ///
    /// # Errors
    /// There is no such file, or it cannot be examined.
    pub(super) fn at(path: &Path) -> anyhow::Result<Self> {
        Ok(FoundFile::new(&std::fs::metadata(path).map_err(removed)?))
    }
}

/// The files that were opened.
#[derive(Debug, Clone, Copy)]
struct OpenedStore {
    database: FoundFile,
    /// The write-ahead log and its index.
    beside: [FileId; 2],
}

/// The state of the files that are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreStanding {
    /// They are unchanged.
    Same,
    /// The database was written: by a checkpoint, or by a program that should not.
    Written,
    /// Other files have taken their place.
    Others,
}

/// The files of a store.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    log: PathBuf,
    index: PathBuf,
    /// Set once the files have been opened; from then on, missing files are not created again.
    opened: Option<OpenedStore>,
    /// A file beside the open database was removed, and the latest charges with it.
    robbed: bool,
    checked: Option<Instant>,
    log_bytes: u64,
}

impl Files {
    pub(super) fn new(path: PathBuf) -> Self {
        let (log, index) = (log(&path), beside(&path, "-shm"));
        Files { path, log, index, opened: None, robbed: false, checked: None, log_bytes: 0 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Checks whether the open files may still be used.
    ///
    /// # Errors
    /// A file has disappeared.
    pub(super) fn look(&mut self) -> anyhow::Result<StoreStanding> {
        let Some(opened) = &mut self.opened else { return Ok(StoreStanding::Others) };
        let found = FoundFile::at(&self.path)?;
        if found.stamp != opened.database.stamp {
            return Ok(StoreStanding::Others);
        }
        let now = Instant::now();
        if self.checked.is_none_or(|at| now.saturating_duration_since(at) >= TRUST) {
            for (path, known) in [&self.log, &self.index].into_iter().zip(opened.beside) {
                self.robbed = true;
                let found = look_at(path)?;
                self.robbed = false;
                if path == &self.log {
                    self.log_bytes = found.len();
                }
                if FoundFile::new(&found).stamp != known {
                    return Ok(StoreStanding::Others);
                }
            }
            self.checked = Some(now);
        }
        if found != opened.database {
            opened.database = found;
            return Ok(StoreStanding::Written);
        }
        Ok(StoreStanding::Same)
    }

    /// Records the open files; false if another file has replaced `opened` meanwhile.
    ///
    /// # Errors
    /// It has disappeared again.
    pub(super) fn note(&mut self, opened: FileId) -> anyhow::Result<bool> {
        let database = FoundFile::at(&self.path)?;
        if database.stamp != opened {
            return Ok(false);
        }
        let (log, index) =
            (FoundFile::new(&look_at(&self.log)?), FoundFile::new(&look_at(&self.index)?));
        self.log_bytes = log.written.1;
        self.robbed = false;
        self.opened = Some(OpenedStore { database, beside: [log.stamp, index.stamp] });
        self.checked = None;
        Ok(true)
    }

    /// True if the write-ahead log was long at the last check.
    pub(super) fn log_is_long(&self) -> bool {
        self.log_bytes > LONG_LOG
    }

    /// The inodes of the locked files.
    pub(super) fn locked(&self) -> impl Iterator<Item = u64> {
        [&self.index, &self.path]
            .into_iter()
            .filter_map(|path| Some(os::file_id(&std::fs::metadata(path).ok()?).inode))
    }

    /// Tells whether missing files may be created: not if they have been opened before.
    ///
    /// # Errors
    /// A file is missing, and the store must not be opened without it: a person has to restore it or start afresh.
    pub(super) fn may_be_made(&self) -> anyhow::Result<bool> {
        if self.robbed && self.path.exists() {
            look_at(&self.log)?;
            look_at(&self.index)?;
        }
        Ok(self.opened.is_none())
    }
}

/// Makes sure that there is a file to open, for its owner alone. If `anew`, it may be created, with the content
/// `empty`.
///
/// # Errors
/// It is missing and must not or cannot be created, or another kind of file is in its place.
pub(super) fn make(
    path: &Path,
    anew: bool,
    empty: impl FnOnce() -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<()> {
    for path in [log(path), beside(path, "-shm")] {
        if std::fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            bail!("`{}` is not a regular file", path.display());
        }
    }
    let log_bytes = std::fs::metadata(log(path)).map_or(0, |found| found.len());
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(anyhow!("it is not a regular file")),
        Ok(found) if found.len() == 0 && !anew => Err(anyhow!("it was emptied")),
        Ok(found) if found.len() == 0 && log_bytes > 0 => {
            Err(anyhow!("it is empty, but its write-ahead log is not"))
        }
        Ok(_) => may_write(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound && anew && log_bytes > 0 => {
            Err(anyhow!("it is gone, but its write-ahead log is not"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && anew => create(path, &empty()?),
        Err(error) => Err(removed(error)),
    }
}

/// Checks for write access: the database would open a read-only file, and leave a log that nobody can write beside it.
fn may_write(path: &Path) -> anyhow::Result<()> {
    os::may_write(path, true)?;
    if let (false, Some(directory)) = (log(path).exists(), path.parent()) {
        os::may_write(directory, false)
            .with_context(|| format!("failed to write directory `{}`", directory.display()))?;
    }
    Ok(())
}

/// Creates the database atomically: no other process ever sees half of it.
fn create(path: &Path, empty: &[u8]) -> anyhow::Result<()> {
    if let Some(directory) = path.parent() {
        let made = os::make_private_directory(directory);
        made.with_context(|| format!("failed to create directory `{}`", directory.display()))?;
    }
    match create_in_one_step(path, 0o600, empty) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        created => Ok(created?),
    }
}

fn look_at(path: &Path) -> anyhow::Result<Metadata> {
    std::fs::metadata(path).map_err(removed).with_context(|| format!("`{}`", path.display()))
}

fn removed(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::NotFound => anyhow!("it was removed or renamed"),
        _ => error.into(),
    }
}

/// True if the files beside the database exist, as they do while it is open.
pub(super) fn are_complete(path: &Path) -> bool {
    log(path).exists() && beside(path, "-shm").exists()
}

/// The path of the write-ahead log of a database.
pub(super) fn log(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// The path of the journal that rolls back a change begun before there was a write-ahead log.
pub(super) fn journal(path: &Path) -> PathBuf {
    beside(path, "-journal")
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(end);
    path.with_file_name(name)
}
