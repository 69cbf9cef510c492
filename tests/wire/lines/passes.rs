//! Forwarded lines arrive unchanged, however their bytes are cut (contract W1).

use crate::harness::gate::{Wrap, call, ok};
use crate::harness::process::End;
use serde_json::json;

/// Lines in every unusual spelling that is still JSON-RPC.
const ODD_LINES: &str = concat!(
    r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05"}}"#,
    "\n",
    r#"{"method":"notifications/initialized","jsonrpc":"2.0"}"#,
    "\n",
    "  {\t\"id\" : \"a b\" , \"method\":\"x\\/y\" }  \r\n",
    r#"{"params":{"arguments":{"z":1,"a":[1.50,-0,1E+5,12345678901234567890123]},"name":"t"},"method":"tools\/c\u0061ll","id":1e2}"#,
    "\n",
    r#"{"jsonrpc":"1.0","id":-7,"method":"x","params":[],"unknown":{"a":{"b":null}}}"#,
    "\r\n",
    r#"{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"naïve 😀 \ud83d\ude00","arguments":{"\u0000":"\u2028 \ud83d"}}}"#,
    "\n",
    r#"{"jsonrpc":"2.0","id":9,"result":{"roots":[]}}"#,
    "\n",
);

/// contract W1, client to server: in one write, in halves of lines and byte by byte.
#[test]
fn client_lines_reach_the_server_byte_for_byte() {
    for size in [1, 7, ODD_LINES.len()] {
        let mut gate = Wrap::allow_all().serve(&json!([{ "recv": 7 }, { "exit": 0 }]));
        for chunk in ODD_LINES.as_bytes().chunks(size) {
            gate.send_raw(chunk);
        }
        gate.wait();
        assert_eq!(String::from_utf8(gate.received_bytes()).unwrap(), ODD_LINES, "by {size} bytes");
    }
}

/// contract W1, server to client: in one write, in halves of lines and byte by byte.
#[test]
fn server_lines_reach_the_client_byte_for_byte() {
    // contract W6: only JSON-RPC messages of the server are relayed.
    let message = |line: &str| match line.replace("\"jsonrpc\":\"1.0\",", "") {
        line if line.contains("\"jsonrpc\":\"2.0\"") => line,
        line => line.replacen('{', "{\"jsonrpc\":\"2.0\",", 1),
    };
    let lines = ODD_LINES.replace("\"id\":9,\"result\"", "\"id\":1,\"result\"");
    let lines: String = lines.split_inclusive('\n').map(message).collect();
    for size in [1, 7, lines.len()] {
        let latin1: Vec<char> = lines.bytes().map(char::from).collect();
        let sends =
            latin1.chunks(size).map(|bytes| json!({ "send_bytes": String::from_iter(bytes) }));
        let script = std::iter::once(json!({ "recv": 1 })).chain(sends).collect();
        let mut gate = Wrap::allow_all().serve(&script);
        gate.send(r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#);
        let end = gate.end();
        assert_eq!(end, End { stdout: lines.clone(), ..End::quiet(0) }, "by {size} bytes");
    }
}

/// contract W1: lines sent in one burst arrive in order.
#[test]
fn a_burst_keeps_its_order_in_both_directions() {
    let gate = Wrap::allow_all().serve(&json!(["echo"]));
    let burst: String = (0..1000).map(|id| call(id) + "\n").collect();
    gate.send_raw(burst.clone());
    for id in 0..1000 {
        assert_eq!(gate.recv(), ok(id));
    }
    assert_eq!(String::from_utf8(gate.received_bytes()).unwrap(), burst);
    gate.ends_quietly(0);
}

/// contract W1: a last line without LF gets one, if it is one complete frame.
#[test]
fn a_last_line_without_lf_gets_it() {
    let mut gate = Wrap::allow_all()
        .serve(&json!([{ "recv": 1 }, { "send_bytes": r#"{"jsonrpc":"2.0","method":"notifications/x"}"# }]));
    gate.send_raw(r#"{"method":"notifications/y"}"#);
    let end = gate.end();
    let stdout = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n".to_owned();
    assert_eq!(end, End { stdout, ..End::quiet(0) });
    assert_eq!(gate.received_bytes(), b"{\"method\":\"notifications/y\"}\n");
}

/// contract W1 and W3: a last line that is cut short is refused, like any line that is not JSON.
#[test]
fn a_last_line_that_is_cut_short_is_refused() {
    let mut gate = Wrap::allow_all().serve(&json!(["echo"]));
    gate.send_raw(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}"#);
    let end = gate.end();
    let refusal = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"#;
    assert!(end.stdout.starts_with(refusal), "{end:?}");
    assert_eq!(end.code, Some(0));
    assert!(gate.received_bytes().is_empty());
}

/// contract W1: blank lines are dropped, in both directions.
#[test]
fn blank_lines_are_dropped() {
    let gate = Wrap::allow_all().serve(&json!([{ "send_bytes": "\n \r\n\t\n" }, "echo"]));
    gate.send_raw("\n\r\n  \n");
    gate.serves(1);
    assert_eq!(gate.received().len(), 1);
    gate.ends_quietly(0);
}
