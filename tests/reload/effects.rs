//! The messages of a reload, and what it leaves unchanged (contract W7, P13).

use super::swap::{diagnostics, dir};
use crate::harness::gate::{Wrap, ok, temp_dir};
use crate::harness::versions::{Session, call_of, reloaded, text, version, version_in};
use crate::harness::ways::{POLICY, replace};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Longer than any change takes to be noticed.
const A_WHILE: Duration = Duration::from_millis(700);

/// A version with one more entry in `tools`.
fn with_tool(number: u32, tool: &str, rule: &Value) -> Value {
    let mut policy = version(number);
    policy["tools"][tool] = rule.clone();
    policy
}

fn touch(file: &Path) {
    File::options().write(true).open(file).unwrap().set_modified(SystemTime::now()).unwrap();
}

/// contract W7: each bad version is reported once, however often it is touched; then the next good one.
#[test]
fn each_bad_version_is_reported_once() {
    let mut session = Session::start(dir());
    let root = session.gate.dir().to_owned();
    let bad = [
        "{\"version\":\"1\",\n \"default\":\"deny\",\n \"hied\":[]}",
        "{\"version\":\"1\",\n \"default\":\"deny\",\n \"hide\":[}",
        "{\"version\":\"1\",\n \"default\":\"maybe\",\n \"hide\":[7]}",
    ];
    let mut told = Vec::new();
    for text in bad {
        session.replace(text);
        let diagnostics = diagnostics(&root);
        assert!(diagnostics.iter().any(|line| line.contains("policy.json:3:")), "{diagnostics:?}");
        session.says(&diagnostics, 1);
        session.replace(text);
        session.stays(1, A_WHILE);
        touch(session.gate.policy_file());
        session.stays(1, A_WHILE);
        told.extend(diagnostics);
    }
    session.replace(text(2));
    session.becomes(2);
    told.push(session.reloaded());
    assert_eq!(session.end(), told);
}

/// A file that is touched, or replaced by the same text, is not a new version.
#[test]
fn an_unchanged_policy_is_not_reported() {
    let mut session = Session::start(dir());
    session.replace(text(1));
    session.stays(1, A_WHILE);
    touch(session.gate.policy_file());
    session.stays(1, A_WHILE);
    session.replace(text(2));
    session.becomes(2);
    let reloaded = session.reloaded();
    assert_eq!(session.end(), [reloaded]);
}

/// contract W7, C4: `-q` does not report a good version, but does report a bad one.
#[test]
fn quiet_reports_only_bad_versions() {
    let dir = dir();
    let file = dir.path().join(POLICY);
    let mut session = Session::of(Wrap::behind(dir, file).option(["-q"]));
    session.replace("{");
    let diagnostics = diagnostics(session.gate.dir());
    session.says(&diagnostics, 1);
    session.replace(text(2));
    session.becomes(2);
    assert_eq!(session.end(), diagnostics);
}

/// The warnings about a policy whose directory has this mode.
fn warnings(mode: u32, options: &[&str]) -> Vec<String> {
    let dir = dir();
    let conf = dir.path().join("conf");
    fs::set_permissions(&conf, fs::Permissions::from_mode(mode)).unwrap();
    Session::of(Wrap::behind(dir, conf.join("policy.json")).option(options)).end()
}

/// contract W7: callgate warns of a directory in which others can replace the policy.
#[test]
fn callgate_warns_of_a_directory_that_others_can_write() {
    for mode in [0o775, 0o757, 0o777, 0o730] {
        let said = warnings(mode, &[]);
        assert_eq!(said.len(), 1, "{mode:o}: {said:?}");
        let is_warning = said[0].starts_with("callgate: warning: ");
        assert!(is_warning && said[0].contains("/conf"), "{mode:o}: {said:?}");
        assert!(said[0].contains("writable"), "{mode:o}: {said:?}");
        assert_eq!(warnings(mode, &["-q"]), [""; 0], "{mode:o}");
    }
    for mode in [0o700, 0o755, 0o711] {
        assert_eq!(warnings(mode, &[]), [""; 0], "{mode:o}");
    }
}

/// Calls `tool`; true if the call is served.
fn is_served(session: &mut Session, tool: &str, id: u64) -> bool {
    session.gate.send(call_of(tool, id));
    session.answers(id..=id)[&id] == ok(id)
}

/// contract P13: usage before a reload still counts after it, however the limit changed meanwhile.
#[test]
fn a_reload_resets_no_counter() {
    for window in ["minute", "session"] {
        let limited = |number, max| {
            let limit = json!({ "counter": "scarce", "window": window, "max": max });
            with_tool(number, "scarce", &json!({ "limits": [limit] }))
        };
        let dir = temp_dir();
        replace(dir.path(), limited(1, 3).to_string());
        let mut session = Session::start(dir);
        let mut id = 0;
        for (number, policy, served) in [
            (1, limited(1, 3), &[true, true][..]),
            (2, limited(2, 3), &[true, false]),
            (3, limited(3, 2), &[false]),
            (4, version(4), &[false]),
            (5, limited(5, 4), &[true, false]),
        ] {
            session.replace(policy);
            session.becomes(number);
            for expected in served {
                id += 1;
                assert_eq!(is_served(&mut session, "scarce", id), *expected, "{window}: call {id}");
            }
        }
        session.end();
    }
}

/// contract W4, W7: a call in flight is not decided again. Its answer passes, and its id stays taken until then.
#[test]
fn a_call_in_flight_outlives_its_policy() {
    let dir = dir();
    let file = dir.path().join(POLICY);
    let gate = Wrap::behind(dir, &file).serve(&json!([
        { "recv": 2 },
        { "send": ok(1) },
        { "answer": r#"{"late":true}"# }
    ]));
    gate.send(call_of("always", 1));
    assert_eq!(version_in(&gate.ask(call_of("which", 2))), 1);
    let mut policy = with_tool(2, "other", &json!({}));
    policy["tools"].as_object_mut().unwrap().remove("always");
    replace(gate.dir(), policy.to_string());
    assert_eq!(gate.error_line(), reloaded(file.display()));
    assert_eq!(version_in(&gate.ask(call_of("which", 2))), 2);
    assert!(gate.ask(call_of("always", 3)).contains("[POLICY DENIED]"));
    let refusal = gate.ask(call_of("other", 1));
    assert!(refusal.contains("this request id is already in flight"), "{refusal}");
    assert_eq!(gate.ask(call_of("other", 4)), ok(1));
    assert_eq!(gate.recv(), r#"{"jsonrpc":"2.0","id":4,"result":{"late":true}}"#);
    assert_eq!(gate.received(), [call_of("always", 1), call_of("other", 4)]);
    gate.ends_quietly(0);
}
