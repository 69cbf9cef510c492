//! Exit codes, error texts and options of `callgate wrap` (contract C1–C4).

use crate::harness::gate::{Wrap, call, callgate, ok, scripted_server, shell, temp_dir};
use crate::harness::process::{End, Process};
use crate::wire::ids::died;
use rustix::process::Signal;
use serde_json::json;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

const ALLOW_ALL: &str = r#"{"version":"1","default":"allow"}"#;

/// A directory with `policy.json`, which allows everything.
fn dir() -> TempDir {
    let dir = temp_dir();
    fs::write(dir.path().join("policy.json"), ALLOW_ALL).unwrap();
    dir
}

/// Runs callgate in `dir` with an empty stdin.
fn run<S: AsRef<OsStr>>(dir: &Path, words: impl IntoIterator<Item = S>) -> End {
    Process::spawn(callgate(dir).current_dir(dir).args(words)).end()
}

/// Checks for a failure: code 2, one error on stderr, nothing on stdout (contract C1–C3).
fn is_an_error(end: &End, says: &str) {
    assert_eq!((end.code, end.stdout.as_str()), (Some(2), ""), "{end:?}");
    assert!(end.stderr.starts_with("error: "), "{end:?}");
    assert!(end.stderr.contains(says), "{says} in {end:?}");
    assert!(!end.stderr.contains('\x1b'), "no colour but on a terminal: {end:?}");
    let first = end.stderr.lines().next().unwrap();
    assert!(!first.ends_with('.'), "no final stop: {first}");
}

/// contract C2: usage errors.
#[test]
fn invalid_arguments_are_a_usage_error() {
    let dir = dir();
    for (words, says) in [
        (&["fly"][..], "fly"),
        (&["--fly"], "--fly"),
        (&["wrap"], "--policy"),
        (&["wrap", "--", "true"], "--policy"),
        (&["wrap", "--policy", "policy.json"], "COMMAND"),
        (&["wrap", "--policy", "policy.json", "--"], "COMMAND"),
        (&["wrap", "--policy"], "--policy"),
        (&["wrap", "--policy", "policy.json", "--fly", "--", "true"], "--fly"),
        (&["wrap", "--policy", "policy.json", "--max-frame", "x", "--", "true"], "--max-frame"),
        (&["wrap", "--policy", "policy.json", "--max-frame=-1", "--", "true"], "--max-frame"),
        (&["wrap", "--policy", "policy.json", "--max-frame", "0", "--", "true"], "--max-frame"),
        (
            &["wrap", "--policy", "policy.json", "--max-frame", "9miles", "--", "true"],
            "--max-frame",
        ),
    ] {
        is_an_error(&run(dir.path(), words), says);
    }
    let end = run(dir.path(), [""; 0]);
    assert_eq!((end.code, end.stdout.as_str()), (Some(2), ""), "{end:?}");
    assert!(end.stderr.contains("wrap"), "{end:?}");
}

/// An option that does not exist yet is a usage error, and is not in the help.
#[test]
fn unknown_options_are_a_usage_error() {
    let dir = dir();
    let options = [&["--approval-timeout", "3"][..]];
    for option in options {
        let words = [&["wrap", "--policy", "policy.json"], option, &["--", "true"]].concat();
        is_an_error(&run(dir.path(), words), option[0]);
    }
    let help = run(dir.path(), ["--help"]);
    let wrap_help = run(dir.path(), ["wrap", "--help"]);
    is_an_error(&run(dir.path(), ["approvals"]), "approvals");
    assert!(!help.stdout.contains("\n  approvals "), "it is in the help");
    assert!(!wrap_help.stdout.contains("--approval-timeout"), "it is in the help");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was written");
}

/// contract C1: help and version are results.
#[test]
fn help_and_version_go_to_stdout() {
    let dir = dir();
    for (words, says) in [
        (&["--help"][..], "wrap"),
        (&["wrap", "--help"], "--policy"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let end = run(dir.path(), words);
        assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""), "{end:?}");
        assert!(end.stdout.contains(says), "{end:?}");
    }
}

/// Runs a policy with a server that would leave a trace, and checks that there is none.
fn fails_before_the_server(dir: &Path, says: &str) {
    let end = run(dir, ["wrap", "--policy", "policy.json", "--", "touch", "spawned"]);
    is_an_error(&end, says);
    assert!(!dir.join("spawned").exists(), "the server was spawned");
}

/// contract C2, C3, W7: a missing or invalid policy is fatal before the server is started.
#[test]
fn a_policy_that_cannot_be_used_is_fatal() {
    let dir = dir();
    let file = dir.path().join("policy.json");
    fs::remove_file(&file).unwrap();
    let missing = "error: failed to read policy `policy.json`: No such file or directory\n";
    fails_before_the_server(dir.path(), missing);
    for (policy, says) in [
        ("", "policy.json"),
        ("{", "policy.json:1:"),
        (r#"{"version":"1","default":"allow"} x"#, "policy.json:1:"),
        (r#"{"version":"2","default":"allow"}"#, "version"),
        (r#"{"version":"1"}"#, "default"),
        (r#"{"version":"1","default":"allow","hied":[]}"#, "did you mean"),
        (r#"{"version":"1","default":"allow","hide":[],"hide":[]}"#, "hide"),
        (
            r#"{"version":"1","default":"allow","tests":[{"name":"n","tool":"t","expect":"deny"}]}"#,
            "test `n` fails: expected `deny`, found `allow`",
        ),
    ] {
        fs::write(&file, policy).unwrap();
        fails_before_the_server(dir.path(), says);
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    fails_before_the_server(dir.path(), "failed to read policy `policy.json`");
}

/// contract C2: a server that could not be started is 127 or 126, as in a shell.
#[test]
fn a_server_that_cannot_be_started_is_127_or_126() {
    let dir = dir();
    fs::write(dir.path().join("script"), "#!/bin/sh\n").unwrap();
    fs::create_dir(dir.path().join("directory")).unwrap();
    for (server, code, why) in [
        ("no-such-server", 127, "No such file or directory"),
        ("./no-such-server", 127, "No such file or directory"),
        ("./script", 126, "Permission denied"),
        ("./directory", 126, "Permission denied"),
    ] {
        let end = run(dir.path(), ["wrap", "--policy", "policy.json", "--", server]);
        assert_eq!((end.code, end.stdout.as_str()), (Some(code), ""), "{end:?}");
        assert!(
            end.stderr.starts_with("error: ") && end.stderr.ends_with(&format!(": {why}\n")),
            "{end:?}"
        );
        assert!(end.stderr.contains(&format!("`{server}`")), "{end:?}");
    }
    set_executable(&dir.path().join("script"));
    assert_eq!(
        run(dir.path(), ["wrap", "--policy", "policy.json", "--", "./script"]),
        End::quiet(0)
    );
}

fn set_executable(file: &Path) {
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// contract C2: 128+N when signal N ended callgate, and the server ends with it.
#[test]
fn a_signal_to_callgate_is_its_exit_code() {
    for signal in [Signal::HUP, Signal::INT, Signal::TERM] {
        let mut gate = Wrap::allow_all().heeding_signals().serve(&json!(["echo"]));
        gate.serves(1);
        gate.signal(signal);
        assert_eq!(gate.wait(), End::quiet(128 + signal.as_raw()));
    }
}

/// contract W9: half a line left by a stop is not reported.
#[test]
fn a_stop_within_a_line_is_quiet() {
    let mut gate = Wrap::allow_all().serve(&json!(["echo"]));
    gate.serves(1);
    gate.send_raw(r#"{"jsonrpc":"2.0","id":2,"meth"#);
    gate.signal(Signal::TERM);
    assert_eq!(gate.wait(), End::quiet(128 + 15));
}

/// A client that floods callgate with lines that go nowhere cannot delay a signal.
#[test]
fn a_flood_does_not_keep_a_signal_waiting() {
    let mut gate = Wrap::allow_all().serve(&json!(["echo"]));
    gate.serves(1);
    let dropped =
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":9}}"#;
    gate.send_raw(format!("{dropped}\n\n\n").repeat(400_000));
    gate.signal(Signal::TERM);
    assert_eq!(gate.wait(), End::quiet(128 + 15));
}

/// contract C2: a server that has to be signalled after the client's end of input counts as 0.
#[test]
fn a_server_that_outstays_its_input_counts_as_0() {
    Wrap::allow_all().run(["sleep", "100"]).ends_quietly(0);
}

/// contract C4: `--` before the server's command is optional; the server's own options are not callgate's.
#[test]
fn the_command_may_stand_without_dashes() {
    let dir = dir();
    for dashes in [&["--"][..], &[]] {
        let exits = ["sh", "-c", "exit $#", "sh", "--policy", "--", "-q"];
        let words = [&["wrap", "--policy", "policy.json"], dashes, &exits].concat();
        assert_eq!(run(dir.path(), words), End::quiet(3));
    }
}

/// contract W1: the server gets its arguments, environment and directory unchanged.
#[test]
fn the_server_gets_its_arguments_as_they_are() {
    let dir = dir();
    let arguments = ["", " a  b ", "\"'\\$HOME", "é"].map(OsString::from);
    let not_unicode = [OsStr::from_bytes(b"\xff\xfe").to_owned()];
    let words = [
        "wrap",
        "--policy",
        "policy.json",
        "--",
        "sh",
        "-c",
        "printf '%s|' \"$@\" >arguments",
        "sh",
    ];
    let words = words.map(OsString::from).into_iter().chain(arguments).chain(not_unicode);
    assert_eq!(run(dir.path(), words), End::quiet(0));
    let got = fs::read(dir.path().join("arguments")).unwrap();
    assert_eq!(got, [b"| a  b |\"'\\$HOME|\xc3\xa9|".as_slice(), b"\xff\xfe|"].concat());
}

/// contract C4: `CALLGATE_POLICY` and `CALLGATE_GRANT` stand in for their options, and no `CALLGATE_*`
/// reaches the server (W10).
#[test]
fn the_environment_stands_in_for_options() {
    let dir = dir();
    let mut command = callgate(dir.path());
    command.current_dir(dir.path()).env("CALLGATE_POLICY", "policy.json");
    command.env("CALLGATE_GRANT", "alice").env("CALLGATE_OTHER", "x").env("OTHER", "kept");
    command.args(["wrap", "--", "sh", "-c", "env >environment"]);
    assert_eq!(Process::spawn(&mut command).end(), End::quiet(0));
    let environment = fs::read_to_string(dir.path().join("environment")).unwrap();
    assert!(!environment.contains("CALLGATE_"), "{environment}");
    assert!(environment.lines().any(|line| line == "OTHER=kept"), "{environment}");

    command.env("CALLGATE_POLICY", "missing.json");
    is_an_error(&Process::spawn(&mut command).end(), "`missing.json`");
    let mut command = callgate(dir.path());
    command.current_dir(dir.path()).env("CALLGATE_POLICY", "missing.json");
    command.args(["wrap", "--policy", "policy.json", "true"]);
    assert_eq!(Process::spawn(&mut command).end(), End::quiet(0));
}

/// contract C4: the other options are accepted, with or without `=`.
#[test]
fn every_option_is_accepted() {
    for options in [
        &["--server", "images"][..],
        &["--server=images"],
        &["--grant", "alice"],
        &["--grant=alice"],
        &["--shadow"],
        &["--max-frame", "1KiB"],
        &["--max-frame=1000"],
        &["-q"],
    ] {
        let gate = Wrap::allow_all().option(options).serve(&json!(["echo"]));
        gate.serves(1);
        gate.ends_quietly(0);
    }
}

/// contract C1: `-v` prints each decision on stderr; stdout carries only MCP.
#[test]
fn verbose_prints_decisions_on_stderr() {
    let policy = r#"{"version":"1","default":"deny","tools":{"t":{}}}"#;
    let mut gate = Wrap::new(policy).option(["-v"]).serve(&json!(["echo"]));
    gate.serves(1);
    let denied = gate.ask(call(2).replace(r#""t""#, r#""evil\ntool""#));
    assert!(denied.contains("[POLICY DENIED]"), "{denied}");
    let end = gate.end();
    assert_eq!((end.code, end.stdout.as_str()), (Some(0), ""));
    for said in ["/tools/t", "(default deny)"] {
        assert!(end.stderr.contains(said), "{said} in {}", end.stderr);
    }
    assert!(!end.stderr.contains("\ntool"), "a name breaks a line: {}", end.stderr);
}

/// contract C4: `-q` prints neither noise nor deaths.
#[test]
fn quiet_prints_nothing() {
    let script = json!([{ "send": "noise" }, { "recv": 1 }, { "answer": "{}" }, { "recv": 1 }, { "exit": 3 }]);
    let mut gate = Wrap::allow_all().option(["-q"]).serve(&script);
    assert_eq!(gate.ask(call(1)), r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    gate.send(call(2));
    let stdout = died(2, 3) + "\n";
    assert_eq!(gate.wait(), End { stdout, ..End::quiet(3) });
}

/// contract 1: the server's stderr is inherited.
#[test]
fn the_servers_stderr_is_inherited() {
    let mut gate = Wrap::allow_all().serve(&json!([{ "stderr": "ready, steady" }, "echo"]));
    gate.serves(1);
    assert_eq!(gate.end(), End { stderr: "ready, steady\n".to_owned(), ..End::quiet(0) });
}

/// contract C1: piped requests get their answers, and callgate ends with 0 when the server does.
#[test]
fn a_piped_session_gets_its_answers() {
    let dir = dir();
    let server = scripted_server(dir.path(), &json!(["echo"]));
    let words = ["wrap", "--policy", "policy.json", "--"].map(OsString::from);
    let mut process =
        Process::spawn(callgate(dir.path()).current_dir(dir.path()).args(words).args(server));
    process.write(format!("{}\n{}\n", call(1), call(2)).into());
    let stdout = format!("{}\n{}\n", ok(1), ok(2));
    assert_eq!(process.end(), End { stdout, ..End::quiet(0) });
}

/// contract W10: the server gets descriptors 0 to 2, and no others that callgate was given.
#[cfg(target_os = "linux")]
#[test]
fn the_server_inherits_its_standard_streams_only() {
    let dir = dir();
    let policy = dir.path().join("policy.json");
    // A shell that leaks descriptor 9; `ls` itself opens 3.
    let leaky = |arguments: &[&OsStr]| {
        let mut shell = shell(dir.path(), r#"exec 9</dev/null; exec "$@""#);
        Process::spawn(shell.args(arguments)).end().stderr
    };
    let server = ["sh", "-c", "ls /proc/self/fd >&2"].map(OsStr::new);
    assert!(leaky(&server).lines().any(|descriptor| descriptor == "9"));
    let callgate = ["callgate", "wrap", "--policy"].map(OsStr::new);
    let wrapped = [&callgate[..], &[policy.as_os_str(), OsStr::new("--")], &server[..]].concat();
    assert_eq!(leaky(&wrapped), "0\n1\n2\n3\n");
}
