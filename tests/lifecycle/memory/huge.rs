//! Frames large or deep enough to harm a careless reader (contract W3, C4).

use super::small;
use crate::harness::gate::{Gate, Wrap, call, ok};
use serde_json::json;
use std::time::Duration;

const MIB: usize = 1024 * 1024;

/// Time allowed for a frame of a few MiB: a second, and more in a debug build.
const PROMPTLY: Duration = Duration::from_secs(if cfg!(debug_assertions) { 4 } else { 1 });

fn gate() -> Gate {
    Wrap::allow_all().serve(&json!(["echo"]))
}

/// Checks that a frame is refused as too long, without its id, that nothing of it reached the server, and that the
/// session continues.
fn is_too_long(gate: &Gate, answer: &str) {
    let refusal = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"#;
    assert!(answer.starts_with(refusal), "{answer:.300}");
    gate.serves(2);
    assert_eq!(gate.received(), [call(2)]);
}

/// contract W3: nesting of 100,000 is refused.
#[test]
fn nesting_of_100_000_is_refused() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let gate = gate();
        let frame = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{{"x":{deep}}}}}}}"#
        );
        let refusal = gate.ask(frame);
        assert!(refusal.contains(r#""id":1,"error":{"code":-32600"#), "{refusal}");
        gate.serves(2);
        assert_eq!(gate.received(), [call(2)]);
        gate.ends_quietly(0);
    }
}

/// contract W3: 200,000 keys are legal, and a duplicate among them is refused. Both are fast: comparing each key with
/// all others would take minutes.
#[test]
fn a_duplicate_among_200_000_keys_is_found_at_once() {
    let keys: Vec<String> = (0..200_000).map(|n| format!("\"key {n}\":{n}")).collect();
    let arguments = |members: &[String]| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{{{}}}}}}}"#,
            members.join(",")
        )
    };
    let distinct = arguments(&keys);
    let twice = arguments(&[keys.as_slice(), &["\"key 1\":0".to_owned()]].concat());
    let gate = gate();
    assert_eq!(gate.ask(&distinct), ok(1));
    let refusal = gate.ask(&twice);
    assert!(refusal.contains(r#""id":1,"error":{"code":-32600"#), "{refusal}");
    gate.serves(2);
    assert!(gate.received() == [distinct, call(2)], "what is legal arrives as it was");
    #[cfg(target_os = "linux")]
    assert!(gate.cpu_time() < PROMPTLY, "it took {:?}", gate.cpu_time());
    gate.ends_quietly(0);
}

/// contract W3: a tool name of 64 MiB makes a frame over the default `--max-frame`.
#[test]
fn a_name_of_64_mib_is_refused() {
    let gate = gate();
    let answer = gate.ask(call(1).replace(r#""t""#, &format!("\"{}\"", "n".repeat(64 * MIB))));
    is_too_long(&gate, &answer);
    gate.ends_quietly(0);
}

/// contract W3: a frame over `--max-frame` is skipped to its LF without being buffered.
#[test]
fn bytes_without_a_newline_are_skipped() {
    let gate = gate();
    let chunk = vec![b'x'; MIB];
    for _ in 0..128 {
        gate.send_raw(chunk.clone());
    }
    gate.send_raw("\n");
    let answer = gate.recv();
    is_too_long(&gate, &answer);
    #[cfg(target_os = "linux")]
    assert!(gate.peak_memory() < 90 * MIB as u64, "{} bytes", gate.peak_memory());
    gate.ends_quietly(0);
}

/// contract W3: of a frame over `--max-frame`, not even that much is held.
#[test]
#[cfg(target_os = "linux")]
fn memory_stays_bounded_by_max_frame() {
    let gate = Wrap::allow_all().option(["--max-frame", "1048576"]).serve(&json!(["echo"]));
    let chunk = vec![b'x'; MIB];
    for _ in 0..128 {
        gate.send_raw(chunk.clone());
    }
    gate.send_raw("\n");
    let answer = gate.recv();
    is_too_long(&gate, &answer);
    let growth = gate.peak_memory().saturating_sub(small());
    assert!(growth < 4 * MIB as u64, "{growth} bytes more than a small session");
    gate.ends_quietly(0);
}

/// contract C4, W3, W6: `--max-frame` counts the bytes before the LF, in both directions.
#[test]
fn max_frame_is_exact() {
    let notification = |length: usize| {
        let frame = r#"{"jsonrpc":"2.0","method":"notifications/x","params":""}"#;
        frame.replace("\"\"", &format!("\"{}\"", "x".repeat(length - frame.len())))
    };
    let (most, more) = (notification(1000), notification(1001));
    let gate = Wrap::allow_all()
        .option(["--max-frame", "1000"])
        .serve(&json!([{ "send": more }, { "send": most }, "echo"]));
    assert_eq!(gate.recv(), most);
    gate.send(&most);
    let refusal = gate.ask(&more);
    assert!(
        refusal.starts_with(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600"#),
        "{refusal}"
    );
    gate.serves(1);
    assert_eq!(gate.received(), [most, call(1)]);
    let noise = gate.error_line();
    assert!(noise.contains(&more[..900]), "{noise}");
    gate.ends_quietly(0);
}

/// contract W6: callgate answers in place of a server's answer over `--max-frame`, and the session continues.
#[test]
fn an_answer_over_max_frame_is_unreadable() {
    let gate = Wrap::allow_all().serve(&json!([
        { "recv": 1 },
        { "send_bytes": r#"{"jsonrpc":"2.0","id":1,"result":{"x":""# },
        { "send_repeat": { "text": "0123456789abcdef", "times": 4 * MIB + 1 } },
        { "send": r#""}}"# },
        "echo"
    ]));
    let unreadable = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"server sent an unreadable answer"}}"#;
    assert_eq!(gate.ask(call(1)), unreadable);
    gate.serves(2);
    let noise = gate.error_line();
    assert!(noise.contains("0123456789abcdef") && noise.len() < 1400, "{noise:.2000}");
    gate.ends_quietly(0);
}

/// contract W1: a large frame within the limit passes in both directions.
#[test]
fn a_large_frame_passes() {
    let gate = Wrap::allow_all().serve(&json!([
        { "recv": 1 },
        { "send_bytes": r#"{"jsonrpc":"2.0","id":1,"result":{"x":""# },
        { "send_repeat": { "text": "0123456789abcdef", "times": MIB / 2 } },
        { "send": r#""}}"# },
        "echo"
    ]));
    let value = "n".repeat(8 * MIB);
    let large = call(1).replace(r#""t""#, &format!(r#""t","arguments":{{"x":"{value}"}}"#));
    let answer = gate.ask(&large);
    assert_eq!(answer.len(), r#"{"jsonrpc":"2.0","id":1,"result":{"x":""}}"#.len() + 8 * MIB);
    gate.serves(2);
    assert!(gate.received()[0] == large, "the frame arrives as it was");
    gate.ends_quietly(0);
}

/// contract W1, W4: a large answer is relayed whole, even if the server exits right after writing it.
#[test]
fn a_large_last_answer_is_relayed() {
    let mut gate = Wrap::allow_all().serve(&json!([
        { "recv": 1 },
        { "send_bytes": r#"{"jsonrpc":"2.0","id":1,"result":{"x":""# },
        { "send_repeat": { "text": "0123456789abcdef", "times": MIB / 2 } },
        { "send": r#""}}"# },
        { "exit": 3 }
    ]));
    gate.send(call(1));
    let end = gate.wait();
    assert_eq!(
        end.stdout.len(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"x":""}}"#.len() + 8 * MIB + 1
    );
    assert_eq!((end.code, end.stderr.as_str()), (Some(3), ""));
}
