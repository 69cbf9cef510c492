//! Methods that a policy denies, in both directions (SPEC P15).

use super::gate::{Gate, Wrap};
use serde_json::{Value, json};

fn gate(script: &Value) -> Gate {
    let policy = json!({
        "version": "1",
        "default": "allow",
        "methods": {
            "resources/*": "deny",
            "resources/list": "allow",
            "roots/list": "deny",
            "notifications/x": "deny"
        }
    });
    Wrap::new(policy).serve(script)
}

fn request(id: u32, method: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#)
}

fn modern(id: u32) -> Value {
    json!({ "id": id, "method": "tools/call", "params": {
        "name": "t", "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28" }
    } })
}

/// SPEC P15: a client's denied request is answered with error 403, its denied notification dropped.
#[test]
fn a_denied_method_of_the_client_does_not_reach_the_server() {
    let gate = gate(&json!(["echo"]));
    let denial = gate.ask(request(1, "resources/read"));
    assert!(
        denial.starts_with(r#"{"jsonrpc":"2.0","id":1,"error":{"code":403,"message":"#),
        "{denial}"
    );
    assert!(gate.ask(request(2, "resources/list")).contains(r#""text":"ok""#));
    gate.send(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#);
    gate.send(r#"{"jsonrpc":"2.0","method":"notifications/y"}"#);
    gate.serves(3);
    let received = gate.received();
    assert_eq!(received.len(), 3, "{received:?}");
    assert_eq!(received[1], r#"{"jsonrpc":"2.0","method":"notifications/y"}"#);
    gate.ends_quietly(0);
}

/// SPEC P15: a server's denied request is answered to the server, its denied notification dropped.
#[test]
fn a_denied_method_of_the_server_does_not_reach_the_client() {
    let gate = gate(&json!([
        { "send": request(1, "roots/list") },
        { "send": r#"{"jsonrpc":"2.0","method":"notifications/x"}"# },
        { "send": request(2, "sampling/createMessage") },
        { "recv": 1 },
        "echo"
    ]));
    assert_eq!(gate.recv(), request(2, "sampling/createMessage"));
    gate.serves(1);
    let received = gate.received();
    assert_eq!(received.len(), 2, "{received:?}");
    let answer = r#"{"jsonrpc":"2.0","id":1,"error":{"code":403,"message":"#;
    assert!(received[0].starts_with(answer), "{received:?}");
    gate.ends_quietly(0);
}

/// SPEC P15: a modern result whose `inputRequests` name a denied method is not relayed.
#[test]
fn a_denied_method_may_not_hide_in_input_requests() {
    let asks = |method: &str| {
        json!({ "answer": json!({
            "resultType": "input_required",
            "inputRequests": { "a": { "method": "elicitation/create" }, "b": { "method": method } },
            "requestState": "s"
        }).to_string() })
    };
    let gate = gate(&json!([
        { "recv": 1 }, asks("roots/list"), { "recv": 1 }, asks("sampling/createMessage"), "echo"
    ]));
    let denial = gate.ask(modern(1));
    assert!(
        denial.starts_with(r#"{"jsonrpc":"2.0","id":1,"error":{"code":403,"message":"#),
        "{denial}"
    );
    let relayed = gate.ask(modern(2));
    assert!(relayed.contains("sampling/createMessage"), "{relayed}");
    gate.serves(3);
    gate.ends_quietly(0);
}

/// SPEC P15: nor behind a second `method` key, which many parsers would take.
#[test]
fn a_denied_method_may_not_hide_behind_a_duplicate_key() {
    for entry in [
        r#"{"method":"sampling/createMessage","method":"roots/list"}"#,
        r#"{"method":"roots/list","method":"sampling/createMessage"}"#,
    ] {
        let asks = format!(r#"{{"resultType":"input_required","inputRequests":{{"a":{entry}}}}}"#);
        let gate = gate(&json!([{ "recv": 1 }, { "answer": asks }, "echo"]));
        let answer = gate.ask(modern(1));
        assert!(answer.starts_with(r#"{"jsonrpc":"2.0","id":1,"error":{"code":"#), "{answer}");
    }
}

/// SPEC P15: nor in the result of any other modern request.
#[test]
fn a_denied_method_may_not_hide_in_any_modern_result() {
    let result = r#"{"tools":[],"inputRequests":{"a":{"method":"roots/list"}}}"#;
    for method in ["tools/list", "initialize", "subscriptions/listen", "prompts/get"] {
        let gate = gate(&json!([{ "recv": 1 }, { "answer": result }, "echo"]));
        let answer = gate.ask(modern(1).to_string().replace("tools/call", method));
        assert!(answer.starts_with(r#"{"jsonrpc":"2.0","id":1,"error":{"code":403,"#), "{answer}");
    }
}
