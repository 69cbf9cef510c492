//! A digest of a JSON value. Equal values have equal digests: the order of keys, escapes and the spelling of numbers do
//! not count (contract W4).

use std::hash::{BuildHasher as _, DefaultHasher, Hasher as _, RandomState};

use smallvec::{SmallVec, smallvec};

use super::decimal::is_plain_integer;
use super::value::{Kind, Str, Value, proved_string_len};
use crate::engine::work::{TooCostly, Work, steps};

/// Ends a string: a byte that never occurs in UTF-8.
const END: u8 = 0xFF;

/// The most steps that one digest may take (contract 3.5): enough for 64 MiB of arguments in few values, or about 8 MiB
/// of the smallest values.
const MOST: u64 = 100_000_000;

/// Steps for one value, bracket or key, in addition to its bytes.
const TOKEN: u64 = 16;

/// The digest of a value under a name; `None` if it would take too many steps. The hash is keyed, so nobody outside can
/// construct two values that collide.
pub(in crate::engine) fn digest(keyed: &RandomState, name: &str, value: Value<'_>) -> Option<u64> {
    digest_within(keyed, name, value, &mut Work::of(MOST))
}

fn digest_within(
    keyed: &RandomState,
    name: &str,
    value: Value<'_>,
    work: &mut Work,
) -> Option<u64> {
    let mut state = keyed.build_hasher();
    state.write(name.as_bytes());
    state.write_u8(END);
    let mut digester = Digester { keyed, states: smallvec![state], open: SmallVec::new() };
    digester.read(value.text(), work).ok()?;
    digester.states.pop().map(|state| state.finish())
}

/// The digest of a string.
pub(in crate::engine) fn digest_of_string(keyed: &RandomState, string: Str<'_>) -> u64 {
    let mut state = keyed.build_hasher();
    write_string(&mut state, string);
    state.finish()
}

/// One pass over validated JSON, iterative at any depth.
struct Digester<'k> {
    keyed: &'k RandomState,
    /// The hash of what was read so far, and above it one for each member being read.
    states: SmallVec<[DefaultHasher; 4]>,
    /// The open containers.
    open: SmallVec<[Container; 4]>,
}

enum Container {
    Array,
    /// The members so far. Their sum does not depend on the order; each term is a keyed hash that nobody outside can
    /// know.
    Object {
        members: u64,
        sum: u64,
        has_key: bool,
    },
}

impl Digester<'_> {
    fn read(&mut self, text: &str, work: &mut Work) -> Result<(), TooCostly> {
        let bytes = text.as_bytes();
        let mut at = 0_usize;
        while let Some(byte) = bytes.get(at) {
            let rest = bytes.get(at..).unwrap_or_default();
            let length = match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => 1,
                b'"' => proved_string_len(rest),
                b'{' | b'}' | b'[' | b']' => {
                    work.take(TOKEN)?;
                    self.bracket(*byte);
                    1
                }
                _ => rest.iter().take_while(|byte| !b" \t\n\r,]}".contains(byte)).count(),
            };
            let end = at.saturating_add(length.max(1));
            if length > 1 || byte.is_ascii_digit() {
                work.take(TOKEN.saturating_add(steps(length)))?;
                let value = Value::proved(text.get(at..end).unwrap_or_default());
                self.scalar(value, *byte == b'"');
            } else {
                work.take(1)?;
            }
            at = end;
        }
        Ok(())
    }

    /// Hashes a scalar, or begins a member at its key.
    fn scalar(&mut self, value: Value<'_>, is_string: bool) {
        if let Some(Container::Object { has_key: has_key @ false, .. }) = self.open.last_mut()
            && is_string
            && let Some(key) = value.as_str()
        {
            *has_key = true;
            let mut own = self.keyed.build_hasher();
            write_string(&mut own, key);
            self.states.push(own);
            return;
        }
        if let Some(state) = self.states.last_mut() {
            write_scalar(state, value);
        }
        self.end_value();
    }

    fn bracket(&mut self, bracket: u8) {
        match bracket {
            b'{' => self.open.push(Container::Object { members: 0, sum: 0, has_key: false }),
            b'[' => self.open.push(Container::Array),
            _ => {}
        }
        let closed = if matches!(bracket, b'}' | b']') { self.open.pop() } else { None };
        if let Some(state) = self.states.last_mut() {
            match &closed {
                // The brace is written with the members, once they are complete.
                None if bracket == b'{' => {}
                Some(Container::Object { members, sum, .. }) => {
                    state.write_u8(b'{');
                    state.write_u64(*members);
                    state.write_u64(*sum);
                }
                Some(Container::Array) | None => state.write_u8(bracket),
            }
        }
        if closed.is_some() {
            self.end_value();
        }
    }

    /// Completes the member that the value belongs to, if there is one.
    fn end_value(&mut self) {
        if let Some(Container::Object { members, sum, has_key }) = self.open.last_mut()
            && let Some(own) = self.states.pop()
        {
            *sum = sum.wrapping_add(own.finish());
            *members = members.wrapping_add(1);
            *has_key = false;
        }
    }
}

fn write_scalar(state: &mut DefaultHasher, value: Value<'_>) {
    // Most numbers are spelt in canonical form.
    if is_plain_integer(value.text()) {
        state.write_u8(b'0');
        state.write(value.text().as_bytes());
        return state.write_u8(END);
    }
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
        // Brackets are handled separately.
        Kind::Array | Kind::Object => {}
    }
}

fn write_string(state: &mut DefaultHasher, string: Str<'_>) {
    string.wtf8_in_pieces(&mut |piece| state.write(piece));
    state.write_u8(END);
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::{MOST, digest, digest_within};
    use crate::engine::json::reader::{KeyRule, MAX_DEPTH, Reader, Scratch};
    use crate::engine::json::value::Value;
    use crate::engine::work::Work;

    #[test]
    fn only_equal_values_have_equal_digests() {
        let long = "x".repeat(1000);
        let groups: [&[&str]; 15] = [
            &[
                r#"{"a":1,"b":[true,null]}"#,
                r#"{ "b" : [ true , null ], "\u0061": 1.0 }"#,
                r#"{"b":[true,null],"a":10e-1}"#,
            ],
            &[r#"{"a":"\u00e9\n"}"#, "{\"a\":\"é\\u000A\"}"],
            &[r#"{"a":0}"#, r#"{"a":-0.0e7}"#],
            &[r#"{"a":120}"#, r#"{"a":1.2e2}"#, r#"{"a":120.0}"#],
            &[r#"{"a":"0"}"#],
            &[r#"{"a":[1,2]}"#],
            &[r#"{"a":[2,1]}"#],
            &[r#"{"a":[12]}"#],
            &[r#"{"a":{"b":1},"c":2}"#],
            &[r#"{"a":{"b":1,"c":2}}"#],
            &[r#"{"a":"\ud83d"}"#],
            &[r#"{"a":"\ud83d\ude00"}"#, "{\"a\":\"😀\"}"],
            &["{}", " { } "],
            &["[1e9223372036854775806]"],
            &["[10e9223372036854775806]"],
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
                digest(&keyed, "t", value.expect("JSON")).expect("a digest")
            });
            let digests: Vec<u64> = digests.collect();
            assert!(digests.iter().all(|digest| *digest == digests[0]), "{group:?}");
            assert!(!seen.contains(&digests[0]), "{group:?}");
            seen.push(digests[0]);
        }
    }

    /// contract 3.5: values are read once at any depth; a value that costs too much has no digest.
    #[test]
    fn a_digest_stays_within_its_work_limit() {
        let keyed = RandomState::new();
        let deep = |inside: &str| format!("{}{inside}{}", r#"{"a":"#.repeat(500), "}".repeat(500));
        let taken = |text: &str, most: u64| {
            let mut work = Work::of(most);
            let digest = digest_within(&keyed, "t", Value::proved(text), &mut work);
            digest.map(|_| work.spent())
        };
        let ones = deep(&format!("[{}1]", "1,".repeat(10_000)));
        let spent = taken(&ones, MOST).expect("within its allowance");
        assert!(spent < 40 * ones.len() as u64, "{spent} for {} bytes", ones.len());
        assert_eq!(taken(&ones, spent - 1), None);
        let long = deep(&format!("\"{}\"", "x".repeat(1_000_000)));
        assert!(taken(&long, MOST).expect("within its allowance") < 2 * long.len() as u64);
    }
}
