//! Sides that do not read, and pipes that are exactly full.

use crate::harness::gate::{Wrap, call, ok};
use crate::harness::process::End;
use rustix::process::Signal;
use serde_json::json;

/// A notification of exactly `bytes` bytes with its LF.
fn notification(bytes: usize) -> String {
    let around = r#"{"jsonrpc":"2.0","method":"notifications/x","params":""}"#.len() + 1;
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/x","params":"{}"}}"#,
        "x".repeat(bytes - around)
    )
}

/// A read that fills its buffer exactly is not the last one.
#[test]
fn lines_that_fill_a_pipe_or_a_buffer_exactly_pass() {
    for bytes in [4096, 32 * 1024, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 128 * 1024] {
        let line = notification(bytes);
        let gate = Wrap::allow_all().serve(&json!([{ "recv": 1 }, { "send": line }, "echo"]));
        gate.send(&line);
        assert_eq!(gate.recv(), line, "{bytes}");
        gate.serves(1);
        gate.ends_quietly(0);
    }
}

/// A server that writes before it reads does not deadlock with a client that does the same.
#[test]
fn both_sides_may_write_before_they_read() {
    let line = notification(60_000);
    let script: Vec<_> = (0..20).map(|_| json!({ "send": line })).chain([json!("echo")]).collect();
    let gate = Wrap::allow_all().serve(&script.into());
    for _ in 0..20 {
        gate.send(&line);
    }
    for _ in 0..20 {
        assert_eq!(gate.recv(), line);
    }
    gate.serves(1);
    assert_eq!(gate.received().len(), 21);
    gate.ends_quietly(0);
}

/// contract W9: a server that does not read delays no signal.
#[test]
fn a_deaf_server_holds_up_no_signal() {
    let mut gate = Wrap::allow_all().run(["sh", "-c", "echo ready >&2; exec tail -f /dev/null"]);
    assert_eq!(gate.error_line(), "ready");
    for _ in 0..10 {
        gate.send(notification(100_000));
    }
    gate.signal(Signal::TERM);
    assert_eq!(gate.wait(), End::quiet(128 + 15));
}

/// A client that writes everything before it reads gets all answers.
#[test]
fn a_client_may_read_late() {
    let gate = Wrap::allow_all().serve(&json!(["echo"]));
    for id in 0..5_000 {
        gate.send(call(id));
    }
    for id in 0..5_000 {
        assert_eq!(gate.recv(), ok(id));
    }
    gate.ends_quietly(0);
}
