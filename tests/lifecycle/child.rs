//! What the server receives from callgate, and what it does not (contract W10).

use crate::harness::gate::{Wrap, call, ok};
use crate::harness::process::{End, Process};
use serde_json::json;
use std::process::Command;

/// The stderr of `server` behind callgate, with `launcher` in front.
fn wrapped<const N: usize>(launcher: [&str; N], server: [&str; 3]) -> Vec<String> {
    let wrap = Wrap::allow_all().launched_by(launcher).keeping_in_own_dir();
    let End { code, stderr, .. } = wrap.run(server).end();
    assert_eq!(code, Some(0), "{stderr}");
    stderr.lines().map(str::to_owned).collect()
}

/// Its stderr without callgate.
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
    // Some shells add a variable or two of their own.
    let mut expected =
        direct(["env", "-i", "A=1", "CALLGATE=2", "callgate_y=4"], ["sh", "-c", "exec env >&2"]);
    expected.sort_unstable();
    assert_eq!(environment, expected);
    assert!(environment.contains(&"CALLGATE=2".to_owned()), "{environment:?}");
}

/// The working directory, here one that graphical clients use.
#[test]
fn the_working_directory_is_passed_on() {
    for dir in ["/", "/usr"] {
        let launcher = ["sh", "-c", &format!(r#"cd {dir} && exec "$0" "$@""#)];
        assert_eq!(wrapped(launcher, ["sh", "-c", "pwd -P >&2"]), [dir]);
    }
}

/// contract W10: `/`, a short environment and no HOME are enough.
#[test]
fn the_sparse_environment_of_a_graphical_client_is_enough() {
    let launcher = ["sh", "-c", r#"cd / && exec env -i "$0" "$@""#];
    let wrap = Wrap::allow_all().launched_by(launcher).keeping_in_own_dir();
    let mut gate = wrap.serve(&json!(["echo"]));
    assert_eq!(gate.ask(call(1)), ok(1));
    assert_eq!(gate.end(), End::quiet(0));
}

/// Signals are as in a program started without callgate: those ignored at the start, as under `nohup`, stay ignored,
/// and no others are, SIGPIPE included.
#[cfg(target_os = "linux")]
#[test]
fn ignored_signals_are_passed_on() {
    let server = ["sh", "-c", "exec grep ^SigIgn: /proc/self/status >&2"];
    for signals in ["", "trap '' HUP;", "trap '' HUP INT;", "trap '' QUIT USR1;"] {
        let launcher = ["sh", "-c", &format!(r#"{signals} exec "$0" "$@""#)];
        assert_eq!(wrapped(launcher, server), direct(launcher, server), "{signals}");
    }
}

/// No signal is blocked, even if callgate was started with some blocked.
#[cfg(target_os = "linux")]
#[test]
fn the_signal_mask_is_empty() {
    let launcher = ["env", "--block-signal=USR1", "--block-signal=CHLD", "--block-signal=PIPE"];
    let server = ["sh", "-c", "exec grep ^SigBlk: /proc/self/status >&2"];
    assert_ne!(direct(launcher, server), ["SigBlk:\t0000000000000000"]);
    assert_eq!(wrapped(launcher, server), ["SigBlk:\t0000000000000000"]);
}

/// contract W10: the server has a session and a process group of its own, so that signals of the terminal for callgate
/// do not reach it.
#[cfg(target_os = "linux")]
#[test]
fn the_server_leads_a_session() {
    // Process id, name, state, parent, group, session.
    let stat = r#"read pid name state parent group session rest </proc/$$/stat; echo "$pid $group $session" >&2"#;
    let said = wrapped(["env"], ["sh", "-c", stat]);
    let ids: Vec<&str> = said[0].split(' ').collect();
    assert_eq!(ids, [ids[0]; 3]);
}

/// Attempts to read another process's `/proc/$PID` and to write to its client: one word for each that succeeds.
#[cfg(target_os = "linux")]
const PRY: &str = r"
    grep -q SECRET= /proc/$PID/environ && echo environ
    readlink /proc/$PID/fd/1 && echo link
    true >>/proc/$PID/fd/1 && echo descriptor
    head -c 1 /proc/$PID/maps && echo maps
    true </proc/$PID/mem && echo memory";

/// contract W10: callgate is closed to other processes of the user, so the server reaches neither the environment nor
/// the client. The server itself stays as open as any program.
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
