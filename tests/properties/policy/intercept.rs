//! Intercept's decisions, transcribed from its source: a naive model for sequential calls.

use std::collections::HashMap;

use regex::Regex;
use serde_json::Value;

/// The decision on a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    Ask,
    Deny,
}

/// A policy with its counters.
pub(super) struct Intercept {
    policy: Value,
    /// Values by key, each with its window.
    counters: HashMap<String, (u64, i64)>,
}

/// A verdict, the charges of the call, and whether callgate must agree.
pub(super) struct Decision {
    pub(super) verdict: Verdict,
    /// False if the comparison is one that callgate judges more strictly.
    pub(super) is_plain: bool,
    charges: Vec<(String, u64, i64)>,
}

/// The result of a condition, and whether callgate must agree or may be stricter.
type Truth = (bool, bool);

impl Intercept {
    pub(super) fn new(policy: Value) -> Self {
        Intercept { policy, counters: HashMap::new() }
    }

    /// Charges the cost of an allowed call.
    pub(super) fn commit(&mut self, decision: Decision) {
        for (key, window, amount) in decision.charges {
            let used = self.used(&key, window);
            self.counters.insert(key, (window, used + amount));
        }
    }

    /// Decides a call at this time, in seconds.
    pub(super) fn decide(&self, tool: &str, arguments: &Value, at: u64) -> Decision {
        let mut decision =
            Decision { verdict: Verdict::Allow, is_plain: true, charges: Vec::new() };
        let hidden = self.policy["hide"].as_array().into_iter().flatten();
        let is_hidden = hidden.filter_map(Value::as_str).any(|name| name == tool || name == "*");
        let is_listed = self.policy["tools"].get(tool).is_some();
        if is_hidden || self.policy["default"] == "deny" && !is_listed {
            decision.verdict = Verdict::Deny;
            return decision;
        }
        let rules = self.rules(tool);
        for (_, rule) in &rules {
            let action = rule["action"].as_str().unwrap_or("evaluate");
            let holds = conditions(rule).iter().all(|condition| {
                let (holds, plain) = self.condition(condition, arguments, at);
                decision.is_plain &= plain;
                holds
            });
            match action {
                "deny" => decision.verdict = Verdict::Deny,
                "evaluate" if !holds => decision.verdict = Verdict::Deny,
                "require_approval" if holds && decision.verdict == Verdict::Allow => {
                    decision.verdict = Verdict::Ask;
                }
                _ => {}
            }
        }
        if decision.verdict == Verdict::Allow {
            self.reserve(&rules, arguments, at, &mut decision);
        }
        decision
    }

    /// The rules of a tool and of all tools, each with the scope of its counters.
    fn rules(&self, tool: &str) -> Vec<(String, Value)> {
        let of = |name: &str, scope: &str| {
            let rules = self.policy["tools"][name]["rules"].as_array().cloned().unwrap_or_default();
            rules.into_iter().map(|rule| (scope.to_owned(), spelt_out(rule, scope))).collect()
        };
        let mut rules: Vec<(String, Value)> = of(tool, tool);
        rules.extend(of("*", "_global"));
        rules
    }

    fn reserve(
        &self,
        rules: &[(String, Value)],
        arguments: &Value,
        at: u64,
        decision: &mut Decision,
    ) {
        for (scope, rule) in rules.iter().filter(|(_, rule)| rule["state"].is_object()) {
            let state = &rule["state"];
            let key = format!("{scope}.{}", state["counter"].as_str().expect("a name"));
            let Some(amount) = amount(state, arguments) else {
                decision.verdict = Verdict::Deny;
                return;
            };
            decision.is_plain &= amount >= 0;
            let path = format!("state.{key}");
            let limit = conditions(rule).iter().find_map(|condition| {
                let value = condition["value"].as_i64().filter(|_| condition["path"] == *path)?;
                match condition["op"].as_str() {
                    Some("lt") => Some(value - 1),
                    Some("lte") => Some(value),
                    _ => None,
                }
            });
            let Some(limit) = limit else { continue };
            let window = at / seconds(state);
            if self.used(&key, window) + amount > limit {
                decision.verdict = Verdict::Deny;
                return;
            }
            decision.charges.push((key, window, amount));
        }
    }

    fn used(&self, key: &str, window: u64) -> i64 {
        self.counters.get(key).filter(|(own, _)| *own == window).map_or(0, |(_, used)| *used)
    }

    fn condition(&self, condition: &Value, arguments: &Value, at: u64) -> Truth {
        let path = condition["path"].as_str().expect("a path");
        let op = condition["op"].as_str().expect("an operator");
        let expected = &condition["value"];
        if let Some(key) = path.strip_prefix("state.") {
            let value = self.used(key, at / self.window_of(key));
            return (compare(op, &Value::from(value), expected).0, true);
        }
        let mut found = Some(arguments);
        let mut plain = true;
        for key in path.strip_prefix("args.").expect("a path of arguments").split('.') {
            plain &= found.is_none_or(|value| value.is_object() || value.is_null());
            found = found.and_then(|value| value.as_object()).and_then(|members| members.get(key));
        }
        if op == "exists" {
            return (expected == &Value::from(found.is_some_and(|value| !value.is_null())), plain);
        }
        match found {
            None => (false, plain && !matches!(op, "neq" | "not_in")),
            Some(found) => {
                let (holds, alike) = compare(op, found, expected);
                (holds, plain && alike)
            }
        }
    }

    /// The length of a counter's window, in seconds.
    fn window_of(&self, key: &str) -> u64 {
        let tools = self.policy["tools"].as_object().into_iter().flatten();
        let mut states = tools.flat_map(|(name, tool)| {
            let scope = if name == "*" { "_global" } else { name };
            let rules = tool["rules"].as_array().cloned().unwrap_or_default();
            let states = rules.into_iter().map(|rule| spelt_out(rule, scope)["state"].take());
            states.map(move |state| (scope.to_owned(), state)).collect::<Vec<_>>()
        });
        let own = states.find(|(scope, state)| {
            state["counter"].as_str().is_some_and(|counter| format!("{scope}.{counter}") == key)
        });
        seconds(&own.expect("a counter").1)
    }
}

fn conditions(rule: &Value) -> Vec<Value> {
    rule["conditions"].as_array().cloned().unwrap_or_default()
}

/// A rule without `rate_limit`.
fn spelt_out(mut rule: Value, scope: &str) -> Value {
    let Some(rate) = rule["rate_limit"].as_str().map(str::to_owned) else { return rule };
    let (count, window) = rate.split_once('/').expect("a rate");
    let counter = format!("_rate_{window}");
    rule["conditions"] = serde_json::json!([
        { "path": format!("state.{scope}.{counter}"), "op": "lte", "value": count.parse::<i64>().expect("a count") }
    ]);
    rule["state"] = serde_json::json!({ "counter": counter, "window": window });
    rule
}

fn seconds(state: &Value) -> u64 {
    match state["window"].as_str() {
        Some("minute") => 60,
        Some("hour") => 3600,
        _ => 86_400,
    }
}

/// The cost of a call; none if it cannot be read.
fn amount(state: &Value, arguments: &Value) -> Option<i64> {
    match state["increment_from"].as_str() {
        Some(path) => arguments.get(path.strip_prefix("args.")?)?.as_i64(),
        None => Some(state["increment"].as_i64().unwrap_or(1)),
    }
}

fn compare(op: &str, found: &Value, expected: &Value) -> Truth {
    let alike = kind(found) == kind(expected) || found.is_null() || expected.is_null();
    match op {
        "eq" => (equal(found, expected), alike),
        "neq" => (!equal(found, expected), alike),
        "in" | "not_in" => {
            let list = expected.as_array().expect("a list");
            let is_in = list.iter().any(|element| equal(found, element));
            let alike = found.is_null() || list.iter().any(|element| kind(element) == kind(found));
            (is_in == (op == "in"), alike || list.iter().all(Value::is_null))
        }
        "lt" | "lte" | "gt" | "gte" => {
            let (Some(found), Some(expected)) = (found.as_f64(), expected.as_f64()) else {
                return (false, false);
            };
            let holds = match op {
                "lt" => found < expected,
                "lte" => found <= expected,
                "gt" => found > expected,
                _ => found >= expected,
            };
            (holds, true)
        }
        "regex" => {
            let pattern = expected.as_str().expect("a pattern");
            // Go's function handles ASCII only.
            let pattern = pattern.replace(r"\d", "[0-9]").replace(r"\w", "[0-9A-Za-z_]");
            let regex = Regex::new(&pattern).expect("a pattern");
            (found.as_str().is_some_and(|text| regex.is_match(text)), found.is_string())
        }
        "contains" => match (found, expected) {
            (Value::String(found), Value::String(expected)) => (found.contains(expected), true),
            (Value::Array(elements), _) => {
                let holds = elements.iter().any(|element| equal(element, expected));
                let alike = !elements.is_empty()
                    && elements.iter().all(|element| kind(element) == kind(expected));
                (holds, alike)
            }
            _ => (false, false),
        },
        other => panic!("the operator {other}"),
    }
}

/// Numbers as numbers, everything else as Go prints it.
fn equal(found: &Value, expected: &Value) -> bool {
    match (found.as_f64(), expected.as_f64()) {
        (Some(found), Some(expected)) => found.total_cmp(&expected).is_eq(),
        _ => printed(found) == printed(expected),
    }
}

fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(elements) => {
            format!("[{}]", elements.iter().map(printed).collect::<Vec<_>>().join(" "))
        }
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| format!("{key}:{}", printed(value)));
            format!("map[{}]", members.collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}
