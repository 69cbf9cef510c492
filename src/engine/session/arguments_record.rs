//! What is recorded of a call's arguments: their names and, with `--audit-args`, their values, both bounded (contract S3).
//!
//! A caller may add as many arguments as it likes, of any length. What the policy's rules look at comes first, and every
//! value has its share of the line, so that invented arguments push nothing out.

use super::audit_record::ArgumentsRecord;
use crate::engine::json::arguments::Arguments;
use crate::engine::json::value::{Kind, Member, Str, Value};
use crate::engine::policy::path::{ArgPath, Named, NamedKeys};
use crate::engine::work::{Work, steps};

/// The most keys that are recorded.
const MAX_KEYS: usize = 64;
/// The most bytes of one key.
const MAX_KEY_BYTES: usize = 64;
/// The most bytes of a string value.
const MAX_STRING_BYTES: usize = 256;
/// About the most bytes of all values together.
const MAX_VALUE_BYTES: usize = 16 * 1024;
/// The least share of a value, in bytes.
const LEAST_BYTES: usize = 8;
/// How many levels of a value are recorded that is too long for its share and that no rule looks into: each level costs a
/// walk over all of it.
const MAX_DEPTH: usize = 3;

/// The most work that all values take together: each level of nesting is walked anew.
const MAX_WORK: u64 = 50_000_000;

/// Work to look one key up among the names in the policy's rules, and to copy and sort in one that may be recorded.
const LOOK_UP: u64 = 32;
const COPY: u64 = 256;

/// Marks what was cut.
const CUT: &str = "…";

/// True if not everything fits into a record, so that the names in the policy's rules matter.
#[must_use]
pub fn is_crowded(arguments: &Arguments<'_>, with_values: bool) -> bool {
    arguments.has_more_than(MAX_KEYS) || with_values && arguments.text().len() > MAX_VALUE_BYTES
}

/// Records these arguments: at most 64 names, each of at most 64 bytes, and their values if `with_values`: strings cut to
/// 256 bytes, and some 16 KiB in all. `…` stands in the place of what was left out. What the paths of the policy's rules
/// lead to comes first.
pub fn excerpt<'p>(
    arguments: &Arguments<'_>,
    with_values: bool,
    paths: impl Iterator<Item = &'p ArgPath>,
) -> ArgumentsRecord {
    let named = &Named::of(paths);
    let (members, count) = chosen(arguments, named, &mut RecordAllowance::default());
    let more = count.saturating_sub(members.len());
    let values = with_values.then(|| {
        let mut out = String::new();
        let mut work = Work::of(MAX_WORK);
        let members: Vec<_> = members.iter().map(|(_, member)| *member).collect();
        object(&mut out, &members, more > 0, named, MAX_VALUE_BYTES, MAX_DEPTH, &mut work);
        out
    });
    let keys = members.into_iter().map(|(key, _)| key).collect();
    ArgumentsRecord { keys, more_keys: more as u64, values }
}

/// The work that choosing the arguments may take.
#[derive(Debug)]
struct RecordAllowance {
    /// For those that rules name. Others do not use it up.
    named: Work,
    /// For the others.
    others: Work,
}

impl Default for RecordAllowance {
    fn default() -> Self {
        RecordAllowance { named: Work::of_decision(), others: Work::of(MAX_WORK) }
    }
}

/// The members that are recorded, behind their names as they are shown, and how many there are in all. Where the
/// allowance ends, members are only counted.
fn chosen<'a>(
    arguments: &Arguments<'a>,
    named: &Named<'_>,
    allowance: &mut RecordAllowance,
) -> (Vec<(String, Member<'a>)>, usize) {
    let names = named.names();
    let mut first: Vec<(String, Member<'_>)> = Vec::new();
    let mut others: Vec<(String, Member<'_>)> = Vec::new();
    let mut count = 0_usize;
    for member in arguments.members() {
        count = count.saturating_add(1);
        // Of a policy that names more than are recorded, the first ones.
        if first.len() < MAX_KEYS && is_named(member, &names, &mut allowance.named) {
            first.push((cut(member.key, MAX_KEY_BYTES), member));
            continue;
        }
        let work = COPY.saturating_add(steps(member.key.raw().len()));
        if allowance.others.take(work).is_err() {
            continue;
        }
        others.push((cut(member.key, MAX_KEY_BYTES), member));
        // Sorted now and then, so that a million of them take no more room than a few.
        if others.len() >= 2 * MAX_KEYS {
            sort(&mut others);
        }
    }
    sort(&mut first);
    sort(&mut others);
    first.append(&mut others);
    first.truncate(MAX_KEYS);
    (first, count)
}

/// True if rules name the member, and the work that is left suffices to find out.
fn is_named(member: Member<'_>, names: &NamedKeys<'_>, work: &mut Work) -> bool {
    let cost = LOOK_UP.saturating_add(steps(member.key.raw().len()));
    !names.is_empty() && work.take(cost).is_ok() && names.has(member.key)
}

fn sort(members: &mut Vec<(String, Member<'_>)>) {
    members.sort_by(|(a, _), (b, _)| a.cmp(b));
    members.truncate(MAX_KEYS);
}

/// Writes members of an object into so much `room`; there may be more of them.
fn object(
    out: &mut String,
    members: &[Member<'_>],
    has_more: bool,
    named: &Named<'_>,
    room: usize,
    depth: usize,
    work: &mut Work,
) {
    let keys: Vec<String> =
        members.iter().map(|member| cut(member.key, MAX_STRING_BYTES)).collect();
    let names: usize = keys.iter().map(|key| key.len().saturating_add(4)).sum();
    let lengths = members.iter().map(|member| member.value.text().len());
    let share = share(lengths.collect(), room.saturating_sub(names));
    let mut between = "{";
    for (key, member) in keys.iter().zip(members) {
        out.push_str(between);
        between = ",";
        push_string(out, key);
        out.push(':');
        let can_look = work.take(steps(named.count())).is_ok();
        let below = if can_look { named.below(member.key) } else { Named::default() };
        value(out, member.value, &below, share, depth, work);
    }
    out.push_str(match (has_more, between) {
        (true, "{") => r#"{"…":"…"}"#,
        (true, _) => r#","…":"…"}"#,
        (false, "{") => "{}",
        (false, _) => "}",
    });
}

/// Writes the first elements of an array into so much `room`.
fn array(
    out: &mut String,
    item: Value<'_>,
    named: &Named<'_>,
    room: usize,
    depth: usize,
    work: &mut Work,
) {
    let most = room.div_ceil(LEAST_BYTES).max(1);
    let mut elements: Vec<Value<'_>> = item.elements().take(most.saturating_add(1)).collect();
    let has_more = elements.len() > most;
    elements.truncate(most);
    let share = share(elements.iter().map(|element| element.text().len()).collect(), room);
    let named = named.each();
    let mut between = "[";
    for element in elements {
        out.push_str(between);
        between = ",";
        value(out, element, &named, share, depth, work);
    }
    out.push_str(match (has_more, between) {
        (true, _) => r#","…"]"#,
        (false, "[") => "[]",
        (false, _) => "]",
    });
}

/// Writes a value into so much `room`, more or less. What fits is written as it is, however deep: a frame goes no
/// deeper than 512.
fn value(
    out: &mut String,
    item: Value<'_>,
    named: &Named<'_>,
    room: usize,
    depth: usize,
    work: &mut Work,
) {
    let is_long = item.text().len() > room;
    let below = if is_long { depth.saturating_sub(1) } else { depth };
    match item.kind() {
        Kind::Object | Kind::Array
            if is_long && depth == 0 && named.is_empty()
                || work.walk(item.text().len()).is_err() =>
        {
            push_string(out, CUT);
        }
        Kind::Object => {
            let most = room.div_ceil(LEAST_BYTES).max(1);
            let (members, has_more) = first_members(item, named, most, work);
            object(out, &members, has_more, named, room, below, work);
        }
        Kind::Array => array(out, item, named, room, below, work),
        Kind::String(text) => push_string(out, &cut(text, MAX_STRING_BYTES.min(room))),
        Kind::Number(_) if item.text().len() > MAX_STRING_BYTES => push_string(out, CUT),
        Kind::Number(_) | Kind::Null | Kind::Bool(_) => out.push_str(item.text()),
    }
}

/// The members of an object that are named, and then others, so many in all; true if there are more. Where the work
/// ends, no more are looked for.
fn first_members<'a>(
    item: Value<'a>,
    named: &Named<'_>,
    most: usize,
    work: &mut Work,
) -> (Vec<Member<'a>>, bool) {
    let can_look = work.take(steps(named.count()).saturating_mul(LOOK_UP)).is_ok();
    let names = if can_look { named.names() } else { Named::default().names() };
    let (mut first, mut others) = (Vec::new(), Vec::new());
    let mut has_more = false;
    for member in item.members() {
        if first.len() < most && is_named(member, &names, work) {
            first.push(member);
        } else if others.len() < most {
            others.push(member);
        } else {
            has_more = true;
            if names.is_empty() || work.left() == 0 || first.len() == most {
                break;
            }
        }
    }
    first.append(&mut others);
    has_more |= first.len() > most;
    first.truncate(most);
    (first, has_more)
}

/// How much each of several values may take of `room`: what short ones leave is for the long ones.
fn share(mut lengths: Vec<usize>, room: usize) -> usize {
    lengths.sort_unstable();
    let mut left = room;
    for (nth, length) in lengths.iter().enumerate() {
        let those = lengths.len().saturating_sub(nth);
        let share = left.checked_div(those).unwrap_or_default();
        if *length > share {
            return share.max(LEAST_BYTES);
        }
        left = left.saturating_sub(*length);
    }
    room.max(LEAST_BYTES)
}

/// A text of at most `max` bytes, which ends with `…` if more was there.
fn cut(text: Str<'_>, max: usize) -> String {
    let text = text.decode_lossy();
    if text.len() <= max {
        return text.into_owned();
    }
    let end = text.floor_char_boundary(max.saturating_sub(CUT.len()));
    [text.get(..end).unwrap_or_default(), CUT].concat()
}

fn push_string(out: &mut String, text: &str) {
    // Nothing in a string can fail to be JSON.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MAX_VALUE_BYTES, RecordAllowance, chosen, excerpt, is_crowded};
    use crate::engine::json::arguments::Arguments;
    use crate::engine::policy::path::{ArgPath, Named};
    use crate::engine::work::Work;

    fn recorded(arguments: &Value, paths: &[&str]) -> (Vec<String>, u64, Value) {
        let text = arguments.to_string();
        let arguments = Arguments::parse(&text).unwrap();
        let paths: Vec<ArgPath> = paths.iter().map(|path| ArgPath::parse(path).unwrap()).collect();
        let made = excerpt(&arguments, true, paths.iter());
        let values = made.values.unwrap();
        assert!(values.len() < 2 * MAX_VALUE_BYTES, "{} bytes", values.len());
        assert!(is_crowded(&arguments, true) || made.more_keys == 0);
        (made.keys, made.more_keys, serde_json::from_str(&values).unwrap())
    }

    fn crowd(prefix: &str, count: usize, value: &Value) -> serde_json::Map<String, Value> {
        (0..count).map(|nth| (format!("{prefix}{nth:02}"), value.clone())).collect()
    }

    /// contract S3: what the policy's rules name comes first; what is missing is counted.
    #[test]
    fn made_up_arguments_keep_nothing_out() {
        for filling in [json!(1), json!("x".repeat(1000)), json!(vec!["y"; 900])] {
            let mut arguments = crowd("!", 70, &filling);
            arguments.insert("to".into(), json!("bob"));
            arguments.insert("amount".into(), json!(5000));
            let arguments = Value::Object(arguments);
            let (keys, more, values) = recorded(&arguments, &["args.to", "args.amount"]);
            assert_eq!(keys[..3], ["amount", "to", "!00"]);
            assert_eq!((keys.len(), more), (64, 8));
            assert_eq!((&values["amount"], &values["to"]), (&json!(5000), &json!("bob")));
            // A policy that names none still records how many are missing.
            let (keys, more, _) = recorded(&arguments, &[]);
            assert_eq!((keys[0].as_str(), keys.len(), more), ("!00", 64, 8));
        }
    }

    /// The same at any depth.
    #[test]
    fn made_up_members_keep_nothing_out() {
        let mut payment = crowd("!", 3000, &json!("junk"));
        payment.insert("amount".into(), json!(5000));
        let nested = json!({ "a": { "b": { "c": { "d": [payment.clone()] } } } });
        for (arguments, path, place) in [
            (json!({ "payment": payment }), "args.payment.amount", "/payment/amount"),
            (json!({ "x": [[1], payment] }), "args.x[*].amount", "/x/1/amount"),
            (nested, "args.a.b.c.d[0].amount", "/a/b/c/d/0/amount"),
        ] {
            let (_, _, values) = recorded(&arguments, &[path]);
            assert_eq!(values.pointer(place), Some(&json!(5000)), "{path}: {values}");
        }
    }

    /// Each value has its share, and what short ones leave is for the long ones.
    #[test]
    fn every_value_has_its_share() {
        let long = json!(vec!["abcdefgh"; 10_000]);
        let (_, _, values) = recorded(&json!({ "a": long, "b": long, "c": 1, "d": long }), &[]);
        for key in ["a", "b", "d"] {
            assert!(values[key].as_array().unwrap().len() > 100, "{values}");
        }
        assert_eq!(values["c"], 1);
        let deep = format!("{}{}", "[".repeat(400), "]".repeat(400));
        let deep: Value = serde_json::from_str(&format!("{{\"x\":{deep}}}")).unwrap_or_default();
        if deep.is_object() {
            assert_eq!(recorded(&deep, &[]).2, deep);
        }
    }

    /// contract S3: where the work ends, arguments are only counted; others do not use up what named ones need.
    #[test]
    fn work_that_ends_leaves_a_count() {
        let text = r#"{"z":1,"y":2,"to":3}"#;
        let arguments = Arguments::parse(text).unwrap();
        let paths = [ArgPath::parse("args.to").unwrap()];
        let keys = |named, others| {
            let mut allowance =
                RecordAllowance { named: Work::of(named), others: Work::of(others) };
            let (members, count) = chosen(&arguments, &Named::of(paths.iter()), &mut allowance);
            assert_eq!(count, 3);
            members.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(keys(1000, 1000), ["to", "y", "z"]);
        assert_eq!(keys(1000, 300), ["to", "z"]);
        assert_eq!(keys(1000, 0), ["to"]);
        assert_eq!(keys(0, 1000), ["to", "y", "z"]);
        assert_eq!(keys(0, 0), [""; 0]);
    }
}
