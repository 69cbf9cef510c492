//! Nobody can push records out of the audit log, break its chain, or forge its lines (contract S3, S4, W7).

use crate::harness::gate::{Gate, Wrap, call, callgate, ok, temp_dir};
use crate::harness::process::{End, Process};
use callgate::shell::digest::Hash;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const ALLOW_ALL: &str = r#"{"version":"1","default":"allow"}"#;
const ONLY_T: &str = r#"{"version":"1","default":"deny","tools":{"t":{}}}"#;

/// Runs callgate in `dir`.
fn run(dir: &Path, words: &[&str]) -> End {
    Process::spawn(callgate(dir).current_dir(dir).args(words)).end()
}

fn is_intact(dir: &Path, words: &[&str]) {
    let end = run(dir, &[&["log", "verify"], words].concat());
    assert!(end.code == Some(0) && end.stdout.contains("intact"), "{end:?}");
}

/// The events that `callgate log` shows.
fn shown(dir: &Path, words: &[&str]) -> Vec<Value> {
    let all = ["log", "--limit", "all", "--format", "json"];
    let end = run(dir, &[&all, words].concat());
    assert_eq!(end.code, Some(0), "{end:?}");
    end.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Counts the events that these lines represent.
fn count(events: &[Value], kind: &str, holds: impl Fn(&Value) -> bool) -> u64 {
    let events = events.iter().filter(|event| event["event"] == kind && holds(event));
    events.map(|event| event["count"].as_u64().unwrap_or(1)).sum()
}

/// A wrapper in `dir` with a state directory of its own.
fn sharing(dir: &Path, state: &str, words: &[&str]) -> Gate {
    let wrap = Wrap::allow_all()
        .keeping_in(dir.join(state))
        .option(["--audit".into(), dir.join("log.jsonl")]);
    wrap.option(words).serve(&json!(["echo"]))
}

/// contract S4: eight wrappers with separate state directories share one log: one chain, across several files and a
/// kill.
#[test]
fn wrappers_with_different_states_share_one_chain() {
    for keep in ["2MiB", "96KiB"] {
        let home = temp_dir();
        let dir = home.path();
        let gates: Vec<Gate> = (0..8)
            .map(|nth| sharing(dir, &format!("state{nth}"), &["--audit-keep", keep]))
            .collect();
        for round in 0..30 {
            for gate in &gates {
                gate.send(call(round));
            }
            if round == 15 {
                gates[3].signal(Signal::KILL);
            }
            for (nth, gate) in gates.iter().enumerate() {
                if round < 15 || nth != 3 {
                    assert_eq!(gate.recv(), ok(round));
                }
            }
        }
        for state in ["state0", "state3", "state7"] {
            is_intact(dir, &["log.jsonl", "--state", state]);
        }
        drop(gates);
        let text = fs::read_to_string(dir.join("log.jsonl")).unwrap();
        assert!(text.lines().all(|line| !line.is_empty()), "an empty line");
        let end =
            run(dir, &["log", "verify", "log.jsonl", "--format", "json", "--state", "state0"]);
        let reports: Value = serde_json::from_str(&end.stdout).unwrap();
        assert_eq!(reports[0]["from"].as_u64().unwrap() > 1, keep == "96KiB", "{end:?}");
    }
}

/// contract S4: a server whose name looks like another log's head file has a head of its own.
#[test]
fn no_server_name_breaks_a_chain() {
    let home = temp_dir();
    let dir = fs::canonicalize(home.path()).unwrap();
    let log = dir.join("log.jsonl");
    let mark = &Hash::of(log.as_os_str().as_encoded_bytes()).as_str()[..16].to_owned();
    let names = ["log", "log.chain", "log@refused", &format!("log-{mark}"), &format!("log@{mark}")];
    let first = sharing(&dir, "state", &[]);
    first.serves(1);
    for name in names {
        let wrap = Wrap::allow_all().keeping_in(dir.join("state")).option(["--server", name]);
        let second = wrap.serve(&json!(["echo"]));
        for id in 2..5 {
            second.serves(id);
            first.serves(id);
        }
        second.ends_quietly(0);
    }
    first.ends_quietly(0);
    is_intact(&dir, &["--state", "state"]);
    is_intact(&dir, &["log.jsonl", "--state", "state"]);
    assert_eq!(count(&shown(&dir, &["--state", "state"]), "recovered", |_| true), 0);
}

/// contract S4: a wrapper with a small `--audit-keep` does not drop what another wants to keep.
#[test]
fn the_largest_audit_keep_applies() {
    for (large, drops) in [(None, true), (Some("8MiB"), false)] {
        let home = temp_dir();
        let dir = home.path();
        let idle = large.map(|keep| {
            let idle = sharing(dir, "large", &["--audit-keep", keep]);
            idle.serves(1);
            idle
        });
        let small = sharing(dir, "small", &["--audit-keep", "64KiB"]);
        for id in 0..200 {
            small.serves(id);
        }
        // A reset says nothing about how much to keep.
        let end = run(dir, &["log", "verify", "log.jsonl", "--state", "small", "--format", "json"]);
        let reports: Value = serde_json::from_str(&end.stdout).unwrap();
        assert_eq!(reports[0]["wrong"], Value::Null, "{end:?}");
        assert_eq!(reports[0]["from"].as_u64().unwrap() > 1, drops, "{end:?}");
        drop(idle);
    }
}

/// contract S3: floods of refused lines, denied calls and noise do not displace the record of a served call. They are
/// counted and take little room.
#[test]
fn no_flood_displaces_the_record_of_a_served_call() {
    let wrap = Wrap::new(ONLY_T).option(["--server", "srv", "--audit-keep", "64KiB", "-q"]);
    let noise = json!({"send_repeat": {"text": "x\n", "times": 20_000}});
    let mut gate = wrap.serve(&json!([{"recv": 1}, {"answer": "{}"}, noise, "echo"]));
    gate.ask(call("\"mine\""));
    for _ in 0..20 {
        for id in 0..50 {
            gate.send("{}");
            gate.send(call(id).replace(r#""t""#, r#""other""#));
        }
        for _ in 0..100 {
            gate.recv();
        }
    }
    gate.serves(9);
    assert_eq!(gate.end().code, Some(0));
    let events = shown(gate.dir(), &[]);
    let of_client = |event: &Value| event["from"] == "client";
    assert_eq!(count(&events, "frame_refused", of_client), 1000);
    assert_eq!(count(&events, "frame_refused", |event| !of_client(event)), 20_000);
    let denied = |event: &Value| event["outcome"] == "denied" && event["tool"] == "other";
    assert_eq!(count(&events, "call", denied), 1000);
    assert_eq!(count(&events, "call", |event| event["id"] == "mine"), 1, "it was pushed out");
    assert_eq!(count(&events, "answer", |_| true), 2);
    let totals = &events.last().unwrap()["totals"];
    assert_eq!((&totals["calls"], &totals["frames_refused"]), (&json!(1002), &json!(21_000)));
    let log = gate.dir().join("callgate/audit/srv.jsonl");
    assert!(fs::metadata(log).unwrap().len() < 40_000, "the flood fills the log");
    is_intact(gate.dir(), &[]);
    let end = run(gate.dir(), &["status", "--format", "json"]);
    let status: Value = serde_json::from_str(&end.stdout).unwrap();
    let day = &status["grants"][0]["last_day"];
    assert_eq!(
        (&day["calls"], &day["denied"], &day["refused"]),
        (&json!(1002), &json!(1000), &json!(1000))
    );
    let end = run(gate.dir(), &["log", "--denied"]);
    assert!(end.stdout.contains(" times since "), "{end:?}");
}

/// contract S3: denials may not fill more than half of a file. The rest goes to a second log beside it, with a chain
/// and a limit of its own.
#[test]
fn denials_have_a_budget_of_their_own() {
    let wrap = Wrap::new(ONLY_T).option(["--server", "srv", "--audit-keep", "64KiB"]);
    let mut gate = wrap.serve(&json!(["echo"]));
    gate.serves(1);
    // As long as a record can be, and all different.
    let arguments: serde_json::Map<String, Value> =
        (0..64).map(|nth| (format!("{nth:02}{}", "k".repeat(62)), json!(1))).collect();
    let arguments = Value::Object(arguments);
    for id in 2..40 {
        let params = json!({"name": format!("tool{id}"), "arguments": arguments});
        gate.ask(json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}));
    }
    gate.serves(50);
    assert_eq!(gate.end().code, Some(0));
    let audit = gate.dir().join("callgate/audit");
    let files: Vec<PathBuf> =
        fs::read_dir(&audit).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(audit.join("srv@refused.jsonl").exists(), "{files:?}");
    assert!(!audit.join("srv.000000000001.jsonl").exists(), "it was rotated: {files:?}");
    let bytes: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(bytes < 64 * 1024, "{bytes} bytes");
    for server in [&[][..], &["--server", "srv"]] {
        let events = shown(gate.dir(), server);
        assert_eq!(count(&events, "call", |event| event["outcome"] == "allowed"), 2);
        let last = |event: &Value| event["event"] == "session_end";
        assert_eq!(events.iter().find(|event| last(event)).unwrap()["totals"]["denied"], 38);
        assert!(count(&events, "call", |event| event["outcome"] == "denied") > 2, "{events:?}");
    }
    let end = run(gate.dir(), &["log", "verify", "--format", "json"]);
    let reports: Value = serde_json::from_str(&end.stdout).unwrap();
    assert_eq!((end.code, reports.as_array().unwrap().len()), (Some(0), 2), "{end:?}");
}

/// contract S3: the arguments that rules name are recorded, whatever else a call carries.
#[test]
fn made_up_arguments_displace_no_real_ones() {
    let policy = r#"{"version":"1","default":"deny","tools":{"pay":{
        "deny_if":[{"conditions":[{"path":"args.amount","op":"gt","value":100}]}],
        "limits":[{"counter":"c","window":"day","max":1000,"increment_from":"args.to.share"}]}}}"#;
    let wrap = Wrap::new(policy).option(["--server", "srv", "--audit-args"]);
    let mut gate = wrap.serve(&json!(["echo"]));
    let mut arguments: serde_json::Map<String, Value> =
        (0..70).map(|nth| (format!("!{nth:02}"), json!("x".repeat(400)))).collect();
    arguments.insert("to".into(), json!({"name": "bob", "share": 1}));
    arguments.insert("amount".into(), json!(5000));
    for (id, tool, decision) in [(1, "pay", "denied"), (2, "steal", "denied")] {
        let params = json!({"name": tool, "arguments": arguments});
        gate.ask(json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}));
        let events = shown(gate.dir(), &[]);
        let event = events.iter().find(|event| event["id"] == id).unwrap();
        assert_eq!(event["outcome"], decision);
        let is_named = tool == "pay";
        assert_eq!(event["keys"][0] == "amount" && event["keys"][1] == "to", is_named, "{event}");
        assert_eq!(event["arguments"]["amount"] == 5000, is_named, "{event}");
        assert_eq!(event["arguments"]["to"]["share"] == 1, is_named, "{event}");
        assert_eq!(event["more_keys"], 8);
    }
    gate.end();
}

/// contract S4: a log with two names, or with the name of another file, is refused at the start.
#[test]
fn a_path_that_cannot_be_one_log_is_refused_at_the_start() {
    type Making = fn(&Path);
    let cases: [(&str, &str, Making); 5] = [
        ("log.jsonl", "a hard link", |dir| {
            fs::hard_link(dir.join("log.jsonl"), dir.join("second")).unwrap();
        }),
        ("other.head", "the head of a log", |_| {}),
        ("log@refused.jsonl", "the second file", |_| {}),
        ("log.000000000007.jsonl", "an old file", |_| {}),
        ("new.jsonl", "symbolic link", |dir| symlink("policy.json", dir.join("new.head")).unwrap()),
    ];
    for (name, why, make) in cases {
        let home = temp_dir();
        let dir = home.path();
        fs::write(dir.join("policy.json"), ALLOW_ALL).unwrap();
        let first = sharing(dir, "a", &[]);
        first.serves(1);
        make(dir);
        let end = run(
            dir,
            &["wrap", "--policy", "policy.json", "--state", "b", "--audit", name, "--", "true"],
        );
        assert_eq!(end.code, Some(2), "{name}: {end:?}");
        assert!(end.stderr.contains(why) && end.stderr.contains("--audit FILE"), "{end:?}");
        // The first one continues.
        first.serves(2);
        assert_eq!(fs::read_to_string(dir.join("policy.json")).unwrap(), ALLOW_ALL);
        is_intact(dir, &["log.jsonl", "--state", "a"]);
    }
}

/// contract S4: callgate itself never breaks a chain, not even with the head of another log. A log's own head is not
/// foreign, even if it was set back, or is ahead of what a power loss left.
#[test]
fn the_head_of_another_log_is_refused_at_the_start() {
    let home = temp_dir();
    let dir = home.path();
    fs::write(dir.join("policy.json"), ALLOW_ALL).unwrap();
    for (log, calls) in [("a", 1..3), ("b", 1..9)] {
        let wrap = Wrap::allow_all().keeping_in(dir.join("state"));
        let file = dir.join(format!("{log}.jsonl")).display().to_string();
        let mut gate = wrap.option(["--audit", &file]).serve(&json!(["echo"]));
        calls.for_each(|id| gate.serves(id));
        assert_eq!(gate.end().code, Some(0));
    }
    let files =
        ["a", "b"].map(|log| (dir.join(format!("{log}.jsonl")), dir.join(format!("{log}.head"))));
    let heads = files.each_ref().map(|(_, head)| fs::read(head).unwrap());
    let start = |log: &str| {
        let file = format!("{log}.jsonl");
        let words =
            ["wrap", "--policy", "policy.json", "--state", "state", "--audit", &file, "--", "cat"];
        run(dir, &words)
    };
    // The longer log's head looks like the shorter log's with its end cut off; only `verify` can tell.
    fs::write(&files[1].1, &heads[0]).unwrap();
    let before = fs::read(&files[1].0).unwrap();
    let end = start("b");
    assert_eq!(end.code, Some(2), "{end:?}");
    assert!(end.stderr.contains("is not the head of"), "{end:?}");
    assert_eq!(fs::read(&files[1].0).unwrap(), before, "something was written");
    fs::write(&files[1].1, &heads[1]).unwrap();
    for log in ["a", "b"] {
        assert_eq!(start(log).code, Some(0));
        is_intact(dir, &[&format!("{log}.jsonl"), "--state", "state"]);
    }
    // The log's own older head is accepted.
    fs::write(&files[1].1, &heads[1]).unwrap();
    assert_eq!(start("b").code, Some(0));
}

/// contract S4: the copy in the state directory reveals a log and head that were set back together.
#[test]
fn the_state_directory_reveals_missing_lines() {
    let home = temp_dir();
    let dir = home.path();
    let mut gate = sharing(dir, "state", &[]);
    gate.serves(1);
    let files = ["log.jsonl", "log.head"].map(|name| dir.join(name));
    gate.serves(2);
    let before = files.each_ref().map(|file| fs::read(file).unwrap());
    gate.serves(3);
    assert_eq!(gate.end().code, Some(0));
    is_intact(dir, &["log.jsonl", "--state", "state"]);
    for (file, bytes) in files.iter().zip(before) {
        fs::write(file, bytes).unwrap();
    }
    let end = run(dir, &["log", "verify", "log.jsonl", "--state", "state"]);
    assert_eq!(end.code, Some(1), "{end:?}");
    assert!(end.stdout.contains("the state directory records"), "{end:?}");
    // No other copy exists.
    is_intact(dir, &["log.jsonl", "--state", "other"]);
}

/// A head that an earlier callgate kept in the state directory is taken over.
#[test]
fn a_log_elsewhere_continues_from_an_older_head() {
    let home = temp_dir();
    let dir = fs::canonicalize(home.path()).unwrap();
    let mut gate = sharing(&dir, "state", &[]);
    gate.serves(1);
    gate.end();
    let log = dir.join("log.jsonl");
    let mark = &Hash::of(log.as_os_str().as_encoded_bytes()).as_str()[..16].to_owned();
    let audit = dir.join("state/audit");
    let old = audit.join(format!("log-{mark}.head"));
    fs::rename(dir.join("log.head"), &old).unwrap();
    fs::remove_file(audit.join(format!("log@{mark}.head"))).unwrap();
    is_intact(&dir, &["log.jsonl", "--state", "state"]);
    let mut gate = sharing(&dir, "state", &[]);
    gate.serves(2);
    gate.end();
    assert!(!old.exists());
    is_intact(&dir, &["log.jsonl", "--state", "state"]);
    assert_eq!(count(&shown(&dir, &["log.jsonl"]), "recovered", |_| true), 0);
}

/// contract W7: each place where others can change policy, state or log gets one warning.
#[test]
fn callgate_warns_of_files_that_others_can_change() {
    let is_root = rustix::process::geteuid().is_root();
    // The path, its mode or owner, and the warning.
    let rows: [(&str, Result<u32, u32>, Option<&str>); 9] = [
        ("x/policy.json", Ok(0o644), None),
        ("x", Ok(0o777), Some("they can change the policy")),
        ("x", Ok(0o1777), None),
        ("x/policy.json", Err(65534), Some("belongs to another user (user id 65534)")),
        ("y/state", Ok(0o777), Some("they can change counters and the audit log")),
        ("y", Ok(0o777), Some("they can change counters and the audit log")),
        ("y", Ok(0o1777), None),
        ("y/state/audit/srv.jsonl", Ok(0o666), Some("they can change the audit log")),
        ("y/state/audit/srv.head", Ok(0o620), Some("they can change the audit log")),
    ];
    for (name, what, told) in rows {
        if what.is_err() && !is_root {
            continue;
        }
        let home = temp_dir();
        let dir = home.path();
        fs::create_dir_all(dir.join("x")).unwrap();
        fs::write(dir.join("x/policy.json"), ALLOW_ALL).unwrap();
        let start = || {
            let words = [
                "wrap",
                "--policy",
                "x/policy.json",
                "--server",
                "srv",
                "--state",
                "y/state",
                "--",
                "true",
            ];
            run(dir, &words).stderr
        };
        assert_eq!(start(), "");
        let path = dir.join(name);
        match what {
            Ok(mode) => fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap(),
            Err(owner) => std::os::unix::fs::chown(&path, Some(owner), None).unwrap(),
        }
        let stderr = start();
        let end = run(dir, &["check", "x/policy.json"]);
        assert_eq!(end.code, Some(0), "{end:?}");
        match told {
            None => assert_eq!((stderr.as_str(), end.stderr.as_str()), ("", ""), "{name}"),
            Some(told) => {
                assert_eq!(stderr.matches("warning: ").count(), 1, "{name}: {stderr}");
                assert!(stderr.contains(told) && stderr.contains(name), "{name}: {stderr}");
                assert_eq!(end.stderr.contains("warning: "), name.starts_with('x'), "{end:?}");
            }
        }
    }
}
