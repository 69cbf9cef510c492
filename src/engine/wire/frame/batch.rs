//! The answers to a batch, which is refused with one error for each request in it (contract W3). They are longer than the
//! requests, so they are made piece by piece, as fast as they are read (contract W8).

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use super::{Refusal, RequestId, undoubted_id};
use crate::engine::interrupt::Interrupt;
use crate::engine::json::value::{Elements, Value};
use crate::engine::wire::in_flight::InFlight;
use crate::engine::wire::message;

/// A piece of the answers is about so long, in bytes.
const PIECE: usize = 32 * 1024;

/// So much of the line is looked at at once: all of it, again for each piece, would take too long.
const PART: usize = 64 * 1024;

/// So much of the line is looked at for one piece, however few requests there are.
const LOOK: usize = 1024 * 1024;

/// A batch that is being answered. Its line is given again for each piece.
#[derive(Debug)]
pub struct Batch {
    refusal: Refusal,
    /// Behind the bracket that begins the batch, or behind the last element that was read.
    at: usize,
    has_answered: bool,
    /// Keyed hashes of the ids that were answered: none is answered twice.
    ids: HashSet<u64>,
    hasher: RandomState,
    is_done: bool,
}

impl Batch {
    /// A batch of which nothing has been answered.
    pub(in crate::engine) fn new(refusal: Refusal) -> Self {
        let (ids, hasher) = (HashSet::new(), RandomState::new());
        Batch { refusal, at: 0, has_answered: false, ids, hasher, is_done: false }
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
    /// Once `interrupt` is raised, a long batch gets no more.
    pub(in crate::engine) fn answers(
        &mut self,
        line: &[u8],
        in_flight: &InFlight,
        interrupt: &Interrupt,
    ) -> Vec<u8> {
        let mut answers = Vec::new();
        let mut length = PART;
        let look_to = self.at.saturating_add(LOOK);
        while answers.len() < PIECE && self.at < look_to && !self.is_done {
            if interrupt.ends(line.len()) {
                self.is_done = true;
                return answers;
            }
            let begun = if self.at == 0 { first(line) } else { self.at };
            let (part, is_last) = part(line, begun, length);
            let mut is_over = true;
            for element in Elements::behind(part, 0) {
                // What ends with a part may go on behind it.
                let is_cut = element.end() == part.len() && !is_last;
                if is_cut || answers.len() >= PIECE {
                    is_over = false;
                    break;
                }
                self.at = begun.saturating_add(element.end());
                if is_request(element) {
                    let id = undoubted_id(element.text(), interrupt);
                    let id = id.filter(|id| !in_flight.contains(*id));
                    let id =
                        id.filter(|id| self.ids.insert(self.hasher.hash_one(id.key().as_ref())));
                    answers.extend(self.answer(id.map(RequestId::raw)));
                    self.has_answered = true;
                }
            }
            self.is_done = is_over && is_last;
            if self.at <= begun {
                length = length.saturating_mul(2);
            }
        }
        if self.is_done && !self.has_answered {
            answers = self.answer(None);
        }
        answers
    }

    fn answer(&self, id: Option<&str>) -> Vec<u8> {
        message::error(id, self.refusal.code, &self.refusal.message)
    }
}

/// Where the first element may begin: behind the bracket.
fn first(line: &[u8]) -> usize {
    line.iter().position(|byte| *byte == b'[').map_or(line.len(), |at| at.saturating_add(1))
}

/// A part of the line from byte `at` on, about so long, and whether it is the last one.
fn part(line: &[u8], at: usize, length: usize) -> (&str, bool) {
    let end = at.saturating_add(length).min(line.len());
    let bytes = line.get(at..end).unwrap_or_default();
    // A part may end within a character.
    let whole = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    let text = bytes.get(..whole).and_then(|bytes| std::str::from_utf8(bytes).ok());
    (text.unwrap_or_default(), end == line.len())
}

fn is_request(element: Value<'_>) -> bool {
    element.member("method").is_some() && element.member("id").is_some()
}

#[cfg(test)]
mod tests {
    use super::Batch;
    use crate::engine::interrupt::Interrupt;
    use crate::engine::wire::frame::{INVALID_REQUEST, Refusal};
    use crate::engine::wire::in_flight::InFlight;

    fn answers(line: &str) -> Vec<String> {
        let mut batch = Batch::new(Refusal::of(INVALID_REQUEST, "no", None));
        let mut all = Vec::new();
        while !batch.is_done() {
            all.extend(batch.answers(line.as_bytes(), &InFlight::default(), &Interrupt::default()));
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
        // Elements longer than a part, cut anywhere, and characters of several bytes.
        let long = |id: usize| format!(r#"{{"id":{id},"method":"{}"}}"#, "é".repeat(50_000 + id));
        let line = format!("[{}]{}", [1, 2, 3, 4].map(long).join(","), " ".repeat(200_000));
        assert_eq!(answers(&line), [1, 2, 3, 4].map(error));
        let numbers = format!("[{}{}]", "1234567,".repeat(20_000), request(9));
        assert_eq!(answers(&numbers), [error(9)]);
    }
}
