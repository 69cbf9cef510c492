//! Exact decimals (contract P7, P10), and ids that are matched by their value (contract W4).

use std::cmp::Ordering;

use callgate::engine::json::decimal::Decimal;
use callgate::engine::wire::frame::read_id;
use proptest::prelude::{Strategy, prop_assert_eq, prop_oneof};
use proptest::proptest;

use super::text;
use crate::fuzzing::peer;

/// Numbers that are often equal but spelt differently.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][01]{0,3})(\\.[01]{1,3})?([eE][+-]?0?[0-3])?",
        "-?(0|[1-9][0-9]{0,44})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?",
        "-?(0|[1-9])(\\.[0-9]{1,2})?[eE][+-]?3[0-9]{2}",
    ]
}

/// Two numbers; half of the time the same one in two spellings.
fn two_numbers() -> impl Strategy<Value = (String, String)> {
    let respelled = (number(), 0..4_u8).prop_map(|(number, how)| {
        let again = respell(&number, how);
        (number, again)
    });
    prop_oneof![(number(), number()), respelled]
}

/// The same number in another spelling.
fn respell(number: &str, how: u8) -> String {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().expect("an exponent");
    let places = i32::try_from(part.len()).expect("a few digits");
    let digits = whole.trim_start_matches('-').trim_start_matches('0').to_owned() + part;
    let sign = if whole.starts_with('-') { "-" } else { "" };
    match how {
        0 => format!("{whole}.{part}0e{exponent}"),
        1 => format!("{sign}0.00{digits}E{}", exponent - places + 2 + length(&digits)),
        2 if digits.starts_with(|c: char| c != '0') => {
            format!("{sign}{digits}00e{:+}", exponent - places - 2)
        }
        _ => format!("{whole}.{part}00E{exponent:+03}"),
    }
}

fn length(digits: &str) -> i32 {
    i32::try_from(digits.len()).expect("a few digits")
}

/// A number as a sign and an integer count of 10^-[`PLACES`], written out.
#[derive(Debug, PartialEq, Eq)]
struct Naive {
    negative: bool,
    digits: String,
}

/// More places than any generated number has.
const PLACES: i32 = 500;

impl Naive {
    fn read(text: &str) -> Self {
        let magnitude = text.trim_start_matches('-');
        let (mantissa, exponent) = magnitude.split_once(['e', 'E']).unwrap_or((magnitude, "0"));
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent: i32 = exponent.parse().expect("an exponent");
        let zeros = PLACES + exponent - i32::try_from(part.len()).expect("a few digits");
        let zeros = "0".repeat(usize::try_from(zeros).expect("places enough"));
        let digits = format!("{whole}{part}{zeros}").trim_start_matches('0').to_owned();
        Naive { negative: text.starts_with('-') && !digits.is_empty(), digits }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let by_size =
            || (self.digits.len(), &self.digits).cmp(&(other.digits.len(), &other.digits));
        match (self.negative, other.negative) {
            (false, false) => by_size(),
            (true, true) => by_size().reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }

    /// The number in units of 10^-9, if that is an integer below 2^128.
    fn nanos(&self) -> Option<u128> {
        let dropped = usize::try_from(PLACES - 9).expect("places enough");
        let Some(kept) = self.digits.len().checked_sub(dropped) else {
            return self.digits.is_empty().then_some(0);
        };
        let (whole, part) = self.digits.split_at(kept);
        let exact = part.bytes().all(|digit| digit == b'0');
        if whole.is_empty() {
            return (exact && part.is_empty()).then_some(0);
        }
        whole.parse().ok().filter(|_| exact)
    }
}

proptest! {
    #![proptest_config(super::cases(2000))]

    /// contract P7: numbers of any length compare exactly.
    #[test]
    fn numbers_compare_as_written_out((a, b) in two_numbers()) {
        let expected = Naive::read(&a).compare(&Naive::read(&b));
        prop_assert_eq!(Decimal::read(&a).cmp(&Decimal::read(&b)), expected);
        prop_assert_eq!(Decimal::read(&a) == Decimal::read(&b), expected.is_eq());
        prop_assert_eq!(Decimal::read(&a).is_negative(), Naive::read(&a).negative);
        prop_assert_eq!(Decimal::read(&a).is_zero(), Naive::read(&a).digits.is_empty());
    }

    /// contract W4: equal values have the same canonical text, and different values different ones.
    #[test]
    fn canonical_texts_are_equal_for_equal_numbers_only((a, b) in two_numbers()) {
        let (one, two) = (Decimal::read(&a).canonical(), Decimal::read(&b).canonical());
        prop_assert_eq!(one == two, Naive::read(&a) == Naive::read(&b), "{} {}", one, two);
        prop_assert_eq!(Naive::read(&one), Naive::read(&a), "the canonical text is another number");
    }

    /// contract P10: an amount is exact, or refused.
    #[test]
    fn amounts_are_exact_or_nothing(a in number()) {
        prop_assert_eq!(Decimal::read(&a).scaled(9), Naive::read(&a).nanos());
    }

    /// contract P8: a number is beyond a double if `serde_json` rejects it, or reads it as zero though it is not.
    #[test]
    fn doubles_hold_the_numbers_that_serde_json_reads(a in number()) {
        let double = serde_json::from_str::<f64>(&a).ok();
        let lost = double.is_none_or(|double| double == 0.0 && !Naive::read(&a).digits.is_empty());
        prop_assert_eq!(Decimal::read(&a).is_beyond_double(), lost);
    }

    /// contract W4: ids are matched by value; a number is never a string.
    #[test]
    fn ids_have_one_key_for_equal_values_only(
        (a, b) in prop_oneof![
            2 => two_numbers(),
            1 => (text::string(), text::string()),
            1 => (text::string(), number()),
        ],
    ) {
        let keys = [&a, &b].map(|id| read_id(id).expect("an id").key().into_owned());
        let equal = match (a.starts_with('"'), b.starts_with('"')) {
            (false, false) => Naive::read(&a) == Naive::read(&b),
            (true, true) => peer::string(&a) == peer::string(&b),
            _ => false,
        };
        prop_assert_eq!(keys[0] == keys[1], equal);
    }
}
