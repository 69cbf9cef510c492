//! Where state is kept (contract C5): the state directory, and the audit logs in it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use super::audit::event::Identity;
use super::audit::{Audit, files};
use super::counters::redis::RedisLedger;
use super::counters::{CounterRow, redis, sqlite};
use super::digest::Hash;
use super::file;
use super::os;
use crate::engine::limits::Now;

/// The folder of audit logs in a state directory.
const AUDIT: &str = "audit";

/// Where counters are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// In a database in this directory.
    Directory(PathBuf),
    /// In a Redis or Valkey server. The URL may hold secrets.
    Redis(String),
    /// In memory, for one run.
    Memory,
}

impl State {
    /// The state in the platform's directory (contract C5).
    ///
    /// # Errors
    /// No home directory is known.
    pub fn default_directory() -> anyhow::Result<Self> {
        let found = os::state_directory();
        found
            .map(State::Directory)
            .ok_or_else(|| anyhow!("no home directory is known; say `--state DIR`"))
    }

    /// The state directory. If counters are kept elsewhere, it is the default one, for sessions and logs.
    ///
    /// # Errors
    /// No home directory is known.
    pub fn directory(&self) -> anyhow::Result<PathBuf> {
        match self {
            State::Directory(directory) => std::path::absolute(directory)
                .with_context(|| format!("failed to find directory `{}`", directory.display())),
            State::Memory | State::Redis(_) => State::default_directory()?.directory(),
        }
    }

    /// Where counters are, to be shown: without the secrets that a URL may hold.
    #[must_use]
    pub fn shown(&self, directory: &Path) -> String {
        match self {
            State::Directory(_) => directory.to_string_lossy().into_owned(),
            State::Memory => "memory".to_owned(),
            State::Redis(url) => RedisLedger::new(url, "", "", "")
                .map_or_else(|_| "redis".to_owned(), |ledger| ledger.to_string()),
        }
    }

    /// All counters that are kept there.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn counters(&self, now: Now) -> anyhow::Result<Vec<CounterRow>> {
        match self {
            State::Directory(_) => sqlite::read(&self.directory()?, now),
            State::Redis(url) => redis::read(url),
            State::Memory => Ok(Vec::new()),
        }
    }
}

/// Makes a state directory, for its owner alone, if it is not there.
///
/// # Errors
/// It cannot be made.
pub fn make(directory: &Path) -> anyhow::Result<()> {
    os::make_private_directory(directory)
        .with_context(|| format!("failed to create directory `{}`", directory.display()))
}

/// The folder of audit logs in a state directory.
#[must_use]
pub fn audit_directory(directory: &Path) -> PathBuf {
    directory.join(AUDIT)
}

/// The canonical path of a log: under two paths it would have two heads. Makes its directory, for its owner alone, if
/// it does not exist.
///
/// # Errors
/// It cannot be made or found.
pub fn settled(log: &Path) -> anyhow::Result<PathBuf> {
    let named = || format!("failed to find `{}`", log.display());
    match std::fs::canonicalize(log) {
        Ok(path) => return Ok(path),
        Err(error) if log.is_symlink() => return Err(error).with_context(named),
        Err(_) => files::make_parent(log)?,
    }
    let directory = std::fs::canonicalize(files::parent(log)).with_context(named)?;
    Ok(directory
        .join(log.file_name().ok_or_else(|| anyhow!("it is a directory")).with_context(named)?))
}

/// The audit log of a server.
#[must_use]
pub fn audit_log(directory: &Path, server: &str) -> PathBuf {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let mut name: String =
        server.chars().map(|c| if is_safe(c) { c } else { '_' }).take(64).collect();
    if name.starts_with('.') {
        // It would be hidden, or no file at all.
        name.replace_range(..1, "_");
    }
    if let Some((stem, number)) = name.rsplit_once('.').filter(|(_, end)| files::is_number(end)) {
        // It would be a rotated file of another log.
        name = format!("{stem}_{number}");
    }
    audit_directory(directory).join(format!("{name}.jsonl"))
}

/// Where the state directory keeps a copy of the head of a log that lies elsewhere (contract S4): what is written to the
/// log's directory only does not change it. None for a log of the state directory itself, whose head lies there.
#[must_use]
pub fn audit_witness(directory: &Path, log: &Path) -> Option<PathBuf> {
    elsewhere(directory, log, '@')
}

/// The name of the head of a log elsewhere; no server's log has an `@` in its name.
fn elsewhere(directory: &Path, log: &Path, mark: char) -> Option<PathBuf> {
    let audit = audit_directory(directory);
    let log = std::path::absolute(log).unwrap_or_else(|_| log.to_owned());
    let is_ours = |parent: &Path| {
        parent == audit || std::fs::canonicalize(&audit).is_ok_and(|audit| audit == parent)
    };
    if log.extension().is_some_and(|end| end == "jsonl") && log.parent().is_some_and(is_ours) {
        return None;
    }
    let stem = log.file_stem().unwrap_or_default().to_string_lossy();
    let whole = Hash::of(log.as_os_str().as_encoded_bytes());
    let short = whole.as_str().get(..16).unwrap_or_default();
    Some(audit.join(format!("{stem}{mark}{short}.head")))
}

/// The head that callgate 0.1 kept of a log elsewhere. A server's log may have one of that name as well.
#[must_use]
pub fn old_audit_head(directory: &Path, log: &Path) -> Option<PathBuf> {
    let old = elsewhere(directory, log, '-')?;
    (old.exists() && !files::has_files(&old.with_extension("jsonl"))).then_some(old)
}

/// Opens an audit log for writing, at its canonical path.
///
/// # Errors
/// It cannot be opened, or has a reserved name.
pub fn open_audit(
    directory: &Path,
    log: &Path,
    keep: u64,
    identity: &Identity,
) -> anyhow::Result<Audit> {
    let log = settled(log)?;
    if let Some(why) = files::reserved(&log) {
        return Err(anyhow!("failed to open `{}`: {why}", log.display()));
    }
    let head = files::head_path(&log);
    if let Some(old) = old_audit_head(directory, &log).filter(|_| !head.exists()) {
        let moved = std::fs::read(&old).map_err(anyhow::Error::from).and_then(|bytes| {
            file::create_private("audit head", &head, &bytes)?;
            Ok(std::fs::remove_file(&old)?)
        });
        moved.with_context(|| format!("failed to move `{}`", old.display()))?;
    }
    Audit::open(&log, audit_witness(directory, &log).as_deref(), keep, identity)
}

/// Warnings if other users can change the state directory or the audit log (contract W7).
#[must_use]
pub fn dangers(directory: &Path, log: Option<&Path>) -> Vec<String> {
    let audit = audit_directory(directory);
    let mut told = Vec::new();
    let state = [directory, &audit];
    let mut warnings =
        open_to_others(state, "they can change counters and the audit log", &mut told);
    if let Some(log) = log.and_then(|log| std::fs::canonicalize(log).ok()) {
        let head = files::head_path(&log);
        let of_log = [log.as_path(), &head];
        warnings.extend(open_to_others(of_log, "they can change the audit log", &mut told));
    }
    warnings
}

/// A warning for each of these paths that other users can change, and for each directory above in which they can replace
/// it. Paths in `told` are left out.
pub fn open_to_others<'p>(
    paths: impl IntoIterator<Item = &'p Path>,
    what_then: &str,
    told: &mut Vec<PathBuf>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for path in paths {
        // A link is in one place, and leads to another.
        let places = [std::path::absolute(path).ok(), std::fs::canonicalize(path).ok()];
        let parents = places.iter().flatten().flat_map(|path| path.ancestors().skip(1));
        let dangers = [(path, false)].into_iter().chain(parents.map(|parent| (parent, true)));
        for (path, is_parent) in dangers {
            let Some(danger) = os::danger(path, is_parent) else { continue };
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            if !told.contains(&path) {
                told.push(path);
                warnings.push(format!("warning: {danger}: {what_then}"));
            }
        }
    }
    warnings
}
