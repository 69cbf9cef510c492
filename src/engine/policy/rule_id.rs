//! Which rule made a decision.

use std::fmt;
use std::sync::Arc;

use crate::engine::text::words::words;

/// The rule that made a decision (contract 3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleId {
    /// A rule of the policy, by its RFC 6901 JSON Pointer: `/tools/create_refund/deny_if/0`.
    At(Arc<str>),
    /// A rule that every policy has.
    BuiltIn(BuiltIn),
}

/// A rule that no policy writes down: answers, records and `tests` name it by a word in parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BuiltIn {
    /// The tool is in `hide`.
    Hidden,
    /// The tool's name can be mistaken for another one (contract P4).
    ConfusableName,
    /// No entry of `tools` matches, and `default` is `deny`.
    DefaultDeny,
    /// No entry of `tools` matches, and `default` is `allow`.
    DefaultAllow,
    /// The frame cannot be read without doubt.
    Frame,
    /// The counters cannot be read or written (contract S2).
    StateUnavailable,
    /// The call cannot be recorded (contract S3).
    AuditUnavailable,
    /// The decision would take more work than one may take.
    TooCostly,
}

words!(BuiltIn {
    Hidden => "(hidden)",
    ConfusableName => "(confusable name)",
    DefaultDeny => "(default deny)",
    DefaultAllow => "(default allow)",
    Frame => "(frame)",
    StateUnavailable => "(state unavailable)",
    AuditUnavailable => "(audit unavailable)",
    TooCostly => "(too costly)",
});

impl RuleId {
    /// The text by which answers and records name the rule.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            RuleId::At(pointer) => pointer,
            RuleId::BuiltIn(rule) => rule.word(),
        }
    }
}

impl From<BuiltIn> for RuleId {
    fn from(rule: BuiltIn) -> Self {
        RuleId::BuiltIn(rule)
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq<BuiltIn> for RuleId {
    fn eq(&self, rule: &BuiltIn) -> bool {
        matches!(self, RuleId::BuiltIn(own) if own == rule)
    }
}
