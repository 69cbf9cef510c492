//! Keeps counters during a session, and lets the loop make a reservation without blocking.
//!
//! The engine defines what a ledger must do ([`Ledger`]); a store may also need time, which this trait adds.

pub mod redis;
pub mod sqlite;

use std::task::{Context, Poll};

use crate::engine::limits::{
    Amount, Counter, Demand, Ledger, MemoryLedger, Now, Reservation, Scope, Settlement,
    StateUnavailable, Window,
};

/// A store of counters for one server, grant and run. It handles one reservation at a time: the client's direction
/// waits for it, the server's goes on (contract S2).
pub trait Counters {
    /// Charges all enforced demands or none (contract P12). Until it is ready, the caller polls it again whenever it
    /// wakes the task, with the same demands and the current time; it is ready within about a second.
    ///
    /// # Errors
    /// The store did not answer in time. A charge that it makes afterwards is lost, and never given back twice.
    fn poll_reserve(
        &mut self,
        cx: &mut Context<'_>,
        demands: &[Demand],
        now: Now,
    ) -> Poll<Result<Settlement, StateUnavailable>>;

    /// Gives a reservation back to the slots it came from: as soon as possible, and at the latest when
    /// [`Counters::poll_idle`] is ready.
    fn release(&mut self, reservation: Reservation);

    /// Advances work other than reservations. Ready when none is left; it gives up after its own time limit.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Like [`Counters::poll_idle`], at the end of the run: also deletes what only this run needs.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_idle(cx)
    }
}

/// A counter of a store, for display.
#[derive(Debug, Clone)]
pub struct CounterRow {
    /// The server that it belongs to.
    pub server: String,
    /// Its scope: who shares it.
    pub scope: Scope,
    /// The grant or run that owns it; empty for a counter of the server.
    pub holder: String,
    /// Its name in the policy.
    pub name: String,
    /// Its window.
    pub window: Window,
    /// The charges.
    pub counter: Counter,
    /// The time of limits by the store's clock, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The smallest maximum last applied to it.
    pub max: Amount,
    /// When it was last charged, in milliseconds since the epoch.
    pub seen_ms: u64,
    /// True if the store cannot read the charges; then they show as none.
    pub is_damaged: bool,
}

impl CounterRow {
    /// The amount that counts now.
    #[must_use]
    pub fn used(&self) -> Amount {
        Amount::from_nanos(self.counter.used(self.at_ms)).unwrap_or_default()
    }

    /// When a part of it next becomes free, in milliseconds since the epoch.
    #[must_use]
    pub fn frees_at_ms(&self) -> Option<u64> {
        self.counter.frees_at_ms(self.at_ms)
    }
}

impl Counters for MemoryLedger {
    fn poll_reserve(
        &mut self,
        _: &mut Context<'_>,
        demands: &[Demand],
        now: Now,
    ) -> Poll<Result<Settlement, StateUnavailable>> {
        Poll::Ready(self.reserve(demands, now))
    }

    fn release(&mut self, reservation: Reservation) {
        Ledger::release(self, reservation);
    }

    fn poll_idle(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
