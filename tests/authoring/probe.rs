//! `callgate explain --matrix -- COMMAND` asks a server for its tools.

use crate::harness::gate::{callgate, scripted_server, temp_dir};
use crate::harness::process::{End, Process};
use callgate::engine::wire::discovery::Listed;
use callgate::shell::relay::probe::{self, ProbeError, TimeLimits};
use callgate::shell::wakeup;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const ALLOW_ALL: &str = r#"{"version":"1","default":"allow"}"#;
const WELCOME: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}"#;

/// The command line, up to the server's own command.
fn matrix(dir: &Path, timeout: &str) -> Command {
    let policy = dir.join("policy.json");
    fs::write(&policy, ALLOW_ALL).unwrap();
    let mut command = callgate(dir);
    command
        .args(["explain", "--timeout", timeout, "--policy"])
        .arg(policy)
        .args(["--matrix", "--"]);
    command
}

/// Asks a server that plays `script`; returns the result, and what the server received.
fn ask(script: &Value) -> (End, Vec<Value>) {
    let dir = temp_dir();
    let server = scripted_server(dir.path(), script);
    let end = Process::spawn(matrix(dir.path(), "2").args(server)).end();
    let log = fs::read_to_string(dir.path().join("log")).unwrap();
    (end, log.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// The tools found for a server that plays `script`.
fn tools_of(script: &Value) -> Vec<String> {
    let (end, _) = ask(script);
    assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""), "{end:?}");
    let rows = end.stdout.lines().take_while(|line| !line.is_empty());
    rows.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// The error for a server that plays `script`, whose tools cannot be listed.
fn failure(script: &Value) -> String {
    let (end, _) = ask(script);
    assert_eq!((end.code, end.stdout.as_str()), (Some(2), ""), "{end:?}");
    let said = end.stderr.strip_prefix("error: failed to list the tools of server `").unwrap();
    said.split_once("`: ").unwrap().1.trim_end().to_owned()
}

fn page(tools: &[&str], next: Option<&str>) -> Value {
    let tools: Vec<Value> = tools.iter().map(|name| json!({ "name": name })).collect();
    let mut page = json!({ "tools": tools });
    if let Some(next) = next {
        page["nextCursor"] = json!(next);
    }
    json!({ "answer": page.to_string() })
}

#[test]
fn a_server_with_a_handshake_is_read_to_its_last_page() {
    let script = json!([
        { "recv": 1 }, { "answer": WELCOME }, { "recv": 2 }, page(&["a", "b"], Some("2")),
        { "recv": 1 }, page(&["b", "c"], None), "hold"
    ]);
    assert_eq!(tools_of(&script), ["a", "b", "c"]);
    let (_, sent) = ask(&script);
    let methods: Vec<&str> = sent.iter().map(|line| line["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["initialize", "notifications/initialized", "tools/list", "tools/list"]);
    assert_eq!(sent[0]["params"]["protocolVersion"], "2025-11-25");
    assert_eq!(sent[3]["params"], json!({ "cursor": "2" }));
    assert!(sent.iter().all(|line| line["params"].get("_meta").is_none()), "{sent:?}");
}

#[test]
fn a_server_without_a_handshake_is_asked_in_the_revision_that_it_names() {
    let refusal = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no","data":{"supported":["2026-07-28","2027-01-01"],"requested":"2025-11-25"}}}"#;
    let script = json!([
        { "recv": 1 }, { "send": refusal }, { "recv": 1 }, page(&["a"], Some("x")),
        { "recv": 1 }, page(&["b"], None), "hold"
    ]);
    assert_eq!(tools_of(&script), ["a", "b"]);
    let (_, sent) = ask(&script);
    assert_eq!(sent.len(), 3, "no notification: {sent:?}");
    for request in &sent[1..] {
        let meta = &request["params"]["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2027-01-01");
        assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], json!({}));
    }
}

#[test]
fn any_other_refusal_of_the_handshake_means_2026_07_28() {
    let refusal =
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#;
    let script =
        json!([{ "recv": 1 }, { "send": refusal }, { "recv": 1 }, page(&["a"], None), "hold"]);
    let (end, sent) = ask(&script);
    assert_eq!(end.code, Some(0), "{end:?}");
    let meta = &sent[1]["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
}

/// Noise, notifications, unexpected answers and the server's own requests do no harm.
#[test]
fn other_messages_of_a_server_do_no_harm() {
    let script = json!([
        { "recv": 1 }, { "send": "Starting up ..." },
        { "send": r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"# },
        { "send": r#"{"jsonrpc":"2.0","id":99,"result":{"tools":[{"name":"ghost"}]}}"# },
        { "send": r#"{"jsonrpc":"2.0","id":0,"method":"ping"}"# },
        { "send": r#"{"jsonrpc":"2.0","id":"r","method":"roots/list"}"# },
        { "recv": 2 }, { "send": format!(r#"{{"jsonrpc":"2.0","id":1,"result":{WELCOME}}}"#) },
        { "recv": 2 }, { "send_bytes": r#"{"jsonrpc":"2.0","id":2,"result":{"tools":[{"name":"a"},7,{}]}}"# },
        { "exit": 0 }
    ]);
    assert_eq!(tools_of(&script), ["a"]);
    let (_, sent) = ask(&script);
    assert_eq!(sent[1], json!({ "jsonrpc": "2.0", "id": 0, "result": {} }));
    assert_eq!((&sent[2]["id"], &sent[2]["error"]["code"]), (&json!("r"), &json!(-32601)));
}

#[test]
fn a_server_that_declares_no_tools_and_refuses_the_list_has_none() {
    let no_list = r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"no tools"}}"#;
    let has_none = r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#;
    let script = |welcome: &str| json!([{ "recv": 1 }, { "answer": welcome }, { "recv": 2 }, { "send": no_list }, "hold"]);
    assert_eq!(tools_of(&script(has_none)), [""; 0]);
    let said = "server answered `tools/list` with error -32601 `no tools`";
    assert_eq!(failure(&script(WELCOME)), said);
}

#[test]
fn a_server_that_does_not_list_its_tools_is_reported() {
    let refusal = |id: u8, message: &str| json!({ "send": format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32600,"message":"{message}"}}}}"#) });
    let welcomed =
        |then: Value| json!([{ "recv": 1 }, { "answer": WELCOME }, { "recv": 2 }, then, "hold"]);
    for (script, says) in [
        (json!([{ "exit": 3 }]), "server exited with status 3 before it answered `initialize`"),
        (
            json!([{ "recv": 1 }, "close_stdout", "hold"]),
            "server exited with status 0 before it answered `initialize`",
        ),
        (json!(["hold"]), "server did not answer `initialize` within 2 s"),
        (
            json!([{ "recv": 1 }, refusal(1, "fir\\u001bst\\n"), { "recv": 1 }, refusal(2, "then\\u2028error: x"), "hold"]),
            "server answered `initialize` with error -32600 `fir\\u{1b}st\\u{a}`, `tools/list` with error -32600 `then\\u{2028}error: x`",
        ),
        (
            welcomed(json!({ "answer": r#"{"tools":[],"tools":[{"name":"a"}]}"# })),
            "server sent an unreadable answer to `tools/list`",
        ),
        (
            welcomed(json!({ "answer": r#"{"tools":{"a":{}}}"# })),
            "server's answer to `tools/list` is no list of tools",
        ),
        (
            welcomed(json!({ "answer": r#"{"tools":[],"nextCursor":7}"# })),
            "server's answer to `tools/list` is no list of tools",
        ),
    ] {
        assert_eq!(failure(&script), says, "{script}");
    }
}

/// contract S5: the tools listed so far are kept if the list has no end.
#[test]
fn the_beginning_of_an_endless_list_is_kept() {
    let script = |second: &str| json!([{ "recv": 1 }, { "answer": WELCOME }, { "recv": 2 }, page(&["a"], Some("x")), { "recv": 1 }, page(&["b"], Some(second)), "hold"]);
    assert_eq!(tools_of(&script("")), ["a", "b"], "an empty cursor is the end");
    let warning = "warning: the server's list of tools is incomplete: it gave the same cursor twice; only the first 2 tools count\n";
    let (end, _) = ask(&script("x"));
    assert_eq!((end.code, end.stderr.as_str()), (Some(0), warning), "{end:?}");
    assert!(end.stdout.starts_with("a "), "{end:?}");

    let dir = temp_dir();
    let mut scan = callgate(dir.path());
    scan.args(["scan", "--timeout", "9", "-o", "p.json", "--"]).current_dir(dir.path());
    let server = scripted_server(dir.path(), &script("x"));
    let end = Process::spawn(scan.args(server)).end();
    assert_eq!((end.code, end.stdout.as_str()), (Some(0), ""), "{end:?}");
    assert!(end.stderr.contains(warning), "{end:?}");
    let policy = fs::read_to_string(dir.path().join("p.json")).unwrap();
    assert!(policy.contains("\"b\""), "{policy}");
}

/// contract S5: the tools listed so far are kept, whatever goes wrong on a later page.
#[test]
fn tools_listed_before_an_error_are_kept() {
    let error = r#"{"jsonrpc":"2.0","id":3,"error":{"code":-32603,"message":"no page"}}"#;
    for (then, why) in [
        (
            json!([{ "send": error }, "hold"]),
            "server answered `tools/list` with error -32603 `no page`",
        ),
        (
            json!([{ "answer": r#"{"tools":[],"tools":[]}"# }, "hold"]),
            "server sent an unreadable answer to `tools/list`",
        ),
        (
            json!([{ "answer": r#"{"tools":7}"# }, "hold"]),
            "server's answer to `tools/list` is no list of tools",
        ),
        (json!([{ "exit": 3 }]), "server exited with status 3 before it answered `tools/list`"),
        (json!(["hold"]), "server did not answer `tools/list` within 2 s"),
    ] {
        let mut script = vec![json!({ "recv": 1 }), json!({ "answer": WELCOME })];
        script.extend([json!({ "recv": 2 }), page(&["a"], Some("x")), json!({ "recv": 1 })]);
        script.extend(then.as_array().unwrap().iter().cloned());
        let (end, _) = ask(&json!(script));
        let says = format!(
            "warning: the server's list of tools is incomplete: {why}; only the first tool counts\n"
        );
        assert_eq!((end.code, end.stderr), (Some(0), says), "{then}");
        assert!(end.stdout.starts_with("a "), "{then}: {}", end.stdout);
    }
}

/// Asks a server from within this process, whose signals stay its own.
fn ask_here(command: &[OsString], limits: TimeLimits) -> Result<Listed, ProbeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (news, heard) = wakeup::channel();
    runtime.block_on(probe::ask(command, limits, news, heard))
}

/// The whole list has a time limit as well.
#[test]
fn a_list_has_a_time_limit() {
    let endless = "read a; echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"capabilities\":{\"tools\":{}}}}'; \
        read b; read c; echo '{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"tools\":[{\"name\":\"a\"}],\"nextCursor\":\"x\"}}'; \
        while :; do sleep 0.1; done";
    let command: Vec<OsString> = ["sh", "-c", endless].map(OsString::from).to_vec();
    let limits = TimeLimits { each: Duration::from_mins(1), all: Duration::from_millis(700) };
    let listed = ask_here(&command, limits).unwrap();
    assert_eq!(listed.tools.names(), ["a"]);
    let why = listed.unfinished.unwrap();
    assert!(why.contains("it took over 0.7 s"), "{why}");
    let silent = ["sh", "-c", "while :; do sleep 0.1; done"].map(OsString::from);
    let error = ask_here(&silent, limits).unwrap_err();
    let ProbeError::Unanswered(error) = error else { panic!("{error:?}") };
    assert_eq!(error.to_string(), "server did not answer `initialize`: it took over 0.7 s");
}

/// A server that floods without end is stopped when its time is over.
#[test]
fn a_flood_does_not_extend_the_time_limit() {
    let line = "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}\n";
    let flood = json!([{ "send_repeat": { "text": line, "times": 100_000_000_u64 } }]);
    assert_eq!(failure(&flood), "server did not answer `initialize` within 2 s");
}

#[test]
fn a_server_that_cannot_be_started_gives_the_exit_code_of_a_shell() {
    let dir = temp_dir();
    let end = Process::spawn(matrix(dir.path(), "2").arg("./nowhere")).end();
    assert_eq!((end.code, end.stdout.as_str()), (Some(127), ""), "{end:?}");
    let says = "error: failed to start server `./nowhere`: No such file or directory";
    assert!(end.stderr.starts_with(says), "{end:?}");
}

/// A server that ignores both the end of its input and SIGTERM is stopped as well.
#[test]
fn no_server_is_left_behind() {
    let stubborn = "trap '' TERM; echo $$ >pid; read a; printf '%s\\n' \
        '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"capabilities\":{\"tools\":{}}}}'; \
        read b; read c; echo '{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"tools\":[{\"name\":\"a\"}]}}'; \
        while :; do sleep 0.1; done";
    let dir = temp_dir();
    let mut command = matrix(dir.path(), "9");
    let end = Process::spawn(command.current_dir(dir.path()).args(["sh", "-c", stubborn])).end();
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(end.stdout.starts_with("a "), "{end:?}");
    is_gone(dir.path());
}

/// contract C2: a signal that stops callgate stops the server.
#[test]
fn a_signal_ends_it_and_the_server() {
    let dir = temp_dir();
    let silent = "echo $$ >pid; while :; do sleep 0.1; done";
    let mut command = matrix(dir.path(), "60");
    let mut asking = Process::spawn(command.current_dir(dir.path()).args(["sh", "-c", silent]));
    let begun = Instant::now();
    while fs::read_to_string(dir.path().join("pid")).unwrap_or_default().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the server was not started");
        std::thread::yield_now();
    }
    let pid = Pid::from_raw(i32::try_from(asking.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let end = asking.wait();
    assert_eq!(end.code, Some(143), "{end:?}");
    assert!(end.stderr.ends_with("stopped by signal 15\n"), "{end:?}");
    is_gone(dir.path());
}

/// Checks that the server that wrote its `pid` has ended.
fn is_gone(dir: &Path) {
    let pid = fs::read_to_string(dir.join("pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    let begun = Instant::now();
    while rustix::process::test_kill_process(pid).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(5), "the server is left behind");
        std::thread::yield_now();
    }
}
