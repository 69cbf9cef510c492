//! The policies that a scan proposes are valid, and rule each tool by its class.

use callgate::engine::compile::compile;
use callgate::engine::compile::review::Findings;
use callgate::engine::propose::class::Class;
use callgate::engine::propose::listed_tool::ListedTool;
use callgate::engine::propose::matrix::{Disposition, disposition};
use callgate::engine::propose::proposal::{Proposals, Unnamed};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof};
use proptest::proptest;
use proptest::sample::select;
use serde_json::{Value, json};

use super::classes::{sessions, tools_of};
use crate::policy::schema::{takes, validator};

/// A policy for a list of tools.
pub(crate) fn policy_for(tools: &[Value]) -> String {
    let tools: Vec<ListedTool> = tools.iter().filter_map(ListedTool::read).collect();
    Proposals::for_list(&tools, None).document("A proposal.")
}

/// The diagnostics that `check` reports for a policy.
fn diagnostics(policy: &str) -> Vec<String> {
    let findings = Findings::of(policy.as_bytes());
    assert!(findings.policy.is_some(), "{:#?}\n{policy}", findings.diagnostics);
    findings.diagnostics.iter().map(|found| found.message.clone()).collect()
}

#[test]
fn the_policy_of_every_recorded_server_passes_check_and_fits_the_schema() {
    let schema = validator();
    let mut count = 0;
    for session in sessions() {
        let tools = tools_of(&session);
        let policy = policy_for(&tools);
        if tools.is_empty() {
            continue;
        }
        count += 1;
        assert_eq!(diagnostics(&policy), [""; 0], "{}", session.display());
        takes(&schema, &serde_json::from_str(&policy).unwrap(), &session.display().to_string());
    }
    assert!(count >= 30, "only {count}");
}

/// The rule that `PolicyLayer` publishes for its best-known tool.
#[test]
fn the_rule_for_image_generate_is_the_published_one() {
    let sessions = sessions();
    let session = sessions.iter().find(|session| session.ends_with("iteratools.jsonl")).unwrap();
    let policy: Value = serde_json::from_str(&policy_for(&tools_of(session))).unwrap();
    let published = r#"{"limits":[{"counter":"image_generate_rate","window":"minute","max":30,"scope":"grant"}]}"#;
    let published: Value = serde_json::from_str(published).unwrap();
    assert_eq!(policy["tools"]["image_generate"], published);
    assert_eq!(policy["default"], "deny");
    assert_eq!(policy["version"], "1");
}

#[test]
fn each_class_has_its_rule() {
    let names = ["get_x", "create_x", "run_x", "delete_x", "pay_x", "frobnicate"];
    let tools: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
    let policy: Value = serde_json::from_str(&policy_for(&tools)).unwrap();
    let limits = |tool: &str, max: u32| json!({ "limits": [{ "counter": format!("{tool}_rate"), "window": "minute", "max": max, "scope": "grant" }] });
    assert_eq!(policy["tools"]["get_x"], json!({}));
    assert_eq!(policy["tools"]["create_x"], limits("create_x", 30));
    assert_eq!(policy["tools"]["run_x"], limits("run_x", 10));
    assert_eq!(policy["hide"], json!(["delete_x"]));
    assert_eq!(policy["tools"]["pay_x"]["action"], "require_approval");
    assert_eq!(policy["tools"]["frobnicate"]["action"], "require_approval");
    assert_ne!(policy["tools"]["frobnicate"]["reason"], policy["tools"]["pay_x"]["reason"]);
    assert_eq!(policy["tools"].as_object().unwrap().len(), 5);
}

#[test]
fn tools_that_a_policy_cannot_name_are_left_to_the_default() {
    let long = "x".repeat(257);
    let names = [
        "search",
        "get_*",
        "what?",
        "",
        "de\u{200d}lete",
        " search",
        "Search",
        "search",
        long.as_str(),
        "a\u{1b}[2J",
        "b",
    ];
    let tools: Vec<ListedTool> = names.iter().map(|name| ListedTool::named(name)).collect();
    let proposals = Proposals::for_list(&tools, None);
    let named: Vec<&str> = proposals.entries.iter().map(|entry| entry.tool.as_str()).collect();
    assert_eq!(named, ["search", "b"]);
    let unnamed: Vec<(&str, Unnamed)> =
        proposals.unnamed.iter().map(|(tool, why)| (tool.as_str(), *why)).collect();
    assert_eq!(
        unnamed,
        [
            ("get_*", Unnamed::Pattern),
            ("what?", Unnamed::Pattern),
            ("", Unnamed::Empty),
            ("de\u{200d}lete", Unnamed::Invisible),
            (" search", Unnamed::Invisible),
            ("Search", Unnamed::Confusable),
            (long.as_str(), Unnamed::TooLong),
            ("a\u{1b}[2J", Unnamed::Invisible),
        ]
    );
    let policy = compile(proposals.document("x").as_bytes()).unwrap();
    for (tool, _) in unnamed {
        assert_eq!(disposition(&policy, tool), Disposition::Deny, "{tool:?}");
    }
}

/// A tool that is listed twice is judged by the worse of the two.
#[test]
fn a_tool_that_is_listed_twice_has_one_entry() {
    let tools = [
        json!({ "name": "x", "description": "Get a thing." }),
        json!({ "name": "x", "description": "Delete a thing." }),
        json!({ "name": "x", "description": "Create a thing." }),
    ];
    let policy: Value = serde_json::from_str(&policy_for(&tools)).unwrap();
    assert_eq!((&policy["hide"], &policy["tools"]), (&json!(["x"]), &json!({})));
}

#[test]
fn a_server_without_tools_gets_a_policy_that_denies_all() {
    let policy = policy_for(&[]);
    assert_eq!(
        policy,
        "{\n  \"version\": \"1\",\n  \"description\": \"A proposal.\",\n  \"default\": \"deny\",\n  \"tools\": {}\n}\n"
    );
    compile(policy.as_bytes()).unwrap();
}

#[test]
fn thousands_of_tools_get_a_policy() {
    let tools: Vec<ListedTool> = (0..20_000)
        .map(|nth| ListedTool::named(&format!("{}_{nth}", ["get", "create", "delete"][nth % 3])))
        .collect();
    let proposals = Proposals::for_list(&tools, None);
    assert_eq!(proposals.entries.len(), tools.len());
    let policy = compile(proposals.document("x").as_bytes()).unwrap();
    assert_eq!(disposition(&policy, "create_1"), Disposition::Limited);
    assert_eq!(disposition(&policy, "delete_2"), Disposition::Hidden);
}

/// Names as servers have them, and names that none should have.
fn any_name() -> impl Strategy<Value = String> {
    let words = [
        "get", "delete", "run", "pay", "create", "file", "all", "Git", "payment", "*", "?",
        "\u{200b}", "\u{202e}", "\"", "\\", "/", "~", "ﬁ", "é", "\n", " ", "_rate",
    ];
    let word =
        prop_oneof![4 => select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>()];
    vec(word, 0..4).prop_map(|words| words.join("_"))
}

pub(crate) fn any_tool() -> impl Strategy<Value = Value> {
    let hint = || select(vec![json!(true), json!(false), json!(null), json!(7)]);
    let description = prop_oneof![
        select(&["Delete it.", "Run `x`", "", "Gets, then sells \u{1b}[2J"][..])
            .prop_map(str::to_owned),
        any::<String>()
    ];
    (any_name(), description, hint(), hint(), vec(any_name(), 0..4)).prop_map(
        |(name, description, read_only, destructive, arguments)| {
            let properties: serde_json::Map<String, Value> =
                arguments.into_iter().map(|name| (name, json!({}))).collect();
            json!({
                "name": name,
                "description": description,
                "annotations": { "readOnlyHint": read_only, "destructiveHint": destructive },
                "inputSchema": { "type": "object", "properties": properties },
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a server lists, the policy is valid and decides each tool by its class. `check` reports at most that it
    /// may permit nothing.
    #[test]
    fn any_list_of_tools_gets_a_valid_policy(list in vec(any_tool(), 0..12)) {
        let tools: Vec<ListedTool> = list.iter().filter_map(ListedTool::read).collect();
        let proposals = Proposals::for_list(&tools, None);
        let text = proposals.document("A proposal.");
        let said = diagnostics(&text);
        let permits_none = said.iter().all(|said| said.starts_with("this policy denies every call"));
        prop_assert!(permits_none, "{said:?}\n{text}");
        let policy = compile(text.as_bytes()).unwrap();
        for entry in &proposals.entries {
            let expected = match entry.verdict.class {
                Class::Read => Disposition::Allow,
                Class::Write | Class::Execute => Disposition::Limited,
                Class::Unknown | Class::Financial => Disposition::Ask,
                Class::Destructive => Disposition::Hidden,
            };
            prop_assert_eq!(disposition(&policy, &entry.tool), expected, "{}", entry.tool);
        }
        for tool in &tools {
            let is_entry = proposals.entries.iter().any(|entry| entry.tool == tool.name);
            let is_unnamed = proposals.unnamed.iter().any(|(name, _)| *name == tool.name);
            prop_assert!(is_entry != is_unnamed, "{}", tool.name);
            prop_assert!(is_entry || disposition(&policy, &tool.name) == Disposition::Deny);
        }
    }
}
