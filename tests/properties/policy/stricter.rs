//! Additions to a policy only restrict it (contract 3.5): no addition permits a denied call, or waives an approval.

use callgate::engine::compile::compile;
use callgate::engine::decide::decide;
use callgate::engine::json::reader::Scratch;
use callgate::engine::limits::{
    Amount, CounterKey, Demand, Ledger, MemoryLedger, Now, Scope, Settlement, Window,
};
use callgate::engine::policy::Policy;
use callgate::engine::wire::frame::read_client;
use callgate::engine::wire::mcp::{Params, ToolCall};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_oneof};
use proptest::proptest;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;
use serde_json::{Value, json};

use crate::fuzzing;

use crate::properties::text::{self, maybe};

/// The decision on a call, from most to least permissive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Allow,
    Ask,
    Deny,
}

/// An addition to a policy.
#[derive(Debug, Clone)]
enum Addition {
    /// To one of the entries of `tools`, by its index: a field, and the value added to its list.
    ToTool(usize, &'static str, Value),
    /// The same, to `all_tools`.
    ToAllTools(&'static str, Value),
    /// A whole rule for `all_tools`, if there is none.
    AllTools(Value),
    Hide(&'static str),
}

fn name() -> impl Strategy<Value = &'static str> + Clone {
    select(vec!["a", "b", "ab", "A", "a*", "?", "*b", "ä", "é"])
}

fn condition() -> impl Strategy<Value = Value> {
    let path = select(vec!["args", "args.x", "args.y[*]", "args.x.z", "args.y[0]", "args[\"X\"]"]);
    let test = select(vec![
        json!({"op":"eq","value":1}),
        json!({"op":"neq","value":"s"}),
        json!({"op":"gt","value":1.5}),
        json!({"op":"lte","value":"s"}),
        json!({"op":"in","value":[1,"s",null]}),
        json!({"op":"not_in","value":[1]}),
        json!({"op":"exists","value":true}),
        json!({"op":"exists","value":false}),
        json!({"op":"regex","value":"^s"}),
        json!({"op":"contains","value":"s"}),
    ]);
    (path, test).prop_map(|(path, mut test)| {
        test["path"] = json!(path);
        test
    })
}

fn clause() -> impl Strategy<Value = Value> {
    vec(condition(), 0..3).prop_map(|conditions| json!({ "conditions": conditions }))
}

fn limit() -> impl Strategy<Value = Value> {
    let counter = select(vec!["n", "m"]);
    let window = select(vec!["minute", "day", "session"]);
    let increment = maybe(select(vec![0.0, 0.5, 2.0]));
    (counter, window, 0..4_u8, increment, maybe(Just("args.x"))).prop_map(
        |(counter, window, max, increment, from)| {
            let mut limit = json!({ "counter": counter, "window": window, "max": max });
            increment.iter().for_each(|increment| limit["increment"] = json!(increment));
            from.iter().for_each(|from| limit["increment_from"] = json!(from));
            limit
        },
    )
}

/// A list field of a rule, and an element for it.
fn element() -> BoxedStrategy<(&'static str, Value)> {
    prop_oneof![
        clause().prop_map(|clause| ("require", clause)),
        clause().prop_map(|clause| ("deny_if", clause)),
        clause().prop_map(|clause| ("approval_if", clause)),
        limit().prop_map(|limit| ("limits", limit)),
    ]
    .boxed()
}

fn rule() -> impl Strategy<Value = Value> {
    let action = maybe(select(vec!["allow", "deny", "require_approval"]));
    let mode = maybe(select(vec!["shadow", "enforce"]));
    (vec(element(), 0..3), action, mode).prop_map(|(elements, action, mode)| {
        let mut rule = json!({});
        action.iter().for_each(|action| rule["action"] = json!(action));
        mode.iter().for_each(|mode| rule["mode"] = json!(mode));
        for (field, element) in elements {
            push(&mut rule, field, element);
        }
        rule
    })
}

fn policy() -> impl Strategy<Value = Value> {
    let fields = (select(vec!["allow", "deny"]), maybe(select(vec!["shadow", "enforce"])));
    (fields, vec((name(), rule()), 0..4), vec(name(), 0..2), maybe(rule())).prop_map(
        |((default, mode), tools, hide, all_tools)| {
            let tools: serde_json::Map<String, Value> =
                tools.into_iter().map(|(name, rule)| (name.to_owned(), rule)).collect();
            let mut policy =
                json!({ "version": "1", "default": default, "tools": tools, "hide": hide });
            mode.iter().for_each(|mode| policy["mode"] = json!(mode));
            all_tools.iter().for_each(|rule| policy["all_tools"] = rule.clone());
            policy
        },
    )
}

fn addition() -> impl Strategy<Value = Addition> {
    let to_tool = (0..4_usize, element());
    let to_tool = to_tool.prop_map(|(at, (field, what))| Addition::ToTool(at, field, what));
    prop_oneof![
        3 => to_tool,
        1 => element().prop_map(|(field, what)| Addition::ToAllTools(field, what)),
        1 => rule().prop_map(Addition::AllTools),
        1 => name().prop_map(Addition::Hide),
    ]
}

fn call() -> impl Strategy<Value = String> {
    let value = select(vec!["0", "1", "2.50", "\"s\"", "\"t\"", "null", "true", "[]", "[1,\"s\"]"]);
    let key = select(vec!["x", "y", "X"]);
    let member = (key, value).prop_map(|(key, value)| (format!("\"{key}\""), value.to_owned()));
    let name = select(vec!["a", "b", "ab", "A", "ä", "c"]);
    (name, text::object(vec(member, 0..3)))
        .prop_map(|(name, arguments)| fuzzing::call("1", &format!("\"{name}\""), &arguments))
}

fn push(rule: &mut Value, field: &str, element: Value) {
    let list = &mut rule[field];
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().expect("a list").push(element);
}

impl Addition {
    /// Makes the addition to `policy`. If its place does not exist, it goes to `all_tools`.
    fn add_to(self, policy: &mut Value) {
        match self {
            Addition::ToTool(at, field, element) => {
                let tools = policy["tools"].as_object_mut().expect("tools");
                match tools.values_mut().nth(at) {
                    Some(rule) => push(rule, field, element),
                    None => Addition::ToAllTools(field, element).add_to(policy),
                }
            }
            Addition::ToAllTools(field, element) => {
                if policy["all_tools"].is_null() {
                    policy["all_tools"] = json!({});
                }
                push(&mut policy["all_tools"], field, element);
            }
            Addition::AllTools(rule) if policy["all_tools"].is_null() => policy["all_tools"] = rule,
            Addition::AllTools(_) => {}
            Addition::Hide(name) => {
                policy["hide"].as_array_mut().expect("a list").push(json!(name));
            }
        }
    }
}

/// The decision on `call` when every counter stands at `used`.
fn outcome(policy: &Policy, call: &str, used: u128) -> Outcome {
    let mut params = Params::default();
    let mut scratch = Scratch::default();
    let frame = read_client(call.as_bytes(), &mut scratch, |reader, key| params.read(reader, key));
    let call = ToolCall::read(frame.expect("a frame").params, params).expect("a call");
    let Ok(permit) = decide(policy, &call, false) else { return Outcome::Deny };
    let mut ledger = MemoryLedger::default();
    let now = Now { wall_ms: 1_767_225_600_000, monotonic_ms: 0 };
    let charged = ledger.reserve(&charges(used), now);
    assert!(matches!(charged, Ok(Settlement::Charged { .. })), "{charged:?}");
    match ledger.reserve(&permit.demands, now) {
        Ok(Settlement::Charged { .. }) if permit.approval.is_none() => Outcome::Allow,
        Ok(Settlement::Charged { .. }) => Outcome::Ask,
        Ok(Settlement::Exhausted { .. }) | Err(_) => Outcome::Deny,
    }
}

/// Sets every counter that a generated policy can name to `used`.
fn charges(used: u128) -> Vec<Demand> {
    let cost = Amount::from_nanos(used * 1_000_000_000).expect("an amount");
    let max = Amount::from_nanos(10_u128.pow(24)).expect("an amount");
    let windows = [
        (Scope::Grant, Window::Sliding(60)),
        (Scope::Grant, Window::Sliding(86_400)),
        (Scope::Session, Window::Session),
    ];
    let counters = ["n", "m"].into_iter().flat_map(|name| {
        windows.map(|(scope, window)| CounterKey { scope, name: name.into(), window })
    });
    counters.map(|counter| Demand { counter, cost, max, enforced: true }).collect()
}

proptest! {
    #![proptest_config(crate::properties::cases(1500))]

    /// contract 3.2, 3.5: one more `deny_if`, `require`, `approval_if`, limit, hidden name or rule for all tools.
    #[test]
    fn additions_never_permit_more(
        before in policy(),
        addition in addition(),
        call in call(),
        used in 0..4_u128,
        twice in any::<bool>(),
    ) {
        let mut after = before.clone();
        if twice {
            addition.clone().add_to(&mut after);
        }
        addition.add_to(&mut after);
        let outcome = |policy: &Value| {
            let policy = compile(policy.to_string().as_bytes()).expect("a policy");
            outcome(&policy, &call, used)
        };
        prop_assert!(outcome(&before) <= outcome(&after), "{before}\nbecame\n{after}");
    }

    /// contract 3.5: `action: deny` and an empty `deny_if` permit nothing.
    #[test]
    fn a_closed_rule_for_all_tools_denies_every_call(
        mut policy in policy(), call in call(), empty in any::<bool>(),
    ) {
        let closed = ("action", json!("deny"));
        let always = ("deny_if", json!([{ "conditions": [] }]));
        let (field, value) = if empty { always } else { closed };
        policy["all_tools"] = json!({ "mode": "enforce", field: value });
        let policy = compile(policy.to_string().as_bytes()).expect("a policy");
        prop_assert!(outcome(&policy, &call, 0) == Outcome::Deny);
    }
}
