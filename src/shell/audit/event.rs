//! The lines of an audit log as JSON (contract S3): each event is a type, which is used for writing and for reading. The
//! manual documents the fields (`src/manual/audit-log.md`).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::head::Recovered;
use super::words::{ChangedBy, Word};
use crate::engine::outcome::Outcome;
use crate::engine::session::audit_record::{CallEnd, CallRecord, Record, Verdict};
use crate::engine::text::words::words;
use crate::engine::wire::line::Side;

/// The longest string from elsewhere, in bytes.
const MAX_BYTES: usize = 256;

/// The identity of a session, which every line carries.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Identity {
    /// The server's name.
    pub server: String,
    /// The grant (contract S1).
    pub grant: String,
    /// The run, in hexadecimal: another one each time.
    pub session: String,
}

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// [`SessionStarted`].
    SessionStart,
    /// [`CallDecided`].
    Call,
    /// [`CallEnded`].
    Answer,
    /// [`FrameRefused`].
    FrameRefused,
    /// [`FrameDropped`].
    FrameDropped,
    /// [`MethodDenied`].
    MethodDenied,
    /// [`ToolsChanged`].
    ToolsChanged,
    /// [`PolicyLoaded`].
    PolicyLoaded,
    /// [`PolicyRejected`].
    PolicyRejected,
    /// [`CounterReset`].
    CounterReset,
    /// [`RecordsLost`].
    RecordsLost,
    /// [`SessionEnded`].
    SessionEnd,
    /// [`Recovered`].
    Recovered,
}

words!(EventKind {
    SessionStart => "session_start",
    Call => "call",
    Answer => "answer",
    FrameRefused => "frame_refused",
    FrameDropped => "frame_dropped",
    MethodDenied => "method_denied",
    ToolsChanged => "tools_changed",
    PolicyLoaded => "policy_loaded",
    PolicyRejected => "policy_rejected",
    CounterReset => "counter_reset",
    RecordsLost => "records_lost",
    SessionEnd => "session_end",
    Recovered => "recovered",
});

/// One event, as it stands in the log.
#[derive(Debug)]
pub enum AuditEvent<'a> {
    /// The server was started.
    SessionStart(SessionStarted<'a>),
    /// A call was decided.
    Call(CallDecided<'a>),
    /// A call that went out has ended.
    Answer(CallEnded<'a>),
    /// A line was refused, or not relayed.
    FrameRefused(FrameRefused<'a>),
    /// A line was dropped because nothing waits for it.
    FrameDropped(FrameDropped<'a>),
    /// A method was denied.
    MethodDenied(MethodDenied<'a>),
    /// The client is told that its list of tools has changed.
    ToolsChanged(ToolsChanged),
    /// Another policy is in force.
    PolicyLoaded(PolicyLoaded<'a>),
    /// A changed policy was rejected.
    PolicyRejected(PolicyRejected<'a>),
    /// A counter was reset.
    CounterReset(CounterReset<'a>),
    /// Events could not be written.
    RecordsLost(RecordsLost),
    /// The session has ended.
    SessionEnd(SessionEnded),
    /// A writer found the files otherwise than the head says.
    Recovered(Recovered),
}

/// The server was started.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionStarted<'a> {
    /// callgate's process.
    pub pid: u32,
    /// callgate's version.
    pub version: Cow<'a, str>,
    /// The server's program; its arguments may hold secrets.
    pub command: Cow<'a, str>,
    /// The policy's file.
    pub policy: Cow<'a, str>,
    /// SHA-256 of that file.
    pub sha256: Cow<'a, str>,
    /// True under `--shadow`.
    pub shadow: bool,
}

/// A call was decided.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CallDecided<'a> {
    /// The client's id as it is spelt; the beginning of a long one, as a string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, RawValue>>,
    /// The tool.
    pub tool: Cow<'a, str>,
    /// The result of the decision. Older logs call it `decision`.
    #[serde(alias = "decision")]
    pub outcome: Word<Outcome>,
    /// The rule that made the decision.
    pub rule: Cow<'a, str>,
    /// What the agent is told.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub message: Cow<'a, str>,
    /// Why, as far as the agent is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cow<'a, str>>,
    /// What shadow mode did not enforce.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadowed<'a>>,
    /// The names of the arguments: those that the policy's rules name, then the others, both sorted.
    pub keys: Cow<'a, [String]>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_keys: u64,
    /// Their values, under `--audit-args`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Cow<'a, RawValue>>,
}

/// What shadow mode did not enforce.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Shadowed<'a> {
    /// The result that the decision would have had. Older logs call it `decision`.
    #[serde(alias = "decision")]
    pub outcome: Word<Outcome>,
    /// The rule.
    pub rule: Cow<'a, str>,
    /// What the agent would have been told.
    pub message: Cow<'a, str>,
}

/// A call that went out has ended.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CallEnded<'a> {
    /// The client's id as it is spelt; the beginning of a long one, as a string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, RawValue>>,
    /// How it ended. Older logs call it `outcome`.
    #[serde(alias = "outcome")]
    pub end: Word<CallEnd>,
    /// Milliseconds since it went out.
    pub latency_ms: u64,
}

/// A line was refused, or not relayed.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FrameRefused<'a> {
    /// Who sent it.
    pub from: Word<Side>,
    /// The id that it bears.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, RawValue>>,
    /// What is wrong with it.
    pub reason: Cow<'a, str>,
}

/// A line was dropped because nothing waits for it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FrameDropped<'a> {
    /// Who sent it.
    pub from: Word<Side>,
    /// Why nothing waits for it.
    pub reason: Cow<'a, str>,
}

/// A method was denied.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MethodDenied<'a> {
    /// Who sent it.
    pub from: Word<Side>,
    /// The method.
    pub method: Cow<'a, str>,
    /// The rule that denies it.
    pub rule: Cow<'a, str>,
    /// True if shadow mode let it pass.
    pub shadow: bool,
}

/// The client is told that its list of tools has changed.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolsChanged {
    /// What changed it.
    pub by: Word<ChangedBy>,
}

/// Another policy is in force.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicyLoaded<'a> {
    /// Its file.
    pub policy: Cow<'a, str>,
    /// SHA-256 of the file.
    pub sha256: Cow<'a, str>,
}

/// A changed policy was rejected.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicyRejected<'a> {
    /// Its file.
    pub policy: Cow<'a, str>,
    /// What is wrong with it.
    pub error: Cow<'a, str>,
}

/// A counter was reset.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CounterReset<'a> {
    /// The counter.
    pub counter: Cow<'a, str>,
    /// How many of that name were set to zero.
    pub counters: u64,
}

/// Events could not be written for a while. No call that went out is among them, except in shadow mode.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordsLost {
    /// How many.
    pub lines: u64,
}

/// The session has ended.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionEnded {
    /// callgate's exit code.
    pub exit_code: u8,
    /// What happened in the session.
    pub totals: Totals,
}

/// How often each thing happened in a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Calls that were decided.
    pub calls: u64,
    /// Calls that went out.
    pub allowed: u64,
    /// Calls that did not.
    pub denied: u64,
    /// Calls that went out and have ended.
    pub answers: u64,
    /// Lines that were refused or not relayed.
    pub frames_refused: u64,
    /// Lines that were dropped because nothing waits for them.
    pub frames_dropped: u64,
}

impl Totals {
    /// Counts one record.
    pub fn count(&mut self, record: &Record) {
        let counted = match record {
            Record::Call(call) => return self.count_call(call),
            Record::Answer { .. } => &mut self.answers,
            Record::FrameRefused { .. } => &mut self.frames_refused,
            Record::Dropped { .. } => &mut self.frames_dropped,
            Record::Method { .. } | Record::ToolsChanged { .. } => return,
        };
        *counted = counted.saturating_add(1);
    }

    /// Counts one call.
    pub fn count_call(&mut self, call: &CallRecord) {
        self.calls = self.calls.saturating_add(1);
        let went_out = call.verdict.outcome.is_allowed();
        let counted = if went_out { &mut self.allowed } else { &mut self.denied };
        *counted = counted.saturating_add(1);
    }
}

impl<'a> AuditEvent<'a> {
    /// The event that a record becomes.
    #[must_use]
    pub fn of(record: &'a Record) -> Self {
        match record {
            Record::Call(call) => AuditEvent::of_call(call),
            Record::Answer { id, end, latency_ms } => AuditEvent::Answer(CallEnded {
                id: Some(shown_id(id)),
                end: (*end).into(),
                latency_ms: *latency_ms,
            }),
            Record::FrameRefused { from, id, reason } => AuditEvent::FrameRefused(FrameRefused {
                from: (*from).into(),
                id: id.as_deref().map(shown_id),
                reason: cut_text(reason),
            }),
            Record::Method { from, method, rule, enforced } => {
                AuditEvent::MethodDenied(MethodDenied {
                    from: (*from).into(),
                    method: cut_text(method),
                    rule: cut_text(rule),
                    shadow: !enforced,
                })
            }
            Record::ToolsChanged { by_policy } => {
                let by = if *by_policy { ChangedBy::Policy } else { ChangedBy::Server };
                AuditEvent::ToolsChanged(ToolsChanged { by: by.into() })
            }
            Record::Dropped { from, reason } => {
                let reason = Cow::Borrowed(*reason);
                AuditEvent::FrameDropped(FrameDropped { from: (*from).into(), reason })
            }
        }
    }

    /// The event of a decided call.
    pub(super) fn of_call(call: &'a CallRecord) -> Self {
        AuditEvent::Call(CallDecided::of(call))
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            AuditEvent::SessionStart(_) => EventKind::SessionStart,
            AuditEvent::Call(_) => EventKind::Call,
            AuditEvent::Answer(_) => EventKind::Answer,
            AuditEvent::FrameRefused(_) => EventKind::FrameRefused,
            AuditEvent::FrameDropped(_) => EventKind::FrameDropped,
            AuditEvent::MethodDenied(_) => EventKind::MethodDenied,
            AuditEvent::ToolsChanged(_) => EventKind::ToolsChanged,
            AuditEvent::PolicyLoaded(_) => EventKind::PolicyLoaded,
            AuditEvent::PolicyRejected(_) => EventKind::PolicyRejected,
            AuditEvent::CounterReset(_) => EventKind::CounterReset,
            AuditEvent::RecordsLost(_) => EventKind::RecordsLost,
            AuditEvent::SessionEnd(_) => EventKind::SessionEnd,
            AuditEvent::Recovered(_) => EventKind::Recovered,
        }
    }

    /// The same event without what the call brought along.
    #[must_use]
    pub fn without_arguments(mut self) -> Self {
        if let AuditEvent::Call(CallDecided { keys, more_keys, arguments, .. }) = &mut self {
            *more_keys = more_keys.saturating_add(keys.len() as u64);
            *keys = Cow::Borrowed(&[]);
            *arguments = None;
        }
        self
    }

    /// The members of its line, as JSON without braces: `event`, then its own fields.
    #[must_use]
    pub fn members(&self) -> String {
        let mut json = [r#""event":""#, self.kind().word(), "\""].concat().into_bytes();
        let comma = json.len();
        let written = match self {
            AuditEvent::SessionStart(event) => serde_json::to_writer(&mut json, event),
            AuditEvent::Call(event) => serde_json::to_writer(&mut json, event),
            AuditEvent::Answer(event) => serde_json::to_writer(&mut json, event),
            AuditEvent::FrameRefused(event) => serde_json::to_writer(&mut json, event),
            AuditEvent::FrameDropped(event) => serde_json::to_writer(&mut json, event),
            AuditEvent::MethodDenied(event) => serde_json::to_writer(&mut json, event),
            AuditEvent::ToolsChanged(event) => serde_json::to_writer(&mut json, event),
            AuditEvent::PolicyLoaded(event) => serde_json::to_writer(&mut json, event),
            AuditEvent::PolicyRejected(event) => serde_json::to_writer(&mut json, event),
            AuditEvent::CounterReset(event) => serde_json::to_writer(&mut json, event),
            AuditEvent::RecordsLost(event) => serde_json::to_writer(&mut json, event),
            AuditEvent::SessionEnd(event) => serde_json::to_writer(&mut json, event),
            AuditEvent::Recovered(event) => serde_json::to_writer(&mut json, event),
        };
        // An event has no way to fail to be JSON, and none is empty: its first brace becomes a comma.
        if written.is_ok()
            && let Some(brace) = json.get_mut(comma)
        {
            *brace = b',';
            json.pop();
        }
        String::from_utf8(json).unwrap_or_default()
    }

    /// Reads the fields of an event of this kind.
    pub(super) fn read(kind: EventKind, line: &[u8]) -> serde_json::Result<Self> {
        Ok(match kind {
            EventKind::SessionStart => AuditEvent::SessionStart(serde_json::from_slice(line)?),
            EventKind::Call => AuditEvent::Call(serde_json::from_slice(line)?),
            EventKind::Answer => AuditEvent::Answer(serde_json::from_slice(line)?),
            EventKind::FrameRefused => AuditEvent::FrameRefused(serde_json::from_slice(line)?),
            EventKind::FrameDropped => AuditEvent::FrameDropped(serde_json::from_slice(line)?),
            EventKind::MethodDenied => AuditEvent::MethodDenied(serde_json::from_slice(line)?),
            EventKind::ToolsChanged => AuditEvent::ToolsChanged(serde_json::from_slice(line)?),
            EventKind::PolicyLoaded => AuditEvent::PolicyLoaded(serde_json::from_slice(line)?),
            EventKind::PolicyRejected => AuditEvent::PolicyRejected(serde_json::from_slice(line)?),
            EventKind::CounterReset => AuditEvent::CounterReset(serde_json::from_slice(line)?),
            EventKind::RecordsLost => AuditEvent::RecordsLost(serde_json::from_slice(line)?),
            EventKind::SessionEnd => AuditEvent::SessionEnd(serde_json::from_slice(line)?),
            EventKind::Recovered => AuditEvent::Recovered(serde_json::from_slice(line)?),
        })
    }
}

impl<'a> CallDecided<'a> {
    fn of(call: &'a CallRecord) -> Self {
        let Verdict { outcome, rule, message, cause } = &call.verdict;
        let shadowed = |verdict: &'a Verdict| Shadowed {
            outcome: verdict.outcome.into(),
            rule: cut_text(&verdict.rule),
            message: cut_text(&verdict.message),
        };
        CallDecided {
            id: Some(shown_id(&call.id)),
            tool: cut_text(&call.tool),
            outcome: (*outcome).into(),
            rule: cut_text(rule),
            message: cut_text(message),
            cause: cause.as_deref().map(cut_text),
            shadow: call.shadowed.as_ref().map(shadowed),
            keys: Cow::Borrowed(&call.arguments.keys),
            more_keys: call.arguments.more_keys,
            arguments: call.arguments.values.as_deref().and_then(json).map(Cow::Borrowed),
        }
    }
}

/// An id as it is spelt; the beginning of a long one, as a string.
fn shown_id(spelt: &str) -> Cow<'_, RawValue> {
    let whole = Some(spelt).filter(|spelt| spelt.len() <= MAX_BYTES).and_then(json);
    whole.map_or_else(
        || Cow::Owned(to_raw_value(&cut_text(spelt)).unwrap_or_default()),
        Cow::Borrowed,
    )
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn json(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}

/// A text of at most 256 bytes, which ends with `…` if more was there.
#[must_use]
pub fn cut_text(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_BYTES {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(MAX_BYTES.saturating_sub('…'.len_utf8()));
    Cow::Owned([text.get(..end).unwrap_or_default(), "…"].concat())
}
