//! Frames that callgate accepts are read alike by other parsers (contract W3, W6), and well-formed frames are accepted.

use callgate::engine::compile::compile;
use callgate::engine::wire::line::Side;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof};
use proptest::proptest;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;
use serde_json::{Value, json};

use crate::fuzzing::frame::check;
use crate::fuzzing::relay::Relay;
use crate::properties::text;

/// An MCP frame in any order and spelling that a client or server might write.
fn well_formed() -> BoxedStrategy<String> {
    let quoted =
        |words: &[&'static str]| select(words.to_vec()).prop_map(|word| format!("\"{word}\""));
    let method =
        quoted(&["tools/call", "tools\\/call", "tools/c\\u0061ll", "initialize", "x", "日本"]);
    let other_method = quoted(&["notifications/initialized", "ping", ""]);
    let arguments = text::object(vec((text::string(), text::value()), 0..4));
    let params = (text::string(), arguments, text::value(), any::<bool>()).prop_map(
        |(name, arguments, extra, modern)| {
            let version = r#""io.modelcontextprotocol/protocolVersion": "2026-07-28","#;
            let meta = if modern { version } else { "" };
            format!(r#"{{"arguments":{arguments},"_meta":{{{meta}"a":{extra}}},"name":{name}}}"#)
        },
    );
    let other_params = text::object(vec((text::string(), text::value()), 0..3));
    let field = |name: &str, value: BoxedStrategy<String>| {
        let name = format!("\"{name}\"");
        value.prop_map(move |value| (name.clone(), value)).boxed()
    };
    let version = || field("jsonrpc", quoted(&["2.0"]).boxed());
    let extra = || {
        (select(vec!["\"x\"", "\"_meta\"", "\"ids\""]).prop_map(str::to_owned), text::value())
            .boxed()
    };
    let frame =
        |fields: Vec<BoxedStrategy<(String, String)>>| text::object(fields.prop_shuffle()).boxed();
    let id = || field("id", prop_oneof![text::number(), text::string()].boxed());
    let [method, other_method] = [method, other_method].map(|word| field("method", word.boxed()));
    let [params, other_params] = [params.boxed(), other_params.boxed()].map(|p| field("params", p));
    prop_oneof![
        4 => frame(vec![version(), id(), method, params]),
        1 => frame(vec![version(), other_method, other_params]),
        1 => frame(vec![version(), id(), field("result", text::value()), extra()]),
        1 => frame(vec![extra(), field("error", text::value()), id()]),
    ]
    .boxed()
}

/// A frame that two parsers might read differently.
fn doubtful() -> BoxedStrategy<String> {
    let keys = vec![
        "id",
        "ID",
        "\\u0069d",
        "method",
        "Method",
        "params",
        "paramſ",
        "result",
        "error",
        "name",
        "arguments",
        "Name",
        "_meta",
        "x",
        "jsonrpc",
        "tools",
        "\\ud800",
        "requestState",
    ];
    let scalars = vec![
        "1",
        "null",
        "\"tools/call\"",
        "\"Tools/Call\"",
        "\"a\"",
        "{}",
        "[]",
        "true",
        "1e999",
        "\"\\udc00\"",
        "01",
        "'a'",
    ];
    let leaf = select(scalars).prop_map(str::to_owned);
    let tree = leaf.prop_recursive(3, 24, 5, move |inner| {
        let member = (select(keys.clone()), inner.clone());
        let list = vec(inner, 0..4).prop_map(|elements| format!("[{}]", elements.join(",")));
        let object = vec(member, 0..5).prop_map(|members| {
            let members = members.into_iter().map(|(key, value)| format!("\"{key}\":{value}"));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        });
        prop_oneof![1 => list, 3 => object]
    });
    let wrapped = tree.clone().prop_map(|inner| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{inner}}}"#)
    });
    let answer =
        tree.clone().prop_map(|inner| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{inner}}}"#));
    prop_oneof![tree, wrapped, answer].boxed()
}

proptest! {
    #![proptest_config(crate::properties::cases(1000))]

    /// contract W3, W6: the frame reader agrees with the rules as applied to the line that `serde_json` reads.
    #[test]
    fn doubtful_frames_are_judged_by_the_rules(
        frame in doubtful(), noise in vec(any::<(u16, u8)>(), 0..2),
    ) {
        check(&[b"\0", frame.as_bytes()].concat());
        let mut bytes = frame.into_bytes();
        for (at, byte) in noise {
            let at = usize::from(at) % bytes.len().max(1);
            bytes[at..].iter_mut().take(1).for_each(|old| *old = byte);
        }
        check(&[b"\0", bytes.as_slice()].concat());
    }

    /// contract W1, W3: well-formed MCP passes an open policy unchanged, and `serde_json` reads the same object.
    #[test]
    fn well_formed_frames_are_never_refused(frame in well_formed()) {
        check(&[b"\0", frame.as_bytes()].concat());
        let value: Value = serde_json::from_str(&frame).expect("JSON for everybody");
        prop_assert!(value.is_object());
        let policy = compile(br#"{"version":"1","default":"allow"}"#).expect("a policy");
        let mut relay = Relay::new(policy, false);
        relay.send(Side::Client, frame.as_bytes());
        prop_assert_eq!(relay.to_server, [frame.as_bytes()]);
        prop_assert!(relay.answers.is_empty());
    }

    /// contract W3, P4: a call is decided by the tool name that `serde_json` reads.
    #[test]
    fn a_call_is_decided_by_the_name_that_serde_json_reads(
        frame in well_formed(), listed in any::<bool>(),
    ) {
        let value: Value = serde_json::from_str(&frame).expect("JSON for everybody");
        let call = value["method"] == "tools/call";
        let Some(name) = value["params"]["name"].as_str().filter(|_| call) else { return Ok(()) };
        let has_pattern = name.contains('*');
        let name = if listed { name.to_owned() } else { format!("{name}.") };
        let policy = json!({ "version": "1", "default": "deny", "tools": { name: {} } });
        let policy = compile(policy.to_string().as_bytes()).expect("a policy");
        let mut relay = Relay::new(policy, false);
        relay.send(Side::Client, frame.as_bytes());
        prop_assert!(relay.to_server.len() == usize::from(listed) || has_pattern);
    }
}
