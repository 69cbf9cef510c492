//! The engine's explanation, a replay, and (in `live::replay`) a session all decide a scanned policy alike.

use std::fs;
use std::path::Path;

use callgate::engine::compile::compile;
use callgate::engine::decide::explain::explain;
use callgate::engine::json::arguments::Arguments;
use callgate::engine::limits::{MemoryLedger, Now};
use callgate::engine::wire::mcp::ToolCall;
use callgate::engine::wire::transcript::TranscriptReader;
use serde_json::Value;
use tempfile::tempdir;

use crate::harness::gate::callgate;

use super::classes::{sessions, tools_of};
use super::policies::policy_for;

/// The decisions of `replay` on a recording, call by call: the line, the verdict and the rule.
fn by_replay(policy: &Path, session: &Path) -> Vec<(u64, String, String)> {
    let mut replay = callgate(policy.parent().unwrap());
    replay.args(["replay", "--format", "json", "--policy"]).arg(policy).arg(session);
    let output = replay.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let calls = rows.filter(|row| row["tool"].is_string());
    let word = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    calls
        .map(|row| (row["line"].as_u64().unwrap(), word(&row, "outcome"), word(&row, "rule")))
        .collect()
}

#[test]
fn explanations_and_replays_of_a_scanned_policy_agree() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("policy.json");
    let mut count = 0;
    for session in sessions() {
        let text = policy_for(&tools_of(&session));
        fs::write(&file, &text).unwrap();
        let policy = compile(text.as_bytes()).unwrap();
        let recording = fs::read(&session).unwrap();
        let lines: Vec<&[u8]> = recording.split(|byte| *byte == b'\n').collect();
        let mut ledger = MemoryLedger::default();
        for (line, verdict, rule) in by_replay(&file, &session) {
            let entry = TranscriptReader::default()
                .read(lines[usize::try_from(line).unwrap() - 1])
                .unwrap()
                .unwrap();
            let call: Value = serde_json::from_slice(&entry.line).unwrap();
            let arguments =
                call["params"].get("arguments").map_or("{}".to_owned(), Value::to_string);
            let call = ToolCall::of(
                call["params"]["name"].as_str().unwrap(),
                Arguments::parse(&arguments).unwrap(),
            );
            let at = entry.at_ms.unwrap();
            let now = Now { wall_ms: at, monotonic_ms: at };
            let ruling = explain(&policy, &call, None, &mut ledger, now).ruling;
            assert_eq!(
                (ruling.outcome.word(), ruling.rule.as_str()),
                (verdict.as_str(), rule.as_str()),
                "{}",
                session.display()
            );
            count += 1;
        }
    }
    assert!(count >= 100, "only {count} calls");
}

/// A policy learned from recordings permits each of their calls, together and one by one.
#[test]
fn a_learned_policy_permits_its_recordings() {
    let dir = tempdir().unwrap();
    let all = sessions();
    let mut lists: Vec<&[std::path::PathBuf]> = all.chunks(1).collect();
    lists.push(&all);
    for list in lists {
        let file = dir.path().join("learned.json");
        let mut scan = callgate(dir.path());
        scan.args(["scan", "-o"]).arg(&file).arg("--sessions").args(list);
        let output = scan.output().unwrap();
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        for session in list {
            let refused: Vec<_> = by_replay(&file, session)
                .into_iter()
                .filter(|(_, verdict, _)| verdict != "allowed")
                .collect();
            assert_eq!(refused, [], "{}", session.display());
        }
        fs::remove_file(&file).unwrap();
    }
}
