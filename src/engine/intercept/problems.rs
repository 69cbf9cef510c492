//! Problems of a file in YAML, each with its place.

use std::ops::Range;

use crate::engine::compile::diagnostic::{Diagnostic, Severity};
use crate::engine::compile::fields::MAX_PROBLEMS;

/// Where something stands in the file, and in the document.
#[derive(Debug, Clone, Default)]
pub(crate) struct YamlPlace {
    /// In bytes from the start of the file.
    pub(crate) span: Range<usize>,
    /// RFC 6901.
    pub(crate) pointer: String,
}

impl YamlPlace {
    /// A place in the file that belongs to no value of the document.
    #[must_use]
    pub(crate) fn at(span: Range<usize>) -> Self {
        YamlPlace { span, pointer: String::new() }
    }

    /// The place of the member or element `name`, whose text is `span`.
    #[must_use]
    pub(crate) fn child(&self, name: &str, span: Range<usize>) -> Self {
        let name = name.replace('~', "~0").replace('/', "~1");
        YamlPlace { span, pointer: format!("{}/{name}", self.pointer) }
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct YamlProblems {
    found: Vec<Diagnostic>,
}

impl YamlProblems {
    /// Adds one.
    pub(crate) fn add(
        &mut self,
        place: &YamlPlace,
        message: impl Into<String>,
        help: Option<&str>,
    ) {
        if self.found.len() < MAX_PROBLEMS {
            self.found.push(Diagnostic {
                severity: Severity::Error,
                code: None,
                at: place.span.start,
                len: Some(place.span.len()).filter(|len| *len > 0),
                pointer: place.pointer.clone(),
                message: message.into(),
                help: help.map(str::to_owned),
                notes: Vec::new(),
            });
        }
    }

    /// All of them in file order.
    #[must_use]
    pub(crate) fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|problem| problem.at);
        self.found
    }

    /// True if there is none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
}
