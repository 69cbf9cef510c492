//! Seed inputs, made from the data of the other tests.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::call;

/// Longer seeds cost more time than they are worth.
const MAX_BYTES: usize = 8 * 1024;

/// A session in which the policy changes while the client listens in both ways.
const RELOADS: &str = r#"{"version":"1","default":"allow"}
c{"jsonrpc":"2.0","method":"notifications/initialized"}
c{"jsonrpc":"2.0","id":"s","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}
c{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}
p{"version":"1","default":"allow","hide":["a"]}
c{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a"}}
s{"jsonrpc":"2.0","id":1,"result":{"content":[]}}
c{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"s"}}
p{"version":"1","default":"deny","hide_denied":true,"methods":{"notifications/tools/list_changed":"deny"}}
p{"version":"1","default":"deny","tools":{"a":{"rate_limit":{"max":1,"window":60}}}}
c{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"a"}}"#;

/// Lines from `tests/data/frames` and `tests/data/sessions`, each after a byte that says how to cut it.
pub(super) fn frames() -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for (_, text) in files("frames", "json") {
        let document: Value = serde_json::from_str(&text).expect("rows");
        collect_lines(&document, &mut lines);
    }
    for (_, text) in files("sessions", "jsonl") {
        lines.extend(recorded(&text).into_iter().map(|line| line.text.into_bytes()));
    }
    let cut = (0..16).cycle().zip(lines);
    limited(cut.map(|(choice, line)| [&[choice], line.as_slice(), b"\n"].concat()))
}

/// Long lines: a repeated part, in every place where it may stand.
pub(super) fn costs() -> Vec<Vec<u8>> {
    let around = [
        ("c", ""),
        ("c[", "]"),
        ("c{", "}"),
        ("c{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"x\",", "}"),
        (
            "c{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"arguments\":{",
            "}}}",
        ),
        (
            "c{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"arguments\":{\"a\":[",
            "]}}}",
        ),
        (
            "c{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/call\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":1},\"name\":\"l\",\"arguments\":{",
            "}}}",
        ),
        ("c{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"id\":\"", "\"}"),
        ("s", ""),
        ("s{", "}"),
        ("s{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[", "]}}"),
        ("S{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"t\",", "}]}}"),
        ("S{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{", "}}"),
        ("S{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"inputRequests\":{", "}}}"),
        (
            "S{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"resultType\":\"input_required\",\"requestState\":\"",
            "\"}}",
        ),
        ("s{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{", "}}"),
        ("s{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":\"", "\"}"),
        ("s{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":1.", "}"),
    ];
    let again = [
        "[",
        "[],",
        "0,",
        "\"\":0,",
        "\"#\":0,",
        "\"#\\n\":{\"a\":1},",
        "\"a#\":\"\\u0061\",",
        "\\n",
        "\\u0061",
        "10",
        "{\"#\":",
        "{\"name\":\"h\"},",
        "{\"name\":\"#\"},",
        "{\"id\":#0,\"method\":0},",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
        "\"id\":1,",
        "\"task\":{},",
        "\"inputRequests\":[],",
        "\"#\":{\"method\":\"x\"},",
        "\u{1}",
        "é",
    ];
    let seeds = around.iter().flat_map(|(begin, end)| {
        again.iter().map(move |again| format!("{begin}\n{again}\n{end}").into_bytes())
    });
    limited(seeds)
}

/// The policies of `tests/data/cases` and `tests/data/bad_policies`, and the example.
pub(super) fn policies() -> Vec<Vec<u8>> {
    let mut policies: Vec<String> =
        cases().into_iter().map(|case| case.policy.to_string()).collect();
    for (_, text) in files("bad_policies", "json") {
        let bad: Vec<BadPolicy> = serde_json::from_str(&text).expect("bad policies");
        policies.extend(bad.into_iter().map(|bad| bad.text));
    }
    for (_, text) in files("own_tests", "json") {
        let own: Vec<OwnTests> = serde_json::from_str(&text).expect("policies with tests");
        policies.extend(own.into_iter().map(|own| own.policy.to_string()));
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("policy.example.json");
    policies.push(fs::read_to_string(example).expect("the example"));
    limited(policies.into_iter().map(String::into_bytes))
}

/// The policies of `tests/data/import`, good and bad.
pub(super) fn imports() -> Vec<Vec<u8>> {
    let good = files("import", "yaml").into_iter().map(|(_, text)| text);
    let bad = files("import", "json").into_iter().filter(|(path, _)| path.ends_with("bad.json"));
    let bad = bad
        .flat_map(|(_, text)| serde_json::from_str::<Vec<BadPolicy>>(&text).expect("bad policies"));
    limited(good.chain(bad.map(|bad| bad.text)).map(String::into_bytes))
}

/// The cases of `tests/data/cases` with their policies, and the recorded `tests/data/sessions`.
pub(super) fn sessions() -> Vec<Vec<u8>> {
    let cases = cases().into_iter().map(|case| {
        // JSON strings contain no line ends.
        let mut session = case.policy.get().replace('\n', " ");
        for (id, Call { tool, arguments }) in case.calls.iter().enumerate() {
            let arguments = arguments.as_ref().map_or("{}", |arguments| arguments.get());
            session.push_str("\nc");
            session.push_str(&call(&id.to_string(), tool.get(), arguments));
        }
        session
    });
    let recordings = files("sessions", "jsonl");
    let recorded = (0_u8..).zip(&recordings).map(|(choice, (_, text))| {
        let lines = recorded(text).into_iter().map(|line| {
            let side = if line.from == "client" { 'c' } else { 's' };
            format!("\n{side}{}\n+100", line.text)
        });
        lines.fold(char::from(b'0' + choice % 10).to_string(), |session, line| session + &line)
    });
    let reloads = std::iter::once(RELOADS.to_owned());
    limited(cases.chain(recorded).chain(reloads).map(String::into_bytes))
}

/// The cases of `tests/data/cases`, one call at a time, each after a byte that says how often to repeat its arguments.
pub(super) fn work() -> Vec<Vec<u8>> {
    let times = (0..20).cycle();
    let calls = cases().into_iter().flat_map(|case| {
        // JSON strings contain no line ends.
        let policy = case.policy.get().replace('\n', " ");
        let calls = case.calls.into_iter().filter_map(|call| Some(call.arguments?.to_string()));
        calls
            .map(|arguments| format!("{policy}\n{}", arguments.replace('\n', " ")))
            .collect::<Vec<_>>()
    });
    limited(times.zip(calls).map(|(times, call)| [&[times], call.as_bytes()].concat()))
}

#[derive(Deserialize)]
struct OwnTests {
    policy: Box<RawValue>,
}

#[derive(Deserialize)]
struct Case {
    policy: Box<RawValue>,
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    tool: Box<RawValue>,
    arguments: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct BadPolicy {
    text: String,
}

#[derive(Deserialize)]
struct Recorded {
    from: String,
    #[serde(default)]
    text: String,
}

fn cases() -> Vec<Case> {
    let read = |(_, text): (PathBuf, String)| serde_json::from_str::<Vec<Case>>(&text);
    files("cases", "json").into_iter().flat_map(|file| read(file).expect("cases")).collect()
}

fn recorded(text: &str) -> Vec<Recorded> {
    text.lines().map(|line| serde_json::from_str(line).expect("a recorded line")).collect()
}

/// The lines in the rows of `tests/data/frames`.
fn collect_lines(value: &Value, lines: &mut Vec<Vec<u8>>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| collect_lines(element, lines)),
        Value::Object(members) => {
            for (key, value) in members {
                match (key.as_str(), value) {
                    ("arguments", Value::String(raw)) => {
                        lines.push(call("1", "\"t\"", raw).into_bytes());
                    }
                    ("bytes", Value::String(latin1)) => lines
                        .push(latin1.chars().map(|c| u8::try_from(c).expect("a byte")).collect()),
                    ("line" | "ask" | "answer", Value::String(line)) => {
                        lines.push(line.clone().into_bytes());
                    }
                    _ => collect_lines(value, lines),
                }
            }
        }
        _ => {}
    }
}

/// The files of a folder of `tests`, by name.
fn files(folder: &str, extension: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == extension));
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn limited(inputs: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    inputs
        .map(|mut input| {
            input.truncate(MAX_BYTES);
            input
        })
        .collect()
}
