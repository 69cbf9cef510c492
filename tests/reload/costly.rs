//! Calls and policies that take much work, through the binary: nothing else waits for them (contract 3.5, W7).

#[cfg(debug_assertions)]
use crate::harness::gate::stopped;
use crate::harness::gate::{Gate, Wrap, call, ok, temp_dir};
#[cfg(debug_assertions)]
use crate::harness::process::End;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// Bytes of the call. A debug build takes twenty times as long.
const BYTES: usize = if cfg!(debug_assertions) { 4 << 20 } else { 60 << 20 };

/// Time allowed for a call of that size, including reading it.
const BOUND: Duration = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 2 });

/// Thirty conditions that each visit all elements. A debug build would take far too long, so there a pattern is already
/// rejected as too costly before the search.
fn thirty() -> Value {
    if cfg!(debug_assertions) {
        let condition = json!({ "path": "args.x", "op": "regex", "value": "[01]*1[01]{40}2" });
        return json!({
            "version": "1",
            "default": "allow",
            "all_tools": { "deny_if": [{ "conditions": [condition] }] },
        });
    }
    let condition = |nth| json!({ "path": format!("args.x[*].k{nth}"), "op": "eq", "value": 1 });
    let clauses: Vec<Value> =
        (0..30).map(|nth| json!({ "conditions": [condition(nth)] })).collect();
    json!({ "version": "1", "default": "allow", "all_tools": { "deny_if": clauses } })
}

/// A call that takes more work than allowed.
fn costly(id: u32) -> String {
    let x = if cfg!(debug_assertions) {
        format!("\"{}\"", "0".repeat(BYTES))
    } else {
        format!("[{}]", vec![r#"{"a":1}"#; BYTES / 8].join(","))
    };
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t","arguments":{{"x":{x}}}}}}}"#
    )
}

fn is_too_costly(answer: &str) -> bool {
    answer.contains(r#""rule":"(too costly)""#) && answer.contains("too much work")
}

/// contract 3.5: a costly call is denied in bounded time, and the next one goes out.
#[test]
fn a_costly_call_is_denied_and_the_next_one_goes_out() {
    let gate = Wrap::new(thirty()).serve(&json!(["echo"]));
    let before = gate.cpu_time();
    let answer = gate.ask(costly(1));
    assert!(is_too_costly(&answer), "{answer:.300}");
    let time = gate.cpu_time().checked_sub(before).unwrap();
    assert!(time < BOUND, "{time:?}");
    gate.serves(2);
    assert_eq!(gate.received(), [call(2)]);
}

/// contract 3.5, W9: signals are handled between costly calls, however many there are.
#[test]
fn a_signal_is_handled_between_costly_calls() {
    let mut gate = Wrap::new(thirty()).serve(&json!(["echo"]));
    gate.serves(1);
    for id in 2..6 {
        gate.send(costly(id));
    }
    let answer = gate.recv();
    assert!(is_too_costly(&answer), "{answer:.300}");
    gate.signal(Signal::TERM);
    let sent = Instant::now();
    let end = gate.wait();
    assert!(sent.elapsed() < BOUND + Duration::from_secs(2), "{:?} {end:?}", sent.elapsed());
}

/// A line of many small members, which takes long to read.
#[cfg(debug_assertions)]
fn members(begin: &str, end: &str) -> String {
    let members: Vec<String> = (0..BYTES / 12).map(|nth| format!("\"{nth}\":0")).collect();
    format!("{begin}{}{end}", members.join(","))
}

/// Signals once the gate has been working for a while, and waits for its end.
#[cfg(debug_assertions)]
fn stop_at_work(gate: &mut Gate, before: Duration) -> End {
    while gate.cpu_time().saturating_sub(before) < Duration::from_millis(250) {
        std::thread::yield_now();
    }
    gate.signal(Signal::TERM);
    gate.wait()
}

#[cfg(debug_assertions)]
const TOLD_TO_STOP: &str = "callgate is told to stop";

/// contract W8, W9: reading a long line delays no signal, whoever sent the line. A release build reads any line before
/// a signal can be sent: there, `line_memory` bounds the time.
#[cfg(debug_assertions)]
#[test]
fn a_signal_ends_the_reading_of_a_long_line() {
    let begin =
        r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","arguments":{"#;
    let line = members(begin, "}}}");
    let mut gate = Wrap::allow_all().serve(&json!(["echo"]));
    gate.serves(1);
    let before = gate.cpu_time();
    gate.send(line);
    let end = stop_at_work(&mut gate, before);
    assert!(end.stdout.contains(TOLD_TO_STOP) && end.code == Some(143), "{end:.300?}");

    let wrap = Wrap::allow_all();
    let file = wrap.dir().join("line");
    fs::write(&file, members(r#"{"jsonrpc":"2.0","id":1,"result":{"#, "}}\n")).unwrap();
    let script = format!("read a; cat {}; while read b; do :; done", file.display());
    let mut gate = wrap.run(["sh", "-c", &script]);
    let before = gate.cpu_time();
    gate.send(call(1));
    let end = stop_at_work(&mut gate, before);
    assert_eq!(end.stdout, format!("{}\n", stopped(1)));
    assert!(end.stderr.contains(TOLD_TO_STOP) && end.code == Some(143), "{end:.300?}");
}

/// A policy whose tests take long, but not too long to be accepted.
fn slow() -> Value {
    json!({
        "version": "1",
        "default": "allow",
        "hide": ["slow"],
        "all_tools": { "deny_if": [{ "conditions": [{ "path": "args.x[*].k", "op": "eq", "value": 1 }] }] },
        "tests": [{
            "name": "n",
            "tool": "t",
            "arguments": { "x": vec![json!({ "a": 1 }); 2000] },
            "times": 10_000,
            "expect": "allow",
        }],
    })
}

fn denies(gate: &Gate, id: u32) -> bool {
    let answer = gate.ask(call(id));
    assert!(answer == ok(id) || answer.contains("not permitted"), "{answer}");
    answer != ok(id)
}

/// contract W7: calls continue under the policy in force while another compiles; a newer version ends that.
#[test]
fn a_policy_that_compiles_slowly_delays_nothing() {
    let dir = temp_dir();
    let file = dir.path().join("policy.json");
    fs::write(&file, r#"{"version":"1","default":"allow"}"#).unwrap();
    let gate = Wrap::behind(dir, "policy.json").serve(&json!(["echo"]));
    gate.serves(1);
    fs::write(&file, slow().to_string()).unwrap();
    let mut ids = 2..;
    // A release build may finish it within a second.
    if cfg!(debug_assertions) {
        let told = loop {
            assert!(!denies(&gate, ids.next().unwrap()));
            if let Some(told) = gate.error_line_within(Duration::from_millis(20)) {
                break told;
            }
        };
        assert!(told.contains("takes over 1 s to compile; calls go on"), "{told}");
        assert!(!denies(&gate, ids.next().unwrap()), "the old policy is in force");
    }
    fs::write(&file, r#"{"version":"1","default":"deny"}"#).unwrap();
    let written = Instant::now();
    while !denies(&gate, ids.next().unwrap()) {
        assert!(written.elapsed() < Duration::from_secs(20), "the newer policy waits");
    }
}
