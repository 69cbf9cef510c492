//! A log written by an older callgate, which called the outcome of a call `decision` and the end of an answer `outcome`
//! (contract C1), can be shown, counted, verified and continued.

use crate::harness::gate::{Wrap, callgate, temp_dir};
use crate::harness::process::{End, Process};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Puts the older log into a state directory; `edit` may change its lines.
fn install(dir: &Path, edit: impl Fn(&str) -> String) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/logs");
    let audit = dir.join("state/audit");
    fs::create_dir_all(&audit).unwrap();
    let log = fs::read_to_string(from.join("images.jsonl")).unwrap();
    assert!(log.contains(r#""decision":"approval_required""#) && !log.contains(r#""end":"#));
    fs::write(audit.join("images.jsonl"), edit(&log)).unwrap();
    fs::copy(from.join("images.head"), audit.join("images.head")).unwrap();
}

fn run(dir: &Path, words: &[&str]) -> End {
    let mut command = callgate(dir);
    Process::spawn(command.current_dir(dir).args(words).args(["--state", "state"])).end()
}

fn events(dir: &Path, words: &[&str]) -> Vec<Value> {
    let end = run(dir, &[&["log", "--limit", "all", "--format", "json"], words].concat());
    assert_eq!(end.code, Some(0), "{end:?}");
    end.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The ids of calls among events.
fn calls(events: &[Value]) -> Vec<u64> {
    let calls = events.iter().filter(|event| event["event"] == "call");
    calls.map(|event| event["id"].as_u64().unwrap()).collect()
}

#[test]
fn an_older_log_is_shown_queried_and_verified() {
    let home = temp_dir();
    let dir = home.path();
    install(dir, str::to_owned);
    let end = run(dir, &["log", "verify"]);
    assert!(end.code == Some(0) && end.stdout.contains("intact: 16 lines"), "{end:?}");
    assert_eq!(calls(&events(dir, &[])), [1, 2, 3, 4, 5, 6, 8]);
    assert_eq!(calls(&events(dir, &["--denied"])), [2, 3, 4]);
    assert_eq!(calls(&events(dir, &["--tool", "search"])), [1, 6, 8]);
    let text = run(dir, &["log"]).stdout;
    let shown: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.split_once(" images "))
        .filter_map(|(_, row)| {
            let mut words = row.split_whitespace();
            let event = words.next().filter(|event| ["call", "answer"].contains(event))?;
            Some((event, words.nth(usize::from(event == "answer")).and(words.next())?))
        })
        .collect();
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for row in shown {
        *counts.entry(row).or_default() += 1;
    }
    let expected = [
        (("answer", "error"), 1),
        (("answer", "result"), 2),
        (("answer", "unanswered"), 1),
        (("call", "allowed"), 4),
        (("call", "approval"), 1),
        (("call", "denied"), 2),
    ];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected, "{text}");
    assert!(text.contains("in shadow mode: denied by /tools/old/action: Not"), "{text}");
    // Renamed fields are not mistaken for fields added by a newer version.
    assert!(!text.contains("; decision") && !text.contains("; outcome"), "{text}");
}

/// The same lines count the same in both spellings.
#[test]
fn both_spellings_are_counted_alike() {
    let today = jiff::Timestamp::now().to_string();
    let moved = |log: &str| log.replace("2026-11-30T23:45", &today[..16]);
    let renamed = |log: &str| {
        let log = log.replace(r#""outcome":"#, r#""end":"#);
        moved(&log.replace(r#""decision":"#, r#""outcome":"#))
    };
    let counts = json!({ "calls": 7, "denied": 3, "shadowed": 1, "refused": 2, "dropped": 1 });
    let edits: [&dyn Fn(&str) -> String; 2] = [&moved, &renamed];
    for edit in edits {
        let home = temp_dir();
        install(home.path(), edit);
        let end = run(home.path(), &["status", "--format", "json"]);
        let status: Value = serde_json::from_str(&end.stdout).unwrap();
        assert_eq!(status["grants"][0]["last_day"], counts, "{end:?}");
        let denials = status["grants"][0]["last_denials"].as_array().unwrap();
        assert_eq!(denials.len(), 5, "{status}");
    }
}

#[test]
fn an_older_log_is_continued() {
    let wrap = Wrap::allow_all();
    let state = wrap.dir().join("state");
    install(wrap.dir(), str::to_owned);
    let mut gate = wrap.keeping_in(state).option(["--server", "images"]).serve(&json!(["echo"]));
    gate.serves(20);
    assert_eq!(gate.end().code, Some(0));
    let end = run(gate.dir(), &["log", "verify"]);
    assert!(end.code == Some(0) && end.stdout.contains("intact: 20 lines"), "{end:?}");
    let events = events(gate.dir(), &[]);
    let last = |kind: &str| events.iter().rfind(|event| event["event"] == kind).unwrap();
    assert_eq!(
        (&last("call")["outcome"], &last("answer")["end"]),
        (&json!("allowed"), &json!("result"))
    );
    assert!(last("call")["decision"].is_null() && last("answer")["outcome"].is_null());
}

/// Events from a newer version are shown unchanged and hide nothing.
#[test]
fn events_of_a_newer_version_are_shown() {
    let home = temp_dir();
    let dir = home.path();
    install(dir, |log| {
        let first = log.lines().next().unwrap();
        let asked = r#"{"seq":2,"time":"2026-11-30T23:45:44.000Z","event":"approval_asked","id":9,"tool":"pay","by":"desktop","server":"images"}"#;
        let held = r#"{"seq":3,"time":"2026-11-30T23:45:45.000Z","event":"call","id":9,"tool":"pay","outcome":"paused","rule":"(paused)","until":"noon","server":"images"}"#;
        [first, asked, held, ""].join("\n")
    });
    let end = run(dir, &["log"]);
    let text = end.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for shown in [
        r#"event approval_asked; id 9; tool "pay"; by "desktop""#,
        r#"call pay paused (paused); until "noon""#,
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert_eq!(events(dir, &["--denied"]).len(), 1);
}
