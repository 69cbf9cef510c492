//! The head and the files of a log at one moment, found under its writers' lock.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};

use super::files::{OpenedFile, failed, rotated_files};
use super::head::Head;
use crate::shell::os::{self, Lock};

/// How long another process may hold the lock.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// What is wrong with a head that was made, and never written.
pub(super) const EMPTY: &str = "is empty";

/// The head and the files at one moment.
pub(super) struct Snapshot {
    /// The head, or what is wrong with it.
    pub(super) head: Result<Head, &'static str>,
    /// The copy of it in the state directory, if one is kept and was written.
    pub(super) witness: Option<Head>,
    /// Oldest first.
    pub(super) files: VecDeque<FileToRead>,
}

/// A file of a log.
pub(super) struct FileToRead {
    /// Where it is.
    pub(super) path: PathBuf,
    /// `seq` of its first line, as its name says.
    pub(super) from: u64,
    /// The current file is open; rotated ones do not change.
    pub(super) opened: Option<OpenedFile>,
    /// How much of it there is.
    pub(super) length: u64,
}

impl Snapshot {
    /// Takes a snapshot.
    ///
    /// # Errors
    /// Something cannot be read, or another process holds the log.
    pub(super) fn take(
        path: &Path,
        head_path: &Path,
        witness: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let locked = lock(head_path)?;
        let witness = witness.and_then(|path| Head::parse(&std::fs::read(path).ok()?).ok());
        let head = if locked.is_some() {
            let bytes = std::fs::read(head_path).with_context(|| failed("read", head_path))?;
            match Head::parse(&bytes) {
                Ok(head) => Ok(head),
                Err(_) if bytes.is_empty() => Err(EMPTY),
                Err(_) => Err("is damaged"),
            }
        } else {
            Err("is missing")
        };
        let mut files: VecDeque<FileToRead> = rotated_files(path)?
            .into_iter()
            .map(|(from, path)| FileToRead { path, from, opened: None, length: u64::MAX })
            .collect();
        if path.exists() {
            let opened = OpenedFile::read(path)?;
            let length = opened.file.metadata().with_context(|| failed("read", path))?.len();
            let path = path.to_owned();
            files.push_back(FileToRead { path, from: u64::MAX, opened: Some(opened), length });
        }
        Ok(Snapshot { head, witness, files })
    }
}

/// The writers' lock, if there is a head. It is released when this is dropped.
fn lock(head: &Path) -> anyhow::Result<Option<OpenedFile>> {
    let begun = Instant::now();
    loop {
        if !head.exists() {
            return Ok(None);
        }
        let opened = OpenedFile::read(head)?;
        match os::try_lock(&opened.file, Lock::Exclusive) {
            Ok(true) if opened.is_at(head) => return Ok(Some(opened)),
            Ok(true) => {}
            Ok(false) if begun.elapsed() < LOCK_WAIT => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(false) => {
                return Err(anyhow!("another process holds the log"))
                    .with_context(|| failed("lock", head));
            }
            Err(error) => {
                return Err(error).with_context(|| failed("lock", head));
            }
        }
    }
}
