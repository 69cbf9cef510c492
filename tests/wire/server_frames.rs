//! The treatment of a server's lines, row by row (contract W6).

use crate::harness::gate::{Wrap, call, ok};
use crate::harness::rows::{self, Line};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Row {
    why: String,
    #[serde(flatten)]
    line: Line,
    expect: Expect,
    /// The line's text on stderr.
    #[serde(default)]
    shows: String,
}

/// The treatment of a server's line while the client's request 7 is in flight.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expect {
    /// The client receives the line unchanged.
    Relay,
    /// The client receives the line unchanged, and it answers request 7.
    Answer,
    /// The line goes to stderr.
    Noise,
    /// The line goes to stderr, and request 7 is answered with an error.
    Error,
    /// The line is dropped.
    Drop,
}

/// contract W6: each row is relayed, shown or answered as written, and request 7 is answered exactly
/// once (W4).
#[test]
fn every_line_from_the_server_is_relayed_shown_or_answered() {
    let mut complaints = Vec::new();
    for group in rows::read::<Row>("server.json", 85) {
        for row in &group.rows {
            if let Err(complaint) = judge(row) {
                complaints.push(format!("{}: {}: {complaint}", group.rule, row.why));
            }
        }
    }
    rows::report(&complaints);
}

/// contract W6: callgate never waits for stderr, whether its reader is idle or gone.
#[test]
fn noise_does_not_wait_for_stderr() {
    let noise =
        json!({ "send_repeat": { "text": "a server that talks too much\n", "times": 20_000 } });
    for is_held in [true, false] {
        let (reader, writer) = std::io::pipe().unwrap();
        let reader = is_held.then_some(reader);
        let gate = Wrap::allow_all().stderr(writer).serve(&json!([noise, "echo"]));
        gate.serves(1);
        gate.ends_quietly(0);
        drop(reader);
    }
}

const UNREADABLE: &str = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"server sent an unreadable answer"}}"#;

/// A server that sends the row's line when it receives request 7, then a good answer to 7, and then serves.
fn judge(row: &Row) -> Result<(), String> {
    let line = row.line.bytes();
    let good = r#"{"jsonrpc":"2.0","id":7,"result":{"good":true}}"#;
    let raw: String = line.iter().map(|byte| char::from(*byte)).chain(['\n']).collect();
    let mut gate = Wrap::allow_all()
        .serve(&json!([{ "recv": 1 }, { "send_bytes": raw }, { "send": good }, "echo"]));
    gate.send(r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#);

    let relayed = String::from_utf8_lossy(&line).into_owned();
    let expected: &[&str] = match row.expect {
        Expect::Relay => &[&relayed, good],
        Expect::Answer => &[&relayed],
        Expect::Noise | Expect::Drop => &[good],
        Expect::Error => &[UNREADABLE],
    };
    gate.send(call(8));
    for expected in expected.iter().copied().chain([ok(8).as_str()]) {
        let got = gate.try_recv()?;
        if got != expected {
            return Err(format!("the client got {got:.300}"));
        }
    }
    let end = gate.end();
    if end.code != Some(0) || !end.stdout.is_empty() {
        return Err(format!("it ended with {end:?}"));
    }
    // If the line has settled the request, the good answer comes too late; callgate reports the first such answer.
    let told = |line: &&str| !line.starts_with("callgate: the server answered the id ");
    let shown: String = end.stderr.split_inclusive('\n').filter(told).collect();
    check_shown(row, &relayed, &shown)
}

/// Noise becomes one marked line on stderr: its first 1 KiB, without control characters.
fn check_shown(row: &Row, line: &str, stderr: &str) -> Result<(), String> {
    let noisy = matches!(row.expect, Expect::Noise | Expect::Error);
    if !noisy {
        return if stderr.is_empty() { Ok(()) } else { Err(format!("stderr: {stderr}")) };
    }
    let shown = stderr.strip_suffix('\n').unwrap_or(stderr);
    let safe = !shown.contains(char::is_control);
    let marked = shown.starts_with("callgate: ") && !shown.starts_with(line);
    let short = shown.len() < 1500;
    if safe && marked && short && shown.contains(&row.shows) {
        Ok(())
    } else {
        Err(format!("stderr: {stderr:?}"))
    }
}
