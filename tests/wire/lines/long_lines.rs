//! The limits on reading a long line (contract W8).

use std::sync::Arc;

use callgate::engine::compile::compile;
use callgate::engine::limits::Now;
use callgate::engine::session::{Session, SessionOptions, Step, Turn};
use callgate::engine::wire::line::Side;

const MOST_KEYS: usize = 1_000_000;
const MOST_TOOLS: usize = 100_000;
const MOST_STRINGS: usize = 100_000;

fn session() -> Session {
    let policy =
        r#"{"version":"1","default":"allow","hide":["h"],"methods":{"elicitation/*":"deny"}}"#;
    let mut session =
        Session::new(Arc::new(compile(policy.as_bytes()).unwrap()), SessionOptions::default());
    for (id, method) in [(1, "x"), (2, "tools/list")] {
        let request = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#);
        let turn = session.handle(Side::Client, request.as_bytes(), Now::default());
        assert!(matches!(turn, Turn::Do(step) if step.is_forward()));
    }
    session
}

/// The result for a line: `forward`, or the bytes that the session writes.
fn outcome(side: Side, line: &str) -> String {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let turn = session().handle(side, line.as_bytes(), Now::default());
    match turn {
        Turn::Do(step) if step.is_forward() => "forward".to_owned(),
        Turn::Do(Step::Answer(answer)) => text(answer.bytes),
        Turn::Do(Step::Rewrite { bytes, .. }) => text(bytes),
        Turn::Do(Step::Divert(diversion)) => {
            format!("{}: {}", diversion.reason, text(diversion.answers))
        }
        other => format!("{other:?}"),
    }
}

/// An object's members, with `count` keys.
fn members(count: usize) -> String {
    let members: Vec<String> = (0..count).map(|nth| format!("\"{nth:x}\":0")).collect();
    members.join(",")
}

#[test]
fn a_client_line_has_a_million_keys_at_most() {
    // `jsonrpc`, `id`, `method` and `params` belong to an object with few keys, and are counted at its end.
    let line = |count| {
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"y","params":{{{}}}}}"#, members(count))
    };
    assert_eq!(outcome(Side::Client, &line(MOST_KEYS)), "forward");
    let refused = outcome(Side::Client, &line(MOST_KEYS + 1));
    let message = "over 1000000 keys that must differ";
    assert!(refused.contains(message) && refused.contains(r#""id":7,"#), "{refused:.300}");
    // In one list, or in many objects with different keys.
    let small = |nth| format!(r#"{{"{nth:x}":0,"a{nth:x}":0}}"#);
    let list = |count: usize| (0..count / 2).map(small).collect::<Vec<_>>().join(",");
    let line =
        |count| format!(r#"{{"jsonrpc":"2.0","id":7,"method":"y","params":[{}]}}"#, list(count));
    assert_eq!(outcome(Side::Client, &line(MOST_KEYS)), "forward");
    assert!(outcome(Side::Client, &line(MOST_KEYS + 4)).contains(message));
}

#[test]
fn keys_that_objects_repeat_are_not_counted() {
    let rows = vec![r#"{"a":0,"b":0}"#; MOST_KEYS * 3 / 4].join(",");
    let line = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"y","params":[{rows}]}}"#);
    assert_eq!(outcome(Side::Client, &line), "forward");
}

#[test]
fn a_server_line_has_a_million_keys_that_must_differ_at_most() {
    let line = |count| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{{}}}}}"#, members(count));
    assert_eq!(outcome(Side::Server, &line(MOST_KEYS)), "forward");
    let diverted = outcome(Side::Server, &line(MOST_KEYS + 1));
    assert!(diverted.starts_with("over 1000000 keys that must differ: "), "{diverted:.300}");
    assert!(diverted.contains(r#""id":1,"error":{"code":-32603"#), "{diverted:.300}");
    // Keys that may repeat are not counted.
    let line =
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"a":{{{}}}}}}}"#, members(MOST_KEYS + 1));
    assert_eq!(outcome(Side::Server, &line), "forward");
}

#[test]
fn tools_after_a_hundred_thousand_are_cut() {
    let list = |tools: &[&str]| {
        format!(r#"{{"jsonrpc":"2.0","id":2,"result":{{"tools":[{}],"x":0}}}}"#, tools.join(", "))
    };
    let mut tools = vec![r#"{"name":"t"}"#; MOST_TOOLS];
    assert_eq!(outcome(Side::Server, &list(&tools)), "forward");
    let kept = list(&tools);
    tools.extend([r#"{"name":"u"}"#, "7"]);
    let (before, behind) = kept.split_once("],").unwrap();
    // The blank before the first cut element stays; its comma is cut.
    assert_eq!(outcome(Side::Server, &list(&tools)), format!("{before} ],{behind}"));
    tools[MOST_TOOLS - 1] = r#"{"name":"h"}"#;
    let cut = outcome(Side::Server, &list(&tools));
    assert_eq!(cut.matches(r#"{"name":"t"}"#).count(), MOST_TOOLS - 1);
    assert!(!cut.contains(r#""u""#) && !cut.contains('7') && !cut.contains(r#""h""#));
    assert!(serde_json::from_str::<serde_json::Value>(&cut).is_ok(), "{}", &cut[cut.len() - 80..]);
}

#[test]
fn ids_after_a_hundred_thousand_strings_are_not_found() {
    let line = |noise: usize| {
        let noise = r#"{"a":0}"#.repeat(noise);
        format!(r#"{noise}{{"jsonrpc":"2.0","id":1,"result":{{}}}}"#)
    };
    let is_told = |line: &str| outcome(Side::Server, line).contains(r#""id":1,"error""#);
    // The message itself has four: `jsonrpc`, `2.0`, `id` and `result`.
    assert!(is_told(&line(MOST_STRINGS - 4)));
    assert!(!is_told(&line(MOST_STRINGS)));
}

#[test]
fn an_error_with_many_codes_counts_as_a_request_for_input() {
    let line = |codes: usize| {
        let codes = vec![r#""code":-1"#; codes].join(",");
        format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{{codes},"message":""}}}}"#)
    };
    assert_eq!(outcome(Side::Server, &line(64)), "forward");
    let denied = outcome(Side::Server, &line(65));
    assert!(denied.contains("Method `elicitation/create` is denied"), "{denied:.300}");
}
