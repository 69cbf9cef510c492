//! The work budgets of a decision (contract 3.5), of a policy's tests (P16), and of records and explanations.

use std::sync::Arc;
use std::time::Duration;

use callgate::engine::compile::compile;
use callgate::engine::compile::review::Findings;
use callgate::engine::decide::decide_observed;
use callgate::engine::json::arguments::Arguments;
use callgate::engine::limits::{MemoryLedger, Now};
use callgate::engine::policy::path::ArgPath;
use callgate::engine::policy::{BuiltIn, Mode, Policy};
use callgate::engine::session::arguments_record::excerpt;
use callgate::engine::session::audit_record::Record;
use callgate::engine::session::{RecordDetail, Session, SessionOptions, Step};
use callgate::engine::wire::line::Side;
use callgate::engine::wire::mcp::ToolCall;
use callgate::engine::work::Work;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// The most time for a decision and its line. The machine may be slow, and test builds are not optimised.
const BOUND: Duration = Duration::from_millis(if cfg!(debug_assertions) { 60_000 } else { 500 });

/// A call that takes much work.
struct Costly {
    why: &'static str,
    policy: Value,
    arguments: String,
    /// True if the call can be decided within the budget.
    is_decided: bool,
}

/// A policy that denies the call by each of these conditions.
fn deny_if(conditions: &[Value]) -> Value {
    let clauses: Vec<Value> =
        conditions.iter().map(|condition| json!({ "conditions": [condition] })).collect();
    json!({ "version": "1", "default": "deny", "tools": { "a": { "deny_if": clauses } } })
}

fn list_of(element: &str, bytes: usize) -> String {
    let elements = vec![element; bytes / (element.len() + 1)];
    format!(r#"{{"x":[{}]}}"#, elements.join(","))
}

/// A MiB is a lot for tests without optimisation.
const MIB: usize = 1024 * 1024;

fn costly() -> Vec<Costly> {
    let numbers: Vec<u32> = (100..1100).collect();
    let thirty: Vec<Value> = (0..30)
        .map(|nth| json!({ "path": format!("args.x[*].k{nth}"), "op": "eq", "value": 1 }))
        .collect();
    let row = |why, policy, arguments, is_decided| Costly { why, policy, arguments, is_decided };
    vec![
        row(
            "`in` with many numbers on many elements",
            deny_if(&[json!({ "path": "args.x[*]", "op": "in", "value": numbers })]),
            list_of("9", MIB),
            true,
        ),
        row(
            "thirty conditions that each go through everything",
            deny_if(&thirty),
            list_of(r#"{"a":1}"#, 6 * MIB),
            false,
        ),
        row(
            "a pattern with many places to look at for each byte",
            deny_if(&[json!({ "path": "args.x", "op": "regex", "value": "[01]*1[01]{40}2" })]),
            format!(r#"{{"x":"{}"}}"#, "0110".repeat(MIB / 4)),
            false,
        ),
        row(
            "a number of a million digits, compared many times",
            deny_if(&vec![json!({ "path": "args.x", "op": "gt", "value": 7 }); 30]),
            format!(r#"{{"x":0.{}}}"#, "1".repeat(MIB)),
            false,
        ),
        row(
            "keys that have to be folded",
            deny_if(&vec![json!({ "path": "args.x.key", "op": "exists", "value": true }); 30]),
            format!(
                r#"{{"x":{{{}}}}}"#,
                (0..40_000).map(|nth| format!("\"é{nth}\":0")).collect::<Vec<_>>().join(",")
            ),
            false,
        ),
        row(
            "many arguments, looked through for each condition",
            deny_if(&vec![json!({ "path": "args.key", "op": "exists", "value": true }); 60]),
            format!(
                "{{{}}}",
                (0..200_000).map(|nth| format!("\"k{nth}\":0")).collect::<Vec<_>>().join(",")
            ),
            false,
        ),
        row(
            "a text that is unescaped for each condition",
            deny_if(&vec![json!({ "path": "args.x", "op": "contains", "value": "n" }); 60]),
            format!(r#"{{"x":"{}"}}"#, "\\u0061".repeat(MIB / 6)),
            false,
        ),
    ]
}

fn call(name: &str, arguments: &str) -> String {
    let name = Value::from(name);
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":{name},"arguments":{arguments}}}}}"#
    )
}

fn policy(text: &Value) -> Policy {
    compile(text.to_string().as_bytes()).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

fn decide(session: &mut Session, side: Side, line: &str) -> Step {
    session.handle_with(&mut MemoryLedger::default(), side, line.as_bytes(), Now::default())
}

fn first_record(step: Step) -> Option<Record> {
    step.into_records().into_iter().next()
}

/// contract 3.5: each call is decided within the budget or denied, in bounded time and with a clear message; the next
/// call is decided normally.
#[test]
fn no_call_takes_more_than_the_budget() {
    for Costly { why, policy: text, arguments, is_decided } in costly() {
        let options = SessionOptions { records: RecordDetail::Values, ..SessionOptions::default() };
        let mut session = Session::new(Arc::new(policy(&text)), options);
        let line = call("a", &arguments);
        let before = cpu_time();
        let step = decide(&mut session, Side::Client, &line);
        let time = cpu_time().checked_sub(before).unwrap();
        assert!(time < BOUND, "{why}: {time:?}");
        let Some(Record::Call(record)) = first_record(step) else { panic!("{why}: no record") };
        let told = (record.verdict.rule.as_str(), record.verdict.message.as_str());
        if is_decided {
            assert_ne!(told.0, "(too costly)", "{why}");
            continue;
        }
        let message = "Tool `a` is denied by policy: checking these arguments would take too much work. Send less in one call.";
        assert_eq!(told, ("(too costly)", message), "{why}");
        let next = call("a", r#"{"x":{"key":1},"key":1}"#).replace(r#""id":1"#, r#""id":2"#);
        let step = decide(&mut session, Side::Client, &next);
        let Some(Record::Call(record)) = first_record(step) else { panic!("{why}: no record") };
        assert_ne!(record.verdict.rule, "(too costly)", "{why}");
    }
}

/// contract 3.5, P14: shadow mode forwards a call that is too costly, unless a rule is enforced anyway: then it is
/// denied.
#[test]
fn shadow_mode_blocks_nothing_that_is_too_costly() {
    let Costly { policy: mut text, arguments, .. } = costly().remove(1);
    let line = call("a", &arguments);
    let goes_out = |text: &Value, shadow: bool| {
        let records = RecordDetail::Names;
        let options = SessionOptions { shadow, records, ..SessionOptions::default() };
        let mut session = Session::new(Arc::new(policy(text)), options);
        let step = decide(&mut session, Side::Client, &line);
        let goes_out = step.is_forward();
        let Some(Record::Call(record)) = first_record(step) else { panic!("no record") };
        let rule = record.shadowed.map_or(record.verdict.rule, |shadowed| shadowed.rule);
        assert_eq!(rule, "(too costly)");
        goes_out
    };
    assert!(!goes_out(&text, false));
    assert!(goes_out(&text, true));
    text["mode"] = "shadow".into();
    assert!(goes_out(&text, false));
    text["tools"]["b"] = json!({ "mode": "enforce" });
    assert!(!goes_out(&text, false));
}

/// contract 3.5: a long name is matched against as many patterns as the budget allows.
#[test]
fn names_and_patterns_share_the_budget() {
    let patterns: Vec<String> = (0..200).map(|nth| format!("*_word{nth}*_x")).collect();
    let text = json!({ "version": "1", "default": "allow", "hide": patterns });
    let policy = policy(&text);
    let name = "_word".repeat(40_000);
    let call = ToolCall::of(&name, Arguments::none());
    let mut work = Work::of_decision();
    let before = cpu_time();
    let denial = decide_observed(&policy, &call, None, &mut work, &mut ()).expect_err("a denial");
    assert!(cpu_time().checked_sub(before).unwrap() < BOUND);
    assert_eq!(denial.rule, BuiltIn::TooCostly);
    let short = ToolCall::of("_word7_x", Arguments::none());
    let denial =
        decide_observed(&policy, &short, Some(Mode::Enforce), &mut Work::of_decision(), &mut ());
    assert_eq!(denial.expect_err("a denial").rule, BuiltIn::Hidden);
    // A server's list is filtered within one budget; once that runs out, tools are cut.
    let mut session = Session::new(Arc::new(policy), SessionOptions::default());
    let asked = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let _ = decide(&mut session, Side::Client, asked);
    let listed = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{{"name":"ok"}},{{"name":"{name}"}}]}}}}"#
    );
    let step = decide(&mut session, Side::Server, &listed);
    let Step::Rewrite { bytes: line, .. } = step else { panic!("{step:?}") };
    assert_eq!(
        String::from_utf8(line).unwrap(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"ok"}]}}"#
    );
}

/// contract S3: recording deeply nested arguments takes bounded work.
#[test]
fn values_of_deep_arguments_are_recorded_in_bounded_time() {
    let allow = json!({ "version": "1", "default": "allow" });
    let options = SessionOptions { records: RecordDetail::Values, ..SessionOptions::default() };
    let mut session = Session::new(Arc::new(policy(&allow)), options);
    let deep = format!("{}\"{}\"{}", "[".repeat(500), "\\n".repeat(MIB), "]".repeat(500));
    let line = call("a", &format!(r#"{{"x":{deep}}}"#));
    let before = cpu_time();
    let step = decide(&mut session, Side::Client, &line);
    let time = cpu_time().checked_sub(before).unwrap();
    assert!(time < BOUND / 4, "{time:?}");
    assert!(step.is_forward(), "recording decides nothing");
}

/// contract 3.5, S3: recording many arguments takes about as long for a policy with many paths as for one with few.
#[test]
fn paths_and_recorded_keys_do_not_multiply() {
    let keys: Vec<String> = (0..50_000).map(|nth| format!("\"k{nth}\":0")).collect();
    let many = format!("{{{}}}", keys.join(","));
    let paths: Vec<ArgPath> = (0..2000)
        .flat_map(|nth| [format!("args.q{nth:05}"), format!("args.x.q{nth:05}")])
        .map(|path| ArgPath::parse(&path).unwrap())
        .collect();
    for text in [many.clone(), format!(r#"{{"x":{many}}}"#)] {
        let arguments = Arguments::parse(&text).unwrap();
        let time = |paths: &[ArgPath]| {
            let before = cpu_time();
            let _ = excerpt(&arguments, true, paths.iter());
            cpu_time().checked_sub(before).unwrap()
        };
        let (few, all) = (time(&paths[..2]), time(&paths));
        assert!(all < few * 20 + Duration::from_millis(500), "{few:?}, {all:?}");
    }
}

/// contract P16: all tests of a policy together may use 2 s of work.
#[test]
fn tests_that_take_too_much_work_are_an_error_that_names_the_test() {
    let findings = |times: u32| {
        let text = json!({
            "version": "1",
            "default": "deny",
            "tools": { "a": { "require": [{ "conditions": [
                { "path": "args.x", "op": "regex", "value": "[01]*1[01]{40}2" },
            ] }] } },
            "tests": [
                { "name": "short", "tool": "a", "expect": "deny" },
                { "name": "long", "tool": "a", "arguments": { "x": "01".repeat(500) }, "times": times, "expect": "deny" },
            ],
        });
        Findings::of(text.to_string().as_bytes())
    };
    let few = findings(10);
    assert!(few.diagnostics.iter().all(|found| !found.message.contains("2 s")), "{few:?}");
    assert_eq!(few.failed, 0);
    let many = findings(2_000);
    let told: Vec<&str> = many.diagnostics.iter().map(|found| found.message.as_str()).collect();
    assert!(told.contains(&"up to test `long`, the tests take more than 2 s of work"), "{told:?}");
    assert_eq!(many.failed, 1);
}
