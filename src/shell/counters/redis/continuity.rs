//! What a run has seen on a Redis server, and expects to find there again.

use std::collections::HashMap;

use crate::engine::limits::{CounterKey, Now, Scope};

/// A key as last seen; empty if it never was. Numbers keep their spelling.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerSighting {
    /// The reservation that created it: a key that was lost and created again has another.
    pub(super) made_by: String,
    /// When it may expire, by the time of limits.
    pub(super) until_ms: String,
    /// Number of charges so far. A smaller number shows that some were lost.
    pub(super) charges: String,
}

/// Everything that a run has seen.
#[derive(Debug, Default)]
pub(super) struct SeenServer {
    mark: Option<ServerSighting>,
    counters: HashMap<CounterKey, ServerSighting>,
    /// The last time of limits, and our steady clock when it arrived.
    time: Option<(u64, u64)>,
}

impl SeenServer {
    /// The earliest time that it can be now. The clock is read in whole milliseconds; subtracting one makes sure that
    /// the estimate is never late, so wrappers that learn each other's times do not push them forward.
    pub(super) fn estimate_ms(&self, now: Now) -> Option<u64> {
        let (seen_ms, steady_ms) = self.time?;
        let since = now.monotonic_ms.saturating_sub(steady_ms).saturating_sub(1);
        Some(seen_ms.saturating_add(since))
    }

    /// The last time of limits seen.
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

    /// The counters of this run alone, which nobody needs once it ends.
    pub(super) fn of_this_run(&self) -> impl Iterator<Item = &CounterKey> {
        self.counters.keys().filter(|counter| counter.scope == Scope::Session)
    }

    /// Forgets everything seen.
    pub(super) fn forget(&mut self) {
        *self = SeenServer::default();
    }
}
