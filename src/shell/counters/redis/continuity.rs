//! What a run has seen at a Redis server, and must find there again.

use std::collections::HashMap;

use crate::engine::limits::{CounterKey, Now, Scope};

/// A key as it was seen last; empty if it never was. Numbers are kept as they are written.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerSighting {
    /// The reservation that made it: a key that was lost and made again has another.
    pub(super) made_by: String,
    /// Until when it must be there, by the time of limits.
    pub(super) until_ms: String,
    /// How many charges it has had: fewer are there only if some were lost.
    pub(super) charges: String,
}

/// All that a run has seen.
#[derive(Debug, Default)]
pub(super) struct SeenServer {
    mark: Option<ServerSighting>,
    counters: HashMap<CounterKey, ServerSighting>,
    /// The last time of limits, and our steady clock when we heard of it.
    time: Option<(u64, u64)>,
}

impl SeenServer {
    /// What time it must be at least. The clock is read in whole milliseconds: one less is never too much, and wrappers
    /// that hear of each other's times do not drive them forward.
    pub(super) fn estimate_ms(&self, now: Now) -> Option<u64> {
        let (seen_ms, steady_ms) = self.time?;
        let since = now.monotonic_ms.saturating_sub(steady_ms).saturating_sub(1);
        Some(seen_ms.saturating_add(since))
    }

    /// The last time of limits.
    pub(super) fn time_ms(&self) -> Option<u64> {
        self.time.map(|(seen_ms, _)| seen_ms)
    }

    pub(super) fn note_time(&mut self, seen_ms: u64, now: Now) {
        self.time = Some((seen_ms, now.monotonic_ms));
    }

    pub(super) fn mark(&self) -> Option<&ServerSighting> {
        self.mark.as_ref()
    }

    pub(super) fn note_mark(&mut self, sighting: ServerSighting) {
        self.mark = Some(sighting);
    }

    pub(super) fn counter(&self, counter: &CounterKey) -> Option<&ServerSighting> {
        self.counters.get(counter)
    }

    pub(super) fn note_counter(&mut self, counter: CounterKey, sighting: ServerSighting) {
        self.counters.insert(counter, sighting);
    }

    /// The counters that nobody needs after this run.
    pub(super) fn of_this_run(&self) -> impl Iterator<Item = &CounterKey> {
        self.counters.keys().filter(|counter| counter.scope == Scope::Session)
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        *self = SeenServer::default();
    }
}
