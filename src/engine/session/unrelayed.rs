//! Lines that are not passed on, and the error answers for requests that wait for them (contract W3, W4, W6).

use std::borrow::Cow;

use super::Session;
use super::audit_record::{CallEnd, Record};
use super::step::{Answer, Diversion, Records, Step};
use crate::engine::limits::Now;
use crate::engine::wire::frame::batch::Batch;
use crate::engine::wire::frame::id_finder;
use crate::engine::wire::frame::{self, Refusal, RefusalAnswer, RequestId, Unrelayed};
use crate::engine::wire::line::{LongLine, Side};
use crate::engine::wire::message;

/// The answers to an unreadable line and the record of it may take twice the line's length and this much more, beside the
/// line itself (contract W8). No line of whole messages needs more.
const ROOM: usize = 64 * 1024;
/// The approximate size of the record of one request.
const RECORD_BYTES: usize = 128;

/// The error answers for an unreadable line, and its records.
struct ErrorAnswers {
    answers: Vec<u8>,
    records: Records,
    /// The first id on the line.
    id: Option<String>,
    room: usize,
}

impl ErrorAnswers {
    fn of(line_length: usize) -> Self {
        let room = line_length.saturating_mul(2).saturating_add(ROOM);
        ErrorAnswers { answers: Vec::new(), records: Records::new(), id: None, room }
    }
}

/// Lines of the client.
impl Session {
    /// Refuses a line of the client, which does not go out.
    pub(super) fn refuse(&self, mut refusal: Refusal) -> Answer {
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
        let (bytes, records) = (message::refusal(&refusal), record.into_iter().collect());
        Answer { bytes, records, ..Answer::default() }
    }

    /// Refuses a line of the client that is over the cap of `max` bytes, and gone.
    #[must_use]
    pub fn refuse_long(&self, max: usize) -> Answer {
        self.refuse(Refusal::of(frame::INVALID_REQUEST, over(max), None))
    }

    /// Refuses a batch.
    pub(super) fn refuse_batch(&self, line: &[u8], refusal: Refusal) -> Step {
        let record = self.refusal_record(Side::Client, None, refusal.message.clone());
        let records = record.into_iter().collect();
        let mut batch = Batch::new(refusal);
        let answers = batch.answers(line, &self.in_flight, self.interrupt());
        if batch.is_done() {
            Step::Answer(Answer { bytes: answers, records, ..Answer::default() })
        } else {
            // The relay makes the answers again, piece by piece.
            Step::AnswerBatch { batch: Box::new(batch.anew()), records }
        }
    }

    /// The next answers to a batch, until it [is done](Batch::is_done). `line` is the batch, without its line end.
    pub fn next_answers(&self, line: &[u8], batch: &mut Batch) -> Vec<u8> {
        batch.answers(line, &self.in_flight, self.interrupt())
    }
}

/// Lines of the server.
impl Session {
    /// Diverts a line, and answers the requests in flight whose answers it may hold (contract W6).
    pub(super) fn unrelayed(&mut self, line: &[u8], unrelayed: Unrelayed, now: Now) -> Step {
        let mut errors = ErrorAnswers::of(line.len());
        if let Unrelayed::Unreadable(_) = unrelayed {
            let interrupt = self.interrupt().clone();
            id_finder::ids_on(line, &interrupt, |id| self.fail(id, &mut errors, now));
        }
        Step::Divert(self.divert(unrelayed.reason(), errors))
    }

    /// The same for a line that is over the cap of `max` bytes, and gone.
    pub fn divert_long(&mut self, line: &LongLine, max: usize, now: Now) -> Diversion {
        let mut errors = ErrorAnswers::of(line.head.len());
        for id in &line.ids {
            self.fail(id, &mut errors, now);
        }
        self.divert(over(max).into(), errors)
    }

    /// Answers a request in flight, if one has this id: its answer cannot be read.
    fn fail(&mut self, id: &str, errors: &mut ErrorAnswers, now: Now) {
        let Some(id) = frame::read_id(id) else { return };
        errors.id.get_or_insert_with(|| id.raw().to_owned());
        // A cancelled request gets no error answer; a request for which there is no room stays in flight.
        if errors.room == 0 || self.in_flight.is_cancelled(id) {
            return;
        }
        let Some(settled) = self.in_flight.settle(id) else { return };
        let message = "server sent an unreadable answer";
        let answer = message::error(Some(&settled.id()), frame::INTERNAL_ERROR, message);
        errors.room = errors.room.saturating_sub(answer.len().saturating_add(RECORD_BYTES));
        errors.answers.extend(answer);
        errors.records.extend(self.answer_record(&settled, CallEnd::Unreadable, now));
    }

    fn divert(&self, reason: Cow<'static, str>, errors: ErrorAnswers) -> Diversion {
        let ErrorAnswers { answers, mut records, id, .. } = errors;
        if let Some(record) = self.refusal_record(Side::Server, id, reason.clone().into_owned()) {
            records.insert(0, record);
        }
        Diversion { reason, answers, records }
    }
}

impl Session {
    fn refusal_record(&self, from: Side, id: Option<String>, reason: String) -> Option<Record> {
        self.records().then_some(Record::FrameRefused { from, id, reason })
    }
}

fn over(max: usize) -> String {
    format!("a line over {max} bytes")
}
