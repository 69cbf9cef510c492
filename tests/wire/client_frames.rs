//! Lines that a client may not send, row by row (contract W3), each refusal with its twin that is forwarded.

use crate::harness::gate::{Gate, Wrap, call, ok};
use crate::harness::rows::{self, Line};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Row {
    why: String,
    #[serde(flatten)]
    line: Line,
    expect: Expect,
}

/// The fate of a client's line.
#[derive(Deserialize)]
#[serde(untagged)]
enum Expect {
    /// `"forward"` or `"drop"`.
    Word(Word),
    /// One error.
    Refusal(Refusal),
    /// An error for each request of a batch.
    Refusals(Vec<Refusal>),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    /// The server receives the line unchanged.
    Forward,
    /// The line is dropped.
    Drop,
}

/// An error answer with this raw id; its message contains `says`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    code: i32,
    id: String,
    says: String,
}

/// contract W3: each row is forwarded or refused as written, the server sees nothing of a refused line, and the same
/// session serves a call after each row.
#[test]
fn every_line_from_the_client_is_forwarded_or_refused() {
    let mut gate = Wrap::allow_all().serve(&json!(["echo"]));
    let mut complaints = Vec::new();
    for group in rows::read::<Row>("client.json", 90) {
        for row in &group.rows {
            if let Err(complaint) = judge(&gate, row) {
                complaints.push(format!("{}: {}: {complaint}", group.rule, row.why));
                gate = Wrap::allow_all().serve(&json!(["echo"]));
            }
        }
    }
    rows::report(&complaints);
    gate.ends_quietly(0);
}

/// Sends the row's line and then a call, which is answered last.
fn judge(gate: &Gate, row: &Row) -> Result<(), String> {
    let line = row.line.bytes();
    let marker = r#""the row's end""#;
    let before = gate.received_bytes().len();
    gate.send_raw([&line, b"\n".as_slice()].concat());
    gate.send(call(marker));

    let mut answers = Vec::new();
    loop {
        let answer = gate.try_recv()?;
        if answer == ok(marker) {
            break;
        }
        answers.push(answer);
    }
    check_arrived(row, &line, &gate.received_bytes()[before..], &call(marker))?;
    check_answers(row, &answers)
}

/// Checks that the server received the line, if it is to be forwarded, and the call after it, and nothing else.
fn check_arrived(row: &Row, line: &[u8], arrived: &[u8], marker: &str) -> Result<(), String> {
    let line = if matches!(row.expect, Expect::Word(Word::Forward)) {
        [line, b"\n"].concat()
    } else {
        Vec::new()
    };
    if arrived == [line, format!("{marker}\n").into_bytes()].concat() {
        Ok(())
    } else {
        Err(format!("reached the server: {}", excerpt(&String::from_utf8_lossy(arrived))))
    }
}

/// Checks that a refused line gets its error, and that a forwarded request gets the server's answer.
fn check_answers(row: &Row, answers: &[String]) -> Result<(), String> {
    let refusals = match &row.expect {
        Expect::Word(Word::Forward) => {
            let answered = answers.iter().all(|answer| answer.contains(r#""text":"ok""#));
            return if answered && answers.len() <= 1 { Ok(()) } else { Err(told(answers)) };
        }
        Expect::Word(Word::Drop) => &[],
        Expect::Refusal(refusal) => std::slice::from_ref(refusal),
        Expect::Refusals(refusals) => refusals.as_slice(),
    };
    let as_expected = answers.len() == refusals.len()
        && answers.iter().zip(refusals).all(|(answer, refusal)| refusal.is(answer));
    if as_expected { Ok(()) } else { Err(told(answers)) }
}

impl Refusal {
    /// True if `answer` is this refusal, byte for byte except for its message.
    fn is(&self, answer: &str) -> bool {
        let Self { code, id, says } = self;
        let head = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":""#);
        answer
            .strip_prefix(&head)
            .and_then(|rest| rest.strip_suffix(r#""}}"#))
            .is_some_and(|message| message.contains(says))
    }
}

fn told(answers: &[String]) -> String {
    format!("answered: {}", excerpt(&answers.join(" | ")))
}

/// The beginning of a text, for messages.
fn excerpt(text: &str) -> String {
    if text.len() > 400 {
        format!("{:.400}… ({} bytes)", text, text.len())
    } else {
        text.to_owned()
    }
}
