//! The lines of an audit log as they are read again: every field that an event may have (contract S3).

use serde::Deserialize;
use serde_json::value::RawValue;

/// A line of a log. What an event lacks is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// The number of the line.
    pub seq: u64,
    /// When it happened, as RFC 3339 in UTC with milliseconds; so it can be compared as a text.
    pub time: String,
    /// What happened.
    pub event: String,
    /// The server's name.
    pub server: String,
    /// The grant.
    pub grant: String,
    /// The run.
    pub session: String,
    /// The client's id of a call, as JSON.
    pub id: Option<Box<RawValue>>,
    /// The tool.
    pub tool: String,
    /// `allowed`, `denied` or `approval_required`.
    pub decision: String,
    /// The rule that made a decision.
    pub rule: String,
    /// What the agent was told.
    pub message: String,
    /// What stands behind that.
    pub cause: String,
    /// What shadow mode let pass: of a call the verdict, else true or false.
    pub shadow: Option<Box<RawValue>>,
    /// How a call ended.
    pub outcome: String,
    /// How long it took.
    pub latency_ms: u64,
    /// Who sent a line.
    pub from: String,
    /// What is wrong with it.
    pub reason: String,
    /// A method.
    pub method: String,
    /// Who has changed the list of tools.
    pub by: String,
    /// The policy's file.
    pub policy: String,
    /// What is wrong with it.
    pub error: String,
    /// A counter.
    pub counter: String,
    /// How many of that name.
    pub counters: u64,
    /// How many events this line stands for; 0 is one.
    pub count: u64,
    /// When the first of them happened, if it stands for several.
    pub since: String,
    /// The fields in which they differ.
    pub various: Vec<String>,
    /// How many lines.
    pub lines: u64,
    /// How many bytes of lines were torn.
    pub torn_bytes: u64,
    /// callgate's process.
    pub pid: u32,
    /// callgate's version.
    pub version: String,
    /// The server's program.
    pub command: String,
    /// What callgate ended with.
    pub exit_code: u8,
    /// What happened in a session.
    pub totals: Option<EntryTotals>,
}

/// What happened in a session.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct EntryTotals {
    /// Calls that were decided.
    pub calls: u64,
    /// Calls that did not go out.
    pub denied: u64,
}

impl Entry {
    /// Reads a line; none if it is no line of a log.
    #[must_use]
    pub fn of(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok().filter(|entry: &Entry| !entry.event.is_empty())
    }

    /// True if something was refused: a call, a method, or a line.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        match self.event.as_str() {
            "call" => self.decision != "allowed",
            "method_denied" => self.shadow.as_ref().is_none_or(|shadow| shadow.get() != "true"),
            "frame_refused" => true,
            _ => false,
        }
    }

    /// How many events this line stands for (contract S3).
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.max(1)
    }

    /// True if the events that this line stands for differ in this field.
    #[must_use]
    pub fn is_various(&self, field: &str) -> bool {
        self.various.iter().any(|various| various == field)
    }

    /// True if the line tells of a tool that is `wanted`, or may do so.
    #[must_use]
    pub fn may_be_of(&self, wanted: impl Fn(&str) -> bool) -> bool {
        wanted(&self.tool) || self.event == "call" && self.is_various("tool")
    }

    /// What shadow mode let pass, if this is a call and it did.
    #[must_use]
    pub fn shadowed(&self) -> Option<Shadowed> {
        serde_json::from_str(self.shadow.as_ref()?.get()).ok()
    }
}

/// What shadow mode let pass.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Shadowed {
    /// `denied` or `approval_required`.
    pub decision: String,
    /// The rule.
    pub rule: String,
    /// What the agent would have been told.
    pub message: String,
}
