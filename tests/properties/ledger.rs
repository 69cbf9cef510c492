//! The ledger on disk and the one in memory give the same answers to the same requests (contract P12, P13, S2).

use std::future::poll_fn;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use callgate::engine::limits::{
    Amount, CounterKey, Demand, Ledger, MemoryLedger, Now, Reservation, Scope, Settlement,
    StateUnavailable, Window,
};
use callgate::shell::counters::sqlite::{self, SqliteLedger};
use callgate::shell::counters::{CounterRow, Counters as _};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof};
use proptest::proptest;
use proptest::sample::{Index, select};
use proptest::test_runner::TestCaseResult;

/// Milliseconds since the epoch at which every run begins.
const START_MS: u64 = 1_767_225_600_000;
const WINDOWS: [Window; 6] = [
    Window::Sliding(1),
    Window::Sliding(60),
    Window::Sliding(86_400),
    Window::Calendar(60),
    Window::Calendar(604_800),
    Window::Session,
];

/// A ledger on disk, called synchronously.
struct Disk {
    runtime: tokio::runtime::Runtime,
    ledger: SqliteLedger,
}

impl Disk {
    fn open(state: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let ledger = SqliteLedger::new(state, "server", "grant", "run");
        Disk { runtime: runtime.expect("a runtime"), ledger }
    }

    fn reserve(&mut self, demands: &[Demand], now: Now) -> Result<Settlement, StateUnavailable> {
        let Disk { runtime, ledger } = self;
        runtime.block_on(poll_fn(|cx| ledger.poll_reserve(cx, demands, now)))
    }

    fn release(&mut self, reservation: Reservation) {
        let Disk { runtime, ledger } = self;
        ledger.release(reservation);
        runtime.block_on(poll_fn(|cx| ledger.poll_idle(cx)));
    }
}

#[derive(Debug, Clone)]
enum Event {
    /// Time passes; the wall clock may also jump.
    Pass { gap_ms: u64, jump_ms: i64 },
    /// A call demands these.
    Call(Vec<Demand>),
    /// One of the charged calls was never forwarded.
    Release(Index),
    /// callgate ends and starts again.
    Restart,
}

fn demand() -> impl Strategy<Value = Demand> {
    let counter = (select(vec!["a", "b"]), select(WINDOWS.to_vec()), any::<bool>()).prop_map(
        |(name, window, shared)| CounterKey {
            scope: if shared { Scope::Server } else { Scope::Grant },
            name: name.into(),
            window,
        },
    );
    let amount = |nanos| Amount::from_nanos(nanos).expect("an amount");
    let cost = prop_oneof![Just(1), 0..3_000_000_000_u128, Just(10_u128.pow(24))];
    let max = prop_oneof![0..9_000_000_000_u128, Just(10_u128.pow(24))];
    (counter, cost, max, any::<bool>()).prop_map(move |(counter, cost, max, enforced)| Demand {
        counter,
        cost: amount(cost),
        max: amount(max),
        enforced,
    })
}

fn event(jump_ms: impl Strategy<Value = i64>, restarts: u32) -> impl Strategy<Value = Event> {
    let gap_ms = prop_oneof![0..100_u64, 0..90_000_u64, 0..90_000_000_u64];
    prop_oneof![
        3 => (gap_ms, jump_ms).prop_map(|(gap_ms, jump_ms)| Event::Pass { gap_ms, jump_ms }),
        8 => vec(demand(), 1..5).prop_map(Event::Call),
        2 => any::<Index>().prop_map(Event::Release),
        restarts => Just(Event::Restart),
    ]
}

fn compare(events: Vec<Event>) -> TestCaseResult {
    let state = tempfile::tempdir().expect("a directory");
    let mut disk = Disk::open(state.path());
    let mut memory = MemoryLedger::default();
    let mut held: Vec<Reservation> = Vec::new();
    let mut now = Now { wall_ms: START_MS, monotonic_ms: 5 };
    for event in events {
        match event {
            Event::Pass { gap_ms, jump_ms } => {
                now.wall_ms = now.wall_ms.saturating_add(gap_ms).saturating_add_signed(jump_ms);
                now.monotonic_ms += gap_ms;
            }
            Event::Call(demands) => {
                let expected = memory.reserve(&demands, now);
                prop_assert_eq!(&disk.reserve(&demands, now), &expected);
                if let Ok(Settlement::Charged { reservation, .. }) = expected {
                    held.push(reservation);
                }
            }
            Event::Release(which) if !held.is_empty() => {
                let reservation = held.swap_remove(which.index(held.len()));
                Ledger::release(&mut memory, reservation.clone());
                disk.release(reservation);
            }
            Event::Release(_) => {}
            Event::Restart => {
                drop(disk);
                disk = Disk::open(state.path());
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(super::cases(24))]

    /// contract P13: for any jumps of the clock.
    #[test]
    fn disk_and_memory_agree(
        events in vec(event(prop_oneof![4 => Just(0), 1 => -90_000_000..90_000_000_i64], 0), 1..60)
    ) {
        compare(events)?;
    }

    /// contract S2: counters survive the end of callgate.
    #[test]
    fn disk_and_memory_agree_over_restarts(
        events in vec(event(prop_oneof![4 => Just(0), 1 => 0..90_000_000_i64], 2), 1..60)
    ) {
        compare(events)?;
    }
}

fn one(scope: Scope, window: Window, max: u32) -> Demand {
    let counter = CounterKey { scope, name: "n".into(), window };
    let max = Amount::from_nanos(u128::from(max) * 1_000_000_000).expect("an amount");
    Demand { counter, cost: Amount::ONE, max, enforced: true }
}

fn is_charged(settled: Result<Settlement, StateUnavailable>) -> bool {
    matches!(settled.expect("a ledger that works"), Settlement::Charged { .. })
}

/// contract P13: eight ledgers in parallel permit exactly as many calls as one.
#[test]
fn eight_ledgers_share_one_counter_exactly() {
    let state = tempfile::tempdir().unwrap();
    let charged = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut disk = Disk::open(state.path());
                let demands = [
                    one(Scope::Grant, Window::Sliding(86_400), 1000),
                    one(Scope::Server, Window::Sliding(3600), 5000),
                ];
                let now = Now { wall_ms: START_MS, monotonic_ms: 5 };
                for _ in 0..250 {
                    if is_charged(disk.reserve(&demands, now)) {
                        charged.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(charged.into_inner(), 1000);
}

/// contract P13: a step back of the clock, with a restart before or after it, frees no quota, and quota returns once
/// the window has passed in real time. A step forward counts as time passed, once.
#[test]
fn time_passes_across_restarts_for_any_clock_setting() {
    let state = tempfile::tempdir().unwrap();
    let limit = [one(Scope::Grant, Window::Sliding(3600), 1)];
    let at = |wall_s: i64, steady_s: u64| {
        let now = Now {
            wall_ms: START_MS.saturating_add_signed(wall_s * 1000),
            monotonic_ms: 1_000_000_000 + steady_s * 1000,
        };
        is_charged(Disk::open(state.path()).reserve(&limit, now))
    };
    assert!(at(0, 0));
    assert!(!at(-3600, 1), "back an hour");
    assert!(!at(-3600 * 24 * 365 * 60, 2), "back to before the epoch");
    assert!(!at(60, 3), "a minute later");
    assert!(at(-3600 + 3661, 3661), "an hour and a slot later by the clock that nobody sets");
    assert!(!at(-3600 + 3662, 3662), "and no second time");
    assert!(at(86_400, 3663), "forth a day");
    assert!(!at(3664, 3664), "and back");
    assert!(!at(86_400, 3665), "and forth again: that day has passed already");
    assert!(at(3666 + 3661, 3664 + 3661), "an hour later by the clock that nobody sets");
}

/// contract P13, S2: no clock setting blocks a counter for good, and none that is far off frees quota.
#[test]
fn a_wrong_clock_neither_frees_nor_blocks_a_counter() {
    let state = tempfile::tempdir().unwrap();
    let limit = [one(Scope::Grant, Window::Sliding(60), 1)];
    let at = |wall_ms: u64, monotonic_ms: u64| {
        is_charged(Disk::open(state.path()).reserve(&limit, Now { wall_ms, monotonic_ms }))
    };
    assert!(at(0, 0));
    assert!(!at(0, 1));
    let year_9999 = 253_402_300_799_999;
    for wall_ms in [u64::MAX, year_9999, year_9999 - 1, START_MS] {
        assert!(!at(wall_ms, 2), "{wall_ms}");
    }
    for (nth, wall_ms) in [(1, u64::MAX), (2, year_9999 - 1), (3, START_MS), (4, 0)] {
        assert!(at(wall_ms, nth * 61_100), "a minute and a slot later, {wall_ms}");
        assert!(!at(wall_ms, nth * 61_100 + 1), "{wall_ms}");
    }
}

/// contract S2: a wrapper with a wrong clock affects only the counters that it charges.
#[test]
fn a_wrong_clock_does_not_affect_other_counters() {
    let state = tempfile::tempdir().unwrap();
    let limit = |name: &str| {
        let mut limit = one(Scope::Grant, Window::Sliding(86_400), 1);
        limit.counter.name = name.into();
        limit
    };
    let [shared, spent, fresh] = ["shared", "spent", "fresh"].map(limit);
    let now = |days: u64| Now { wall_ms: START_MS + days * 86_400_000, monotonic_ms: 5 };
    let mut right = Disk::open(state.path());
    assert!(is_charged(right.reserve(std::slice::from_ref(&spent), now(0))));
    // It charges one counter ten days too early, as any step forward may.
    let mut wrong = Disk::open(state.path());
    assert!(is_charged(wrong.reserve(&[shared.clone(), fresh], now(10))));
    // A wrapper that uses this counter learns nothing from it about the others.
    let mut both = shared;
    both.max = Amount::from_nanos(9_000_000_000).unwrap();
    assert!(is_charged(right.reserve(std::slice::from_ref(&both), now(0))));
    assert!(!is_charged(right.reserve(&[both, spent.clone()], now(0))));
    assert!(!is_charged(Disk::open(state.path()).reserve(&[spent], now(0))));
}

/// contract P9: a session counter ends with its own run only.
#[test]
fn session_counters_end_with_their_run() {
    let state = tempfile::tempdir().unwrap();
    let now = Now { wall_ms: START_MS, monotonic_ms: 5 };
    let limits =
        [one(Scope::Session, Window::Session, 1), one(Scope::Grant, Window::Sliding(60), 9)];
    let kept = || sqlite::read(state.path(), now).unwrap().len();
    let mut disk = Disk::open(state.path());
    assert!(is_charged(disk.reserve(&limits, now)));
    assert!(!is_charged(disk.reserve(&limits, now)));
    assert_eq!(kept(), 2);
    let mut other = Disk::open(state.path());
    other.ledger = SqliteLedger::new(state.path(), "server", "grant", "another run");
    assert!(is_charged(other.reserve(&limits, now)));
    assert_eq!(kept(), 3);
    drop(disk);
    assert_eq!(kept(), 2);
    assert!(!is_charged(other.reserve(&limits, now)));
}

/// contract S2: the counters of a killed run are removed eventually.
#[test]
fn session_counters_of_killed_runs_are_removed() {
    let state = tempfile::tempdir().unwrap();
    let now = Now { wall_ms: START_MS, monotonic_ms: 5 };
    let limits = [one(Scope::Session, Window::Session, 1)];
    let mut killed = Disk::open(state.path());
    assert!(is_charged(killed.reserve(&limits, now)));
    let holders = || {
        let rows = sqlite::read(state.path(), now).unwrap();
        rows.into_iter().map(|row| row.holder).collect::<Vec<_>>()
    };
    let start = |run| {
        let mut disk = Disk::open(state.path());
        disk.ledger = SqliteLedger::new(state.path(), "server", "grant", run);
        assert!(is_charged(disk.reserve(&limits, now)));
        disk
    };
    let first = start("first");
    assert_eq!(holders(), ["first", "run"], "without a list of runs all may live");
    std::fs::create_dir(state.path().join("sessions")).unwrap();
    std::fs::write(state.path().join("sessions/first.json"), "{}").unwrap();
    let _second = start("second");
    let begun = Instant::now();
    while holders() != ["first", "second"] {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", holders());
        std::thread::yield_now();
    }
    assert!(
        !is_charged(killed.reserve(&limits, now)),
        "it was not dead: what it charged stays charged"
    );
    drop((first, killed));
}

/// contract S2: `status` and similar commands read the counters without a trace.
#[test]
fn counters_are_shown_and_reset() {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().join("state");
    let now = Now { wall_ms: START_MS, monotonic_ms: 5 };
    assert!(sqlite::read(&directory, now).unwrap().is_empty());
    assert_eq!(sqlite::reset(&directory, None, None, "n").unwrap(), [""; 0]);
    assert!(!directory.exists());
    let mut disk = Disk::open(&directory);
    let limits =
        [one(Scope::Grant, Window::Sliding(60), 2), one(Scope::Server, Window::Calendar(60), 9)];
    for _ in 0..2 {
        assert!(is_charged(disk.reserve(&limits, now)));
    }
    let used = |now| {
        let rows = sqlite::read(&directory, now).unwrap();
        let used = |row: &CounterRow| {
            (row.holder.clone(), row.used().to_string(), row.max.to_string(), row.frees_at_ms())
        };
        rows.iter().map(used).collect::<Vec<_>>()
    };
    let row = |holder: &str, used: &str, max: &str, frees: u64| {
        (holder.to_owned(), used.to_owned(), max.to_owned(), Some(START_MS + frees))
    };
    let full = [row("grant", "2", "2", 61_000), row("", "2", "9", 60_000)];
    assert_eq!(used(now), full);
    drop(disk);
    let files = || {
        let names = std::fs::read_dir(&directory).unwrap().map(|file| file.unwrap().file_name());
        names.collect::<Vec<_>>()
    };
    assert_eq!(files(), ["state.db"], "the last to leave tidies up");
    assert_eq!(used(now), full);
    assert_eq!(files(), ["state.db"]);
    assert_eq!(sqlite::reset(&directory, Some("other"), None, "n").unwrap(), [""; 0]);
    assert_eq!(sqlite::reset(&directory, Some("server"), Some("grant"), "n").unwrap(), ["server"]);
    let mut disk = Disk::open(&directory);
    assert!(is_charged(disk.reserve(&limits, now)));
    assert_eq!(used(now), [row("grant", "1", "2", 61_000), row("", "3", "9", 60_000)]);
}
