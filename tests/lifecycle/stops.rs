//! A client that leaves, or signals callgate to stop (contract W9).

use crate::harness::gate::{Gate, Wrap, call, ok, stopped};
use crate::harness::process::End;
use crate::harness::streams::Streams;
use rustix::process::Signal;
use serde_json::json;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::process::Command;

const SIGNALS: [Signal; 3] = [Signal::HUP, Signal::INT, Signal::TERM];

/// Servers that do not end by themselves once they have read a line. All print `ready`, and hold stderr as long as any
/// of their processes lives.
const UNKIND: [(&str, &str); 6] = [
    ("needs SIGTERM", "echo ready >&2; exec sleep 30"),
    ("needs SIGKILL", "trap '' TERM; echo ready >&2; exec sleep 30"),
    ("leaves a child that needs SIGTERM", "sleep 30 & echo ready >&2; read line"),
    (
        "leaves a child that needs SIGKILL and has its stdout",
        "trap '' TERM; sleep 30 & trap - TERM; echo ready >&2; read line",
    ),
    (
        "leaves a child that needs SIGKILL and has none of its pipes",
        "trap '' TERM; sleep 30 </dev/null >/dev/null & trap - TERM; echo ready >&2; read line",
    ),
    (
        "waits, as npx does, for a child that needs SIGKILL",
        "trap '' TERM; sleep 30 & trap - TERM; echo ready >&2; wait",
    ),
];

/// Starts each of them and makes it read `line`.
fn start_unkind(line: &str) -> [Gate; UNKIND.len()] {
    UNKIND.map(|(_, server)| {
        let gate = Wrap::allow_all().run(["sh", "-c", &format!("read line; {server}")]);
        gate.send(line);
        assert_eq!(gate.error_line(), "ready");
        gate
    })
}

/// Checks that each of them ends in time, and how callgate ended.
fn are_gone(gates: &mut [Gate], end: impl Fn(&str) -> End) {
    for ((name, server), gate) in UNKIND.iter().zip(gates) {
        assert_eq!(gate.wait_for_stop(), end(server), "a server that {name}");
    }
}

/// Puts calls 1 and 2 in flight at a server that answers nothing, and ends with its input.
fn two_in_flight(wrap: Wrap) -> Gate {
    let gate = wrap.serve(&json!([{ "recv": 2 }, { "stderr": "both" }, "hold"]));
    gate.send(call(1));
    gate.send(call(2));
    assert_eq!(gate.error_line(), "both");
    gate
}

/// The end of a session whose calls 1 and 2 were in flight.
fn both_stopped(code: i32) -> End {
    End { stdout: format!("{}\n{}\n", stopped(1), stopped(2)), ..End::quiet(code) }
}

/// contract W9, C2: requests in flight are answered, once.
#[test]
fn a_signal_answers_requests_in_flight() {
    for signal in SIGNALS {
        let mut gate = two_in_flight(Wrap::allow_all().heeding_signals());
        gate.signal(signal);
        assert_eq!(gate.wait_for_stop(), both_stopped(128 + signal.as_raw()));
    }
}

/// contract W9: with the server's own answer, if it still gives one.
#[test]
fn last_answers_of_the_server_are_relayed() {
    let answers_at_the_end =
        json!([{ "recv": 2 }, { "stderr": "both" }, "hold", { "send": ok(2) }]);
    let mut gate = Wrap::allow_all().serve(&answers_at_the_end);
    gate.send(call(1));
    gate.send(call(2));
    assert_eq!(gate.error_line(), "both");
    gate.signal(Signal::TERM);
    let stdout = format!("{}\n{}\n", ok(2), stopped(1));
    assert_eq!(gate.wait_for_stop(), End { stdout, ..End::quiet(128 + 15) });
}

/// contract W9: a signal ends the drain.
#[test]
fn a_signal_ends_a_drain() {
    for signal in SIGNALS {
        let mut gate = two_in_flight(Wrap::allow_all().heeding_signals());
        gate.close_input();
        gate.signal(signal);
        assert_eq!(gate.wait_for_stop(), both_stopped(128 + signal.as_raw()));
    }
}

/// A second Ctrl-C changes nothing; the exit code is that of the first.
#[test]
fn a_second_signal_changes_nothing() {
    let stubborn = ["sh", "-c", "trap '' TERM; echo ready >&2; sleep 30"];
    let mut gate = Wrap::allow_all().heeding_signals().run(stubborn);
    assert_eq!(gate.error_line(), "ready");
    gate.signal(Signal::INT);
    gate.signal(Signal::INT);
    assert_eq!(gate.wait_for_stop(), End::quiet(128 + 2));
}

/// contract W9: no process is left 2 s after a signal, whatever the server does.
#[test]
fn no_process_outlives_a_signal() {
    let mut gates = start_unkind(&call(1));
    for gate in &gates {
        gate.signal(Signal::TERM);
    }
    are_gone(&mut gates, |_| End { stdout: stopped(1) + "\n", ..End::quiet(128 + 15) });
}

/// contract W9, C2: nor 2 s after the end of input with nothing in flight. A server that ends by itself passes on its
/// code, which for `read` at the end of input is 1; one that had to be signalled counts as 0.
#[test]
fn no_process_outlives_the_end_of_input() {
    let mut gates = start_unkind(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#);
    for gate in &mut gates {
        gate.close_input();
    }
    are_gone(&mut gates, |server| End::quiet(i32::from(server.ends_with("read line"))));
}

/// contract W9: any process that outlives a killed callgate sees the end of its input.
#[cfg(target_os = "linux")]
#[test]
fn processes_of_a_launcher_see_the_end_of_input_when_callgate_is_killed() {
    let launcher = "exec 3<&0; cat <&3 & echo ready >&2; wait";
    let mut gate = Wrap::allow_all().run(["sh", "-c", launcher]);
    assert_eq!(gate.error_line(), "ready");
    gate.signal(Signal::KILL);
    assert_eq!(
        gate.wait_for_stop(),
        End { code: None, stdout: String::new(), stderr: String::new() }
    );
}

/// A stdout that only the test reads; the second value holds it open.
fn unread_stdouts() -> [(&'static str, Streams, Box<dyn Read>); 2] {
    let (pipe, pipe_end) = io::pipe().unwrap();
    let (socket, socket_end) = UnixStream::pair().unwrap();
    [
        ("pipe", Streams::pipes().writing(pipe_end), Box::new(pipe)),
        ("socket", Streams::sockets().writing(socket_end), Box::new(socket)),
    ]
}

/// contract W9: a closed stdout is noticed even when there is nothing to write.
#[test]
fn a_closed_stdout_is_noticed_when_idle() {
    for (name, streams, stdout) in unread_stdouts() {
        let script = json!([{ "stderr": "ready" }, "hold"]);
        let mut gate = Wrap::allow_all().on(streams).serve(&script);
        assert_eq!(gate.error_line(), "ready");
        drop(stdout);
        assert_eq!(gate.wait_for_stop(), End::quiet(0), "{name}");
    }
}

/// contract W9: and with requests in flight, since their answers have no reader.
#[test]
fn a_closed_stdout_is_noticed_with_calls_in_flight() {
    for (name, streams, stdout) in unread_stdouts() {
        let mut gate = two_in_flight(Wrap::allow_all().on(streams));
        drop(stdout);
        assert_eq!(gate.wait_for_stop(), End::quiet(0), "{name}");
    }
}

/// contract W9: there is no drain for a client that is gone entirely.
#[test]
fn a_client_that_closes_both_is_not_waited_for() {
    for (name, streams, stdout) in unread_stdouts() {
        let mut gate = two_in_flight(Wrap::allow_all().on(streams));
        gate.close_input();
        drop(stdout);
        assert_eq!(gate.wait_for_stop(), End::quiet(0), "{name}");
    }
}

/// contract W9: one socket pair for both streams, closed as a whole.
#[test]
fn a_client_that_closes_its_one_socket_is_not_waited_for() {
    let (theirs, ours) = UnixStream::pair().unwrap();
    let streams = Streams::pipes().reading(theirs.try_clone().unwrap()).writing(theirs);
    let script = json!([{ "recv": 1 }, { "stderr": "asked" }, "hold"]);
    let mut gate = Wrap::allow_all().on(streams).serve(&script);
    io::Write::write_all(&mut &ours, format!("{}\n", call(1)).as_bytes()).unwrap();
    assert_eq!(gate.error_line(), "asked");
    drop(ours);
    assert_eq!(gate.wait_for_stop(), End::quiet(0));
}

/// contract W9: a stop does not wait for a client that does not read.
#[test]
fn a_blocked_stdout_holds_up_no_signal() {
    let flood = json!({ "send_repeat": {
        "text": r#"{"jsonrpc":"2.0","method":"notifications/x"}"#.to_owned() + "\n",
        "times": 50_000
    } });
    let script = json!([{ "recv": 1 }, { "stderr": "asked" }, flood, "hold"]);
    let gates = unread_stdouts().map(|(name, streams, stdout)| {
        let gate = Wrap::allow_all().on(streams).serve(&script);
        gate.send(call(1));
        assert_eq!(gate.error_line(), "asked");
        gate.signal(Signal::TERM);
        (name, gate, stdout)
    });
    for (name, mut gate, stdout) in gates {
        assert_eq!(gate.wait_for_stop().code, Some(128 + 15), "{name}");
        drop(stdout);
    }
}

/// contract W9: further signals do not extend the client's time to read.
#[test]
fn signals_without_end_do_not_prolong_a_stop() {
    let line = r#"{"jsonrpc":"2.0","method":"notifications/x"}"#.to_owned() + "\n";
    let flood = json!({ "send_repeat": { "text": line, "times": 50_000 } });
    let script = json!([{ "recv": 1 }, { "stderr": "asked" }, flood, "hold"]);
    let (stdout, stdout_end) = io::pipe().unwrap();
    let streams = Streams::pipes().writing(stdout_end);
    let mut gate = Wrap::allow_all().on(streams).serve(&script);
    gate.send(call(1));
    assert_eq!(gate.error_line(), "asked");
    let mut again = Command::new("sh")
        .args(["-c", "while kill -TERM $0 2>/dev/null; do sleep 0.02; done"])
        .arg(gate.pid().to_string())
        .spawn()
        .unwrap();
    assert_eq!(gate.wait_for_stop().code, Some(128 + 15));
    again.wait().unwrap();
    drop(stdout);
}

/// contract W9: signals ignored at the start, as under `nohup` or in the background of a script, stay ignored.
#[test]
fn signals_that_were_ignored_stay_ignored() {
    let launcher = ["sh", "-c", r#"trap '' HUP INT; exec "$0" "$@""#];
    let mut gate = Wrap::allow_all().launched_by(launcher).serve(&json!(["echo"]));
    gate.serves(1);
    gate.signal(Signal::HUP);
    gate.signal(Signal::INT);
    gate.serves(2);
    gate.signal(Signal::TERM);
    assert_eq!(gate.wait_for_stop(), End::quiet(128 + 15));
}
