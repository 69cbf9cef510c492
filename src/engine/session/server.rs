//! What the server sends: answers to requests in flight, and messages of its own.

use super::audit_record::{CallEnd, Record};
use super::input_denial::Denied;
use super::step::{Answer, Records, Step};
use super::{MAX_ASKED, Session, method_denied};
use crate::engine::decide;
use crate::engine::json::value::Value;
use crate::engine::limits::Now;
use crate::engine::policy::Mode;
use crate::engine::text::shorten::short_name;
use crate::engine::wire::frame::{self, Frame, FrameKind, RequestId};
use crate::engine::wire::in_flight::{AnswerKind, Settled};
use crate::engine::wire::line::Side;
use crate::engine::wire::listing;
use crate::engine::wire::mcp::{self, ServerMembers};
use crate::engine::work::Work;

impl Session {
    pub(super) fn server_line(&mut self, line: &[u8], now: Now) -> Step {
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
                if self.options.lockstep && step.is_forward() {
                    self.note_asked(id);
                }
                step
            }
            FrameKind::Notification { method } => {
                self.server_notification(line, frame, method, now)
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
                    None => Step::Answer(self.drop_answer(id)),
                }
            }
            FrameKind::Response { id: None } if frame.result.is_some() => {
                Step::Answer(self.drop_line(Side::Server, "a result without an id"))
            }
            // It answers nobody: what it asks for is dropped like a notification.
            FrameKind::Response { id: None } => {
                self.unless_input_is_denied(line, frame, Step::forward(), |_, _| Vec::new(), now)
            }
        }
    }

    fn server_notification(
        &mut self,
        line: &[u8],
        frame: &Frame<'_>,
        method: &str,
        now: Now,
    ) -> Step {
        let param = |name| frame.params.and_then(|params| params.member(name));
        if method == mcp::CANCELLED
            && let Some(id) = param("requestId").and_then(RequestId::new)
        {
            self.in_flight.end_listen(id);
        }
        if method == mcp::PROGRESS {
            let token = param("progressToken").and_then(RequestId::new);
            let is_of_ours = token.is_some_and(|token| self.in_flight.is_progress(token));
            self.progress = self.progress.saturating_add(u64::from(is_of_ours));
        }
        let step = self.notification(Side::Server, method);
        let mut step = self.unless_input_is_denied(line, frame, step, |_, _| Vec::new(), now);
        if method == mcp::LIST_CHANGED
            && self.records()
            && let Step::Forward { records, .. } = &mut step
            && records.is_empty()
        {
            records.push(Record::ToolsChanged { by_policy: false });
        }
        step
    }

    fn note_asked(&mut self, id: RequestId<'_>) {
        // A response to what is not noted waits its time, and passes then.
        if self.asked.len() < MAX_ASKED && id.raw().len() <= frame::MAX_ID_BYTES {
            self.asked.insert(id.key().into());
        }
    }

    /// Drops an answer that nobody waits for. A notice tells of the first of a run (contract W4).
    fn drop_answer(&mut self, id: RequestId<'_>) -> Answer {
        let is_first = !std::mem::replace(&mut self.has_noticed_drop, true);
        let notice = is_first.then(|| {
            let id = short_name(id.raw());
            format!(
                "the server answered the id {id}, which no request in flight has; the answer is dropped, and further ones are not reported"
            )
        });
        Answer { notice, ..self.drop_line(Side::Server, "an answer to no request in flight") }
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
        let request = &settled.request;
        if denied.enforced {
            let mut bytes = method_denied(&settled.id(), &denied.method, &denied.rule);
            // The line keeps its own line end.
            bytes.pop();
            let withheld = self.answer_record(settled, CallEnd::Withheld, now);
            return Step::Rewrite { bytes, records: records(denied.record, withheld) };
        }
        let failed = result.is_none() || members.is_error;
        let end = if failed { CallEnd::Error } else { CallEnd::Result };
        let records = records(self.answer_record(settled, end, now), denied.record);
        if let (Some(state), AnswerKind::ToolCall { .. }) =
            (members.retry_state(), &request.awaited)
        {
            self.open_states.remember(state, request.awaited.clone());
        }
        let text = || std::str::from_utf8(line).unwrap_or_default();
        let rewritten = result.and_then(|result| match request.awaited {
            AnswerKind::Initialize => listing::announce_list_changes(text(), result),
            AnswerKind::ToolsList => self.hide_tools(text(), result, request.modern),
            AnswerKind::PlainCall
            | AnswerKind::ToolCall { .. }
            | AnswerKind::Listen { .. }
            | AnswerKind::Other => None,
        });
        match rewritten {
            Some(bytes) => Step::Rewrite { bytes, records },
            None => Step::Forward { charge: None, records },
        }
    }

    /// What is recorded of a call that has come to its end.
    pub(super) fn answer_record(
        &self,
        settled: &Settled,
        end: CallEnd,
        now: Now,
    ) -> Option<Record> {
        (self.records() && settled.request.is_call()).then(|| Record::Answer {
            id: settled.id().into_owned(),
            end,
            latency_ms: now.monotonic_ms.saturating_sub(settled.request.since_ms),
        })
    }

    fn hide_tools(&self, text: &str, result: Value<'_>, modern: bool) -> Option<Vec<u8>> {
        let policy = &self.policy;
        if self.mode() == Mode::Shadow {
            return None;
        }
        // One allowance for the whole list: a long one must not keep all else waiting.
        let mut work = Work::of_decision();
        listing::hide_tools(text, result, modern, |tool| decide::is_cut(policy, tool, &mut work))
    }
}

fn records(first: Option<Record>, second: Option<Record>) -> Records {
    first.into_iter().chain(second).collect()
}
