//! Adding tools to a policy that a person wrote changes nothing but the additions.

use callgate::engine::compile::compile;
use callgate::engine::propose::extend::extend;
use callgate::engine::propose::listed_tool::ListedTool;
use callgate::engine::propose::proposal::{Proposal, Proposals, Treatment};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, prop_assert, prop_assert_eq};
use proptest::proptest;
use proptest::sample::select;
use serde_json::Value;

use super::policies::any_tool;

fn proposals(names: &[&str]) -> Vec<Proposal> {
    let tools: Vec<ListedTool> = names.iter().map(|name| ListedTool::named(name)).collect();
    Proposals::for_list(&tools, None).entries
}

/// A policy before and after the addition of tools.
#[test]
fn entries_are_laid_out_as_those_before_them() {
    let limits = r#"[
        { "counter": "create_x_rate", "window": "minute", "max": 30, "scope": "grant" }
      ]"#;
    let rows = [
        // As a scan writes it.
        (
            "{\n  \"version\": \"1\",\n  \"default\": \"deny\",\n  \"hide\": [\n    \"old\"\n  ],\n  \"tools\": {\n    \"a\": {}\n  }\n}\n".to_owned(),
            format!("{{\n  \"version\": \"1\",\n  \"default\": \"deny\",\n  \"hide\": [\n    \"old\",\n    \"delete_x\"\n  ],\n  \"tools\": {{\n    \"a\": {{}},\n    \"get_x\": {{}},\n    \"create_x\": {{\n      \"limits\": {limits}\n    }}\n  }}\n}}\n"),
        ),
        // Lists on one line, and no line end after the last brace.
        (
            "{\n  \"version\": \"1\", \"default\": \"deny\", \"hide\": [\"old\"],\n  \"tools\": { \"a\": {} }\n}".to_owned(),
            "{\n  \"version\": \"1\", \"default\": \"deny\", \"hide\": [\"old\", \"delete_x\"],\n  \"tools\": { \"a\": {}, \"get_x\": {}, \"create_x\": { \"limits\": [ { \"counter\": \"create_x_rate\", \"window\": \"minute\", \"max\": 30, \"scope\": \"grant\" } ] } }\n}".to_owned(),
        ),
        // Empty lists, tabs.
        (
            "{\n\t\"version\": \"1\",\n\t\"tools\": {},\n\t\"hide\": [],\n\t\"default\": \"deny\"\n}\n".to_owned(),
            "{\n\t\"version\": \"1\",\n\t\"tools\": {\n\t\t\"get_x\": {},\n\t\t\"create_x\": {\n\t\t\t\"limits\": [\n\t\t\t\t{ \"counter\": \"create_x_rate\", \"window\": \"minute\", \"max\": 30, \"scope\": \"grant\" }\n\t\t\t]\n\t\t}\n\t},\n\t\"hide\": [\n\t\t\"delete_x\"\n\t],\n\t\"default\": \"deny\"\n}\n".to_owned(),
        ),
        // Missing lists; four blanks; another kind of line end.
        (
            "{\r\n    \"version\": \"1\",\r\n    \"default\": \"deny\"\r\n}\r\n".to_owned(),
            "{\r\n    \"version\": \"1\",\r\n    \"default\": \"deny\",\r\n    \"hide\": [\r\n        \"delete_x\"\r\n    ],\r\n    \"tools\": {\r\n        \"get_x\": {},\r\n        \"create_x\": {\r\n            \"limits\": [\r\n                { \"counter\": \"create_x_rate\", \"window\": \"minute\", \"max\": 30, \"scope\": \"grant\" }\r\n            ]\r\n        }\r\n    }\r\n}\r\n".to_owned(),
        ),
        // All on one line.
        (
            "{\"version\":\"1\",\"default\":\"deny\"}".to_owned(),
            "{\"version\":\"1\",\"default\":\"deny\", \"hide\": [ \"delete_x\" ], \"tools\": { \"get_x\": {}, \"create_x\": { \"limits\": [ { \"counter\": \"create_x_rate\", \"window\": \"minute\", \"max\": 30, \"scope\": \"grant\" } ] } }}".to_owned(),
        ),
        // An open, empty list.
        (
            "{\n  \"version\": \"1\", \"default\": \"deny\", \"hide\": [\n  ], \"tools\": {\n\n  }\n}\n".to_owned(),
            format!("{{\n  \"version\": \"1\", \"default\": \"deny\", \"hide\": [\n    \"delete_x\"\n  ], \"tools\": {{\n    \"get_x\": {{}},\n    \"create_x\": {{\n      \"limits\": {limits}\n    }}\n\n  }}\n}}\n"),
        ),
    ];
    for (before, after) in rows {
        compile(before.as_bytes()).unwrap();
        let extended = extend(&before, &proposals(&["get_x", "delete_x", "create_x"])).unwrap();
        assert_eq!(extended, after);
        compile(extended.as_bytes()).unwrap();
    }
}

#[test]
fn a_counter_of_the_policy_is_not_shared() {
    let before = r#"{"version":"1","default":"deny","tools":{"y":{"limits":[{"counter":"create_x_rate","window":"minute","max":1}]}}}"#;
    let policy = compile(before.as_bytes()).unwrap();
    let proposals = Proposals::for_list(&[ListedTool::named("create_x")], Some(&policy));
    let after = extend(before, &proposals.entries).unwrap();
    let after: Value = serde_json::from_str(&after).unwrap();
    assert_eq!(after["tools"]["create_x"]["limits"][0]["counter"], "create_x_rate_");
}

#[test]
fn tools_that_the_policy_names_or_confuses_are_not_added() {
    let before = r#"{"version":"1","default":"allow","hide":["secret_*"],"tools":{"delete_*":{"action":"deny"},"Search":{}}}"#;
    let policy = compile(before.as_bytes()).unwrap();
    let names = ["delete_x", "secret_get", "Search", "search", "get_x", "DELETE_Y"];
    let tools: Vec<ListedTool> = names.iter().map(|name| ListedTool::named(name)).collect();
    let proposals = Proposals::for_list(&tools, Some(&policy));
    let added: Vec<&str> = proposals.entries.iter().map(|entry| entry.tool.as_str()).collect();
    let unnamed: Vec<&str> = proposals.unnamed.iter().map(|(tool, _)| tool.as_str()).collect();
    assert_eq!((added, proposals.known), (vec!["get_x"], 3));
    assert_eq!(unnamed, ["search", "DELETE_Y"]);
}

/// A document in some layout: its tokens with arbitrary white space between them.
fn laid_out(json: &str, spaces: &[&str]) -> String {
    let mut text = String::new();
    let mut in_string = false;
    let mut spaces = spaces.iter().cycle();
    for c in json.chars() {
        // Names in these documents contain no quotes.
        in_string ^= c == '"';
        let is_mark = !in_string && "{}[],:".contains(c);
        if is_mark {
            text.push_str(spaces.next().unwrap());
        }
        text.push(c);
        if is_mark {
            text.push_str(spaces.next().unwrap());
        }
    }
    text
}

/// Tools with names that suit [`laid_out`].
fn any_list() -> impl Strategy<Value = Vec<Value>> {
    vec(any_tool(), 0..6).prop_map(|mut tools| {
        tools.retain(|tool| !tool["name"].as_str().unwrap().contains(['"', '\\']));
        tools
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// The old text remains, byte for byte and in order; the new entries are at the end of its lists.
    #[test]
    fn no_byte_of_the_old_text_changes(
        old in any_list(),
        new in any_list(),
        spaces in vec(select(&["", " ", "\n", "\t", "\r\n", "\n    ", "\n\n  "][..]), 1..40),
        without in select(&["hide", "tools", "none"][..]),
    ) {
        let read = |tools: &[Value]| -> Vec<ListedTool> { tools.iter().filter_map(ListedTool::read).collect() };
        let text = Proposals::for_list(&read(&old), None).document("x");
        let mut before: Value = serde_json::from_str(&text).unwrap();
        before.as_object_mut().unwrap().remove(without);
        let text = laid_out(&before.to_string(), &spaces);
        let policy = compile(text.as_bytes()).unwrap();
        let proposals = Proposals::for_list(&read(&new), Some(&policy));
        let after = extend(&text, &proposals.entries).unwrap();
        let mut rest = after.as_str();
        for c in text.chars() {
            let at = rest.find(c);
            prop_assert!(at.is_some(), "{text:?}\n{after:?}");
            rest = &rest[at.unwrap() + c.len_utf8()..];
        }
        let added = Proposals { entries: proposals.entries.clone(), ..Proposals::default() };
        let added: Value = serde_json::from_str(&added.document("x")).unwrap();
        let after_policy = compile(after.as_bytes());
        prop_assert!(after_policy.is_ok(), "{after_policy:?}\n{after}");
        let after: Value = serde_json::from_str(&after).unwrap();
        for (hidden, at) in proposals.entries.iter().filter(|entry| entry.treatment == Treatment::Hide).zip(before["hide"].as_array().map_or(0, Vec::len)..) {
            prop_assert_eq!(after["hide"][at].as_str(), Some(hidden.tool.as_str()));
        }
        let mut expected = before.clone();
        for (name, rule) in added["tools"].as_object().unwrap() {
            expected["tools"][name] = rule.clone();
        }
        if let Some(hide) = added["hide"].as_array() {
            let all = before["hide"].as_array().into_iter().flatten().chain(hide);
            expected["hide"] = all.cloned().collect();
        }
        prop_assert_eq!(after, expected);
    }

    /// Scanning a part of the tools and then all of them equals scanning all of them.
    #[test]
    fn an_update_of_a_scan_is_a_scan(list in vec(any_tool(), 0..12), split in 0_usize..12) {
        let tools: Vec<ListedTool> = list.iter().filter_map(ListedTool::read).collect();
        let first = &tools[..split.min(tools.len())];
        let part = Proposals::for_list(first, None);
        let is_hidden = |entry: &Proposal| entry.treatment == Treatment::Hide;
        let names: Vec<&str> = first.iter().map(|tool| tool.name.as_str()).collect();
        let is_told_twice = tools[names.len()..].iter().any(|tool| names.contains(&tool.name.as_str()));
        // A new list goes to the end, and a tool that is listed twice is judged anew.
        if part.entries.iter().any(is_hidden) && !is_told_twice {
            let text = part.document("x");
            let policy = compile(text.as_bytes()).unwrap();
            let rest = Proposals::for_list(&tools, Some(&policy));
            let whole = Proposals::for_list(&tools, None);
            prop_assert_eq!(extend(&text, &rest.entries).unwrap(), whole.document("x"));
        }
    }
}
