//! Multi-round-trip retries (MCP 2026-07-28): which of them are free of charge (contract W4).

use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;

use super::in_flight::AnswerKind;
use super::mcp::ToolCall;
use crate::engine::json::canonical::{digest, digest_of_string};
use crate::engine::json::value::Str;

/// Free retries for each charged call.
pub const FREE_RETRIES: u8 = 8;
/// The most open states remembered; the oldest is dropped first.
const MAX_OPEN: usize = 1024;

/// The states that servers sent in this run and clients have not sent back. Only keyed hashes are kept: a state may be
/// large, and nobody outside can construct two that collide.
#[derive(Debug, Default)]
pub struct OpenStates {
    hasher: RandomState,
    origins: HashMap<u64, (u64, AnswerKind)>,
    /// States by age, each with its number. Some may have come back since.
    order: VecDeque<(u64, u64)>,
    count: u64,
}

impl OpenStates {
    /// The kind of answer to expect for a charged call, or for a free retry with `retries` left.
    #[must_use]
    pub fn awaited(&self, call: &ToolCall<'_>, retries: u8) -> AnswerKind {
        if !call.modern {
            return AnswerKind::PlainCall;
        }
        // A call that takes too much work to compare has no free retries.
        let call = digest(&self.hasher, &call.name, call.arguments.whole());
        call.map_or(AnswerKind::PlainCall, |call| AnswerKind::ToolCall { call, retries })
    }

    /// Remembers a state that an answer to `origin` carries to the client.
    pub fn remember(&mut self, state: Str<'_>, origin: AnswerKind) {
        let state = digest_of_string(&self.hasher, state);
        self.count = self.count.saturating_add(1);
        self.origins.insert(state, (self.count, origin));
        self.order.push_back((state, self.count));
        if self.order.len() > MAX_OPEN
            && let Some((oldest, number)) = self.order.pop_front()
            && self.origins.get(&oldest).is_some_and(|&(current, _)| current == number)
        {
            self.origins.remove(&oldest);
        }
    }

    /// Takes the state that a call brings back. If the call is free, returns the kind of answer to expect.
    pub fn redeem(&mut self, call: &ToolCall<'_>) -> Option<AnswerKind> {
        let state = call.request_state.filter(|_| call.modern)?;
        let (_, origin) = self.origins.remove(&digest_of_string(&self.hasher, state))?;
        let AnswerKind::ToolCall { retries, call: digest } = origin else { return None };
        let is_same = self.awaited(call, retries) == origin;
        let retries = retries.checked_sub(1).filter(|_| is_same)?;
        Some(AnswerKind::ToolCall { call: digest, retries })
    }
}

#[cfg(test)]
mod tests {
    use super::{FREE_RETRIES, MAX_OPEN, OpenStates};
    use crate::engine::json::arguments::Arguments;
    use crate::engine::json::value::Value;
    use crate::engine::wire::mcp::ToolCall;

    fn call(state: &str) -> ToolCall<'_> {
        ToolCall {
            name: "t".into(),
            name_at: 0..0,
            arguments: Arguments::none(),
            modern: true,
            task: false,
            request_state: Value::proved(state).as_str(),
        }
    }

    /// contract W4
    #[test]
    fn open_states_are_bounded_oldest_dropped_first() {
        let mut states = OpenStates::default();
        let texts: Vec<String> = (0..=MAX_OPEN).map(|nth| format!("\"{nth}\"")).collect();
        for text in &texts {
            let call = call(text);
            let origin = states.awaited(&call, FREE_RETRIES);
            states.remember(call.request_state.expect("a string"), origin);
        }
        assert!(states.redeem(&call(&texts[0])).is_none(), "the oldest is forgotten");
        assert!(states.redeem(&call(&texts[1])).is_some());
        assert!(states.redeem(&call(&texts[1])).is_none(), "a state comes back once");
    }
}
