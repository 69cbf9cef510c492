//! callgate run by hand in a terminal: keys, hangups, and paused output.

use crate::harness::gate::{Gate, Wrap, call, ok, stopped};
use crate::harness::process::End;
use crate::harness::streams::Streams;
use rustix::process::Signal;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::{Value, json};
use std::io::Write;

const INTERRUPT: &[u8] = b"\x03";
const END_OF_INPUT: &[u8] = b"\x04";
const HOLD_OUTPUT: &[u8] = b"\x13";

/// A callgate that leads the terminal's session, as if it had replaced the shell.
fn leading(terminal: Streams) -> Wrap {
    Wrap::allow_all().launched_by(["setsid", "-c", "env", "--default-signal"]).on(terminal)
}

fn in_terminal(script: &Value) -> Gate {
    leading(Streams::terminal()).serve(script)
}

/// The same with stderr on the terminal, which stops background processes that write to it (`stty tostop`).
fn on_terminal_alone(server: &str) -> Gate {
    let terminal = Streams::terminal();
    let [stderr, _] = terminal.shared();
    let mut modes = tcgetattr(&stderr).unwrap();
    modes.local_modes.insert(LocalModes::TOSTOP);
    tcsetattr(&stderr, OptionalActions::Now, &modes).unwrap();
    leading(terminal).stderr(stderr).run(["sh", "-c", server])
}

/// contract W10: a server that asks on the terminal finds none, and what is typed goes to the client.
#[test]
fn a_server_that_asks_at_the_terminal_is_refused() {
    for ask in ["read secret </dev/tty", "stty -echo </dev/tty", "echo Password: >/dev/tty"] {
        let server = format!("{ask} || echo refused >&2; exec cat");
        let mut gate = leading(Streams::terminal()).run(["sh", "-c", &server]);
        let told = gate.error_line();
        assert!(told.contains("/dev/tty"), "{ask}: {told}");
        assert_eq!(gate.error_line(), "refused", "{ask}");
        assert_eq!(gate.ask(call(1)), call(1), "{ask}");
        gate.signal(Signal::TERM);
        assert_eq!(gate.wait_for_stop().code, Some(128 + 15), "{ask}");
    }
}

/// contract W10: the server cannot read the terminal through its stderr either.
#[test]
fn a_server_that_asks_at_its_stderr_is_refused() {
    let server = "read secret <&2 2>/dev/null || echo refused >&2; exec cat";
    let mut gate = on_terminal_alone(server);
    assert_eq!(gate.recv(), "refused");
    assert_eq!(gate.ask(call(1)), call(1));
    gate.signal(Signal::TERM);
    assert_eq!(gate.wait_for_stop().code, Some(128 + 15));
}

/// contract W10: it may write there, even if the terminal stops background writers.
#[test]
fn a_server_that_writes_to_the_terminal_is_not_stopped() {
    let mut gate = on_terminal_alone("echo word >&2; exec cat");
    assert_eq!(gate.recv(), "word");
    assert_eq!(gate.ask(call(1)), call(1));
    gate.signal(Signal::TERM);
    assert_eq!(gate.wait_for_stop().code, Some(128 + 15));
}

/// Typed frames are answered, and Ctrl-D at the beginning of a line ends the input.
#[test]
fn typed_frames_are_answered() {
    let mut gate = in_terminal(&json!(["echo"]));
    for id in 1..=3 {
        gate.serves(id);
    }
    gate.send_raw(END_OF_INPUT);
    assert_eq!(gate.wait_for_stop(), End::quiet(0));
}

/// contract W9: after Ctrl-D, requests in flight are answered first; the server's input stays open.
#[test]
fn the_end_of_input_waits_for_answers() {
    let mut gate = in_terminal(&json!([{ "echo_alone": 300 }]));
    gate.send(call(1));
    gate.send_raw(END_OF_INPUT);
    assert_eq!(gate.wait_for_stop(), End { stdout: ok(1) + "\n", ..End::quiet(0) });
}

/// contract C2, W9: Ctrl-C ends callgate like any program; the server sees the end of its input and no signal.
#[test]
fn an_interrupt_ends_it() {
    let mut gate = in_terminal(&json!(["echo", { "stderr": "the end of input" }]));
    gate.serves(1);
    gate.send_raw(INTERRUPT);
    let stderr = "the end of input\n".to_owned();
    assert_eq!(gate.wait_for_stop(), End { stderr, ..End::quiet(128 + 2) });
}

/// Ctrl-C discards a partly typed line, and requests in flight are answered.
#[test]
fn an_interrupt_answers_requests_in_flight() {
    let mut gate = in_terminal(&json!([{ "recv": 1 }, { "stderr": "asked" }, "hold"]));
    gate.send(call(1));
    assert_eq!(gate.error_line(), "asked");
    gate.send_raw(r#"{"jsonrpc":"2.0","id":2"#);
    gate.send_raw(INTERRUPT);
    let stdout = stopped(1) + "\n";
    assert_eq!(gate.wait_for_stop(), End { stdout, ..End::quiet(128 + 2) });
}

/// contract W9: a terminal paused by Ctrl-S delays no signal.
#[test]
fn a_held_terminal_holds_up_no_signal() {
    for signal in [Signal::HUP, Signal::TERM] {
        let mut gate =
            in_terminal(&json!([{ "recv": 1 }, { "send": ok(1) }, { "stderr": "answered" }]));
        gate.send_raw(HOLD_OUTPUT);
        gate.send(call(1));
        assert_eq!(gate.error_line(), "answered");
        gate.signal(signal);
        assert_eq!(gate.wait_for_stop(), End::quiet(128 + signal.as_raw()));
    }
}

/// Closing the terminal's window ends every process, by the signal or by the end of input.
#[test]
fn a_closed_terminal_ends_every_process() {
    let Streams { stdin, stdout, input, output } = Streams::terminal();
    let streams = Streams::pipes().reading(stdin).writing(stdout);
    let script = json!([{ "recv": 1 }, { "stderr": "asked" }, "hold"]);
    let mut gate = Wrap::allow_all()
        .launched_by(["setsid", "-c", "env", "--default-signal"])
        .on(streams)
        .serve(&script);
    let mut keyboard = input;
    writeln!(keyboard, "{}", call(1)).unwrap();
    assert_eq!(gate.error_line(), "asked");
    drop((keyboard, output));
    let End { code, stderr, .. } = gate.wait_for_stop();
    assert!(code == Some(0) || code == Some(128 + 1), "{code:?}");
    assert_eq!(stderr, "");
}
