//! Memory stays bounded whatever either side does (contract W8, W6), and a side that does not read stops only the
//! other.

mod huge;
mod line_memory;
mod line_shapes;
mod pressure;

use crate::harness::gate::{Gate, RESULT, Wrap, call, temp_dir};
use crate::harness::streams::Streams;
use rustix::process::Signal;
use serde_json::json;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::process::Command;

const MIB: u64 = 1024 * 1024;

/// The memory of a session after a few calls. In a debug build, the program alone, which is mapped from its file, takes
/// three times as much.
const SMALL: u64 = if cfg!(debug_assertions) { 24 * MIB } else { 8 * MIB };

/// Memory allowed beyond that, in any case, besides one frame.
const GROWTH: u64 = 2 * MIB;

const NOTIFICATION: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"level":"info"}}"#;
const DROPPED: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":9}}"#;
const UNANSWERABLE: &str = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"t"}}"#;

/// Allows the tool `t` and nothing else.
fn wrap() -> Wrap {
    Wrap::new(r#"{"version":"1","default":"deny","tools":{"t":{}}}"#)
}

/// A session whose client does not read as long as the second value lives.
fn unread<const N: usize>(server: [&str; N]) -> (Gate, impl Sized) {
    let (streams, unread) = Streams::pipes().unread();
    (wrap().on(streams).run(server), unread)
}

fn denied(id: impl Display) -> String {
    call(id).replace(r#""t""#, r#""other""#)
}

/// A few calls, a denial, a refusal, a line that goes nowhere, and a line of noise from the server.
fn warm_up(gate: &Gate) {
    for id in 0..5 {
        gate.serves(id);
        assert!(gate.ask(denied(id)).contains("[POLICY DENIED]"));
        assert!(gate.ask("[]").contains("-32600"));
        gate.send(DROPPED);
    }
}

/// The peak memory of a session after a few calls, on this machine.
pub(crate) fn small() -> u64 {
    let gate = wrap().serve(&json!([{ "send": "noise" }, "echo"]));
    warm_up(&gate);
    gate.peak_memory()
}

/// Checks that a session never held more than a small one plus `frame` bytes of a frame.
fn is_bounded(gate: &Gate, frame: u64, why: &str) {
    let growth = gate.peak_memory().saturating_sub(small());
    assert!(growth <= GROWTH + frame, "{why}: {} KiB more than a small session", growth / 1024);
}

/// contract W8: a session that has had a few calls is small.
#[test]
fn a_session_is_small() {
    assert!(small() <= SMALL, "{} KiB", small() / 1024);
}

/// contract W8: callgate stops reading from a client that does not read, so its answers do not pile up.
#[test]
fn answers_that_nobody_reads_do_not_pile_up() {
    let refused = "[]".to_owned();
    for (why, line) in [("denied", denied(1)), ("refused", refused)] {
        let (gate, _unread) = unread(["cat"]);
        assert!(!gate.flood(format!("{line}\n").repeat(200_000)), "{why}: all calls were taken");
        is_bounded(&gate, 0, why);
    }
}

/// contract W8: nor do they for a client that reads slowly. It gets everything, in order.
#[test]
fn answers_that_are_read_slowly_do_not_pile_up() {
    // Long ids make long answers, which take less time to make than to read.
    let ids = (0..3000).map(|id| format!(r#""{id:03800}""#));
    let (streams, read_on) = Streams::pipes().unread();
    let gate = wrap().on(streams).serve(&json!(["echo"]));
    let calls: String = ids.clone().map(|id| denied(id) + "\n").collect();
    assert!(!gate.flood(calls), "all calls were taken");
    read_on.send(16).unwrap();
    for id in ids {
        assert!(gate.recv().contains(&id), "the answer to {id} comes next");
    }
    gate.serves(1);
    is_bounded(&gate, 0, "a slow client");
    gate.ends_quietly(0);
}

/// contract W8: lines that go nowhere are read even if neither side reads, and use no memory.
#[test]
fn lines_that_go_nowhere_do_not_pile_up() {
    for line in ["", " ", DROPPED, UNANSWERABLE] {
        let (gate, _unread) = unread(["sleep", "100"]);
        assert!(gate.takes(format!("{line}\n").repeat(2_000_000 / (line.len() + 1))), "{line}");
        is_bounded(&gate, 0, line);
    }
}

/// contract W8: a server that does not read stops the client; its own messages still pass, and signals still work.
#[test]
fn a_deaf_server_stops_the_client_only() {
    let dir = temp_dir();
    let words = dir.path().join("words");
    assert!(Command::new("mkfifo").arg(&words).status().unwrap().success());
    let mut gate = wrap().run(["cat".as_ref(), words.as_os_str()]);
    let mut server = OpenOptions::new().write(true).open(&words).unwrap();
    for id in 0..3 {
        assert!(
            !gate.flood(format!("{NOTIFICATION}\n").repeat(100_000)),
            "a deaf server is sent everything"
        );
        let word = NOTIFICATION.replace("info", &format!("{id}"));
        writeln!(server, "{word}").unwrap();
        assert_eq!(gate.recv(), word);
    }
    is_bounded(&gate, 0, "a deaf server");
    gate.signal(Signal::TERM);
    assert_eq!(gate.wait().code, Some(128 + 15));
}

/// contract W8: a client that does not read stops the server; its own messages still pass.
#[test]
fn a_deaf_client_stops_the_server_only() {
    let chatter = format!("yes '{NOTIFICATION}' & exec cat >/dev/null");
    let (gate, _unread) = unread(["sh", "-c", &chatter]);
    for _ in 0..3 {
        assert!(
            gate.takes(format!("{NOTIFICATION}\n").repeat(20_000)),
            "the server reads, and is sent nothing"
        );
    }
    is_bounded(&gate, 0, "a deaf client");
}

/// contract W8: if neither side reads, both are stopped.
#[test]
fn if_neither_side_reads_both_are_stopped() {
    let (gate, _unread) = unread(["yes", NOTIFICATION]);
    assert!(!gate.flood(format!("{NOTIFICATION}\n").repeat(200_000)));
    is_bounded(&gate, 0, "two deaf sides");
}

/// contract W6: noise that stderr does not accept is dropped and counted.
#[test]
fn noise_that_nobody_reads_is_dropped_and_counted() {
    let noise = 50_000;
    let (mut reader, writer) = std::io::pipe().unwrap();
    let gate = wrap().stderr(writer).serve(&json!([
        { "recv": 1 },
        { "send_repeat": { "text": "noise\n", "times": noise } },
        { "answer": RESULT },
        { "recv": 1 },
        { "send": "more" },
        { "answer": RESULT }
    ]));
    gate.serves(1);
    is_bounded(&gate, 0, "noise");
    rustix::io::ioctl_fionbio(&reader, true).unwrap();
    let mut shown = Vec::new();
    assert!(reader.read_to_end(&mut shown).is_err(), "stderr is still open");
    gate.serves(2);
    gate.ends_quietly(0);
    let shown = String::from_utf8(shown).unwrap();
    // A report may fit into the last room, where a line of noise does not.
    let told = |line: &str| {
        let count = line.strip_prefix("callgate: ")?.strip_suffix(" lines dropped here")?;
        count.parse::<usize>().ok()
    };
    let reported: usize = shown.lines().filter_map(told).sum();
    let is_noise = |line: &&str| *line == "callgate: server wrote (not a JSON object): noise";
    let shown = shown.lines().filter(is_noise).count();
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    let dropped = noise - shown - reported;
    assert_eq!(
        rest,
        format!(
            "callgate: {dropped} lines dropped here\ncallgate: server wrote (not a JSON object): more\n"
        )
    );
}

/// contract W8: a large frame is held once, and only as long as necessary.
#[test]
fn a_large_frame_is_held_once_and_released() {
    let length = 60 * MIB;
    let text = "0123456789abcdef";
    let gate = wrap().serve(&json!([
        { "send_bytes": r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"x":""# },
        { "send_repeat": { "text": text, "times": length / 16 } },
        { "send": r#""}}"# },
        "echo"
    ]));
    assert!(gate.recv().len() as u64 > length);
    gate.serves(1);
    is_let_go(&gate);
    let large = text.repeat(usize::try_from(length / 16).unwrap());
    gate.send(NOTIFICATION.replace("info", &large));
    gate.serves(2);
    gate.serves(3);
    is_let_go(&gate);
    is_bounded(&gate, length, "large frames");
    gate.ends_quietly(0);
}

fn is_let_go(gate: &Gate) {
    let growth = gate.memory().saturating_sub(small());
    assert!(growth <= GROWTH, "{} KiB are kept", growth / 1024);
}
