//! Where things are kept (SPEC C5): the state directory, and the audit logs in it.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use crate::cli::State;
use crate::engine::limits::Now;
use crate::shell::audit::{chain, files};
use crate::shell::ledger::redis::RedisLedger;
use crate::shell::ledger::{CounterRow, redis, sqlite};

/// The folder of audit logs in a state directory.
const AUDIT: &str = "audit";

/// The state directory of `state`. Counters that are kept elsewhere leave the default one for all else.
///
/// # Errors
/// There is none by default: no home is known.
pub fn directory(state: &State) -> anyhow::Result<PathBuf> {
    let directory = match state {
        State::Directory(directory) => directory.clone(),
        State::Default | State::Memory | State::Redis(_) => default_directory()
            .ok_or_else(|| anyhow!("no home directory is known; say `--state DIR`"))?,
    };
    std::path::absolute(&directory)
        .with_context(|| format!("failed to find directory `{}`", directory.display()))
}

/// Where counters are, for people: without the secrets that a URL may hold.
#[must_use]
pub fn shown(state: &State, directory: &Path) -> String {
    match state {
        State::Default | State::Directory(_) => directory.to_string_lossy().into_owned(),
        State::Memory => "memory".to_owned(),
        State::Redis(url) => RedisLedger::new(url, "", "", "")
            .map_or_else(|_| "redis".to_owned(), |ledger| ledger.to_string()),
    }
}

/// Relative paths in the environment are to be ignored, says the XDG base directory specification.
fn default_directory() -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let home = || std::env::home_dir().filter(absolute);
    if cfg!(target_os = "macos") {
        return Some(home()?.join("Library/Application Support/callgate"));
    }
    if cfg!(windows) {
        let local = std::env::var_os("LOCALAPPDATA").map(PathBuf::from).filter(absolute);
        return Some(local?.join("callgate"));
    }
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(absolute);
    Some(state.or_else(|| Some(home()?.join(".local/state")))?.join("callgate"))
}

/// All counters that are kept there.
///
/// # Errors
/// They cannot be read.
pub fn counters(state: &State, now: Now) -> anyhow::Result<Vec<CounterRow>> {
    match state {
        State::Default | State::Directory(_) => sqlite::read(&directory(state)?, now),
        State::Redis(url) => redis::read(url),
        State::Memory => Ok(Vec::new()),
    }
}

/// Makes a state directory, for its owner alone, if it is not there.
///
/// # Errors
/// It cannot be made.
pub fn make(directory: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("failed to create directory `{}`", directory.display()))
}

/// The folder of audit logs in a state directory.
#[must_use]
pub fn audit_directory(directory: &Path) -> PathBuf {
    directory.join(AUDIT)
}

/// The one path of a log, however it is spelt: with two heads it would have two ends. The directory is made, for its
/// owner alone, if it is not there.
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

/// The head of an audit log (SPEC S4): it lies in the state directory, wherever the log does.
#[must_use]
pub fn audit_head(directory: &Path, log: &Path) -> PathBuf {
    let audit = audit_directory(directory);
    let log = std::path::absolute(log).unwrap_or_else(|_| log.to_owned());
    let is_ours = |parent: &Path| {
        parent == audit || std::fs::canonicalize(&audit).is_ok_and(|audit| audit == parent)
    };
    if log.extension().is_some_and(|end| end == "jsonl") && log.parent().is_some_and(is_ours) {
        return log.with_extension("head");
    }
    let stem = log.file_stem().unwrap_or_default().to_string_lossy();
    let whole = chain::hash(log.as_os_str().as_encoded_bytes());
    let short = whole.get(..16).unwrap_or_default();
    audit.join(format!("{stem}-{short}.head"))
}

/// What others than the owner could do to what is kept in a state directory, if they could (SPEC W7).
#[must_use]
pub fn dangers(directory: &Path) -> Vec<String> {
    let audit = audit_directory(directory);
    open_to_others([directory, &audit], "they can change counters and the audit log")
}

/// A warning for each of these paths that others than the owner can write.
pub(super) fn open_to_others<'p>(
    paths: impl IntoIterator<Item = &'p Path>,
    what_then: &str,
) -> Vec<String> {
    const GROUP_OR_OTHERS: u32 = 0o022;
    let mut warnings: Vec<String> = paths
        .into_iter()
        .filter_map(|path| Some((path, std::fs::metadata(path).ok()?.permissions().mode())))
        .filter(|(_, mode)| mode & GROUP_OR_OTHERS != 0)
        .map(|(path, mode)| {
            let (path, mode) = (path.display(), mode & 0o7777);
            format!("warning: `{path}` is writable by others than its owner (mode {mode:o}): {what_then}")
        })
        .collect();
    warnings.dedup();
    warnings
}
