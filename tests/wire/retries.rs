//! Multi-round-trip retries and their charges (contract W4).

use crate::harness::gate::{Gate, Wrap};
use serde_json::{Value, json};

/// Two tools that share one charge for the whole run, with a server that plays `script`.
fn gate(script: &Value) -> Gate {
    let limited = json!({ "limits": [ { "counter": "calls", "window": "session", "max": 1 } ] });
    let policy = json!({
        "version": "1", "default": "deny", "tools": { "t": limited, "u": limited, "free": {} }
    });
    Wrap::new(policy).serve(script)
}

/// The server's request for more input.
fn input_required(state: &str) -> Value {
    let result = json!({
        "resultType": "input_required",
        "inputRequests": { "q": { "method": "elicitation/create", "params": {} } },
        "requestState": state
    });
    json!({ "answer": result.to_string() })
}

/// A modern call of `tool` with `{"a":1}`.
fn modern(id: usize, tool: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
        "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28" },
        "name": tool, "arguments": { "a": 1 }
    } })
}

/// The same call again, with the requested input.
fn retry(id: usize, tool: &str, state: &str) -> Value {
    let mut call = modern(id, tool);
    call["params"]["inputResponses"] = json!({ "q": { "action": "accept" } });
    call["params"]["requestState"] = json!(state);
    call
}

/// Sends a call that the server answers with a request for input.
fn starts(gate: &Gate, call: &Value) {
    let answer = gate.ask(call);
    assert!(answer.contains("input_required"), "{answer}");
}

fn passes(gate: &Gate, call: &Value) {
    let answer = gate.ask(call);
    assert!(answer.contains(r#""text":"ok""#), "{answer}");
}

fn is_charged(gate: &Gate, call: &Value) {
    let answer = gate.ask(call);
    assert!(
        answer.contains(r#""callgate/decision":{"outcome":"denied","rule":"/tools/"#),
        "{answer}"
    );
}

/// contract W4: a retry with a state that was relayed in this run is free, once.
#[test]
fn a_retry_is_free_once() {
    let gate = gate(&json!([{ "recv": 1 }, input_required("s1"), "echo"]));
    starts(&gate, &modern(1, "t"));
    passes(&gate, &retry(2, "t", "s1"));
    is_charged(&gate, &retry(3, "t", "s1"));
    is_charged(&gate, &modern(4, "t"));
    assert_eq!(gate.received(), [modern(1, "t"), retry(2, "t", "s1")].map(|call| call.to_string()));
    gate.ends_quietly(0);
}

/// contract W4: arguments are compared by value: the order of keys, escapes and the spelling of numbers do not count.
#[test]
fn a_retry_may_spell_its_arguments_differently() {
    let spelt = |id: usize, arguments: &str, state: &str| {
        let call = retry(id, "t", state).to_string();
        call.replace(r#"{"a":1}"#, arguments)
    };
    let first = r#"{"a":1,"b":{"x":[1,2.50],"y":"é"},"c":null}"#;
    let again = r#"{ "c":null, "b":{"y":"\u00e9", "\u0078":[1.0,25e-1]},"a":1e0 }"#;
    let others = [
        r#"{"a":1,"b":{"x":[2.5,1],"y":"é"},"c":null}"#,
        r#"{"a":1,"b":{"x":[1,2.5],"y":"é"}}"#,
        r#"{"a":"1","b":{"x":[1,2.5],"y":"é"},"c":null}"#,
        r#"{"a":1,"b":{"x":[1,2.5]},"y":"é","c":null}"#,
    ];
    for (arguments, is_free) in
        others.map(|other| (other, false)).into_iter().chain([(again, true)])
    {
        let gate = gate(&json!([{ "recv": 1 }, input_required("s1"), "echo"]));
        let answer = gate.ask(modern(1, "t").to_string().replace(r#"{"a":1}"#, first));
        assert!(answer.contains("input_required"), "{answer}");
        let answer = gate.ask(spelt(2, arguments, "s1"));
        assert_eq!(answer.contains(r#""text":"ok""#), is_free, "{arguments}: {answer}");
        gate.ends_quietly(0);
    }
}

/// contract W4: a retry with another state, tool or arguments is charged, and so is a legacy call.
#[test]
fn a_retry_of_something_else_is_charged() {
    let other_arguments = || {
        let mut call = retry(2, "t", "s1");
        call["params"]["arguments"] = json!({ "a": 2 });
        call
    };
    let no_arguments = || {
        let mut call = retry(2, "t", "s1");
        call["params"].as_object_mut().unwrap().remove("arguments");
        call
    };
    let legacy = || {
        let mut call = retry(2, "t", "s1");
        call["params"].as_object_mut().unwrap().remove("_meta");
        call
    };
    let no_state = || {
        let mut call = retry(2, "t", "s1");
        call["params"].as_object_mut().unwrap().remove("requestState");
        call
    };
    let others = [
        retry(2, "t", "s2"),
        retry(2, "u", "s1"),
        other_arguments(),
        no_arguments(),
        legacy(),
        no_state(),
    ];
    for other in others {
        let gate = gate(&json!([{ "recv": 1 }, input_required("s1"), "echo"]));
        starts(&gate, &modern(1, "t"));
        is_charged(&gate, &other);
        gate.ends_quietly(0);
    }
}

/// contract W4: a state that the client made up saves no charge.
#[test]
fn a_state_that_was_never_relayed_is_charged() {
    let gate = gate(&json!(["echo"]));
    passes(&gate, &retry(1, "t", "made up"));
    is_charged(&gate, &retry(2, "t", "made up"));
    gate.ends_quietly(0);
}

/// contract W4: a state from a call without limits does not pay for a limited one.
#[test]
fn a_state_belongs_to_its_tool() {
    let gate = gate(&json!([{ "recv": 1 }, input_required("s1"), "echo"]));
    starts(&gate, &modern(1, "free"));
    passes(&gate, &retry(2, "t", "s1"));
    is_charged(&gate, &retry(3, "t", "s1"));
    gate.ends_quietly(0);
}

/// contract W4: at most 8 retries are free for each charged call.
#[test]
fn the_ninth_retry_is_charged() {
    let rounds =
        (0..9).flat_map(|round| [json!({ "recv": 1 }), input_required(&format!("s{round}"))]);
    let gate = gate(&rounds.collect());
    starts(&gate, &modern(100, "t"));
    for round in 0..8 {
        starts(&gate, &retry(round, "t", &format!("s{round}")));
    }
    is_charged(&gate, &retry(8, "t", "s8"));
    gate.ends_quietly(0);
}

/// contract W4: a retry is decided again: it is free of charge, but not exempt from rules.
#[test]
fn a_retry_is_decided_again() {
    let policy = json!({
        "version": "1", "default": "allow",
        "tools": { "t": { "deny_if": [ {
            "conditions": [ { "path": "args.a", "op": "eq", "value": 2 } ], "on_deny": "No twos."
        } ] } }
    });
    let gate = Wrap::new(policy).serve(&json!([{ "recv": 1 }, input_required("s1"), "echo"]));
    starts(&gate, &modern(1, "t"));
    let mut two = retry(2, "t", "s1");
    two["params"]["arguments"]["a"] = json!(2);
    let denial = gate.ask(&two);
    assert!(denial.contains("[POLICY DENIED] No twos."), "{denial}");
    gate.ends_quietly(0);
}
