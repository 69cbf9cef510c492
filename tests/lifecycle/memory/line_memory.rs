//! The cost of a line (contract W8), in both directions: peak memory of at most four times its length and, in a release
//! build, at most half a second.
//!
//! ```sh
//! CALLGATE_TEST_LINE_MIB=60 cargo test --release --test main line_memory -- --test-threads=1 --nocapture
//! ```
//!
//! The variable sets the length of the lines, and shows the figures of each.

use super::line_shapes::{CLIENT, SERVER, Shape};
use super::small;
use crate::harness::gate::{Gate, Wrap, call};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::time::Duration;

const MIB: usize = 1024 * 1024;
/// The length of a line, in bytes. The factors are the same for 60 MiB.
fn length() -> usize {
    asked_for().unwrap_or(if cfg!(debug_assertions) { 1 } else { 16 }) * MIB
}

/// The requested length, in MiB.
fn asked_for() -> Option<usize> {
    std::env::var("CALLGATE_TEST_LINE_MIB").ok().map(|length| length.parse().unwrap())
}

/// The resources that a gate had used before it got a line.
struct Before {
    memory: u64,
    time: Duration,
}

impl Before {
    fn of(gate: &Gate, memory: u64) -> Self {
        Before { memory, time: gate.cpu_time() }
    }

    /// Checks the cost of a line of `length` bytes since then. `at_once` is false for one that is answered piece by
    /// piece, so that everything else continues.
    fn check(&self, gate: &Gate, length: usize, at_once: bool, why: &str) -> Result<(), String> {
        /// 0.5 s for the longest line by default, plus the fixed time of every run.
        const NANOS_A_BYTE: u128 = 8;
        const LEAST: Duration = Duration::from_millis(50);
        let growth = gate.peak_memory().saturating_sub(self.memory);
        let time = gate.cpu_time().saturating_sub(self.time);
        let tenths = growth * 10 / length as u64;
        let figures = format!("{why}: {}.{} times its length, {time:?}", tenths / 10, tenths % 10);
        if asked_for().is_some() {
            let _ = writeln!(std::io::stderr(), "{figures}");
        }
        let is_short = time.as_nanos() <= NANOS_A_BYTE * length as u128 + LEAST.as_nanos();
        let is_fast = cfg!(debug_assertions) || !at_once || is_short;
        if growth <= 4 * length as u64 && is_fast { Ok(()) } else { Err(figures) }
    }
}

fn wrap() -> Wrap {
    Wrap::new(json!({
        "version": "1", "default": "allow", "hide": ["h"], "hide_denied": true,
        "methods": { "elicitation/*": "deny" },
        "tools": { "t": { "deny_if": [ { "conditions": [ { "path": "args.amount", "op": "gt", "value": 1 } ] } ] } }
    }))
    .option(["-q"])
}

fn report(complaints: &[String]) {
    assert!(
        complaints.is_empty(),
        "{} lines cost more:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

/// contract W8
#[test]
fn a_line_of_the_client_costs_four_times_its_length_at_most() {
    let small = small();
    let judge = |shape: &Shape| {
        let line = shape.line(length());
        let gate = wrap().serve(&json!(["echo"]));
        let before = Before::of(&gate, small);
        gate.send(&line);
        gate.send(call(2));
        // Whatever the answer, the session continues.
        while !gate.try_recv()?.contains(r#""id":2,"#) {}
        before.check(&gate, line.len(), !line.starts_with('['), shape.why)
    };
    report(&CLIENT.iter().filter_map(|shape| judge(shape).err()).collect::<Vec<_>>());
}

/// contract W8
#[test]
fn a_line_of_the_server_costs_four_times_its_length_at_most() {
    let small = small();
    let modern = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let judge = |shape: &Shape| {
        let line = shape.line(length());
        let gate = from_file(&line);
        let before = Before::of(&gate, small);
        gate.send(modern);
        gate.send(call(2));
        while !gate.try_recv()?.contains(r#""id":2,"#) {}
        before.check(&gate, line.len(), true, shape.why)
    };
    report(&SERVER.iter().filter_map(|shape| judge(shape).err()).collect::<Vec<_>>());
}

/// A gate for a server that answers the first request with this line, and the second normally.
fn from_file(line: &str) -> Gate {
    let wrap = wrap();
    let (file, last) = (wrap.dir().join("line"), wrap.dir().join("last"));
    fs::write(&file, line.to_owned() + "\n").unwrap();
    fs::write(&last, crate::harness::gate::ok(2) + "\n").unwrap();
    let script = format!(
        "read a; cat {}; read b; cat {}; while read c; do :; done",
        file.display(),
        last.display()
    );
    wrap.run(["sh", "-c", &script])
}

/// contract W8: the cost of recording a line is bounded too.
#[test]
fn a_recorded_line_costs_no_more() {
    let small = small();
    let judge = |why: &str, again: &str| {
        let line = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":"{}"}}"#,
            again.repeat(length() / again.len())
        );
        let wrap = wrap();
        let recording = wrap.dir().join("recording.jsonl");
        let gate =
            wrap.option(["--record".as_ref(), recording.as_os_str()]).serve(&json!(["echo"]));
        let before = Before::of(&gate, small);
        gate.send_raw([line.as_bytes(), b"\n"].concat());
        gate.send(call(2));
        while !gate.try_recv()?.contains(r#""id":2,"#) {}
        let recorded: Value =
            serde_json::from_str(fs::read_to_string(recording).unwrap().lines().next().unwrap())
                .unwrap();
        assert_eq!(recorded["text"], line);
        before.check(&gate, line.len(), false, why)
    };
    let shapes = [("control characters", "\u{1}"), ("quotes", r#"\""#), ("letters", "é")];
    report(&shapes.iter().filter_map(|(why, again)| judge(why, again).err()).collect::<Vec<_>>());
}
