//! What the client sends: requests by their method, and tool calls by the policy.

use super::arguments_record;
use super::audit_record::{ArgumentsRecord, CallRecord, Record, Verdict};
use super::step::{Answer, CallHead, Pending, RecordedCall, Records, Step, Turn};
use super::{RecordDetail, Session};
use crate::engine::decide::{self, Denial, Permit};
use crate::engine::interrupt::Interrupt;
use crate::engine::json::value::Value;
use crate::engine::limits::{Now, Reservation, Settlement, StateUnavailable};
use crate::engine::outcome::Outcome;
use crate::engine::policy::{Mode, Rule};
use crate::engine::wire::frame::{self, Frame, FrameKind, Refusal, RefusalAnswer, RequestId};
use crate::engine::wire::in_flight::{AnswerKind, ProgressKey};
use crate::engine::wire::line::Side;
use crate::engine::wire::mcp::{self, Params, ToolCall};
use crate::engine::wire::message;
use crate::engine::wire::multi_round::FREE_RETRIES;

const LOOKS_LIKE_A_CALL: &str = "the method looks like tools/call but is not";

impl Session {
    /// Goes on with the call on `line`, whose limits the ledger has settled.
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
            return Step::Answer(Answer { refund: reservation, ..self.refuse(refusal) });
        };
        let call = CallHead { id: RequestId::again(id), tool: &tool, modern, task, progress };
        match denial {
            Some(denial) => {
                let answer = self.deny(&call, &denial, permit.shadowed.as_deref(), arguments);
                Step::Answer(Answer { refund: reservation, ..answer })
            }
            None => self.let_out(&call, awaited, &permit, reservation, arguments, now),
        }
    }

    /// Decides about a call whose record cannot be written, for this `reason`: it is denied (contract S3); in shadow mode
    /// it goes out, and its record is noted.
    pub fn unrecorded(&mut self, call: RecordedCall, reason: String) -> Step {
        let RecordedCall { record, charge } = call;
        if self.mode() == Mode::Shadow {
            return Step::Forward { charge, records: Records::from_iter([Record::Call(record)]) };
        }
        let CallRecord { id, tool, arguments, modern, task, .. } = *record;
        let call =
            CallHead { id: RequestId::again(&id), tool: &tool, modern, task, progress: None };
        // It was let out, but not a byte of it.
        self.in_flight.settle(call.id);
        let answer = self.deny(&call, &Denial::audit_unavailable(reason), None, arguments);
        Step::Answer(Answer { refund: charge, ..answer })
    }

    /// Ends a call that still waits for its reservation: it never went out.
    #[must_use]
    pub fn abandon_pending(&self, line: &[u8], pending: &Pending, message: &str) -> Vec<u8> {
        let id = line.get(pending.id.clone()).and_then(|id| str::from_utf8(id).ok());
        message::error(id, frame::SERVER_ERROR, message)
    }

    pub(super) fn client_line(&mut self, line: &[u8], now: Now) -> Turn {
        if self.is_stopping && Interrupt::is_long(line.len()) {
            return Turn::Do(Step::Answer(self.refuse(Refusal::interrupted())));
        }
        let mut params = Params::default();
        match frame::read_client(line, &mut self.scratch, |reader, key| params.read(reader, key)) {
            // The decision takes its time, too.
            Ok(_) if self.interrupt().ends(line.len()) => {
                Turn::Do(Step::Answer(self.refuse(Refusal::interrupted())))
            }
            Ok(frame) => self.client_frame(frame, params, now),
            Err(refusal) if refusal.answer == RefusalAnswer::Batch => {
                Turn::Do(self.refuse_batch(line, refusal))
            }
            Err(refusal) => Turn::Do(Step::Answer(self.refuse(refusal))),
        }
    }

    fn client_frame(&mut self, frame: Frame<'_>, params: Params<'_>, now: Now) -> Turn {
        match frame.kind {
            FrameKind::Request { id, method } => {
                self.client_request(id, &method, frame.params, params, now)
            }
            FrameKind::Notification { method } => {
                Turn::Do(self.client_notification(&method, &params))
            }
            FrameKind::Response { id } => {
                if self.options.lockstep {
                    id.map(|id| self.asked.remove(id.key().as_ref()));
                }
                Turn::Do(Step::forward())
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
    ) -> Turn {
        let refuse = |code, message| {
            Turn::Do(Step::Answer(self.refuse(Refusal::of(code, message, Some(id)))))
        };
        if self.in_flight.contains(id) {
            return refuse(frame::INVALID_REQUEST, "this request id is already in flight");
        }
        if mcp::is_like_tools_call(method) {
            return refuse(frame::INVALID_REQUEST, LOOKS_LIKE_A_CALL);
        }
        if !self.in_flight.has_room(id) {
            return refuse(frame::SERVER_ERROR, "too many requests in flight");
        }
        if method == mcp::TOOLS_CALL {
            return self.tool_call(id, params, seen, now);
        }
        let step = self.request(Side::Client, id, method);
        if step.is_forward() {
            let awaited = awaited_of(method, params);
            self.in_flight.insert(id, awaited, seen.is_modern(), now.monotonic_ms);
            if let Some(key) = self.progress_key(&seen) {
                self.in_flight.expect_progress(id, key);
            }
        }
        Turn::Do(step)
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
    ) -> Turn {
        if let Some(key) = seen.look_alike() {
            let message = frame::look_alike_message(key);
            let refusal = Refusal::of(frame::INVALID_REQUEST, message, Some(id));
            return Turn::Do(Step::Answer(self.refuse(refusal)));
        }
        let progress = self.progress_key(&seen);
        let call = match ToolCall::read(params, seen) {
            Ok(call) => call,
            Err(message) => {
                let refusal = Refusal::of(frame::INVALID_PARAMS, message, Some(id));
                return Turn::Do(Step::Answer(self.refuse(refusal)));
            }
        };
        let free = self.open_states.redeem(&call);
        let head =
            CallHead { id, tool: &call.name, modern: call.modern, task: call.task, progress };
        let arguments = self.arguments_record(&call);
        let mut permit = match decide::decide(&self.policy, &call, self.options.shadow) {
            Ok(permit) => permit,
            Err(denial) => {
                return Turn::Do(Step::Answer(self.deny(&head, &denial, None, arguments)));
            }
        };
        if free.is_some() {
            permit.demands.clear();
        }
        let awaited = free.unwrap_or_else(|| self.open_states.awaited(&call, FREE_RETRIES));
        if !permit.demands.is_empty() {
            return Turn::Settle(Box::new(Pending {
                id: id.range(),
                tool: call.name_at,
                modern: call.modern,
                task: call.task,
                arguments,
                awaited,
                progress,
                permit,
            }));
        }
        Turn::Do(match &permit.approval {
            Some(approval) => {
                let shadowed = permit.shadowed.as_deref();
                Step::Answer(self.deny(&head, approval, shadowed, arguments))
            }
            None => self.let_out(&head, awaited, &permit, None, arguments, now),
        })
    }

    fn arguments_record(&self, call: &ToolCall<'_>) -> ArgumentsRecord {
        if !self.records() {
            return ArgumentsRecord::default();
        }
        let with_values = self.options.records == RecordDetail::Values;
        let is_crowded = arguments_record::is_crowded(&call.arguments, with_values);
        // What the rules look at matters only if not everything is recorded.
        let rules = is_crowded.then(|| self.policy.tools.matching(&call.name).rules);
        let rules = rules.into_iter().flatten().chain(&self.policy.all_tools);
        let paths = rules.flat_map(Rule::paths).filter(|_| is_crowded);
        arguments_record::excerpt(&call.arguments, with_values, paths)
    }

    fn client_notification(&mut self, method: &str, params: &Params<'_>) -> Step {
        if method == mcp::TOOLS_CALL {
            // A client that sends this expects no answer, and gets none.
            let answer = RefusalAnswer::Nobody;
            let message = "tools/call without an id".to_owned();
            let refusal = Refusal { code: frame::INVALID_REQUEST, message, answer };
            return Step::Answer(self.refuse(refusal));
        }
        if mcp::is_like_tools_call(method) {
            let refusal = Refusal::of(frame::INVALID_REQUEST, LOOKS_LIKE_A_CALL, None);
            return Step::Answer(self.refuse(refusal));
        }
        if method == mcp::CANCELLED {
            let id = params.request_id().and_then(RequestId::new);
            let dropped = match id.filter(|id| self.in_flight.contains(*id)) {
                None => Some("a cancellation of no request in flight"),
                Some(id) if self.in_flight.cancel(id) => None,
                Some(_) => Some("a cancellation beyond those that are kept"),
            };
            return dropped.map_or_else(Step::forward, |reason| {
                Step::Answer(self.drop_line(Side::Client, reason))
            });
        }
        self.initialized |= method == mcp::INITIALIZED;
        self.notification(Side::Client, method)
    }

    /// Lets a call out to the server.
    fn let_out(
        &mut self,
        call: &CallHead<'_>,
        awaited: AnswerKind,
        permit: &Permit,
        charge: Option<Reservation>,
        arguments: ArgumentsRecord,
        now: Now,
    ) -> Step {
        self.in_flight.insert(call.id, awaited, call.modern, now.monotonic_ms);
        if let Some(key) = call.progress {
            self.in_flight.expect_progress(call.id, key);
        }
        if !self.records() {
            return Step::Forward { charge, records: Records::new() };
        }
        let verdict = Verdict {
            outcome: Outcome::Allowed,
            rule: permit.rule.as_str().to_owned(),
            message: String::new(),
            cause: None,
        };
        let record = call.record(verdict, permit.shadowed.as_deref(), arguments);
        Step::ForwardCall(RecordedCall { record, charge })
    }

    /// Answers a call in the server's place (contract W2).
    fn deny(
        &self,
        call: &CallHead<'_>,
        denial: &Denial,
        shadowed: Option<&Denial>,
        arguments: ArgumentsRecord,
    ) -> Answer {
        let bytes = call.answer(denial);
        let record = self.records().then(|| call.record(call.verdict(denial), shadowed, arguments));
        let records = record.map(Record::Call).into_iter().collect();
        Answer { bytes, records, ..Answer::default() }
    }
}

fn awaited_of(method: &str, params: Option<Value<'_>>) -> AnswerKind {
    match method {
        mcp::INITIALIZE => AnswerKind::Initialize,
        mcp::TOOLS_LIST => AnswerKind::ToolsList,
        mcp::LISTEN => AnswerKind::Listen { tools: mcp::listens_for_tools(params) },
        _ => AnswerKind::Other,
    }
}
