//! A policy file as commands take it: compiled, or explained.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::anyhow;

use crate::engine::compile::compile;
use crate::engine::source::{MAX_PROBLEMS, Place, Problem};
use crate::shell::audit::chain;
use crate::shell::news::LoadedPolicy;

use super::places;

/// What the file is called in errors.
pub const POLICY: &str = "policy";

/// Makes a policy of the `content` of the file at `path`.
///
/// # Errors
/// It is not valid; every problem is named with its place.
pub fn load(path: &Path, content: &[u8]) -> anyhow::Result<LoadedPolicy> {
    let policy = compile(content).map_err(|problems| anyhow!(report(path, content, &problems)))?;
    Ok(LoadedPolicy { policy, sha256: chain::hash(content) })
}

/// What others than the owner could do to the policy, if they could: a warning for each way (SPEC W7).
#[must_use]
pub fn dangers(path: &Path) -> Vec<String> {
    let absolute = std::path::absolute(path).ok();
    let directory = absolute.as_deref().and_then(Path::parent);
    let target = std::fs::canonicalize(path).ok();
    let target_directory = target.as_deref().and_then(Path::parent);
    let paths = [Some(path), directory, target_directory].into_iter().flatten();
    places::open_to_others(paths, "they can change the policy")
}

fn report(path: &Path, file: &[u8], problems: &[Problem]) -> String {
    let path = path.display();
    let how_many = match problems.len() {
        1 => "1 problem".to_owned(),
        count @ MAX_PROBLEMS.. => format!("the first {count} problems"),
        count => format!("{count} problems"),
    };
    let mut report = format!("policy `{path}` is not valid: {how_many}");
    for problem in problems {
        let place = Place::of(problem.at, file);
        let Problem { pointer, message, help, .. } = problem;
        // Writing to a string cannot fail.
        let _ = write!(report, "\n{path}:{place}: {message}");
        if let Some(help) = help {
            let _ = write!(report, "; {help}");
        }
        if !pointer.is_empty() {
            let _ = write!(report, " (at {pointer})");
        }
    }
    report
}
