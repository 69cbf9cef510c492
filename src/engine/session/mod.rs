//! One run between a client and a server, as a value: lines and the time in, decisions out. Nothing here waits, reads or
//! writes; the shell carries the decisions out, or a replay does.

pub mod offline;

pub mod arguments_record;
pub mod audit_record;
mod client;
mod input_denial;
mod server;
pub mod step;

mod unrelayed;

use std::collections::HashSet;
use std::sync::Arc;

use self::audit_record::{CallEnd, Record};
use crate::engine::decide;
use crate::engine::interrupt::Interrupt;
use crate::engine::json::reader::{KeyRule, Reader, Scratch};
use crate::engine::limits::{Ledger, Now};
use crate::engine::outcome::Outcome;
use crate::engine::policy::{MethodRule, Mode, Policy};
use crate::engine::text::shorten::short_name;
use crate::engine::wire::frame::{self, FrameKind, RequestId};
use crate::engine::wire::in_flight::InFlight;
use crate::engine::wire::line::Side;
use crate::engine::wire::mcp;
use crate::engine::wire::message::{self, DecisionFacts};
use crate::engine::wire::multi_round::OpenStates;

pub use self::step::{Answer, Diversion, Pending, RecordedCall, Records, Step, Turn};

/// How a session is to run.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionOptions {
    /// Decide and record, never block (`--shadow`).
    pub shadow: bool,
    /// What is recorded.
    pub records: RecordDetail,
    /// A client's request waits for the answer to the one before it (`--lockstep`).
    pub lockstep: bool,
}

/// How much is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordDetail {
    /// Nothing: nobody reads records.
    #[default]
    Nothing,
    /// Everything that happens; of a call's arguments only their names.
    Names,
    /// The values of arguments as well (`--audit-args`).
    Values,
}

/// The state of one run.
#[derive(Debug)]
pub struct Session {
    policy: Arc<Policy>,
    options: SessionOptions,
    in_flight: InFlight,
    open_states: OpenStates,
    /// In lockstep: what the server has asked and the client not answered.
    asked: HashSet<Box<[u8]>>,
    /// The client has said `notifications/initialized`.
    initialized: bool,
    /// A notice has said that an answer was dropped.
    has_noticed_drop: bool,
    /// When the client is to be told that its list of tools has changed, in milliseconds on the monotonic clock.
    announcement: Option<u64>,
    /// How often the server has reported progress of a request in flight.
    progress: u64,
    /// The session is about to end: no long line of the client is read any more.
    is_stopping: bool,
    scratch: Scratch,
}

/// How many requests of the server are remembered in lockstep.
const MAX_ASKED: usize = 1024;

/// Several reloads within so many milliseconds are announced as one (contract W5).
const ANNOUNCE_AFTER_MS: u64 = 1000;

impl Session {
    /// A run that has not begun.
    #[must_use]
    pub fn new(policy: Arc<Policy>, options: SessionOptions) -> Self {
        Session {
            policy,
            options,
            in_flight: InFlight::default(),
            open_states: OpenStates::default(),
            asked: HashSet::new(),
            initialized: false,
            has_noticed_drop: false,
            announcement: None,
            progress: 0,
            is_stopping: false,
            scratch: Scratch::default(),
        }
    }

    /// What ends the reading of a long line, while it is raised.
    #[must_use]
    pub fn interrupt(&self) -> &Interrupt {
        self.scratch.interrupt()
    }

    /// Tells the session that it is about to end, and lowers the interrupt: lines of the server are read again, however
    /// long they are; long lines of the client are refused.
    pub fn heed_stop(&mut self) {
        self.is_stopping = true;
        self.interrupt().lower();
    }

    /// Puts another policy in force, from the next line on (contract W7). Counters stay, and so do calls in flight.
    pub fn reload(&mut self, policy: Arc<Policy>, now: Now) {
        if decide::lists_differ(&self.policy, &policy, self.options.shadow) {
            let due = now.monotonic_ms.saturating_add(ANNOUNCE_AFTER_MS);
            self.announcement.get_or_insert(due);
        }
        self.policy = policy;
    }

    /// When [`Session::announce`] is due, in milliseconds on the monotonic clock; `None` if it is not.
    #[must_use]
    pub fn announcement(&self) -> Option<u64> {
        self.announcement
    }

    /// Tells the client that its list of tools has changed, in every way in which it listens (contract W5): whole
    /// lines, or nothing.
    pub fn announce(&mut self) -> Vec<u8> {
        self.announcement = None;
        if self.policy.methods.denial(mcp::LIST_CHANGED).is_some() && self.mode() == Mode::Enforce {
            return Vec::new();
        }
        let legacy = self.initialized.then(|| message::list_changed(None));
        let streams = self.in_flight.listeners();
        let modern = streams.iter().map(|id| message::list_changed(Some(id)));
        legacy.into_iter().chain(modern).flatten().collect()
    }

    /// Decides what happens to one line, given without its line end. A blank line vanishes.
    pub fn handle(&mut self, side: Side, line: &[u8], now: Now) -> Turn {
        if line.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Turn::Do(Step::Answer(Answer::default()));
        }
        match side {
            Side::Client => self.client_line(line, now),
            Side::Server => Turn::Do(self.server_line(line, now)),
        }
    }

    /// Decides one line with a ledger that answers at once, which gets back what the step refunds. A driver whose ledger
    /// may take its time uses [`Session::handle`] and [`Session::resume`].
    pub fn handle_with(
        &mut self,
        ledger: &mut impl Ledger,
        side: Side,
        line: &[u8],
        now: Now,
    ) -> Step {
        let mut step = match self.handle(side, line, now) {
            Turn::Do(step) => step,
            Turn::Settle(pending) => {
                let settled = ledger.reserve(pending.demands(), now);
                self.resume(line, *pending, settled, now)
            }
        };
        if let Some(refund) = step.take_refund() {
            ledger.release(refund);
        }
        step
    }

    /// In lockstep: false if a line of the client is to wait. A request waits for the answer to the one before it, a
    /// response until the server has asked (contract W11).
    pub fn is_due(&mut self, line: &[u8]) -> bool {
        let pass = |reader: &mut Reader<'_, '_>, _| reader.value(KeyRule::Any).map(|_| ());
        match frame::read_client(line, &mut self.scratch, pass).map(|frame| frame.kind) {
            Ok(FrameKind::Request { .. }) => self.in_flight.expected() == 0,
            Ok(FrameKind::Response { id: Some(id) }) => self.asked.contains(id.key().as_ref()),
            Ok(_) | Err(_) => true,
        }
    }

    /// How many requests wait for an answer that someone wants.
    #[must_use]
    pub fn expected_answers(&self) -> usize {
        self.in_flight.expected()
    }

    /// How many reports of progress of requests in flight have come (contract W9).
    #[must_use]
    pub fn progress(&self) -> u64 {
        self.progress
    }

    /// Ends the session: one error answer for each request that someone waits for (contract W4), and a record for each
    /// call that went out and has not come to its end.
    pub fn abandon(&mut self, message: &str, now: Now) -> (Vec<u8>, Vec<Record>) {
        let (mut answers, mut records) = (Vec::new(), Vec::new());
        for (settled, is_expected) in self.in_flight.take_all() {
            if is_expected {
                answers.extend(message::error(Some(&settled.id()), frame::SERVER_ERROR, message));
            }
            records.extend(self.answer_record(&settled, CallEnd::Nothing, now));
        }
        (answers, records)
    }
}

/// What goes both ways.
impl Session {
    /// Decides about a request other than a tool call, by its method (contract P15).
    fn request(&self, side: Side, id: RequestId<'_>, method: &str) -> Step {
        self.by_method(side, method, |rule| method_denied(id.raw(), method, rule))
    }

    fn notification(&self, side: Side, method: &str) -> Step {
        self.by_method(side, method, |_| Vec::new())
    }

    /// Forwards a message unless the policy denies its method; then it is answered with what `answer` makes of the rule.
    fn by_method(&self, side: Side, method: &str, answer: impl FnOnce(&str) -> Vec<u8>) -> Step {
        let Some(rule) = self.policy.methods.denial(method) else { return Step::forward() };
        let enforced = self.mode() == Mode::Enforce;
        let records = self.method_record(side, method, rule, enforced).into_iter().collect();
        if enforced {
            let bytes = answer(&rule.pointer);
            Step::Answer(Answer { bytes, records, ..Answer::default() })
        } else {
            Step::Forward { charge: None, records }
        }
    }

    fn method_record(
        &self,
        from: Side,
        method: &str,
        rule: &MethodRule,
        enforced: bool,
    ) -> Option<Record> {
        self.records().then(|| Record::Method {
            from,
            method: method.to_owned(),
            rule: rule.pointer.to_string(),
            enforced,
        })
    }

    fn records(&self) -> bool {
        self.options.records != RecordDetail::Nothing
    }

    /// The mode of what no rule owns.
    fn mode(&self) -> Mode {
        self.policy.document_mode(Mode::forced_by(self.options.shadow))
    }

    /// Drops a line that nobody waits for.
    fn drop_line(&self, from: Side, reason: &'static str) -> Answer {
        let record = self.records().then_some(Record::Dropped { from, reason });
        Answer { records: record.into_iter().collect(), ..Answer::default() }
    }
}

fn method_denied(id: &str, method: &str, rule: &str) -> Vec<u8> {
    let message = format!("[POLICY DENIED] Method `{}` is denied by policy.", short_name(method));
    let facts = DecisionFacts { outcome: Outcome::Denied, rule, retry_after_ms: None };
    message::denial_error(id, message::FORBIDDEN, &message, &facts)
}
