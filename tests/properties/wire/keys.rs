//! Duplicate keys in lists of mostly similar objects: none is missed, and none is reported wrongly (contract W3, W6).

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::proptest;
use proptest::sample::{Index, select, subsequence};
use proptest::strategy::BoxedStrategy;

use crate::fuzzing::frame::check;

/// Keys with the same first bytes, about as long as one or two machine words.
const KEYS: [&str; 17] = [
    "",
    "a",
    "b",
    "prefix_",
    "prefix_a",
    "prefix_b",
    "prefix_ab",
    "prefix_ba",
    "prefix_abcdef",
    "prefix_abcdefg",
    "prefix_abcdefh",
    "prefix_abcdefgh",
    "prefix_abcdefgh, and so on",
    "prefix_abcdefgh, and so no",
    "é",
    r"\u0061",
    r"prefix_\u0061",
];

/// A difference between an object and the one before it.
#[derive(Debug, Clone)]
enum Change {
    Nothing,
    /// A key repeated in another place, perhaps in another spelling.
    Twice(Index, Index, bool),
    /// Two keys swapped.
    Swapped(Index, Index),
    /// The same key in another spelling.
    Respelt(Index),
    Dropped(Index),
    /// White space around a key.
    Spaced(Index),
}

impl Change {
    fn apply(self, keys: &mut Vec<String>) {
        let Some(last) = keys.len().checked_sub(1) else { return };
        match self {
            Change::Nothing => {}
            Change::Twice(from, to, respelt) => {
                let key = from.get(keys.as_slice()).clone();
                keys.insert(to.index(last + 2), if respelt { respell(&key) } else { key });
            }
            Change::Swapped(one, other) => keys.swap(one.index(last + 1), other.index(last + 1)),
            Change::Respelt(nth) => {
                let key = &mut keys[nth.index(last + 1)];
                *key = respell(key);
            }
            Change::Dropped(nth) => drop(keys.remove(nth.index(last + 1))),
            Change::Spaced(nth) => {
                let key = &mut keys[nth.index(last + 1)];
                *key = format!(" {key} ");
            }
        }
    }
}

/// The same key in another spelling: its last character escaped, if it has one.
fn respell(key: &str) -> String {
    let mut plain: String = serde_json::from_str(key).expect("a key is a string");
    if key.contains('\\') {
        return format!("\"{plain}\"");
    }
    plain.pop().map_or(key.to_owned(), |last| format!("\"{plain}\\u{:04x}\"", u32::from(last)))
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<Index>;
    prop_oneof![
        10 => select(vec![Change::Nothing]),
        2 => (place(), place(), any::<bool>()).prop_map(|(from, to, e)| Change::Twice(from, to, e)),
        1 => (place(), place()).prop_map(|(one, other)| Change::Swapped(one, other)),
        1 => place().prop_map(Change::Respelt),
        1 => place().prop_map(Change::Dropped),
        1 => place().prop_map(Change::Spaced),
    ]
}

/// Keys in their quotes: a few similar ones, or very many.
fn keys() -> impl Strategy<Value = Vec<String>> {
    let quoted = |key: &str| format!("\"{key}\"");
    prop_oneof![
        6 => subsequence(KEYS.to_vec(), 0..=9)
            .prop_shuffle()
            .prop_map(move |keys| keys.into_iter().map(quoted).collect()),
        1 => (10..90_usize).prop_map(|count| (0..count).map(|n| format!("\"k{n}\"")).collect()),
    ]
}

/// A list of objects, each like the one before except for its changes; some of them contain `inner`.
fn list(inner: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let value = prop_oneof![4 => select(vec!["1", "\"a\"", "{}", "[]"]).prop_map(str::to_owned), 1 => inner];
    (keys(), vec((change(), value, any::<Index>()), 1..6))
        .prop_map(|(mut keys, objects)| {
            let objects = objects.into_iter().map(|(change, value, place)| {
                change.apply(&mut keys);
                let at = if keys.is_empty() { 0 } else { place.index(keys.len()) };
                let value_at = |nth| if nth == at { value.as_str() } else { "0" };
                let members =
                    keys.iter().enumerate().map(|(nth, k)| format!("{k}:{}", value_at(nth)));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            });
            format!("[{}]", objects.collect::<Vec<_>>().join(","))
        })
        .boxed()
}

proptest! {
    #![proptest_config(crate::properties::cases(2000))]

    #[test]
    fn duplicate_keys_are_found_in_lists_of_similar_objects(
        list in list(list(select(vec!["0".to_owned()]).boxed())), frame in 0..5_usize,
    ) {
        let line = match frame {
            0 => list,
            1 => format!(r#"{{"id":1,"method":"tools/call","params":{{"name":"a","arguments":{{"list":{list}}}}}}}"#),
            2 => format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":{list}}}}}"#),
            3 => format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":{list},"tools":{list}}}}}"#),
            _ => format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{list},1,{{"a":{list}}}]}}}}"#),
        };
        check(&[b"\0", line.as_bytes()].concat());
    }
}
