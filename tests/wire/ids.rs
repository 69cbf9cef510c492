//! Ids and requests in flight (contract W4).

use crate::harness::gate::{Wrap, call, ok};
use crate::harness::process::End;
use serde_json::json;

const NOTIFICATION: &str = r#"{"jsonrpc":"2.0","method":"notifications/x"}"#;

const IN_FLIGHT: &str = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"#;

/// contract W4: `1` is `1.0`, `1` is not `"1"`; strings are equal after unescaping.
#[test]
fn ids_are_compared_by_value() {
    let different = ["1", r#""1""#, "0", r#""b""#, r#""1.0""#, "1.5", "12345678901234567890123"];
    let equal = [
        "1.0",
        "1e0",
        "10E-1",
        "0.1e+1",
        r#""\u0031""#,
        "-0",
        "0e9",
        r#""\u0062""#,
        "15e-1",
        "12345678901234567890123.0",
    ];
    let answers = different.map(|id| json!({ "send": ok(id) }));
    let script = std::iter::once(json!({ "recv": different.len() + 1 })).chain(answers).collect();
    let gate = Wrap::allow_all().serve(&script);
    for id in different {
        gate.send(call(id));
    }
    for id in equal {
        let refusal = gate.ask(call(id));
        assert!(refusal.starts_with(IN_FLIGHT), "{id}: {refusal}");
    }
    gate.send(NOTIFICATION);
    for id in different {
        assert_eq!(gate.recv(), ok(id));
    }
    gate.ends_quietly(0);
}

/// contract W4: each request gets one answer; then its id may be used again.
#[test]
fn a_second_answer_is_dropped_and_the_id_is_free_again() {
    let gate = Wrap::allow_all().serve(&json!([
        { "recv": 1 },
        { "answer": r#"{"n":1}"# },
        { "answer": r#"{"n":2}"# },
        { "send": NOTIFICATION },
        { "recv": 1 },
        { "answer": r#"{"n":3}"# },
        { "answer": r#"{"n":4}"# }
    ]));
    assert_eq!(gate.ask(call(1)), r#"{"jsonrpc":"2.0","id":1,"result":{"n":1}}"#);
    assert_eq!(gate.recv(), NOTIFICATION);
    assert_eq!(gate.ask(call(1)), r#"{"jsonrpc":"2.0","id":1,"result":{"n":3}}"#);
    assert!(gate.error_line().contains("the id 1,"), "the first is told");
    gate.ends_quietly(0);
}

/// contract W4: an answer is matched by value, and relayed with the server's spelling of the id.
#[test]
fn an_answer_may_spell_the_id_differently() {
    let gate = Wrap::allow_all()
        .serve(&json!([{ "recv": 2 }, { "send": ok("1") }, { "send": ok(r#""a""#) }]));
    gate.send(call("1.0"));
    gate.send(call(r#""\u0061""#));
    assert_eq!(gate.recv(), ok("1"));
    assert_eq!(gate.recv(), ok(r#""a""#));
    gate.ends_quietly(0);
}

/// contract W4: a server may answer the number 7 as the string "7", unless "7" is in flight as well. The answer is
/// relayed unchanged.
#[test]
fn an_answer_may_spell_a_number_as_a_string() {
    let text = ok(r#""7""#);
    let gate = Wrap::allow_all().serve(&json!([
        { "recv": 1 }, { "send": text },
        { "recv": 2 }, { "send": text }, { "send": ok(7) },
        "echo"
    ]));
    assert_eq!(gate.ask(call(7)), text);
    gate.send(call(7));
    assert_eq!(gate.ask(call(r#""7""#)), text);
    assert_eq!(gate.recv(), ok(7));
    gate.serves(8);
    gate.ends_quietly(0);
}

/// contract W4: callgate reports the first dropped answer on stderr, with its id.
#[test]
fn the_first_dropped_answer_is_reported() {
    let gate = Wrap::allow_all()
        .serve(&json!([{ "send": ok(r#""no\u001bne""#) }, { "send": ok(5) }, "echo"]));
    gate.serves(1);
    let told = gate.error_line();
    assert!(told.starts_with("callgate: ") && told.contains(r#"the id "no\u001bne","#), "{told}");
    gate.ends_quietly(0);
}

/// contract W6: an error in place of an unreadable answer has the id as the client spelt it.
#[test]
fn an_unreadable_answer_is_replaced_by_an_error_with_the_clients_id() {
    let gate = Wrap::allow_all().serve(&json!([
        { "recv": 2 },
        { "send": r#"{"jsonrpc":"2.0","id":1.0,"result":NaN}{"jsonrpc":"2.0","id":"2","result":{}}"# },
        "echo"
    ]));
    gate.send(call(1));
    gate.send(call("2e0"));
    for id in ["1", "2e0"] {
        let answer = gate.recv();
        assert!(answer.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error""#)), "{answer}");
    }
    gate.serves(3);
    gate.error_line();
    gate.ends_quietly(0);
}

/// contract W4: callgate has answered a denied call; a server's answer to it is dropped.
#[test]
fn a_denied_call_is_not_answered_by_the_server() {
    let policy = r#"{"version":"1","default":"deny","tools":{"t":{}}}"#;
    let gate = Wrap::new(policy).serve(&json!([{ "recv": 1 }, { "send": ok(1) }, "echo"]));
    let denied = gate.ask(call(1).replace(r#""t""#, r#""u""#));
    assert!(denied.contains("[POLICY DENIED]"), "{denied}");
    gate.send(NOTIFICATION);
    gate.serves(2);
    gate.error_line();
    gate.ends_quietly(0);
}

/// contract W4: the server's request ids are independent of the client's.
#[test]
fn the_server_may_use_the_clients_ids() {
    let asked = r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#;
    let gate = Wrap::allow_all()
        .serve(&json!([{ "recv": 1 }, { "send": asked }, { "recv": 1 }, { "send": ok(1) }]));
    assert_eq!(gate.ask(call(1)), asked);
    assert_eq!(gate.ask(r#"{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}"#), ok(1));
    gate.ends_quietly(0);
}

/// contract W4: at most 65,536 requests are in flight, and each of them is answered when the server dies.
#[test]
fn the_65_537th_request_in_flight_is_refused() {
    const MOST: usize = 65_536;
    let mut gate = Wrap::allow_all().serve(&json!([{ "recv": MOST + 1 }, { "exit": 3 }]));
    let burst: String = (0..=MOST).map(|id| call(id) + "\n").collect();
    gate.send_raw(burst);
    assert_eq!(gate.recv(), too_many(MOST));
    gate.send(NOTIFICATION);

    let end = gate.wait();
    let answers: Vec<String> = (0..MOST).map(|id| died(id, 3)).collect();
    let got = end.stdout.lines().count();
    assert!(end == died_with(3, &answers), "{got} answers, {:?}", (end.code, end.stderr));
}

/// contract W4: at most 16 MiB of ids are in flight.
#[test]
fn more_than_16_mib_of_ids_in_flight_are_refused() {
    let padding = "i".repeat(4000);
    let gate = Wrap::allow_all().serve(&json!(["hold"]));
    let room = 16 * 1024 * 1024 / 4000;
    for id in 0..room + 100 {
        gate.send(call(format!("\"{padding}{id}\"")));
    }
    let refused = gate.recv();
    assert!(refused.contains(r#""code":-32000,"message":"too many requests in flight""#));
    let first = (room - 100..=room).find(|id| refused.contains(&format!("i{id}\"")));
    assert!(first.is_some(), "refused {:?}", &refused[4000..]);
}

fn too_many(id: usize) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32000,"message":"too many requests in flight"}}}}"#
    )
}

/// The answer to a request that was in flight when the server ended.
pub(crate) fn died(id: usize, status: i32) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32000,"message":"server exited with status {status}"}}}}"#
    )
}

/// The end of a session whose server ended with requests in flight: these last lines, and a message on stderr.
pub(crate) fn died_with(status: i32, lines: &[String]) -> End {
    End {
        code: Some(status),
        stdout: lines.iter().map(|line| line.clone() + "\n").collect(),
        stderr: format!("callgate: server exited with status {status}\n"),
    }
}
