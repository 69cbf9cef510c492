//! The schema that `callgate schema` prints: it accepts every policy that compiles, and refuses what a schema can
//! detect.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use callgate::command::schema::POLICY_SCHEMA;
use jsonschema::Validator;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::case::read_all;

/// Problems that a schema cannot express, and the bad policies (by their `why`) that it therefore accepts.
const BEYOND_A_SCHEMA: [(&str, &[&str]); 7] = [
    (
        "a parser keeps one of two equal keys, and the schema never sees the other",
        &[
            "P1: a duplicate key of the document",
            "P1: a duplicate tool",
            "P1: keys are compared after unescaping",
            "P1: a duplicate key of a rule",
            "P1: a duplicate key of all_tools",
            "P1: a duplicate key of an entry",
            "P1: a duplicate key of a condition",
            "P1: a duplicate key of a limit",
            "P1: a duplicate key of rate_limit",
            "P1: a duplicate method",
            "P1: a key given three times is two duplicates",
            "P1: duplicates at several levels are all reported",
            "P16: arguments have no duplicate keys",
        ],
    ),
    (
        "patterns have the syntax of Rust's regex, which no format of a schema names",
        &[
            "P7: a pattern must be closed",
            "P7: a class must be in order",
            "P7: a repetition needs something to repeat",
            "P7: look-ahead is not linear",
            "P7: a back-reference is not linear",
            "P7: a pattern may be too large",
        ],
    ),
    (
        "`multipleOf` is computed in doubles by editors, and would refuse 0.005",
        &[
            "P10: max has at most nine digits after the point",
            "P10: max has at most nine digits after the point, written with an exponent",
            "P10: increment has at most nine digits after the point",
        ],
    ),
    ("a double cannot tell it from 10^15", &["P10: max is at most 10^15 with its fraction"]),
    (
        "one value is not compared with another",
        &[
            "P16: time does not go back",
            "P16: nor behind the time that the first test has by default",
        ],
    ),
    ("nothing is added up", &["P16: the tests of a policy make 10,000 calls at most"]),
    (
        "where a day begins depends on the offset: 1969-12-31T23:00:00-01:00 is in 1970",
        &["P16: time begins in 1970"],
    ),
];

/// The schema, compiled.
pub(crate) fn validator() -> Validator {
    let schema = serde_json::from_str(POLICY_SCHEMA).expect("the schema is JSON");
    jsonschema::draft202012::new(&schema).expect("the schema is one")
}

/// Checks that the schema accepts a policy; panics with its errors otherwise.
pub(crate) fn takes(validator: &Validator, policy: &Value, what: &str) {
    let complaints: Vec<String> = validator
        .iter_errors(policy)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(complaints.is_empty(), "{what}:\n  {}\n{policy:#}", complaints.join("\n  "));
}

/// The policy in an entry of a case file, which has other members too.
#[derive(Deserialize)]
struct Holder {
    policy: Box<RawValue>,
}

#[derive(Deserialize)]
struct BadPolicy {
    why: String,
    text: String,
}

#[test]
fn the_schema_is_sound_and_explains_each_field() {
    let schema: Value = serde_json::from_str(POLICY_SCHEMA).unwrap();
    jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{error}"));
    let mut unexplained = Vec::new();
    let mut count = 0;
    each_object(&schema, &mut |object| {
        let fields = object.get("properties").and_then(Value::as_object);
        // The conditions of `if` and `then` have no descriptions.
        let is_whole = object.get("type").is_some_and(|kind| kind == "object");
        for (name, field) in fields.into_iter().flatten().filter(|_| is_whole) {
            count += 1;
            let target = field["$ref"].as_str().map(|target| target.trim_start_matches('#'));
            let target = target.and_then(|pointer| schema.pointer(pointer));
            let said = [Some(field), target].into_iter().flatten();
            if !said.clone().any(|field| field["description"].is_string()) {
                unexplained.push(name.clone());
            }
        }
    });
    assert!(count >= 40, "only {count} fields");
    assert!(unexplained.is_empty(), "no description: {unexplained:?}");
}

fn each_object(value: &Value, visit: &mut impl FnMut(&Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(object);
            object.values().for_each(|value| each_object(value, visit));
        }
        Value::Array(values) => values.iter().for_each(|value| each_object(value, visit)),
        _ => {}
    }
}

#[test]
fn every_policy_of_the_tests_fits_the_schema() {
    let validator = validator();
    let mut count = 0;
    for folder in ["cases", "own_tests"] {
        for (name, Holder { policy }) in read_all::<Holder>(folder) {
            takes(&validator, &as_doubles(policy.get()), &name);
            count += 1;
        }
    }
    assert!(count >= 300, "only {count} policies");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["policy.example.json", "tests/manual/policy.json", "tests/manual/refunds.json"] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        takes(&validator, &serde_json::from_str(&text).unwrap(), file);
    }
}

/// A policy as most parsers read it.
fn as_doubles(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// contract P1, as far as a schema can check it.
#[test]
fn bad_policies_are_refused_except_for_what_no_schema_can_express() {
    let validator = validator();
    let beyond = BEYOND_A_SCHEMA.iter().flat_map(|(_, whys)| whys.iter().copied());
    let beyond: BTreeSet<&str> = beyond.collect();
    let all = read_all::<BadPolicy>("bad_policies");
    let mut taken = BTreeSet::new();
    let mut refused = 0;
    for (_, bad) in &all {
        // A file that no parser accepts as JSON needs no schema.
        let Ok(policy) = serde_json::from_str(&bad.text) else { continue };
        if validator.is_valid(&policy) {
            taken.insert(bad.why.as_str());
        } else {
            refused += 1;
        }
    }
    assert_eq!(taken, beyond, "left: what the schema takes; right: what it has to");
    assert!(refused >= 140, "only {refused} refused");
}
