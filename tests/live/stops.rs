//! A client that goes, or tells callgate to (SPEC W9).

use super::gate::{Gate, Wrap, call, ok, stopped};
use super::process::End;
use super::streams::Streams;
use rustix::process::Signal;
use serde_json::json;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;

const SIGNALS: [Signal; 3] = [Signal::HUP, Signal::INT, Signal::TERM];

/// Calls 1 and 2 are in flight at a server that answers nothing, and ends with its input.
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

/// SPEC W9, C2: what is in flight is answered, once.
#[test]
fn a_signal_answers_what_is_in_flight() {
    for signal in SIGNALS {
        let mut gate = two_in_flight(Wrap::allow_all());
        gate.signal(signal);
        assert_eq!(gate.wait_for_stop(), both_stopped(128 + signal.as_raw()));
    }
}

/// SPEC W9: as an answer that the server still gives, if it gives one.
#[test]
fn what_the_server_still_says_is_relayed() {
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

/// SPEC W9: the drain ends when it is told to.
#[test]
fn a_signal_ends_a_drain() {
    for signal in SIGNALS {
        let mut gate = two_in_flight(Wrap::allow_all());
        gate.close_input();
        gate.signal(signal);
        assert_eq!(gate.wait_for_stop(), both_stopped(128 + signal.as_raw()));
    }
}

/// A person who presses Ctrl-C again means it no less; the code is that of the first.
#[test]
fn a_second_signal_changes_nothing() {
    let mut gate = Wrap::allow_all().run(["sh", "-c", "trap '' TERM; echo ready >&2; sleep 30"]);
    assert_eq!(gate.error_line(), "ready");
    gate.signal(Signal::INT);
    gate.signal(Signal::INT);
    assert_eq!(gate.wait_for_stop(), End::quiet(128 + 2));
}

/// SPEC W9: whoever lives on behind a callgate that is killed sees the end of its input.
#[cfg(target_os = "linux")]
#[test]
fn a_killed_callgate_is_the_end_of_input_of_those_behind_a_launcher() {
    let launcher = "exec 3<&0; cat <&3 & echo ready >&2; wait";
    let mut gate = Wrap::allow_all().run(["sh", "-c", launcher]);
    assert_eq!(gate.error_line(), "ready");
    gate.signal(Signal::KILL);
    assert_eq!(
        gate.wait_for_stop(),
        End { code: None, stdout: String::new(), stderr: String::new() }
    );
}

/// A stdout that is read by nobody but the test; what holds it open is the second.
fn unread_stdouts() -> [(&'static str, Streams, Box<dyn Read>); 2] {
    let (pipe, pipe_end) = io::pipe().unwrap();
    let (socket, socket_end) = UnixStream::pair().unwrap();
    [
        ("pipe", Streams::pipes().writing(pipe_end), Box::new(pipe)),
        ("socket", Streams::sockets().writing(socket_end), Box::new(socket)),
    ]
}

/// SPEC W9: nobody waits for a client that does not read.
#[test]
fn a_blocked_stdout_holds_up_no_signal() {
    for (name, streams, stdout) in unread_stdouts() {
        let flood = json!({ "send_repeat": {
            "text": r#"{"jsonrpc":"2.0","method":"notifications/x"}"#.to_owned() + "\n",
            "times": 50_000
        } });
        let script = json!([{ "recv": 1 }, { "stderr": "asked" }, flood, "hold"]);
        let mut gate = Wrap::allow_all().on(streams).serve(&script);
        gate.send(call(1));
        assert_eq!(gate.error_line(), "asked");
        gate.signal(Signal::TERM);
        let End { code, .. } = gate.wait_for_stop();
        assert_eq!(code, Some(128 + 15), "{name}");
        drop(stdout);
    }
}
