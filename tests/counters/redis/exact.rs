//! The script settles as the engine does, and any number of clients get exactly the maximum.

use std::thread;

use callgate::engine::limits::{
    Amount, CounterKey, Demand, Ledger, MemoryLedger, Now, Reservation, Scope, Settlement, Window,
};
use callgate::shell::os::clock::moment;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof};
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

use super::server::{Run, Server, counter, hourly};

const WINDOWS: [Window; 8] = [
    Window::Sliding(1),
    Window::Sliding(60),
    Window::Sliding(61),
    Window::Sliding(31_622_400),
    Window::Calendar(60),
    Window::Calendar(86_400),
    Window::Calendar(604_800),
    Window::Session,
];

const HOUR_MS: u64 = 3_600_000;

#[derive(Debug, Clone)]
enum Event {
    /// Time passes; the server's clock may also jump.
    Pass { gap_ms: u64, jump_ms: i64 },
    /// A call with these demands.
    Call(Vec<Demand>),
    /// One of the charged calls was not sent after all.
    Release(Index),
}

/// Small amounts whose sums reach a maximum, and amounts whose sums reach the edges of limbs and of all amounts.
fn amounts() -> impl Strategy<Value = Amount> {
    let limb = 10_u128.pow(12);
    let edges = [0, 1, limb / 2, limb - 1, limb, limb * limb / 2, limb * limb - 1, limb * limb];
    prop_oneof![0..9_u128, select(edges.to_vec()), 0..=limb * limb]
        .prop_map(|nanos| Amount::from_nanos(nanos).unwrap())
}

/// Mostly large.
fn maxima() -> impl Strategy<Value = Amount> {
    prop_oneof![amounts(), Just(Amount::from_nanos(10_u128.pow(24)).unwrap())]
}

fn counters() -> impl Strategy<Value = CounterKey> {
    let scopes = select(vec![Scope::Grant, Scope::Session, Scope::Server]);
    let parts = (scopes, select(vec!["a", "b:{c}"]), select(WINDOWS.to_vec()));
    parts.prop_map(|(scope, name, window)| match window {
        Window::Session => counter(Scope::Session, name, window),
        _ => counter(scope, name, window),
    })
}

/// Demands on a few counters that recur.
fn demands(counters: Vec<CounterKey>) -> impl Strategy<Value = Demand> {
    (select(counters), amounts(), maxima(), any::<bool>())
        .prop_map(|(counter, cost, max, enforced)| Demand { counter, cost, max, enforced })
}

fn events(counters: Vec<CounterKey>) -> impl Strategy<Value = Vec<Event>> {
    let gaps = prop_oneof![0..2000_u64, 0..200_000_u64, 0..700_000_000_u64];
    let jumps = prop_oneof![Just(0_i64), -90_000_000..90_000_000_i64];
    let calls = vec(demands(counters), 1..6);
    vec(
        prop_oneof![
            2 => (gaps, jumps).prop_map(|(gap_ms, jump_ms)| Event::Pass { gap_ms, jump_ms }),
            5 => calls.prop_map(Event::Call),
            1 => any::<Index>().prop_map(Event::Release),
        ],
        1..40,
    )
}

/// The time of limits as documented: the server's, or the last time seen plus the time since.
#[derive(Debug, Default)]
struct Clock {
    /// The time of limits, the server's clock and our steady clock at the last call.
    last: Option<(u64, u64, u64)>,
    /// How long our time has overridden the server's clock, since that was last ahead.
    lead_ms: u64,
}

impl Clock {
    fn observe(&mut self, server_ms: u64, steady_ms: u64) -> u64 {
        let mut at_ms = server_ms;
        if let Some((seen_ms, last_server_ms, last_steady_ms)) = self.last {
            // The steady clock is read in milliseconds, so it may be one too many.
            let told = (steady_ms - last_steady_ms).saturating_sub(1);
            let since = server_ms.saturating_sub(last_server_ms);
            let mut passed = told.min(since);
            let more = told.saturating_sub(since);
            if more * 1000 > 1_000_000 + told {
                let more = more.min(HOUR_MS - self.lead_ms);
                passed += more;
                self.lead_ms += more;
            }
            at_ms = at_ms.max(seen_ms + passed);
        }
        if at_ms == server_ms {
            self.lead_ms = 0;
        }
        self.last = Some((at_ms, server_ms, steady_ms));
        at_ms
    }
}

/// A ledger at the server, beside one in memory that is given the time the first one found.
struct Pair {
    redis: Run,
    memory: MemoryLedger,
    start_ms: u64,
    server_ms: u64,
    steady_ms: u64,
    clock: Clock,
    held: Vec<Reservation>,
}

impl Pair {
    fn step(&mut self, event: Event) -> TestCaseResult {
        match event {
            Event::Pass { gap_ms, jump_ms } => {
                self.steady_ms += gap_ms;
                // Keys must not expire: they would do so by the real clock.
                self.server_ms =
                    (self.server_ms + gap_ms).saturating_add_signed(jump_ms).max(self.start_ms);
            }
            Event::Call(demands) => self.call(&demands)?,
            Event::Release(which) if !self.held.is_empty() => {
                let reservation = self.held.swap_remove(which.index(self.held.len()));
                self.redis.release(reservation.clone());
                self.memory.release(reservation);
            }
            Event::Release(_) => {}
        }
        Ok(())
    }

    fn call(&mut self, demands: &[Demand]) -> TestCaseResult {
        let now = Now { wall_ms: 0, monotonic_ms: self.steady_ms };
        self.redis.ledger.pretend(self.server_ms);
        let settled = self.redis.try_reserve_at(demands, now);
        let at_ms = self.redis.ledger.seen_ms().unwrap_or_default();
        prop_assert_eq!(at_ms, self.clock.observe(self.server_ms, self.steady_ms));
        // The same time has passed for this one, by both clocks.
        let expected = self.memory.reserve(demands, Now { wall_ms: at_ms, monotonic_ms: at_ms });
        prop_assert_eq!(&settled, &expected, "{:?} at {}", demands, at_ms);
        if let Ok(Settlement::Charged { reservation, .. }) = settled {
            self.held.push(reservation);
        }
        Ok(())
    }
}

/// contract P10–P13: for any demands at any time.
#[test]
fn the_script_settles_as_the_engine_does() {
    let server = Server::start();
    let mut cases = 0;
    let runner = Config { cases: 128, failure_persistence: None, ..Config::default() };
    let mut run = |events: Vec<Event>| {
        cases += 1;
        let start_ms = moment().wall_ms + 60_000;
        let mut pair = Pair {
            redis: Run::of(&server.url(), &format!("server {cases}"), "ann", "one"),
            memory: MemoryLedger::default(),
            start_ms,
            server_ms: start_ms,
            steady_ms: 5,
            clock: Clock::default(),
            held: Vec::new(),
        };
        events.into_iter().try_for_each(|event| pair.step(event))
    };
    let run = std::cell::RefCell::new(&mut run);
    let sessions = vec(counters(), 1..4).prop_flat_map(events);
    let checked = TestRunner::new(runner).run(&sessions, |events| (run.borrow_mut())(events));
    checked.unwrap_or_else(|error| panic!("{error}"));
}

/// Runs this many ledgers at once, each asking 300 times for one of `max`; returns how many calls get through.
fn let_through(ledgers: u32, max: u32) -> usize {
    let server = Server::start();
    let (url, counter) = (server.url(), hourly("calls"));
    let calls = |nth: u32| {
        let (url, counter) = (url.clone(), counter.clone());
        move || {
            let mut run = Run::of(&url, "files", "ann", &format!("run {nth}"));
            (0..300).filter(|_| run.takes(&counter, max)).count()
        }
    };
    let threads: Vec<_> = (0..ledgers).map(|nth| thread::spawn(calls(nth))).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).sum()
}

/// contract P13
#[test]
fn two_wrappers_at_once_get_exactly_the_maximum() {
    assert_eq!(let_through(2, 431), 431);
}

/// contract P13
#[test]
fn eight_wrappers_at_once_get_exactly_the_maximum() {
    assert_eq!(let_through(8, 1000), 1000);
}

#[test]
fn the_scope_decides_who_shares_a_counter() {
    let server = Server::start();
    let holders =
        [("files", "ann", "1"), ("files", "ann", "2"), ("files", "bob", "3"), ("git", "ann", "4")];
    let shared = |scope| {
        let counter: CounterKey = counter(scope, "calls", Window::Sliding(3600));
        let takes = |&(server_name, grant, run): &(&str, &str, &str)| {
            Run::of(&server.url(), server_name, grant, run).takes(&counter, 1)
        };
        holders.iter().map(takes).collect::<Vec<bool>>()
    };
    assert_eq!(shared(Scope::Session), [true, true, true, true]);
    assert_eq!(shared(Scope::Grant), [true, false, true, true]);
    assert_eq!(shared(Scope::Server), [true, false, false, true]);
}
