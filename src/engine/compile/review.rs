//! Everything that is wrong with a policy file, or probably so: problems, failed tests and warnings.

use super::compile_unless;
use super::diagnostic::{Diagnostic, Severity};
use super::fields::{MAX_PROBLEMS, Problem};
use super::lint::lint;
use super::policy_test::{self, Example, TestFailure};
use crate::engine::decide::narrate;
use crate::engine::policy::Policy;

/// The errors and warnings of a policy file.
#[derive(Debug)]
pub struct Findings {
    /// The policy, if it is valid; its tests may have failed all the same.
    pub policy: Option<Policy>,
    /// Errors and warnings, in file order.
    pub diagnostics: Vec<Diagnostic>,
    /// The number of its tests.
    pub tests: usize,
    /// The number of tests that failed.
    pub failed: usize,
}

impl Findings {
    /// Compiles a policy, runs its tests, and looks for what is probably not meant.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let mut findings = Self::errors_of(content, &|| false);
        if let (Some(policy), Ok(text)) = (&findings.policy, str::from_utf8(content)) {
            findings.diagnostics.extend(lint(text, policy).into_iter().map(Diagnostic::from));
            findings.diagnostics.sort_by_key(|diagnostic| diagnostic.at);
        }
        findings
    }

    /// The same without warnings. Stops early if `is_stale` returns true.
    #[must_use]
    pub fn errors_of(content: &[u8], is_stale: &dyn Fn() -> bool) -> Self {
        let (policy, tests) = match compile_unless(content, is_stale) {
            Ok(compiled) => compiled,
            Err(problems) => {
                let diagnostics = errors(content, problems);
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

    /// The number of diagnostics of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }
}

/// The error that the tests take too much work, from this one on.
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

/// The problems of a policy file as diagnostics. A file in YAML gets one that points at `callgate import`.
#[must_use]
pub fn errors(content: &[u8], problems: Vec<Problem>) -> Vec<Diagnostic> {
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

impl From<&TestFailure<'_>> for Diagnostic {
    fn from(failure: &TestFailure<'_>) -> Self {
        let (at, field) = failure.place();
        Diagnostic {
            severity: Severity::Error,
            code: None,
            at,
            len: None,
            pointer: format!("{}/{field}", failure.example.pointer),
            message: failure.message(),
            help: None,
            notes: narrate::lines(&failure.explanation),
        }
    }
}
