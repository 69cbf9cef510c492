//! A policy file as commands take it: compiled and tested, or what is wrong with it.

use std::path::Path;

use crate::command::show::diagnostics::SourceFile;
use crate::engine::compile::diagnostic::{Diagnostic, Severity};
use crate::engine::compile::fields::{MAX_PROBLEMS, Problem};
use crate::engine::compile::lint::lint;
use crate::engine::compile::policy_test::{self, Example};
use crate::engine::compile::{compile_unless, compile_with_tests};
use crate::engine::policy::Policy;
use crate::shell::digest::Hash;
use crate::shell::state_dir;
use crate::shell::stderr::LongError;
use crate::shell::watch::LoadedPolicy;

/// What the file is called in errors.
pub const POLICY: &str = "policy";

/// How wide a report on stderr is, which may be anything.
const COLUMNS: usize = 80;

/// What there is to say about a policy file.
#[derive(Debug)]
pub struct Findings {
    /// The policy, if it is sound; its tests may have failed all the same.
    pub policy: Option<Policy>,
    /// Errors and warnings, in file order.
    pub diagnostics: Vec<Diagnostic>,
    /// How many tests it has.
    pub tests: usize,
    /// How many of them failed.
    pub failed: usize,
}

impl Findings {
    /// Looks for everything that is wrong with a policy, runs its tests, and looks for what is likely wrong.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let mut findings = Self::errors_of(content, &|| false);
        if let (Some(policy), Ok(text)) = (&findings.policy, str::from_utf8(content)) {
            findings.diagnostics.extend(lint(text, policy).into_iter().map(Diagnostic::from));
            findings.diagnostics.sort_by_key(|diagnostic| diagnostic.at);
        }
        findings
    }

    /// The same without what is only likely wrong; any or nothing if the content is stale by now.
    fn errors_of(content: &[u8], is_stale: &dyn Fn() -> bool) -> Self {
        let (policy, tests) = match compile_unless(content, is_stale) {
            Ok(compiled) => compiled,
            Err(problems) => {
                let diagnostics = told(content, problems);
                return Findings { policy: None, diagnostics, tests: 0, failed: 0 };
            }
        };
        let outcomes = policy_test::run(&policy, &tests, is_stale);
        let mut diagnostics: Vec<Diagnostic> =
            outcomes.failures.iter().map(Diagnostic::from).collect();
        diagnostics.extend(outcomes.too_costly.map(too_costly));
        diagnostics.sort_by_key(|diagnostic| diagnostic.at);
        diagnostics.truncate(MAX_PROBLEMS);
        let failed = outcomes.failed.saturating_add(usize::from(outcomes.too_costly.is_some()));
        Findings { policy: Some(policy), diagnostics, tests: tests.len(), failed }
    }

    /// How many of the diagnostics are this bad.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }
}

/// The tests of a policy take too much work together, at this one.
fn too_costly(example: &Example) -> Diagnostic {
    let message = format!("up to test `{}`, the tests take more than 2 s of work", example.name);
    let help = "fewer `times`, or shorter `arguments`, show the same";
    let pointer = format!("{}/expect", example.pointer);
    Diagnostic::from(Problem {
        at: example.expect_at,
        pointer,
        message,
        help: Some(help.to_owned()),
    })
}

/// Makes a policy of the `content` of the file at `path`.
///
/// # Errors
/// It is not valid, or its own tests fail (contract P16); every problem is named with its place.
pub fn load(path: &Path, content: &[u8]) -> anyhow::Result<LoadedPolicy> {
    load_unless(path, content, &|| false)
}

/// The same, unless `is_stale` says on the way that it is out of date.
///
/// # Errors
/// It is not valid, or its own tests fail (contract P16); every problem is named with its place.
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

/// Makes a policy of the `content` of the file at `path`, without running its tests.
///
/// # Errors
/// It is not valid; every problem is named with its place.
pub fn load_untested(path: &Path, content: &[u8]) -> anyhow::Result<Policy> {
    compile_with_tests(content)
        .map(|(policy, _)| policy)
        .map_err(|problems| not_valid(path, content, &told(content, problems)))
}

/// The problems of a file, as they are told.
fn told(content: &[u8], problems: Vec<Problem>) -> Vec<Diagnostic> {
    let mut diagnostics: Vec<Diagnostic> = problems.into_iter().map(Diagnostic::from).collect();
    if is_yaml(content) {
        diagnostics.truncate(1);
        diagnostics.iter_mut().for_each(point_at_import);
    }
    diagnostics
}

/// True if a file that is no policy looks like YAML, as Intercept's policies are: it begins with `name:`.
fn is_yaml(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content);
    let mut lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let first = lines.next().unwrap_or_default();
    let name = first.split(':').next().unwrap_or_default();
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    first == "---" || name.len() < first.len() && !name.is_empty() && name.chars().all(is_word)
}

fn point_at_import(diagnostic: &mut Diagnostic) {
    diagnostic.message = String::from("this is YAML, and a policy is JSON");
    diagnostic.help = Some(
        "if it is a policy of Intercept, `callgate import FILE` turns it into one of callgate"
            .to_owned(),
    );
}

/// What lets others change the policy: a warning for each place (contract W7).
#[must_use]
pub fn dangers(path: &Path) -> Vec<String> {
    state_dir::open_to_others([path], "they can change the policy", &mut Vec::new())
}

fn not_valid(path: &Path, file: &[u8], diagnostics: &[Diagnostic]) -> anyhow::Error {
    report(&format!("policy `{}` is not valid", path.display()), path, file, diagnostics)
}

/// What is wrong with a file, on stderr, behind a line that says what came of it.
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
