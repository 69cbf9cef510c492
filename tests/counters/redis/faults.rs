//! A server that stops, dies, loses data or returns errors (contract S2).

use std::time::{Duration, Instant};

use callgate::engine::limits::{Scope, Settlement, Window};
use rustix::process::Signal;

use super::server::{Run, Server, counter, demand, hourly};

const LOST: &str = "it lost counters that were still in use (restarted without `appendonly yes`, flushed, or evicted \
    for want of `maxmemory-policy noeviction`?); they begin anew";

#[test]
fn a_flushed_script_is_sent_again() {
    let server = Server::start();
    let mut run = Run::at(&server.url());
    assert!(run.takes(&hourly("calls"), 2));
    let _: () = server.ask(&["SCRIPT", "FLUSH"]);
    assert!(run.takes(&hourly("calls"), 2));
    assert!(!run.takes(&hourly("calls"), 2));
}

#[test]
fn a_stopped_server_costs_each_call_a_second() {
    let server = Server::start();
    let mut run = Run::at(&server.url());
    assert!(run.takes(&hourly("calls"), 10));
    server.signal(Signal::STOP);
    for _ in 0..2 {
        let begun = Instant::now();
        let why = run.trouble(&hourly("calls"));
        let place = server.url();
        assert_eq!(why, format!("failed to use state `{place}`: no answer within a second"));
        let took = begun.elapsed();
        assert!((900..2500).contains(&took.as_millis()), "{took:?}");
    }
    server.signal(Signal::CONT);
    // Reservations that timed out may have been charged since, but no more than that.
    let taken = (0..20).filter(|_| run.takes(&hourly("calls"), 10)).count();
    assert!((7..=9).contains(&taken), "{taken}");
}

#[test]
fn a_session_ends_though_its_server_is_stopped() {
    let server = Server::start();
    let mut run = Run::at(&server.url());
    let session = counter(Scope::Session, "calls", Window::Session);
    let settled = run.try_reserve(&[demand(&session, 1, 10)]).unwrap();
    let Settlement::Charged { reservation, .. } = settled else { panic!("{settled:?}") };
    server.signal(Signal::STOP);
    for _ in 0..300 {
        run.release(reservation.clone());
    }
    let begun = Instant::now();
    run.end();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn a_lost_server_denies_at_once_until_it_is_back() {
    let mut server = Server::with(|_| vec!["--appendonly".into(), "yes".into()]);
    let mut run = Run::at(&server.url());
    assert!(run.takes(&hourly("calls"), 2));
    server.kill();
    let why = run.trouble(&hourly("calls"));
    assert_eq!(why, format!("failed to use state `{}`: Connection refused", server.url()));
    server.restart();
    assert!(run.takes(&hourly("calls"), 2), "what was charged is kept");
    assert!(!run.takes(&hourly("calls"), 2));
}

#[test]
fn a_restart_between_two_calls_denies_nothing() {
    let mut server = Server::with(|_| vec!["--appendonly".into(), "yes".into()]);
    let mut run = Run::at(&server.url());
    assert!(run.takes(&hourly("calls"), 2));
    server.kill();
    server.restart();
    assert!(run.takes(&hourly("calls"), 2));
    assert!(!run.takes(&hourly("calls"), 2));
}

#[test]
fn a_server_that_loses_everything_is_reported_once() {
    let mut server = Server::start();
    let mut run = Run::at(&server.url());
    assert!(run.takes(&hourly("calls"), 2));
    server.kill();
    server.restart();
    // The server has never known the counter of this call.
    assert_eq!(
        run.trouble(&hourly("other")),
        format!("failed to use state `{}`: {LOST}", server.url())
    );
    assert!(run.takes(&hourly("calls"), 2));
    let _: () = server.ask(&["FLUSHALL"]);
    assert!(run.trouble(&hourly("calls")).contains(LOST));
    assert!(run.takes(&hourly("calls"), 2));
    assert!(run.takes(&hourly("calls"), 2));
    assert!(!run.takes(&hourly("calls"), 2));
}

#[test]
fn an_evicted_or_older_counter_is_reported_once() {
    let server = Server::start();
    let mut run = Run::at(&server.url());
    let (calls, other) = (hourly("calls"), hourly("other"));
    assert!(run.takes(&calls, 2) && run.takes(&other, 2));
    let key = "callgate:{files}:grant:ann:calls:3600";
    let _: usize = server.ask(&["DEL", key]);
    assert!(run.takes(&other, 2), "which is still there");
    assert!(run.trouble(&calls).contains(LOST));
    assert!(run.takes(&calls, 2) && run.takes(&calls, 2));
    let _: usize = server.ask(&["HSET", key, "charges", "1"]);
    assert!(run.trouble(&calls).contains(LOST));
}

#[test]
fn an_error_of_the_server_is_the_reason() {
    let server = Server::start();
    let mut run = Run::at(&server.url());
    let _: () = server.ask(&["SET", "callgate:{files}:grant:ann:calls:3600", "no hash"]);
    assert!(run.trouble(&hourly("calls")).contains("WRONGTYPE"));
    assert!(run.takes(&hourly("other"), 1));
    let _: () = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let why = run.trouble(&hourly("other"));
    assert!(why.contains("OOM"), "{why}");
    let _: () = server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert!(!run.takes(&hourly("other"), 1));
}

#[test]
fn a_reservation_is_given_back_to_its_slot_only() {
    let server = Server::start();
    let mut run = Run::at(&server.url());
    let calls = hourly("calls");
    let settled = run.try_reserve(&[demand(&calls, 2, 3)]).unwrap();
    let Settlement::Charged { reservation, .. } = settled else { panic!("{settled:?}") };
    assert!(run.takes(&calls, 3) && !run.takes(&calls, 3));
    run.release(reservation.clone());
    run.idle();
    assert!(run.takes(&calls, 3) && run.takes(&calls, 3) && !run.takes(&calls, 3));
    // The charged counter is gone: no other counter gives quota back.
    let _: () = server.ask(&["FLUSHALL"]);
    let mut other = Run::of(&server.url(), "files", "ann", "two");
    assert!((0..3).all(|_| other.takes(&calls, 3)));
    run.release(reservation);
    run.idle();
    assert!(!other.takes(&calls, 3));
}

/// contract P13
#[test]
fn a_clock_set_back_neither_frees_nor_freezes_quota() {
    use callgate::engine::limits::Now;
    let server = Server::start();
    let mut run = Run::at(&server.url());
    let calls = counter(Scope::Grant, "calls", Window::Sliding(60));
    let start_ms = callgate::shell::os::clock::moment().wall_ms + 10_000_000;
    let one = [demand(&calls, 1, 1)];
    let mut has_room = |server_ms: u64, monotonic_ms| {
        run.ledger.pretend(server_ms);
        let settled = run.try_reserve_at(&one, Now { wall_ms: 0, monotonic_ms }).unwrap();
        matches!(settled, Settlement::Charged { .. })
    };
    assert!(has_room(start_ms, 0));
    assert!(!has_room(start_ms - 3_600_000, 1000), "a step back");
    assert!(!has_room(start_ms - 3_540_000, 60_000), "the window has not passed");
    assert!(has_room(start_ms - 3_530_000, 70_000), "it has passed in real time");
    assert!(has_room(start_ms + 86_400_000, 71_000), "a step forth is time passed");
    assert!(!has_room(start_ms - 3_500_000, 72_000), "and back again");
    // A run that has seen nothing yet follows the server's clock.
    let mut other = Run::of(&server.url(), "files", "ann", "two");
    let mut has_room = |server_ms: u64| {
        other.ledger.pretend(server_ms);
        let settled = other.try_reserve_at(&one, Now::default()).unwrap();
        matches!(settled, Settlement::Charged { .. })
    };
    assert!(has_room(start_ms - 3_500_000 + 62_000));
}
