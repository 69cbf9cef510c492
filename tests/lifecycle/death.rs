//! A server that dies (contract W4, C2).

use crate::harness::gate::{Gate, Wrap, call, ok};
use crate::harness::process::End;
use crate::wire::ids::{died, died_with};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Two calls in flight, after which the server plays the rest of its script.
fn two_calls(last_steps: &[Value]) -> Gate {
    let script = std::iter::once(json!({ "recv": 3 })).chain(last_steps.iter().cloned()).collect();
    let gate = Wrap::allow_all().serve(&script);
    gate.send(call(1));
    gate.send(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#);
    gate.send(call(2));
    gate
}

/// The end of a session whose calls 1 and 2 were in flight.
fn both_died(status: i32) -> End {
    died_with(status, &[died(1, status), died(2, status)])
}

/// contract W4, C2: every request in flight is answered once, then callgate exits with the server's status.
#[test]
fn an_exit_is_passed_on() {
    for status in [0, 1, 3, 255] {
        assert_eq!(two_calls(&[json!({ "exit": status })]).wait(), both_died(status));
    }
}

/// contract C2: 128+N when a signal N ended the server.
#[test]
fn a_signal_is_passed_on() {
    for signal in [9, 15] {
        assert_eq!(two_calls(&[json!({ "signal": signal })]).wait(), both_died(128 + signal));
    }
}

/// contract W4: the end of stdout counts as the server's death, even if it lives on.
#[test]
fn the_end_of_stdout_is_the_end() {
    let steps = [json!("close_stdout"), json!("hold"), json!({ "exit": 5 })];
    assert_eq!(two_calls(&steps).wait(), both_died(5));
}

/// contract W4: so does its exit, even if a child of the server holds its stdout.
#[test]
fn the_exit_is_the_end_even_if_stdout_is_held() {
    // The child lives until callgate closes the pipe it reads.
    let server = "exec 3<&0; read line; cat <&3 2>/dev/null & exit 4";
    let mut gate = Wrap::allow_all().run(["sh", "-c", server]);
    gate.send(call(1));
    assert_eq!(gate.wait(), died_with(4, &[died(1, 4)]));
}

/// contract W4: what the server wrote before it died is relayed first, and only once.
#[test]
fn last_words_are_relayed() {
    let steps = [json!({ "send": ok(2) }), json!({ "exit": 3 })];
    assert_eq!(two_calls(&steps).wait(), died_with(3, &[ok(2), died(1, 3)]));
}

/// contract W4, W6: an answer cut short by the server's death counts as one unreadable answer.
#[test]
fn an_answer_cut_short_is_an_unreadable_answer() {
    let half = r#"{"jsonrpc":"2.0","id":2,"result":{"content":["#;
    let end = two_calls(&[json!({ "send_bytes": half }), json!({ "exit": 3 })]).wait();
    let unreadable = r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"server sent an unreadable answer"}}"#;
    assert_eq!((end.code, end.stdout), (Some(3), format!("{unreadable}\n{}\n", died(1, 3))));
    assert!(end.stderr.contains(half), "{}", end.stderr);
}

/// contract W4, C2: a server that ends with nothing in flight ends the session quietly.
#[test]
fn a_death_with_nothing_in_flight_is_quiet() {
    for status in [0, 7] {
        let mut gate = Wrap::allow_all().serve(&json!([{ "exit": status }]));
        assert_eq!(gate.wait(), End::quiet(status));
    }
}

/// contract W4: an open `subscriptions/listen` gets no error answer, since no client waits for one.
#[test]
fn an_open_stream_gets_no_error_answer() {
    let listen = r#"{"jsonrpc":"2.0","id":9,"method":"subscriptions/listen","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let mut gate = Wrap::allow_all().serve(&json!([{ "recv": 2 }, { "exit": 3 }]));
    gate.send(listen);
    gate.send(call(1));
    assert_eq!(gate.wait(), died_with(3, &[died(1, 3)]));
}

/// contract P12: calls of which the server got no byte, because its stdin was closed, are refunded.
#[test]
fn calls_that_never_went_out_cost_nothing() {
    let policy = json!({ "version": "1", "default": "allow", "tools": {
        "t": { "limits": [ { "counter": "t", "window": "session", "max": 3 } ] }
    } });
    let server = "read line; exec <&-; echo deaf >&2; exec tail -f /dev/null";
    let mut gate = Wrap::new(policy).run(["sh", "-c", server]);
    gate.send(call(1));
    assert_eq!(gate.error_line(), "deaf");
    // Three calls in one write are decided before any of them is sent.
    gate.send_raw([call(2), call(3), call(4), String::new()].join("\n"));
    assert!(gate.recv().contains("Limit reached: 3 per session (t)."), "call 4 is over the limit");
    gate.send(call(5));
    gate.send(r#"{"jsonrpc":"2.0","id":6}"#);
    assert!(gate.recv().contains("-32600"), "call 5 is decided, and not denied");
    gate.signal(Signal::TERM);
    let stopped = [1, 2, 3, 5].map(|id| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32000,"message":"callgate stopped"}}}}"#) + "\n"
    });
    assert_eq!(gate.wait(), End { stdout: stopped.concat(), ..End::quiet(128 + 15) });
}

/// contract W9: a server that ignores everything ends when callgate is killed.
#[cfg(target_os = "linux")]
#[test]
fn a_killed_callgate_takes_the_server_with_it() {
    let mut gate = Wrap::allow_all().run(["sh", "-c", "echo ready >&2; exec tail -f /dev/null"]);
    assert_eq!(gate.error_line(), "ready");
    gate.signal(Signal::KILL);
    // stderr ends when every process that holds it has ended, including the server.
    assert_eq!(gate.wait(), End { code: None, stdout: String::new(), stderr: String::new() });
}

/// Starts servers written in shell at the same time, and lets each of them read a call.
fn asked<const N: usize>(servers: &[String; N]) -> [Gate; N] {
    servers.each_ref().map(|server| {
        let gate = Wrap::allow_all().run(["sh", "-c", server]);
        gate.send(call(1));
        gate
    })
}

/// contract W4: a server that has closed its stdout is stopped, even if it ignores everything else.
#[test]
fn a_deaf_server_without_stdout_is_stopped() {
    let servers = ["", "trap '' TERM;"].map(|deaf| format!("{deaf} read line; exec sleep 30 >&-"));
    for (mut gate, signal) in asked(&servers).into_iter().zip([15, 9]) {
        let status = 128 + signal;
        assert_eq!(gate.wait_for_stop(), died_with(status, &[died(1, status)]));
    }
}

/// contract W9: callgate stops every process that a dying launcher leaves, whatever it holds or ignores.
#[test]
fn no_process_of_a_dead_server_is_left() {
    let behind = [
        ("HUP", ""),
        ("HUP", "</dev/null >/dev/null"),
        ("TERM", ""),
        ("TERM", "</dev/null >/dev/null"),
    ];
    let servers = behind.map(|(deaf_to, redirections)| {
        format!("read line; trap '' {deaf_to}; sleep 30 {redirections} & trap - {deaf_to}; exit 4")
    });
    for (mut gate, server) in asked(&servers).into_iter().zip(&servers) {
        assert_eq!(gate.wait_for_stop(), died_with(4, &[died(1, 4)]), "{server}");
    }
}
