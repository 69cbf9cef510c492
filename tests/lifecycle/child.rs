//! What the server is given, and what it is not (contract W10).

use crate::harness::gate::{Wrap, call, ok};
use crate::harness::process::{End, Process};
use serde_json::json;
use std::process::Command;

/// What `server` says on stderr with `launcher` before it, behind callgate.
fn wrapped<const N: usize>(launcher: [&str; N], server: [&str; 3]) -> Vec<String> {
    let wrap = Wrap::allow_all().launched_by(launcher).keeping_in_own_dir();
    let End { code, stderr, .. } = wrap.run(server).end();
    assert_eq!(code, Some(0), "{stderr}");
    stderr.lines().map(str::to_owned).collect()
}

/// What it says without callgate.
fn direct<const N: usize>(launcher: [&str; N], server: [&str; 3]) -> Vec<String> {
    let mut command = Command::new(launcher[0]);
    command.args(&launcher[1..]).args(server);
    let End { code, stderr, .. } = Process::spawn(&mut command).end();
    assert_eq!(code, Some(0), "{stderr}");
    stderr.lines().map(str::to_owned).collect()
}

/// The environment without `CALLGATE_*`, and nothing added.
#[test]
fn the_environment_is_passed_on() {
    let launcher = ["env", "-i", "A=1", "CALLGATE=2", "CALLGATE_X=3", "callgate_y=4", "CALLGATE_="];
    let mut environment = wrapped(launcher, ["sh", "-c", "exec env >&2"]);
    environment.sort_unstable();
    // Some shells add a word or two of their own.
    let mut expected =
        direct(["env", "-i", "A=1", "CALLGATE=2", "callgate_y=4"], ["sh", "-c", "exec env >&2"]);
    expected.sort_unstable();
    assert_eq!(environment, expected);
    assert!(environment.contains(&"CALLGATE=2".to_owned()), "{environment:?}");
}

/// The working directory, here that of clients with a window.
#[test]
fn the_working_directory_is_passed_on() {
    for dir in ["/", "/usr"] {
        let launcher = ["sh", "-c", &format!(r#"cd {dir} && exec "$0" "$@""#)];
        assert_eq!(wrapped(launcher, ["sh", "-c", "pwd -P >&2"]), [dir]);
    }
}

/// contract W10: `/`, a short environment and no HOME are enough.
#[test]
fn a_client_with_a_window_gives_little() {
    let launcher = ["sh", "-c", r#"cd / && exec env -i "$0" "$@""#];
    let wrap = Wrap::allow_all().launched_by(launcher).keeping_in_own_dir();
    let mut gate = wrap.serve(&json!(["echo"]));
    assert_eq!(gate.ask(call(1)), ok(1));
    assert_eq!(gate.end(), End::quiet(0));
}

/// Its signals are those of a program that was started without callgate: what was ignored stays ignored, as behind
/// `nohup`, and nothing else is, SIGPIPE included.
#[cfg(target_os = "linux")]
#[test]
fn ignored_signals_are_passed_on() {
    let server = ["sh", "-c", "exec grep ^SigIgn: /proc/self/status >&2"];
    for signals in ["", "trap '' HUP;", "trap '' HUP INT;", "trap '' QUIT USR1;"] {
        let launcher = ["sh", "-c", &format!(r#"{signals} exec "$0" "$@""#)];
        assert_eq!(wrapped(launcher, server), direct(launcher, server), "{signals}");
    }
}

/// No signal is blocked, though callgate was started so.
#[cfg(target_os = "linux")]
#[test]
fn the_signal_mask_is_empty() {
    let launcher = ["env", "--block-signal=USR1", "--block-signal=CHLD", "--block-signal=PIPE"];
    let server = ["sh", "-c", "exec grep ^SigBlk: /proc/self/status >&2"];
    assert_ne!(direct(launcher, server), ["SigBlk:\t0000000000000000"]);
    assert_eq!(wrapped(launcher, server), ["SigBlk:\t0000000000000000"]);
}

/// contract W10: a session of its own, and in it a process group: what a terminal sends to callgate's is not for the server.
#[cfg(target_os = "linux")]
#[test]
fn the_server_leads_a_session() {
    // The process id, the name, the state, the parent, the group, the session.
    let stat = r#"read pid name state parent group session rest </proc/$$/stat; echo "$pid $group $session" >&2"#;
    let said = wrapped(["env"], ["sh", "-c", stat]);
    let ids: Vec<&str> = said[0].split(' ').collect();
    assert_eq!(ids, [ids[0]; 3]);
}

/// What a process tries to learn from another's `/proc/$PID`, and to write to its client: one word for each that works.
#[cfg(target_os = "linux")]
const PRY: &str = r"
    grep -q SECRET= /proc/$PID/environ && echo environ
    readlink /proc/$PID/fd/1 && echo link
    true >>/proc/$PID/fd/1 && echo descriptor
    head -c 1 /proc/$PID/maps && echo maps
    true </proc/$PID/mem && echo memory";

/// contract W10: callgate is closed to other processes of the user: the server finds neither the environment nor the way to
/// the client. Itself it is as open as any program: who may look at it without callgate, may so behind it.
#[cfg(target_os = "linux")]
#[test]
fn the_server_cannot_look_into_callgate() {
    let pry = |pid: &str| {
        let pry = PRY.replace("$PID", pid);
        ["sh".to_owned(), "-c".to_owned(), format!("{{ {pry}\n}} >&2 2>/dev/null; echo end >&2")]
    };
    let wrapped = Wrap::allow_all().without_privileges().env("SECRET", "x");
    let End { code, stdout, stderr } = wrapped.run(pry("$PPID")).end();
    assert_eq!((code, stdout.as_str()), (Some(0), ""), "{stderr}");
    assert_eq!(stderr, "end\n");

    let wrapped = Wrap::allow_all().without_privileges().env("SECRET", "x");
    let End { code, stderr, .. } = wrapped.run(pry("$$")).end();
    assert_eq!(code, Some(0), "{stderr}");
    for word in ["environ", "link", "descriptor", "maps", "memory", "end"] {
        assert!(stderr.lines().any(|line| line.ends_with(word)), "{word}: {stderr}");
    }
}
