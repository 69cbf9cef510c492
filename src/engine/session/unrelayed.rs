//! What becomes of lines that are not passed on: who waits for an answer on one is told (contract W3, W4, W6).

use std::borrow::Cow;

use super::audit_record::{CallEnd, Record};
use crate::engine::limits::Now;
use crate::engine::wire::batch::Batch;
use crate::engine::wire::frame::{self, Refusal, RefusalAnswer, RequestId, Unrelayed};
use crate::engine::wire::id_finder;
use crate::engine::wire::line::{LongLine, Side};
use crate::engine::wire::message;

use super::{Action, Session, Step};

/// What the answer to an unreadable line, and the record of it, may take beside the line itself (contract W8): twice its
/// length, and this much more. No line of whole messages needs more.
const ROOM: usize = 64 * 1024;
/// What the record of one request takes, more or less.
const RECORD_BYTES: usize = 128;

/// What is told of an unreadable line.
struct Told {
    answers: Vec<u8>,
    records: Vec<Record>,
    /// The first id on the line.
    id: Option<String>,
    room: usize,
}

impl Told {
    fn of(line_length: usize) -> Self {
        let room = line_length.saturating_mul(2).saturating_add(ROOM);
        Told { answers: Vec::new(), records: Vec::new(), id: None, room }
    }
}

/// Lines of the client.
impl Session {
    /// Refuses a line of the client: it is answered, and nothing of it goes out.
    pub(super) fn refuse(&self, mut refusal: Refusal) -> Step {
        let id = match &mut refusal.answer {
            RefusalAnswer::Id(id) => {
                let had = id.clone();
                // An answer under an id that is in flight would be taken for the server's (contract W3).
                id.take_if(|id| self.in_flight.contains(RequestId::again(id)));
                had
            }
            RefusalAnswer::Batch | RefusalAnswer::Nobody => None,
        };
        let record = self.refusal_record(Side::Client, id, refusal.message.clone());
        Step { record, ..Step::of(Action::Answer(message::refusal(&refusal))) }
    }

    /// Refuses a batch.
    pub(super) fn refuse_batch(&self, line: &[u8], refusal: Refusal) -> Step {
        let record = self.refusal_record(Side::Client, None, refusal.message.clone());
        let mut batch = Batch::new(refusal);
        let answers = batch.answers(line, &self.in_flight);
        let action = if batch.is_done() {
            Action::Answer(answers)
        } else {
            // From the start again, piece by piece.
            Action::AnswerBatch(Box::new(batch.anew()))
        };
        Step { record, ..Step::of(action) }
    }

    /// The next answers to a batch, until it [is done](Batch::is_done). `line` is the batch, without its line end.
    pub fn next_answers(&self, line: &[u8], batch: &mut Batch) -> Vec<u8> {
        batch.answers(line, &self.in_flight)
    }
}

/// Lines of the server.
impl Session {
    /// A line that is not relayed. Who waits for an answer that it may be is answered (contract W6).
    pub(super) fn unrelayed(&mut self, line: &[u8], unrelayed: Unrelayed, now: Now) -> Step {
        let mut told = Told::of(line.len());
        if let Unrelayed::Unreadable(_) = unrelayed {
            id_finder::ids_on(line, |id| self.fail(id, &mut told, now));
        }
        self.divert(unrelayed.reason(), told)
    }

    /// The same for a line that was too long to be kept.
    pub(super) fn too_long(&mut self, line: &LongLine, reason: String, now: Now) -> Step {
        let mut told = Told::of(line.head.len());
        for id in &line.ids {
            self.fail(id, &mut told, now);
        }
        self.divert(reason.into(), told)
    }

    /// Answers a request in flight, if one has this id: its answer cannot be read.
    fn fail(&mut self, id: &str, told: &mut Told, now: Now) {
        let Some(id) = frame::read_id(id) else { return };
        told.id.get_or_insert_with(|| id.raw().to_owned());
        // A cancelled request gets no error answer; what cannot be told in full stays in flight.
        if told.room == 0 || self.in_flight.is_cancelled(id) {
            return;
        }
        let Some(settled) = self.in_flight.settle(id) else { return };
        let message = "server sent an unreadable answer";
        let answer = message::error(Some(&settled.id()), frame::INTERNAL_ERROR, message);
        told.room = told.room.saturating_sub(answer.len().saturating_add(RECORD_BYTES));
        told.answers.extend(answer);
        told.records.extend(self.answer_record(&settled, CallEnd::Unreadable, now));
    }

    fn divert(&self, reason: Cow<'static, str>, told: Told) -> Step {
        let Told { answers, records: more, id, .. } = told;
        let record = self.refusal_record(Side::Server, id, reason.clone().into_owned());
        Step { record, more, ..Step::of(Action::Divert { reason, answers }) }
    }
}

impl Session {
    fn refusal_record(&self, from: Side, id: Option<String>, reason: String) -> Option<Record> {
        self.records().then_some(Record::FrameRefused { from, id, reason })
    }
}
