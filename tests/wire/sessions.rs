//! Recorded sessions of real clients and servers pass an allow-all policy unchanged (contract W1).

use crate::harness::gate::Wrap;
use crate::harness::process::End;
use regex::Regex;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// One line of a recording (contract S5).
#[derive(Clone, Deserialize)]
struct Recorded {
    t: String,
    from: Side,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Side {
    Client,
    Server,
}

/// contract W1: both directions arrive byte-identical, except for `listChanged` in `initialize`.
#[test]
fn recorded_sessions_pass_unchanged() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sessions");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 38, "only {} recordings", files.len());
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        for run in runs(&fs::read_to_string(file).unwrap()) {
            replay(&name, &run);
        }
    }
}

/// The runs of a recording: times step back where another process of the same client begins.
fn runs(recording: &str) -> Vec<Vec<Recorded>> {
    let lines = recording.lines().map(|line| serde_json::from_str::<Recorded>(line).unwrap());
    let lines: Vec<Recorded> = lines.collect();
    lines.chunk_by(|before, after| before.t <= after.t).map(<[Recorded]>::to_vec).collect()
}

/// Plays both sides of a run to callgate, and checks what each side receives.
fn replay(name: &str, run: &[Recorded]) {
    let mut gate = Wrap::allow_all().serve(&run.iter().map(step).collect());
    for line in run {
        match line.from {
            Side::Client => gate.send(&line.text),
            Side::Server => assert_eq!(gate.recv(), as_relayed(&line.text), "{name}"),
        }
    }
    assert_eq!(gate.end(), End::quiet(0), "{name}");
    let sent = run.iter().filter(|line| line.from == Side::Client).map(|line| &line.text);
    assert!(gate.received().iter().eq(sent), "{name}: the server got {:#?}", gate.received());
}

fn step(line: &Recorded) -> Value {
    match line.from {
        Side::Client => json!({ "recv": 1 }),
        Side::Server => json!({ "send": line.text }),
    }
}

/// A server's line as the client receives it: `listChanged` of the tools is true in an `initialize` result, the only
/// one with a `protocolVersion`.
pub(crate) fn as_relayed(line: &str) -> String {
    if !line.contains(r#""result":{"protocolVersion":"#) && !line.contains(r#","protocolVersion":"#)
    {
        return line.to_owned();
    }
    let tools =
        Regex::new(r#"("capabilities":\{.*"tools":\{)(?:"listChanged":(?:true|false))?(\})"#);
    tools.unwrap().replace(line, r#"${1}"listChanged":true${2}"#).into_owned()
}
