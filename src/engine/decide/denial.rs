//! Denials: why a call does not go out, and the message that the agent gets (contract W2).

use std::sync::Arc;

use crate::engine::outcome::Outcome;
use crate::engine::policy::{BuiltIn, RuleId};
use crate::engine::text::shorten::short_name;

/// Why a call does not go out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The rule that denies.
    pub rule: RuleId,
    /// The policy's own message, if it has one.
    pub words: Option<String>,
    /// The kind of rule; it chooses the default message.
    pub cause: Cause,
    /// Why a value could not be decided, if that is the reason (contract W2).
    pub doubt: Option<Box<str>>,
}

/// The kind of rule that denies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// `hide`
    Hidden,
    /// The tool's name can be mistaken for another one (contract P4).
    Confusable,
    /// Not listed under `default: deny`.
    NotListed,
    /// `action`, `require` or `deny_if`.
    Rule,
    /// A limit whose amount cannot be read, at this path in the call.
    Amount(Box<str>),
    /// A limit without room.
    Limit(LimitReached),
    /// `action: require_approval` or `approval_if`.
    Approval,
    /// The decision would take more work than one may (contract 3.5).
    TooCostly,
    /// The counters cannot be read or written, for this reason.
    StateUnavailable(String),
    /// The call cannot be recorded, for this reason.
    AuditUnavailable(String),
}

/// A limit that has no room for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitReached {
    /// `30 per minute (image_generate_rate)`
    pub what: Arc<str>,
    /// Milliseconds until every limit of the call has room; `None` if that never happens in this run or at this cost.
    pub retry_after_ms: Option<u64>,
    /// The call costs more than the limit holds.
    pub costs_too_much: bool,
}

impl Denial {
    /// The result of the decision: [`Outcome::ApprovalRequired`] if a human could still let the call out, else
    /// [`Outcome::Denied`].
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self.cause {
            Cause::Approval => Outcome::ApprovalRequired,
            Cause::Hidden
            | Cause::Confusable
            | Cause::NotListed
            | Cause::Rule
            | Cause::Amount(_)
            | Cause::Limit(_)
            | Cause::TooCostly
            | Cause::StateUnavailable(_)
            | Cause::AuditUnavailable(_) => Outcome::Denied,
        }
    }

    /// The message with the mark before it, as the agent reads it (contract W2).
    #[must_use]
    pub fn marked_message(&self, tool: &str) -> String {
        let mark = match self.cause {
            Cause::Approval => "[APPROVAL REQUIRED] ",
            _ => "[POLICY DENIED] ",
        };
        [mark, &self.message(tool)].concat()
    }

    /// The denial of a call whose counters cannot be reached (contract S2).
    #[must_use]
    pub fn state_unavailable(reason: String) -> Self {
        Denial {
            rule: BuiltIn::StateUnavailable.into(),
            words: None,
            cause: Cause::StateUnavailable(reason),
            doubt: None,
        }
    }

    /// The denial of a call whose decision would take too much work (contract 3.5).
    #[must_use]
    pub fn too_costly() -> Self {
        Denial {
            rule: BuiltIn::TooCostly.into(),
            words: None,
            cause: Cause::TooCostly,
            doubt: None,
        }
    }

    /// What the agent reads, without the mark before it (contract W2).
    #[must_use]
    pub fn message(&self, tool: &str) -> String {
        let message = self.message_without_doubt(tool);
        match &self.doubt {
            Some(doubt) => [&message, " (", doubt, ".)"].concat(),
            None => message,
        }
    }

    fn message_without_doubt(&self, tool: &str) -> String {
        let tool = short_name(tool);
        let about = |rest: &str| ["Tool `", &tool, "` ", rest].concat();
        let own = |rest: &str| self.words.clone().unwrap_or_else(|| about(rest));
        match &self.cause {
            Cause::Hidden => about("is hidden by policy."),
            Cause::NotListed => about("is not permitted by policy."),
            Cause::Confusable => {
                about("is not permitted by policy: its name can be mistaken for another one.")
            }
            Cause::Rule => own("is denied by policy."),
            Cause::Amount(path) => own(&format!(
                "is denied by policy: `{path}` is not an amount that its limit can count."
            )),
            Cause::Limit(limit) => limit.message(self.words.as_deref()),
            Cause::Approval => own("needs the approval of a human."),
            Cause::TooCostly => about(
                "is denied by policy: checking these arguments would take too much work. Send less in one call.",
            ),
            Cause::StateUnavailable(_) => {
                about("is denied by policy: its counters are unavailable just now.")
            }
            Cause::AuditUnavailable(_) => {
                about("is denied by policy: it cannot be put on record just now.")
            }
        }
    }

    /// The denial of a call that cannot be recorded (contract S3).
    #[must_use]
    pub fn audit_unavailable(reason: String) -> Self {
        Denial {
            rule: BuiltIn::AuditUnavailable.into(),
            words: None,
            cause: Cause::AuditUnavailable(reason),
            doubt: None,
        }
    }

    /// The reason that is kept from the agent.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match &self.cause {
            Cause::StateUnavailable(reason) | Cause::AuditUnavailable(reason) => Some(reason),
            _ => None,
        }
    }

    /// Milliseconds until the limits have room for the call, if a limit denied it and that time ever comes.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        match &self.cause {
            Cause::Limit(limit) => limit.retry_after_ms,
            _ => None,
        }
    }
}

impl LimitReached {
    fn message(&self, words: Option<&str>) -> String {
        let default = || ["Limit reached: ", &self.what, "."].concat();
        let words = words.map_or_else(default, str::to_owned);
        match self.retry_after_ms {
            Some(ms) => [&words, " Try again in ", &ms.div_ceil(1000).to_string(), " s."].concat(),
            None if self.costs_too_much => words + " This call costs more than the limit allows.",
            None => words + " Trying again in this session will not help.",
        }
    }
}
