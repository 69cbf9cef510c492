//! Requests that wait for an answer (contract W4): each id is in flight once, and answered once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::num::NonZeroU64;

use foldhash::quality::RandomState;

use super::frame::RequestId;

/// The most requests in flight.
pub const MAX_REQUESTS: usize = 65_536;
/// The most bytes that their ids may take in total.
pub const MAX_ID_TOTAL: usize = 16 * 1024 * 1024;
/// The most cancelled ids kept for a late answer, which servers need not send.
const MAX_CANCELLED: usize = 16_384;

/// The kind of answer that a request expects, as far as it matters to callgate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerKind {
    /// The result of `initialize`.
    Initialize,
    /// A page of `tools/list`.
    ToolsList,
    /// The result of a tool call that cannot be retried.
    PlainCall,
    /// The result of a tool call that may be retried (2026-07-28 and later).
    ToolCall {
        /// A keyed digest of the tool and the arguments, which identifies a retry.
        call: u64,
        /// How many more retries are free of charge.
        retries: u8,
    },
    /// An open `subscriptions/listen`, which may never be answered.
    Listen {
        /// True if it asks for changes of the list of tools.
        tools: bool,
    },
    /// Any other answer.
    Other,
}

/// A request in flight.
#[derive(Debug, Clone)]
pub struct OpenRequest {
    /// The kind of answer it expects.
    pub awaited: AnswerKind,
    /// True for requests of 2026-07-28 and later.
    pub modern: bool,
    /// When it was sent, in milliseconds on the monotonic clock.
    pub since_ms: u64,
    /// The id as spelt, if that differs from its key.
    spelling: Option<Box<str>>,
    /// The number of the request, in order of sending.
    number: u64,
    cancelled: bool,
    /// The key of the server's progress notifications for this request.
    progress: Option<ProgressKey>,
}

/// A keyed hash of a progress token.
pub type ProgressKey = NonZeroU64;

impl OpenRequest {
    /// The id as the client spelt it; `key` is its key.
    fn spelling<'a>(&'a self, key: &'a [u8]) -> Cow<'a, str> {
        match &self.spelling {
            Some(spelling) => Cow::Borrowed(spelling),
            None => String::from_utf8_lossy(key),
        }
    }

    /// True for a tool call.
    #[must_use]
    pub fn is_call(&self) -> bool {
        matches!(self.awaited, AnswerKind::PlainCall | AnswerKind::ToolCall { .. })
    }

    fn is_listen(&self) -> bool {
        matches!(self.awaited, AnswerKind::Listen { .. })
    }
}

/// A request that is no longer in flight.
#[derive(Debug)]
pub struct Settled {
    key: Box<[u8]>,
    /// The request.
    pub request: OpenRequest,
}

impl Settled {
    /// The id as the client spelt it.
    #[must_use]
    pub fn id(&self) -> Cow<'_, str> {
        self.request.spelling(&self.key)
    }
}

/// The table of requests in flight.
#[derive(Debug, Default)]
pub struct InFlight {
    waiting: HashMap<Box<[u8]>, OpenRequest, RandomState>,
    /// Total length of keys and spellings, in bytes.
    id_bytes: usize,
    /// Requests that are cancelled and may still be answered.
    cancelled: usize,
    /// Requests whose answer the client expects: neither cancelled nor [`AnswerKind::Listen`].
    expected: usize,
    count: u64,
    /// The progress keys of the requests whose answers are expected, and how many requests each key has.
    progress: HashMap<ProgressKey, u32, RandomState>,
}

impl InFlight {
    /// True if `id` is in flight.
    #[must_use]
    pub fn contains(&self, id: RequestId<'_>) -> bool {
        self.waiting.contains_key(id.key().as_ref())
    }

    /// True if an answer with this id would settle a cancelled request.
    #[must_use]
    pub fn is_cancelled(&self, id: RequestId<'_>) -> bool {
        let key = self.key_of_answer(id);
        key.and_then(|key| self.waiting.get(key.as_ref())).is_some_and(|waiting| waiting.cancelled)
    }

    /// The key of the request that an answer with this id settles: the one with the same id, or else with the number
    /// that the id spells as a string. Both official SDKs read ids this way (contract W4).
    fn key_of_answer<'a>(&self, id: RequestId<'a>) -> Option<Cow<'a, [u8]>> {
        let key = id.key();
        if self.waiting.contains_key(key.as_ref()) {
            return Some(key);
        }
        let number = id.key_of_number_in_string()?;
        self.waiting.contains_key(number.as_slice()).then_some(Cow::Owned(number))
    }

    /// True if there is room for one more request with this id.
    #[must_use]
    pub fn has_room(&self, id: RequestId<'_>) -> bool {
        let bytes = self.id_bytes.saturating_add(id.raw().len().saturating_mul(2));
        self.waiting.len() < MAX_REQUESTS && bytes <= MAX_ID_TOTAL
    }

    /// Adds a request. The caller must check first that its id is not in flight and that there is room.
    pub fn insert(&mut self, id: RequestId<'_>, awaited: AnswerKind, modern: bool, since_ms: u64) {
        let key: Box<[u8]> = id.key().into();
        let spelling = (*key != *id.raw().as_bytes()).then(|| Box::from(id.raw()));
        let number = self.count;
        let waiting = OpenRequest {
            awaited,
            modern,
            since_ms,
            spelling,
            number,
            cancelled: false,
            progress: None,
        };
        self.count = self.count.saturating_add(1);
        self.id_bytes = self.id_bytes.saturating_add(cost(&key, &waiting));
        self.expected = self.expected.saturating_add(usize::from(is_expected(&waiting)));
        self.waiting.insert(key, waiting);
    }

    /// Removes the request that an answer with this id settles; `None` if there is none.
    pub fn settle(&mut self, id: RequestId<'_>) -> Option<Settled> {
        if let Some(settled) = self.remove(id.key().as_ref()) {
            return Some(settled);
        }
        self.remove(&id.key_of_number_in_string()?)
    }

    /// The key of a progress token, which is a string or a number like an id.
    #[must_use]
    pub fn progress_key(&self, token: RequestId<'_>) -> Option<ProgressKey> {
        NonZeroU64::new(self.progress.hasher().hash_one(token.key()))
    }

    /// Notes the progress key of a request in flight.
    pub fn expect_progress(&mut self, id: RequestId<'_>, key: ProgressKey) {
        let waiting = self.waiting.get_mut(id.key().as_ref());
        if let Some(waiting) = waiting.filter(|waiting| is_expected(waiting)) {
            waiting.progress = Some(key);
            let count = self.progress.entry(key).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// True if a notification with this progress token is about a request whose answer is expected.
    #[must_use]
    pub fn is_progress(&self, token: RequestId<'_>) -> bool {
        self.progress_key(token).is_some_and(|key| self.progress.contains_key(&key))
    }

    fn forget_progress(&mut self, key: Option<ProgressKey>) {
        let Some(key) = key else { return };
        if let Some(count) = self.progress.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.progress.remove(&key);
            }
        }
    }

    /// Notes that the client has cancelled `id`; a late answer may still pass once. Returns false and changes nothing
    /// if the id is not in flight, or if too many cancelled requests wait for a late answer.
    pub fn cancel(&mut self, id: RequestId<'_>) -> bool {
        let Some(waiting) = self.waiting.get_mut(id.key().as_ref()) else { return false };
        if waiting.cancelled {
            return true;
        }
        if self.cancelled >= MAX_CANCELLED {
            return false;
        }
        self.expected = self.expected.saturating_sub(usize::from(is_expected(waiting)));
        waiting.cancelled = true;
        let progress = waiting.progress.take();
        self.cancelled = self.cancelled.saturating_add(1);
        self.forget_progress(progress);
        true
    }

    /// Notes that the server has ended the stream of an open `subscriptions/listen`. Ignores any other id, which is the
    /// server's own.
    pub fn end_listen(&mut self, id: RequestId<'_>) {
        let key = id.key();
        if self.waiting.get(key.as_ref()).is_some_and(OpenRequest::is_listen) {
            self.cancel(id);
        }
    }

    /// The ids, as spelt, of the open streams that ask for changes of the list of tools; oldest first.
    #[must_use]
    pub fn listeners(&self) -> Vec<String> {
        let listens = AnswerKind::Listen { tools: true };
        let is_open = |waiting: &OpenRequest| waiting.awaited == listens && !waiting.cancelled;
        let open = self.waiting.iter().filter(|(_, waiting)| is_open(waiting));
        let mut open: Vec<(u64, String)> = open
            .map(|(key, waiting)| (waiting.number, waiting.spelling(key).into_owned()))
            .collect();
        open.sort_unstable();
        open.into_iter().map(|(_, id)| id).collect()
    }

    /// How many requests the client expects answers to.
    #[must_use]
    pub fn expected(&self) -> usize {
        self.expected
    }

    /// Removes all requests, oldest first, each with whether its answer is expected.
    pub fn take_all(&mut self) -> Vec<(Settled, bool)> {
        let waiting = std::mem::take(self).waiting.into_iter();
        let all = waiting.map(|(key, waiting)| {
            let is_expected = is_expected(&waiting);
            (Settled { key, request: waiting }, is_expected)
        });
        let mut all: Vec<(Settled, bool)> = all.collect();
        all.sort_unstable_by_key(|(settled, _)| settled.request.number);
        all
    }

    fn remove(&mut self, key: &[u8]) -> Option<Settled> {
        let (key, waiting) = self.waiting.remove_entry(key)?;
        self.id_bytes = self.id_bytes.saturating_sub(cost(&key, &waiting));
        self.expected = self.expected.saturating_sub(usize::from(is_expected(&waiting)));
        self.cancelled = self.cancelled.saturating_sub(usize::from(waiting.cancelled));
        self.forget_progress(waiting.progress);
        Some(Settled { key, request: waiting })
    }
}

fn is_expected(waiting: &OpenRequest) -> bool {
    !waiting.cancelled && !waiting.is_listen()
}

fn cost(key: &[u8], waiting: &OpenRequest) -> usize {
    key.len().saturating_add(waiting.spelling.as_ref().map_or(0, |spelling| spelling.len()))
}

#[cfg(test)]
mod tests {
    use super::{AnswerKind, InFlight, MAX_CANCELLED};
    use crate::engine::wire::frame::RequestId;

    /// contract W4
    #[test]
    fn a_cancelled_id_stays_in_use_until_its_late_answer_up_to_a_limit() {
        let mut in_flight = InFlight::default();
        let ids: Vec<String> = (0..=MAX_CANCELLED).map(|id| id.to_string()).collect();
        for id in &ids {
            in_flight.insert(RequestId::again(id), AnswerKind::Other, false, 0);
            let is_last = *id == MAX_CANCELLED.to_string();
            assert_eq!(in_flight.cancel(RequestId::again(id)), !is_last, "{id}");
        }
        assert_eq!(in_flight.expected(), 1, "the last is awaited as before");
        assert!(in_flight.contains(RequestId::again("0")), "the oldest is taken");
        assert!(in_flight.settle(RequestId::again("0")).is_some(), "a late answer passes");
        assert!(in_flight.settle(RequestId::again("0")).is_none(), "once");
        assert!(in_flight.cancel(RequestId::again(ids.last().unwrap())), "there is room again");
        assert_eq!(in_flight.expected(), 0);
        assert_eq!(in_flight.id_bytes, ids[1..].iter().map(String::len).sum::<usize>());
    }

    /// contract W4
    #[test]
    fn a_string_settles_the_number_it_spells_unless_the_string_is_in_flight() {
        let settles = |asked: &[&str], answered: &str| {
            let mut in_flight = InFlight::default();
            for id in asked {
                in_flight.insert(RequestId::again(id), AnswerKind::Other, false, 0);
            }
            let settled = in_flight.settle(RequestId::again(answered));
            settled.map(|settled| settled.id().into_owned())
        };
        let settled = |id: &str| Some(id.to_owned());
        assert_eq!(settles(&["7"], "\"7\""), settled("7"));
        assert_eq!(settles(&["7.0"], "\"\\u0037\""), settled("7.0"));
        assert_eq!(settles(&["-7"], "\"-7\""), settled("-7"));
        assert_eq!(settles(&["7", "\"7\""], "\"7\""), settled("\"7\""));
        assert_eq!(settles(&["7", "\"7\""], "7"), settled("7"));
        assert_eq!(settles(&["1"], "1.0"), settled("1"));
        for other in ["\" 7\"", "\"07\"", "\"7x\"", "\"\"", "\"[7]\"", "\"8\"", "\"\\\"7\\\"\""] {
            assert_eq!(settles(&["7"], other), None, "{other}");
        }
        assert_eq!(settles(&["\"7\""], "7"), None);
    }

    #[test]
    fn progress_belongs_to_a_request_whose_answer_is_expected() {
        let id = RequestId::again;
        let mut in_flight = InFlight::default();
        for (request, token) in [("1", "7"), ("2", "7"), ("3", "\"7\""), ("4", "\"\\u0037x\"")] {
            in_flight.insert(id(request), AnswerKind::Other, false, 0);
            let key = in_flight.progress_key(id(token)).expect("a key");
            in_flight.expect_progress(id(request), key);
        }
        assert!(in_flight.is_progress(id("7.0")) && in_flight.is_progress(id("\"7x\"")));
        assert!(!in_flight.is_progress(id("8")) && !in_flight.is_progress(id("\"7.0\"")));
        in_flight.settle(id("1"));
        assert!(in_flight.is_progress(id("7")), "request 2 has the same token");
        in_flight.cancel(id("2"));
        assert!(!in_flight.is_progress(id("7")) && in_flight.is_progress(id("\"7\"")));
        in_flight.settle(id("2"));
        in_flight.settle(id("3"));
        in_flight.settle(id("4"));
        assert!(in_flight.progress.is_empty(), "nothing is kept of what is over");
    }
}
