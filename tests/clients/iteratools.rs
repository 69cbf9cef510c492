//! `policy.example.json` with a server like the one it is written for.

use crate::harness::gate::{Gate, Wrap};
use regex::Regex;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn at_the_top(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The lines that the recorded server sent.
fn recorded_answers() -> Vec<String> {
    at_the_top("tests/data/sessions/iteratools.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["from"] == "server")
        .map(|line| line["text"].as_str().unwrap().to_owned())
        .collect()
}

/// The example policy with the recorded server: its `initialize` and `tools/list`, then `ok`.
fn gate(answers: &[String]) -> Gate {
    let gate = Wrap::new(at_the_top("policy.example.json")).serve(&json!([
        { "recv": 1 }, { "send": answers[0] }, { "recv": 2 }, { "send": answers[1] }, "echo"
    ]));
    gate.ask(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#);
    gate.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    gate
}

fn call(id: usize, tool: &str, arguments: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": tool, "arguments": arguments } })
}

/// The published rule that the policy begins with: 30 images a minute, and not one more.
#[test]
fn the_31st_image_of_a_minute_is_denied() {
    let gate = gate(&recorded_answers());
    let list = gate.ask(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    assert!(list.contains(r#""name":"image_generate""#), "{list}");

    let image = json!({ "prompt": "a gate in the fog", "width": 1024, "height": 1024 });
    for id in 2..32 {
        let answer = gate.ask(call(id, "image_generate", &image));
        assert!(answer.contains(r#""text":"ok""#), "{id}: {answer}");
    }
    let denial = gate.ask(call(32, "image_generate", &image));
    let shape = Regex::new(concat!(
        r#"^\{"jsonrpc":"2.0","id":32,"result":\{"content":\[\{"type":"text","text":"\[POLICY DENIED\] "#,
        r#"[^"]+ Try again in \d+ s\."\}\],"isError":true,"_meta":\{"callgate/decision":\{"#,
        r#""outcome":"denied","rule":"/tools/image_generate/limits/0","retry_after_ms":(\d+)\}\}\}\}$"#,
    ));
    let found = shape.unwrap().captures(&denial).unwrap_or_else(|| panic!("{denial}"));
    let ms: u64 = found[1].parse().unwrap();
    assert!((1..=61_000).contains(&ms), "{denial}");
    assert_eq!(gate.received().len(), 33, "nothing of the 31st call reached the server");
    gate.ends_quietly(0);
}

/// A tool that the policy does not list is denied; the policy has a rule for every tool of the recorded server.
#[test]
fn a_tool_that_is_not_listed_is_denied() {
    let answers = recorded_answers();
    let gate = gate(&answers);
    gate.ask(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    let denial = gate.ask(call(2, "image_generate_free", &json!({})));
    assert!(
        denial.contains("[POLICY DENIED] Tool `image_generate_free` is not permitted by policy."),
        "{denial}"
    );
    assert!(denial.contains(r#""rule":"(default deny)""#), "{denial}");
    gate.ends_quietly(0);

    let policy: Value = serde_json::from_str(&at_the_top("policy.example.json")).unwrap();
    let list: Value = serde_json::from_str(&answers[1]).unwrap();
    for tool in list["result"]["tools"].as_array().unwrap() {
        let rule = &policy["tools"][tool["name"].as_str().unwrap()];
        assert!(rule["description"].is_string(), "{} has no rule with a description", tool["name"]);
    }
}

/// contract P10: 200 calls at $0.005 reach $1.00 exactly, and the 201st is denied.
#[test]
fn two_hundred_images_cost_a_dollar() {
    let policy = json!({
        "version": "1", "default": "deny",
        "tools": { "image_generate": { "limits": [ {
            "counter": "image_spend_usd", "window": "day", "max": 1.00, "increment": 0.005,
            "on_deny": "The daily image budget of $1 is spent."
        } ] } }
    });
    let gate = Wrap::new(policy).serve(&json!(["echo"]));
    for id in 0..200 {
        let answer = gate.ask(call(id, "image_generate", &json!({ "prompt": "x" })));
        assert!(answer.contains(r#""text":"ok""#), "{id}: {answer}");
    }
    let denial = gate.ask(call(200, "image_generate", &json!({ "prompt": "x" })));
    assert!(denial.contains("[POLICY DENIED] The daily image budget of $1 is spent."), "{denial}");
    assert_eq!(gate.received().len(), 200);
    gate.ends_quietly(0);
}
