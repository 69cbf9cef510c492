//! Arbitrary JSON, in arbitrary spelling.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;

use crate::fuzzing::peer;

/// White space between tokens.
pub(super) fn space() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", "", "", " ", "\t", "  "])
}

/// A string in its quotes, without lone surrogates.
pub(super) fn string() -> impl Strategy<Value = String> {
    let escapes = vec![
        r"\u0041",
        r"\u0000",
        r"\n",
        r"\\",
        r"\/",
        r#"\""#,
        r"\ud83d\ude01",
        r"\u212A",
        r"\u0131",
    ];
    let letters = vec!["é", "日本", "😀", "\u{7f}", "\u{2028}", "ſ", "\u{200d}"];
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9_ /.*]{0,3}",
        1 => select(letters).prop_map(str::to_owned),
        1 => select(escapes).prop_map(str::to_owned),
    ];
    vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// A number that every parser can hold.
pub(super) fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,5})",
        r"-?(0|[1-9][0-9]{0,3})\.[0-9]{1,4}",
        "-?(0|[1-9])([eE][+-]?[0-9])?",
        select(vec!["9007199254740993", "-0", "0.1", "1e2", "100"]).prop_map(str::to_owned),
    ]
}

/// A scalar.
pub(super) fn scalar() -> BoxedStrategy<String> {
    let word = select(vec!["null", "true", "false"]).prop_map(str::to_owned);
    prop_oneof![word, number(), string()].boxed()
}

/// Any value, four levels deep at most.
pub(super) fn value() -> BoxedStrategy<String> {
    scalar()
        .prop_recursive(3, 20, 4, |inner| {
            let list = (vec(inner.clone(), 0..4), space())
                .prop_map(|(elements, space)| format!("[{space}{}]", elements.join(",")));
            prop_oneof![list, object(vec((string(), inner), 0..4))]
        })
        .boxed()
}

/// An object with these members, whose keys are in quotes; of equal keys only the first stays.
pub(super) fn object(
    members: impl Strategy<Value = Vec<(String, String)>>,
) -> impl Strategy<Value = String> {
    (members, space(), space()).prop_map(|(members, before, after)| {
        let mut seen = HashSet::new();
        let members: Vec<String> = members
            .into_iter()
            .filter(|(key, _)| seen.insert(peer::string(key)))
            .map(|(key, value)| format!("{before}{key}{after}:{before}{value}"))
            .collect();
        format!("{{{}{after}}}", members.join(","))
    })
}

/// Sometimes a value, usually nothing.
pub(super) fn maybe<T: Clone + std::fmt::Debug + 'static>(
    some: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Option<T>> {
    prop_oneof![2 => Just(None), 1 => some.prop_map(Some)]
}
