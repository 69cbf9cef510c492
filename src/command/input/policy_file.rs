//! Loads policy files: compiles and tests them, or reports everything that is wrong.

use std::path::Path;

use crate::command::show::diagnostics::SourceFile;
use crate::engine::compile::compile_with_tests;
use crate::engine::compile::diagnostic::Diagnostic;
use crate::engine::compile::fields::MAX_PROBLEMS;
use crate::engine::compile::review::{Findings, errors};
use crate::engine::policy::Policy;
use crate::shell::digest::Hash;
use crate::shell::state_dir;
use crate::shell::stderr::LongError;
use crate::shell::watch::LoadedPolicy;

/// The name of the file in errors.
pub const POLICY: &str = "policy";

/// The width of a report on stderr, which need not be a terminal.
const COLUMNS: usize = 80;

/// Loads a policy from the `content` of the file at `path`.
///
/// # Errors
/// It is not valid, or its own tests fail (contract P16). The error lists every problem with its place.
pub fn load(path: &Path, content: &[u8]) -> anyhow::Result<LoadedPolicy> {
    load_unless(path, content, &|| false)
}

/// Like [`load`], but stops as soon as `is_stale` returns true.
///
/// # Errors
/// It is not valid, or its own tests fail (contract P16). The error lists every problem with its place.
pub fn load_unless(
    path: &Path,
    content: &[u8],
    is_stale: &dyn Fn() -> bool,
) -> anyhow::Result<LoadedPolicy> {
    let Findings { policy, diagnostics, .. } = Findings::errors_of(content, is_stale);
    match policy {
        Some(policy) if diagnostics.is_empty() => {
            Ok(LoadedPolicy { policy, sha256: Hash::of(content).to_string() })
        }
        _ => Err(not_valid(path, content, &diagnostics)),
    }
}

/// Loads a policy from the `content` of the file at `path` without running its tests.
///
/// # Errors
/// It is not valid. The error lists every problem with its place.
pub fn load_untested(path: &Path, content: &[u8]) -> anyhow::Result<Policy> {
    compile_with_tests(content)
        .map(|(policy, _)| policy)
        .map_err(|problems| not_valid(path, content, &errors(content, problems)))
}

/// Warns of each place that lets others change the policy (contract W7).
#[must_use]
pub fn dangers(path: &Path) -> Vec<String> {
    state_dir::open_to_others([path], "they can change the policy", &mut Vec::new())
}

fn not_valid(path: &Path, file: &[u8], diagnostics: &[Diagnostic]) -> anyhow::Error {
    report(&format!("policy `{}` is not valid", path.display()), path, file, diagnostics)
}

/// Reports the problems of a file on stderr, after a line that sums them up.
pub(in crate::command) fn report(
    summary: &str,
    path: &Path,
    file: &[u8],
    diagnostics: &[Diagnostic],
) -> anyhow::Error {
    let how_many = match diagnostics.len() {
        1 => "1 problem".to_owned(),
        count @ MAX_PROBLEMS.. => format!("the first {count} problems"),
        count => format!("{count} problems"),
    };
    let source = SourceFile::new(path, file);
    let shown = diagnostics.iter().map(|diagnostic| source.show(diagnostic, COLUMNS, false));
    let below = shown.collect::<Vec<_>>().join("\n\n");
    LongError { summary: format!("{summary}: {how_many}"), below }.into()
}
