//! Paths that are typed. A shell expands `~/` and variables before callgate sees them; a client's configuration does
//! not, and a directory of that very name would be made in silence (contract C3). `./` at the beginning says that a path
//! means what it says, and so does an absolute path that exists.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf, is_separator};

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::engine::text::escape::escape_line;

/// Reads the path of an option.
pub(super) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(read)
}

/// Reads a path that a shell may have taken from a directory: if there is such a file, it is meant.
pub(super) fn file() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|typed: OsString| {
        if Path::new(&typed).symlink_metadata().is_ok() { Ok(typed.into()) } else { read(typed) }
    })
}

fn read(typed: OsString) -> Result<PathBuf, String> {
    match unexpanded_in(&typed) {
        None if typed.is_empty() => Err("a path must not be empty".to_owned()),
        None => Ok(typed.into()),
        Some(found) => Err(found),
    }
}

/// Why a path is none: what no shell has expanded in it. `None` for a path that means what it says, and for an absolute
/// one that names something that exists.
pub(super) fn unexpanded_in(typed: &OsStr) -> Option<String> {
    let path = Path::new(typed);
    unexpanded(typed).filter(|_| !path.is_absolute() || path.symlink_metadata().is_err())
}

/// What no shell has expanded in a path. Where a path begins with `./`, nothing has to be.
fn unexpanded(typed: &OsStr) -> Option<String> {
    let text = typed.to_string_lossy();
    if text.strip_prefix('.').is_some_and(|rest| rest.starts_with(is_separator)) {
        return None;
    }
    // `~`, `~/x` and `~name/x` alike: a file whose name begins so is `./~name`.
    if text.starts_with('~') {
        return Some(
            "`~` was not expanded, which only a shell does: write the whole path".to_owned(),
        );
    }
    let variable = text.char_indices().find_map(|(at, c)| {
        let rest = text.get(at.saturating_add(1)..)?;
        match c {
            '$' => dollar(rest),
            '%' => percent(rest),
            _ => None,
        }
    })?;
    let variable = escape_line(&variable).into_owned();
    Some(format!(
        "`{variable}` was not expanded, which only a shell does: write the whole path, or `./` before a name that holds it"
    ))
}

/// The variable behind a `$`: `NAME` or `{NAME}`.
fn dollar(rest: &str) -> Option<String> {
    if let Some(braced) = rest.strip_prefix('{') {
        let (name, _) = braced.split_once('}')?;
        return (!name.is_empty()).then(|| format!("${{{name}}}"));
    }
    let name = name_at(rest);
    (!name.is_empty()).then(|| format!("${name}"))
}

/// The variable behind a `%`: `NAME%`, as `%ProgramFiles(x86)%` has it too. `%20` begins none.
fn percent(rest: &str) -> Option<String> {
    let (name, _) = rest.split_once('%')?;
    let known = name_at(name);
    let tail = name.strip_prefix(known)?;
    let is_name = !known.is_empty() && matches!(tail, "" | "(x86)");
    is_name.then(|| format!("%{name}%"))
}

/// The longest beginning that is the name of a variable.
fn name_at(text: &str) -> &str {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return "";
    }
    text.split(|c: char| !is_part(c)).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::unexpanded;

    /// contract C3: what a shell would have expanded, and its twins that are plain names.
    #[test]
    fn only_a_shell_expands_paths() {
        for typed in [
            "~",
            "~/cg",
            "~alice",
            "~alice/cg",
            "~\\cg",
            "$HOME/st",
            "${HOME}/st",
            "/a/$X",
            "a$_b",
            "%APPDATA%\\cg",
            "%ProgramFiles(x86)%/x",
            "${env:HOME}/cg",
            "${workspaceFolder}/p.json",
            "$env:HOME/x",
            "50%/%TMP%",
        ] {
            assert!(unexpanded(OsStr::new(typed)).is_some(), "{typed}");
        }
        for typed in [
            "",
            "./~/cg",
            "./a$b",
            "./$HOME/st",
            "./%TMP%",
            "a~/b",
            "/x/~",
            "a$",
            "$5",
            "a$/b",
            "${}",
            "${HOME",
            "100%",
            "%20b%20",
            "%%",
            "%a b%",
            "a%b",
            "/var/lib/callgate",
        ] {
            assert_eq!(unexpanded(OsStr::new(typed)), None, "{typed}");
        }
        let told = unexpanded(OsStr::new("/a/${B\u{202e}\nC}/d"));
        assert!(
            told.is_some_and(|told| told.starts_with("`${B\\u{202e}\\u{a}C}` was not expanded"))
        );
    }
}
