//! Recorded sessions, piped in by a script (contract W9, C2).

use crate::harness::gate::{Gate, Wrap, call, ok};
use crate::harness::process::End;
use crate::harness::streams::Streams;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Seek, Write};
use std::process::{Command, Stdio};

/// How often each test repeats.
pub(crate) const TIMES: usize = 10;

/// A session of so many calls.
fn session(calls: usize) -> String {
    (0..calls).map(|id| call(id) + "\n").collect()
}

/// Their answers, each once and in order.
fn answers(calls: usize) -> String {
    (0..calls).map(|id| ok(id) + "\n").collect()
}

/// A file that holds `text`, positioned at its beginning.
pub(crate) fn file(text: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

/// The ways to hand over a whole session.
#[derive(Clone, Copy, Debug)]
enum Way {
    File,
    Pipe,
    Sockets,
    OneSocket,
}

impl Way {
    const ALL: [Way; 4] = [Way::File, Way::Pipe, Way::Sockets, Way::OneSocket];

    /// Hands over `text`, followed at once by the end of input.
    fn hand_over(self, wrap: Wrap, text: &str, script: &Value) -> Gate {
        let streams = match self {
            Way::File => Streams::pipes().reading(file(text)),
            Way::Pipe => Streams::pipes(),
            Way::Sockets => Streams::sockets(),
            Way::OneSocket => Streams::one_socket(),
        };
        let mut gate = wrap.on(streams).serve(script);
        if !matches!(self, Way::File) {
            gate.send_raw(text);
        }
        gate.close_input();
        gate
    }
}

/// Hands over a session in every way, `times` times, all at once, and checks that each is fully answered.
pub(crate) fn is_answered(options: &[&str], calls: usize, times: usize, script: &Value) {
    let (session, answers) = (session(calls), answers(calls));
    let ways = Way::ALL.iter().cycle().take(times * Way::ALL.len());
    let hand_over =
        |way: &Way| (*way, way.hand_over(Wrap::allow_all().option(options), &session, script));
    let gates: Vec<(Way, Gate)> = ways.map(hand_over).collect();
    for (way, mut gate) in gates {
        let End { code, stdout, stderr } = gate.wait();
        let count = stdout.lines().count();
        assert_eq!((code, count, stderr.as_str()), (Some(0), calls, ""), "{way:?}");
        assert!(stdout == answers, "{way:?}: not the answers that are due");
    }
}

/// contract W9: a recorded session piped in gets all its answers.
#[test]
fn five_thousand_requests_get_five_thousand_answers() {
    for _ in 0..TIMES {
        is_answered(&[], 5_000, 1, &json!(["echo"]));
    }
}

/// contract W9: so it does from a server that is slower than the client.
#[test]
fn a_slow_server_is_waited_for() {
    // Longer than a server that is being stopped has.
    is_answered(&[], 200, TIMES, &json!([{ "echo_after": 10 }]));
}

/// contract W9: the server's input stays open until it has answered.
#[test]
fn the_input_of_a_server_that_owes_an_answer_stays_open() {
    is_answered(&[], 1, TIMES, &json!([{ "echo_alone": 200 }]));
}

/// contract W1: the last line may lack its LF.
#[test]
fn the_last_line_may_lack_its_line_end() {
    for way in Way::ALL {
        let text = session(3);
        let mut gate = way.hand_over(Wrap::allow_all(), text.trim_end(), &json!(["echo"]));
        assert_eq!(gate.wait(), End { stdout: answers(3), ..End::quiet(0) }, "{way:?}");
        assert_eq!(gate.received_bytes(), session(3).as_bytes(), "{way:?}");
    }
}

/// An empty input is no session, and no error.
#[test]
fn an_empty_session_gets_no_answer() {
    for way in Way::ALL {
        let mut gate = way.hand_over(Wrap::allow_all(), "", &json!(["echo"]));
        assert_eq!(gate.wait(), End::quiet(0), "{way:?}");
    }
}

/// contract C2: callgate passes on the server's code, or 128+N, even if everything is answered.
#[test]
fn the_code_of_a_server_that_ends_with_its_input_is_passed_on() {
    for (last, code) in [(json!({ "exit": 3 }), 3), (json!({ "signal": 15 }), 128 + 15)] {
        let mut gate = Way::Pipe.hand_over(Wrap::allow_all(), &session(1), &json!(["echo", last]));
        assert_eq!(gate.wait(), End { stdout: answers(1), ..End::quiet(code) });
    }
}

/// As in `callgate … <session | head -n 1`, where nobody needs the rest.
#[test]
fn a_reader_that_has_seen_enough_ends_the_session() {
    let mut head = Command::new("head");
    head.args(["-n", "1"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut head = head.spawn().unwrap();
    let stdin = head.stdin.take().unwrap();
    let streams =
        Streams::pipes().reading(file(&session(100))).writing(std::os::fd::OwnedFd::from(stdin));
    let script = json!([{ "recv": 100 }, { "send": ok(0) }, "hold"]);
    let mut gate = Wrap::allow_all().on(streams).serve(&script);
    assert_eq!(gate.wait_for_stop(), End::quiet(0));
    assert_eq!(head.wait_with_output().unwrap().stdout, answers(1).as_bytes());
}
