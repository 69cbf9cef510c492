//! `wrap --record` and `replay` use one engine, so a replay repeats the live decisions (contract S5).

use super::classes::tools_of;
use super::policies::policy_for;
use crate::harness::gate::{Wrap, call, callgate, ok, temp_dir};
use crate::harness::process::End;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A policy that decides by pattern and argument, and counts across all tools.
const STRICT: &str = r#"{"version":"1","default":"allow","hide":["nosuch"],
    "all_tools":{"limits":[{"counter":"calls","window":"minute","max":3}]},
    "tools":{"get_*":{"limits":[{"counter":"gets","window":"session","max":1}]},
             "*_file":{"action":"deny"},"echo":{"action":"require_approval"}}}"#;

/// The outcome of one call: its id, `allowed` or another outcome, and the rule of a denial.
type Outcome = (Value, String, Option<String>);

/// The output of `callgate replay --format json`: one value for each call, and the totals.
fn replayed(options: &[&str], policy: &Path, recording: &Path) -> (Vec<Value>, Value, Option<i32>) {
    let dir = temp_dir();
    let mut command = callgate(dir.path());
    command.args(["replay", "--format", "json", "--policy"]).arg(policy);
    let output = command.args(options).arg(recording).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut rows: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let totals = rows.pop().expect("totals")["totals"].take();
    (rows, totals, output.status.code())
}

fn by_replay(policy: &Path, recording: &Path) -> Vec<Outcome> {
    let (rows, ..) = replayed(&[], policy, recording);
    let outcome = |row: &Value| {
        let verdict = row["outcome"].as_str().unwrap();
        let rule = row["rule"].as_str().filter(|_| verdict != "allowed");
        (row["id"].clone(), verdict.to_owned(), rule.map(str::to_owned))
    };
    rows.iter().map(outcome).collect()
}

/// The same, from the answer that the client saw.
fn by_answer(id: &Value, answer: &str) -> Outcome {
    let answer: Value = serde_json::from_str(answer).unwrap();
    let part = if answer["error"].is_object() { "/error/data" } else { "/result/_meta" };
    let decision = answer.pointer(part).map(|meta| &meta["callgate/decision"]);
    let word = |name| decision.and_then(|decision| decision[name].as_str()).map(str::to_owned);
    assert_eq!(answer["id"], *id);
    (id.clone(), word("outcome").unwrap_or_else(|| "allowed".to_owned()), word("rule"))
}

/// The lines that the client of a recorded session sent in its first run.
fn client_lines(recording: &str) -> Vec<String> {
    let entries = recording.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut begun = false;
    let sent = entries.filter(|entry| entry["from"] == "client");
    let sent = sent.map(|entry| entry["text"].as_str().unwrap().to_owned());
    sent.take_while(|line| {
        !(line.contains(r#""method":"initialize""#) && std::mem::replace(&mut begun, true))
    })
    .collect()
}

/// The outcomes of a recorded session's calls under a policy, as the client saw them. Checks that a replay of the new
/// recording agrees.
fn outcomes(policy: &str, session: &Path) -> Vec<Outcome> {
    let wrap = Wrap::new(policy).in_own_dir().option(["--record", "r.jsonl"]);
    let mut gate = wrap.serve(&json!(["echo"]));
    let mut live = Vec::new();
    for line in client_lines(&fs::read_to_string(session).unwrap()) {
        let message: Value = serde_json::from_str(&line).unwrap_or_default();
        let asks = message["method"].is_string() && !message["id"].is_null();
        if !asks {
            gate.send(&line);
            continue;
        }
        let answer = gate.ask(&line);
        if message["method"] == "tools/call" {
            live.push(by_answer(&message["id"], &answer));
        }
    }
    assert_eq!(gate.end().code, Some(0), "{}", session.display());
    let again = by_replay(gate.policy_file(), &gate.dir().join("r.jsonl"));
    assert_eq!(again, live, "{}", session.display());
    live
}

fn sessions() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sessions");
    fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect()
}

#[test]
fn every_recorded_session_is_decided_alike_live_and_in_replay() {
    let mut verdicts = BTreeMap::<String, usize>::new();
    for session in sessions() {
        for (_, verdict, _) in outcomes(STRICT, &session) {
            *verdicts.entry(verdict).or_default() += 1;
        }
    }
    assert!(verdicts.len() == 3 && verdicts.values().all(|count| *count >= 3), "{verdicts:?}");
}

/// The same for each session under the policy that a scan proposes for its server.
#[test]
fn a_scanned_policy_decides_alike_live_and_in_replay() {
    let mut verdicts = BTreeMap::<String, usize>::new();
    for session in sessions() {
        for (_, verdict, _) in outcomes(&policy_for(&tools_of(&session)), &session) {
            *verdicts.entry(verdict).or_default() += 1;
        }
    }
    assert!(verdicts["allowed"] >= 50 && verdicts["denied"] >= 10, "{verdicts:?}");
}

#[test]
fn a_recording_is_whole_up_to_the_last_line_when_callgate_is_killed() {
    let mut gate =
        Wrap::allow_all().in_own_dir().option(["--record", "r.jsonl"]).serve(&json!(["echo"]));
    let file = gate.dir().join("r.jsonl");
    for id in 0..20 {
        assert_eq!(gate.ask(call(id)), ok(id));
    }
    gate.signal(Signal::KILL);
    gate.wait();
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sent: Vec<(&str, &str)> = lines
        .iter()
        .map(|line| (line["from"].as_str().unwrap(), line["text"].as_str().unwrap()))
        .collect();
    let pairs: Vec<String> = (0..20).flat_map(|id| [call(id), ok(id)]).collect();
    assert_eq!(sent.iter().map(|(_, text)| *text).collect::<Vec<_>>(), pairs);
    assert!(sent.chunks(2).all(|pair| pair[0].0 == "client" && pair[1].0 == "server"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_recording_that_cannot_be_opened_stops_the_start() {
    let mut gate = Wrap::allow_all().option(["--record", "/"]).serve(&json!(["echo"]));
    let End { code, stderr, .. } = gate.wait();
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.starts_with("error: failed to open recording `/`: "), "{stderr}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_recording_that_fails_later_is_reported_once_and_the_session_continues() {
    let dir = temp_dir();
    fs::write(dir.path().join("policy.json"), r#"{"version":"1","default":"allow"}"#).unwrap();
    // A file may grow to one block of 512 bytes; the signal for exceeding that is ignored.
    let launcher = ["sh", "-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"];
    let wrap = Wrap::behind(dir, "policy.json").launched_by(launcher);
    let mut gate = wrap.option(["--record", "r.jsonl", "--no-audit"]).serve(&json!(["echo"]));
    for id in 0..3 {
        assert_eq!(gate.ask(call(id)), ok(id));
    }
    let End { code, stderr, .. } = gate.end();
    assert_eq!(code, Some(0));
    assert_eq!(stderr.matches("failed to write recording `r.jsonl`").count(), 1, "{stderr}");
}

/// A call of one tool with an amount, as an entry at second `t`.
fn entry(t: u32, id: u32, tool: &str, amount: u32) -> String {
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"amount":{amount}}}}}}}"#
    );
    json!({ "t": t, "from": "client", "text": text }).to_string()
}

#[test]
fn exactly_the_calls_that_an_edit_changes_are_shown() {
    let dir = temp_dir();
    let path = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let policy = |max: u32| {
        let condition = json!({ "path": "args.amount", "op": "gt", "value": max });
        let pay = json!({ "deny_if": [{ "conditions": [condition], "on_deny": "Too much." }] });
        json!({ "version": "1", "default": "deny", "tools": { "pay": pay } }).to_string()
    };
    let (old, new) = (path("old.json", &policy(100)), path("new.json", &policy(50)));
    let entries: Vec<String> =
        (0..200).map(|n| entry(n, n, if n % 7 == 0 { "other" } else { "pay" }, n)).collect();
    let recording = path("r.jsonl", &entries.join("\n"));
    let against = |old: &Path, new: &Path| {
        let old = old.to_str().unwrap();
        replayed(&["--against", old, "--fail-on", "change"], new, &recording)
    };
    let (rows, totals, code) = against(&old, &new);
    let changed: Vec<u64> = rows.iter().map(|row| row["id"].as_u64().unwrap()).collect();
    assert_eq!(changed, (51..=100).filter(|n| n % 7 != 0).collect::<Vec<_>>());
    assert!(
        rows.iter().all(|row| row["outcome"] == "denied" && row["before"]["outcome"] == "allowed")
    );
    assert_eq!((totals["calls"].as_u64(), totals["changed"].as_u64()), (Some(200), Some(43)));
    assert_eq!(code, Some(1));
    let (rows, _, code) = against(&new, &new);
    assert_eq!((rows.len(), code), (0, Some(0)), "the same policy");
}

#[test]
fn limits_count_by_the_recordings_clock() {
    let dir = temp_dir();
    let policy = dir.path().join("policy.json");
    let limits = r#"{"limits":[{"counter":"c","window":"minute","max":2}]}"#;
    fs::write(&policy, format!(r#"{{"version":"1","default":"allow","all_tools":{limits}}}"#))
        .unwrap();
    let recording = dir.path().join("r.jsonl");
    let at = |seconds: &[u32]| {
        let entries: Vec<String> =
            (0..).zip(seconds).map(|(id, t)| entry(1000 + t, id, "t", 0)).collect();
        fs::write(&recording, entries.join("\n")).unwrap();
        let verdicts = by_replay(&policy, &recording);
        verdicts.into_iter().map(|(_, verdict, _)| verdict == "allowed").collect::<Vec<_>>()
    };
    assert_eq!(at(&[0, 1, 2, 59]), [true, true, false, false]);
    assert_eq!(at(&[0, 1, 62, 63]), [true, true, true, true]);
    assert_eq!(at(&[30, 31, 0, 29]), [true, true, false, false], "a step back frees nothing");
}

/// Calls without answers do not pile up until one more is too many.
#[test]
fn a_recording_of_client_lines_alone_may_be_long() {
    let dir = temp_dir();
    let policy = dir.path().join("policy.json");
    fs::write(&policy, r#"{"version":"1","default":"allow"}"#).unwrap();
    let recording = dir.path().join("r.jsonl");
    let entries: String = (0..70_000).map(|n| entry(n, n, "t", 0) + "\n").collect();
    fs::write(&recording, entries).unwrap();
    let plain: String = (0..10).map(|_| call(1) + "\n").collect();
    let (_, totals, code) = replayed(&["--fail-on", "deny"], &policy, &recording);
    assert_eq!((totals["allowed"].as_u64(), code), (Some(70_000), Some(0)));
    fs::write(&recording, plain + "no JSON\n").unwrap();
    let (rows, totals, code) = replayed(&["--fail-on", "deny"], &policy, &recording);
    assert_eq!((totals["allowed"].as_u64(), totals["refused"].as_u64()), (Some(10), Some(1)));
    assert_eq!((rows[10]["rule"].as_str(), code), (Some("(frame)"), Some(1)));
}
