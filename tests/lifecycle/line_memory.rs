//! What a line costs at its peak (contract W8): at most four times its length, whatever it holds, in both directions.

use super::memory::small;
use crate::harness::gate::{Gate, Wrap, call};
use serde_json::{Value, json};
use std::fs;

const MIB: usize = 1024 * 1024;
/// The length of a line. The factor is the same for one of 60 MiB.
const LINE: usize = if cfg!(debug_assertions) { MIB } else { 16 * MIB };

/// Text that is repeated to fill a line, between what begins and ends it.
struct Shape {
    why: &'static str,
    begin: &'static str,
    /// `#` stands for a number that grows, in as few letters as there are.
    again: &'static str,
    end: &'static str,
}

const fn shape(
    why: &'static str,
    begin: &'static str,
    again: &'static str,
    end: &'static str,
) -> Shape {
    Shape { why, begin, again, end }
}

impl Shape {
    fn line(&self) -> String {
        let mut line = String::with_capacity(LINE + 64);
        line.push_str(self.begin);
        let mut number = 0_usize;
        assert!(!self.again.is_empty(), "{}: nothing fills the line", self.why);
        while line.len() < LINE {
            match self.again.split_once('#') {
                Some((before, behind)) => {
                    line.push_str(before);
                    push_short(&mut line, number);
                    line.push_str(behind);
                }
                None => line.push_str(self.again),
            }
            number += 1;
        }
        if line.ends_with(',') {
            line.pop();
        }
        line + self.end
    }
}

/// A number in base 64.
fn push_short(line: &mut String, mut number: usize) {
    const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    loop {
        line.push(char::from(DIGITS[number % 64]));
        number /= 64;
        if number == 0 {
            return;
        }
    }
}

const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"#;
const MODERN: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"arguments":{"#;

const MODERN_LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"arguments":{"amount":["#;

/// What a client may send.
const CLIENT: [Shape; 22] = [
    shape("brackets", "", "[", ""),
    shape("brackets that are closed in vain", "[", "[", "]"),
    shape("a batch of small requests", "[", r#"{"id":0,"method":0},"#, "]"),
    shape("a batch of requests with ids of their own", "[", r##"{"id":"#","method":0},"##, "]"),
    shape("a batch of nothing", "[", "0,", "]"),
    shape("a batch of batches", "[", "[],", "]"),
    shape("keys in the envelope", r#"{"jsonrpc":"2.0","id":1,"method":"x","#, r##""#":0,"##, "}"),
    shape("one key again and again", "{", r#""":0,"#, "}"),
    shape("arguments", CALL, r##""#":0,"##, "}}}"),
    shape("one argument again and again", CALL, r#""":0,"#, "}}}"),
    shape("arguments with escapes", CALL, r#""\n#":0,"#, "}}}"),
    shape("small objects", CALL, r##""#":{"a":1,"b":2},"##, "}}}"),
    shape("a modern call", MODERN, r##""#":0,"##, "}}}"),
    shape("a modern call with a list", MODERN_LIST, "0,", "]}}}"),
    shape("zeros", r#"{"jsonrpc":"2.0","id":1,"method":"x","params":["#, "0,", "]}"),
    shape("a deep object", "", r#"{"":"#, ""),
    shape("a long method", r#"{"jsonrpc":"2.0","id":1,"method":""#, r"\u0061", r#""}"#),
    shape(
        "a long name",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":""#,
        r"\n",
        r#""}}"#,
    ),
    shape("a long id", r#"{"jsonrpc":"2.0","id":""#, r"\n", r#"","method":"x"}"#),
    shape("a long number for an id", r#"{"jsonrpc":"2.0","method":"x","id":1."#, "10", "}"),
    shape("a response with a long id", r#"{"jsonrpc":"2.0","result":{},"id":""#, r"\n", r#""}"#),
    shape("a long key", r#"{"jsonrpc":"2.0","id":1,"method":"x",""#, r"\n", r#"":0}"#),
];

const LISTED: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":["#;

/// What a server may answer to `tools/list`, and what else it may say.
const SERVER: [Shape; 24] = [
    shape("zeros for tools", LISTED, "0,", "]}}"),
    shape("objects for tools", LISTED, "{},", "]}}"),
    shape("hidden tools", LISTED, r#"{"name":"h"},"#, "]}}"),
    shape("tools", LISTED, r##"{"name":"#"},"##, "]}}"),
    shape("one in two is hidden", LISTED, r#"{"name":"h"},{"name":"t"},"#, "]}}"),
    shape(
        "a tool of keys",
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"t","#,
        r##""#":0,"##,
        "}]}}",
    ),
    shape("keys in the result", r#"{"jsonrpc":"2.0","id":1,"result":{"#, r##""#":0,"##, "}}"),
    shape("one key again and again", r#"{"jsonrpc":"2.0","id":1,"result":{"#, r#""":0,"#, "}}"),
    shape(
        "input requests",
        r#"{"jsonrpc":"2.0","id":1,"result":{"inputRequests":["#,
        r#"{"method":"m"},"#,
        "]}}",
    ),
    shape(
        "many inputRequests",
        r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"#,
        r#""inputRequests":[],"#,
        "}}",
    ),
    shape(
        "many tasks",
        r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"#,
        r#""task":{},"#,
        "}}",
    ),
    shape(
        "a long method in an input request",
        r#"{"jsonrpc":"2.0","id":1,"result":{"inputRequests":[{"method":""#,
        r"\n",
        r#""}]}}"#,
    ),
    shape("brackets", "", "[", ""),
    shape("brackets in an object", r#"{"jsonrpc":"2.0","id":1,"result":"#, "[", ""),
    shape("messages", "", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, ""),
    shape("messages with ids of their own", "", r##"{"jsonrpc":"2.0","id":"#","result":{}}"##, ""),
    shape("small objects with ids", "", r#"{"id":1}"#, ""),
    shape("ids in one message", r#"{"jsonrpc":"2.0","result":{},"#, r#""id":1,"#, "}"),
    shape("no UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"", "\u{1b}", ""),
    shape("a long id", r#"{"jsonrpc":"2.0","result":{},"id":""#, r"\n", r#""}"#),
    shape("a long number for an id", r#"{"jsonrpc":"2.0","result":{},"id":1."#, "10", "}"),
    shape("a long number in a string", r#"{"jsonrpc":"2.0","result":{},"id":"1."#, "10", r#""}"#),
    shape(
        "a long state",
        r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":""#,
        r"\n",
        r#""}}"#,
    ),
    shape("a long method", r#"{"jsonrpc":"2.0","method":""#, r"\u0061", r#""}"#),
];

fn wrap() -> Wrap {
    Wrap::new(json!({
        "version": "1", "default": "allow", "hide": ["h"], "hide_denied": true,
        "methods": { "elicitation/*": "deny" },
        "tools": { "t": { "deny_if": [ { "conditions": [ { "path": "args.amount", "op": "gt", "value": 1 } ] } ] } }
    }))
    .option(["-q"])
}

/// Checks that a session never held four times a line of `length` beyond what a small one holds.
fn is_four_times_at_most(gate: &Gate, small: u64, length: usize, why: &str) -> Result<(), String> {
    let growth = gate.peak_memory().saturating_sub(small);
    let tenths = growth * 10 / length as u64;
    let is_bounded = growth <= 4 * length as u64;
    if is_bounded {
        Ok(())
    } else {
        Err(format!("{why}: {}.{} times its length", tenths / 10, tenths % 10))
    }
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
        let line = shape.line();
        let gate = wrap().serve(&json!(["echo"]));
        gate.send(&line);
        gate.send(call(2));
        // Whatever it is answered, the session serves on.
        while !gate.try_recv()?.contains(r#""id":2,"#) {}
        is_four_times_at_most(&gate, small, line.len(), shape.why)
    };
    report(&CLIENT.iter().filter_map(|shape| judge(shape).err()).collect::<Vec<_>>());
}

/// contract W8
#[test]
fn a_line_of_the_server_costs_four_times_its_length_at_most() {
    let small = small();
    let modern = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let judge = |shape: &Shape| {
        let line = shape.line();
        let gate = from_file(&line);
        gate.send(modern);
        gate.send(call(2));
        while !gate.try_recv()?.contains(r#""id":2,"#) {}
        is_four_times_at_most(&gate, small, line.len(), shape.why)
    };
    report(&SERVER.iter().filter_map(|shape| judge(shape).err()).collect::<Vec<_>>());
}

/// A gate before a server that answers the first request with this line, and the second well.
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

/// contract W8: what a policy makes of the values is bounded, too: so is a line that is recorded.
#[test]
fn a_recorded_line_costs_no_more() {
    let small = small();
    let judge = |why: &str, again: &str| {
        let line = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":"{}"}}"#,
            again.repeat(LINE / again.len())
        );
        let wrap = wrap();
        let recording = wrap.dir().join("recording.jsonl");
        let gate =
            wrap.option(["--record".as_ref(), recording.as_os_str()]).serve(&json!(["echo"]));
        gate.send_raw([line.as_bytes(), b"\n"].concat());
        gate.send(call(2));
        while !gate.try_recv()?.contains(r#""id":2,"#) {}
        let recorded: Value =
            serde_json::from_str(fs::read_to_string(recording).unwrap().lines().next().unwrap())
                .unwrap();
        assert_eq!(recorded["text"], line);
        is_four_times_at_most(&gate, small, line.len(), why)
    };
    let shapes = [("control characters", "\u{1}"), ("quotes", r#"\""#), ("letters", "é")];
    report(&shapes.iter().filter_map(|(why, again)| judge(why, again).err()).collect::<Vec<_>>());
}
