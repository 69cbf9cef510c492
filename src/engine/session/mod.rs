//! One run between a client and a server, as a value: lines and the time in, actions out. Nothing here waits,
//! reads or writes; who carries the actions out is the shell, or a replay.

pub mod offline;

pub mod arguments_record;
pub mod audit_record;
mod input_denial;
pub mod step;

mod unrelayed;

use std::collections::HashSet;
use std::sync::Arc;

use self::arguments_record::Excerpt;
use self::audit_record::{AnswerOutcome, ArgumentsRecord, Record, Verdict};
use self::input_denial::Denied;
use self::step::Call;
use crate::engine::decide::{self, Denial, Permit};
use crate::engine::interrupt::Interrupt;
use crate::engine::json::reader::{KeyRule, Reader, Scratch};
use crate::engine::json::value::Value;
use crate::engine::limits::{Now, Settlement, StateUnavailable};
use crate::engine::outcome::Outcome;
use crate::engine::policy::{MethodRule, Mode, Policy, Rule};
use crate::engine::text::shorten::short_name;
use crate::engine::wire::frame::{self, Frame, FrameKind, Refusal, RefusalAnswer, RequestId};
use crate::engine::wire::in_flight::{Awaited, InFlight, ProgressKey, Settled};
use crate::engine::wire::line::{LongLine, Side};
use crate::engine::wire::listing;
use crate::engine::wire::mcp::{self, Params, ServerMembers, ToolCall};
use crate::engine::wire::message::{self, DecisionFacts};
use crate::engine::wire::multi_round::{FREE_RETRIES, OpenStates};
use crate::engine::work::Work;

pub use self::step::{Action, Pending, Step};

/// How a session is to run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// Decide and record, never block (`--shadow`).
    pub shadow: bool,
    /// What records are made for whoever reads them.
    pub recording: Recording,
    /// A client's request waits for the answer to the one before it (`--lockstep`).
    pub lockstep: bool,
}

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recording {
    /// Nothing: nobody reads it.
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
    settings: Settings,
    in_flight: InFlight,
    open_states: OpenStates,
    /// In lockstep: what the server has asked and the client not answered.
    asked: HashSet<Box<[u8]>>,
    /// The client has said `notifications/initialized`.
    initialized: bool,
    /// People were told that an answer was dropped.
    has_told_of_drop: bool,
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
    pub fn new(policy: Arc<Policy>, settings: Settings) -> Self {
        Session {
            policy,
            settings,
            in_flight: InFlight::default(),
            open_states: OpenStates::default(),
            asked: HashSet::new(),
            initialized: false,
            has_told_of_drop: false,
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
        if decide::lists_differ(&self.policy, &policy, self.settings.shadow) {
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

    /// Decides what happens to one line, given without its line end. A blank line is nothing: it vanishes.
    pub fn handle(&mut self, side: Side, line: &[u8], now: Now) -> Step {
        if line.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Step::of(Action::Answer(Vec::new()));
        }
        match side {
            Side::Client => self.client_line(line, now),
            Side::Server => self.server_line(line, now),
        }
    }

    /// Goes on with the call on `line`, which asked for a reservation.
    pub fn resume(
        &mut self,
        line: &[u8],
        pending: Pending,
        settled: Result<Settlement, StateUnavailable>,
        now: Now,
    ) -> Step {
        let Pending { id, tool, modern, task, arguments, awaited, progress, mut permit } = pending;
        let (denial, reservation) = permit.settle(settled);
        let text = |range| line.get(range).and_then(|bytes| str::from_utf8(bytes).ok());
        let (Some(id), Some(tool)) = (text(id), text(tool).and_then(mcp::tool_name)) else {
            // Not the line that asked.
            let refusal = Refusal::of(frame::INVALID_REQUEST, "the call was lost", None);
            return Step { reservation, ..self.refuse(refusal) };
        };
        let call = Call { id: RequestId::again(id), tool: &tool, modern, task, progress };
        let step = match denial {
            Some(denial) => self.deny(&call, &denial, permit.shadowed.as_deref(), arguments),
            None => self.let_out(&call, awaited, &permit, arguments, now),
        };
        Step { reservation, ..step }
    }

    /// Goes on with a step whose record cannot be kept, for this `reason`: a call that would go out is denied
    /// (contract S3). The record of the new step is for whoever still listens.
    pub fn unrecorded(&mut self, step: Step, reason: String) -> Step {
        let (Action::Forward, Some(Record::Call(call))) = (&step.action, &step.record) else {
            return step;
        };
        if self.mode() == Mode::Shadow {
            return step;
        }
        let head = Call {
            id: RequestId::again(&call.id),
            tool: &call.tool,
            modern: call.modern,
            task: call.task,
            progress: None,
        };
        // It has been let out, but not a byte of it.
        self.in_flight.settle(head.id);
        let denial = Denial::audit_unavailable(reason);
        let denied = self.deny(&head, &denial, None, call.arguments.clone());
        Step { reservation: step.reservation, ..denied }
    }

    /// Ends a call that still waits for its reservation: it never went out.
    #[must_use]
    pub fn abandon_pending(&self, line: &[u8], pending: &Pending, message: &str) -> Vec<u8> {
        let id = line.get(pending.id.clone()).and_then(|id| str::from_utf8(id).ok());
        message::error(id, frame::SERVER_ERROR, message)
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
            records.extend(self.answer_record(&settled, AnswerOutcome::Nothing, now));
        }
        (answers, records)
    }

    /// Decides about a line that was over the cap and is gone.
    pub fn handle_long(&mut self, side: Side, line: &LongLine, max: usize, now: Now) -> Step {
        let reason = format!("a line over {max} bytes");
        match side {
            Side::Client => self.refuse(Refusal::of(frame::INVALID_REQUEST, reason, None)),
            Side::Server => self.too_long(line, reason, now),
        }
    }
}

/// What the client sent.
impl Session {
    fn client_line(&mut self, line: &[u8], now: Now) -> Step {
        if self.is_stopping && Interrupt::is_long(line.len()) {
            return self.refuse(Refusal::interrupted());
        }
        let mut params = Params::default();
        match frame::read_client(line, &mut self.scratch, |reader, key| params.read(reader, key)) {
            // The decision takes its time, too.
            Ok(_) if self.interrupt().ends(line.len()) => self.refuse(Refusal::interrupted()),
            Ok(frame) => self.client_frame(frame, params, now),
            Err(refusal) if refusal.answer == RefusalAnswer::Batch => {
                self.refuse_batch(line, refusal)
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn client_frame(&mut self, frame: Frame<'_>, params: Params<'_>, now: Now) -> Step {
        match frame.kind {
            FrameKind::Request { id, method } => {
                self.client_request(id, &method, frame.params, params, now)
            }
            FrameKind::Notification { method } => self.client_notification(&method, &params),
            FrameKind::Response { id } => {
                if self.settings.lockstep {
                    id.map(|id| self.asked.remove(id.key().as_ref()));
                }
                Step::of(Action::Forward)
            }
        }
    }

    fn client_request(
        &mut self,
        id: RequestId<'_>,
        method: &str,
        params: Option<Value<'_>>,
        seen: Params<'_>,
        now: Now,
    ) -> Step {
        if self.in_flight.contains(id) {
            let message = "this request id is already in flight";
            return self.refuse(Refusal::of(frame::INVALID_REQUEST, message, Some(id)));
        }
        if mcp::is_like_tools_call(method) {
            return self.refuse(Refusal::of(frame::INVALID_REQUEST, LOOKS_LIKE_A_CALL, Some(id)));
        }
        if !self.in_flight.has_room(id) {
            let message = "too many requests in flight";
            return self.refuse(Refusal::of(frame::SERVER_ERROR, message, Some(id)));
        }
        if method == mcp::TOOLS_CALL {
            return self.tool_call(id, params, seen, now);
        }
        let step = self.request(Side::Client, id, method);
        if let Action::Forward = step.action {
            let awaited = awaited_of(method, params);
            self.in_flight.insert(id, awaited, seen.is_modern(), now.monotonic_ms);
            if let Some(key) = self.progress_key(&seen) {
                self.in_flight.expect_progress(id, key);
            }
        }
        step
    }

    fn progress_key(&self, seen: &Params<'_>) -> Option<ProgressKey> {
        self.in_flight.progress_key(RequestId::new(seen.progress_token()?)?)
    }

    fn tool_call(
        &mut self,
        id: RequestId<'_>,
        params: Option<Value<'_>>,
        seen: Params<'_>,
        now: Now,
    ) -> Step {
        if let Some(key) = seen.look_alike() {
            let message = frame::look_alike_message(key);
            return self.refuse(Refusal::of(frame::INVALID_REQUEST, message, Some(id)));
        }
        let progress = self.progress_key(&seen);
        let call = match ToolCall::read(params, seen) {
            Ok(call) => call,
            Err(message) => {
                return self.refuse(Refusal::of(frame::INVALID_PARAMS, message, Some(id)));
            }
        };
        let free = self.open_states.redeem(&call);
        let head = Call { id, tool: &call.name, modern: call.modern, task: call.task, progress };
        let arguments = self.arguments_record(&call);
        let mut permit = match decide::decide(&self.policy, &call, self.settings.shadow) {
            Ok(permit) => permit,
            Err(denial) => return self.deny(&head, &denial, None, arguments),
        };
        if free.is_some() {
            permit.demands.clear();
        }
        let awaited = free.unwrap_or_else(|| self.open_states.awaited(&call, FREE_RETRIES));
        if !permit.demands.is_empty() {
            return Step::of(Action::Reserve(Box::new(Pending {
                id: id.range(),
                tool: call.name_at,
                modern: call.modern,
                task: call.task,
                arguments,
                awaited,
                progress,
                permit,
            })));
        }
        match &permit.approval {
            Some(approval) => self.deny(&head, approval, permit.shadowed.as_deref(), arguments),
            None => self.let_out(&head, awaited, &permit, arguments, now),
        }
    }

    fn arguments_record(&self, call: &ToolCall<'_>) -> ArgumentsRecord {
        if !self.records() {
            return ArgumentsRecord::default();
        }
        let with_values = self.settings.recording == Recording::Values;
        let is_crowded = arguments_record::is_crowded(&call.arguments, with_values);
        // What the rules look at matters only if not everything is recorded.
        let rules = is_crowded.then(|| self.policy.tools.matching(&call.name).rules);
        let rules = rules.into_iter().flatten().chain(&self.policy.all_tools);
        let paths = rules.flat_map(Rule::paths).filter(|_| is_crowded);
        let Excerpt { keys, more_keys, values } =
            arguments_record::excerpt(&call.arguments, with_values, paths);
        ArgumentsRecord { keys, more_keys, values }
    }

    fn client_notification(&mut self, method: &str, params: &Params<'_>) -> Step {
        if method == mcp::TOOLS_CALL {
            // A client that sends this expects no answer, and gets none.
            let answer = RefusalAnswer::Nobody;
            let message = "tools/call without an id".to_owned();
            return self.refuse(Refusal { code: frame::INVALID_REQUEST, message, answer });
        }
        if mcp::is_like_tools_call(method) {
            return self.refuse(Refusal::of(frame::INVALID_REQUEST, LOOKS_LIKE_A_CALL, None));
        }
        if method == mcp::CANCELLED {
            let id = params.request_id().and_then(RequestId::new);
            let Some(id) = id.filter(|id| self.in_flight.contains(*id)) else {
                return self.drop_line(Side::Client, "a cancellation of no request in flight");
            };
            if !self.in_flight.cancel(id) {
                return self.drop_line(Side::Client, "a cancellation beyond those that are kept");
            }
            return Step::of(Action::Forward);
        }
        self.initialized |= method == mcp::INITIALIZED;
        self.notification(Side::Client, method)
    }

    /// Lets a call out to the server.
    fn let_out(
        &mut self,
        call: &Call<'_>,
        awaited: Awaited,
        permit: &Permit,
        arguments: ArgumentsRecord,
        now: Now,
    ) -> Step {
        self.in_flight.insert(call.id, awaited, call.modern, now.monotonic_ms);
        if let Some(key) = call.progress {
            self.in_flight.expect_progress(call.id, key);
        }
        let verdict = || Verdict {
            outcome: Outcome::Allowed,
            rule: permit.rule.as_str().to_owned(),
            message: String::new(),
            cause: None,
        };
        let record =
            self.records().then(|| call.record(verdict(), permit.shadowed.as_deref(), arguments));
        Step { record, ..Step::of(Action::Forward) }
    }

    /// Answers a call in the server's place (contract W2).
    fn deny(
        &self,
        call: &Call<'_>,
        denial: &Denial,
        shadowed: Option<&Denial>,
        arguments: ArgumentsRecord,
    ) -> Step {
        let answer = call.answer(denial);
        let record = self.records().then(|| call.record(call.verdict(denial), shadowed, arguments));
        Step { record, ..Step::of(Action::Answer(answer)) }
    }
}

/// What the server sent.
impl Session {
    fn server_line(&mut self, line: &[u8], now: Now) -> Step {
        let mut members = ServerMembers::default();
        let read = frame::read_server(line, &mut self.scratch, |part, reader, key| {
            members.read(part, reader, key)
        });
        match read {
            Ok(frame) => self.server_frame(line, &frame, &members, now),
            Err(unrelayed) => self.unrelayed(line, unrelayed, now),
        }
    }

    fn server_frame(
        &mut self,
        line: &[u8],
        frame: &Frame<'_>,
        members: &ServerMembers<'_>,
        now: Now,
    ) -> Step {
        match &frame.kind {
            &FrameKind::Request { id, ref method } => {
                let step = self.request(Side::Server, id, method);
                let answer = |method: &str, rule: &str| method_denied(id.raw(), method, rule);
                let step = self.unless_input_is_denied(line, frame, step, answer, now);
                if self.settings.lockstep && matches!(step.action, Action::Forward) {
                    self.note_asked(id);
                }
                step
            }
            FrameKind::Notification { method } => {
                if *method == mcp::CANCELLED {
                    let id = frame.params.and_then(|params| params.member("requestId"));
                    id.and_then(RequestId::new)
                        .into_iter()
                        .for_each(|id| self.in_flight.end_listen(id));
                }
                if *method == mcp::PROGRESS {
                    let token = frame.params.and_then(|params| params.member("progressToken"));
                    let token = token.and_then(RequestId::new);
                    let is_of_ours = token.is_some_and(|token| self.in_flight.is_progress(token));
                    self.progress = self.progress.saturating_add(u64::from(is_of_ours));
                }
                let step = self.notification(Side::Server, method);
                let mut step =
                    self.unless_input_is_denied(line, frame, step, |_, _| Vec::new(), now);
                let passes = matches!(step.action, Action::Forward) && step.record.is_none();
                if self.records() && passes && *method == mcp::LIST_CHANGED {
                    step.record = Some(Record::ToolsChanged { by_policy: false });
                }
                step
            }
            &FrameKind::Response { id: Some(id) } => {
                let denied = match self.denied_input(frame) {
                    Ok(denied) => denied,
                    Err(unrelayed) => return self.unrelayed(line, unrelayed, now),
                };
                match self.in_flight.settle(id) {
                    Some(settled) => {
                        self.response(line, frame.result, members, denied, &settled, now)
                    }
                    None => self.drop_answer(id),
                }
            }
            FrameKind::Response { id: None } if frame.result.is_some() => {
                self.drop_line(Side::Server, "a result without an id")
            }
            // It answers nobody: what it asks for is dropped like a notification.
            FrameKind::Response { id: None } => {
                let step = Step::of(Action::Forward);
                self.unless_input_is_denied(line, frame, step, |_, _| Vec::new(), now)
            }
        }
    }

    fn note_asked(&mut self, id: RequestId<'_>) {
        // A response to what is not noted waits its time, and passes then.
        if self.asked.len() < MAX_ASKED && id.raw().len() <= frame::MAX_ID_BYTES {
            self.asked.insert(id.key().into());
        }
    }

    /// An answer that nobody waits for. The first of a run is told to people (contract W4).
    fn drop_answer(&mut self, id: RequestId<'_>) -> Step {
        let is_first = !std::mem::replace(&mut self.has_told_of_drop, true);
        let notice = is_first.then(|| {
            let id = short_name(id.raw());
            format!(
                "the server answered the id {id}, and no such request is in flight: dropped, as any other will be"
            )
        });
        Step { notice, ..self.drop_line(Side::Server, "an answer to no request in flight") }
    }

    fn response(
        &mut self,
        line: &[u8],
        result: Option<Value<'_>>,
        members: &ServerMembers<'_>,
        denied: Denied,
        settled: &Settled,
        now: Now,
    ) -> Step {
        let waiting = &settled.waiting;
        if denied.enforced {
            let more = self.answer_record(settled, AnswerOutcome::Withheld, now);
            let mut error = method_denied(&settled.id(), &denied.method, &denied.rule);
            // The line keeps its own line end.
            error.pop();
            let step = Step::of(Action::Rewrite(error));
            return Step { record: denied.record, more: more.into_iter().collect(), ..step };
        }
        let failed = result.is_none() || members.is_error;
        let outcome = if failed { AnswerOutcome::Error } else { AnswerOutcome::Result };
        let record = self.answer_record(settled, outcome, now);
        if let (Some(state), Awaited::ToolCall { .. }) = (members.retry_state(), &waiting.awaited) {
            self.open_states.remember(state, waiting.awaited.clone());
        }
        let text = || std::str::from_utf8(line).unwrap_or_default();
        let rewritten = result.and_then(|result| match waiting.awaited {
            Awaited::Initialize => listing::announce_list_changes(text(), result),
            Awaited::ToolsList => self.hide_tools(text(), result, waiting.modern),
            Awaited::PlainCall
            | Awaited::ToolCall { .. }
            | Awaited::Listen { .. }
            | Awaited::Other => None,
        });
        let action = rewritten.map_or(Action::Forward, Action::Rewrite);
        let more = denied.record.into_iter().collect();
        Step { record, more, ..Step::of(action) }
    }

    /// What is recorded of a call that has come to its end.
    fn answer_record(&self, settled: &Settled, outcome: AnswerOutcome, now: Now) -> Option<Record> {
        (self.records() && settled.waiting.is_call()).then(|| Record::Answer {
            id: settled.id().into_owned(),
            outcome,
            latency_ms: now.monotonic_ms.saturating_sub(settled.waiting.since_ms),
        })
    }

    fn hide_tools(&self, text: &str, result: Value<'_>, modern: bool) -> Option<Vec<u8>> {
        let policy = &self.policy;
        if self.mode() == Mode::Shadow {
            return None;
        }
        // One allowance for the whole list: whoever writes it must not keep all else waiting.
        let mut work = Work::of_decision();
        listing::hide_tools(text, result, modern, |tool| decide::is_cut(policy, tool, &mut work))
    }
}

/// What goes both ways.
impl Session {
    /// A request other than a tool call, by its method (contract P15).
    fn request(&self, side: Side, id: RequestId<'_>, method: &str) -> Step {
        let Some(rule) = self.policy.methods.denial(method) else {
            return Step::of(Action::Forward);
        };
        let enforced = self.mode() == Mode::Enforce;
        let record = self.method_record(side, method, rule, enforced);
        let action = if enforced {
            Action::Answer(method_denied(id.raw(), method, &rule.pointer))
        } else {
            Action::Forward
        };
        Step { record, ..Step::of(action) }
    }

    fn notification(&self, side: Side, method: &str) -> Step {
        let Some(rule) = self.policy.methods.denial(method) else {
            return Step::of(Action::Forward);
        };
        let enforced = self.mode() == Mode::Enforce;
        let record = self.method_record(side, method, rule, enforced);
        let action = if enforced { Action::Answer(Vec::new()) } else { Action::Forward };
        Step { record, ..Step::of(action) }
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
        self.settings.recording != Recording::Nothing
    }

    /// The mode of what no rule owns.
    fn mode(&self) -> Mode {
        self.policy.document_mode(Mode::forced_by(self.settings.shadow))
    }

    fn drop_line(&self, from: Side, reason: &'static str) -> Step {
        let record = self.records().then_some(Record::Dropped { from, reason });
        Step { record, ..Step::of(Action::Answer(Vec::new())) }
    }
}

const LOOKS_LIKE_A_CALL: &str = "the method looks like tools/call but is not";

fn awaited_of(method: &str, params: Option<Value<'_>>) -> Awaited {
    match method {
        mcp::INITIALIZE => Awaited::Initialize,
        mcp::TOOLS_LIST => Awaited::ToolsList,
        mcp::LISTEN => Awaited::Listen { tools: mcp::listens_for_tools(params) },
        _ => Awaited::Other,
    }
}

fn method_denied(id: &str, method: &str, rule: &str) -> Vec<u8> {
    let message = format!("[POLICY DENIED] Method `{}` is denied by policy.", short_name(method));
    let facts = DecisionFacts { outcome: Outcome::Denied, rule, retry_after_ms: None };
    message::denial_error(id, message::FORBIDDEN, &message, &facts)
}
