//! `--drain`: how long a client that has closed its end is served on (SPEC W9).

use super::gate::{Gate, Wrap, call, ok, stopped};
use super::process::End;
use serde_json::{Value, json};

/// A session of so many calls, handed over with the end of input behind it.
fn hand_over(drain: &str, calls: usize, script: &Value) -> Gate {
    let mut gate = Wrap::allow_all().option(["--drain", drain]).serve(script);
    for id in 0..calls {
        gate.send(call(id));
    }
    gate.close_input();
    gate
}

/// SPEC W9, C2: what is not answered in time is answered by callgate, and the code says so.
#[test]
fn a_drain_ends_in_time() {
    for drain in ["0.3", "0.01", "1"] {
        let mut gate = hand_over(drain, 2, &json!([{ "recv": 2 }, "hold"]));
        let stdout = format!("{}\n{}\n", stopped(0), stopped(1));
        assert_eq!(gate.wait_for_stop(), End { stdout, ..End::quiet(2) }, "{drain}");
    }
}

/// SPEC W9: each answer begins it anew.
#[test]
fn a_drain_lasts_as_long_as_answers_come() {
    // Longer in all than the drain and the stop behind it; each far shorter.
    let mut gate = hand_over("1", 20, &json!([{ "echo_after": 150 }]));
    let stdout = (0..20).map(|id| ok(id) + "\n").collect();
    assert_eq!(gate.wait(), End { stdout, ..End::quiet(0) });
}

/// SPEC W9: so long after the last answer, not up to twice as long.
#[test]
fn a_drain_is_counted_from_the_last_answer() {
    let mut gate = hand_over("1.5", 2, &json!([{ "recv": 2 }, { "send": ok(0) }, "hold"]));
    let stdout = format!("{}\n{}\n", ok(0), stopped(1));
    assert_eq!(gate.wait_for_stop(), End { stdout, ..End::quiet(2) });
}

/// SPEC W9, C2: an answer that comes while the server is being stopped is an answer.
#[test]
fn an_answer_at_the_end_of_input_is_relayed() {
    let mut gate = hand_over("0.3", 1, &json!([{ "recv": 1 }, "hold", { "send": ok(0) }]));
    let End { stdout, stderr, .. } = gate.wait_for_stop();
    assert_eq!((stdout, stderr.as_str()), (ok(0) + "\n", ""));
}

/// SPEC C2: what is no time is a usage error.
#[test]
fn what_is_no_time_is_refused() {
    for drain in ["", "x", "-1", "nan", "inf", "1e400", "3 s"] {
        let mut gate = Wrap::allow_all().option([format!("--drain={drain}")]).run(["true"]);
        let End { code, stdout, stderr } = gate.end();
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{drain}");
        assert!(stderr.starts_with("error: ") && stderr.contains("--drain"), "{drain}: {stderr}");
    }
}
