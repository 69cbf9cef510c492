//! Counters: what was charged, slot by slot, and when it leaves the window.

use std::sync::Arc;

use super::amount::Amount;
use super::window::{SLOTS, SLOTS_PER_WINDOW, Window};
use crate::engine::text::words::words;

/// Who shares a counter (contract P11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// All runs under one grant.
    Grant,
    /// One run.
    Session,
    /// All grants of one server.
    Server,
}

words!(Scope { Grant => "grant", Session => "session", Server => "server" });

/// The identity of a counter within the server, grant and run of its ledger (contract P11).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterKey {
    /// Who shares it.
    pub scope: Scope,
    /// Its name in the policy.
    pub name: Arc<str>,
    /// Its window: counters of one name and different windows are different counters.
    pub window: Window,
}

/// One counter: what was charged in each slot that still counts.
#[derive(Debug, Clone)]
pub struct Counter {
    window: Window,
    /// The slot of the latest charge; `slots[newest % SLOTS]` is its place.
    newest: u64,
    slots: [u128; SLOTS],
    /// The sum of all slots.
    total: u128,
}

impl Counter {
    /// An empty counter.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Counter { window, newest: 0, slots: [0; SLOTS], total: 0 }
    }

    /// Restores a counter from the charges that a ledger kept: by slot, oldest first.
    #[must_use]
    pub fn restore(window: Window, charged: impl IntoIterator<Item = (u64, u128)>) -> Self {
        let mut counter = Counter::new(window);
        for (slot, nanos) in charged {
            counter.add(nanos, slot.max(counter.newest));
        }
        counter
    }

    /// The charges by slot, oldest first, as [`Counter::restore`] takes them.
    pub fn charged(&self) -> impl Iterator<Item = (u64, u128)> {
        self.filled().filter(|&(_, nanos)| nanos > 0)
    }

    /// What counts at `at_ms`, in units of 10^-9.
    #[must_use]
    pub fn used(&self, at_ms: u64) -> u128 {
        let current = self.window.slot(at_ms);
        if current <= self.newest {
            return self.total;
        }
        let oldest = self.oldest_that_counts(current);
        let gone = self.filled().take_while(|&(slot, _)| slot < oldest).map(|(_, nanos)| nanos);
        self.total.saturating_sub(gone.sum())
    }

    /// The time at which the counter falls to `ceiling` without further charges, if it ever does.
    #[must_use]
    pub fn down_to_ms(&self, ceiling: u128, at_ms: u64) -> Option<u64> {
        let mut used = self.used(at_ms);
        if used <= ceiling {
            return Some(at_ms);
        }
        if self.window == Window::Session {
            return None;
        }
        let oldest = self.oldest_that_counts(self.window.slot(at_ms));
        for (slot, nanos) in self.filled().filter(|&(slot, _)| slot >= oldest) {
            used = used.saturating_sub(nanos);
            if used <= ceiling {
                let free_from = slot.saturating_add(self.window.lasts()).saturating_add(1);
                return Some(self.window.slot_start_ms(free_from));
            }
        }
        None
    }

    /// The time at which the next charge leaves the counter, if one ever does.
    #[must_use]
    pub fn frees_at_ms(&self, at_ms: u64) -> Option<u64> {
        self.down_to_ms(self.used(at_ms).checked_sub(1)?, at_ms)
    }

    /// Charges the slot of `at_ms` and returns its number.
    pub fn charge(&mut self, cost: Amount, at_ms: u64) -> u64 {
        let slot = self.window.slot(at_ms).max(self.newest);
        self.add(cost.nanos, slot);
        slot
    }

    /// Adds to a slot that is not older than the newest.
    fn add(&mut self, nanos: u128, slot: u64) {
        self.advance_to(slot);
        let place = self.place(slot);
        *place = place.saturating_add(nanos);
        self.total = self.total.saturating_add(nanos);
    }

    /// Removes a charge from its slot, if that slot still counts.
    pub fn refund(&mut self, cost: Amount, slot: u64) {
        if (self.oldest_that_counts(self.newest)..=self.newest).contains(&slot) {
            let place = self.place(slot);
            *place = place.saturating_sub(cost.nanos);
            self.total = self.total.saturating_sub(cost.nanos);
        }
    }

    /// Makes `slot` the newest and clears the slots that no longer count.
    fn advance_to(&mut self, slot: u64) {
        let passed = slot.saturating_sub(self.newest);
        if passed > self.window.lasts() {
            *self = Counter { newest: slot, ..Counter::new(self.window) };
            return;
        }
        for step in 1..=passed {
            let left = std::mem::take(self.place(self.newest.saturating_add(step)));
            self.total = self.total.saturating_sub(left);
        }
        self.newest = slot;
    }

    fn oldest_that_counts(&self, current: u64) -> u64 {
        current.saturating_sub(self.window.lasts())
    }

    /// The slots that are kept, oldest first.
    fn filled(&self) -> impl Iterator<Item = (u64, u128)> {
        let newest = index(self.newest).saturating_add(1);
        let (newer, older) = self.slots.split_at_checked(newest).unwrap_or_default();
        let ages = (0..=SLOTS_PER_WINDOW).rev();
        let by_age = older.iter().chain(newer).zip(ages);
        by_age.filter_map(|(&nanos, age)| Some((self.newest.checked_sub(age)?, nanos)))
    }

    #[expect(clippy::indexing_slicing, reason = "index() is below SLOTS")]
    fn place(&mut self, slot: u64) -> &mut u128 {
        &mut self.slots[index(slot)]
    }
}

fn index(slot: u64) -> usize {
    usize::try_from(slot.checked_rem(SLOTS as u64).unwrap_or_default()).unwrap_or_default()
}
