//! Which tools are cut out of a list (contract W1, 3.1).

use callgate::engine::compile::compile;
use callgate::engine::wire::line::Side;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof};
use proptest::proptest;
use proptest::sample::select;

use crate::fuzzing::peer;
use crate::fuzzing::relay::Relay;
use crate::properties::text;

const POLICY: &str = r#"{"version":"1","default":"allow","hide":["h*","x"],"hide_denied":true,
    "tools":{"d":{"action":"deny"},"a":{"rate_limit":{"max":1,"window":60}}}}"#;

/// An element of the list, and whether it stays.
fn element() -> impl Strategy<Value = (String, bool)> {
    let tool = (
        select(vec!["a", "h", "hh", "x", "d", "\\u0068", "b,]", "H"]),
        text::value(),
        any::<bool>(),
    )
        .prop_map(|(name, value, first)| {
            // `H` is confusable with `h*`, so no call of it is ever permitted.
            let stays = matches!(name, "a" | "b,]");
            let text = if first {
                format!(r#"{{"name" : "{name}","x":{value}}}"#)
            } else {
                format!(r#"{{"x":{value},"name":"{name}"}}"#)
            };
            (text, stays)
        });
    let other = select(vec!["7", "{}", "null", r#"{"name":1}"#, r#"["a"]"#, r#"{"Name":"a"}"#])
        .prop_map(|text| (text.to_owned(), false));
    prop_oneof![5 => tool, 1 => other]
}

/// The texts of the tools in a result.
fn listed(line: &str) -> Vec<&str> {
    let frame = peer::members(line).expect("an object");
    let result = frame.get("result").and_then(peer::members).expect("a result");
    result.get("tools").and_then(peer::elements).expect("a list").0
}

proptest! {
    #![proptest_config(crate::properties::cases(500))]

    /// contract W1: for each hidden tool its element and one comma are cut; all other bytes stay as the server wrote
    /// them.
    #[test]
    fn each_hidden_tool_is_cut_with_one_comma(
        elements in vec((element(), text::space(), text::space()), 0..7),
        before in text::space(),
        cursor in text::value(),
    ) {
        let policy = compile(POLICY.as_bytes()).expect("a policy");
        let mut relay = Relay::new(policy, false);
        relay.send(Side::Client, br#"{"id":1,"method":"tools/list"}"#);
        let inside = |left: bool| {
            let texts = elements.iter().map(|((text, stays), before, after)| {
                let text = if left && !stays { "" } else { text.as_str() };
                format!("{before}{text}{after}")
            });
            texts.collect::<Vec<String>>()
        };
        let head = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"nextCursor":{cursor},"tools":[{before}"#);
        let sent = format!("{head}{}]}}}}", inside(false).join(","));
        relay.send(Side::Server, sent.as_bytes());
        let [received] = relay.to_client.as_slice() else { panic!("one line") };
        let received = str::from_utf8(received).expect("UTF-8");

        // The rest is equal except for commas: one fewer than tools are left.
        let without_commas = |text: &str| text.replace(',', "");
        let expected = format!("{head}{}]}}}}", inside(true).concat());
        prop_assert_eq!(without_commas(received), without_commas(&expected));
        let stayed = elements.iter().filter(|((_, stays), ..)| *stays);
        let stayed: Vec<&str> = stayed.map(|((text, _), ..)| text.as_str()).collect();
        prop_assert_eq!(listed(received), stayed);
    }
}
