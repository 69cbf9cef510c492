//! Conditions compared with a model of the tables in contract P7 and P8, written over `serde_json`'s values.

use std::cmp::Ordering;

use callgate::engine::compile::compile;
use callgate::engine::compile::lint::{WarningKind, lint};
use callgate::engine::json::arguments::Arguments;
use callgate::engine::json::reader::{MAX_DEPTH, Reader, Scratch};
use callgate::engine::policy::condition::{Bound, Condition, Scalar, Test};
use callgate::engine::policy::one_of::OneOf;
use callgate::engine::policy::path::ArgPath;
use callgate::engine::policy::pattern::{Pattern, PatternAllowance};
use callgate::engine::work::Work;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof};
use proptest::proptest;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;
use serde_json::Value;

use crate::properties::text;

/// Holds, does not hold, or is undecidable.
type Truth = Option<bool>;

/// Scalars of every type, few enough to collide.
const SCALARS: [&str; 14] = [
    "null",
    "true",
    "false",
    "0",
    "-0.0",
    "1",
    "1.0",
    "10e-1",
    "2",
    "9007199254740993",
    "9007199254740992",
    "\"\"",
    "\"a\"",
    "\"ab\"",
];

/// An operator with its value, for the engine and for the model.
#[derive(Debug, Clone)]
struct Op {
    name: &'static str,
    values: Vec<&'static str>,
}

fn op() -> BoxedStrategy<Op> {
    let scalar = || select(SCALARS.to_vec());
    let ordered = select(SCALARS[3..].to_vec());
    let one = |names: Vec<&'static str>, value: BoxedStrategy<&'static str>| {
        (select(names), value).prop_map(|(name, value)| Op { name, values: vec![value] })
    };
    let list = (select(vec!["in", "not_in"]), vec(scalar(), 1..3))
        .prop_map(|(name, values)| Op { name, values });
    prop_oneof![
        3 => one(vec!["eq", "neq", "contains"], scalar().boxed()),
        3 => one(vec!["lt", "lte", "gt", "gte"], ordered.boxed()),
        2 => list,
        1 => one(vec!["exists"], select(vec!["true", "false"]).boxed()),
        1 => one(vec!["regex"], Just("\"^a\"").boxed()),
    ]
    .boxed()
}

impl Op {
    fn test(&self) -> Test {
        let scalar = |text: &str| match serde_json::from_str(text).expect("a scalar") {
            Value::Null => Scalar::Null,
            Value::Bool(value) => Scalar::Bool(value),
            Value::String(value) => Scalar::String(value),
            _ => Scalar::Number(text.to_owned()),
        };
        let bound = || match scalar(self.values[0]) {
            Scalar::String(value) => Bound::String(value),
            _ => Bound::Number(self.values[0].to_owned()),
        };
        match self.name {
            "eq" => Test::Equal(scalar(self.values[0])),
            "neq" => Test::NotEqual(scalar(self.values[0])),
            "contains" => Test::Contains(scalar(self.values[0])),
            "lt" => Test::Less(bound()),
            "lte" => Test::AtMost(bound()),
            "gt" => Test::Greater(bound()),
            "gte" => Test::AtLeast(bound()),
            "in" => Test::In(OneOf::new(self.values.iter().copied().map(scalar).collect())),
            "not_in" => Test::NotIn(OneOf::new(self.values.iter().copied().map(scalar).collect())),
            "exists" => Test::Exists(self.values[0] == "true"),
            _ => Test::Regex(
                Pattern::new("^a", &mut PatternAllowance::default()).expect("a pattern"),
            ),
        }
    }

    /// contract P8, for the value at a path; `None` if there is none.
    fn truth(&self, found: Option<&Value>) -> Truth {
        let values: Vec<Value> =
            self.values.iter().map(|text| serde_json::from_str(text).expect("a scalar")).collect();
        let Some(found) = found else {
            return match self.name {
                "exists" => Some(self.values[0] == "false"),
                "neq" | "not_in" => None,
                _ => Some(false),
            };
        };
        match self.name {
            "eq" => equal(&values[0], found),
            "neq" => equal(&values[0], found).map(|equal| !equal),
            "in" => among(found, &values),
            "not_in" => among(found, &values).map(|among| !among),
            "exists" => Some(self.values[0] == "true"),
            "regex" => found.as_str().map(|text| text.starts_with('a')),
            "contains" => match found {
                Value::Array(elements) => contains(elements, &values[0]),
                _ => Some(found.as_str()?.contains(values[0].as_str()?)),
            },
            name => compare(found, &values[0]).map(|order| match name {
                "lt" => order.is_lt(),
                "lte" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            }),
        }
    }
}

/// contract P7: values of one type are comparable, and null with any.
fn equal(a: &Value, b: &Value) -> Truth {
    match (a, b) {
        (Value::Null, _) | (_, Value::Null) => Some(a == b),
        (Value::Bool(a), Value::Bool(b)) => Some(a == b),
        _ => compare(a, b).map(Ordering::is_eq),
    }
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.as_str().cmp(b)),
        // All are integers, and the large ones are spelt without a point.
        (Value::Number(a), Value::Number(b)) => {
            let whole = |number: &serde_json::Number| match number.as_i64() {
                Some(whole) => whole.to_string(),
                None => format!("{}", number.as_f64().expect("a number")),
            };
            let [a, b] = [a, b].map(|number| whole(number).parse::<i64>().expect("a whole number"));
            Some(a.cmp(&b))
        }
        _ => None,
    }
}

/// The operator `in`. A list without any comparable element is undecidable.
fn among(found: &Value, list: &[Value]) -> Truth {
    if list.iter().any(|value| equal(value, found) == Some(true)) {
        return Some(true);
    }
    let same_type =
        |value: &&Value| std::mem::discriminant(*value) == std::mem::discriminant(found);
    let decides = found.is_null()
        || list.iter().all(Value::is_null)
        || list.iter().any(|value| same_type(&value));
    decides.then_some(false)
}

fn contains(elements: &[Value], wanted: &Value) -> Truth {
    if elements.iter().any(|element| equal(element, wanted) == Some(true)) {
        return Some(true);
    }
    let same_type =
        |value: &&Value| std::mem::discriminant(*value) == std::mem::discriminant(wanted);
    elements.iter().any(|element| same_type(&element)).then_some(false)
}

/// A scalar, or a short list of them.
fn argument() -> impl Strategy<Value = String> {
    let list = vec(select(SCALARS.to_vec()), 0..4).prop_map(|list| format!("[{}]", list.join(",")));
    prop_oneof![2 => select(SCALARS.to_vec()).prop_map(str::to_owned), 1 => list]
}

/// Arguments with keys that the paths below name, in the right case and in a wrong one.
fn any_arguments() -> impl Strategy<Value = String> {
    let key = select(vec!["\"x\"", "\"X\"", "\"y\""]).prop_map(str::to_owned);
    text::object(vec((key, text::value()), 0..4))
}

const PATHS: [&str; 7] =
    ["args", "args.x", "args.x.y", "args.x[0]", "args.x[*]", "args.x[*][*]", "args[*].x"];

/// Pairs of operators, of which one holds if the other fails.
const OPPOSITES: [(&str, &str); 4] =
    [("eq", "neq"), ("lt", "gte"), ("lte", "gt"), ("in", "not_in")];

/// The results of `require` and `deny_if` for a condition.
fn judge(path: &str, test: Test, arguments: &str) -> (bool, bool) {
    let mut scratch = Scratch::default();
    let arguments = Arguments::read(&mut Reader::new(arguments, MAX_DEPTH, &mut scratch));
    let arguments = arguments.expect("arguments");
    let condition = Condition { path: ArgPath::parse(path).expect("a path"), test };
    let work = &mut Work::of_decision();
    let surely = condition.surely_holds(&arguments, work, |_, _| ()).expect("little work");
    let maybe = condition.may_hold(&arguments, work, |_, _| ()).expect("little work");
    (surely.holds, maybe.holds)
}

/// A condition of a policy file.
fn written(op: &Op) -> String {
    let value = match op.name {
        "in" | "not_in" => format!("[{}]", op.values.join(",")),
        _ => op.values[0].to_owned(),
    };
    format!(r#"{{"path":"args.x","op":"{}","value":{value}}}"#, op.name)
}

proptest! {
    #![proptest_config(crate::properties::cases(3000))]

    /// If the check says that two conditions never hold together, no argument satisfies both.
    #[test]
    fn conditions_reported_as_contradictory_never_hold_together(
        one in op(), other in op(), argument in text::maybe(argument()), deny in any::<bool>(),
    ) {
        let list = if deny { "deny_if" } else { "require" };
        let conditions = format!("{},{}", written(&one), written(&other));
        let rule = format!(r#"{{"{list}":[{{"conditions":[{conditions}]}}]}}"#);
        let file = format!(r#"{{"version":"1","default":"deny","tools":{{"t":{rule}}}}}"#);
        let policy = compile(file.as_bytes()).expect("a policy");
        let warned = lint(&file, &policy).iter().any(|warning| warning.kind == WarningKind::NeverHolds);
        let given = argument.map(|text| format!("\"x\":{text}")).unwrap_or_default();
        let arguments = format!("{{{given}}}");
        let holds = [one, other].iter().all(|op| judge("args.x", op.test(), &arguments).0);
        prop_assert!(!(warned && holds), "{} with {}", file, arguments);
    }

    /// contract P7, P8: `require` and `deny_if` differ only for undecidable values, and doubt goes against the call.
    #[test]
    fn one_value_is_judged_by_the_table(
        op in op(), argument in text::maybe(argument()), beside in any::<u8>(),
    ) {
        // Sometimes under a key of another case, too: then the result is undecidable.
        let doubt = beside < 20;
        let other = if doubt { "\"X\":1" } else { "\"xx\":1" };
        let given = argument.as_ref().map(|text| format!("\"x\":{text},")).unwrap_or_default();
        let arguments = format!("{{{given}{other}}}");
        let value = argument.map(|text| serde_json::from_str::<Value>(&text).expect("JSON"));
        let truth = op.truth(value.as_ref()).filter(|_| !doubt);
        let expected = (truth == Some(true), truth != Some(false));
        prop_assert_eq!(judge("args.x", op.test(), &arguments), expected);
    }

    /// contract P6: with `[*]` a `require` condition must hold for every match, a `deny_if` condition for any; no match
    /// counts as absent.
    #[test]
    fn many_values_are_judged_one_by_one(
        op in op(), list in vec(argument(), 0..4), as_object in any::<bool>(),
    ) {
        let arguments = if as_object {
            let members = list.iter().enumerate();
            let members = members.map(|(nth, value)| format!("\"k{nth}\":{value}"));
            format!("{{\"x\":{{{}}}}}", members.collect::<Vec<_>>().join(","))
        } else {
            format!("{{\"x\":[{}]}}", list.join(","))
        };
        let truth = |text: &String| op.truth(Some(&serde_json::from_str(text).expect("JSON")));
        let mut truths: Vec<Truth> = list.iter().map(truth).collect();
        if truths.is_empty() {
            truths.push(op.truth(None));
        }
        let every = truths.iter().all(|truth| *truth == Some(true));
        let some = truths.iter().any(|truth| *truth != Some(false));
        prop_assert_eq!(judge("args.x[*]", op.test(), &arguments), (every, some));
    }

    /// contract P5–P8: for any arguments and path, a condition that surely holds also may hold, and a condition and its
    /// opposite never both surely hold.
    #[test]
    fn conditions_that_surely_hold_may_hold(
        mut op in op(), arguments in any_arguments(), path in select(PATHS.to_vec()),
    ) {
        let (surely, may) = judge(path, op.test(), &arguments);
        prop_assert!(may || !surely);
        if let Some((_, opposite)) = OPPOSITES.iter().find(|(name, _)| *name == op.name) {
            op.name = opposite;
            prop_assert!(!(surely && judge(path, op.test(), &arguments).0));
        }
    }
}
