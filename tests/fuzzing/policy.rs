//! Arbitrary bytes as a policy file. Either the file has problems at places inside it, or the policy decides any call,
//! and names rules that exist.

use std::path::Path;
use std::str;

use callgate::command::show::diagnostics::SourceFile;
use callgate::command::show::explanation;
use callgate::engine::compile::compile;
use callgate::engine::compile::diagnostic::Severity;
use callgate::engine::compile::fields::{Position, Problem};
use callgate::engine::compile::review::Findings;
use callgate::engine::decide::explain::explain;
use callgate::engine::decide::narrate;
use callgate::engine::json::arguments::Arguments;
use callgate::engine::limits::{MemoryLedger, Now};
use callgate::engine::policy::{BuiltIn, Policy};
use callgate::engine::propose::matrix::{Disposition, disposition};
use callgate::engine::text::escape::is_hidden;
use callgate::engine::wire::line::Side;
use callgate::engine::wire::mcp::ToolCall;
use serde_json::Value;

use super::call;
use super::peer;
use super::relay::Relay;

/// Arguments for a call of every tool.
const ARGUMENTS: [&str; 4] = [
    "{}",
    r#"{"a":1,"b":"x","amount":2.5,"list":[1,"two",null,{"x":3}]}"#,
    r#"{"A":1,"a":{"b":{"c":[]}},"n":1e400,"s":"\ud800"}"#,
    r#"{"amount":0.000000001,"path":"../etc","x":true,"y":null}"#,
];

/// The input is a policy file.
pub(crate) fn check(file: &[u8]) {
    check_words(file);
    match compile(file) {
        Ok(policy) => {
            let text = str::from_utf8(file).expect("a policy in UTF-8");
            assert!(peer::is_json(file) && !peer::has_duplicates(text), "not strict JSON");
            use_it(policy, text);
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            assert!(problems.is_sorted_by_key(|problem| problem.at), "not in file order");
            for problem in &problems {
                check_place(problem, file);
            }
        }
    }
}

/// The output of `callgate check`: it refers to places in the file, contains no terminal control characters, and shows
/// lines of the file.
fn check_words(file: &[u8]) {
    let findings = Findings::of(file);
    let source = SourceFile::new(Path::new("policy.json"), file);
    for diagnostic in &findings.diagnostics {
        assert!(diagnostic.at <= file.len(), "{diagnostic:?} is outside");
        for columns in [0, 80] {
            let shown = source.show(diagnostic, columns, false);
            assert!(!shown.chars().any(|c| c != '\n' && is_hidden(c)), "{shown:?}");
            // The source line and its marker, each after a bar.
            let margin = |c: char| c == ' ' || c.is_ascii_digit();
            let drawn =
                shown.lines().filter(|line| line.trim_start_matches(margin).starts_with('|'));
            for line in drawn.filter(|_| columns == 80) {
                assert!(line.chars().count() <= 80 + diagnostic.message.len(), "{line:?}");
            }
        }
        let json = serde_json::to_value(source.json(diagnostic)).expect("JSON");
        assert!(json["line"].as_u64().is_some_and(|line| line > 0), "{json}");
    }
    assert_eq!(
        findings.policy.is_none() || findings.failed > 0,
        findings.count(Severity::Error) > 0
    );
}

/// contract P1: each problem has its place in the file.
fn check_place(problem: &Problem, file: &[u8]) {
    assert!(problem.at <= file.len(), "{problem:?} is outside");
    assert!(!problem.message.is_empty() && problem.help != Some(String::new()), "{problem:?}");
    let Position { line, column } = Position::of(problem.at, file);
    let text = file.split(|&byte| byte == b'\n').nth(line - 1).expect("a line of the file");
    assert!((1..=text.len() + 1).contains(&column), "{problem:?} is beyond its line");
    let clean = str::from_utf8(file).is_ok_and(|text| !peer::has_duplicates(text));
    // A name that is too long is shortened in messages.
    let whole = !problem.pointer.contains('…');
    if let Some(document) = parse(file).filter(|_| clean && whole) {
        assert!(document.pointer(&problem.pointer).is_some(), "{problem:?} points nowhere");
    }
}

/// Calls every tool that the policy names.
fn use_it(policy: Policy, text: &str) {
    let document = parse(text.as_bytes());
    for tool in tools(document.as_ref()) {
        for arguments in ARGUMENTS {
            check_explanation(&policy, &tool, arguments);
        }
    }
    let mut relay = Relay::new(policy, false);
    let mut ids = 0..;
    for tool in tools(document.as_ref()) {
        let tool = serde_json::to_string(&tool).expect("a string");
        let listed = format!(r#"{{"id":0,"result":{{"tools":[{{"name":{tool}}}]}}}}"#);
        relay.send(Side::Client, br#"{"id":0,"method":"tools/list"}"#);
        relay.send(Side::Server, listed.as_bytes());
        for (arguments, id) in ARGUMENTS.iter().zip(&mut ids) {
            let call = call(&format!("\"{id}\""), &tool, arguments);
            relay.send(Side::Client, call.as_bytes());
        }
    }
    relay.abandon();
    for answer in &relay.answers {
        check_rule(answer, document.as_ref());
    }
}

/// The explanation of a denied call includes a check of the rule that denies it.
fn check_explanation(policy: &Policy, tool: &str, arguments: &str) {
    let arguments = Arguments::parse(arguments).expect("arguments");
    let call = ToolCall::of(tool, arguments);
    let mut ledger = MemoryLedger::default();
    let explanation = explain(policy, &call, None, &mut ledger, Now::default());
    let (ruling, disposition) = (&explanation.ruling, disposition(policy, tool));
    match disposition {
        Disposition::Allow => assert!(ruling.outcome.is_allowed(), "{tool} {ruling:?}"),
        Disposition::Ask | Disposition::Deny => {
            assert!(!ruling.outcome.is_allowed(), "{tool} {ruling:?}");
        }
        Disposition::Hidden => assert_eq!(ruling.rule, BuiltIn::Hidden, "{tool}"),
        Disposition::Conditional | Disposition::Limited => {}
    }
    let lines = narrate::lines(&explanation);
    assert!(!lines.iter().any(|line| line.chars().any(is_hidden)), "{lines:?}");
    let told = lines.iter().any(|line| line.contains("the call is denied"));
    let asked = lines.iter().any(|line| line.contains("a human must approve"));
    let expected = explanation.ruling.outcome;
    assert!(expected.is_allowed() || told || asked, "{expected:?} in {lines:?}");
    assert_eq!(explanation::json(&explanation).len(), explanation.trace.len());
}

/// A tool for each name and pattern in the policy, and one unknown to it. Only the first few are used: a policy may
/// have thousands.
fn tools(document: Option<&Value>) -> Vec<String> {
    let of = |field: &str| document.and_then(|document| document.get(field));
    let keys = of("tools").and_then(Value::as_object).into_iter().flat_map(|tools| tools.keys());
    let hidden = of("hide").and_then(Value::as_array).into_iter().flatten();
    let names = keys.map(String::as_str).chain(hidden.filter_map(Value::as_str));
    let named = names.map(|name| name.replace('*', "x_y").replace('?', "é"));
    let upper = ["UNKNOWN".to_owned()].into_iter();
    upper.chain(named).take(20).collect()
}

/// contract 3.5: a decision names the rule that made it, by a pointer into the policy or a name in parentheses.
fn check_rule(answer: &[u8], document: Option<&Value>) {
    let Some(answer) = parse(answer) else { return };
    let Some(rule) = answer.pointer("/result/_meta/callgate~1decision/rule") else { return };
    let rule = rule.as_str().expect("a rule is a string");
    let named = rule.starts_with('(') && rule.ends_with(')');
    let found = document.is_none_or(|document| document.pointer(rule).is_some());
    assert!(named || rule.starts_with('/') && found, "the rule {rule:?} is nowhere");
}

/// The document, if `serde_json` can read it: numbers fit a double, strings have no lone surrogates, depth is at most
/// 128.
fn parse(text: &[u8]) -> Option<Value> {
    serde_json::from_slice(text).ok()
}
