//! The answers to a batch, which is refused with one error for each request in it (contract W3). The answers are longer
//! than the requests, so they are generated piece by piece, as fast as they are read (contract W8).

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use super::{Refusal, RequestId, undoubted_id};
use crate::engine::interrupt::Interrupt;
use crate::engine::json::value::{Elements, Value};
use crate::engine::wire::in_flight::InFlight;
use crate::engine::wire::message;

/// The approximate size of a piece of the answers, in bytes.
const PIECE: usize = 32 * 1024;

/// Bytes of the line parsed at once. Parsing the whole line again for each piece would take too long.
const PART: usize = 64 * 1024;

/// Bytes of the line parsed for one piece, however few requests they hold.
const LOOK: usize = 1024 * 1024;

/// A batch being answered. The caller passes its line again for each piece.
#[derive(Debug)]
pub struct Batch {
    refusal: Refusal,
    /// The byte after the bracket that begins the batch, or after the last element read.
    at: usize,
    has_answered: bool,
    /// Keyed hashes of the ids answered so far: no id is answered twice.
    ids: HashSet<u64>,
    hasher: RandomState,
    is_done: bool,
}

impl Batch {
    /// A batch without any answers yet.
    pub(in crate::engine) fn new(refusal: Refusal) -> Self {
        let (ids, hasher) = (HashSet::new(), RandomState::new());
        Batch { refusal, at: 0, has_answered: false, ids, hasher, is_done: false }
    }

    /// The same batch, started over.
    pub(in crate::engine) fn anew(self) -> Self {
        Self::new(self.refusal)
    }

    /// True once all answers have been generated.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// The next answers; `line` is the batch. No answer has an id that is in flight. Once `interrupt` is set, a long
    /// batch gets no more answers.
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
                // An element at the end of a part may continue behind it.
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

/// Where the first element may begin: after the bracket.
fn first(line: &[u8]) -> usize {
    line.iter().position(|byte| *byte == b'[').map_or(line.len(), |at| at.saturating_add(1))
}

/// About `length` bytes of the line from byte `at` on, and whether they reach its end.
fn part(line: &[u8], at: usize, length: usize) -> (&str, bool) {
    let end = at.saturating_add(length).min(line.len());
    let bytes = line.get(at..end).unwrap_or_default();
    // A part may end inside a character.
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
    fn each_request_of_a_batch_of_any_size_is_answered_once() {
        let request = |id| format!(r#"{{"id":{id},"method":"x"}}"#);
        let many: Vec<String> = (0..5000).map(request).collect();
        let line = format!(" [ 1,{{}} , {}]", many.join(" , "));
        assert_eq!(answers(&line), (0..5000).map(error).collect::<Vec<_>>());
        let twice = format!("[{},{},[{}]]", request(1), request(1), request(2));
        assert_eq!(answers(&twice), [error(1), error("null")]);
        assert_eq!(answers(r#"[1,{"method":"x"}]"#), [error("null")]);
        assert_eq!(answers("[]"), [error("null")]);
        // Elements longer than a part, cut at any byte, and characters of several bytes.
        let long = |id: usize| format!(r#"{{"id":{id},"method":"{}"}}"#, "é".repeat(50_000 + id));
        let line = format!("[{}]{}", [1, 2, 3, 4].map(long).join(","), " ".repeat(200_000));
        assert_eq!(answers(&line), [1, 2, 3, 4].map(error));
        let numbers = format!("[{}{}]", "1234567,".repeat(20_000), request(9));
        assert_eq!(answers(&numbers), [error(9)]);
    }
}
