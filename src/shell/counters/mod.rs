//! Where counters are kept while a session runs, and how the loop asks for a reservation without waiting for it.
//!
//! The engine says what a ledger must do ([`Ledger`]); here is what a store may need beside it: time.

pub mod redis;
pub mod sqlite;

use std::task::{Context, Poll};

use crate::engine::limits::{
    Amount, Counter, Demand, Ledger, MemoryLedger, Now, Reservation, Scope, Settlement,
    StateUnavailable, Window,
};

/// A store of counters for one server, grant and run. One reservation is asked for at a time: the client's direction
/// waits for it, the server's goes on (contract S2).
pub trait Counters {
    /// Charges all enforced demands or none (contract P12). Until it is ready it is asked again, with the same demands
    /// and the time as it is then, whenever it has woken the task; it is ready within a second or so.
    ///
    /// # Errors
    /// The store did not answer in time. What it charges behind our back is lost, never given twice.
    fn poll_reserve(
        &mut self,
        cx: &mut Context<'_>,
        demands: &[Demand],
        now: Now,
    ) -> Poll<Result<Settlement, StateUnavailable>>;

    /// Gives a reservation back, to the slots it was taken from; as soon as may be, and at the latest when it is
    /// polled until ready with [`Counters::poll_idle`].
    fn release(&mut self, reservation: Reservation);

    /// Moves what is to be done beside reservations. Ready when nothing is left of it; it gives up by itself.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// The same at the end of the run: what only this run needs is forgotten, too.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_idle(cx)
    }
}

/// One counter of a store, as people are shown it.
#[derive(Debug, Clone)]
pub struct CounterRow {
    /// The server that it belongs to.
    pub server: String,
    /// Who shares it.
    pub scope: Scope,
    /// The grant or the run that it belongs to; empty if it is the server's.
    pub holder: String,
    /// Its name in the policy.
    pub name: String,
    /// Its window.
    pub window: Window,
    /// What was charged.
    pub counter: Counter,
    /// The time of limits as its store counts it, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The smallest maximum that it was last held to.
    pub max: Amount,
    /// When it was last charged, in milliseconds since the epoch.
    pub seen_ms: u64,
    /// True if the store has it, but cannot tell what was charged: then that seems to be nothing.
    pub is_damaged: bool,
}

impl CounterRow {
    /// What counts now.
    #[must_use]
    pub fn used(&self) -> Amount {
        Amount::from_nanos(self.counter.used(self.at_ms)).unwrap_or_default()
    }

    /// When something of it is next given free, in milliseconds since the epoch.
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
