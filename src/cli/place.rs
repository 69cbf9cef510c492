//! Paths in arguments. A shell expands `~/` and variables before callgate sees them. A client's configuration does not,
//! and callgate would silently create a directory with that literal name (contract C3). A path that begins with `./` is
//! taken literally, and so is an absolute path that exists.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf, is_separator};

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::engine::text::escape::escape_line;

/// A parser for the path of an option.
pub(super) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(read)
}

/// A parser for a path that a shell may have completed from a directory: an existing file is taken literally.
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

/// Explains which part of a path no shell has expanded. `None` for a literal path, and for an absolute path that
/// exists.
pub(super) fn unexpanded_in(typed: &OsStr) -> Option<String> {
    let path = Path::new(typed);
    unexpanded(typed).filter(|_| !path.is_absolute() || path.symlink_metadata().is_err())
}

/// Finds the part of a path that no shell has expanded; none if the path begins with `./`.
fn unexpanded(typed: &OsStr) -> Option<String> {
    let text = typed.to_string_lossy();
    if text.strip_prefix('.').is_some_and(|rest| rest.starts_with(is_separator)) {
        return None;
    }
    // Covers `~`, `~/x` and `~name/x`; a file with such a name is `./~name`.
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

/// The variable after a `$`: `NAME` or `{NAME}`.
fn dollar(rest: &str) -> Option<String> {
    if let Some(braced) = rest.strip_prefix('{') {
        let (name, _) = braced.split_once('}')?;
        return (!name.is_empty()).then(|| format!("${{{name}}}"));
    }
    let name = name_at(rest);
    (!name.is_empty()).then(|| format!("${name}"))
}

/// The variable after a `%`: `NAME%`, also `%ProgramFiles(x86)%`. `%20` is not one.
fn percent(rest: &str) -> Option<String> {
    let (name, _) = rest.split_once('%')?;
    let known = name_at(name);
    let tail = name.strip_prefix(known)?;
    let is_name = !known.is_empty() && matches!(tail, "" | "(x86)");
    is_name.then(|| format!("%{name}%"))
}

/// The longest prefix that is the name of a variable.
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

    /// contract C3: unexpanded paths, and their twins that are plain names.
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
