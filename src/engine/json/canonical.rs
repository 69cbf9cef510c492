//! A digest of a JSON value that is equal for equal values: the order of keys, escapes and the spelling of numbers do
//! not count (contract W4).

use std::hash::{BuildHasher as _, Hasher, RandomState};

use super::value::{Kind, Str, Value};

/// Ends a string: a byte that no UTF-8 has.
const END: u8 = 0xFF;

/// The digest of a value under a name. It is keyed: nobody outside can make two values that collide.
pub(in crate::engine) fn digest(keyed: &RandomState, name: &str, value: Value<'_>) -> u64 {
    let mut state = keyed.build_hasher();
    state.write(name.as_bytes());
    state.write_u8(END);
    write(keyed, &mut state, value);
    state.finish()
}

/// The digest of a string.
pub(in crate::engine) fn digest_of_string(keyed: &RandomState, string: Str<'_>) -> u64 {
    let mut state = keyed.build_hasher();
    write_string(&mut state, string);
    state.finish()
}

/// Goes no deeper than a frame may be: 512.
fn write(keyed: &RandomState, state: &mut impl Hasher, value: Value<'_>) {
    match value.kind() {
        Kind::Null => state.write_u8(b'n'),
        Kind::Bool(is_true) => state.write_u8(if is_true { b't' } else { b'f' }),
        Kind::String(string) => {
            state.write_u8(b'"');
            write_string(state, string);
        }
        Kind::Number(number) => {
            state.write_u8(b'0');
            number.canonical_in_pieces(&mut |piece| state.write(piece));
            state.write_u8(END);
        }
        Kind::Array => {
            state.write_u8(b'[');
            for element in value.elements() {
                write(keyed, state, element);
            }
            state.write_u8(b']');
        }
        Kind::Object => {
            // A sum does not depend on the order. Each of its terms is a keyed hash, which nobody outside knows.
            let (mut sum, mut members) = (0_u64, 0_u64);
            for member in value.members() {
                let mut own = keyed.build_hasher();
                write_string(&mut own, member.key);
                write(keyed, &mut own, member.value);
                sum = sum.wrapping_add(own.finish());
                members = members.wrapping_add(1);
            }
            state.write_u8(b'{');
            state.write_u64(members);
            state.write_u64(sum);
        }
    }
}

fn write_string(state: &mut impl Hasher, string: Str<'_>) {
    string.wtf8_in_pieces(&mut |piece| state.write(piece));
    state.write_u8(END);
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::digest;
    use crate::engine::json::reader::{KeyRule, MAX_DEPTH, Reader, Scratch};

    #[test]
    fn equal_values_have_one_digest_and_others_another() {
        let long = "x".repeat(1000);
        let groups: [&[&str]; 12] = [
            &[
                r#"{"a":1,"b":[true,null]}"#,
                r#"{ "b" : [ true , null ], "\u0061": 1.0 }"#,
                r#"{"b":[true,null],"a":10e-1}"#,
            ],
            &[r#"{"a":"\u00e9\n"}"#, "{\"a\":\"é\\u000A\"}"],
            &[r#"{"a":0}"#, r#"{"a":-0.0e7}"#],
            &[r#"{"a":"0"}"#],
            &[r#"{"a":[1,2]}"#],
            &[r#"{"a":[2,1]}"#],
            &[r#"{"a":[12]}"#],
            &[r#"{"a":{"b":1},"c":2}"#],
            &[r#"{"a":{"b":1,"c":2}}"#],
            &[r#"{"a":"\ud83d"}"#],
            &[r#"{"a":"\ud83d\ude00"}"#, "{\"a\":\"😀\"}"],
            &["{}", " { } "],
        ];
        let more = [
            vec![format!(r#"["{long}"]"#), format!(r#"["\u0078{}"]"#, &long[1..])],
            vec![format!("[1.{}]", "0".repeat(500)), "[1]".to_owned()],
        ];
        let groups =
            groups.iter().map(|group| group.iter().map(|text| (*text).to_owned()).collect());
        let groups: Vec<Vec<String>> = groups.chain(more).collect();
        let keyed = RandomState::new();
        let mut seen = Vec::new();
        for group in &groups {
            let digests = group.iter().map(|text| {
                let mut scratch = Scratch::default();
                let value = Reader::new(text, MAX_DEPTH, &mut scratch).document(KeyRule::Unique);
                digest(&keyed, "t", value.expect("JSON"))
            });
            let digests: Vec<u64> = digests.collect();
            assert!(digests.iter().all(|digest| *digest == digests[0]), "{group:?}");
            assert!(!seen.contains(&digests[0]), "{group:?}");
            seen.push(digests[0]);
        }
    }
}
