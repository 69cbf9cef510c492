//! Files that are no JSON: what is wrong, and what usually leads to it.

use super::fields::{Position, Problem, open_bracket};
use crate::engine::json::reader::{Fault, JsonError};

/// A problem with the file as a whole.
pub(super) fn unreadable(at: usize, message: String, help: Option<String>) -> Problem {
    Problem { at, pointer: String::new(), message, help }
}

/// A problem with the syntax of JSON.
pub(super) fn syntax_problem(text: &str, error: JsonError) -> Problem {
    if text.starts_with('\u{FEFF}') {
        let help = Some("save the file as UTF-8 without BOM".to_owned());
        return unreadable(0, "a byte order mark at the start".to_owned(), help);
    }
    if text.trim().is_empty() {
        let help = Some(r#"the least policy is `{"version":"1","default":"deny"}`"#.to_owned());
        return unreadable(error.at, "the file is empty".to_owned(), help);
    }
    let rest = text.get(error.at..).unwrap_or_default();
    let help = match rest.chars().next() {
        Some('/' | '#') => Some("JSON has no comments; use `description`"),
        Some('}' | ']') => Some("no comma stands before a closing bracket"),
        Some('\'') => Some("strings stand in double quotes"),
        Some('"') => Some("a comma or colon is missing before this"),
        _ => None,
    };
    let unclosed = || {
        let (at, bracket) = open_bracket(text).filter(|_| rest.is_empty())?;
        Some(format!("the `{bracket}` at {} is not closed", Position::of(at, text.as_bytes())))
    };
    let message = match (error.fault, rest.chars().next()) {
        (Fault::TooDeep | Fault::TooManyKeys | Fault::Interrupted, _) => error.fault.to_string(),
        (fault, None) => format!("{fault}, found the end of the file"),
        (fault, Some(found)) if found.is_control() => {
            format!("{fault}, found `{}`", found.escape_debug())
        }
        (fault, Some(found)) => format!("{fault}, found `{found}`"),
    };
    unreadable(error.at, message, help.map(str::to_owned).or_else(unclosed))
}
