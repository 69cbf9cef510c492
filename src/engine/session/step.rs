//! What a session says is to be done about a line, as values; and how a call is answered and recorded.

use std::borrow::Cow;
use std::ops::Range;

use super::audit_record::{ArgumentsRecord, CallRecord, Record, Verdict};
use crate::engine::decide::{Cause, Denial, Permit};
use crate::engine::limits::{Demand, Reservation};
use crate::engine::wire::batch::Batch;
use crate::engine::wire::frame::RequestId;
use crate::engine::wire::in_flight::{Awaited, ProgressKey};
use crate::engine::wire::message::{self, DecisionFacts};

/// What is to be done about a line, and what is to be recorded of it.
#[derive(Debug)]
#[must_use = "a line that is not acted on is lost"]
pub struct Step {
    /// What to do.
    pub action: Action,
    /// What was charged for the line. It comes with [`Action::Forward`] if the charge stands; with any other
    /// action the ledger is to have it back (contract P12).
    pub reservation: Option<Reservation>,
    /// What to record, before acting.
    pub record: Option<Record>,
    /// What else to record, behind it: how calls ended that the line settles. None of it is waited for.
    pub more: Vec<Record>,
    /// What to tell people, if something.
    pub notice: Option<String>,
}

/// What is to be done about a line.
#[derive(Debug)]
pub enum Action {
    /// Send the line on, as the bytes that came.
    Forward,
    /// Send these bytes on in its place, with its line end.
    Rewrite(Vec<u8>),
    /// Send these bytes back to where the line came from; whole lines, or nothing.
    Answer(Vec<u8>),
    /// Have the ledger settle [`Pending::demands`], then call [`Session::resume`](super::Session::resume) before the next line.
    Reserve(Box<Pending>),
    /// Send back what [`Session::next_answers`](super::Session::next_answers) makes of the line, piece by
    /// piece, before the next line: these are longer than the line.
    AnswerBatch(Box<Batch>),
    /// Show a line of the server to people, with what is wrong with it; send these bytes, if any, to the client.
    Divert {
        /// What is wrong with the line.
        reason: Cow<'static, str>,
        /// Whole lines, or nothing.
        answers: Vec<u8>,
    },
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
    pub(in crate::engine) awaited: Awaited,
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
    /// All that is to be recorded.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.record.iter().chain(&self.more)
    }

    /// The step that is this action and nothing else.
    pub(in crate::engine) fn of(action: Action) -> Self {
        Step { action, reservation: None, record: None, more: Vec::new(), notice: None }
    }
}

/// What an answer to a call needs of it.
pub(in crate::engine) struct Call<'a> {
    pub(in crate::engine) id: RequestId<'a>,
    pub(in crate::engine) tool: &'a str,
    pub(in crate::engine) modern: bool,
    pub(in crate::engine) task: bool,
    /// By what the server's reports of its progress are known.
    pub(in crate::engine) progress: Option<ProgressKey>,
}

impl Call<'_> {
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
    ) -> Record {
        Record::Call(Box::new(CallRecord {
            id: self.id.raw().to_owned(),
            tool: self.tool.to_owned(),
            verdict,
            shadowed: shadowed.map(|denial| self.verdict(denial)),
            arguments,
            modern: self.modern,
            task: self.task,
        }))
    }
}
