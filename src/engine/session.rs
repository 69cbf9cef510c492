//! One run between a client and a server, as a value: lines and the time in, actions out. Nothing here waits,
//! reads or writes; who carries the actions out is the shell, or a replay.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use super::answer::{self, DecisionFacts};
use super::decide::{self, Denial, Permit};
use super::excerpt;
use super::frame::{self, Frame, FrameKind, Refusal, RefusalAnswer, RequestId};
use super::in_flight::{Awaited, InFlight, Waiting};
use super::json::{KeyRule, Reader, Scratch};
use super::limits::{Now, Settlement, StateUnavailable};
use super::line::{LongLine, Side};
use super::listing;
use super::mcp::{self, Params, ResultMembers, ToolCall};
use super::policy::{MethodRule, Mode, Policy};
use super::record::{AnswerOutcome, ArgumentsRecord, Record, Verdict};
use super::retry::{FREE_RETRIES, OpenStates};
use super::step::Call;
use super::value::Value;
use super::work::Work;

pub use super::step::{Action, Pending, Step};

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
    /// When the client is to be told that its list of tools has changed, in milliseconds on the monotonic clock.
    announcement: Option<u64>,
    scratch: Scratch,
}

/// How many requests of the server are remembered in lockstep.
const MAX_ASKED: usize = 1024;

/// Several reloads within so many milliseconds are announced as one (SPEC W5).
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
            announcement: None,
            scratch: Scratch::default(),
        }
    }

    /// Puts another policy in force, from the next line on (SPEC W7). Counters stay, and so do calls in flight.
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

    /// Tells the client that its list of tools has changed, in every way in which it listens (SPEC W5): whole
    /// lines, or nothing.
    pub fn announce(&mut self) -> Vec<u8> {
        self.announcement = None;
        if self.policy.methods.denial(mcp::LIST_CHANGED).is_some() && self.mode() == Mode::Enforce {
            return Vec::new();
        }
        let legacy = self.initialized.then(|| answer::list_changed(None));
        let streams = self.in_flight.listeners();
        let modern = streams.iter().map(|id| answer::list_changed(Some(id)));
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
        let Pending { id, tool, modern, task, arguments, awaited, mut permit } = pending;
        let (denial, reservation) = permit.settle(settled);
        let text = |range| line.get(range).and_then(|bytes| str::from_utf8(bytes).ok());
        let (Some(id), Some(tool)) = (text(id), text(tool).and_then(mcp::tool_name)) else {
            // Not the line that asked.
            let refusal = Refusal::of(frame::INVALID_REQUEST, "the call was lost", None);
            return Step { reservation, ..self.refuse(refusal) };
        };
        let call = Call { id: RequestId::again(id), tool: &tool, modern, task };
        let step = match denial {
            Some(denial) => self.deny(&call, &denial, permit.shadowed.as_deref(), arguments),
            None => self.let_out(&call, awaited, &permit, arguments, now),
        };
        Step { reservation, ..step }
    }

    /// Goes on with a step whose record cannot be kept, for this `reason`: a call that would go out is denied
    /// (SPEC S3). The record of the new step is for whoever still listens.
    pub fn unrecorded(&mut self, step: Step, reason: String) -> Step {
        let Step { action: Action::Forward, reservation, record: Some(Record::Call(call)) } = step
        else {
            return step;
        };
        if self.mode() == Mode::Shadow {
            let record = Some(Record::Call(call));
            return Step { action: Action::Forward, reservation, record };
        }
        let head = Call {
            id: RequestId::again(&call.id),
            tool: &call.tool,
            modern: call.modern,
            task: call.task,
        };
        // It has been let out, but not a byte of it.
        self.in_flight.settle(head.id);
        let denial = Denial::audit_unavailable(reason);
        let step = self.deny(&head, &denial, None, call.arguments.clone());
        Step { reservation, ..step }
    }

    /// Ends a call that still waits for its reservation: it never went out.
    #[must_use]
    pub fn abandon_pending(&self, line: &[u8], pending: &Pending, message: &str) -> Vec<u8> {
        let id = line.get(pending.id.clone()).and_then(|id| str::from_utf8(id).ok());
        answer::error(id, frame::SERVER_ERROR, message)
    }

    /// In lockstep: false if a line of the client is to wait. A request waits for the answer to the one before it, a
    /// response until the server has asked (SPEC W11).
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

    /// Ends the session: one error answer for each request that someone waits for (SPEC W4), and a record for each
    /// call among them.
    pub fn abandon(&mut self, message: &str, now: Now) -> (Vec<u8>, Vec<Record>) {
        let expected = self.in_flight.take_expected();
        let answers = expected
            .iter()
            .flat_map(|(id, _)| answer::error(Some(id), frame::SERVER_ERROR, message))
            .collect();
        let calls = expected.into_iter().filter(|(_, waiting)| waiting.is_call());
        let record = |(id, waiting): (String, Waiting)| Record::Answer {
            id,
            outcome: AnswerOutcome::Nothing,
            latency_ms: now.monotonic_ms.saturating_sub(waiting.since_ms),
        };
        let records = calls.filter(|_| self.records()).map(record).collect();
        (answers, records)
    }

    /// Decides about a line that was over the cap and is gone.
    pub fn handle_long(&mut self, side: Side, line: &LongLine, max: usize) -> Step {
        let reason = format!("a line over {max} bytes");
        match side {
            Side::Client => self.refuse(Refusal::of(frame::INVALID_REQUEST, reason, None)),
            Side::Server => self.divert(line.id.as_deref(), reason),
        }
    }
}

/// What the client sent.
impl Session {
    fn client_line(&mut self, line: &[u8], now: Now) -> Step {
        let mut params = Params::default();
        match frame::read_client(line, &mut self.scratch, |reader, key| params.read(reader, key)) {
            Ok(frame) => self.client_frame(frame, params, now),
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
                id.map(|id| self.asked.remove(id.key().as_ref()));
                Step::of(Action::Forward)
            }
            FrameKind::Other { .. } => Step::of(Action::Forward),
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
            return self.refuse(Refusal::of(frame::INVALID_REQUEST, message, None));
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
        }
        step
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
        let call = match ToolCall::read(params, seen) {
            Ok(call) => call,
            Err(message) => {
                return self.refuse(Refusal::of(frame::INVALID_PARAMS, message, Some(id)));
            }
        };
        let free = self.open_states.redeem(&call);
        let head = Call { id, tool: &call.name, modern: call.modern, task: call.task };
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
        let values = with_values.then(|| excerpt::values(&call.arguments));
        ArgumentsRecord { keys: excerpt::keys(&call.arguments), values }
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
            if id.is_some_and(|id| self.in_flight.cancel(id)) {
                return Step::of(Action::Forward);
            }
            return self.drop_line(Side::Client, "a cancellation of no request in flight");
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
        let verdict = || Verdict {
            outcome: Verdict::ALLOWED,
            rule: permit.rule.as_str().to_owned(),
            message: String::new(),
            cause: None,
        };
        let record =
            self.records().then(|| call.record(verdict(), permit.shadowed.as_deref(), arguments));
        Step { record, ..Step::of(Action::Forward) }
    }

    /// Answers a call in the server's place (SPEC W2).
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

    fn refuse(&self, mut refusal: Refusal) -> Step {
        self.hide_ids_in_flight(&mut refusal);
        let record = self
            .records()
            .then(|| Record::FrameRefused { from: Side::Client, reason: refusal.message.clone() });
        Step { record, ..Step::of(Action::Answer(answer::refusal(&refusal))) }
    }

    /// An answer under an id that is in flight would be taken for the server's (SPEC W3).
    fn hide_ids_in_flight(&self, refusal: &mut Refusal) {
        let hide = |id: &mut Option<String>| {
            id.take_if(|id| self.in_flight.contains(RequestId::again(id)));
        };
        match &mut refusal.answer {
            RefusalAnswer::Id(id) => hide(id),
            RefusalAnswer::Each(ids) => {
                ids.iter_mut().for_each(hide);
                // Nor is one id of a batch answered twice.
                let mut seen = HashSet::new();
                for id in ids {
                    id.take_if(|id| !seen.insert(RequestId::again(id).key().into_owned()));
                }
            }
            RefusalAnswer::Nobody => {}
        }
    }
}

/// What the server sent.
impl Session {
    fn server_line(&mut self, line: &[u8], now: Now) -> Step {
        let mut members = ResultMembers::default();
        match frame::read_server(line, &mut self.scratch, |reader, key| members.read(reader, key)) {
            Ok(frame) => self.server_frame(line, frame, &members, now),
            Err(frame::Unreadable) => self.unreadable(line),
        }
    }

    fn server_frame(
        &mut self,
        line: &[u8],
        frame: Frame<'_>,
        members: &ResultMembers<'_>,
        now: Now,
    ) -> Step {
        match frame.kind {
            FrameKind::Request { id, method } => {
                let step = self.request(Side::Server, id, &method);
                if self.settings.lockstep && matches!(step.action, Action::Forward) {
                    self.note_asked(id);
                }
                step
            }
            FrameKind::Notification { method } => {
                if method == mcp::CANCELLED {
                    let id = frame.params.and_then(|params| params.member("requestId"));
                    id.and_then(RequestId::new)
                        .into_iter()
                        .for_each(|id| self.in_flight.end_listen(id));
                }
                let mut step = self.notification(Side::Server, &method);
                let passes = matches!(step.action, Action::Forward) && step.record.is_none();
                if self.records() && passes && method == mcp::LIST_CHANGED {
                    step.record = Some(Record::ToolsChanged { by_policy: false });
                }
                step
            }
            FrameKind::Response { id: Some(id) } => match self.in_flight.settle(id) {
                Some(waiting) => self.response(line, id, frame.result, members, &waiting, now),
                None => self.drop_line(Side::Server, "an answer to no request in flight"),
            },
            FrameKind::Other { id: Some(id) } if self.in_flight.contains(id) => {
                self.unreadable(line)
            }
            FrameKind::Response { id: None } if frame.result.is_some() => {
                self.drop_line(Side::Server, "a result without an id")
            }
            FrameKind::Response { id: None } | FrameKind::Other { .. } => Step::of(Action::Forward),
        }
    }

    fn note_asked(&mut self, id: RequestId<'_>) {
        // A response to what is not noted waits its time, and passes then.
        if self.asked.len() < MAX_ASKED && id.raw().len() <= frame::MAX_ID_BYTES {
            self.asked.insert(id.key().into());
        }
    }

    fn response(
        &mut self,
        line: &[u8],
        id: RequestId<'_>,
        result: Option<Value<'_>>,
        members: &ResultMembers<'_>,
        waiting: &Waiting,
        now: Now,
    ) -> Step {
        let failed = result.is_none() || members.is_error;
        let record = (self.records() && waiting.is_call()).then(|| Record::Answer {
            id: waiting.spelling(id).to_owned(),
            outcome: if failed { AnswerOutcome::Error } else { AnswerOutcome::Result },
            latency_ms: now.monotonic_ms.saturating_sub(waiting.since_ms),
        });
        let Some(result) = result else { return Step { record, ..Step::of(Action::Forward) } };
        if waiting.modern
            && let Some(step) = self.modern_result(id, members, waiting)
        {
            return step;
        }
        let text = std::str::from_utf8(line).unwrap_or_default();
        let rewritten = match waiting.awaited {
            Awaited::Initialize => listing::announce_list_changes(text, result),
            Awaited::ToolsList => self.hide_tools(text, result, waiting.modern),
            Awaited::PlainCall
            | Awaited::ToolCall { .. }
            | Awaited::Listen { .. }
            | Awaited::Other => None,
        };
        let action = rewritten.map_or(Action::Forward, Action::Rewrite);
        Step { record, ..Step::of(action) }
    }

    /// A result of 2026-07-28 may ask the client to run methods, which the policy may deny (SPEC P15); and it may be
    /// retried. `Some` if it is not to be relayed as it is.
    fn modern_result(
        &mut self,
        id: RequestId<'_>,
        members: &ResultMembers<'_>,
        waiting: &Waiting,
    ) -> Option<Step> {
        let denied = members
            .input_methods()
            .find_map(|method| Some((self.policy.methods.denial(&method)?, method)));
        if let Some((rule, method)) = denied {
            let enforced = self.mode() == Mode::Enforce;
            let record = self.method_record(Side::Server, &method, rule, enforced);
            if enforced {
                let mut error = method_denied(waiting.spelling(id), &method, rule);
                error.pop();
                return Some(Step { record, ..Step::of(Action::Rewrite(error)) });
            }
        }
        if let (Some(state), Awaited::ToolCall { .. }) = (members.retry_state(), &waiting.awaited) {
            self.open_states.remember(state, waiting.awaited.clone());
        }
        None
    }

    fn hide_tools(&self, text: &str, result: Value<'_>, modern: bool) -> Option<Vec<u8>> {
        let policy = &self.policy;
        if self.mode() == Mode::Shadow {
            return None;
        }
        // One allowance for the whole list: whoever writes it must not keep all else waiting.
        let work = RefCell::new(Work::of_decision());
        listing::hide_tools(text, result, modern, |tool| {
            decide::is_cut(policy, tool, &mut work.borrow_mut())
        })
    }

    /// A line that cannot be relayed. If it bears the id of a request in flight, that is answered (SPEC W6).
    fn unreadable(&mut self, line: &[u8]) -> Step {
        let id = frame::id_at_top(line);
        self.divert(id.as_deref(), "not a JSON-RPC message".to_owned())
    }

    fn divert(&mut self, id: Option<&str>, reason: String) -> Step {
        let id = id.and_then(frame::read_id);
        // A cancelled request gets no error answer.
        let id = id.filter(|id| !self.in_flight.is_cancelled(*id));
        let waiting = id.and_then(|id| Some((id, self.in_flight.settle(id)?)));
        let message = "server sent an unreadable answer";
        let answer = waiting.map(|(id, waiting)| {
            answer::error(Some(waiting.spelling(id)), frame::INTERNAL_ERROR, message)
        });
        let record = self.records().then_some(Record::FrameRefused { from: Side::Server, reason });
        Step { record, ..Step::of(Action::Divert(answer)) }
    }
}

/// What goes both ways.
impl Session {
    /// A request other than a tool call, by its method (SPEC P15).
    fn request(&self, side: Side, id: RequestId<'_>, method: &str) -> Step {
        let Some(rule) = self.policy.methods.denial(method) else {
            return Step::of(Action::Forward);
        };
        let enforced = self.mode() == Mode::Enforce;
        let record = self.method_record(side, method, rule, enforced);
        let action = if enforced {
            Action::Answer(method_denied(id.raw(), method, rule))
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

fn method_denied(id: &str, method: &str, rule: &MethodRule) -> Vec<u8> {
    let message =
        format!("[POLICY DENIED] Method `{}` is denied by policy.", frame::name_for_people(method));
    let facts = DecisionFacts { outcome: "denied", rule: &rule.pointer, retry_after_ms: None };
    answer::denial_error(id, answer::FORBIDDEN, &message, &facts)
}
