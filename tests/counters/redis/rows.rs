//! The data in the server: how it is shown, and when it expires.

use callgate::engine::limits::{Scope, Settlement, Window};
use callgate::shell::counters::redis::{read, reset};
use callgate::shell::os::clock::moment;

use super::server::{Run, Server, counter, demand, hourly};

#[test]
fn counters_are_shown_and_reset() {
    let server = Server::start();
    let url = server.url();
    assert!(read(&url).unwrap().is_empty());
    let _: () = server.ask(&["SET", "callgate:{other}:thing", "of somebody else"]);
    let _: usize = server.ask(&["HSET", "callgate:{other}:more", "of", "somebody else"]);
    let long = "ä".repeat(3000);
    let (hour, day) = (hourly("calls"), counter(Scope::Server, &long, Window::Calendar(86_400)));
    let session = counter(Scope::Session, "calls", Window::Session);
    let demands =
        [demand(&hour, 2, 10), demand(&hour, 3, 7), demand(&day, 1, 5), demand(&session, 1, 9)];
    let mut run = Run::at(&url);
    assert!(matches!(run.try_reserve(&demands), Ok(Settlement::Charged { .. })));
    let rows = read(&url).unwrap();
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            let name = row.name.chars().take(5).collect::<String>();
            let numbers = format!("{}/{} per {}", row.used(), row.max, row.window);
            (row.server.as_str(), row.scope, row.holder.as_str(), name, numbers)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("files", Scope::Grant, "ann", "calls".into(), "3/7 per hour".into()),
            ("files", Scope::Session, "one", "calls".into(), "1/9 per session".into()),
            ("files", Scope::Server, "", "äääää".into(), "1/5 per day".into()),
        ]
    );
    let now_ms = moment().wall_ms;
    assert!(rows.iter().all(|row| row.seen_ms.abs_diff(now_ms) < 60_000 && row.name.len() <= 256));
    let frees = rows[0].frees_at_ms().unwrap();
    assert!((now_ms + 3_500_000..now_ms + 3_700_000).contains(&frees));
    assert_eq!(rows[1].frees_at_ms(), None);

    assert!(reset(&url, Some("git"), None, "calls").unwrap().is_empty());
    assert!(reset(&url, None, Some("bob"), "calls").unwrap().is_empty());
    assert_eq!(reset(&url, Some("files"), Some("ann"), "calls").unwrap(), ["files"]);
    assert_eq!(reset(&url, None, None, &long).unwrap(), ["files"]);
    assert_eq!(read(&url).unwrap().iter().map(|row| row.used().nanos()).max(), Some(1_000_000_000));
    assert!(run.takes(&hour, 1), "a counter that was set back is not lost");
}

#[test]
fn keys_expire_and_keys_of_a_run_end_with_it() {
    let server = Server::start();
    let mut run = Run::at(&server.url());
    let window = counter(Scope::Grant, "{a}:*", Window::Sliding(60));
    let session = counter(Scope::Session, "calls", Window::Session);
    assert!(run.takes(&window, 1) && run.takes(&session, 1));
    let keys = server.counters();
    assert_eq!(keys.len(), 2, "{keys:?}");
    let lives = |key: &str| server.ask::<i64>(&["TTL", key]);
    let kept = "callgate:{files}:grant:ann:%7Ba%7D%3A%2A:60";
    assert!((120..=180).contains(&lives(kept)), "{keys:?}");
    assert!((86_400..=100 * 86_400).contains(&lives("callgate:{files}:session:one:calls:session")));
    assert!(lives("callgate:{files}") > 366 * 86_400);
    run.end();
    assert_eq!(server.counters(), [kept]);
}

#[test]
fn a_window_keeps_no_more_slots_than_it_needs() {
    let server = Server::start();
    let mut run = Run::at(&server.url());
    let calls = counter(Scope::Grant, "calls", Window::Sliding(60));
    let start_ms = moment().wall_ms + 10_000;
    for second in 0..200 {
        run.ledger.pretend(start_ms + second * 1000);
        assert!(run.takes(&calls, 1000));
    }
    let fields: usize = server.ask(&["HLEN", "callgate:{files}:grant:ann:calls:60"]);
    assert!((61..=75).contains(&fields), "{fields}");
}
