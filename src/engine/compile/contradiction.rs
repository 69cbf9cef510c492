//! Finds conditions that can never hold, alone or together. In doubt they can.

use std::cmp::Ordering;

use regex_syntax::hir::{Hir, Look};

use crate::engine::json::decimal::Decimal;
use crate::engine::json::value::Value;
use crate::engine::policy::condition::{Bound, Scalar, Test, Truth};
use crate::engine::work::Work;

/// What a value that cannot be compared counts as (contract P8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Doubt {
    /// As not holding: in `require`.
    Fails,
    /// As holding: in `deny_if` and `approval_if`.
    Holds,
}

/// Why a test holds for no value, if it holds for none.
#[must_use]
pub(in crate::engine) fn alone(test: &Test) -> Option<&'static str> {
    const TOO_LARGE: &str = "no number is that large for every server";
    match test {
        Test::Less(Bound::String(text)) if text.is_empty() => {
            Some("nothing is less than an empty text")
        }
        Test::Greater(Bound::Number(number)) | Test::AtLeast(Bound::Number(number)) => {
            (is_infinite(number) && !Decimal::read(number).is_negative()).then_some(TOO_LARGE)
        }
        Test::Less(Bound::Number(number)) | Test::AtMost(Bound::Number(number)) => {
            (is_infinite(number) && Decimal::read(number).is_negative()).then_some(TOO_LARGE)
        }
        Test::Equal(Scalar::Number(number)) => {
            Decimal::read(number).is_beyond_double().then_some(TOO_LARGE)
        }
        Test::Regex(regex) if never_matches(regex.as_str()) => Some("the pattern matches no text"),
        _ => None,
    }
}

/// True if no single value meets both tests. False if the work does not suffice to tell.
#[must_use]
pub(in crate::engine) fn between(one: &Test, other: &Test, doubt: Doubt, work: &mut Work) -> bool {
    if let (Test::Exists(false), test) | (test, Test::Exists(false)) = (one, other) {
        // Where nothing is, these hold or may hold.
        return !matches!(test, Test::Exists(false) | Test::NotEqual(_) | Test::NotIn(_));
    }
    if let Some(values) = values(one) {
        return none_meets(values, other, doubt, work);
    }
    if let Some(values) = values(other) {
        return none_meets(values, one, doubt, work);
    }
    match (Edge::of(one), Edge::of(other)) {
        (Some(Edge::Lower(from, least)), Some(Edge::Upper(to, most)))
        | (Some(Edge::Upper(to, most)), Some(Edge::Lower(from, least))) => {
            match compare(from, to) {
                Some(Ordering::Less) => false,
                Some(Ordering::Equal) => !(least && most),
                Some(Ordering::Greater) => true,
                None => doubt == Doubt::Fails,
            }
        }
        (Some(one), Some(other)) => {
            doubt == Doubt::Fails && compare(one.bound(), other.bound()).is_none()
        }
        _ => false,
    }
}

/// The values that alone meet a test.
fn values(test: &Test) -> Option<&[Scalar]> {
    match test {
        Test::Equal(scalar) => Some(std::slice::from_ref(scalar)),
        Test::In(list) => Some(list.list()),
        _ => None,
    }
}

fn none_meets(values: &[Scalar], test: &Test, doubt: Doubt, work: &mut Work) -> bool {
    /// Steps for a value, beside the test.
    const VALUE: u64 = 100;
    !values.iter().any(|scalar| {
        let text = scalar.to_string();
        let truth = work.take(VALUE).and_then(|()| test.of_value(Value::proved(&text), work));
        match truth {
            Ok(Truth::Fails | Truth::Absent) => false,
            Ok(Truth::Unknown(_)) => doubt == Doubt::Holds,
            // What cannot be told is taken to be possible.
            Ok(Truth::Holds) | Err(_) => true,
        }
    })
}

/// One end of a range, and whether it belongs to it.
enum Edge<'t> {
    Lower(&'t Bound, bool),
    Upper(&'t Bound, bool),
}

impl<'t> Edge<'t> {
    fn of(test: &'t Test) -> Option<Self> {
        match test {
            Test::Greater(bound) => Some(Edge::Lower(bound, false)),
            Test::AtLeast(bound) => Some(Edge::Lower(bound, true)),
            Test::Less(bound) => Some(Edge::Upper(bound, false)),
            Test::AtMost(bound) => Some(Edge::Upper(bound, true)),
            _ => None,
        }
    }

    fn bound(&self) -> &'t Bound {
        match self {
            Edge::Lower(bound, _) | Edge::Upper(bound, _) => bound,
        }
    }
}

/// `None` if no value compares with both.
fn compare(one: &Bound, other: &Bound) -> Option<Ordering> {
    match (one, other) {
        (Bound::Number(one), Bound::Number(other)) => {
            Some(Decimal::read(one).cmp(&Decimal::read(other)))
        }
        (Bound::String(one), Bound::String(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

/// What an unanchored pattern lacks.
#[must_use]
pub(in crate::engine) fn missing_anchor(pattern: &str) -> Option<&'static str> {
    let hir = regex_syntax::parse(pattern).ok()?;
    let starts = hir.properties().look_set_prefix().contains(Look::Start);
    let ends = hir.properties().look_set_suffix().contains(Look::End);
    match (starts, ends) {
        (true, true) => None,
        (false, true) => Some("`^` in front"),
        (true, false) => Some("`$` at its end"),
        (false, false) => Some("`^` in front and no `$` at its end"),
    }
}

fn never_matches(pattern: &str) -> bool {
    let Ok(hir) = regex_syntax::parse(pattern) else { return false };
    let takes_something = |hir: &Hir| hir.properties().minimum_len().is_none_or(|least| least > 0);
    let properties = hir.properties();
    properties.minimum_len().is_none()
        || takes_something(&hir)
            && (properties.look_set_prefix().contains(Look::End)
                || properties.look_set_suffix().contains(Look::Start))
}

/// True if a number is so far out that no double holds it.
fn is_infinite(number: &str) -> bool {
    number.parse::<f64>().is_ok_and(f64::is_infinite)
}
