//! The tables of the page name every option, field and operator that there is, and no other.

use std::collections::BTreeSet;
use std::process::Command;

use callgate::command::schema::POLICY_SCHEMA;
use callgate::engine::compile::compile;
use regex::Regex;
use serde_json::Value;

use super::page::{Page, quoted};

/// The options of `callgate wrap`, as `-h` prints them.
#[test]
fn every_option_is_in_the_table() {
    let help = Command::new(env!("CARGO_BIN_EXE_callgate")).args(["wrap", "-h"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let line = Regex::new(r"(?m)^ +(?:(-\w), )?(--[\w-]+)(?: <(\w+)>)? +(.*)$").unwrap();
    let fact = |text: &str, name: &str| {
        let fact = Regex::new(&format!(r"\[{name}: (\w+)=?\]")).unwrap();
        fact.captures(text).map_or(String::new(), |found| format!("`{}`", &found[1]))
    };
    let told: BTreeSet<[String; 3]> = line
        .captures_iter(&help)
        .map(|option| {
            let short =
                option.get(1).map_or(String::new(), |name| format!("`{}`, ", name.as_str()));
            let value = option.get(3).map_or(String::new(), |name| format!(" {}", name.as_str()));
            let name = format!("{short}`{}{value}`", &option[2]);
            [name, fact(&option[4], "env"), fact(&option[4], "default")]
        })
        .collect();
    assert!(told.len() >= 8, "{help}");
    let page = Page::read();
    let rows = page.table("## Command", "option | environment | default |");
    let said = rows.iter().map(|row| {
        // What is no default in backticks is a word for people: `off`, `required`.
        let default = if row[2].starts_with('`') { row[2] } else { "" };
        [row[0], row[1], default].map(str::to_owned)
    });
    assert_eq!(said.collect::<BTreeSet<_>>(), told);
}

/// The first cells of a table: names in backticks.
fn names<'p>(page: &'p Page, heading: &str, titles: &str) -> BTreeSet<&'p str> {
    page.table(heading, titles).iter().flat_map(|row| quoted(row[0])).collect()
}

/// The events of the audit log with their fields, as the code that writes them names them.
#[test]
fn every_event_of_the_log_is_in_the_table() {
    let code = std::fs::read_to_string(super::root().join("src/shell/audit/lines.rs")).unwrap();
    let (_, code) = code.split_once("pub enum Event<'a> {\n").unwrap();
    let (code, _) = code.split_once("\n}\n").unwrap();
    let page = Page::read();
    let rows = page.table("### What is on record", "event | its own fields");
    let name = Regex::new(r"^    (\w+) \{$|^        (\w+): ").unwrap();
    let humps = Regex::new("([a-z])([A-Z])").unwrap();
    let mut count = 0;
    let mut said = Vec::new();
    for line in code.lines() {
        let Some(found) = name.captures(line) else { continue };
        count += 1;
        if let Some(event) = found.get(1) {
            let words = humps.replace_all(event.as_str(), "${1}_$2");
            let event = format!("`{}`", words.to_lowercase());
            let row = rows.iter().find(|row| row[0] == event);
            said = quoted(row.unwrap_or_else(|| panic!("{event} is not in the table"))[1]);
        } else {
            assert!(said.contains(&&found[2]), "`{}` is not in the table", &found[2]);
        }
    }
    assert!(count >= 40, "only {count} events and fields");
}

/// The names that the compiler offers in the place of one that it does not know.
fn offered(policy: &str) -> BTreeSet<String> {
    let problems = compile(policy.as_bytes()).expect_err("a problem");
    let texts = problems.iter().map(|problem| match &problem.help {
        Some(help) if help.starts_with("known here") => help.clone(),
        _ => problem.message.split(", found ").next().unwrap_or_default().to_owned(),
    });
    let texts: Vec<String> = texts.filter(|text| text.matches('`').count() > 4).collect();
    assert_eq!(texts.len(), 1, "{problems:#?}");
    quoted(&texts[0]).into_iter().map(str::to_owned).collect()
}

/// The names at a place of the schema: fields, or words to choose from.
fn names_in_schema<'s>(schema: &'s Value, pointer: &str) -> BTreeSet<&'s str> {
    match schema.pointer(pointer) {
        Some(Value::Object(fields)) => fields.keys().map(String::as_str).collect(),
        Some(Value::Array(words)) => {
            words.iter().map(|word| word["const"].as_str().unwrap()).collect()
        }
        other => panic!("{pointer}: {other:?}"),
    }
}

/// SPEC P1: the compiler knows these fields and operators, and no others.
#[test]
fn every_field_and_operator_is_in_its_table() {
    let page = Page::read();
    let schema: Value = serde_json::from_str(POLICY_SCHEMA).unwrap();
    let document = |rest: &str| format!(r#"{{"version":"1","default":"deny",{rest}}}"#);
    let rule = |rest: &str| document(&format!(r#""tools":{{"t":{{{rest}}}}}"#));
    let limit = r#""counter":"c","max":1"#;
    for (heading, titles, policy, in_schema) in [
        ("### The document", "field | meaning", document(r#""0":0"#), "/properties"),
        ("### Rules", "field | meaning", rule(r#""0":0"#), "/$defs/rule/properties"),
        (
            "### Limits",
            "field | default | meaning",
            rule(&format!(r#""limits":[{{{limit},"window":1,"0":0}}]"#)),
            "/$defs/limit/properties",
        ),
        (
            "### Tests",
            "field | default | meaning",
            document(r#""tests":[{"name":"n","tool":"t","expect":"allow","0":0}]"#),
            "/$defs/test/properties",
        ),
        (
            "### Conditions",
            "operator | value | holds if what is found",
            rule(r#""require":[{"conditions":[{"path":"args","op":"0","value":0}]}]"#),
            "/$defs/condition/properties/op/oneOf",
        ),
    ] {
        let offered = offered(&policy);
        let offered: BTreeSet<&str> = offered.iter().map(String::as_str).collect();
        assert_eq!(names(&page, heading, titles), offered, "{heading}");
        assert_eq!(names_in_schema(&schema, in_schema), offered, "{in_schema} of the schema");
    }
    let windows = offered(&rule(&format!(r#""limits":[{{{limit},"window":"0"}}]"#)));
    let rows = page.table("### Limits", "field | default | meaning");
    let row = rows.iter().find(|row| row[0] == "`window`").unwrap();
    for window in windows {
        assert!(row[2].contains(&format!(r#"`"{window}"`"#)), "{window}");
    }
}
