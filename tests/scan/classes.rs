//! What each tool of each recorded session is judged to be, as data: whoever changes a word sees what it changes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use callgate::engine::classify::{ListedTool, classify};
use callgate::engine::recording::Reader;
use serde_json::Value;

/// The recorded sessions.
pub(crate) fn sessions() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 30, "only {} sessions", files.len());
    files
}

/// The tools that a recording lists, as the server sends them.
pub(crate) fn tools_of(session: &Path) -> Vec<Value> {
    let text = fs::read(session).unwrap();
    let mut reader = Reader::default();
    let mut tools = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let Ok(Some(entry)) = reader.read(line) else { continue };
        let Ok(message) = serde_json::from_slice::<Value>(&entry.line) else { continue };
        let list = message.pointer("/result/tools").and_then(Value::as_array);
        tools.extend(list.into_iter().flatten().cloned());
    }
    tools
}

#[test]
fn every_recorded_tool_is_judged_as_a_careful_person_would() {
    let mut judged = BTreeSet::new();
    for session in sessions() {
        for tool in tools_of(&session).iter().filter_map(ListedTool::read) {
            let verdict = classify(&tool);
            let (class, risk) = (verdict.class.word(), verdict.risk.word());
            judged.insert(format!("{} | {class} | {risk} | {}", tool.name, verdict.reason));
        }
    }
    let table = include_str!("classes.txt");
    let expected: BTreeSet<String> = table.lines().map(str::to_owned).collect();
    let missing: Vec<&String> = expected.difference(&judged).collect();
    let new: Vec<&String> = judged.difference(&expected).collect();
    assert!(missing.is_empty() && new.is_empty(), "not any more: {missing:#?}\nnow: {new:#?}");
    assert!(judged.len() > 100, "only {}", judged.len());
}
#[test]
fn print_known() {
    use callgate::engine::classify::{ListedTool, classify};
    for name in std::fs::read_to_string("/tmp/known.txt").unwrap().split_whitespace() {
        let v = classify(&ListedTool::named(name));
        println!("{name:34} {:11} {:8} {}", v.class.word(), v.risk.word(), v.reason);
    }
}
