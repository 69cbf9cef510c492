//! Cancelled requests (contract W4).

use super::ids::{died, died_with};
use crate::harness::gate::{Wrap, call, ok};
use serde_json::json;

fn cancel(id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
    )
}

/// contract W4: a cancellation is forwarded while its id is in flight; the late answer passes once.
#[test]
fn a_cancellation_of_a_request_in_flight_is_forwarded() {
    let gate = Wrap::allow_all()
        .serve(&json!([{ "recv": 2 }, { "send": ok(1) }, { "send": ok(1) }, "echo"]));
    gate.send(call(1));
    gate.send(cancel("1.0"));
    assert_eq!(gate.recv(), ok(1));
    gate.serves(2);
    assert_eq!(gate.received()[1], cancel("1.0"));
    assert!(gate.error_line().contains("the id 1,"), "the second answer is dropped");
    gate.ends_quietly(0);
}

/// contract W4: all other cancellations are dropped.
#[test]
fn other_cancellations_are_dropped() {
    let policy = r#"{"version":"1","default":"deny","tools":{"t":{}}}"#;
    let gate = Wrap::new(policy).serve(&json!(["echo"]));
    gate.serves(1);
    let denied = gate.ask(call(2).replace(r#""t""#, r#""u""#));
    assert!(denied.contains("[POLICY DENIED]"), "{denied}");
    for answered_denied_unknown_or_unreadable in ["1", "2", "3", r#""1""#, "null", "{}"] {
        gate.send(cancel(answered_denied_unknown_or_unreadable));
    }
    gate.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#);
    gate.serves(4);
    assert_eq!(gate.received(), [call(1), call(4)]);
    gate.ends_quietly(0);
}

/// contract W4: a cancelled request gets no error when the server dies; the others do.
#[test]
fn a_cancelled_request_gets_no_error_answer() {
    let mut gate = Wrap::allow_all().serve(&json!([{ "recv": 3 }, { "exit": 3 }]));
    gate.send(call(1));
    gate.send(call(2));
    gate.send(cancel("1"));
    assert_eq!(gate.wait(), died_with(3, &[died(2, 3)]));
}

/// contract W1: a server's own cancellations pass.
#[test]
fn a_cancellation_from_the_server_is_relayed() {
    let gate = Wrap::allow_all().serve(&json!([{ "send": cancel("7") }, "echo"]));
    assert_eq!(gate.recv(), cancel("7"));
    gate.serves(1);
    gate.ends_quietly(0);
}

/// contract W4: a cancelled request gets no error when its answer cannot be read; a late answer may still pass.
#[test]
fn a_cancelled_request_gets_no_error_for_an_unreadable_answer() {
    let unreadable = r#"{"jsonrpc":"2.0","id":1,"result":{NaN}}"#;
    let steps = json!([{ "recv": 2 }, { "send": unreadable }, { "send": ok(1) }, "echo"]);
    let gate = Wrap::allow_all().option(["-q"]).serve(&steps);
    gate.send(call(1));
    gate.send(cancel("1"));
    assert_eq!(gate.recv(), ok(1));
    gate.serves(2);
    gate.ends_quietly(0);
}

/// contract W4: the late answer also passes, once, if it spells the id as a string.
#[test]
fn a_late_answer_may_spell_the_id_as_a_string() {
    let late = ok(r#""1""#);
    let gate = Wrap::allow_all()
        .serve(&json!([{ "recv": 2 }, { "send": late }, { "send": ok(1) }, "echo"]));
    gate.send(call(1));
    gate.send(cancel("1"));
    assert_eq!(gate.recv(), late);
    gate.serves(2);
    assert!(gate.error_line().contains("answered the id 1"));
    gate.ends_quietly(0);
}

/// contract W4: at most 16,384 cancelled ids wait for a late answer. These ids stay in use, so no late answer can pass
/// as the answer to a new call.
#[test]
fn a_cancellation_beyond_16_384_is_dropped() {
    const MOST: usize = 16_384;
    let gate = Wrap::allow_all().serve(&json!([
        { "recv": 2 * MOST + 1 }, { "send": ok(0) }, { "send": ok(MOST) }, "echo"
    ]));
    let burst = |of: fn(usize) -> String| (0..=MOST).map(|id| of(id) + "\n").collect::<String>();
    gate.send_raw(burst(call));
    gate.send_raw(burst(|id| cancel(&id.to_string())));
    assert_eq!(gate.recv(), ok(0), "the first is still known");
    assert_eq!(gate.recv(), ok(MOST), "the last is awaited as before");
    let taken = gate.ask(call(1));
    assert!(taken.contains("already in flight"), "{taken}");
    gate.serves("\"new\"");
    let received = gate.received();
    assert!(!received.contains(&cancel(&MOST.to_string())));
    assert!(received.contains(&cancel(&(MOST - 1).to_string())));
}
