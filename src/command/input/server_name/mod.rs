//! The name of a server in counters and records, taken from its command (contract C4).
//!
//! ```text
//! command ─► subject: runners and wrappers are looked through ─► package, file, command, URL ─► name
//! ```
//!
//! Unrelated servers never share a name, and a server keeps its name however its path is spelt. A name that comes from
//! a path therefore ends with six digits of a SHA-256: that of the absolute path, with `.` and `..` resolved by name.
//! Symbolic links are not followed, so that an update that moves one changes no name.

mod older;
mod package;
mod runner;
mod subject;
mod tools;
mod words;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::shell::digest::Hash;

pub use older::older_name;

use subject::{Base, Subject};

/// The longest name in bytes.
const MAX_BYTES: usize = 64;
/// Digits of a digest in a name.
const DIGITS: usize = 6;

/// Names that mean nothing without their directory.
const VAGUE: [&str; 9] =
    ["index", "main", "server", "cli", "app", "build", "dist", "src", "__main__"];

/// Extensions that a name leaves out.
const EXTENSIONS: [&str; 24] = [
    ".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".py", ".pyz", ".exe", ".cmd",
    ".bat", ".ps1", ".sh", ".bash", ".rb", ".pl", ".php", ".jar", ".dll", ".go", ".java", ".lua",
];

/// A name, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName {
    /// At most 64 bytes of `[A-Za-z0-9._-]`.
    pub name: String,
    /// True if it depends on paths of this machine.
    pub is_local: bool,
}

/// The name of the server that a command starts in a directory.
#[must_use]
pub fn server_name(command: &[OsString], directory: &Path) -> ServerName {
    let words: Vec<String> =
        command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let base = Base::local(&absolute(directory, ""));
    let subject = subject::of(&words, &base);
    ServerName { name: name(&subject), is_local: subject.is_local }
}

fn name(subject: &Subject) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let whole = subject.words.join("-");
    let safe: String = whole.chars().map(|c| if is_safe(c) { c } else { '_' }).collect();
    // The part that was replaced or cut off could have told two servers apart.
    let is_lossy = subject.is_lossy || safe != whole || safe.len() > MAX_BYTES;
    let identity = subject.identity.as_deref().or_else(|| is_lossy.then_some(whole.as_str()));
    let Some(identity) = identity else {
        return if safe.is_empty() { "server".to_owned() } else { safe };
    };
    let digest = Hash::of(identity.as_bytes()).to_string();
    let room = MAX_BYTES.saturating_sub(DIGITS).saturating_sub(1);
    let readable = safe.get(..safe.len().min(room)).unwrap_or_default();
    format!("{readable}-{}", digest.get(..DIGITS).unwrap_or_default())
}

/// The words of a name from a path: its last part, and the parts before it as long as those mean nothing.
fn words_of_path(path: &str) -> Vec<String> {
    let mut parts =
        path.rsplit(['/', '\\']).filter(|part| !matches!(*part, "" | "~") && !part.ends_with(':'));
    let last = parts.next().unwrap_or_default();
    let mut words = vec![stem(last).to_owned()];
    while words.first().is_some_and(|first| VAGUE.contains(&first.as_str()))
        && let Some(parent) = parts.next()
    {
        words.insert(0, parent.to_owned());
    }
    words
}

/// A file's name without its extension.
fn stem(name: &str) -> &str {
    let stem = EXTENSIONS.iter().find_map(|extension| name.strip_suffix(extension));
    stem.filter(|stem| !stem.is_empty()).unwrap_or(name)
}

/// True if a word is a path.
fn is_path(word: &str) -> bool {
    word.contains(['/', '\\']) || matches!(word, "." | "..")
}

/// A path from a directory on, with `.` and `..` resolved by name. A `..` after a symbolic link stays, since it leads
/// elsewhere.
fn absolute(directory: &Path, path: &str) -> String {
    if is_of_windows(path) {
        return resolved(&path.replace('\\', "/"), "", |_| false);
    }
    let whole = directory.join(path);
    let whole = std::path::absolute(&whole).unwrap_or(whole);
    resolved(&whole.to_string_lossy(), "/", |path| Path::new(path).is_symlink())
}

/// True for `C:\…`, on every platform.
fn is_of_windows(path: &str) -> bool {
    let mut bytes = path.bytes();
    let drive = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic());
    drive && bytes.next() == Some(b':') && matches!(bytes.next(), Some(b'/' | b'\\'))
}

/// A path without `.`, `..` and doubled slashes.
fn resolved(path: &str, root: &str, is_link: impl Fn(&str) -> bool) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match (part, parts.last()) {
            ("" | ".", _) => {}
            ("..", None) if root == "/" => {}
            ("..", Some(last)) if *last != ".." => {
                if is_link(&[root, &parts.join("/")].concat()) {
                    parts.push("..");
                } else {
                    parts.pop();
                }
            }
            _ => parts.push(part),
        }
    }
    [root, &parts.join("/")].concat()
}

/// The working directory of callgate, which is also its server's.
#[must_use]
pub fn working_directory() -> PathBuf {
    std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"))
}
