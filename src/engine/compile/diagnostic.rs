//! Diagnostics: errors and warnings about a file, as values.

use serde::Serialize;

use super::fields::Problem;
use super::lint::Warning;

/// How severe a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but may not mean what its author thinks.
    Warning,
}

/// An error or warning about a file.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// How severe a diagnostic is.
    pub severity: Severity,
    /// The kind of warning, for programs.
    pub code: Option<&'static str>,
    /// Where its token begins, in bytes from the start of the file.
    pub at: usize,
    /// How long its token is, in bytes; `None` for a token of JSON, which shows itself.
    pub len: Option<usize>,
    /// RFC 6901 pointer of the member it is about; empty for the whole document.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    /// How the problem came about.
    pub notes: Vec<String>,
}

impl From<Problem> for Diagnostic {
    fn from(problem: Problem) -> Self {
        let Problem { at, pointer, message, help } = problem;
        let severity = Severity::Error;
        Diagnostic {
            severity,
            code: None,
            at,
            len: None,
            pointer,
            message,
            help,
            notes: Vec::new(),
        }
    }
}

impl From<Warning> for Diagnostic {
    fn from(Warning { kind, problem }: Warning) -> Self {
        Diagnostic {
            severity: Severity::Warning,
            code: Some(kind.word()),
            ..Diagnostic::from(problem)
        }
    }
}
