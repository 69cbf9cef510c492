//! The clock that many wrappers share at one server: no single caller can move it far (contract S2, P13).

use std::collections::BTreeMap;

use callgate::engine::limits::{CounterKey, Now, Scope, Settlement, Window};
use callgate::shell::os::clock::moment;

use super::server::{Run, Server, counter, demand};

const HOUR_MS: u64 = 3_600_000;
const YEAR_MS: u64 = 366 * 24 * HOUR_MS;
/// The first millisecond that is rejected as implausible.
const LATEST_MS: u64 = 253_402_300_799_999;
const MARK: &str = "callgate:{files}";
const WEEKLY: &str = "callgate:{files}:grant:ann:calls:604800";

fn weekly() -> CounterKey {
    counter(Scope::Grant, "calls", Window::Sliding(604_800))
}

/// Whether a call has room under a maximum of 1, by these readings of the server's clock and our steady clock.
fn has_room(run: &mut Run, server_ms: u64, monotonic_ms: u64) -> bool {
    run.ledger.pretend(server_ms);
    let settled = run.try_reserve_at(&[demand(&weekly(), 1, 1)], Now { wall_ms: 0, monotonic_ms });
    matches!(settled.unwrap_or_else(|e| panic!("{}", e.reason)), Settlement::Charged { .. })
}

fn seen_ms(server: &Server) -> u64 {
    server.ask(&["HGET", MARK, "seen"])
}

/// However often a caller claims that years have passed, the others move by an hour in all.
#[test]
fn no_caller_moves_the_clock_by_more_than_an_hour() {
    let server = Server::start();
    let (mut mad, mut other) =
        (Run::at(&server.url()), Run::of(&server.url(), "files", "ann", "2"));
    let start_ms = moment().wall_ms + 10 * HOUR_MS;
    assert!(has_room(&mut mad, start_ms, 0));
    for nth in 1..=50 {
        assert!(!has_room(&mut mad, start_ms + nth, nth * 50 * YEAR_MS), "word {nth}");
        assert!(seen_ms(&server) <= start_ms + nth + HOUR_MS, "word {nth}");
    }
    // The others are not frozen either: their time follows the server's.
    let week_ms = 7 * 24 * HOUR_MS;
    assert!(!has_room(&mut other, start_ms + 100, 0));
    assert!(!has_room(&mut other, start_ms + week_ms - HOUR_MS, week_ms - HOUR_MS));
    assert!(has_room(&mut other, start_ms + week_ms + week_ms / 60, week_ms + week_ms / 60));
}

/// Times seen at another server, to which a name or a proxy led for a while, do not count at this one.
#[test]
fn times_of_another_server_do_not_count() {
    let server = Server::start();
    let mut run = Run::at(&server.url());
    let start_ms = moment().wall_ms + 10 * HOUR_MS;
    assert!(has_room(&mut run, start_ms, 0));
    // Another server with a very different clock takes its place for a while.
    let _: () = server.ask(&["RENAME", MARK, "mark"]);
    let _: () = server.ask(&["RENAME", WEEKLY, "weekly"]);
    assert!(has_room(&mut run, start_ms + 70 * YEAR_MS, 10));
    let _: () = server.ask(&["RENAME", "mark", MARK]);
    let _: () = server.ask(&["RENAME", "weekly", WEEKLY]);
    run.ledger.pretend(start_ms + 20);
    let now = Now { wall_ms: 0, monotonic_ms: 20 };
    let lost = run.try_reserve_at(&[demand(&weekly(), 1, 1)], now).expect_err("it is another one");
    assert!(lost.reason.contains("lost counters"), "{}", lost.reason);
    assert!(!has_room(&mut run, start_ms + 30, 30));
    assert!(!has_room(&mut Run::of(&server.url(), "files", "ann", "2"), start_ms + 40, 0));
    assert!((start_ms..=start_ms + 40).contains(&seen_ms(&server)), "{}", seen_ms(&server));
}

/// Callers correct a server's clock that was set back during a pause, by an hour at most.
#[test]
fn a_pause_over_a_step_back_is_time_passed_up_to_an_hour() {
    let server = Server::start();
    let start_ms = moment().wall_ms + 100 * HOUR_MS;
    for (run, paused_ms, expected_ms) in
        [("half an hour", HOUR_MS / 2, HOUR_MS / 2 - 1), ("a day", 24 * HOUR_MS, HOUR_MS)]
    {
        let mut run = Run::of(&server.url(), run, "ann", run);
        has_room(&mut run, start_ms, 0);
        has_room(&mut run, start_ms - 50 * HOUR_MS, paused_ms);
        assert_eq!(run.ledger.seen_ms(), Some(start_ms + expected_ms));
        // From then on, time follows the server's clock, whatever it shows.
        has_room(&mut run, start_ms - 48 * HOUR_MS, paused_ms + 2 * HOUR_MS);
        let two_hours_on = start_ms + expected_ms + 2 * HOUR_MS - 1;
        assert_eq!(run.ledger.seen_ms(), Some(two_hours_on));
    }
}

/// Small differences between steady clocks do not add up.
#[test]
fn a_fast_steady_clock_moves_no_other_caller() {
    let server = Server::start();
    let mut run = Run::at(&server.url());
    let start_ms = moment().wall_ms + 10 * HOUR_MS;
    for day in 0..100 {
        let passed_ms = day * 24 * HOUR_MS;
        // 100 millionths too fast.
        has_room(&mut run, start_ms + passed_ms, passed_ms + passed_ms / 10_000);
        assert_eq!(seen_ms(&server), start_ms + passed_ms, "day {day}");
    }
}

/// No time beyond the year 9999 is believed or stored, whoever reports it.
#[test]
fn nothing_beyond_the_year_9999_is_believed() {
    let server = Server::start();
    let mut run = Run::at(&server.url());
    let start_ms = moment().wall_ms + 10 * HOUR_MS;
    assert!(has_room(&mut run, start_ms, 0));
    for server_ms in [LATEST_MS, 10 * LATEST_MS] {
        run.ledger.pretend(server_ms);
        let now = Now { wall_ms: 0, monotonic_ms: 10 };
        let denied = run.try_reserve_at(&[demand(&weekly(), 1, 1)], now).expect_err("no such time");
        assert!(denied.reason.ends_with("its clock is beyond the year 9999"), "{}", denied.reason);
        assert_eq!(seen_ms(&server), start_ms);
    }
    assert!(!has_room(&mut run, start_ms + 20, 20));
    // A time stored before this check existed is skipped and repaired.
    let mad = (1000 * LATEST_MS).to_string();
    let _: usize = server.ask(&["HSET", MARK, "seen", &mad, "clock", &mad]);
    let _: usize = server.ask(&["HSET", WEEKLY, "seen", &mad, "@9999999999999999", "1000000000"]);
    let _: usize = server.ask(&["HDEL", WEEKLY, &charged_slot(&server)]);
    assert!(has_room(&mut run, start_ms + 30, 30));
    assert!(!has_room(&mut run, start_ms + 40, 40));
    assert_eq!(seen_ms(&server), start_ms + 40);
}

fn charged_slot(server: &Server) -> String {
    let fields: Vec<String> = server.ask(&["HKEYS", WEEKLY]);
    fields.into_iter().find(|field| field.starts_with('@') && field.len() < 15).unwrap()
}

/// A failing script does not undo its writes, so everything that can fail comes first.
#[test]
fn a_caller_without_all_rights_moves_no_clock_and_charges_nothing() {
    for forbidden in ["pexpireat", "hset", "hdel"] {
        let server = Server::start();
        let mut run = Run::at(&server.url());
        let fails = |run: &mut Run| {
            let _: () = server.ask(&["ACL", "SETUSER", "default", &format!("-{forbidden}")]);
            let why = run.trouble(&weekly());
            assert!(why.contains("can't run this command") || why.contains("NOPERM"), "{why}");
            let _: () = server.ask(&["ACL", "SETUSER", "default", "+@all"]);
        };
        let kept = || -> (BTreeMap<String, String>, BTreeMap<String, String>) {
            let mut mark: BTreeMap<String, String> = server.ask(&["HGETALL", MARK]);
            mark.remove("gen");
            (mark, server.ask(&["HGETALL", WEEKLY]))
        };
        fails(&mut run);
        assert_eq!(kept(), Default::default(), "{forbidden}");
        assert!(run.takes(&weekly(), 2));
        let before = kept();
        fails(&mut run);
        assert_eq!(kept(), before, "{forbidden}");
        assert!(run.takes(&weekly(), 2) && !run.takes(&weekly(), 2));
    }
}
