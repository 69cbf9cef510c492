//! The lines of an audit log as JSON (contract S3). What they are called and contain is documented in the manual
//! (`src/manual/audit-log.md`).

use serde::Serialize;
use serde_json::value::RawValue;

use crate::engine::session::audit_record::{CallRecord, Record, Verdict};
use crate::engine::wire::line::Side;

/// The longest string from elsewhere, in bytes.
const MAX_BYTES: usize = 256;

/// The identity of a session, which every line carries.
#[derive(Debug, Clone, Serialize)]
pub struct Identity {
    /// The server's name.
    pub server: String,
    /// The grant (contract S1).
    pub grant: String,
    /// The run, in hexadecimal: another one each time.
    pub session: String,
}

/// One event, as it stands in the log.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// The server was started.
    SessionStart {
        /// callgate's process.
        pid: u32,
        /// callgate's version.
        version: &'a str,
        /// The server's program; its arguments may hold secrets.
        command: String,
        /// The policy's file.
        policy: String,
        /// SHA-256 of that file.
        sha256: String,
        /// True under `--shadow`.
        shadow: bool,
    },
    /// A call was decided.
    Call {
        /// The client's id.
        id: Id<'a>,
        /// The tool.
        tool: String,
        /// `allowed`, `denied` or `approval_required`.
        decision: &'a str,
        /// The rule that made the decision.
        rule: String,
        /// What the agent is told.
        #[serde(skip_serializing_if = "String::is_empty")]
        message: String,
        /// What stands behind that and is not for the agent.
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
        /// What shadow mode has let pass.
        #[serde(skip_serializing_if = "Option::is_none")]
        shadow: Option<Shadowed<'a>>,
        /// The names of the arguments: those that the policy's rules name, then the others, both sorted.
        keys: &'a [String],
        /// How many more there are.
        #[serde(skip_serializing_if = "is_zero")]
        more_keys: u64,
        /// Their values, if wished for.
        #[serde(skip_serializing_if = "Option::is_none")]
        arguments: Option<&'a RawValue>,
    },
    /// A call that went out has come to its end.
    Answer {
        /// The client's id.
        id: Id<'a>,
        /// `result`, `error`, `unreadable`, `withheld` or `unanswered`.
        outcome: &'a str,
        /// Milliseconds since it went out.
        latency_ms: u64,
    },
    /// A line was refused, or not relayed.
    FrameRefused {
        /// `client` or `server`.
        from: &'a str,
        /// The id that it bears.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Id<'a>>,
        /// What is wrong with it.
        reason: String,
    },
    /// A line was dropped that nobody waits for.
    FrameDropped {
        /// `client` or `server`.
        from: &'a str,
        /// Why nobody waits for it.
        reason: &'a str,
    },
    /// A method was denied.
    MethodDenied {
        /// `client` or `server`.
        from: &'a str,
        /// The method.
        method: String,
        /// The rule that denies it.
        rule: String,
        /// True if shadow mode let it pass.
        shadow: bool,
    },
    /// The client is told that its list of tools has changed.
    ToolsChanged {
        /// `policy` or `server`.
        by: &'a str,
    },
    /// Another policy is in force.
    PolicyLoaded {
        /// Its file.
        policy: String,
        /// SHA-256 of the file.
        sha256: String,
    },
    /// The policy's file has changed, and was not taken.
    PolicyRejected {
        /// Its file.
        policy: String,
        /// What is wrong with it.
        error: String,
    },
    /// Somebody gave the quota of a counter back.
    CounterReset {
        /// The counter.
        counter: &'a str,
        /// How many of that name were set to zero.
        counters: u64,
    },
    /// Lines are missing, since the log could not be written for a while. No call that went out is among them, unless
    /// it did in shadow mode.
    RecordsLost {
        /// How many.
        lines: u64,
    },
    /// The session is over.
    SessionEnd {
        /// What callgate ends with.
        exit_code: u8,
        /// What has happened in it.
        totals: Totals,
    },
}

/// An id as the client spelt it; one that is long is cut, and so becomes a string.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Id<'a> {
    /// JSON.
    Whole(&'a RawValue),
    /// The beginning of its spelling.
    Cut(String),
}

/// What shadow mode has let pass.
#[derive(Debug, Serialize)]
pub struct Shadowed<'a> {
    decision: &'a str,
    rule: String,
    message: String,
}

/// How often things have happened in a session.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Totals {
    /// Calls that were decided.
    pub calls: u64,
    /// Calls that went out.
    pub allowed: u64,
    /// Calls that did not.
    pub denied: u64,
    /// Calls that came to an end.
    pub answers: u64,
    /// Lines that were refused or not relayed.
    pub frames_refused: u64,
}

impl Totals {
    /// Counts one record.
    pub fn count(&mut self, record: &Record) {
        let mut counted = match record {
            Record::Call(call) => {
                self.calls = self.calls.saturating_add(1);
                let went_out = call.verdict.outcome.is_allowed();
                if went_out { [&mut self.allowed] } else { [&mut self.denied] }
            }
            Record::Answer { .. } => [&mut self.answers],
            Record::FrameRefused { .. } => [&mut self.frames_refused],
            Record::Method { .. } | Record::ToolsChanged { .. } | Record::Dropped { .. } => return,
        };
        for count in &mut counted {
            **count = count.saturating_add(1);
        }
    }
}

impl<'a> Event<'a> {
    /// What is logged of a record.
    #[must_use]
    pub fn of(record: &'a Record) -> Self {
        match record {
            Record::Call(call) => Event::of_call(call),
            Record::Answer { id, outcome, latency_ms } => {
                Event::Answer { id: Id::of(id), outcome: outcome.as_str(), latency_ms: *latency_ms }
            }
            Record::FrameRefused { from, id, reason } => Event::FrameRefused {
                from: name(*from),
                id: id.as_deref().map(Id::of),
                reason: cut(reason),
            },
            Record::Method { from, method, rule, enforced } => Event::MethodDenied {
                from: name(*from),
                method: cut(method),
                rule: cut(rule),
                shadow: !enforced,
            },
            Record::ToolsChanged { by_policy } => {
                Event::ToolsChanged { by: if *by_policy { "policy" } else { "server" } }
            }
            Record::Dropped { from, reason } => Event::FrameDropped { from: name(*from), reason },
        }
    }

    fn of_call(call: &'a CallRecord) -> Self {
        let Verdict { outcome, rule, message, cause } = &call.verdict;
        let shadowed = |verdict: &'a Verdict| Shadowed {
            decision: verdict.outcome.word(),
            rule: cut(&verdict.rule),
            message: cut(&verdict.message),
        };
        Event::Call {
            id: Id::of(&call.id),
            tool: cut(&call.tool),
            decision: outcome.word(),
            rule: cut(rule),
            message: cut(message),
            cause: cause.as_deref().map(cut),
            shadow: call.shadowed.as_ref().map(shadowed),
            keys: &call.arguments.keys,
            more_keys: call.arguments.more_keys,
            arguments: call.arguments.values.as_deref().and_then(json),
        }
    }
}

impl Event<'_> {
    /// The same event without what a call brought along.
    #[must_use]
    pub fn without_arguments(mut self) -> Self {
        if let Event::Call { keys, more_keys, arguments, .. } = &mut self {
            *more_keys = more_keys.saturating_add(keys.len() as u64);
            *keys = &[];
            *arguments = None;
        }
        self
    }
}

impl<'a> Id<'a> {
    fn of(spelt: &'a str) -> Self {
        let whole = Some(spelt).filter(|spelt| spelt.len() <= MAX_BYTES).and_then(json);
        whole.map_or_else(|| Id::Cut(cut(spelt)), Id::Whole)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn json(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}

fn name(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

/// A text of at most 256 bytes, which ends with `…` if more was there.
#[must_use]
pub fn cut(text: &str) -> String {
    if text.len() <= MAX_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MAX_BYTES.saturating_sub('…'.len_utf8()));
    [text.get(..end).unwrap_or_default(), "…"].concat()
}
