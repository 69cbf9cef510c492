//! An imported policy permits exactly the calls that Intercept would, except for comparisons that callgate judges more
//! strictly.

use callgate::command::import::import_bytes;
use callgate::engine::compile::compile;
use callgate::engine::decide::explain::explain;
use callgate::engine::json::arguments::Arguments;
use callgate::engine::limits::{MemoryLedger, Now};
use callgate::engine::outcome::Outcome;
use callgate::engine::wire::mcp::ToolCall;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof};
use proptest::proptest;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;
use serde_json::{Map, Value, json};

use super::intercept::{Intercept, Verdict};
use crate::properties::text::maybe;

fn scalar() -> impl Strategy<Value = Value> {
    select(vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(5),
        json!(5.0),
        json!(-1),
        json!(2.5),
        json!(""),
        json!("a"),
        json!("5"),
        json!("true"),
        json!("a5é"),
    ])
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => scalar(),
        1 => vec(scalar(), 0..3).prop_map(Value::Array),
        1 => scalar().prop_map(|k| json!({ "k": k })),
    ]
}

fn arguments() -> impl Strategy<Value = Value> {
    let n = maybe(select(vec![json!(0), json!(1), json!(3), json!(-1), json!("3"), Value::Null]));
    (maybe(value()), maybe(value()), n).prop_map(|(x, o, n)| {
        let named = [("x", x), ("o", o), ("n", n)];
        let present = named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Value::Object(present.collect::<Map<_, _>>())
    })
}

fn condition(asks: bool) -> BoxedStrategy<Value> {
    let numbers = select(vec![json!(0), json!(5), json!(2.5), json!(-1)]);
    let words = vec(select(vec![json!("a"), json!("5"), Value::Null]), 1..3);
    let digits = vec(select(vec![json!(0), json!(5), json!(2.5)]), 1..3);
    let contained = if asks { Just(json!("a")).boxed() } else { scalar().boxed() };
    let test = prop_oneof![
        (select(vec!["eq", "neq"]), scalar()).boxed(),
        (Just("contains"), contained).boxed(),
        (select(vec!["in", "not_in"]), prop_oneof![words, digits].prop_map(Value::Array)).boxed(),
        (select(vec!["lt", "lte", "gt", "gte"]), numbers).boxed(),
        (Just("exists"), any::<bool>().prop_map(Value::Bool)).boxed(),
        (Just("regex"), select(vec![json!("^a"), json!("5$"), json!(r"^\w+$"), json!(r"\d")]))
            .boxed(),
    ];
    let path = select(vec!["args.x", "args.o", "args.o.k", "args.n"]);
    (path, test)
        .prop_map(|(path, (op, value))| json!({ "path": path, "op": op, "value": value }))
        .boxed()
}

/// A rule of the tool, with its counters under `scope`. There is at most one of each kind, so that counters differ.
fn rules(scope: &'static str) -> impl Strategy<Value = Vec<Value>> {
    let evaluate = vec(condition(false), 1..3).prop_map(|list| json!({ "conditions": list }));
    let ask = vec(condition(true), 0..3)
        .prop_map(|list| json!({ "action": "require_approval", "conditions": list }));
    let rate = (1..4_u8, select(vec!["minute", "hour"]))
        .prop_map(|(count, window)| json!({ "rate_limit": format!("{count}/{window}") }));
    let increment =
        select(vec![json!({}), json!({ "increment": 2 }), json!({ "increment_from": "args.n" })]);
    let own = select(vec!["lt", "lte"]);
    let state = (own, 1..6_u8, increment, maybe(condition(false)), select(vec!["minute", "day"]))
        .prop_map(move |(op, most, mut state, other, window)| {
            state["counter"] = json!("c");
            state["window"] = json!(window);
            let own = json!({ "path": format!("state.{scope}.c"), "op": op, "value": most });
            let conditions: Vec<Value> = std::iter::once(own).chain(other).collect();
            json!({ "conditions": conditions, "state": state })
        });
    let deny = proptest::bool::weighted(0.1)
        .prop_map(|denies| denies.then(|| json!({ "action": "deny" })));
    (maybe(evaluate), maybe(ask), maybe(rate), maybe(state), deny).prop_map(
        |(evaluate, ask, rate, state, deny)| {
            [evaluate, ask, rate, state, deny].into_iter().flatten().collect()
        },
    )
}

/// A tool's check of a counter of another tool, or of all tools.
fn look() -> impl Strategy<Value = (&'static str, Value)> {
    let counter = select(vec![("b", "a.c"), ("a", "_global._rate_minute"), ("a", "b._rate_hour")]);
    (counter, select(vec!["lt", "lte"]), 1..4_u8).prop_map(|((tool, counter), op, most)| {
        let path = format!("state.{counter}");
        (tool, json!({ "conditions": [{ "path": path, "op": op, "value": most }] }))
    })
}

fn policy() -> impl Strategy<Value = Value> {
    let default = select(vec!["allow", "deny"]);
    let hide = select(vec![json!([]), json!([]), json!(["c"])]);
    (default, hide, rules("a"), rules("b"), rules("_global"), maybe(look())).prop_map(
        |(default, hide, a, b, all, look)| {
            let mut policy = json!({ "version": "1", "default": default, "hide": hide, "tools": {
                "a": { "rules": a }, "b": { "rules": b }, "c": {}, "*": { "rules": all },
            } });
            if let Some((tool, rule)) = look {
                let mut with_it = policy.clone();
                with_it["tools"][tool]["rules"].as_array_mut().expect("a list").push(rule);
                // The counter may not exist.
                if import_bytes(with_it.to_string().as_bytes()).is_ok() {
                    policy = with_it;
                }
            }
            policy
        },
    )
}

proptest! {
    #![proptest_config(crate::properties::cases(1500))]

    #[test]
    fn an_imported_policy_decides_as_intercept_does(
        policy in policy(),
        calls in vec((select(vec!["a", "a", "b", "c", "d"]), arguments(), 0..40_u64), 1..20),
    ) {
        let text = policy.to_string();
        let imported = match import_bytes(text.as_bytes()) {
            Ok(imported) => imported.policy,
            Err(problems) => panic!("{text}: {problems:?}"),
        };
        let compiled = compile(imported.as_bytes()).expect("a policy");
        let mut intercept = Intercept::new(policy);
        let mut ledger = MemoryLedger::default();
        let mut at = 86_390;
        for (tool, arguments, later) in calls {
            at += later;
            let wanted = intercept.decide(tool, &arguments, at);
            let spelt = arguments.to_string();
            let call = ToolCall::of(tool, Arguments::parse(&spelt).expect("arguments"));
            let now = Now { wall_ms: at * 1000, monotonic_ms: at * 1000 };
            let ruling = explain(&compiled, &call, None, &mut ledger, now).ruling;
            let found = match ruling.outcome {
                Outcome::Allowed => Verdict::Allow,
                Outcome::ApprovalRequired => Verdict::Ask,
                Outcome::Denied => Verdict::Deny,
            };
            let shown = format!("{tool} {spelt} at {at} under {text}, imported as {imported}, by {}", ruling.rule.as_str());
            if found == Verdict::Allow {
                prop_assert_eq!(wanted.verdict, Verdict::Allow, "{}", shown);
            }
            if wanted.is_plain {
                // Intercept asks for approval before it checks whether a limit has room.
                let is_late = wanted.verdict == Verdict::Ask && found == Verdict::Deny;
                prop_assert!(is_late || wanted.verdict == found, "{:?} and {:?}: {}", wanted.verdict, found, shown);
            }
            if found == Verdict::Allow {
                intercept.commit(wanted);
            }
        }
    }
}
