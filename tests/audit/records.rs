//! The audit records of a session, and what happens to its calls when the log cannot be written (contract S3, S4).

use crate::harness::gate::{Gate, Wrap, call, callgate, ok, temp_dir};
use crate::harness::process::{End, Process};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a change of files may take to be noticed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The default log of the server `srv`.
fn log_in(dir: &Path) -> PathBuf {
    dir.join("callgate/audit/srv.jsonl")
}

fn wrap(policy: &str) -> Wrap {
    Wrap::new(policy).option(["--server", "srv"])
}

fn allow_all() -> Wrap {
    wrap(r#"{"version":"1","default":"allow"}"#)
}

fn events(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The events of this kind.
fn of_kind(log: &Path, kind: &str) -> Vec<Value> {
    events(log).into_iter().filter(|event| event["event"] == kind).collect()
}

fn verify(dir: &Path, words: &[&str]) -> End {
    Process::spawn(callgate(dir).current_dir(dir).args(["log", "verify"]).args(words)).end()
}

/// Checks that the log is intact.
fn is_intact(dir: &Path) {
    let end = verify(dir, &[]);
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(end.stdout.contains("intact"), "{end:?}");
}

/// Calls until a call is denied because it cannot be recorded.
fn is_denied(gate: &Gate) -> Value {
    let begun = Instant::now();
    loop {
        let answer: Value = serde_json::from_str(&gate.ask(call(7))).unwrap();
        if answer["result"]["isError"] == true {
            let rule = &answer["result"]["_meta"]["callgate/decision"]["rule"];
            assert_eq!(rule, "(audit unavailable)", "{answer}");
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing is denied");
    }
}

/// Calls until a call is served.
fn is_served(gate: &Gate) {
    let begun = Instant::now();
    while gate.ask(call(8)) != ok(8) {
        assert!(begun.elapsed() < PATIENCE, "nothing is served");
    }
}

/// contract S3: a call, its answer, and the ends of the session.
#[test]
fn a_session_is_recorded() {
    let policy =
        r#"{"version":"1","default":"deny","tools":{"t":{}},"methods":{"resources/*":"deny"}}"#;
    let mut gate = wrap(policy).option(["--grant", "alice"]).serve(&json!(["echo"]));
    gate.send(r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"t","arguments":{"z":1,"a":{"secret":"s3cret"}}}}"#);
    gate.recv();
    gate.ask(r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"evil","arguments":{"k":"s3cret"}}}"#);
    gate.ask(r#"{"jsonrpc":"2.0","id":3,"method":"resources/list"}"#);
    gate.ask("nonsense");
    gate.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":77}}"#);
    assert_eq!(gate.end().code, Some(0));
    let log = log_in(gate.dir());
    let events = events(&log);
    for (nth, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], nth + 1, "{event}");
        assert_eq!(
            (&event["server"], &event["grant"]),
            (&json!("srv"), &json!("alice")),
            "{event}"
        );
        assert_eq!(event["session"], events[0]["session"]);
        let time = event["time"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    }
    assert_eq!(events[0]["event"], "session_start");
    assert_eq!(events[0]["sha256"].as_str().map(str::len), Some(64));
    let call = &of_kind(&log, "call")[0];
    let expected = [
        ("id", json!("a")),
        ("tool", json!("t")),
        ("outcome", json!("allowed")),
        ("rule", json!("/tools/t")),
        ("keys", json!(["a", "z"])),
    ];
    for (name, value) in expected {
        assert_eq!(call[name], value, "{call}");
    }
    let denied = &of_kind(&log, "call")[1];
    assert_eq!((&denied["outcome"], &denied["rule"]), (&json!("denied"), &json!("(default deny)")));
    assert_eq!(of_kind(&log, "answer")[0]["end"], "result");
    assert_eq!(of_kind(&log, "method_denied")[0]["rule"], "/methods/resources~1*");
    assert_eq!(of_kind(&log, "frame_refused")[0]["from"], "client");
    let end = events.last().unwrap();
    assert_eq!((&end["event"], &end["exit_code"]), (&json!("session_end"), &json!(0)));
    assert_eq!((&end["totals"]["calls"], &end["totals"]["denied"]), (&json!(2), &json!(1)));
    assert_eq!(of_kind(&log, "frame_dropped")[0]["from"], "client");
    assert_eq!(end["totals"]["frames_dropped"], 1);
    assert!(!fs::read_to_string(&log).unwrap().contains("s3cret"), "a value is on record");
    is_intact(gate.dir());
}

/// contract C5: only the owner can read the log.
#[test]
fn the_log_is_for_its_owner_alone() {
    let gate = allow_all().serve(&json!(["echo"]));
    gate.serves(1);
    let log = log_in(gate.dir());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = log.parent().unwrap();
    assert_eq!((mode(&log), mode(&log.with_extension("head"))), (0o600, 0o600));
    assert_eq!((mode(directory), mode(directory.parent().unwrap())), (0o700, 0o700));
}

/// contract S3: values are recorded only on request; at most 64 keys of 64 bytes, strings of 256 bytes.
#[test]
fn values_are_recorded_on_request() {
    let mut gate = allow_all().option(["--audit-args"]).serve(&json!(["echo"]));
    let keys: serde_json::Map<String, Value> =
        (0..100).map(|nth| (format!("{nth:03}{}", "k".repeat(100)), json!(nth))).collect();
    let line = |id: u64, arguments: Value| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "t", "arguments": arguments}});
    gate.ask(line(1, json!({"q": "v".repeat(1000), "n": {"x": [1.50, null]}})));
    gate.ask(line(2, Value::Object(keys)));
    assert_eq!(gate.end().code, Some(0));
    let calls = of_kind(&log_in(gate.dir()), "call");
    let value = calls[0]["arguments"]["q"].as_str().unwrap();
    assert!(value.len() <= 256 && value.starts_with("vvv") && value.ends_with('…'), "{value}");
    assert_eq!(calls[0]["arguments"]["n"], json!({"x": [1.5, null]}));
    let keys = calls[1]["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 64);
    assert!(keys.iter().all(|key| key.as_str().unwrap().len() <= 64), "{keys:?}");
    is_intact(gate.dir());
}

/// contract S3: invisible characters are escaped in every field.
#[test]
fn invisible_characters_are_escaped_in_every_field() {
    let hidden = "\u{202e}\u{200b}\u{2066}\u{feff}\u{2028}\u{7f}\u{9b}\u{e0041}";
    let policy = json!({"version": "1", "default": "deny", "tools": {"t": {"deny_if": [{"conditions": [], "on_deny": format!("no{hidden}")}]}}});
    let mut gate = wrap(&policy.to_string())
        .option(["--audit-args", "--grant", hidden])
        .serve(&json!(["echo"]));
    for (id, tool) in [("1", "t"), ("\"é\u{202e}\"", "x\u{202e}\\u001b[2J")] {
        let params =
            format!(r#"{{"name":"{tool}","arguments":{{"k{hidden}\u001b":"v{hidden}\n"}}}}"#);
        gate.ask(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#
        ));
    }
    gate.ask(format!(r#"{{"jsonrpc":"2.0","id":3,"method":"{hidden}","Params":1}}"#));
    assert_eq!(gate.end().code, Some(0));
    let text = fs::read_to_string(log_in(gate.dir())).unwrap();
    let seen =
        text.chars().filter(|c| !(c.is_ascii_graphic() || matches!(c, ' ' | '\n' | 'é' | '…')));
    assert_eq!(seen.collect::<String>(), "");
    let calls = of_kind(&log_in(gate.dir()), "call");
    assert_eq!(calls[0]["message"], format!("no{hidden}"));
    assert_eq!(calls[0]["arguments"][format!("k{hidden}\u{1b}")], format!("v{hidden}\n"));
    assert_eq!(calls[1]["tool"], "x\u{202e}\u{1b}[2J");
    is_intact(gate.dir());
}

/// contract S3: no call goes out without a record; once the file is back, calls are served again.
#[test]
fn a_removed_log_denies_every_call_until_it_is_back() {
    let mut gate = allow_all().serve(&json!(["echo"]));
    gate.serves(1);
    let log = log_in(gate.dir());
    let aside = gate.dir().join("aside");
    fs::rename(&log, &aside).unwrap();
    let denied = is_denied(&gate);
    assert!(!denied.to_string().contains("srv.jsonl"), "the agent learns of our files: {denied}");
    assert!(!log.exists(), "the log was begun anew");
    assert!(gate.error_line().contains("removed or renamed"));
    let received = gate.received().len();
    is_denied(&gate);
    assert_eq!(gate.received().len(), received, "it went out");
    fs::rename(&aside, &log).unwrap();
    is_served(&gate);
    assert_eq!(gate.end().code, Some(0));
    is_intact(gate.dir());
    let rules: Vec<Value> =
        of_kind(&log, "call").into_iter().map(|call| call["rule"].clone()).collect();
    assert!(rules.contains(&json!("(audit unavailable)")), "the log is not told: {rules:?}");
}

/// contract S3: anything in the log's place denies every call, and no call waits for it.
#[test]
fn anything_in_the_place_of_the_log_denies_every_call() {
    for kind in ["directory", "fifo", "dangling link"] {
        let gate = allow_all().serve(&json!(["echo"]));
        gate.serves(1);
        let log = log_in(gate.dir());
        let aside = gate.dir().join("aside");
        fs::rename(&log, &aside).unwrap();
        match kind {
            "directory" => fs::create_dir(&log).unwrap(),
            "fifo" => mknodat(CWD, &log, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
            _ => symlink("nowhere", &log).unwrap(),
        }
        is_denied(&gate);
        if kind == "directory" {
            fs::remove_dir(&log).unwrap();
        } else {
            fs::remove_file(&log).unwrap();
        }
        fs::rename(&aside, &log).unwrap();
        is_served(&gate);
        is_intact(gate.dir());
    }
}

/// The same for the directory, including the head.
#[test]
fn a_missing_directory_denies_every_call_until_it_is_back() {
    let gate = allow_all().serve(&json!(["echo"]));
    gate.serves(1);
    let (directory, aside) = (gate.dir().join("callgate"), gate.dir().join("aside"));
    fs::rename(&directory, &aside).unwrap();
    is_denied(&gate);
    assert!(!directory.exists(), "it was made anew");
    fs::rename(&aside, &directory).unwrap();
    is_served(&gate);
    is_intact(gate.dir());
}

/// A full disk lets no call slip through, and leaves no torn line.
#[test]
fn a_full_disk_denies_every_call_until_there_is_room() {
    let mut gate = allow_all().serve(&json!(["echo"]));
    gate.serves(1);
    let log = log_in(gate.dir());
    // There is room for a part of a line.
    gate.limit_file_size(Some(fs::metadata(&log).unwrap().size() + 100));
    let denied = is_denied(&gate);
    assert!(!denied.to_string().contains("No space"), "the agent learns of our disk: {denied}");
    is_intact(gate.dir());
    is_denied(&gate);
    gate.limit_file_size(None);
    is_served(&gate);
    assert_eq!(gate.end().code, Some(0));
    is_intact(gate.dir());
}

/// contract S3: with `--no-audit`, nothing can deny a call for lack of a record.
#[test]
fn without_a_log_nothing_is_written_and_nothing_denied() {
    let gate = allow_all().option(["--no-audit"]).serve(&json!(["echo"]));
    gate.serves(1);
    assert!(!gate.dir().join("callgate").exists());
    gate.limit_file_size(Some(0));
    gate.serves(2);
    gate.limit_file_size(None);
    gate.ends_quietly(0);
}

/// A removed head is recreated, and `verify` reports it.
#[test]
fn a_removed_head_is_reported() {
    let mut gate = allow_all().serve(&json!(["echo"]));
    gate.serves(1);
    let log = log_in(gate.dir());
    let head = log.with_extension("head");
    fs::remove_file(&head).unwrap();
    let begun = Instant::now();
    while !head.exists() {
        gate.serves(2);
        assert!(begun.elapsed() < PATIENCE, "there is no head");
    }
    assert_eq!(gate.end().code, Some(0));
    let end = verify(gate.dir(), &[]);
    assert_eq!(end.code, Some(1), "{end:?}");
    assert!(end.stdout.contains("the head was missing"), "{end:?}");
}

/// contract C4: a log given by `--audit` has one head, however its path is spelt.
#[test]
fn a_log_elsewhere_has_one_head() {
    let dir = temp_dir();
    fs::write(dir.path().join("policy.json"), r#"{"version":"1","default":"allow"}"#).unwrap();
    let wrap = Wrap::behind(dir, "policy.json").option(["--audit", "logs/mine.log"]);
    let first = wrap.serve(&json!(["echo"]));
    first.serves(1);
    let dir = first.dir();
    symlink("logs", dir.join("link")).unwrap();
    symlink("logs/mine.log", dir.join("mine")).unwrap();
    for path in ["logs/../logs/mine.log", "link/mine.log", "mine"] {
        let state = format!("XDG_STATE_HOME={}", dir.display());
        let wrap = Wrap::allow_all().launched_by(["env", &state]);
        let second = wrap.option(["--audit".into(), dir.join(path)]).serve(&json!(["echo"]));
        second.serves(2);
        first.serves(3);
        second.serves(4);
        second.ends_quietly(0);
    }
    let heads = fs::read_dir(dir.join("callgate/audit")).unwrap();
    assert_eq!(heads.count(), 1, "there are several heads");
    assert!(of_kind(&dir.join("logs/mine.log"), "recovered").is_empty());
    for path in ["logs/mine.log", "link/mine.log", "mine"] {
        let end = verify(dir, &[path]);
        assert_eq!((end.code, end.stdout.contains("intact: 2")), (Some(0), true), "{end:?}");
    }
    assert_eq!(verify(dir, &[]).code, Some(2), "it is not in the state directory");
}

/// A log that is a symbolic link is written, rotated and verified at its target.
#[test]
fn a_log_may_be_a_symbolic_link() {
    let dir = temp_dir();
    fs::write(dir.path().join("policy.json"), r#"{"version":"1","default":"allow"}"#).unwrap();
    let log = log_in(dir.path());
    fs::create_dir_all(log.parent().unwrap()).unwrap();
    fs::create_dir(dir.path().join("large")).unwrap();
    fs::write(dir.path().join("large/log.jsonl"), "").unwrap();
    symlink("../../large/log.jsonl", &log).unwrap();
    let wrap = Wrap::behind(dir, "policy.json").option(["--server", "srv"]);
    let mut gate = wrap.option(["--audit-keep", "64KiB"]).serve(&json!(["echo"]));
    for id in 0..60 {
        gate.serves(id);
    }
    assert_eq!(gate.end().code, Some(0));
    assert!(fs::symlink_metadata(&log).unwrap().is_symlink());
    assert!(fs::read_dir(gate.dir().join("large")).unwrap().count() > 1, "it was not rotated");
    is_intact(gate.dir());
    let shown = Process::spawn(callgate(gate.dir()).args(["log", "--server", "srv"])).end();
    assert!(shown.stdout.contains("call"), "{shown:?}");
}

/// contract S4: eight sessions at once over several files, one of them killed.
#[test]
fn eight_sessions_and_a_kill_leave_one_chain() {
    for (keep, drops) in [("700KiB", false), ("64KiB", true)] {
        let first = allow_all().option(["--audit-keep", keep]).serve(&json!(["echo"]));
        first.serves(1);
        let dir = first.dir().to_owned();
        let others: Vec<Gate> = (1..8)
            .map(|_| {
                let state = format!("XDG_STATE_HOME={}", dir.display());
                let wrap = allow_all().option(["--audit-keep", keep]);
                wrap.launched_by(["env", &state]).serve(&json!(["echo"]))
            })
            .collect();
        for round in 0..60 {
            for gate in &others {
                for id in 0..2 {
                    gate.send(call(round * 2 + id));
                }
            }
            if round == 30 {
                others[3].signal(Signal::KILL);
            }
            for (nth, gate) in others.iter().enumerate() {
                if round < 30 || nth != 3 {
                    gate.recv();
                    gate.recv();
                }
            }
        }
        let end = verify(&dir, &[]);
        assert_eq!(end.code, Some(0), "{end:?}");
        drop(others);
        first.serves(2);
        let end = verify(&dir, &["--format", "json"]);
        let reports: Value = serde_json::from_str(&end.stdout).unwrap();
        assert_eq!(reports[0]["wrong"], Value::Null, "{end:?}");
        assert!(reports[0]["files"].as_u64().unwrap() >= 3, "{end:?}");
        assert_eq!(reports[0]["from"].as_u64().unwrap() > 1, drops, "{end:?}");
    }
}
