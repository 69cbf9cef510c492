//! Rules, conditions, limits and answers in the manual, each tested inside a policy.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use callgate::engine::compile::compile;
use callgate::engine::limits::{MemoryLedger, Now};
use callgate::engine::session::{Answer, Session, SessionOptions, Step};
use callgate::engine::wire::line::Side;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::page::{Block, Page, each_block};
use super::root;

/// 2026-01-01T00:00:00Z, where a minute begins.
const START_MS: u64 = 1_767_225_600_000;

fn read<T: DeserializeOwned>(file: &str) -> BTreeMap<String, T> {
    let text = fs::read_to_string(root().join("tests/manual").join(file)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// An engine with counters in memory.
struct Engine {
    session: Session,
    ledger: MemoryLedger,
    ids: u32,
}

impl Engine {
    fn new(policy: &str, block: &Block<'_>) -> Self {
        let policy = compile(policy.as_bytes())
            .unwrap_or_else(|problems| panic!("{}: {problems:#?}", block.place));
        let session = Session::new(Arc::new(policy), SessionOptions::default());
        Engine { session, ledger: MemoryLedger::default(), ids: 100 }
    }

    /// The answer to a message; `None` if it is forwarded.
    fn answer(&mut self, message: &Value, at_ms: u64) -> Option<Value> {
        let now = Now { wall_ms: START_MS + at_ms, monotonic_ms: at_ms };
        let line = message.to_string();
        match self.session.handle_with(&mut self.ledger, Side::Client, line.as_bytes(), now) {
            step if step.is_forward() => None,
            Step::Answer(Answer { bytes, .. }) => Some(serde_json::from_slice(&bytes).unwrap()),
            other => panic!("{line}: {other:?}"),
        }
    }

    /// The answer to a call with a new id; `None` if it is forwarded.
    fn call(&mut self, tool: &str, arguments: &Value) -> Option<Value> {
        self.ids += 1;
        let params = json!({ "name": tool, "arguments": arguments });
        let call = json!({ "id": self.ids, "method": "tools/call", "params": params });
        self.answer(&call, 0)
    }
}

/// `tests/manual/rules.json`: arguments of calls in order, and whether each call is forwarded.
#[derive(Deserialize)]
struct Row {
    arguments: Value,
    passes: bool,
}

/// A rule on a page decides as its rows say. Each block has rows, and the rows have a block.
#[test]
fn rules_decide_as_the_page_says() {
    let mut rules = read::<Vec<Row>>("rules.json");
    each_block("json rule", |block| {
        let rows = rules.remove(block.name).unwrap_or_else(|| panic!("no rows: {}", block.name));
        assert!(rows.iter().any(|row| row.passes) && rows.iter().any(|row| !row.passes));
        let rule = block.text;
        let policy = format!(r#"{{"version":"1","default":"deny","tools":{{"t":{rule}}}}}"#);
        let mut engine = Engine::new(&policy, block);
        for Row { arguments, passes } in rows {
            let answer = engine.call("t", &arguments);
            assert_eq!(answer.is_none(), passes, "{}: {arguments}: {answer:?}", block.name);
        }
    });
    assert!(rules.is_empty(), "not on the page: {:?}", rules.keys());
}

#[test]
fn conditions_and_limits_compile() {
    for (kind, before, after) in [
        ("json condition", r#"{"deny_if":[{"conditions":["#, "]}]}"),
        ("json limit", r#"{"limits":["#, "]}"),
    ] {
        let count = each_block(kind, |block| {
            let rule = format!("{before}{}{after}", block.text);
            let policy = format!(r#"{{"version":"1","default":"deny","tools":{{"t":{rule}}}}}"#);
            Engine::new(&policy, block);
        });
        assert!(count > 0, "no {kind}");
    }
}

/// A policy, and a message that callgate answers under it.
#[derive(Deserialize)]
struct Exchange {
    policy: Value,
    /// This many calls of the same tool come first.
    #[serde(default)]
    calls_before: u32,
    #[serde(default)]
    at_ms: u64,
    message: Value,
}

impl Exchange {
    fn answer(self, block: &Block<'_>) -> Value {
        let mut engine = Engine::new(&self.policy.to_string(), block);
        let tool = self.message["params"]["name"].as_str().unwrap();
        for _ in 0..self.calls_before {
            assert_eq!(engine.call(tool, &json!({})), None);
        }
        engine.answer(&self.message, self.at_ms).expect("an answer")
    }
}

/// An answer on the page is callgate's answer to the message of that name in `tests/manual/answers.json`.
#[test]
fn answers_are_what_the_page_says() {
    let page = Page::topic("messages");
    let mut exchanges = read::<Exchange>("answers.json");
    for block in page.blocks("json answer") {
        let exchange = exchanges.remove(block.name);
        let answer =
            exchange.unwrap_or_else(|| panic!("no message: {}", block.name)).answer(&block);
        assert_eq!(answer, serde_json::from_str::<Value>(block.text).unwrap());
    }
    assert!(exchanges.is_empty(), "not on the page: {:?}", exchanges.keys());
}

/// A default message is the text that an agent reads: `tests/manual/messages.json` has a case for each row.
#[test]
fn messages_are_what_the_page_says() {
    let page = Page::topic("messages");
    let mut exchanges = read::<Exchange>("messages.json");
    for row in page.table("denied by | message") {
        let exchange = exchanges.remove(row[0]).unwrap_or_else(|| panic!("no case: {}", row[0]));
        let answer =
            exchange.answer(&Block { name: row[0], text: row[1], place: page.path.clone() });
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        let (_, message) = text.split_once("] ").unwrap();
        assert_eq!(message, row[1].replace("\\`", "`"));
    }
    assert!(exchanges.is_empty(), "not on the page: {:?}", exchanges.keys());
}
