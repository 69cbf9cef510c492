//! The answers to a batch, which is refused with one error for each request in it (contract W3). They are longer than the
//! requests, so they are made piece by piece, as fast as they are read (contract W8).

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use super::frame::{self, Refusal};
use super::in_flight::InFlight;
use super::message;
use crate::engine::json::value::{Elements, Value};

/// A piece of the answers is about so long, in bytes.
const PIECE: usize = 32 * 1024;

/// A batch that is being answered. Its line is given again for each piece.
#[derive(Debug)]
pub struct Batch {
    refusal: Refusal,
    /// Behind the last element that was answered, in bytes from the start of the line; `None` before the first.
    at: Option<usize>,
    /// Keyed hashes of the ids that were answered: none is answered twice.
    ids: HashSet<u64>,
    hasher: RandomState,
    is_done: bool,
}

impl Batch {
    /// A batch of which nothing has been answered.
    pub(in crate::engine) fn new(refusal: Refusal) -> Self {
        let (ids, hasher) = (HashSet::new(), RandomState::new());
        Batch { refusal, at: None, ids, hasher, is_done: false }
    }

    /// The same batch, of which nothing has been answered.
    pub(in crate::engine) fn anew(self) -> Self {
        Self::new(self.refusal)
    }

    /// True once all answers are made.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// The next answers; `line` is the batch. No answer bears an id that is in flight.
    pub(in crate::engine) fn answers(&mut self, line: &[u8], in_flight: &InFlight) -> Vec<u8> {
        let mut answers = Vec::new();
        let text = std::str::from_utf8(line).unwrap_or_default();
        let begin = || text.find('[').map_or(text.len(), |at| at.saturating_add(1));
        let mut elements = Elements::behind(text, self.at.unwrap_or_else(begin));
        while answers.len() < PIECE {
            let Some(element) = elements.next() else {
                self.is_done = true;
                if self.ids.is_empty() && self.at.is_none() {
                    answers = self.answer(None);
                }
                break;
            };
            if is_request(element) {
                let id = frame::undoubted_id(element.text()).filter(|id| !in_flight.contains(*id));
                let id = id.filter(|id| self.ids.insert(self.hasher.hash_one(id.key().as_ref())));
                answers.extend(self.answer(id.map(|id| id.raw())));
                self.at = Some(element.end());
            } else if self.at.is_some() {
                self.at = Some(element.end());
            }
        }
        answers
    }

    fn answer(&self, id: Option<&str>) -> Vec<u8> {
        message::error(id, self.refusal.code, &self.refusal.message)
    }
}

fn is_request(element: Value<'_>) -> bool {
    element.member("method").is_some() && element.member("id").is_some()
}

#[cfg(test)]
mod tests {
    use super::Batch;
    use crate::engine::wire::frame::{INVALID_REQUEST, Refusal};
    use crate::engine::wire::in_flight::InFlight;

    fn answers(line: &str) -> Vec<String> {
        let mut batch = Batch::new(Refusal::of(INVALID_REQUEST, "no", None));
        let mut all = Vec::new();
        while !batch.is_done() {
            all.extend(batch.answers(line.as_bytes(), &InFlight::default()));
        }
        String::from_utf8(all).expect("UTF-8").lines().map(str::to_owned).collect()
    }

    fn error(id: impl std::fmt::Display) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32600,"message":"no"}}}}"#)
    }

    /// contract W3
    #[test]
    fn each_request_of_a_batch_is_answered_once_however_many_there_are() {
        let request = |id| format!(r#"{{"id":{id},"method":"x"}}"#);
        let many: Vec<String> = (0..5000).map(request).collect();
        let line = format!(" [ 1,{{}} , {}]", many.join(" , "));
        assert_eq!(answers(&line), (0..5000).map(error).collect::<Vec<_>>());
        let twice = format!("[{},{},[{}]]", request(1), request(1), request(2));
        assert_eq!(answers(&twice), [error(1), error("null")]);
        assert_eq!(answers(r#"[1,{"method":"x"}]"#), [error("null")]);
        assert_eq!(answers("[]"), [error("null")]);
    }
}
