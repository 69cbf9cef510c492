//! The fields printed by `callgate status --format json` are those of the page's table.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::gate::{Wrap, call, callgate};

use super::page::{Page, quoted};

const POLICY: &str = r#"{"version":"1","default":"deny",
    "tools":{"t":{"limits":[{"counter":"c","window":"minute","max":1}]}}}"#;

/// The names of all values that are not objects or lists; a list without entries counts as a list of texts.
fn leaves(value: &Value, name: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                let name =
                    if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
                leaves(value, &name, found);
            }
        }
        Value::Array(entries) if entries.is_empty() => {
            found.insert(format!("{name}[]"));
        }
        Value::Array(entries) => {
            for entry in entries {
                leaves(entry, &format!("{name}[]"), found);
            }
        }
        _ => {
            found.insert(name.to_owned());
        }
    }
}

#[test]
fn every_field_of_the_status_is_in_its_table() {
    let wrap = Wrap::new(POLICY);
    let state = wrap.dir().join("state");
    let gate = wrap.keeping_in(&state).serve(&json!(["echo"]));
    gate.serves(1);
    assert!(gate.ask(call(2)).contains("Limit reached"));
    fs::write(gate.policy_file(), "{").unwrap();
    let begun = Instant::now();
    let said: Value = loop {
        let mut command = callgate(gate.dir());
        let words = ["status", "--format", "json", "--state"];
        let output = command.args(words).arg(&state).output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let grant = &said["grants"][0];
        let is_logged = grant["last_denials"].as_array().is_some_and(|denials| !denials.is_empty());
        if is_logged && grant["sessions"][0]["policy_rejected"].is_string() {
            break said;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{said:#}");
    };
    let mut printed = BTreeSet::new();
    leaves(&said, "", &mut printed);
    let page = Page::topic("status");
    let rows = page.table("field | meaning");
    let told: BTreeSet<String> =
        rows.iter().flat_map(|row| quoted(row[0])).map(str::to_owned).collect();
    assert_eq!(told, printed);
}
