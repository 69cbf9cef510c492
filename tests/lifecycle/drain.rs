//! `--drain`: how long callgate serves a client that has closed its end (contract W9).

use super::piped::file;
use crate::harness::gate::{Gate, Wrap, call, ok, stopped};
use crate::harness::process::End;
use crate::harness::streams::Streams;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Hands over a session of `calls` calls, followed by the end of input.
fn hand_over(drain: &str, calls: usize, script: &Value) -> Gate {
    let mut gate = Wrap::allow_all().option(["--drain", drain]).serve(script);
    for id in 0..calls {
        gate.send(call(id));
    }
    gate.close_input();
    gate
}

/// contract W9, C2: callgate answers what the server does not answer in time, and the exit code shows it.
#[test]
fn a_drain_ends_in_time() {
    for drain in ["0.3", "0.01", "1"] {
        let mut gate = hand_over(drain, 2, &json!([{ "recv": 2 }, "hold"]));
        let stdout = format!("{}\n{}\n", stopped(0), stopped(1));
        assert_eq!(gate.wait_for_stop(), End { stdout, ..End::quiet(2) }, "{drain}");
    }
}

/// contract W9: each answer restarts the drain.
#[test]
fn a_drain_lasts_as_long_as_answers_come() {
    // In total longer than the drain and the stop after it; each pause is far shorter.
    let mut gate = hand_over("1", 20, &json!([{ "echo_after": 150 }]));
    let stdout = (0..20).map(|id| ok(id) + "\n").collect();
    assert_eq!(gate.wait(), End { stdout, ..End::quiet(0) });
}

/// contract W9: the drain ends this long after the last answer, not up to twice as long.
#[test]
fn a_drain_is_counted_from_the_last_answer() {
    let mut gate = hand_over("1.5", 2, &json!([{ "recv": 2 }, { "send": ok(0) }, "hold"]));
    let stdout = format!("{}\n{}\n", ok(0), stopped(1));
    assert_eq!(gate.wait_for_stop(), End { stdout, ..End::quiet(2) });
}

/// contract W9, C2: an answer during the stop of the server counts as an answer, also in the exit code.
#[test]
fn an_answer_at_the_end_of_input_is_relayed() {
    let mut gate = hand_over("0.3", 1, &json!([{ "recv": 1 }, "hold", { "send": ok(0) }]));
    assert_eq!(gate.wait_for_stop(), End { stdout: ok(0) + "\n", ..End::quiet(0) });
}

/// C2: one answer of two is not enough.
#[test]
fn an_answer_that_is_missing_at_the_end_counts() {
    let mut gate = hand_over("0.3", 2, &json!([{ "recv": 2 }, "hold", { "send": ok(0) }]));
    let stdout = format!("{}\n{}\n", ok(0), stopped(1));
    assert_eq!(gate.wait_for_stop(), End { stdout, ..End::quiet(2) });
}

/// C2: a server that answers at the end of input and then exits passes on its code.
#[test]
fn the_code_of_a_server_that_answers_at_the_end_is_passed_on() {
    let script = json!([{ "recv": 1 }, "hold", { "send": ok(0) }, { "exit": 7 }]);
    let mut gate = hand_over("0.3", 1, &script);
    assert_eq!(gate.wait(), End { stdout: ok(0) + "\n", ..End::quiet(7) });
}

/// A call that asks for progress under this token.
fn call_with_progress(id: usize, token: &Value) -> String {
    let params = json!({ "name": "t", "_meta": { "progressToken": token } });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string()
}

fn progress(token: &Value) -> String {
    let params = json!({ "progressToken": token, "progress": 1 });
    json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params }).to_string()
}

/// A server that reports progress under this token every 0.1 s, and answers call 1 after `times` reports.
fn reports(token: &Value, times: usize) -> Value {
    let report = [json!({ "silence": 100 }), json!({ "send": progress(token) })];
    let reports = std::iter::repeat_n(report, times).flatten();
    let steps = std::iter::once(json!({ "recv": 1 })).chain(reports);
    steps.chain([json!({ "send": ok(1) })]).collect()
}

/// The result of call 1 at such a server; its client closes its end after the call.
fn drained(drain: &str, call: &str, script: &Value) -> End {
    let mut gate = Wrap::allow_all().option(["--drain", drain]).serve(script);
    gate.send(call);
    gate.close_input();
    let End { code, stdout, stderr } = gate.wait();
    assert_eq!(stderr, "");
    let stdout = stdout.lines().last().unwrap_or_default().to_owned();
    End { code, stdout, stderr }
}

/// contract W9: a call that reports progress is not cut off, with or without a limit.
#[test]
fn progress_of_a_call_extends_the_drain() {
    for token in [json!(7), json!("seven")] {
        let end = drained("1", &call_with_progress(1, &token), &reports(&token, 20));
        assert_eq!(end, End { stdout: ok(1), ..End::quiet(0) }, "{token}");
    }
    let limits = r#"[{"counter":"t","window":"minute","max":9}]"#;
    let policy =
        format!(r#"{{"version":"1","default":"deny","tools":{{"t":{{"limits":{limits}}}}}}}"#);
    let script = reports(&json!(7), 20);
    let mut gate = Wrap::new(policy).option(["--drain", "1"]).serve(&script);
    gate.send(call_with_progress(1, &json!(7)));
    gate.close_input();
    let end = gate.wait();
    assert_eq!(end.code, Some(0), "{end:?}");
}

/// contract W9: progress of a request that is not in flight does not count.
#[test]
fn progress_of_no_call_extends_nothing() {
    let (own, other) = (json!(7), json!("7"));
    for (call, told) in [(call_with_progress(1, &own), &other), (call(1), &own)] {
        // The server would answer after 6 s.
        let end = drained("0.6", &call, &reports(told, 60));
        assert_eq!(end, End { stdout: stopped(1), ..End::quiet(2) }, "{told}");
    }
}

/// contract W9: endless progress ends after ten times the drain.
#[test]
fn progress_does_not_extend_the_drain_for_ever() {
    let (token, begun) = (json!(7), Instant::now());
    // The server would answer after 20 s.
    let end = drained("0.6", &call_with_progress(1, &token), &reports(&token, 200));
    assert_eq!(end, End { stdout: stopped(1), ..End::quiet(2) });
    assert!(begun.elapsed() >= Duration::from_secs(6), "{:?}", begun.elapsed());
}

/// A server that never reads, and ignores the end of its input.
const DEAF: [&str; 3] = ["sh", "-c", "echo ready >&2; exec tail -f /dev/null"];

/// Writes whole calls as long as they are accepted; returns their number.
fn cram(mut client: impl Write + AsFd) -> usize {
    rustix::io::ioctl_fionbio(&client, true).unwrap();
    let mut calls = 0;
    loop {
        let line = call(calls) + "\n";
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match client.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // A write that waits half a second is not accepted any more.
                    let patience = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
                    let mut polled = [PollFd::new(&client, PollFlags::OUT)];
                    if poll(&mut polled, Some(&patience)).unwrap() == 0 {
                        return calls;
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
        calls += 1;
    }
}

/// contract W9: the client's end is noticed even if a server that does not read blocks everything it wrote.
#[test]
fn the_end_of_input_is_noticed_despite_a_deaf_server() {
    let (pipe, pipe_end) = io::pipe().unwrap();
    let (socket, socket_end) = UnixStream::pair().unwrap();
    let deaf = |streams: Streams| {
        let gate = Wrap::allow_all().option(["--drain", "1"]).on(streams).run(DEAF);
        assert_eq!(gate.error_line(), "ready");
        gate
    };
    let by_pipe = deaf(Streams::pipes().reading(pipe));
    let by_socket = deaf(Streams::sockets().reading(socket));
    // Twice what all pipes and buffers hold.
    let text: String = (0..12_000).map(|id| call(id) + "\n").collect();
    let mut by_file = deaf(Streams::pipes().reading(file(&text)));
    let end = by_file.wait();
    assert_eq!((end.code, end.stderr.as_str()), (Some(2), ""), "a file");

    let crammed = [cram(pipe_end), cram(socket_end)];
    for ((name, mut gate), calls) in
        [("a pipe", by_pipe), ("a socket", by_socket)].into_iter().zip(crammed)
    {
        let End { code, stdout, stderr } = gate.wait();
        assert_eq!((code, stderr.as_str()), (Some(2), ""), "{name}");
        // The last call was cut in two, and is unreadable.
        let answers: Vec<&str> =
            stdout.lines().filter(|line| !line.contains(r#""id":null"#)).collect();
        let expected: Vec<String> = (0..calls).map(stopped).collect();
        assert_eq!(answers, expected, "{name}");
    }
}

/// contract W9: a slow server still receives everything that the client sent before it left.
#[test]
fn a_slow_reader_gets_everything_before_the_drain_ends() {
    let bytes = 3 << 19;
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/x"}"#.to_owned() + "\n";
    let text = notification.repeat(bytes / notification.len());
    let server = "all=0; while part=$(head -c 65536 | wc -c); [ $part -gt 0 ]; do
        all=$((all + part)); sleep 0.2; done; echo $all >&2";
    let streams = Streams::pipes().reading(file(&text));
    let mut gate = Wrap::allow_all().option(["--drain", "2"]).on(streams).run(["sh", "-c", server]);
    assert_eq!(gate.wait(), End { stderr: format!("{}\n", text.len()), ..End::quiet(0) });
}

/// contract C2: an invalid time is a usage error.
#[test]
fn an_invalid_time_is_refused() {
    for drain in ["", "x", "-1", "nan", "inf", "1e400", "3 s"] {
        let mut gate = Wrap::allow_all().option([format!("--drain={drain}")]).run(["true"]);
        let End { code, stdout, stderr } = gate.end();
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{drain}");
        assert!(stderr.starts_with("error: ") && stderr.contains("--drain"), "{drain}: {stderr}");
    }
}
