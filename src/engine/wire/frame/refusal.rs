//! Why a line from the client is refused, and whom the refusal answers (contract W3).

use super::request_id::RequestId;
use super::{INVALID_REQUEST, PARSE_ERROR, SERVER_ERROR};
use crate::engine::json::reader::{Fault, JsonError};

/// Why a line from the client is not forwarded, and how it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The JSON-RPC error code.
    pub code: i32,
    /// What is wrong.
    pub message: String,
    /// How the line is answered.
    pub answer: RefusalAnswer,
}

/// The answers to a refused line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalAnswer {
    /// One error with this id, as spelt; null if the id is unknown or ambiguous.
    Id(Option<String>),
    /// One error for each request in the batch; one without an id if no request can be read.
    Batch,
    /// No answer: the sender expects none.
    Nobody,
}

impl Refusal {
    /// A refusal of the frame with this id.
    #[must_use]
    pub fn of(code: i32, message: impl Into<String>, id: Option<RequestId<'_>>) -> Self {
        let answer = RefusalAnswer::Id(id.map(|id| id.raw().to_owned()));
        Refusal { code, message: message.into(), answer }
    }

    /// The refusal of a long line that was not read to its end.
    #[must_use]
    pub fn interrupted() -> Self {
        Refusal::of(SERVER_ERROR, Fault::Interrupted.to_string(), None)
    }
}

/// The refusal of a line that is not JSON, or holds more of it than callgate reads.
pub(super) fn refuse_json(error: JsonError) -> Refusal {
    match error.fault {
        Fault::Expected(what) => Refusal::of(
            PARSE_ERROR,
            format!("not JSON: expected {what} at byte {}", error.at),
            None,
        ),
        Fault::TooDeep | Fault::TooManyKeys => {
            Refusal::of(INVALID_REQUEST, error.fault.to_string(), None)
        }
        Fault::Interrupted => Refusal::interrupted(),
    }
}
