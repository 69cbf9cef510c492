//! `callgate log` on logs that grow, are rotated, or are too large to read at once.

use crate::harness::gate::{Wrap, call, callgate, shell, temp_dir};
use crate::harness::process::{End, Process};
use crate::harness::streams::Streams;
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

fn log(dir: &Path, words: &[&str]) -> End {
    Process::spawn(callgate(dir).current_dir(dir).arg("log").args(words)).end()
}

/// The ids of the calls shown.
fn ids(stdout: &str) -> Vec<u64> {
    let shown = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    shown
        .filter(|event| event["event"] == "call")
        .map(|event| event["id"].as_u64().unwrap())
        .collect()
}

/// contract C1: following continues across rotated files, and ends when the reader is gone.
#[test]
fn following_survives_rotation_and_ends_with_its_reader() {
    let gate = Wrap::allow_all()
        .option(["--server", "srv", "--audit-keep", "256KiB"])
        .serve(&json!(["echo"]));
    gate.serves(1);
    let mut command = callgate(gate.dir());
    command.args(["log", "--follow", "--tool", "t", "--format", "json"]);
    let follower = Process::spawn(&mut command);
    let next = || {
        let line = follower.line().unwrap();
        serde_json::from_slice::<Value>(&line).unwrap()["id"].as_u64().unwrap()
    };
    assert_eq!(next(), 1);
    for id in 2..500 {
        gate.serves(id);
    }
    for id in 2..500 {
        assert_eq!(next(), id);
    }
    let files = fs::read_dir(gate.dir().join("callgate/audit")).unwrap().count();
    assert!(files >= 4, "only {files} files");
    // The reader leaves.
    let script = r#"(callgate log -f; echo "ended with $?" >&2) | head -n 1"#;
    let mut shell = shell(gate.dir(), script);
    let end = Process::spawn_on(&mut shell, Streams::pipes(), Stdio::piped()).end();
    assert_eq!((end.code, end.stderr.as_str()), (Some(0), "ended with 0\n"), "{end:?}");
}

/// contract S3, C1: a log of refusals that appears while its log is followed is followed as well.
#[test]
fn following_picks_up_a_new_log_of_refusals() {
    for named in [&["callgate/audit/srv.jsonl"][..], &["--server", "srv"], &[]] {
        let wrap = Wrap::new(r#"{"version":"1","default":"deny","tools":{"t":{}}}"#);
        let gate =
            wrap.option(["--server", "srv", "--audit-keep", "64KiB"]).serve(&json!(["echo"]));
        gate.serves(1);
        let mut command = callgate(gate.dir());
        command.current_dir(gate.dir());
        command.args(["log", "--follow", "--denied", "--format", "json"]).args(named);
        let follower = Process::spawn(&mut command);
        let refused = gate.dir().join("callgate/audit/srv@refused.jsonl");
        let arguments: serde_json::Map<String, Value> =
            (0..64).map(|nth| (format!("{nth:02}{}", "k".repeat(62)), json!(1))).collect();
        let mut sent = 1;
        let mut call_of_another_tool = || {
            sent += 1;
            let params = json!({"name": format!("tool{sent}"), "arguments": arguments});
            gate.ask(
                json!({"jsonrpc": "2.0", "id": sent, "method": "tools/call", "params": params}),
            );
            sent
        };
        // The first call is recorded before the second log exists, so the follower has started.
        let first = call_of_another_tool();
        let next = || serde_json::from_slice::<Value>(&follower.line().unwrap()).unwrap();
        assert_eq!(next()["id"], first);
        assert!(!refused.exists());
        while !refused.exists() {
            assert!(call_of_another_tool() < 200, "no second log");
        }
        let text = std::fs::read_to_string(&refused).unwrap();
        let begins: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let is_there =
            |event: &Value| event["seq"] == begins["seq"] && event["prev"] == begins["prev"];
        assert!((0..200).any(|_| is_there(&next())), "{named:?}");
    }
}

/// A file much larger than the memory allowed: the newest lines are found, and the junk is reported.
#[test]
fn a_line_without_end_does_no_harm() {
    let mut gate = Wrap::allow_all().option(["--server", "srv"]).serve(&json!(["echo"]));
    for id in 1..5 {
        gate.serves(id);
    }
    gate.end();
    let file = gate.dir().join("callgate/audit/srv.jsonl");
    let log = OpenOptions::new().append(true).open(&file).unwrap();
    // A sparse file takes no disk space.
    log.set_len(fs::metadata(&file).unwrap().len() + 200_000_000).unwrap();
    (&log).write_all(b"\n").unwrap();
    let run = |words: &str| {
        let script = format!("ulimit -v 150000; exec callgate log {words}");
        Process::spawn(&mut shell(gate.dir(), &script)).with_patience(3).end()
    };
    let end = run("--limit 3 --format json");
    assert_eq!((end.code, end.stdout.lines().count()), (Some(0), 3), "{end:?}");
    let junk: Value = serde_json::from_str(end.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&junk["event"], &junk["bytes"]), (&json!("unreadable"), &json!(200_000_000)));
    let end = run("verify");
    assert_eq!(end.code, Some(1), "{end:?}");
    assert!(end.stdout.contains("srv.jsonl:11: this is not a line of the log"), "{end:?}");
}

/// The logs of several servers are merged by time, and remain distinguishable.
#[test]
fn several_logs_are_merged_by_time() {
    let dir = temp_dir();
    let audit = dir.path().join("callgate/audit");
    fs::create_dir_all(&audit).unwrap();
    let line = |server: &str, id: u64, grant: &str, tool: &str, decision: &str| {
        format!(
            "{{\"seq\":{id},\"time\":\"2026-01-01T00:00:{id:02}.000Z\",\"event\":\"call\",\"id\":{id},\"tool\":\"{tool}\",\"decision\":\"{decision}\",\"rule\":\"r\",\"server\":\"{server}\",\"grant\":\"{grant}\"}}\n"
        )
    };
    let a: String = [1, 4, 5, 8].map(|id| line("a", id, "x", "read", "allowed")).concat();
    let b = [
        line("b", 2, "x", "write", "denied"),
        line("b", 3, "y", "write", "allowed"),
        line("b", 6, "y", "read", "denied"),
    ];
    fs::write(audit.join("a.jsonl"), a).unwrap();
    fs::write(audit.join("b.000000000001.jsonl"), b[..2].concat()).unwrap();
    fs::write(audit.join("b.jsonl"), &b[2]).unwrap();
    let show = |words: &[&str]| {
        let end = log(dir.path(), &[words, &["--format", "json"]].concat());
        assert_eq!(end.code, Some(0), "{end:?}");
        ids(&end.stdout)
    };
    assert_eq!(show(&[]), [1, 2, 3, 4, 5, 6, 8]);
    assert_eq!(show(&["--limit", "3"]), [5, 6, 8]);
    assert_eq!(show(&["--limit", "all"]), [1, 2, 3, 4, 5, 6, 8]);
    assert_eq!(show(&["--limit", "0"]), [0; 0]);
    assert_eq!(show(&["--server", "b"]), [2, 3, 6]);
    assert_eq!(show(&["--server", "b", "--limit", "2"]), [3, 6]);
    assert_eq!(show(&["--grant", "y"]), [3, 6]);
    assert_eq!(show(&["--tool", "wr*"]), [2, 3]);
    assert_eq!(show(&["--denied", "--limit", "1"]), [6]);
    assert_eq!(show(&["--since", "2026-01-01T00:00:05Z"]), [5, 6, 8]);
    assert_eq!(show(&["--since", "2026-01-01", "--limit", "2"]), [6, 8]);
    assert_eq!(show(&["--since", "1h"]), [0; 0]);
    let named = audit.join("b.jsonl").display().to_string();
    assert_eq!(show(&[&named]), [2, 3, 6]);
    assert_eq!(show(&["--audit", &named]), [2, 3, 6]);
    let rotated = audit.join("b.000000000001.jsonl").display().to_string();
    assert_eq!(show(&[&rotated]), [2, 3, 6]);
}

/// contract C1: a reader that leaves early is no error.
#[test]
fn a_reader_may_leave_early() {
    let gate = Wrap::allow_all().serve(&json!(["echo"]));
    for id in 0..40 {
        assert!(gate.ask(call(id)).contains("result"));
    }
    let script = "(callgate log --limit all; echo $? >&2) | true";
    let end = Process::spawn(&mut shell(gate.dir(), script)).end();
    assert_eq!(end.stderr, "0\n", "{end:?}");
}

/// contract C1: denials, and nothing else, are red on a terminal; elsewhere nothing is.
#[test]
fn denials_are_red_on_a_terminal_only() {
    let policy = r#"{"version":"1","default":"deny","tools":{"t":{}}}"#;
    let mut gate = Wrap::new(policy).serve(&json!(["echo"]));
    gate.serves(1);
    gate.ask(call(2).replace(r#""t""#, r#""u""#));
    gate.end();
    let show = |streams: Streams, no_color: &str| {
        let mut command = callgate(gate.dir());
        command.arg("log").env("TERM", "xterm").env("NO_COLOR", no_color);
        let end = Process::spawn_on(&mut command, streams, Stdio::piped()).wait();
        assert_eq!(end.code, Some(0), "{end:?}");
        end.stdout
    };
    let coloured = show(Streams::terminal(), "");
    assert!(coloured.contains("\x1b[31mdenied  \x1b[0m"), "{coloured:?}");
    assert_eq!(coloured.matches('\x1b').count(), 2, "{coloured:?}");
    for plain in [show(Streams::terminal(), "1"), show(Streams::pipes(), "")] {
        assert!(plain.contains("denied") && !plain.contains('\x1b'), "{plain:?}");
    }
}
