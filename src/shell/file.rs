//! Reading whole files without blocking, replacing them in one step, and noticing changes.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};

use super::os::{self, FileId, Links, Lock};

/// The largest file that is read, in bytes (contract W7).
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The coarsest timestamps of file systems: two changes within one step look the same.
const COARSEST_CLOCK: Duration = Duration::from_secs(2);

/// What the file system records of a file. Two versions differ in it unless they were written within one step of its
/// clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    id: FileId,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    /// The stamp of the file that `path` leads to; `None` if there is none.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::from(&metadata))
    }

    /// True if the file was written so recently that another write could leave the same stamp.
    #[must_use]
    pub fn is_young(&self) -> bool {
        let seconds = u64::try_from(self.modified.0).unwrap_or_default();
        let modified = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let age = modified.map(|modified| match SystemTime::now().duration_since(modified) {
            Ok(age) => age,
            Err(ahead) => ahead.duration(),
        });
        // One second for the fraction that is not looked at.
        age.is_some_and(|age| age <= COARSEST_CLOCK.saturating_add(Duration::from_secs(1)))
    }
}

impl From<&Metadata> for FileStamp {
    fn from(metadata: &Metadata) -> Self {
        FileStamp {
            id: os::file_id(metadata),
            size: metadata.len(),
            modified: os::modified(metadata),
            changed: os::changed(metadata),
        }
    }
}

/// Reads a file to its end; errors name it as `what`. Only a regular file is read: a FIFO could block, and a device may
/// have no end.
///
/// # Errors
/// The file cannot be opened or read, is not regular, or is larger than 16 MiB.
pub fn read(what: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    read_regular(path).with_context(|| format!("failed to read {what} `{}`", path.display()))
}

fn read_regular(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    let file = os::without_waiting(options.read(true), Links::Followed, MODE).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(anyhow!("not a regular file"));
    }
    // One byte more shows the end.
    let size = metadata.len().min(MAX_BYTES).saturating_add(1);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(MAX_BYTES.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(anyhow!("larger than 16 MiB"));
    }
    Ok(bytes)
}

/// The mode of a new file: writable by its owner, readable by all.
const MODE: u32 = 0o644;

/// Writes a new file; errors name it as `what`.
///
/// # Errors
/// The file exists, or cannot be written; then it does not exist.
pub fn create(what: &str, path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let written = create_in_one_step(path, MODE, content);
    written.with_context(|| format!("failed to write {what} `{}`", path.display()))
}

/// The same with a mode. Even if the process is killed, the file at `path` is complete or does not exist.
pub(super) fn create_in_one_step(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    for _ in 0..ATTEMPTS {
        if std::fs::symlink_metadata(path).is_ok() {
            break;
        }
        let making = beside(path);
        // It is closed before it comes to where others may lock it: that would take their locks away.
        drop(write_new(&making, mode, content)?);
        let linked = std::fs::hard_link(&making, path);
        let _ = std::fs::remove_file(&making);
        match linked {
            // Somebody has taken it for one that was left behind.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // Some file systems know no links.
            Err(_) => return write_new(path, mode, content).map(drop),
            Ok(()) => return Ok(()),
        }
    }
    Err(os::already_there())
}

/// The same for a file that only its owner may read.
///
/// # Errors
/// As for [`create`].
pub fn create_private(what: &str, path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let written = create_in_one_step(path, 0o600, content);
    written.with_context(|| format!("failed to write {what} `{}`", path.display()))
}

/// Replaces `old` by `content` in one step: a reader sees either the one or the other. Keeps the mode, the owner if
/// possible, and symbolic links to the file.
///
/// # Errors
/// The file cannot be written, or no longer holds `old`; then it is unchanged.
pub fn replace(what: &str, path: &Path, old: &[u8], content: &[u8]) -> anyhow::Result<()> {
    let replaced = replace_in_one_step(path, old, content);
    replaced.with_context(|| format!("failed to write {what} `{}`", path.display()))
}

fn replace_in_one_step(path: &Path, old: &[u8], content: &[u8]) -> anyhow::Result<()> {
    let path = std::fs::canonicalize(path)?;
    let before = std::fs::metadata(&path)?;
    let making = beside(&path);
    // It stays locked until it is done.
    let _locked = write_new(&making, 0o600, content)?;
    let finished = || -> anyhow::Result<()> {
        os::copy_owner_and_mode(&making, &before)?;
        if read_regular(&path)? != old {
            return Err(anyhow!("somebody else has written it meanwhile"));
        }
        Ok(std::fs::rename(&making, &path)?)
    };
    finished().inspect_err(|_| {
        let _ = std::fs::remove_file(&making);
    })
}

/// The end of the names of files that are still being written.
const MAKING: &str = "callgate-new";
/// How often a file is made again if another process removes it as left over.
const ATTEMPTS: usize = 8;

/// An unused name in the same directory.
fn beside(path: &Path) -> PathBuf {
    static MADE: AtomicU64 = AtomicU64::new(0);
    clear_beside(path);
    let (begin, end) = made_names(path);
    let nth = MADE.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!("{begin}{}-{nth}{end}", std::process::id()))
}

/// The beginning and end of the names of files that are being written for `path`.
fn made_names(path: &Path) -> (String, String) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    (format!(".{name}."), format!(".{MAKING}"))
}

/// Removes the unlocked files that killed processes left beside `path` while writing it.
pub(super) fn clear_beside(path: &Path) {
    let (begin, end) = made_names(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&begin) && name.ends_with(&end) {
            clear_unfinished(&entry.path());
        }
    }
}

fn clear_unfinished(path: &Path) {
    let mut options = OpenOptions::new();
    let opened = os::without_waiting(options.read(true), Links::Refused, MODE).open(path);
    let Ok(file) = opened else { return };
    if matches!(os::try_lock(&file, Lock::Shared), Ok(true)) {
        let _ = std::fs::remove_file(path);
    }
}

/// Writes a new file, syncs it to disk and locks it; if that fails, the file does not exist.
fn write_new(path: &Path, mode: u32, content: &[u8]) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file = os::with_mode(options.write(true).create_new(true), mode).open(path)?;
    // Where files cannot be locked, nobody can take this one for unlocked either.
    let _ = os::try_lock(&file, Lock::Exclusive);
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::{beside, create, replace};

    /// What somebody who was killed left in the making is removed; what is made just now is not.
    #[test]
    fn what_was_left_in_the_making_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.json");
        let [left, made] =
            ["1", "2"].map(|pid| directory.path().join(format!(".policy.json.{pid}.callgate-new")));
        let foreign = directory.path().join(".policy.json.3");
        let made_by_us = super::write_new(&made, 0o600, b"{").unwrap();
        for content in ["old", "new"] {
            for path in [&left, &foreign] {
                std::fs::write(path, "{").unwrap();
            }
            match content {
                "old" => create("policy", &path, b"old").unwrap(),
                _ => replace("policy", &path, b"old", b"new").unwrap(),
            }
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
            assert!(!left.exists() && made.exists() && foreign.exists());
            assert!(!beside(&path).exists());
        }
        assert!(create("policy", &path, b"newer").is_err(), "it is there");
        drop(made_by_us);
        let _ = beside(&path);
        assert!(!made.exists());
    }
}
