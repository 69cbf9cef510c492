//! The schema of the policy file and the compiler, on policies with some parts replaced by others, and some broken.

use std::cell::Cell;

use callgate::engine::compile::compile;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::{Value, json};

use crate::policy::schema::validator;

/// Compiler problems that no schema can detect.
const BEYOND_A_SCHEMA: [&str; 7] = [
    "bad pattern: ",
    "with at most 9 digits after the point, found `1e-10`",
    "a name is at most 256 bytes long",
    "earlier than the test before",
    "the tests make more than",
    "a number from 0, `*`, or a key in double quotes",
    "found the string `1969-12-31T23:59:59Z`",
];

/// A policy with everything in it.
fn whole() -> Value {
    let conditions = json!([
        { "path": "args.a", "op": "eq", "value": "x" },
        { "path": "args.b[0]", "op": "lt", "value": 5 },
        { "path": "args.c[*]", "op": "in", "value": ["x", 1, null] },
        { "path": "args[\"d e\"]", "op": "exists", "value": true },
        { "path": "args", "op": "regex", "value": "^x$" },
        { "path": "args.f", "op": "contains", "value": false },
    ]);
    let rule = json!({
        "description": "text", "mode": "shadow", "action": "deny", "reason": "text",
        "require": [{ "conditions": conditions, "on_deny": "text" }],
        "deny_if": [{ "conditions": [] }, { "conditions": conditions }],
        "approval_if": [{ "conditions": conditions, "reason": "text" }],
        "limits": [
            { "counter": "c", "window": "day", "max": 1, "scope": "server", "increment": 0.005,
              "increment_from": "args.a", "on_deny": "text", "align": "calendar" },
            { "counter": "d", "window": "session", "max": 2, "scope": "session" },
            { "counter": "e", "window": 60, "max": 2.5 },
        ],
        "rate_limit": { "max": 3, "window": "hour" },
    });
    json!({
        "$schema": "text", "version": "1", "description": "text", "default": "deny",
        "mode": "enforce", "hide": ["a", "b*"], "hide_denied": true, "all_tools": rule,
        "tools": { "a": rule, "b?": {} },
        "methods": { "resources/*": "deny", "prompts/get": "allow", "x": "deny" },
        "tests": [
            { "name": "text", "tool": "a", "arguments": {}, "at": "2026-01-01T00:00:00Z",
              "times": 1, "expect": "deny", "rule": "text" },
            { "name": "text", "tool": "b", "expect": "allow" },
        ],
    })
}

/// Paths; the later ones are invalid.
const PATHS: &[&str] = &[
    "args",
    "args.a",
    "args.a.b",
    "args[0]",
    "args[*].x",
    "args[\"a.b\"]",
    "args.*x",
    "args[\"a\\\"]\"][1]",
    "args[\"[*]\"]",
    "args.é",
    "args.",
    "args..a",
    "arg.a",
    "args.*",
    "args[",
    "args[-1]",
    "args[a]",
    "args.a b",
    "args.a]",
    "args[\"a]",
    "args[1]x",
    "",
    "args[\"\\x\"]",
    "args[99999999999999999999999]",
    "args.a\nb",
];

/// Times; the later ones are invalid.
const TIMES: &[&str] = &[
    "2026-01-01T00:00:00Z",
    "2026-01-01t09:00:00.5+01:00",
    "1970-01-01T00:00:00-00:00",
    "1969-12-31T23:30:00-01:00",
    "2026-01-01T23:59:60z",
    "2026-01-01T00:00:00+25:59",
    "9999-12-01T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "2026-01-01",
    "2026-13-01T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01 00:00:00Z",
    "2026-01-01T00:00:00",
    "x",
];

/// Values for a field: most valid, some nearly valid.
fn values_of(field: &str) -> Vec<Value> {
    let listed = match field {
        "version" => json!(["1", 1, "1.0"]),
        "default" | "methods" => json!(["allow", "deny", "Allow", "ask"]),
        "mode" => json!(["enforce", "shadow", "off"]),
        "action" => json!(["allow", "deny", "require_approval", "ask"]),
        "scope" => json!(["grant", "session", "server", "user"]),
        "align" => json!(["calendar", "sliding"]),
        "op" => json!([
            "eq", "neq", "lt", "lte", "gt", "gte", "in", "not_in", "exists", "regex", "contains",
            "EQ", ""
        ]),
        "value" => json!([
            "x",
            1,
            1.5,
            true,
            null,
            ["x"],
            [1, null, "x"],
            [],
            [["x"]],
            {},
            "(",
            "(?i)^a$",
            [{}]
        ]),
        "path" | "increment_from" => json!(PATHS),
        "window" => json!([
            "minute", "hour", "day", "week", "session", 1, 60, 60.0, 31_622_400, 0, -1, 1.5, "60",
            31_622_401, "month"
        ]),
        "max" | "increment" => json!([
            0,
            1,
            0.005,
            30.0,
            1e15,
            1_000_000_000_000_000_u64,
            -0.0,
            1e-9,
            -1,
            1e-10,
            1e16,
            "1"
        ]),
        "times" => json!([1, 2, 2.0, 10_000, 0, 10_001, 1.5, -1, "1"]),
        "expect" => json!(["allow", "deny", "ask", "hide", "denied"]),
        "at" => json!(TIMES),
        "hide" => json!(["a", "*", "", "é".repeat(128), "é".repeat(129), "e".repeat(257)]),
        "counter" => json!(["c", "", 1]),
        "hide_denied" => json!([true, false, "true"]),
        _ => json!(["text", 1, null, true, [], {}, [1], { "a": {} }]),
    };
    listed.as_array().expect("a list").clone()
}

/// Replacement names for a member.
const NAMES: [&str; 16] = [
    "description",
    "reason",
    "on_deny",
    "mode",
    "action",
    "scope",
    "max",
    "limit",
    "Hide",
    "tests",
    "tools/call",
    "tools/*",
    "notifications/*",
    "notifications/x",
    "a*",
    "rule",
];

/// A change at a place of a document.
#[derive(Debug, Clone)]
enum Change {
    Remove,
    /// Replacement by a value of the same field.
    Replace(Index),
    /// Replacement by a value of another field.
    Misplace(Index),
    Rename(&'static str),
}

fn changes() -> impl Strategy<Value = Vec<(Index, Change)>> {
    let change = prop_oneof![
        3 => Just(Change::Remove),
        9 => any::<Index>().prop_map(Change::Replace),
        1 => any::<Index>().prop_map(Change::Misplace),
        1 => select(&NAMES[..]).prop_map(Change::Rename),
    ];
    vec((any::<Index>(), change), 0..6)
}

/// The pointers of all values in a document except the document itself.
fn pointers(value: &Value, base: &str, found: &mut Vec<String>) {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(values) => {
            values.iter().enumerate().map(|(nth, value)| (nth.to_string(), value)).collect()
        }
        _ => return,
    };
    for (name, value) in members {
        let pointer = format!("{base}/{name}");
        pointers(value, &pointer, found);
        found.push(pointer);
    }
}

/// Makes a change, if its place allows it.
fn apply(document: &mut Value, at: Index, change: &Change) {
    let mut found = Vec::new();
    pointers(document, "", &mut found);
    if found.is_empty() {
        return;
    }
    let pointer = at.get(&found).clone();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let name = name.replace("~1", "/").replace("~0", "~");
    // An element, or a member with a name chosen by the author, belongs to the field of its container.
    let holder = parent.rsplit('/').next().expect("a name");
    let is_free = name.parse::<usize>().is_ok() || matches!(holder, "methods" | "tools");
    let field = if is_free { holder } else { &name };
    match (change, document.pointer_mut(parent).expect("what holds it")) {
        (Change::Remove, Value::Array(values)) => {
            values.remove(name.parse().expect("a number"));
        }
        (Change::Remove, holder) => {
            holder.as_object_mut().expect("an object").remove(&name);
        }
        (Change::Rename(new), Value::Object(members)) => {
            let value = members.remove(&name).expect("the member");
            members.insert((*new).to_owned(), value);
        }
        (Change::Rename(_), _) => {}
        (Change::Replace(choice), _) => {
            let value = document.pointer_mut(&pointer).expect("the value");
            // A value with fields of its own would hardly ever be replaced by a valid one.
            if !value.is_object() {
                *value = choice.get(&values_of(field)).clone();
            }
        }
        (Change::Misplace(choice), _) => {
            let value = document.pointer_mut(&pointer).expect("the value");
            *value = choice.get(&values_of("")).clone();
        }
    }
}

/// contract P1: the schema and the compiler refuse the same policies, except for problems that no schema can detect.
#[test]
fn schema_and_compiler_agree() {
    let validator = validator();
    let (taken, refused) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(crate::properties::cases(4000));
    let outcome = runner.run(&changes(), |changes| {
        let mut document = whole();
        changes.iter().for_each(|(at, change)| apply(&mut document, *at, change));
        let compiled = compile(document.to_string().as_bytes());
        let complaints: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        let count = if compiled.is_ok() { &taken } else { &refused };
        count.set(count.get() + 1);
        match compiled {
            Ok(_) if complaints.is_empty() => Ok(()),
            Ok(_) => Err(TestCaseError::fail(format!("only the schema refuses: {complaints:#?}"))),
            Err(problems) => {
                let is_beyond =
                    |message: &str| BEYOND_A_SCHEMA.iter().any(|words| message.contains(words));
                let left = problems.iter().find(|problem| !is_beyond(&problem.message));
                match left.filter(|_| complaints.is_empty()) {
                    None => Ok(()),
                    Some(problem) => {
                        Err(TestCaseError::fail(format!("only the compiler refuses: {problem:?}")))
                    }
                }
            }
        }
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let (taken, refused) = (taken.get(), refused.get());
    assert!(taken > 400 && refused > 400, "{taken} taken, {refused} refused: one-sided");
}
