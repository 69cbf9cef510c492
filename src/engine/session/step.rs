//! What a session decides about a line, as values; and how a call is answered and recorded.

use std::borrow::Cow;
use std::ops::Range;

use smallvec::SmallVec;

use super::audit_record::{ArgumentsRecord, CallRecord, Record, Verdict};
use crate::engine::decide::{Cause, Denial, Permit};
use crate::engine::limits::{Demand, Reservation};
use crate::engine::wire::frame::RequestId;
use crate::engine::wire::frame::batch::Batch;
use crate::engine::wire::in_flight::{AnswerKind, ProgressKey};
use crate::engine::wire::message::{self, DecisionFacts};

/// What a session makes of a line.
#[derive(Debug)]
#[must_use = "a line that is not acted on is lost"]
#[expect(clippy::large_enum_variant, reason = "a box for each line would cost an allocation")]
pub enum Turn {
    /// The line is decided.
    Do(Step),
    /// The line is a call whose limits have to be settled first: the ledger settles [`Pending::demands`], then
    /// [`Session::resume`](super::Session::resume) decides, before the next line of the client.
    Settle(Box<Pending>),
}

/// What to do about a line that is decided.
#[derive(Debug)]
#[must_use = "a line that is not acted on is lost"]
pub enum Step {
    /// Send the line on, as the bytes that came.
    Forward {
        /// What was charged for it; to be given back if no byte of the line is sent (contract P12).
        charge: Option<Reservation>,
        /// What to note of it.
        records: Records,
    },
    /// Send the call on as well, but not before its record is written.
    ForwardCall(RecordedCall),
    /// Send these bytes on in the line's place, with its line end.
    Rewrite {
        /// The line without its line end.
        bytes: Vec<u8>,
        /// What to note of it.
        records: Records,
    },
    /// Answer the line in the place of the side it was meant for.
    Answer(Answer),
    /// Send back what [`Session::next_answers`](super::Session::next_answers) makes of the line, piece by piece, before
    /// the next line: together they are longer than the line.
    AnswerBatch {
        /// The batch, of which nothing is answered yet.
        batch: Box<Batch>,
        /// What to note of it.
        records: Records,
    },
    /// Show the line on stderr: it is a line of the server that is no message.
    Divert(Diversion),
}

/// What to note of a line, first things first. Nothing waits until it is written.
pub type Records = SmallVec<[Record; 1]>;

/// A call that goes out once its record is written. If that fails, [`Session::unrecorded`](super::Session::unrecorded)
/// decides.
#[derive(Debug)]
pub struct RecordedCall {
    /// What to write.
    pub record: Box<CallRecord>,
    /// What was charged for the call; to be given back if no byte of it is sent (contract P12).
    pub charge: Option<Reservation>,
}

/// An answer of callgate's own to the side that sent a line, which goes no further.
#[derive(Debug, Default)]
pub struct Answer {
    /// Whole lines; empty if that side expects no answer.
    pub bytes: Vec<u8>,
    /// What the ledger is to have back (contract P12).
    pub refund: Option<Reservation>,
    /// What to note of the line.
    pub records: Records,
    /// A message for stderr.
    pub notice: Option<String>,
}

/// A line of the server that goes to stderr, not to the client.
#[derive(Debug)]
pub struct Diversion {
    /// What is wrong with the line.
    pub reason: Cow<'static, str>,
    /// Whole lines for the client, who waits for answers that the line may have been; often empty.
    pub answers: Vec<u8>,
    /// What to note of the line.
    pub records: Records,
}

/// A call that waits for the ledger. Its line is given again when it goes on.
#[derive(Debug)]
pub struct Pending {
    /// Where the id stands in the line.
    pub(in crate::engine) id: Range<usize>,
    /// Where the tool's name stands in the line, with its quotes.
    pub(in crate::engine) tool: Range<usize>,
    pub(in crate::engine) modern: bool,
    pub(in crate::engine) task: bool,
    pub(in crate::engine) arguments: ArgumentsRecord,
    pub(in crate::engine) awaited: AnswerKind,
    pub(in crate::engine) progress: Option<ProgressKey>,
    pub(in crate::engine) permit: Permit,
}

impl Pending {
    /// What the ledger has to settle.
    #[must_use]
    pub fn demands(&self) -> &[Demand] {
        &self.permit.demands
    }
}

impl Step {
    /// The step that sends the line on and does nothing else.
    pub(in crate::engine) fn forward() -> Self {
        Step::Forward { charge: None, records: Records::new() }
    }

    /// True if the line goes on, as the bytes that came.
    #[must_use]
    pub fn is_forward(&self) -> bool {
        matches!(self, Step::Forward { .. } | Step::ForwardCall(_))
    }

    /// What was charged for the line.
    #[must_use]
    pub fn charge(&self) -> Option<&Reservation> {
        match self {
            Step::Forward { charge, .. } | Step::ForwardCall(RecordedCall { charge, .. }) => {
                charge.as_ref()
            }
            Step::Rewrite { .. } | Step::Answer(_) | Step::AnswerBatch { .. } | Step::Divert(_) => {
                None
            }
        }
    }

    /// Takes out what the ledger is to have back.
    pub fn take_refund(&mut self) -> Option<Reservation> {
        match self {
            Step::Answer(answer) => answer.refund.take(),
            Step::Forward { .. }
            | Step::ForwardCall(_)
            | Step::Rewrite { .. }
            | Step::AnswerBatch { .. }
            | Step::Divert(_) => None,
        }
    }

    /// All that is recorded of the line, first things first.
    #[must_use]
    pub fn into_records(self) -> Records {
        match self {
            Step::ForwardCall(call) => Records::from_iter([Record::Call(call.record)]),
            Step::Answer(Answer { records, .. })
            | Step::Divert(Diversion { records, .. })
            | Step::Forward { records, .. }
            | Step::Rewrite { records, .. }
            | Step::AnswerBatch { records, .. } => records,
        }
    }
}

/// What an answer to a call and its record need of the call.
pub(in crate::engine) struct CallHead<'a> {
    pub(in crate::engine) id: RequestId<'a>,
    pub(in crate::engine) tool: &'a str,
    pub(in crate::engine) modern: bool,
    pub(in crate::engine) task: bool,
    /// The key of the server's reports of its progress.
    pub(in crate::engine) progress: Option<ProgressKey>,
}

impl CallHead<'_> {
    /// The answer in the server's place (contract W2).
    pub(in crate::engine) fn answer(&self, denial: &Denial) -> Vec<u8> {
        let text = denial.marked_message(self.tool);
        let facts = DecisionFacts {
            outcome: denial.outcome(),
            rule: denial.rule.as_str(),
            retry_after_ms: denial.retry_after_ms(),
        };
        if self.task && !self.modern {
            let is_limit = matches!(denial.cause, Cause::Limit(_));
            let code = if is_limit { message::TOO_MANY } else { message::FORBIDDEN };
            message::denial_error(self.id.raw(), code, &text, &facts)
        } else {
            message::tool_result(self.id.raw(), &text, self.modern, &facts)
        }
    }

    pub(in crate::engine) fn verdict(&self, denial: &Denial) -> Verdict {
        Verdict {
            outcome: denial.outcome(),
            rule: denial.rule.as_str().to_owned(),
            message: denial.message(self.tool),
            cause: denial.reason().map(str::to_owned),
        }
    }

    pub(in crate::engine) fn record(
        &self,
        verdict: Verdict,
        shadowed: Option<&Denial>,
        arguments: ArgumentsRecord,
    ) -> Box<CallRecord> {
        Box::new(CallRecord {
            id: self.id.raw().to_owned(),
            tool: self.tool.to_owned(),
            verdict,
            shadowed: shadowed.map(|denial| self.verdict(denial)),
            arguments,
            modern: self.modern,
            task: self.task,
        })
    }
}
