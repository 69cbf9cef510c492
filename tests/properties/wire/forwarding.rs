//! Forwarded bytes are unchanged (contract W1), however the input is cut.

use callgate::engine::compile::compile;
use callgate::engine::wire::line::Side;
use callgate::engine::wire::line::{Line, LineBuffer};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof};
use proptest::proptest;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;

use crate::fuzzing::relay::Relay;
use crate::properties::text;

const CAP: usize = 200;

/// The bytes that were forwarded, and callgate's answers.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    forwarded: Vec<Vec<u8>>,
    answers: Vec<Vec<u8>>,
}

/// A relay of one direction, from bytes to bytes, in pieces of these lengths.
fn relay(side: Side, stream: &[u8], pieces: &[usize]) -> Outcome {
    let policy = compile(br#"{"version":"1","default":"allow"}"#).expect("a policy");
    let mut relay = Relay::new(policy, false);
    let mut buffer = LineBuffer::new(CAP);
    let mut forwarded = Vec::new();
    let mut take = |line: Line, buffer: &LineBuffer| match line {
        Line::Whole { start, content_end, end } => {
            let before = relay.to_server.len() + relay.to_client.len();
            relay.send(side, buffer.slice(start, content_end));
            if relay.to_server.len() + relay.to_client.len() > before {
                forwarded.push(buffer.slice(start, end).to_vec());
            }
        }
        Line::TooLong(line) => relay.send_long(side, &line.head),
    };
    let mut rest = stream;
    for &length in pieces.iter().cycle() {
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        buffer.spare().extend_from_slice(piece);
        while let Some(line) = buffer.next_line() {
            take(line, &buffer);
        }
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    buffer.last_line().into_iter().for_each(|line| take(line, &buffer));
    Outcome { forwarded, answers: relay.answers }
}

/// A line of a client or a server, or an arbitrary one, with its line end.
fn line() -> BoxedStrategy<Vec<u8>> {
    let id = select(vec!["1", "2", "1.0", "\"a\"", "null"]);
    let method = select(vec!["tools/call", "x", "initialize", "notifications/x", "tools\\/list"]);
    let request = (id.clone(), method.clone(), text::value()).prop_map(|(id, method, value)| {
        let params = format!(r#"{{"name":"t","x":{value}}}"#);
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
    });
    let notification = (method, text::value())
        .prop_map(|(method, value)| format!(r#"{{"method":"{method}","params":{value}}}"#));
    let answer =
        (id, text::value()).prop_map(|(id, value)| format!(r#" {{"id":{id} ,"result":{value}}} "#));
    let message = prop_oneof![request, notification, answer].prop_map(String::into_bytes);
    let noise = prop_oneof![
        vec(any::<u8>(), 0..20),
        Just(b" \t".to_vec()),
        (CAP - 1..CAP + 2).prop_map(|length| vec![b'x'; length])
    ];
    let end = select(vec!["\n", "\r\n", "\n", ""]);
    (prop_oneof![3 => message, 1 => noise], end)
        .prop_map(|(mut line, end)| {
            line.extend_from_slice(end.as_bytes());
            line
        })
        .boxed()
}

proptest! {
    #![proptest_config(crate::properties::cases(300))]

    /// contract W1: the output does not depend on how the input is cut, and every forwarded line is a line of the
    /// input, byte for byte and in order.
    #[test]
    fn pieces_make_no_difference(
        lines in vec(line(), 0..12),
        pieces in vec(prop_oneof![1..4_usize, 1..300_usize], 1..6),
        from_client in any::<bool>(),
    ) {
        let side = if from_client { Side::Client } else { Side::Server };
        let stream = lines.concat();
        let whole = relay(side, &stream, &[stream.len().max(1)]);
        prop_assert_eq!(&relay(side, &stream, &pieces), &whole);
        let mut input = stream.split_inclusive(|&byte| byte == b'\n');
        for line in &whole.forwarded {
            prop_assert!(input.any(|sent| sent == line), "{} was never sent", line.escape_ascii());
        }
    }
}
