//! `--lockstep`, for servers that cannot handle a whole session at once (contract W11).

use super::piped::{TIMES, is_answered};
use crate::harness::gate::{Gate, Wrap, call, ok, stopped};
use crate::harness::process::End;
use serde_json::{Value, json};

const ROOTS: &str = r#"{"jsonrpc":"2.0","id":"r","method":"roots/list"}"#;
const ROOTS_ANSWER: &str = r#"{"jsonrpc":"2.0","id":"r","result":{"roots":[]}}"#;

fn notification(number: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/{number}"}}"#)
}

fn lockstep(drain: &str, script: &Value) -> Gate {
    Wrap::allow_all().option(["--lockstep", "--drain", drain]).serve(script)
}

/// Sends these lines at once, followed by the end of input.
fn send_all(gate: &mut Gate, lines: &[String]) {
    gate.send(lines.join("\n"));
    gate.close_input();
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| line.clone() + "\n").collect()
}

/// The server never sees two requests in flight, nor the end of its input before its last answer.
#[test]
fn a_piped_session_is_answered_one_by_one() {
    is_answered(&["--lockstep"], 5_000, 1, &json!([{ "echo_alone": 0 }]));
    is_answered(&["--lockstep"], 20, TIMES, &json!([{ "echo_alone": 20 }]));
}

/// Without the option it does, so the checks here can fail.
#[test]
fn without_it_the_server_gets_all_at_once() {
    let mut gate = Wrap::allow_all().option(["-q"]).serve(&json!([{ "echo_alone": 5_000 }]));
    send_all(&mut gate, &[call(1), call(2)]);
    assert_eq!(gate.wait().code, Some(9));
}

/// A notification waits for no answer, and keeps its place before later requests.
#[test]
fn notifications_pass_at_once() {
    let (first, second) = (notification(1), notification(2));
    let script = json!([
        { "recv": 3 }, { "silence": 200 }, { "send": ok(1) }, { "recv": 1 }, { "send": ok(2) }
    ]);
    let mut gate = lockstep("30", &script);
    let sent = [call(1), first, second, call(2)];
    send_all(&mut gate, &sent);
    assert_eq!(gate.wait(), End { stdout: lines(&[ok(1), ok(2)]), ..End::quiet(0) });
    assert_eq!(gate.received(), sent);
}

/// A recorded answer to the server waits until the server has asked.
#[test]
fn an_answer_waits_for_its_question() {
    let script = json!([
        { "recv": 1 }, { "silence": 200 }, { "send": ROOTS }, { "recv": 1 }, { "silence": 200 },
        { "send": ok(1) }, "echo"
    ]);
    let mut gate = lockstep("30", &script);
    let sent = [call(1), ROOTS_ANSWER.to_owned(), call(2)];
    send_all(&mut gate, &sent);
    let stdout = lines(&[ROOTS.to_owned(), ok(1), ok(2)]);
    assert_eq!(gate.wait(), End { stdout, ..End::quiet(0) });
    assert_eq!(gate.received(), sent);
}

/// An answer of callgate's own counts as an answer.
#[test]
fn a_denial_is_an_answer() {
    let policy = r#"{"version":"1","default":"deny","tools":{"t":{}}}"#;
    let mut gate = Wrap::new(policy).option(["--lockstep"]).serve(&json!([{ "echo_alone": 20 }]));
    let denied = |id: u32| call(id).replace(r#""t""#, r#""u""#);
    send_all(&mut gate, &[denied(1), call(2), denied(3), call(4)]);
    let End { code, stdout, .. } = gate.wait();
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].clone();
    assert_eq!((code, stdout.lines().map(id).collect()), (Some(0), json!([1, 2, 3, 4])));
    assert_eq!(gate.received(), [call(2), call(4)]);
}

/// contract W4: no answer is awaited for a cancelled request or an open stream.
#[test]
fn no_wait_for_requests_that_are_never_answered() {
    let cancelled =
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let listen = r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    for first in [&[call(1), cancelled.to_owned()][..], &[listen.to_owned()]] {
        let mut gate = lockstep("30", &json!([{ "recv": first.len() }, "echo"]));
        send_all(&mut gate, &[first, &[call(2)]].concat());
        assert_eq!(gate.wait_for_stop(), End { stdout: ok(2) + "\n", ..End::quiet(0) });
    }
}

/// `--drain` bounds the wait for an answer that does not come; contract C2: the exit code shows it.
#[test]
fn the_wait_for_an_answer_is_bounded() {
    let script = json!([
        { "recv": 1 }, { "silence": 100 }, { "recv": 1 }, { "send": ok(2) }, "hold"
    ]);
    let mut gate = lockstep("0.5", &script);
    send_all(&mut gate, &[call(1), call(2)]);
    assert_eq!(gate.wait_for_stop(), End { stdout: lines(&[ok(2), stopped(1)]), ..End::quiet(2) });
    assert_eq!(gate.received(), [call(1), call(2)]);
}

/// The same for a request of the server that does not come.
#[test]
fn the_wait_for_a_question_is_bounded() {
    let mut gate = lockstep("0.5", &json!([{ "stderr": "ready" }, { "silence": 100 }, "echo"]));
    assert_eq!(gate.error_line(), "ready");
    let sent = [ROOTS_ANSWER.to_owned(), call(1)];
    send_all(&mut gate, &sent);
    assert_eq!(gate.wait_for_stop(), End { stdout: lines(&[ok(1)]), ..End::quiet(0) });
    assert_eq!(gate.received(), sent);
}

/// A live client notices nothing but the order.
#[test]
fn a_live_client_is_served() {
    let mut gate = lockstep("30", &json!([{ "echo_alone": 20 }]));
    gate.serves(1);
    for id in 2..5 {
        gate.send(call(id));
    }
    assert_eq!([2, 3, 4].map(|_| gate.recv()), [2, 3, 4].map(ok));
    assert_eq!(gate.end(), End::quiet(0));
}
