//! `callgate scan` with real files and servers: the files it leaves, and the effect of its policies.

use crate::harness::gate::{Wrap, callgate, launched, scripted_server, shell, temp_dir};
use crate::harness::process::{End, Process};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

const WELCOME: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}"#;

/// Runs a scan with these arguments in `dir`.
fn scan<S: Into<OsString>>(dir: &Path, words: impl IntoIterator<Item = S>) -> End {
    let mut command = callgate(dir);
    command.current_dir(dir).arg("scan").args(words.into_iter().map(Into::into));
    Process::spawn(&mut command).end()
}

/// The command of a server with these tools, one on each page.
fn paged(dir: &Path, tools: &[Value]) -> [OsString; 3] {
    let mut script = vec![json!({ "recv": 1 }), json!({ "answer": WELCOME }), json!({ "recv": 1 })];
    for (nth, tool) in tools.iter().enumerate() {
        let mut page = json!({ "tools": [tool] });
        if nth + 1 < tools.len() {
            page["nextCursor"] = json!(nth.to_string());
        }
        script.extend([json!({ "recv": 1 }), json!({ "answer": page.to_string() })]);
    }
    script.push(json!("hold"));
    scripted_server(dir, &json!(script))
}

/// The files in a directory, except those of the scripted server.
fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name != "log" && name != "script.json");
    names.sort();
    names
}

#[test]
fn all_pages_of_a_list_are_in_the_policy_and_nothing_is_called() {
    let dir = temp_dir();
    let tools: Vec<Value> =
        (0..30).map(|nth| json!({ "name": format!("get_{nth}"), "inputSchema": {} })).collect();
    let server = paged(dir.path(), &tools);
    let words = ["-o", "policy.json", "--"].map(OsString::from).into_iter().chain(server);
    let end = scan(dir.path(), words);
    assert_eq!((end.code, end.stdout.as_str()), (Some(0), ""), "{end:?}");
    assert!(end.stderr.contains("\n30 tools: 30 Read\n"), "{end:?}");
    let policy = fs::read_to_string(dir.path().join("policy.json")).unwrap();
    let policy: Value = serde_json::from_str(&policy).unwrap();
    assert_eq!(policy["tools"].as_object().unwrap().len(), 30);
    let log = fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(!log.contains("tools/call"), "{log}");
    assert_eq!(log.matches("tools/list").count(), 30);
    assert_eq!(files(dir.path()), ["policy.json"]);
}

#[test]
fn a_server_that_cannot_be_scanned_leaves_no_file() {
    let dir = temp_dir();
    let silent = scripted_server(dir.path(), &json!(["hold"]));
    let words = ["--timeout", "0.2", "-o", "policy.json", "--"].map(OsString::from);
    let end = scan(dir.path(), words.into_iter().chain(silent));
    assert_eq!((end.code, end.stdout.as_str()), (Some(2), ""), "{end:?}");
    assert!(end.stderr.contains("did not answer `initialize` within 0.2 s"), "{end:?}");
    assert_eq!(files(dir.path()), [""; 0]);
}

/// A call, as a client's own line.
fn call(tool: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool } })
        .to_string()
}

/// The file is replaced atomically, keeping its mode and following the link; or not at all.
#[test]
fn an_update_keeps_the_mode_of_the_file_and_the_link_to_it() {
    let dir = temp_dir();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("real")).unwrap();
    fs::write(path("real/p.json"), "{\"version\":\"1\",\"default\":\"deny\"}\n").unwrap();
    fs::set_permissions(path("real/p.json"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real/p.json", path("policy.json")).unwrap();
    fs::write(path("s.jsonl"), call("get_x")).unwrap();
    let words = ["--update", "policy.json", "--sessions", "s.jsonl"];
    let end = scan(dir.path(), words);
    assert_eq!((end.code, end.stdout.as_str()), (Some(0), ""), "{end:?}");
    let text = fs::read_to_string(path("real/p.json")).unwrap();
    assert!(
        text.starts_with("{\"version\":\"1\",\"default\":\"deny\", \"tools\": { \"get_x\": "),
        "{text}"
    );
    assert!(text.ends_with("}\n"), "{text}");
    assert!(path("policy.json").is_symlink());
    let before = fs::metadata(path("real/p.json")).unwrap();
    assert_eq!(before.permissions().mode() & 0o7777, 0o640);
    let end = scan(dir.path(), words);
    assert!(end.stderr.ends_with("policy `policy.json`: left as it was\n"), "{end:?}");
    let after = fs::metadata(path("real/p.json")).unwrap();
    assert_eq!((after.ino(), after.mtime_nsec()), (before.ino(), before.mtime_nsec()));
    assert_eq!(files(&path("real")), ["p.json"]);
    assert_eq!(files(dir.path()), ["policy.json", "real", "s.jsonl"]);
}

#[test]
fn a_policy_that_cannot_be_written_is_left_as_it_was() {
    let dir = temp_dir();
    let path = |name: &str| dir.path().join(name);
    let before = "{\"version\":\"1\",\"default\":\"deny\"}";
    fs::write(path("policy.json"), before).unwrap();
    fs::write(path("s.jsonl"), call("get_x")).unwrap();
    // A directory is in the way of the new file.
    let script = "mkdir \".policy.json.$$-0.callgate-new\"; exec \"$0\" scan --update policy.json --sessions s.jsonl";
    let end = Process::spawn(shell(dir.path(), script).current_dir(dir.path())).end();
    assert_eq!(end.code, Some(2), "{end:?}");
    assert_eq!(end.stderr, "error: failed to write policy `policy.json`: File exists\n");
    assert_eq!(fs::read_to_string(path("policy.json")).unwrap(), before);
}

/// contract W10: a server that is only asked for its tools cannot look into callgate either.
#[cfg(target_os = "linux")]
#[test]
fn a_server_that_is_scanned_cannot_look_into_callgate() {
    let dir = temp_dir();
    let pry = "cat /proc/$PPID/environ >&2; true </proc/$PPID/fd/1; cat /proc/$$/environ >&2";
    let mut command = callgate(dir.path());
    command.args(["scan", "--", "sh", "-c", pry]).env("SECRET", "word");
    let is_root = rustix::process::geteuid().is_root();
    let dropping = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let launcher = if is_root { &dropping[..] } else { &["env"] };
    let launcher: Vec<OsString> = launcher.iter().map(OsString::from).collect();
    let End { code, stderr, .. } = Process::spawn(&mut launched(command, &launcher)).end();
    assert_eq!(code, Some(2), "{stderr}");
    assert_eq!(stderr.matches("Permission denied").count(), 2, "{stderr}");
    assert_eq!(stderr.matches("SECRET=word").count(), 1, "its own it may read: {stderr}");
}

/// How a proposed policy decides a call of each class.
#[test]
fn each_class_is_ruled_as_proposed() {
    let dir = temp_dir();
    let names = ["get_x", "create_x", "run_x", "delete_x", "pay_x"];
    let tools: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
    let server = paged(dir.path(), &tools);
    let end = scan(dir.path(), [OsString::from("--")].into_iter().chain(server));
    assert_eq!(end.code, Some(0), "{end:?}");
    let gate = Wrap::new(end.stdout).serve(&json!(["echo"]));
    let mut ids = 0;
    let mut said = |tool: &str| -> String {
        ids += 1;
        let call = json!({ "jsonrpc": "2.0", "id": ids, "method": "tools/call", "params": { "name": tool } });
        let answer: Value = serde_json::from_str(&gate.ask(call)).unwrap();
        answer["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    };
    for _ in 0..40 {
        assert_eq!(said("get_x"), "ok");
    }
    for (tool, max) in [("create_x", 30), ("run_x", 10)] {
        for _ in 0..max {
            assert_eq!(said(tool), "ok");
        }
        let limit = format!("[POLICY DENIED] Limit reached: {max} per minute ({tool}_rate).");
        assert!(said(tool).starts_with(&limit), "{tool}");
    }
    assert_eq!(said("delete_x"), "[POLICY DENIED] Tool `delete_x` is hidden by policy.");
    assert_eq!(said("pay_x"), "[APPROVAL REQUIRED] This may move money: a human must approve it.");
    assert_eq!(said("other"), "[POLICY DENIED] Tool `other` is not permitted by policy.");
    gate.ends_quietly(0);
}
