//! The files of audit logs: names, listing and opening.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::shell::os::{self, FileId, Links};

/// Extension of a log's current file.
const LOG: &str = "jsonl";
/// Extension of its head.
const HEAD: &str = "head";
/// Extension added to the whole name for the head of a log whose own extension is not `jsonl`.
const CHAIN: &str = "chain";
/// Suffix of the name of a log of refusals. No server's log has an `@` in its name.
const REFUSED: &str = "@refused";
/// The least number of digits in the name of a rotated file.
const DIGITS: usize = 12;

/// An open file with its identity, which tells it from any other file that may come to its path.
#[derive(Debug)]
pub struct OpenedFile {
    /// The file.
    pub file: File,
    id: FileId,
}

impl OpenedFile {
    /// Opens a regular file without blocking on anything else; a new one is for its owner alone.
    ///
    /// # Errors
    /// It cannot be opened, or is no regular file.
    pub fn open(options: &mut OpenOptions, path: &Path) -> io::Result<Self> {
        OpenedFile::open_with(options, path, Links::Followed)
    }

    /// The same, and `path` may not be a symbolic link.
    ///
    /// # Errors
    /// As for [`OpenedFile::open`]; or it is a link.
    pub fn open_itself(options: &mut OpenOptions, path: &Path) -> io::Result<Self> {
        match OpenedFile::open_with(options, path, Links::Refused) {
            Err(_) if path.is_symlink() => Err(io::Error::other("it is a symbolic link")),
            opened => opened,
        }
    }

    fn open_with(options: &mut OpenOptions, path: &Path, links: Links) -> io::Result<Self> {
        let file = os::without_waiting(options, links, 0o600).open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(OpenedFile { file, id: os::file_id(&found) })
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// As for [`OpenedFile::open`].
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let opened = OpenedFile::open(OpenOptions::new().read(true), path);
        opened.with_context(|| failed("read", path))
    }

    /// How long it is; `None` if it was removed. See [`os::length`].
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        os::length(&self.file)
    }

    /// True if it has more names than one.
    #[must_use]
    pub fn has_other_names(&self) -> bool {
        self.file.metadata().is_ok_and(|found| os::names(&found) > 1)
    }

    /// Its inode, by which the kernel lists locks.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.id.inode
    }

    /// True if this is the file that was found.
    #[must_use]
    pub fn is(&self, found: &Metadata) -> bool {
        self.id == os::file_id(found)
    }

    /// True if both are one file.
    #[must_use]
    pub fn is_same(&self, other: &OpenedFile) -> bool {
        self.id == other.id
    }

    /// True if this is the file at `path`.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|found| self.is(&found))
    }
}

/// The rotated files of the log at `path`, oldest first, each with the `seq` of its first line, taken from its name.
///
/// # Errors
/// The directory cannot be read.
pub fn rotated_files(path: &Path) -> anyhow::Result<Vec<(u64, PathBuf)>> {
    let found = entries(parent(path))?.into_iter();
    let mut rotated: Vec<_> =
        found.filter_map(|found| Some((rotated_from(path, &found)?, found))).collect();
    rotated.sort_unstable();
    Ok(rotated)
}

/// The path of the rotated file whose first line has this `seq`.
#[must_use]
pub fn rotated_path(path: &Path, from: u64) -> PathBuf {
    let extension = path.extension().map(|end| format!(".{}", end.to_string_lossy()));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}.{from:0DIGITS$}{}", extension.unwrap_or_default()))
}

/// The `seq` of the first line of `found`, if it is a rotated file of the log at `path`.
fn rotated_from(path: &Path, found: &Path) -> Option<u64> {
    let (_, number) = found.file_stem()?.to_str()?.rsplit_once('.')?;
    let from = number.parse().ok()?;
    (rotated_path(path, from).file_name() == found.file_name()).then_some(from)
}

/// The log that a file belongs to: its own name, unless it is a rotated one.
#[must_use]
pub fn log_of(file: &Path) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let Some((log, number)) = stem.rsplit_once('.') else { return file.to_owned() };
    if !is_number(number) {
        return file.to_owned();
    }
    let log = file.with_file_name(log);
    match file.extension() {
        Some(extension) => append(&log, extension.to_string_lossy().as_ref()),
        None => log,
    }
}

/// The head of a log (contract S4). It lies beside the log, so that all its writers share one head, whatever their state
/// directories.
#[must_use]
pub fn head_path(log: &Path) -> PathBuf {
    if log.extension().is_some_and(|end| end == LOG) {
        return log.with_extension(HEAD);
    }
    append(log, CHAIN)
}

/// The log of refusals (contract S3): it lies beside the log, has a chain of its own, and takes the records that the log
/// has no room for.
#[must_use]
pub fn refused_path(log: &Path) -> PathBuf {
    let stem = log.file_stem().unwrap_or_default().to_string_lossy();
    let extension = log.extension().map(|end| format!(".{}", end.to_string_lossy()));
    log.with_file_name(format!("{stem}{REFUSED}{}", extension.unwrap_or_default()))
}

/// Why a log may not have this name: files that belong to another log are named so.
#[must_use]
pub fn reserved(log: &Path) -> Option<&'static str> {
    let stem = log.file_stem().unwrap_or_default().to_string_lossy();
    match log.extension() {
        Some(end) if end == HEAD || end == CHAIN => {
            Some("that is what the head of a log is called")
        }
        _ if stem.ends_with(REFUSED) => Some("that is what the second file of a log is called"),
        _ if log_of(log) != log => Some("that is what an old file of a log is called"),
        _ => None,
    }
}

/// A log, and its log of refusals if there is one.
pub fn with_refused(log: PathBuf) -> impl Iterator<Item = PathBuf> {
    let refused = Some(refused_path(&log)).filter(|refused| has_files(refused));
    [log].into_iter().chain(refused)
}

/// True if there is a file of the log at `path`.
#[must_use]
pub fn has_files(path: &Path) -> bool {
    path.exists() || rotated_files(path).is_ok_and(|files| !files.is_empty())
}

/// True for a number as in the name of a rotated file.
#[must_use]
pub fn is_number(text: &str) -> bool {
    text.len() >= DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The logs of a directory: those with a file or a head in it.
///
/// # Errors
/// The directory exists and cannot be read.
pub fn logs(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !directory.exists() {
        return Ok(Vec::new());
    }
    let ends_with = |path: &Path, end: &str| path.extension().is_some_and(|found| found == end);
    let mut logs = Vec::new();
    for found in entries(directory)? {
        if ends_with(&found, LOG) {
            logs.push(log_of(&found));
        } else if ends_with(&found, HEAD) && !is_of_log_elsewhere(&found) {
            logs.push(found.with_extension(LOG));
        }
    }
    logs.sort_unstable();
    logs.dedup();
    Ok(logs)
}

/// Copies of heads of logs elsewhere have an `@` and a hash of the log's path in their names.
fn is_of_log_elsewhere(head: &Path) -> bool {
    let stem = head.file_stem().unwrap_or_default().to_string_lossy();
    let hash = stem.rsplit_once('@').map(|(_, hash)| hash).unwrap_or_default();
    hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn entries(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let named = || failed("read directory", directory);
    let found = std::fs::read_dir(directory).with_context(named)?;
    found.map(|entry| Ok(entry.with_context(named)?.path())).collect()
}

/// Makes the directory of a file, for its owner alone.
///
/// # Errors
/// It cannot be made.
pub fn make_parent(path: &Path) -> anyhow::Result<()> {
    let directory = parent(path);
    os::make_private_directory(directory).with_context(|| failed("create directory", directory))
}

/// The directory of a file.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != "").unwrap_or(Path::new("."))
}

fn append(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(extension);
    path.with_file_name(name)
}

pub(super) fn failed(verb: &str, path: &Path) -> String {
    format!("failed to {verb} `{}`", path.display())
}
