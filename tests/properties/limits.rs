//! Limits compared with a naive list of charges (contract P9–P13).

use callgate::engine::limits::{
    Amount, CounterKey, Demand, Ledger, MemoryLedger, Now, Reservation, Scope, Settlement, Window,
};
use proptest::collection::vec;
use proptest::prelude::{
    Just, Strategy, TestCaseError, any, prop_assert, prop_assert_eq, prop_oneof,
};
use proptest::proptest;
use proptest::sample::{Index, select};
use proptest::test_runner::TestCaseResult;

/// Milliseconds since the epoch at which every run begins.
const START_MS: u64 = 1_767_225_600_000;

/// One demand in the model; amounts in units of 10^-9.
#[derive(Debug, Clone, Copy)]
struct Want {
    counter: usize,
    cost: u128,
    max: u128,
    enforced: bool,
}

#[derive(Debug, Clone)]
enum Event {
    /// Time passes; the wall clock may also jump.
    Pass { gap_ms: u64, jump_ms: i64 },
    /// A call demands these.
    Call(Vec<Want>),
    /// One of the charged calls was never forwarded.
    Release(Index),
}

/// A charge that was not given back.
#[derive(Debug, Clone)]
struct Charge {
    counter: usize,
    at_ms: u64,
    cost: u128,
    /// The charged call.
    call: usize,
}

/// A ledger and the naive list of its charges.
struct Run {
    windows: Vec<Window>,
    ledger: MemoryLedger,
    /// All requests to the ledger so far.
    asked: Vec<(Request, Now)>,
    charges: Vec<Charge>,
    held: Vec<(usize, Reservation)>,
    calls: usize,
    now: Now,
    /// contract P13: the time of limits, and the monotonic time when it was read.
    last: Option<(u64, u64)>,
}

#[derive(Debug, Clone)]
enum Request {
    Reserve(Vec<Demand>),
    Release(Reservation),
}

impl Run {
    fn new(windows: Vec<Window>) -> Self {
        Run {
            windows,
            ledger: MemoryLedger::default(),
            asked: Vec::new(),
            charges: Vec::new(),
            held: Vec::new(),
            calls: 0,
            now: Now { wall_ms: START_MS, monotonic_ms: 5 },
            last: None,
        }
    }

    fn step(&mut self, event: &Event) -> TestCaseResult {
        match event {
            Event::Pass { gap_ms, jump_ms } => {
                let wall_ms = self.now.wall_ms.saturating_add(*gap_ms);
                self.now.wall_ms = wall_ms.saturating_add_signed(*jump_ms);
                self.now.monotonic_ms += gap_ms;
                Ok(())
            }
            Event::Call(wants) => self.call(wants),
            Event::Release(which) if !self.held.is_empty() => {
                let (call, reservation) = self.held.swap_remove(which.index(self.held.len()));
                self.charges.retain(|charge| charge.call != call);
                self.asked.push((Request::Release(reservation.clone()), self.now));
                self.ledger.release(reservation);
                Ok(())
            }
            Event::Release(_) => Ok(()),
        }
    }

    fn call(&mut self, wants: &[Want]) -> TestCaseResult {
        let at_ms = self.time_of_limits();
        let demands = self.demands(wants);
        let settled = self.ledger.reserve(&demands, self.now).expect("a ledger in memory");
        self.asked.push((Request::Reserve(demands.clone()), self.now));
        let has_room = |want: &Want| self.used(want.counter, at_ms) + cost(want, wants) <= want.max;
        let full = wants.iter().position(|want| want.enforced && !has_room(want));
        let missed: Vec<usize> = (0..wants.len()).filter(|&nth| !has_room(&wants[nth])).collect();
        match settled {
            Settlement::Exhausted { demand, retry_after_ms } => {
                prop_assert_eq!(Some(demand), full);
                self.check_retry(wants, &demands, at_ms, retry_after_ms)?;
                prop_assert!(self.is_strict_by_a_slot_at_most(&wants[demand], wants, at_ms));
            }
            Settlement::Charged { reservation, missed: found } => {
                prop_assert_eq!(full, None, "more than `max` let through");
                prop_assert_eq!(found, missed);
                let call = self.calls;
                let charges = (0..self.windows.len()).filter_map(|counter| {
                    let mut of_counter = wants.iter().filter(|want| want.counter == counter);
                    let want = of_counter.find(|want| has_room(want))?;
                    Some(Charge { counter, at_ms, cost: cost(want, wants), call })
                });
                let charges: Vec<Charge> = charges.collect();
                self.charges.extend(charges);
                self.held.push((call, reservation));
                self.calls += 1;
            }
        }
        Ok(())
    }

    /// contract P13: the later of the wall clock, and the last time seen plus the monotonic time since.
    fn time_of_limits(&mut self) -> u64 {
        let steady = self.last.map_or(0, |(at, then)| at + self.now.monotonic_ms - then);
        let at_ms = self.now.wall_ms.max(steady);
        self.last = Some((at_ms, self.now.monotonic_ms));
        at_ms
    }

    fn demands(&self, wants: &[Want]) -> Vec<Demand> {
        let amount = |nanos| Amount::from_nanos(nanos).expect("an amount");
        let key = |nth: usize| CounterKey {
            scope: Scope::Grant,
            name: format!("c{nth}").into(),
            window: self.windows[nth],
        };
        let demand = |want: &Want| Demand {
            counter: key(want.counter),
            cost: amount(want.cost),
            max: amount(want.max),
            enforced: want.enforced,
        };
        wants.iter().map(demand).collect()
    }

    /// The charges that count at `at_ms`, slot by slot.
    fn used(&self, counter: usize, at_ms: u64) -> u128 {
        let window = self.windows[counter];
        let counts = |charge: &&Charge| match window {
            Window::Session => true,
            Window::Calendar(seconds) => {
                calendar_window(charge.at_ms, seconds) == calendar_window(at_ms, seconds)
            }
            Window::Sliding(seconds) => slot(charge.at_ms, seconds) + 60 >= slot(at_ms, seconds),
        };
        let of_counter = self.charges.iter().filter(|charge| charge.counter == counter);
        of_counter.filter(counts).map(|charge| charge.cost).sum()
    }

    /// contract W2: at the reported time every limit has room, and not a millisecond earlier; if no time is reported,
    /// there is none.
    fn check_retry(
        &self,
        wants: &[Want],
        demands: &[Demand],
        at_ms: u64,
        retry_after_ms: Option<u64>,
    ) -> TestCaseResult {
        let never = wants.iter().any(|want| {
            let cost = cost(want, wants);
            let session = self.windows[want.counter] == Window::Session;
            let full = self.used(want.counter, at_ms) + cost > want.max;
            want.enforced && (cost > want.max || session && full)
        });
        prop_assert_eq!(retry_after_ms.is_none(), never);
        let Some(ms) = retry_after_ms else { return Ok(()) };
        prop_assert!(ms > 0, "there is no room now");
        prop_assert!(self.has_room_after(ms, demands), "no room after {ms} ms");
        prop_assert!(!self.has_room_after(ms - 1, demands), "room before {ms} ms");
        Ok(())
    }

    /// True if `demands` would have room in `ms` milliseconds. A new ledger replays all requests so far.
    fn has_room_after(&self, ms: u64, demands: &[Demand]) -> bool {
        let mut ledger = MemoryLedger::default();
        for (request, now) in &self.asked {
            match request {
                Request::Reserve(demands) => drop(ledger.reserve(demands, *now)),
                Request::Release(reservation) => ledger.release(reservation.clone()),
            }
        }
        let Now { wall_ms, monotonic_ms } = self.now;
        let later = Now { wall_ms: wall_ms + ms, monotonic_ms: monotonic_ms + ms };
        matches!(ledger.reserve(demands, later), Ok(Settlement::Charged { .. }))
    }

    /// contract P9: a denied call does not fit into the window and the 1/60 before it.
    fn is_strict_by_a_slot_at_most(&self, want: &Want, wants: &[Want], at_ms: u64) -> bool {
        let Window::Sliding(seconds) = self.windows[want.counter] else { return true };
        let reach_ms = (u64::from(seconds) * 1000 * 61).div_ceil(60);
        let recent = self
            .charges
            .iter()
            .filter(|charge| charge.counter == want.counter && charge.at_ms + reach_ms > at_ms);
        recent.map(|charge| charge.cost).sum::<u128>() + cost(want, wants) > want.max
    }

    /// contract P9: no stretch as long as the window permits more than the largest `max`.
    fn check_stretches(&self, max: u128) -> TestCaseResult {
        for last in &self.charges {
            let Window::Sliding(seconds) = self.windows[last.counter] else { continue };
            let from = last.at_ms.saturating_sub(u64::from(seconds) * 1000);
            let in_stretch = self.charges.iter().filter(|charge| {
                charge.counter == last.counter && (from..=last.at_ms).contains(&charge.at_ms)
            });
            let sum: u128 = in_stretch.map(|charge| charge.cost).sum();
            prop_assert!(sum <= max, "{sum} in the {seconds} s before {}", last.at_ms);
        }
        Ok::<(), TestCaseError>(())
    }
}

/// contract P11: a counter named several times is charged once, by the largest cost; enforced limits come first.
fn cost(want: &Want, wants: &[Want]) -> u128 {
    let of_counter = |enforced: bool| {
        let same = move |other: &&Want| other.counter == want.counter && other.enforced == enforced;
        wants.iter().filter(same).map(|other| other.cost).max()
    };
    of_counter(true).or(of_counter(false)).expect("the demand itself")
}

fn slot(at_ms: u64, seconds: u32) -> u64 {
    at_ms * 60 / (u64::from(seconds) * 1000)
}

/// contract P9: the start of the UTC minute, hour, day or week before `at_ms`, in milliseconds since the epoch.
fn calendar_window(at_ms: u64, seconds: u32) -> i64 {
    let at = jiff::Timestamp::from_millisecond(at_ms.try_into().expect("a time")).expect("a time");
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let midnight = at.date().at(0, 0, 0, 0);
    let start = match seconds {
        60 => at.date().at(at.hour(), at.minute(), 0, 0),
        3600 => at.date().at(at.hour(), 0, 0, 0),
        86_400 => midnight,
        _ => {
            let behind_monday = at.weekday().to_monday_zero_offset();
            midnight.saturating_sub(jiff::Span::new().days(behind_monday))
        }
    };
    start.to_zoned(jiff::tz::TimeZone::UTC).expect("a time").timestamp().as_millisecond()
}

fn sliding() -> impl Strategy<Value = Window> {
    select(vec![1, 7, 60, 3600, 86_400]).prop_map(Window::Sliding)
}

fn window() -> impl Strategy<Value = Window> {
    let named = select(vec![60, 3600, 86_400, 604_800]);
    prop_oneof![
        3 => sliding(),
        2 => named.prop_map(Window::Calendar),
        1 => Just(Window::Session),
    ]
}

fn amount() -> impl Strategy<Value = u128> {
    const ONE: u128 = 1_000_000_000;
    select(vec![ONE, ONE, 5_000_000, 1, 0, ONE / 3, 2 * ONE])
}

fn want() -> impl Strategy<Value = Want> {
    let max = (0..5_u128).prop_map(|max| max * 1_000_000_000);
    (0..3_usize, amount(), max, prop_oneof![4 => Just(true), 1 => Just(false)])
        .prop_map(|(counter, cost, max, enforced)| Want { counter, cost, max, enforced })
}

/// Gaps of a length that matters for the windows above.
fn pass() -> impl Strategy<Value = Event> {
    let gap = prop_oneof![
        0..40_u64,
        900..1100_u64,
        6_900..7_200_u64,
        59_000..62_000_u64,
        3_590_000..3_670_000_u64,
        86_000_000..90_000_000_u64,
        0..700_000_000_u64,
    ];
    let jump = prop_oneof![6 => Just(0), 1 => -100_000..100_000_i64];
    (gap, jump).prop_map(|(gap_ms, jump_ms)| Event::Pass { gap_ms, jump_ms })
}

fn events(call: impl Strategy<Value = Vec<Want>>) -> impl Strategy<Value = Vec<Event>> {
    let release = any::<Index>().prop_map(Event::Release);
    vec(prop_oneof![5 => call.prop_map(Event::Call), 4 => pass(), 1 => release], 1..30)
}

proptest! {
    #![proptest_config(super::cases(400))]

    /// contract P9–P13, W2: several demands at once, all or none; shared counters; all kinds of windows; clock jumps;
    /// calls given back. Every settlement equals that of the naive list, and every retry time is exact.
    #[test]
    fn a_ledger_settles_as_the_list_of_charges_says(
        windows in vec(window(), 3), events in events(vec(want(), 1..4)),
    ) {
        let mut run = Run::new(windows);
        for event in &events {
            run.step(event)?;
        }
    }

    /// contract P9: never more than `max` in any stretch as long as the window.
    #[test]
    fn a_sliding_limit_is_never_loose(
        window in sliding(),
        max in 1..5_u128,
        events in events((amount(), Just(0)).prop_map(|(cost, counter)| {
            vec![Want { counter, cost, max: 0, enforced: true }]
        })),
    ) {
        let max = max * 1_000_000_000;
        let mut run = Run::new(vec![window]);
        for mut event in events {
            if let Event::Call(wants) = &mut event {
                wants[0].max = max;
            }
            run.step(&event)?;
            run.check_stretches(max)?;
        }
    }
}
