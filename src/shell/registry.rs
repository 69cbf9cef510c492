//! The running sessions: each has a small file in the state directory, which its process holds locked.
//!
//! ```text
//!   begin:  make .<run>.new ─► lock it ─► write it ─► rename it to <run>.json       end: remove it
//!   look:   open <run>.json ─► locked? its session runs : it was killed, remove the file
//! ```
//!
//! The kernel releases the lock when the process ends, however it ends; another process that gets the same id does not
//! hold it. No process waits for the lock, and no session needs the file. An unlocked file, under either name, is left
//! over and is removed; a session whose file was removed before it could lock it makes another one.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};

use super::audit::files::OpenedFile;
use super::os::{self, Lock, clock};

/// The folder in a state directory.
const FOLDER: &str = "sessions";
/// The end of the name of a session's file.
const END: &str = ".json";
/// The end of the name while the file is being written; the name begins with a dot then.
const NEW: &str = ".new";
/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;
/// How many files a new session looks at to remove those of killed sessions.
const LOOKED_AT: usize = 256;
/// How often a file is made again if another process removes it as left over.
const ATTEMPTS: usize = 8;

/// A running session, as its file describes it. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The run, as the audit log names it.
    pub run: String,
    /// The server's name.
    pub server: String,
    /// The grant.
    pub grant: String,
    /// callgate's process.
    pub pid: u32,
    /// When it started.
    pub since: String,
    /// The policy's file.
    pub policy: String,
    /// When the version in force was read.
    pub policy_loaded: String,
    /// When a later version was rejected, if the file has not been valid since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_rejected: Option<String>,
    /// True under `--shadow`.
    pub shadow: bool,
    /// Where its counters are, without secrets.
    pub state: String,
    /// Its audit log, if it keeps one.
    pub audit: Option<String>,
    /// callgate's version.
    pub version: String,
}

/// A unique name for a run.
#[must_use]
pub fn new_run() -> String {
    let mut bytes = [0; 8];
    // Without chance the process and the time must do.
    if os::random(&mut bytes).is_err() {
        let time = clock::moment().wall_ms.rotate_right(24) ^ u64::from(std::process::id());
        bytes = time.to_be_bytes();
    }
    format!("{:016x}", u64::from_be_bytes(bytes))
}

/// The file of a running session. It is removed when this is dropped.
#[derive(Debug)]
pub struct Registration {
    path: PathBuf,
    told: Running,
    /// Locked as long as it is open.
    file: OpenedFile,
}

impl Registration {
    /// Writes the file of a session, and removes files of killed sessions.
    ///
    /// # Errors
    /// The file cannot be written; then there is none.
    pub fn enter(directory: &Path, told: Running) -> anyhow::Result<Self> {
        let folder = directory.join(FOLDER);
        let path = folder.join(format!("{}{END}", told.run));
        let file = publish(&path, &told)
            .with_context(|| format!("failed to write session `{}`", path.display()))?;
        // Whoever comes next will try again.
        let _ = clear_left_behind(&folder, &path);
        Ok(Registration { path, told, file })
    }

    /// Notes that a new version of the policy was loaded, or rejected.
    pub fn note_policy(&mut self, is_taken: bool, wall_ms: u64) {
        let time = clock::rfc3339(wall_ms);
        if is_taken {
            self.told.policy_loaded = time;
            self.told.policy_rejected = None;
        } else {
            self.told.policy_rejected = Some(time);
        }
        // The old file is let go once the new one stands in its place. If that cannot be, it stays.
        if let Ok(file) = publish(&self.path, &self.told) {
            self.file = file;
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.file.is_at(&self.path) {
            // What stays is not locked any more, and known by that.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Puts a locked file at `path`, in one step.
fn publish(path: &Path, told: &Running) -> anyhow::Result<OpenedFile> {
    for _ in 0..ATTEMPTS {
        if let Some(published) = try_publish(path, told)? {
            return Ok(published);
        }
    }
    Err(anyhow!("others remove it while it is made"))
}

/// `None` if another process removed the file as left over.
fn try_publish(path: &Path, told: &Running) -> anyhow::Result<Option<OpenedFile>> {
    let making = path.with_file_name(format!(".{}{NEW}", told.run));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let opened = match OpenedFile::open(&mut options, &making) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(path);
            os::make_private_directory(folder)?;
            OpenedFile::open(&mut options, &making)
        }
        opened => opened,
    };
    let opened = opened?;
    let fill = || -> anyhow::Result<bool> {
        if !os::try_lock(&opened.file, Lock::Exclusive)? || !opened.is_at(&making) {
            return Ok(false);
        }
        (&opened.file).write_all(&serde_json::to_vec(told)?)?;
        std::fs::rename(&making, path)?;
        Ok(true)
    };
    let filled = fill();
    if !matches!(filled, Ok(true)) {
        let _ = std::fs::remove_file(&making);
    }
    Ok(filled?.then_some(opened))
}

/// The running sessions, and the files that cannot be read. Removes files of killed sessions.
///
/// # Errors
/// The folder is there, and cannot be read.
pub fn read(directory: &Path) -> anyhow::Result<(Vec<Running>, Vec<anyhow::Error>)> {
    let folder = directory.join(FOLDER);
    let mut found = Vec::new();
    let mut problems = Vec::new();
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((found, problems)),
        entries => entries,
    };
    let unread = || format!("failed to read directory `{}`", folder.display());
    for entry in entries.with_context(unread)? {
        let path = entry.with_context(unread)?.path();
        if !is_session(&path) {
            clear_unfinished(&path);
            continue;
        }
        match look(&path) {
            Ok(told) => found.extend(told),
            // It has ended since.
            Err(_) if !path.exists() => {}
            Err(error) => {
                let what = format!("failed to read session `{}`", path.display());
                problems.push(error.context(what));
            }
        }
    }
    let order = |told: &Running| (told.server.clone(), told.grant.clone(), told.since.clone());
    found.sort_by_key(|told| (order(told), told.pid));
    Ok((found, problems))
}

/// Removes files of killed sessions, looking at a limited number.
fn clear_left_behind(folder: &Path, own: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)?.take(LOOKED_AT) {
        let path = entry?.path();
        if !is_session(&path) {
            clear_unfinished(&path);
        } else if path != own {
            let _ = lives(&path);
        }
    }
    Ok(())
}

fn is_session(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(END) && !name.starts_with('.')
}

/// Reads the file if its session is running.
fn look(path: &Path) -> anyhow::Result<Option<Running>> {
    let Some(opened) = lives(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    opened.file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// Opens the file of a running session. Removes that of any other.
fn lives(path: &Path) -> io::Result<Option<OpenedFile>> {
    let opened = OpenedFile::open(OpenOptions::new().read(true), path)?;
    // Two may look at once: they do not lock each other out.
    match os::try_lock(&opened.file, Lock::Shared) {
        Ok(false) => Ok(Some(opened)),
        Err(error) => Err(error),
        Ok(true) => {
            // A session that has just told something new has another file there.
            if !opened.is_at(path) {
                return lives_anew(path);
            }
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(None),
            }
        }
    }
}

/// Opens the file that replaced another.
fn lives_anew(path: &Path) -> io::Result<Option<OpenedFile>> {
    let opened = OpenedFile::open(OpenOptions::new().read(true), path)?;
    let is_free = os::try_lock(&opened.file, Lock::Shared);
    Ok(Some(opened).filter(|_| matches!(is_free, Ok(false))))
}

/// Removes a file that was being written when its session was killed: no process holds its lock.
fn clear_unfinished(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if !(name.starts_with('.') && name.ends_with(NEW)) {
        return;
    }
    let Ok(opened) = OpenedFile::open(OpenOptions::new().read(true), path) else { return };
    let is_free = matches!(os::try_lock(&opened.file, Lock::Shared), Ok(true));
    if is_free && opened.is_at(path) {
        let _ = std::fs::remove_file(path);
    }
}
