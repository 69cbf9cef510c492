//! Methods that a policy denies, in both directions (contract P15).

use crate::harness::gate::{Gate, Wrap};
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

/// contract P15: a client's denied request is answered with error 403, its denied notification dropped.
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

/// contract P15: a server's denied request is answered to the server, its denied notification dropped.
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

/// contract P15: a modern result whose `inputRequests` name a denied method is not relayed.
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

/// contract P15: a second `method` key, which many parsers would use, does not hide one either.
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

/// contract P15: the result of any other modern request does not hide one either.
#[test]
fn a_denied_method_may_not_hide_in_any_modern_result() {
    let result = r#"{"tools":[],"inputRequests":{"a":{"method":"roots/list"}}}"#;
    for method in ["tools/list", "initialize", "subscriptions/listen", "prompts/get"] {
        let gate = gate(&json!([{ "recv": 1 }, { "answer": result }, "echo"]));
        let answer = gate.ask(modern(1).to_string().replace("tools/call", method));
        assert!(answer.starts_with(r#"{"jsonrpc":"2.0","id":1,"error":{"code":403,"#), "{answer}");
    }
}

/// contract P15: no other place that a server may use hides one either, under any spelling of the key: the task of a
/// result, of a modern request or another, and the params of a notification, which is dropped.
#[test]
fn a_denied_method_may_not_hide_anywhere() {
    let asks = |key: &str, method: &str| {
        let (open, close) = if key.contains('.') {
            (key.replace('.', r#"":{""#), "}")
        } else {
            (key.to_owned(), "")
        };
        format!(r#"{{"{open}":{{"a":{{"method":"{method}"}}}}{close}}}"#)
    };
    let keys = [
        "inputRequests",
        "INPUTREQUESTS",
        r"input\u0052equests",
        "inputReque\u{17f}ts",
        "task.inputRequests",
        "Task.InputRequests",
    ];
    for key in keys {
        for (method, is_denied) in [("roots/list", true), ("sampling/createMessage", false)] {
            let asked = asks(key, method);
            let notice =
                format!(r#"{{"jsonrpc":"2.0","method":"notifications/tasks","params":{asked}}}"#);
            let gate =
                gate(&json!([{ "recv": 1 }, { "send": notice }, { "answer": asked }, "echo"]));
            gate.send(modern(1));
            if !is_denied {
                assert_eq!(gate.recv(), notice, "{key}");
            }
            let answer = gate.recv();
            assert_eq!(answer.contains(r#""error":{"code":403,"#), is_denied, "{key}: {answer}");
            gate.serves(3);
            gate.ends_quietly(0);
        }
    }
}

/// contract P15: at any place. Each row is a response to request 1, a notification or a request of the server, with
/// `ASKS` in it, and is sent once with a denied method and once with an allowed one.
#[test]
fn a_denied_method_may_not_hide_at_any_depth() {
    let parts = [
        "ASKS",
        "[ASKS]",
        r#"{"tasks":[{},{"t":1},ASKS]}"#,
        r#"{"tasks":[{"inputRequests":{"a":{"method":"sampling/createMessage"}}},ASKS]}"#,
        r#"{"_meta":ASKS}"#,
        r#"{"_meta":{"a":[[ASKS]]}}"#,
    ];
    let frames = [
        r#"{"jsonrpc":"2.0","id":1,"result":PART}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"m","data":PART}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/y","params":PART}"#,
        r#"{"jsonrpc":"2.0","id":77,"method":"ping","params":PART}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"m","data":PART}}"#,
    ];
    for part in parts {
        for frame in frames {
            for (method, is_denied) in [("roots/list", true), ("sampling/createMessage", false)] {
                let asks = format!(r#"{{"inputRequests":{{"a":{{"method":"{method}"}}}}}}"#);
                let frame = frame.replace("PART", &part.replace("ASKS", &asks));
                passes_unless(&frame, is_denied, gate);
            }
        }
    }
}

/// contract P15: an error of code -32042 asks for an elicitation.
#[test]
fn an_error_that_requires_an_elicitation_asks_for_it() {
    let denies = |script: &Value| {
        let methods = json!({ "elicitation/create": "deny" });
        Wrap::new(json!({ "version": "1", "default": "allow", "methods": methods })).serve(script)
    };
    for (code, is_denied) in [
        (r#""code":-32042"#, true),
        (r#""code":-32042.0"#, true),
        (r#""code":"-32042""#, true),
        (r#""Code":-32042"#, true),
        (r#""code":-32000,"code":-32042"#, true),
        (r#""code":-32041"#, false),
        (r#""data":-32042"#, false),
    ] {
        for id in ["1", "null"] {
            let error = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{{code},"message":"m","x":{{"elicitations":[]}}}}}}"#
            );
            passes_unless(&error, is_denied, denies);
            passes_unless(&error, false, gate);
        }
    }
}

const GOT: &str = r#"{"jsonrpc":"2.0","method":"notifications/got"}"#;

/// The server sends `frame` after request 1. If the method is allowed, the client receives the frame. If it is denied,
/// the client receives an error 403 instead of an answer, and the server receives the error instead of an answer to its
/// request.
fn passes_unless(frame: &str, is_denied: bool, gate: impl Fn(&Value) -> Gate) {
    let (is_answer, is_request) = (frame.contains(r#""id":1,"#), frame.contains(r#""id":77,"#));
    let gate = if is_denied && is_request {
        // Nothing else may reach the server before the error does.
        gate(&json!([{ "recv": 1 }, { "send": frame }, { "recv": 1 }, { "send": GOT }, "echo"]))
    } else {
        gate(&json!([{ "recv": 1 }, { "send": frame }, "echo"]))
    };
    gate.send(request(1, "prompts/list"));
    if !is_denied {
        assert_eq!(gate.recv(), frame);
    } else if is_answer {
        let answer = gate.recv();
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":403,"#;
        assert!(answer.starts_with(error), "{frame}: {answer}");
    } else if is_request {
        assert_eq!(gate.recv(), GOT, "{frame}");
    }
    gate.serves(3);
    let received = gate.received();
    let error = r#"{"jsonrpc":"2.0","id":77,"error":{"code":403,"#;
    let is_answered = received.iter().any(|line| line.starts_with(error));
    assert_eq!(is_answered, is_denied && is_request, "{frame}: {received:?}");
}

/// contract P15, W6: messages with too many input requests are not relayed.
#[test]
fn too_many_input_requests_are_unreadable() {
    for (count, passes) in [(1024, true), (1025, false)] {
        let all = vec![r#"{"method":"sampling/createMessage"}"#; count].join(",");
        let result = format!(r#"{{"inputRequests":[{all}]}}"#);
        let gate = gate(&json!([{ "recv": 1 }, { "answer": result }, "echo"]));
        let answer = gate.ask(modern(1));
        assert_eq!(answer.contains(&result), passes, "{answer:.200}");
        assert_eq!(answer.contains("-32603"), !passes, "{answer:.200}");
        gate.serves(2);
    }
}
