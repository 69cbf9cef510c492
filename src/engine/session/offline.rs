//! The session of a live run fed from a recording, with the recording's clock and counters in memory.

use std::sync::Arc;

use serde_json::Value;

use super::audit_record::{CallRecord, Record};
use super::{RecordDetail, Session, SessionOptions};
use crate::engine::limits::{MemoryLedger, Now};
use crate::engine::policy::Policy;
use crate::engine::wire::line::Side;
use crate::engine::wire::transcript::Entry;

/// The time of all lines of a recording without times, which is the strictest reading for limits: 2026-01-01T00:00:00Z,
/// as for a policy's tests (contract P16).
const WITHOUT_TIME_MS: u64 = 1_767_225_600_000;

/// The most requests that may wait for an answer. One is missing where callgate itself had answered, or where the
/// recording does not hold what the server sent.
const MAX_UNANSWERED: usize = 32_768;

/// The decision about one line.
#[derive(Debug)]
pub(crate) enum OfflineDecision {
    /// A tool call.
    Call(Box<CallRecord>),
    /// A line that was refused, and why.
    Refused(String),
}

/// A session that is fed from a recording.
pub(crate) struct OfflineSession {
    policy: Arc<Policy>,
    /// As with `wrap --shadow`.
    shadow: bool,
    session: Session,
    ledger: MemoryLedger,
    now: Now,
    runs: u64,
    /// The last line was charged.
    charged: bool,
}

impl OfflineSession {
    pub(crate) fn new(policy: Arc<Policy>, shadow: bool) -> Self {
        let session = session(&policy, shadow);
        let (ledger, now) = (MemoryLedger::default(), Now::default());
        OfflineSession { policy, shadow, session, ledger, now, runs: 0, charged: false }
    }

    /// Decides one line. `None` if there was nothing to decide.
    pub(crate) fn decide(&mut self, entry: &Entry<'_>) -> Option<OfflineDecision> {
        let stepped_back = self.set_time(entry.at_ms.unwrap_or(WITHOUT_TIME_MS));
        if entry.from == Side::Client && begins_run(&entry.line, stepped_back) {
            self.session = session(&self.policy, self.shadow);
            self.ledger.begin_run();
            self.runs = self.runs.saturating_add(1);
        }
        let step = self.session.handle_with(&mut self.ledger, entry.from, &entry.line, self.now);
        self.charged = step.charge().is_some();
        // A recording without times holds no answers either.
        let unanswered = self.session.expected_answers();
        if unanswered >= MAX_UNANSWERED || entry.at_ms.is_none() && unanswered > 0 {
            self.session.abandon("", self.now);
        }
        match step.into_records().into_iter().next()? {
            Record::Call(call) => Some(OfflineDecision::Call(call)),
            Record::FrameRefused { from: Side::Client, reason, .. } => {
                Some(OfflineDecision::Refused(reason))
            }
            Record::FrameRefused { .. }
            | Record::Answer { .. }
            | Record::Method { .. }
            | Record::ToolsChanged { .. }
            | Record::Dropped { .. } => None,
        }
    }

    /// How many runs have begun with a handshake.
    pub(crate) fn runs(&self) -> u64 {
        self.runs
    }

    /// When the last line was charged, if it was; by the recording's clock.
    pub(crate) fn charged_at(&self) -> Option<Now> {
        self.charged.then_some(self.now)
    }

    /// Takes over the recording's time. True if it has stepped back: a clock was set, or another run begins.
    fn set_time(&mut self, wall_ms: u64) -> bool {
        let passed = match self.now.wall_ms {
            0 => 0,
            before => wall_ms.saturating_sub(before),
        };
        let stepped_back = wall_ms < self.now.wall_ms;
        let monotonic_ms = self.now.monotonic_ms.saturating_add(passed);
        self.now = Now { wall_ms, monotonic_ms };
        stepped_back
    }
}

fn session(policy: &Arc<Policy>, shadow: bool) -> Session {
    let options = SessionOptions { shadow, records: RecordDetail::Names, lockstep: false };
    Session::new(Arc::clone(policy), options)
}

/// A recording may hold several runs. One begins with `initialize`; or, where time steps back, with
/// `server/discover`.
fn begins_run(line: &[u8], stepped_back: bool) -> bool {
    let named = |method: &str| memchr::memmem::find(line, method.as_bytes()).is_some();
    let begins =
        |method: &str| method == "initialize" || stepped_back && method == "server/discover";
    (named("\"initialize\"") || stepped_back && named("server/discover"))
        && serde_json::from_slice::<Value>(line)
            .ok()
            .and_then(|message| message.get("method")?.as_str().map(begins))
            .unwrap_or(false)
}
