//! Conditions over a call's arguments (SPEC P5–P8). What an operator cannot compare is a verdict, never a pass.

use std::cmp::Ordering;
use std::fmt;
use std::ops::ControlFlow;

use regex::Regex;

use super::decimal::Decimal;
use super::path::{ArgPath, Arguments, Found};
use super::value::{Kind, Str, Value};

/// `{ "path", "op", "value" }`, compiled.
#[derive(Debug, Clone)]
pub struct Condition {
    /// Where to look.
    pub path: ArgPath,
    /// What must be so there.
    pub test: Test,
}

/// An operator with its value.
#[derive(Debug, Clone)]
pub enum Test {
    /// `eq`
    Equal(Scalar),
    /// `neq`
    NotEqual(Scalar),
    /// `lt`
    Less(Bound),
    /// `lte`
    AtMost(Bound),
    /// `gt`
    Greater(Bound),
    /// `gte`
    AtLeast(Bound),
    /// `in`
    In(Vec<Scalar>),
    /// `not_in`
    NotIn(Vec<Scalar>),
    /// `exists`
    Exists(bool),
    /// `regex`
    Regex(Regex),
    /// `contains`
    Contains(Scalar),
}

/// A value that a policy compares with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number as the policy spells it.
    Number(String),
    /// A string.
    String(String),
}

/// A value that has an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// A number as the policy spells it.
    Number(String),
    /// A string; strings are ordered by code point.
    String(String),
}

/// What a condition comes to for one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// It cannot be decided: this goes against the call (SPEC P8).
    Unknown,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Truth::Holds } else { Truth::Fails }
    }
}

impl Truth {
    fn not(self) -> Self {
        match self {
            Truth::Holds => Truth::Fails,
            Truth::Fails => Truth::Holds,
            Truth::Unknown => Truth::Unknown,
        }
    }
}

impl fmt::Display for Condition {
    /// `args.width gt 2048`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Condition { path, test } = self;
        write!(f, "{path} {} ", test.operator())?;
        match test {
            Test::Equal(scalar) | Test::NotEqual(scalar) | Test::Contains(scalar) => {
                write!(f, "{scalar}")
            }
            Test::Less(bound)
            | Test::AtMost(bound)
            | Test::Greater(bound)
            | Test::AtLeast(bound) => match bound {
                Bound::Number(number) => f.write_str(number),
                Bound::String(text) => write_quoted(f, text),
            },
            Test::In(list) | Test::NotIn(list) => {
                for (nth, scalar) in list.iter().enumerate() {
                    write!(f, "{}{scalar}", if nth == 0 { "[" } else { ", " })?;
                }
                f.write_str("]")
            }
            Test::Exists(wanted) => write!(f, "{wanted}"),
            Test::Regex(regex) => write_quoted(f, regex.as_str()),
        }
    }
}

impl fmt::Display for Scalar {
    /// As JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Null => f.write_str("null"),
            Scalar::Bool(value) => write!(f, "{value}"),
            Scalar::Number(number) => f.write_str(number),
            Scalar::String(text) => write_quoted(f, text),
        }
    }
}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str(&serde_json::to_string(text).unwrap_or_default())
}

impl Condition {
    /// In `require`: true if the condition certainly holds, for every match of the path. `witness` is shown what was
    /// found, as far as it was looked at.
    #[must_use]
    pub fn surely_holds(
        &self,
        arguments: &Arguments<'_>,
        witness: impl FnMut(Found<'_>, Truth),
    ) -> bool {
        !self.any(arguments, |truth| truth != Truth::Holds, witness)
    }

    /// In `deny_if` and `approval_if`: true unless the condition certainly fails, for every match of the path.
    #[must_use]
    pub fn may_hold(
        &self,
        arguments: &Arguments<'_>,
        witness: impl FnMut(Found<'_>, Truth),
    ) -> bool {
        self.any(arguments, |truth| truth != Truth::Fails, witness)
    }

    #[inline]
    fn any(
        &self,
        arguments: &Arguments<'_>,
        wanted: impl Fn(Truth) -> bool,
        mut witness: impl FnMut(Found<'_>, Truth),
    ) -> bool {
        let mut met = false;
        self.path.visit(arguments, &mut |found| {
            let truth = self.test.of(found);
            witness(found, truth);
            met = wanted(truth);
            if met { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        met
    }
}

impl Test {
    /// The operator, as a policy writes it.
    #[must_use]
    pub fn operator(&self) -> &'static str {
        match self {
            Test::Equal(_) => "eq",
            Test::NotEqual(_) => "neq",
            Test::Less(_) => "lt",
            Test::AtMost(_) => "lte",
            Test::Greater(_) => "gt",
            Test::AtLeast(_) => "gte",
            Test::In(_) => "in",
            Test::NotIn(_) => "not_in",
            Test::Exists(_) => "exists",
            Test::Regex(_) => "regex",
            Test::Contains(_) => "contains",
        }
    }

    /// The table of SPEC P8.
    fn of(&self, found: Found<'_>) -> Truth {
        match found {
            Found::Doubtful => Truth::Unknown,
            Found::Absent => match self {
                Test::Exists(wanted) => Truth::from(!wanted),
                Test::NotEqual(_) | Test::NotIn(_) => Truth::Unknown,
                _ => Truth::Fails,
            },
            Found::Value(value) => self.of_value(value),
        }
    }

    /// The same for a value that is there.
    pub(super) fn of_value(&self, value: Value<'_>) -> Truth {
        match self {
            Test::Equal(scalar) => scalar.equals(value),
            Test::NotEqual(scalar) => scalar.equals(value).not(),
            Test::Less(bound) => bound.compare(value, Ordering::is_lt),
            Test::AtMost(bound) => bound.compare(value, Ordering::is_le),
            Test::Greater(bound) => bound.compare(value, Ordering::is_gt),
            Test::AtLeast(bound) => bound.compare(value, Ordering::is_ge),
            Test::In(list) => is_in(value, list),
            Test::NotIn(list) => is_in(value, list).not(),
            Test::Exists(wanted) => Truth::from(*wanted),
            Test::Regex(regex) => match value.as_str().and_then(Str::decode) {
                Some(text) => Truth::from(regex.is_match(&text)),
                None => Truth::Unknown,
            },
            Test::Contains(scalar) => contains(value, scalar),
        }
    }
}

impl Scalar {
    /// Compares values of one JSON type, and null with any.
    fn equals(&self, value: Value<'_>) -> Truth {
        match (self, value.kind()) {
            (Scalar::Null, kind) => Truth::from(matches!(kind, Kind::Null)),
            (_, Kind::Null) => Truth::Fails,
            (Scalar::Bool(wanted), Kind::Bool(found)) => Truth::from(*wanted == found),
            (Scalar::Number(_), Kind::Number(found)) if found.is_beyond_double() => Truth::Unknown,
            (Scalar::Number(wanted), Kind::Number(found)) => {
                Truth::from(Decimal::read(wanted) == found)
            }
            (Scalar::String(wanted), Kind::String(found)) => match found.decode() {
                Some(found) => Truth::from(*wanted == found),
                None => Truth::Unknown,
            },
            _ => Truth::Unknown,
        }
    }

    fn is_of_type(&self, value: Value<'_>) -> bool {
        matches!(
            (self, value.kind()),
            (Scalar::Null, Kind::Null)
                | (Scalar::Bool(_), Kind::Bool(_))
                | (Scalar::Number(_), Kind::Number(_))
                | (Scalar::String(_), Kind::String(_))
        )
    }
}

impl Bound {
    fn compare(&self, value: Value<'_>, wanted: fn(Ordering) -> bool) -> Truth {
        match (self, value.kind()) {
            (Bound::Number(bound), Kind::Number(found)) if !found.is_beyond_double() => {
                Truth::from(wanted(found.cmp(&Decimal::read(bound))))
            }
            (Bound::String(bound), Kind::String(found)) => match found.decode() {
                Some(found) => Truth::from(wanted(found.as_ref().cmp(bound))),
                None => Truth::Unknown,
            },
            _ => Truth::Unknown,
        }
    }
}

/// One of a list. Only values of one type compare, and null with any.
fn is_in(value: Value<'_>, list: &[Scalar]) -> Truth {
    let only_nulls = list.iter().all(|scalar| *scalar == Scalar::Null);
    let compares = |scalar: &Scalar, value: Value<'_>| {
        only_nulls || matches!(value.kind(), Kind::Null) || scalar.is_of_type(value)
    };
    any_equal(list.iter().map(|scalar| (scalar, value)), compares)
}

/// A substring of a string, or an element of an array.
fn contains(value: Value<'_>, scalar: &Scalar) -> Truth {
    match (value.kind(), scalar) {
        (Kind::String(found), Scalar::String(wanted)) => match found.decode() {
            Some(found) => Truth::from(found.contains(wanted.as_str())),
            None => Truth::Unknown,
        },
        (Kind::Array, _) => {
            any_equal(value.elements().map(|element| (scalar, element)), Scalar::is_of_type)
        }
        _ => Truth::Unknown,
    }
}

/// True if any pair is equal. Undecidable if a pair of one type is, or if no pair that was decided is one that
/// `counts`.
fn any_equal<'a>(
    pairs: impl Iterator<Item = (&'a Scalar, Value<'a>)>,
    counts: impl Fn(&Scalar, Value<'_>) -> bool,
) -> Truth {
    let mut decided = false;
    let mut doubt = false;
    for (scalar, value) in pairs {
        let counts = counts(scalar, value);
        match scalar.equals(value) {
            Truth::Holds => return Truth::Holds,
            Truth::Fails => decided |= counts,
            Truth::Unknown => doubt |= counts,
        }
    }
    if decided && !doubt { Truth::Fails } else { Truth::Unknown }
}
