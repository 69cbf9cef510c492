//! contract C1: no foreign text reaches a terminal unescaped, or begins a line. Every verb runs with hostile text
//! wherever foreign text can enter.

use crate::harness::gate::{callgate, temp_dir};
use crate::harness::process::{End, Process};
use callgate::engine::text::escape::is_hidden;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// One hidden character of each kind, and the beginning of a forged line.
const HOSTILE: &str = "x\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{200b}\u{ad}\u{3164}\u{115f}\u{fe0f}\u{e0041}\u{feff}\u{2028}\r\nforged: line\n";

/// Runs callgate in `dir`, and checks all of its output.
fn run(dir: &Path, words: &[&str]) -> End {
    run_with(dir, words, "")
}

fn run_with(dir: &Path, words: &[&str], input: &str) -> End {
    let mut command = callgate(dir);
    command.current_dir(dir).args(words);
    let mut process = Process::spawn(&mut command);
    process.write(input.into());
    let end = process.end();
    for (stream, text) in [("stdout", &end.stdout), ("stderr", &end.stderr)] {
        let raw = text.chars().find(|c| *c != '\n' && is_hidden(*c));
        assert_eq!(raw, None, "{words:?} prints it on {stream}: {text}");
        let forged = text.lines().find(|line| line.starts_with("forged"));
        assert_eq!(forged, None, "{words:?} on {stream}: {text}");
    }
    end
}

/// Like [`run`]; the output must also contain the text, escaped.
fn shows(dir: &Path, words: &[&str]) {
    let end = run(dir, words);
    let printed = [end.stdout.as_str(), &end.stderr].concat();
    let is_shown = printed.contains("\\u{1b}") || printed.contains("\\u001b");
    assert!(is_shown, "{words:?} does not show it: {end:?}");
}

/// A policy that contains the text wherever a policy can.
fn policy() -> String {
    let tool = json!({ "require": [{ "conditions": [{ "path": "args.a", "op": "eq", "value": HOSTILE }], "on_deny": HOSTILE }],
        "limits": [{ "counter": "c", "window": "day", "max": 1 }] });
    let mut policy = json!({ "version": "1", "description": HOSTILE, "default": "deny", "hide": ["h"], "tools": { "t": tool } });
    policy["tools"][HOSTILE] = json!({});
    policy.to_string()
}

/// A recording in which both sides send the text.
fn session() -> String {
    let entry = |second: u8, from: &str, text: &Value| {
        json!({ "t": format!("2026-11-22T10:00:0{second}.000Z"), "from": from, "text": text.to_string() }).to_string()
    };
    let call = |id: &str, name: &str| json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": name, "arguments": { HOSTILE: HOSTILE } } });
    let tools = json!([{ "name": HOSTILE, "description": HOSTILE, "title": HOSTILE }, { "name": "delete_it", "description": HOSTILE, "inputSchema": { "properties": { HOSTILE: {} } } }]);
    [
        entry(0, "client", &json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" })),
        entry(1, "server", &json!({ "jsonrpc": "2.0", "id": 1, "result": { "tools": tools } })),
        entry(2, "client", &call("1", HOSTILE)),
        entry(3, "client", &call("2", "t")),
        entry(4, "client", &call("3", "delete_it")),
        entry(
            5,
            "client",
            &json!({ "jsonrpc": "2.0", "id": 7, "method": HOSTILE, "Method": HOSTILE }),
        ),
    ]
    .join("\n")
}

#[test]
fn typed_text_is_escaped() {
    let dir = temp_dir();
    let dir = dir.path();
    fs::write(dir.join("p.json"), r#"{"version":"1","default":"allow"}"#).unwrap();
    let option = format!("--{HOSTILE}");
    for words in [
        &[HOSTILE][..],
        &[&option],
        &["check", &option],
        &["check", HOSTILE],
        &["check", "--format", HOSTILE, "p.json"],
        &["completions", HOSTILE],
        &["schema", HOSTILE],
        &["explain", "--policy", HOSTILE, "t"],
        &["explain", "--policy", "p.json", HOSTILE],
        &["explain", "--policy", "p.json", "--format", "json", HOSTILE],
        &["explain", "--policy", "p.json", "--timeout", HOSTILE, "t"],
        &["explain", "--policy", "p.json", "--matrix", HOSTILE],
        &["explain", "--policy", "p.json", "--matrix", "--", HOSTILE],
        &["import", HOSTILE],
        &["log", HOSTILE],
        &["log", "--audit", HOSTILE],
        &["log", "--since", HOSTILE],
        &["log", "--limit", HOSTILE],
        &["log", "--state", HOSTILE],
        &["log", "verify", HOSTILE],
        &["log", "verify", "--state", HOSTILE],
        &["log", "verify", "--head", HOSTILE],
        &["replay", "--policy", HOSTILE],
        &["replay", "--policy", "p.json", HOSTILE],
        &["replay", "--policy", "p.json", "--against", HOSTILE, "p.json"],
        &["replay", "--policy", "p.json", "--fail-on", HOSTILE, "p.json"],
        &["scan", "--update", HOSTILE, "--", "true"],
        &["scan", "--sessions", HOSTILE],
        &["scan", "--timeout", HOSTILE, "--", "true"],
        &["scan", "--", HOSTILE],
        &["status", "--server", HOSTILE],
        &["status", "--grant", HOSTILE],
        &["status", "--state", HOSTILE],
        &["status", "reset", HOSTILE],
        &["status", "reset", "c", "--state", HOSTILE],
        &["wrap", "--policy", HOSTILE, "--", "true"],
        &["wrap", "--policy", "p.json", "--", HOSTILE],
        &["wrap", "--policy", "p.json", "--record", &format!("no/{HOSTILE}"), "--", "true"],
        &["wrap", "--policy", "p.json", "--state", &format!("p.json/{HOSTILE}"), "--", "true"],
        &["wrap", "--policy", "p.json", "--state", &format!("~/{HOSTILE}"), "--", "true"],
        &["wrap", "--policy", "p.json", "--max-frame", HOSTILE, "--", "true"],
        &[
            "wrap", "-v", "--policy", "p.json", "--server", HOSTILE, "--grant", HOSTILE, "--",
            "true",
        ],
    ] {
        shows(dir, words);
    }
}

/// The same where the error may omit what was typed.
#[test]
fn typed_text_is_not_shown_raw() {
    let dir = temp_dir();
    let dir = dir.path();
    fs::write(dir.join("p.json"), r#"{"version":"1","default":"allow"}"#).unwrap();
    for words in [
        &["wrap", "--policy", "p.json", "--audit", &format!("p.json/{HOSTILE}"), "--", "true"][..],
        &[
            "wrap",
            "--policy",
            "p.json",
            "--no-audit",
            "--state",
            &format!("redis://{HOSTILE}"),
            "--server",
            "s",
            "--",
            "true",
        ],
        &["status", "--state", &format!("redis://:hush@{HOSTILE}")],
        &["explain", "--policy", "p.json", "--server", HOSTILE, "t"],
        &["explain", "--policy", "p.json", "t", HOSTILE],
    ] {
        run(dir, words);
    }
}

#[test]
fn text_of_files_is_escaped() {
    let dir = temp_dir();
    let dir = dir.path();
    let name = format!("{HOSTILE}.json");
    fs::write(dir.join("p.json"), policy()).unwrap();
    fs::write(dir.join(&name), policy()).unwrap();
    let raw = HOSTILE.replace(['\r', '\n', '\u{1b}'], "");
    let bad = policy().replace(r#""limits""#, &format!(r#""li{raw}mits":[],"limits""#));
    fs::write(dir.join("bad.json"), bad.replace("\"day\"", &format!("\"d{raw}ay\""))).unwrap();
    fs::write(dir.join("garbage.json"), format!("{{\"version\": {HOSTILE}")).unwrap();
    let yaml = format!(
        "version: \"1\"\ntools:\n  \"a{raw}\":\n    rul{raw}es: 1\n  t:\n    rules:\n      - name: \"b{raw}\"\n        rate_limit: x{raw}\n"
    );
    fs::write(dir.join("i.yaml"), yaml).unwrap();
    fs::write(dir.join("s.jsonl"), session()).unwrap();
    fs::write(dir.join("lines.jsonl"), format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}}\n{{\"a{raw}\":1,\"a{raw}\":2}}\n{raw}\n")).unwrap();
    for format in ["text", "json"] {
        for words in [
            &["check", &name][..],
            &["check", "bad.json"],
            &["import", "i.yaml"],
            &["replay", "--policy", "p.json", "s.jsonl"],
            &["replay", "--policy", "p.json", "lines.jsonl"],
            &["replay", "--policy", "p.json", "--against", &name, "s.jsonl"],
            &["explain", "--policy", "p.json", "--matrix", "s.jsonl"],
            &["explain", "--policy", "p.json", HOSTILE],
            &[
                "explain",
                "--policy",
                "p.json",
                "t",
                &json!({ "a": HOSTILE, HOSTILE: 1 }).to_string(),
            ],
            &["scan", "--sessions", "s.jsonl"],
        ] {
            run(dir, &[words, &["--format", format]].concat());
        }
    }
    shows(dir, &["check", &name]);
    shows(dir, &["replay", "--policy", "p.json", "s.jsonl"]);
    shows(dir, &["explain", "--policy", "p.json", "--matrix", "s.jsonl"]);
    for policy in ["bad.json", "garbage.json"] {
        run(dir, &["check", policy]);
        run(dir, &["wrap", "--policy", policy, "--", "true"]);
        run(dir, &["explain", "--policy", policy, "t"]);
        run(dir, &["scan", "--update", policy, "--sessions", "s.jsonl"]);
    }
    run(dir, &["scan", "--update", "p.json", "-o", "-", "--sessions", "s.jsonl"]);
    shows(dir, &["scan", "--update", &name, "--sessions", "s.jsonl"]);
    fs::write(
        dir.join("broken.jsonl"),
        format!("{}\n{{\"t\":\"{raw}\",\"from\":\"{raw}\",\"text\":\"\"}}\n", session()),
    )
    .unwrap();
    run(dir, &["replay", "--policy", "p.json", "broken.jsonl"]);
    run(dir, &["scan", "--sessions", "broken.jsonl"]);
}

/// A session, and then its log, counters and state.
#[test]
fn text_of_client_and_server_is_escaped() {
    let dir = temp_dir();
    let dir = dir.path();
    fs::write(dir.join("p.json"), policy()).unwrap();
    let calls: Vec<String> = session()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|entry| entry["from"] == "client")
        .map(|entry| entry["text"].as_str().unwrap().to_owned() + "\n")
        .collect();
    let server =
        format!("printf '%s' '{}'; while read -r line; do :; done", HOSTILE.replace('\n', "\\n"));
    let wrap = [
        "wrap",
        "-v",
        "--drain",
        "0",
        "--audit-args",
        "--policy",
        "p.json",
        "--state",
        "st",
        "--server",
        HOSTILE,
        "--grant",
        HOSTILE,
        "--",
        "sh",
        "-c",
        &server,
    ];
    run_with(dir, &wrap, &calls.concat());
    for words in
        [&["log"][..], &["log", "--server", HOSTILE], &["status"], &["status", "--grant", HOSTILE]]
    {
        shows(dir, &[words, &["--state", "st"]].concat());
        run(dir, &[words, &["--state", "st", "--format", "json"]].concat());
    }
    run(dir, &["explain", "--policy", "p.json", "--state", "st", "--server", "nobody", "t"]);
    run(dir, &["status", "reset", "c", "--state", "st", "--grant", HOSTILE]);
    for format in ["text", "json"] {
        run(dir, &["log", "verify", "--state", "st", "--format", format]);
        let audit = fs::read_dir(dir.join("st/audit")).unwrap().map(|entry| entry.unwrap().path());
        let log = audit
            .into_iter()
            .find(|path| path.extension().is_some_and(|end| end == "jsonl"))
            .unwrap();
        let named = dir.join(format!("{HOSTILE}.jsonl"));
        fs::write(&named, [fs::read(&log).unwrap(), HOSTILE.as_bytes().to_vec()].concat()).unwrap();
        run(dir, &["log", "verify", named.to_str().unwrap(), "--format", format]);
        run(dir, &["log", named.to_str().unwrap(), "--format", format]);
        fs::remove_file(named).unwrap();
    }
    // A server's list, and its errors.
    let error = json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -1, "message": HOSTILE } })
        .to_string();
    let second = error.replacen("\"id\":1", "\"id\":2", 1);
    let refuses = format!("read a; printf '%s\\n' '{error}'; read b; printf '%s\\n' '{second}'");
    shows(dir, &["scan", "--", "sh", "-c", &refuses]);
    shows(dir, &["explain", "--policy", "p.json", "--matrix", "--", "sh", "-c", &refuses]);
    let tools = json!({ "jsonrpc": "2.0", "id": 2, "result": { "tools": [{ "name": HOSTILE, "description": HOSTILE }, { "name": "t", "description": "delete\u{202e}s" }] } });
    let lists = format!(
        "read a; echo '{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"capabilities\":{{\"tools\":{{}}}}}}}}'; read b; read c; printf '%s\\n' '{tools}'"
    );
    shows(dir, &["scan", "--", "sh", "-c", &lists]);
    shows(dir, &["scan", "--format", "json", "--", "sh", "-c", &lists]);
    shows(dir, &["explain", "--policy", "p.json", "--matrix", "--", "sh", "-c", &lists]);
}
