//! Tests inside a policy (contract P16): correct ones pass, and wrong ones fail at the right place.

use callgate::engine::compile::compile_with_tests;
use callgate::engine::compile::fields::Position;
use callgate::engine::compile::policy_test::{self, TestFailure};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::case::{Case, Expect, read_all};

/// A policy with tests, and the failures expected of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnTests {
    why: String,
    policy: Box<RawValue>,
    fails: Vec<Expected>,
}

/// A failure: its place in the document, the call, and the message.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    path: String,
    #[serde(default = "first")]
    call: u32,
    says: Vec<String>,
}

fn first() -> u32 {
    1
}

#[test]
fn tests_fail_where_they_should() {
    let all = read_all::<OwnTests>("own_tests");
    assert!(all.len() >= 12, "only {} policies found", all.len());
    let failures: Vec<String> = all
        .iter()
        .filter_map(|(name, own)| {
            run(own).err().map(|error| format!("{name} {}: {error}", own.why))
        })
        .collect();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

fn run(own: &OwnTests) -> Result<(), String> {
    let text = own.policy.get();
    let (policy, tests) =
        compile_with_tests(text.as_bytes()).map_err(|problems| format!("{problems:?}"))?;
    let failures = policy_test::run(&policy, &tests, &|| false).failures;
    let told: Vec<String> = failures.iter().map(|failure| told(failure, text)).collect();
    let fits = |(told, expected): (&String, &Expected)| {
        told.starts_with(&format!("{} at call {}: ", expected.path, expected.call))
            && expected.says.iter().all(|words| told.contains(words.as_str()))
    };
    if told.len() == own.fails.len() && told.iter().zip(&own.fails).all(fits) {
        return Ok(());
    }
    Err(format!("found {told:#?}"))
}

fn told(failure: &TestFailure<'_>, text: &str) -> String {
    let (at, field) = failure.place();
    let line = Position::of(at, text.as_bytes()).line;
    let spelt = text[at..].lines().next().unwrap_or_default();
    let pointer = format!("{}/{field}", failure.example.pointer);
    let value: Value = serde_json::from_str(text).expect("a document");
    let value = value.pointer(&pointer).expect("a field of the test").to_string();
    assert!(spelt.starts_with(&value), "line {line} has {spelt} in the place of {value}");
    format!("{pointer} at call {}: {}", failure.call, failure.message())
}

/// Every enforced case, run as a test of its own policy: it passes, and fails if the last call expects another outcome.
#[test]
fn cases_pass_as_tests_of_their_policy() {
    let cases = read_all::<Case>("cases");
    let enforced = cases.iter().filter(|(_, case)| {
        let calls: u32 = case.calls.iter().map(|call| call.times).sum();
        !case.shadow && !case.policy.get().contains("shadow") && calls <= policy_test::MAX_CALLS
    });
    let mut count = 0;
    for (name, case) in enforced {
        let Some(good) = with_tests(case, false) else { continue };
        count += 1;
        let (policy, tests) = compile_with_tests(good.as_bytes())
            .unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        assert_eq!(tests.len(), case.calls.len());
        let failures = policy_test::run(&policy, &tests, &|| false).failures;
        let told: Vec<String> = failures.iter().map(TestFailure::message).collect();
        assert!(told.is_empty(), "{name} {}: {told:?}", case.why);
        let bad = with_tests(case, true).expect("the same with other expectations");
        let (policy, tests) = compile_with_tests(bad.as_bytes()).expect("the same policy");
        let failures = policy_test::run(&policy, &tests, &|| false).failures;
        let places: Vec<&str> = failures.iter().map(|f| f.example.pointer.as_str()).collect();
        assert_eq!(places, [format!("/tests/{}", tests.len() - 1)], "{name} {}", case.why);
    }
    assert!(count >= 200, "only {count} cases");
}

/// The case's policy with its calls as tests; the last call may expect a wrong outcome. `None` if a tool's name is not
/// Unicode text.
fn with_tests(case: &Case, wrong: bool) -> Option<String> {
    let tests: Option<Vec<String>> = case
        .calls
        .iter()
        .enumerate()
        .map(|(nth, call)| {
            let wrong = wrong && nth + 1 == case.calls.len();
            serde_json::from_str::<String>(call.tool.get()).ok()?;
            let expect = match (call.expect, wrong) {
                (Expect::Allow, false) | (Expect::Deny, true) => "allow",
                (Expect::Deny, false) | (Expect::Ask, true) => "deny",
                (Expect::Ask, false) | (Expect::Hide, true) => "ask",
                (Expect::Hide, false) | (Expect::Allow, true) => "hide",
            };
            let mut fields = vec![
                format!(r#""name":"n","tool":{},"expect":"{expect}""#, call.tool),
                format!(r#""times":{}"#, call.times),
            ];
            fields.extend(call.arguments.as_ref().map(|text| format!(r#""arguments":{text}"#)));
            fields.extend(call.at.map(|at| format!(r#""at":"{at}""#)));
            let rule = call.rule.as_ref().filter(|_| !wrong);
            fields.extend(rule.map(|rule| format!(r#""rule":{}"#, json!(rule))));
            Some(format!("{{{}}}", fields.join(",")))
        })
        .collect();
    let policy = case.policy.get().trim_end().strip_suffix('}').expect("an object");
    Some(format!(r#"{policy},"tests":[{}]}}"#, tests?.join(",")))
}
