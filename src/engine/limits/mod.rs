//! Limits: exact amounts, windows cut into slots, and what a ledger of counters must do (contract P9–P13).
//!
//! This file knows no tools and no policy: a counter's name is opaque here, and time is given.
//!
//! ```text
//!              one window = 60 slots, aligned to the epoch
//!        ┌───┬───┬───┬───┬── … ──┬───┬───┬───┐
//!  … ────┤ 0 │ 1 │ 2 │ 3 │       │58 │59 │60 ├──► time
//!        └───┴───┴───┴───┴── … ──┴───┴───┴─▲─┘
//!          ▲ the slot that is leaving      └ now: 61 slots count, so a limit is up to
//!            still counts                    1/60 of its window strict, and never loose
//! ```

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::engine::text::words::words;

/// Digits after the point that an amount may have.
pub const AMOUNT_PLACES: u8 = 9;

/// How many slots of a window count: 60, and the one that is leaving.
const SLOTS: usize = 61;

/// Slots to a window.
const SLOTS_PER_WINDOW: u64 = 60;

const MILLIS: u64 = 1000;

/// Calls have few limits, mostly.
pub type Few<T> = SmallVec<[T; 2]>;

/// A cost or a maximum: 0 to 10^15 with at most 9 digits after the point, kept exactly (contract P10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Amount {
    /// In units of 10^-9.
    nanos: u128,
}

impl Amount {
    const UNIT: u128 = 1_000_000_000;
    /// 10^15, the largest there is.
    const MAX_NANOS: u128 = 1_000_000_000_000_000 * Self::UNIT;

    /// What a call costs if its limit does not say: 1.
    pub const ONE: Amount = Amount { nanos: Self::UNIT };

    /// The amount of `nanos` × 10^-9, if it is in range.
    #[must_use]
    pub fn from_nanos(nanos: u128) -> Option<Self> {
        (nanos <= Self::MAX_NANOS).then_some(Amount { nanos })
    }

    /// The amount in units of 10^-9.
    #[must_use]
    pub fn nanos(self) -> u128 {
        self.nanos
    }

    /// The product, if it is in range and has no more than 9 digits after the point.
    #[must_use]
    pub fn times(self, other: Self) -> Option<Self> {
        let product = self.nanos.checked_mul(other.nanos)?;
        let exact = product.checked_rem(Self::UNIT)? == 0;
        exact.then_some(product.checked_div(Self::UNIT)?).and_then(Self::from_nanos)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.nanos.checked_div(Self::UNIT).unwrap_or_default();
        let part = self.nanos.checked_rem(Self::UNIT).unwrap_or_default();
        if part == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{part:09}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// Over what time a limit counts (contract P9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Window {
    /// Any stretch of this many seconds, 1 to 31,622,400.
    Sliding(u32),
    /// The UTC minute, hour, day or week (from Monday) of this many seconds that time is in.
    Calendar(u32),
    /// From start to end of one run.
    Session,
}

/// Seconds of the windows that have names.
pub const NAMED_WINDOWS: [(&str, u32); 4] =
    [("minute", 60), ("hour", 3600), ("day", 86_400), ("week", 604_800)];

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Window::Session => f.write_str("session"),
            Window::Sliding(seconds) | Window::Calendar(seconds) => {
                match NAMED_WINDOWS.iter().find(|(_, length)| length == seconds) {
                    Some((name, _)) => f.write_str(name),
                    None => write!(f, "{seconds} s"),
                }
            }
        }
    }
}

impl Window {
    /// The number of the slot that `at_ms` falls into. A calendar window is one slot.
    #[must_use]
    pub fn slot(self, at_ms: u64) -> u64 {
        let slots = |per_window: u64, seconds: u32| {
            at_ms.saturating_mul(per_window).checked_div(u64::from(seconds).saturating_mul(MILLIS))
        };
        match self {
            Window::Sliding(seconds) => slots(SLOTS_PER_WINDOW, seconds).unwrap_or_default(),
            Window::Calendar(seconds) => {
                let shifted = at_ms.saturating_add(calendar_shift_ms(seconds));
                shifted.checked_div(u64::from(seconds).saturating_mul(MILLIS)).unwrap_or_default()
            }
            Window::Session => 0,
        }
    }

    /// When a slot begins, in milliseconds since the epoch; the opposite of [`Window::slot`].
    #[must_use]
    pub fn slot_start_ms(self, slot: u64) -> u64 {
        match self {
            Window::Sliding(seconds) => slot
                .saturating_mul(u64::from(seconds).saturating_mul(MILLIS))
                .div_ceil(SLOTS_PER_WINDOW),
            Window::Calendar(seconds) => slot
                .saturating_mul(u64::from(seconds).saturating_mul(MILLIS))
                .saturating_sub(calendar_shift_ms(seconds)),
            Window::Session => u64::MAX,
        }
    }

    /// How many slots after its own a charge still counts.
    #[must_use]
    pub fn lasts(self) -> u64 {
        match self {
            Window::Sliding(_) => SLOTS_PER_WINDOW,
            Window::Calendar(_) => 0,
            Window::Session => u64::MAX,
        }
    }
}

/// The epoch was a Thursday: weeks that begin on Monday began three days before it.
fn calendar_shift_ms(seconds: u32) -> u64 {
    const WEEK: u32 = 604_800;
    const THREE_DAYS_MS: u64 = 3 * 86_400 * MILLIS;
    if seconds == WEEK { THREE_DAYS_MS } else { 0 }
}

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

/// What a counter is known by, beside the server, grant and run that its ledger serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterKey {
    /// Who shares it.
    pub scope: Scope,
    /// Its name in the policy.
    pub name: Arc<str>,
    /// Its window: counters of one name and different windows are different counters.
    pub window: Window,
}

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

/// The time of a decision. The engine is given it and never asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Wall clock, milliseconds since the epoch; it may jump either way.
    pub wall_ms: u64,
    /// Milliseconds on a clock that never goes back, from any beginning: in a live session that of the machine's
    /// start, which all processes share.
    pub monotonic_ms: u64,
}

/// The end of the year 9999, in milliseconds since the epoch. A clock that shows this or more is not believed.
pub const LATEST_MS: u64 = 253_402_300_799_999;

/// The longest step forward of the wall clock that counts as time passed: the length of the longest window (contract P9).
/// A longer one is a wrong clock; time goes on by the steady clock then, and no window is cut short.
const LONGEST_STEP_MS: u64 = 31_622_400 * MILLIS;

/// Time as limits count it: the later of the wall clock and the last time seen plus the monotonic time
/// since (contract P13). A step back neither frees nor freezes quota; a step forward counts as time passed, unless it is
/// longer than any window or leads beyond [`LATEST_MS`].
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitClock {
    last: Option<Now>,
}

impl LimitClock {
    /// A clock that goes on from the time that another one of the same machine has seen.
    #[must_use]
    pub fn after(seen: Now) -> Self {
        LimitClock { last: Some(seen) }
    }

    /// Takes note of `now`; returns milliseconds since the epoch, never fewer than before.
    pub fn observe(&mut self, now: Now) -> u64 {
        let Some(last) = self.last else {
            if now.wall_ms >= LATEST_MS {
                // Without a time of day any beginning will do, until there is one.
                return now.monotonic_ms;
            }
            self.last = Some(now);
            return now.wall_ms;
        };
        let passed_ms = now.monotonic_ms.saturating_sub(last.monotonic_ms);
        let steady_ms = last.wall_ms.saturating_add(passed_ms);
        let is_wrong =
            now.wall_ms >= LATEST_MS || now.wall_ms.saturating_sub(steady_ms) > LONGEST_STEP_MS;
        let at_ms = if is_wrong { steady_ms } else { now.wall_ms.max(steady_ms) };
        self.last = Some(Now { wall_ms: at_ms, monotonic_ms: now.monotonic_ms });
        at_ms
    }
}

/// What a ledger says to a list of demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// All enforced demands are charged.
    Charged {
        /// What to hand to [`Ledger::release`] if the call never goes out.
        reservation: Reservation,
        /// Demands in shadow mode that had no room, by their place in the list.
        missed: Vec<usize>,
    },
    /// Nothing is charged.
    Exhausted {
        /// The first enforced demand without room, by its place in the list.
        demand: usize,
        /// Milliseconds until every enforced demand would have room; `None` if that time never comes.
        retry_after_ms: Option<u64>,
    },
}

/// What was charged, and to which slots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a reservation is kept until the call is out, or released"]
pub struct Reservation {
    /// One for each counter that was charged.
    pub charges: Few<Charge>,
}

/// What one counter was charged.
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
    /// Why, for people and the log; the agent is not told.
    pub reason: String,
}

/// A store of counters for one server, grant and run.
pub trait Ledger {
    /// Charges all enforced demands or none, in one step that nothing else can come between (contract P12).
    ///
    /// # Errors
    /// The store did not answer; nothing is charged.
    fn reserve(&mut self, demands: &[Demand], now: Now) -> Result<Settlement, StateUnavailable>;

    /// Gives a reservation back, to the slots it was taken from.
    fn release(&mut self, reservation: Reservation);
}

/// One counter: what was charged in each slot that still counts.
#[derive(Debug, Clone)]
pub struct Counter {
    window: Window,
    /// The slot of the latest charge; `slots[newest % SLOTS]` is its place.
    newest: u64,
    slots: [u128; SLOTS],
    /// The sum of them all.
    total: u128,
}

impl Counter {
    /// A counter that nothing was charged to.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Counter { window, newest: 0, slots: [0; SLOTS], total: 0 }
    }

    /// A counter as a ledger has kept it: what was charged, by slot, oldest first.
    #[must_use]
    pub fn restore(window: Window, charged: impl IntoIterator<Item = (u64, u128)>) -> Self {
        let mut counter = Counter::new(window);
        for (slot, nanos) in charged {
            counter.add(nanos, slot.max(counter.newest));
        }
        counter
    }

    /// What was charged, by slot, oldest first: what [`Counter::restore`] takes.
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

    /// When the counter has come down to `ceiling` by itself, if it ever does.
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

    /// When the counter next comes down by itself, if anything is charged that ever leaves it.
    #[must_use]
    pub fn frees_at_ms(&self, at_ms: u64) -> Option<u64> {
        self.down_to_ms(self.used(at_ms).checked_sub(1)?, at_ms)
    }

    /// Charges the slot of `at_ms`, and says which that is.
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

    /// Takes a charge back from its slot, if that slot still counts.
    pub fn refund(&mut self, cost: Amount, slot: u64) {
        if (self.oldest_that_counts(self.newest)..=self.newest).contains(&slot) {
            let place = self.place(slot);
            *place = place.saturating_sub(cost.nanos);
            self.total = self.total.saturating_sub(cost.nanos);
        }
    }

    /// Makes `slot` the newest, and forgets those that do not count any more then.
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

/// Decides a list of demands over counters that a ledger has at hand, and charges them.
///
/// `places[n]` is where demand `n`'s counter stands in `counters`, and `at_ms` tells the time of the counter at a place:
/// counters may have seen different times. A counter that is named more than once is charged once, by the largest cost (contract P11); in that, an enforced demand outweighs any in shadow mode.
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

/// A demand beside what its counter would be charged.
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

/// Counters of this run only.
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
    /// Begins another run under the same grant: what was counted for one run alone is forgotten (contract P11).
    pub fn begin_run(&mut self) {
        for (key, &place) in &self.places {
            if key.scope == Scope::Session
                && let Some(counter) = self.counters.get_mut(place)
            {
                *counter = Counter::new(key.window);
            }
        }
    }

    /// What a counter holds at this time; the most that an amount can be, if it holds more.
    #[must_use]
    pub fn used(&self, key: &CounterKey, now: Now) -> Amount {
        let mut clock = self.clock;
        let counter = self.places.get(key).and_then(|&place| self.counters.get(place));
        let nanos = counter.map_or(0, |counter| counter.used(clock.observe(now)));
        Amount { nanos: nanos.min(Amount::MAX_NANOS) }
    }

    /// Takes a counter over as another ledger has kept it.
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

#[cfg(test)]
mod tests {
    use super::{Amount, LATEST_MS, LimitClock, Now};

    fn amount(nanos: u128) -> Amount {
        Amount::from_nanos(nanos).unwrap_or_default()
    }

    #[test]
    fn products_are_exact_or_nothing() {
        let half = amount(500_000_000);
        assert_eq!(half.times(amount(4_000_000_000)), Some(amount(2_000_000_000)));
        assert_eq!(amount(1).times(half), None);
        assert_eq!(amount(10_u128.pow(24)).times(amount(1_000_000_001)), None);
        assert_eq!(amount(10_u128.pow(24)).times(amount(10_u128.pow(24))), None);
    }

    #[test]
    fn amounts_show_no_needless_zeros() {
        assert_eq!(amount(1_000_000_000).to_string(), "1");
        assert_eq!(amount(5_000_000).to_string(), "0.005");
        assert_eq!(amount(0).to_string(), "0");
    }

    /// contract P13
    #[test]
    fn time_never_goes_back_and_never_stands_still() {
        let mut clock = LimitClock::default();
        let mut at = |wall_ms, monotonic_ms| clock.observe(Now { wall_ms, monotonic_ms });
        assert_eq!(at(10_000, 0), 10_000);
        assert_eq!(at(4_000, 500), 10_500, "a step back");
        assert_eq!(at(4_400, 900), 10_900, "time goes on behind it");
        assert_eq!(at(90_000, 1_000), 90_000, "a step forward");
        assert_eq!(at(11_000, 1_200), 90_200, "and back again");
    }

    /// contract P13, S2: a clock that is far off neither frees quota nor stops time; one that is set right counts.
    #[test]
    fn a_clock_that_is_far_off_is_not_believed() {
        let year = 366 * 86_400_000;
        let start = 1_767_225_600_000;
        let mut clock = LimitClock::default();
        let mut at = |wall_ms, monotonic_ms| clock.observe(Now { wall_ms, monotonic_ms });
        assert_eq!(at(u64::MAX, 7), 7, "no time of day yet");
        assert_eq!(at(start, 1_000), start);
        for (nth, wall_ms) in [u64::MAX, LATEST_MS, start + 2 * year].into_iter().enumerate() {
            let passed = nth as u64 * 10;
            assert_eq!(at(wall_ms, 1_010 + passed), start + 10 + passed, "{wall_ms}");
        }
        assert_eq!(at(start + year, 1_040), start + year, "as long as a window may be");
        assert_eq!(at(start, 1_050), start + year + 10, "and back again");
    }
}
