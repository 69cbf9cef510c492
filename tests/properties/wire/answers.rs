//! Each request is answered once (contract W4), whatever both sides send in any order. [`crate::fuzzing::relay`] holds
//! the checks made at every line.

use std::collections::BTreeMap;

use callgate::engine::compile::compile;
use callgate::engine::wire::frame::read_id;
use callgate::engine::wire::line::Side;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof};
use proptest::proptest;
use proptest::sample::select;

use crate::fuzzing::peer;
use crate::fuzzing::relay::Relay;

const POLICY: &str = r#"{"version":"1","default":"deny","hide":["secret"],
    "methods":{"resources/*":"deny","sampling/createMessage":"deny"},
    "tools":{"open":{},"few":{"rate_limit":{"max":2,"window":60}},"secret":{},
        "human":{"action":"require_approval"}}}"#;

/// An event of a session.
#[derive(Debug, Clone)]
enum Event {
    Client(String),
    Server(String),
    Long(Side, String),
    Pass(u64),
}

/// A few ids in many spellings, so that they collide.
fn id() -> impl Strategy<Value = &'static str> {
    select(vec![
        "1",
        "1.0",
        "10e-1",
        "2",
        "\"1\"",
        r#""\u0031""#,
        "\"a\"",
        "null",
        "-7",
        "[]",
        "1e400",
    ])
}

fn params() -> impl Strategy<Value = String> {
    let tool = select(vec!["open", "few", "human", "secret", "OPEN", "other"]);
    let rest = select(vec![
        "",
        r#","arguments":{"x":1}"#,
        r#","task":{}"#,
        r#","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#,
        r#","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"requestState":"s""#,
        r#","Name":"open""#,
        r#","arguments":null"#,
    ]);
    (tool, rest).prop_map(|(tool, rest)| format!(r#"{{"name":"{tool}"{rest}}}"#))
}

fn client_line() -> impl Strategy<Value = String> {
    let call = (id(), params()).prop_map(|(id, params)| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#)
    });
    let methods =
        ["initialize", "tools/list", "x", "subscriptions/listen", "resources/read", "tools/Call"];
    let request = (id(), select(methods.to_vec())).prop_map(|(id, method)| {
        let modern = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
        format!(r#"{{"id":{id},"method":"{method}","params":{modern}}}"#)
    });
    let odd = (id(), id(), params()).prop_map(|(id, other, params)| {
        let call = format!(r#"{{"id":{other},"method":"tools/call","params":{params}}}"#);
        format!(r#"[{{"id":{id},"method":"x"}},{call}]"#)
    });
    let broken = id().prop_flat_map(|id| {
        select(vec![
            format!(r#"{{"id":{id},"method":"x","method":"y"}}"#),
            format!(r#"{{"id":{id},"ID":2,"method":"x"}}"#),
            format!(r#"{{"id":{id},"method":"x","result":1}}"#),
            format!(r#"{{"id":{id},"method":7}}"#),
            format!(r#"{{"id":{id},"result":1}}"#),
            format!(r#"{{"id":{id},"method":"x""#),
        ])
    });
    prop_oneof![5 => call, 4 => request, 3 => cancellation(), 1 => odd, 2 => broken]
}

fn cancellation() -> impl Strategy<Value = String> {
    id().prop_map(|id| {
        format!(r#"{{"method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#)
    })
}

/// Results that callgate reads, and may rewrite.
const LISTS: &str = r#"{"capabilities":{"tools":{}},"tools":[{"name":"secret"}]}"#;
const ASKS: &str = r#"{"requestState":"s","inputRequests":{"a":{"method":"x"}}}"#;
const ASKS_WHAT_IS_DENIED: &str = r#"{"inputRequests":{"a":{"method":"sampling/createMessage"}}}"#;

fn server_line() -> impl Strategy<Value = String> {
    let answer = (id(), select(vec!["result", "error"])).prop_flat_map(|(id, what)| {
        select(vec![
            format!(r#"{{"jsonrpc":"2.0","id":{id},"{what}":{{}}}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":{id},"{what}":{LISTS}}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":{id},"{what}":{ASKS}}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":{id},"{what}":{ASKS_WHAT_IS_DENIED}}}"#),
        ])
    });
    let odd = id().prop_flat_map(|id| {
        select(vec![
            format!(r#"{{"jsonrpc":"2.0","id":{id}}}"#),
            format!(r#"{{"id":{id},"result":{{}}}}"#),
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":1}}{{"jsonrpc":"2.0","id":1,"error":2}}"#
            ),
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":1,"result":2}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"#),
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"x","result":1}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":1,"error":2}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"sampling/createMessage"}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list"}}"#),
            format!(r#"[{{"jsonrpc":"2.0","id":{id},"result":1}}]"#),
            format!(r#"log {{"jsonrpc":"2.0","id":{id}}}"#),
        ])
    });
    prop_oneof![5 => answer, 3 => odd, 1 => cancellation()]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => client_line().prop_map(Event::Client),
        8 => server_line().prop_map(Event::Server),
        1 => (any::<bool>(), server_line()).prop_map(|(client, line)| {
            Event::Long(if client { Side::Client } else { Side::Server }, line)
        }),
        1 => (0..90_000_u64).prop_map(Event::Pass),
    ]
}

proptest! {
    #![proptest_config(crate::properties::cases(400))]

    /// contract W4, W8: a request in flight gets at most one answer; requests still waiting at the end are answered
    /// then.
    #[test]
    fn no_request_is_answered_twice_and_none_is_forgotten(events in vec(event(), 0..50)) {
        let policy = compile(POLICY.as_bytes()).expect("a policy");
        let mut relay = Relay::new(policy, false);
        for event in &events {
            match event {
                Event::Client(line) => relay.send(Side::Client, line.as_bytes()),
                Event::Server(line) => relay.send(Side::Server, line.as_bytes()),
                Event::Long(side, line) => relay.send_long(*side, line.as_bytes()),
                Event::Pass(ms) => relay.pass(*ms),
            }
        }
        let waiting = relay.expected();
        let before = relay.answers.len();
        relay.abandon();
        prop_assert_eq!(relay.answers.len() - before, waiting);
        prop_assert_eq!(relay.expected(), 0);

        // The same check from the outside, line by line: no id has more answers than requests.
        let asked = events.iter().filter_map(|event| match event {
            Event::Client(line) => Some(line.as_bytes()),
            _ => None,
        });
        let asked = ids(asked, |frame| frame.get("method").is_some());
        let answered = relay.to_client.iter().chain(&relay.answers).map(Vec::as_slice);
        let answered = ids(answered, |frame| {
            frame.get("result").is_some() || frame.get("error").is_some()
        });
        for (id, times) in answered {
            let asked = asked.get(&id).copied().unwrap_or_default();
            let id = id.escape_ascii();
            prop_assert!(times <= asked, "{times} answers to {asked} requests {id}");
        }
    }

    /// contract W4: a request that the policy permits and the server answers gets the server's bytes.
    #[test]
    fn an_answer_reaches_the_client_unchanged(id in id(), value in crate::properties::text::value()) {
        let policy = compile(br#"{"version":"1","default":"allow"}"#).expect("a policy");
        let mut relay = Relay::new(policy, false);
        relay.send(Side::Client, format!(r#"{{"id":{id},"method":"x"}}"#).as_bytes());
        let answer = format!(r#"{{"jsonrpc":"2.0","id": {id},"result":{value}}}"#);
        relay.send(Side::Server, answer.as_bytes());
        relay.send(Side::Server, answer.as_bytes());
        let is_id = read_id(id).is_some();
        prop_assert_eq!(relay.to_client.len(), usize::from(is_id));
        prop_assert!(relay.to_client.iter().all(|line| line == answer.as_bytes()));
    }
}

/// How often each id stands at the top of a `wanted` line, or of an element of a `wanted` batch.
fn ids<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    wanted: impl Fn(&peer::Members<'_>) -> bool,
) -> BTreeMap<Vec<u8>, usize> {
    let mut times = BTreeMap::new();
    for line in lines {
        let text = str::from_utf8(line).expect("UTF-8");
        let frames = peer::elements(text).map_or(vec![text], |elements| elements.0);
        for frame in frames.into_iter().filter_map(peer::members).filter(|frame| wanted(frame)) {
            if let Some(id) = frame.get("id").and_then(read_id) {
                // contract W4: the number's string may answer it.
                let key = id.key_of_number_in_string().unwrap_or_else(|| id.key().into_owned());
                *times.entry(key).or_default() += 1;
            }
        }
    }
    times
}
