//! Ledgers: all limits of a call are charged in one step, or none is (contract P12).

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::Few;
use super::amount::Amount;
use super::clock::{LimitClock, Now};
use super::counter::{Counter, CounterKey, Scope};

/// One limit's part in a call: charge `cost` to `counter`, which may then stand at `max` at most.
#[derive(Debug, Clone)]
pub struct Demand {
    /// The counter to charge.
    pub counter: CounterKey,
    /// What the call costs by this limit.
    pub cost: Amount,
    /// The most that the counter may hold.
    pub max: Amount,
    /// False in shadow mode: then the demand stops nothing (contract P14).
    pub enforced: bool,
}

/// A ledger's answer to a list of demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// All enforced demands are charged.
    Charged {
        /// The charges, for [`Ledger::release`] if the call never goes out.
        reservation: Reservation,
        /// The demands in shadow mode that had no room, as indices.
        missed: Vec<usize>,
    },
    /// Nothing is charged.
    Exhausted {
        /// The index of the first enforced demand without room.
        demand: usize,
        /// Milliseconds until every enforced demand would have room; `None` if that time never comes.
        retry_after_ms: Option<u64>,
    },
}

/// Charges, with the slots that hold them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a reservation is kept until the call is out, or released"]
pub struct Reservation {
    /// One for each counter that was charged.
    pub charges: Few<Charge>,
}

/// The charge to one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The counter.
    pub counter: CounterKey,
    /// The slot that holds the charge.
    pub slot: u64,
    /// How much.
    pub cost: Amount,
}

/// The counters cannot be read or written: the call is denied (contract S2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateUnavailable {
    /// Why, for stderr and the log; the agent is not told.
    pub reason: String,
}

/// A store of counters for one server, grant and run.
pub trait Ledger {
    /// Charges all enforced demands or none, in one step that nothing else can come between (contract P12).
    ///
    /// # Errors
    /// The store did not answer; nothing is charged.
    fn reserve(&mut self, demands: &[Demand], now: Now) -> Result<Settlement, StateUnavailable>;

    /// Removes the charges of a reservation from their slots.
    fn release(&mut self, reservation: Reservation);
}

/// Charges a list of demands to the counters that a ledger holds, all enforced ones or none.
///
/// `places[n]` is the index in `counters` of the counter of demand `n`, and `at_ms` returns the time of the counter at an
/// index, as counters may have seen different times. A counter that several demands name is charged once, by the largest
/// cost (contract P11); enforced demands take precedence over those in shadow mode.
pub fn settle(
    demands: &[Demand],
    places: &[usize],
    counters: &mut [Counter],
    at_ms: impl Fn(usize) -> u64,
) -> Settlement {
    let views: Few<View<'_>> = demands
        .iter()
        .zip(places)
        .map(|(demand, &place)| {
            let used = counters.get(place).map_or(u128::MAX, |counter| counter.used(at_ms(place)));
            let cost = charge_of(place, demands, places);
            View {
                demand,
                place,
                cost,
                has_room: used.saturating_add(cost.nanos) <= demand.max.nanos,
            }
        })
        .collect();
    if let Some(demand) = views.iter().position(|view| view.demand.enforced && !view.has_room) {
        let retry_after_ms = views
            .iter()
            .filter(|view| view.demand.enforced)
            .map(|view| {
                let ceiling = view.demand.max.nanos.checked_sub(view.cost.nanos)?;
                let now_ms = at_ms(view.place);
                let free = counters.get(view.place)?.down_to_ms(ceiling, now_ms)?;
                Some(free.saturating_sub(now_ms))
            })
            .try_fold(0, |longest: u64, wait| wait.map(|wait| longest.max(wait)));
        return Settlement::Exhausted { demand, retry_after_ms };
    }
    let mut reservation = Reservation::default();
    let mut charged: Few<usize> = Few::new();
    for view in views.iter().filter(|view| view.has_room) {
        if charged.contains(&view.place) {
            continue;
        }
        charged.push(view.place);
        if let Some(counter) = counters.get_mut(view.place) {
            let slot = counter.charge(view.cost, at_ms(view.place));
            let counter = view.demand.counter.clone();
            reservation.charges.push(Charge { counter, slot, cost: view.cost });
        }
    }
    let missed = (0..).zip(&views).filter(|(_, view)| !view.has_room).map(|(nth, _)| nth).collect();
    Settlement::Charged { reservation, missed }
}

/// A demand, and what its counter would be charged.
struct View<'a> {
    demand: &'a Demand,
    place: usize,
    cost: Amount,
    has_room: bool,
}

/// What the counter at `place` is charged for the whole call; see [`settle`].
#[must_use]
pub fn charge_of(place: usize, demands: &[Demand], places: &[usize]) -> Amount {
    let of_counter = || demands.iter().zip(places).filter(|&(_, &p)| p == place).map(|(d, _)| d);
    let enforced = of_counter().filter(|d| d.enforced).map(|d| d.cost).max();
    enforced.or_else(|| of_counter().map(|d| d.cost).max()).unwrap_or_default()
}

/// A ledger in memory, for one run.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    clock: LimitClock,
    places: HashMap<CounterKey, usize, RandomState>,
    counters: Vec<Counter>,
}

impl Ledger for MemoryLedger {
    fn reserve(&mut self, demands: &[Demand], now: Now) -> Result<Settlement, StateUnavailable> {
        let at_ms = self.clock.observe(now);
        let places: Few<usize> = demands.iter().map(|demand| self.place(&demand.counter)).collect();
        Ok(settle(demands, &places, &mut self.counters, |_| at_ms))
    }

    fn release(&mut self, reservation: Reservation) {
        for Charge { counter, slot, cost } in reservation.charges {
            let place = self.place(&counter);
            if let Some(counter) = self.counters.get_mut(place) {
                counter.refund(cost, slot);
            }
        }
    }
}

impl MemoryLedger {
    /// Begins another run under the same grant: clears the counters of scope `session` (contract P11).
    pub fn begin_run(&mut self) {
        for (key, &place) in &self.places {
            if key.scope == Scope::Session
                && let Some(counter) = self.counters.get_mut(place)
            {
                *counter = Counter::new(key.window);
            }
        }
    }

    /// What a counter holds at this time, at most the largest amount.
    #[must_use]
    pub fn used(&self, key: &CounterKey, now: Now) -> Amount {
        let mut clock = self.clock;
        let counter = self.places.get(key).and_then(|&place| self.counters.get(place));
        let nanos = counter.map_or(0, |counter| counter.used(clock.observe(now)));
        Amount { nanos: nanos.min(Amount::MAX_NANOS) }
    }

    /// Takes over a counter from another ledger.
    pub fn adopt(&mut self, key: &CounterKey, counter: Counter) {
        let place = self.place(key);
        if let Some(own) = self.counters.get_mut(place) {
            *own = counter;
        }
    }

    fn place(&mut self, key: &CounterKey) -> usize {
        if let Some(&place) = self.places.get(key) {
            return place;
        }
        let place = self.counters.len();
        self.counters.push(Counter::new(key.window));
        self.places.insert(key.clone(), place);
        place
    }
}
