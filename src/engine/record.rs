//! What is to be recorded of a session: values that the shell turns into lines.

use std::fmt;

use super::line::Side;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A tool call was decided.
    Call {
        /// The client's id as it was spelt.
        id: String,
        /// The tool.
        tool: String,
        /// The verdict that counts.
        verdict: Verdict,
        /// What shadow mode would have said.
        shadowed: Option<Verdict>,
    },
    /// The server answered a request.
    Answer {
        /// The id as the server spelt it.
        id: String,
        /// True for a JSON-RPC error or a result with `isError`.
        failed: bool,
        /// Milliseconds since the request went out.
        latency_ms: u64,
    },
    /// A line from the client was refused, or one from the server was not relayed.
    FrameRefused {
        /// Who sent it.
        from: Side,
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
    /// A line was dropped that nobody waits for.
    Dropped {
        /// Who sent it.
        from: Side,
        /// Why nobody waits for it.
        reason: &'static str,
    },
}

/// What a call came to, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `allowed`, `denied` or `approval_required`.
    pub outcome: &'static str,
    /// The rule.
    pub rule: String,
    /// What the agent is told; empty if it is allowed.
    pub message: String,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Record::Call { id, tool, verdict, shadowed } => {
                write!(f, "call {id} `{tool}`: {verdict}")?;
                shadowed.iter().try_for_each(|shadowed| write!(f, "; in shadow mode: {shadowed}"))
            }
            Record::Answer { id, failed, latency_ms } => {
                let how = if *failed { "failed" } else { "answered" };
                write!(f, "request {id} {how} after {latency_ms} ms")
            }
            Record::FrameRefused { from, reason } => {
                write!(f, "line from the {from} refused: {reason}")
            }
            Record::Method { from, method, rule, enforced } => {
                let how = if *enforced { "denied" } else { "in shadow mode: denied" };
                write!(f, "method `{method}` from the {from}: {how} by {rule}")
            }
            Record::Dropped { from, reason } => write!(f, "line from the {from} dropped: {reason}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.outcome, self.rule)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}
