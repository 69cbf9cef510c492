//! What is recorded of a session: values that the shell turns into lines of the audit log.

use std::fmt;

use crate::engine::outcome::Outcome;
use crate::engine::text::words::words;
use crate::engine::wire::line::Side;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A tool call was decided.
    Call(Box<CallRecord>),
    /// A tool call has come to its end.
    Answer {
        /// The id as the client spelt it.
        id: String,
        /// How it ended.
        end: CallEnd,
        /// Milliseconds since the request went out.
        latency_ms: u64,
    },
    /// A line from the client was refused, or one from the server was not relayed.
    FrameRefused {
        /// Who sent it.
        from: Side,
        /// The id that it bears, as it is spelt, if one was found.
        id: Option<String>,
        /// What is wrong with it.
        reason: String,
    },
    /// A method was denied, or in shadow mode would have been.
    Method {
        /// Who used it.
        from: Side,
        /// The method.
        method: String,
        /// The rule that denies it.
        rule: String,
        /// False in shadow mode.
        enforced: bool,
    },
    /// The client is told that its list of tools has changed.
    ToolsChanged {
        /// True if the policy did it, false if the server says so.
        by_policy: bool,
    },
    /// A line was dropped because nobody waits for it.
    Dropped {
        /// Who sent it.
        from: Side,
        /// Why nobody waits for it.
        reason: &'static str,
    },
}

/// A tool call that was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// The client's id as it was spelt.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// The verdict that is enforced.
    pub verdict: Verdict,
    /// What shadow mode would have said.
    pub shadowed: Option<Verdict>,
    /// What is recorded of its arguments.
    pub arguments: ArgumentsRecord,
    /// The request is of 2026-07-28 or later.
    pub modern: bool,
    /// The client asks for a task (2025-11-25).
    pub task: bool,
}

/// What is recorded of a call's arguments (contract S3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArgumentsRecord {
    /// Their names: those that the policy's rules name, then the others, both sorted.
    pub keys: Vec<String>,
    /// How many more there are.
    pub more_keys: u64,
    /// The arguments as JSON, cut; only with `--audit-args`.
    pub values: Option<String>,
}

/// How a call that went out has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEnd {
    /// With a result.
    Result,
    /// With a JSON-RPC error, or a result with `isError`.
    Error,
    /// With a line that could not be relayed; the client got an error instead.
    Unreadable,
    /// With a result that was not relayed, since the policy denies a method that it asks the client to run.
    Withheld,
    /// The server did not answer before the session ended.
    Nothing,
}

words!(CallEnd {
    Result => "result",
    Error => "error",
    Unreadable => "unreadable",
    Withheld => "withheld",
    Nothing => "unanswered",
});

/// What a call came to, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The result of the decision.
    pub outcome: Outcome,
    /// The rule.
    pub rule: String,
    /// What the agent is told; empty if it is allowed.
    pub message: String,
    /// The cause, which the agent is not told: why the state is unavailable.
    pub cause: Option<String>,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Record::Call(call) => call.fmt(f),
            Record::Answer { id, end, latency_ms } => {
                let how = match end {
                    CallEnd::Result => "answered",
                    CallEnd::Error => "failed",
                    CallEnd::Unreadable => "answered with what cannot be read",
                    CallEnd::Withheld => "answered with what was withheld",
                    CallEnd::Nothing => "left unanswered",
                };
                write!(f, "call {id} {how} after {latency_ms} ms")
            }
            Record::ToolsChanged { by_policy } => {
                let who = if *by_policy { "policy" } else { "server" };
                write!(f, "the list of tools has changed by the {who}")
            }
            Record::FrameRefused { from, id, reason } => {
                write!(f, "line from the {from} refused: {reason}")?;
                id.iter().try_for_each(|id| write!(f, " (id {id})"))
            }
            Record::Method { from, method, rule, enforced } => {
                let how = if *enforced { "denied" } else { "in shadow mode: denied" };
                write!(f, "method `{method}` from the {from}: {how} by {rule}")
            }
            Record::Dropped { from, reason } => write!(f, "line from the {from} dropped: {reason}"),
        }
    }
}

impl fmt::Display for CallRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {} `{}`: {}", self.id, self.tool, self.verdict)?;
        self.shadowed.iter().try_for_each(|shadowed| write!(f, "; in shadow mode: {shadowed}"))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.outcome, self.rule)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        self.cause.iter().try_for_each(|cause| write!(f, " ({cause})"))
    }
}
