//! A value of a policy beside one of a call, and what a comparison comes to (contract P7, P8).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use crate::engine::json::decimal::Decimal;
use crate::engine::json::undecidable::{Types, Undecidable};
use crate::engine::json::value::{Kind, Str, Type, Value};
use crate::engine::work::{TooCostly, Work, steps};

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

/// What a condition comes to for one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// It does not, as there is nothing to compare: this goes against the call (contract P8).
    Absent,
    /// It cannot be decided: this goes against the call (contract P8).
    Unknown(Undecidable),
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Truth::Holds } else { Truth::Fails }
    }
}

impl Truth {
    pub(in crate::engine) fn not(self) -> Self {
        match self {
            Truth::Holds => Truth::Fails,
            Truth::Fails => Truth::Holds,
            doubt => doubt,
        }
    }
}

impl Truth {
    /// Why it cannot be decided, if it cannot.
    #[must_use]
    pub fn doubt(self) -> Option<Undecidable> {
        match self {
            Truth::Unknown(doubt) => Some(doubt),
            Truth::Holds | Truth::Fails | Truth::Absent => None,
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

pub(in crate::engine) fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str(&serde_json::to_string(text).unwrap_or_default())
}

pub(in crate::engine) const TEXT: Types = Types::of(&[Type::String]);
pub(in crate::engine) const NUMBER: Types = Types::of(&[Type::Number]);
pub(in crate::engine) const SURROGATE: Truth = Truth::Unknown(Undecidable::Surrogate);
pub(in crate::engine) const BEYOND_DOUBLE: Truth = Truth::Unknown(Undecidable::BeyondDouble);

/// A value of a type that an operator cannot compare.
pub(in crate::engine) fn unlike(value: Value<'_>, wanted: Types) -> Truth {
    Truth::Unknown(Undecidable::Type { found: value.of_type(), wanted })
}

/// The text of a string; `None` if it has a lone surrogate.
pub(in crate::engine) fn text_of<'a>(
    string: Str<'a>,
    work: &mut Work,
) -> Result<Option<Cow<'a, str>>, TooCostly> {
    let bytes = steps(string.raw().len());
    work.take(if string.is_escaped() { bytes.saturating_mul(8) } else { bytes / 4 })?;
    Ok(string.decode())
}

/// Steps for reading a number, or for comparing it with another one of that length: its digits are gone through
/// several times.
pub(in crate::engine) fn decimal_work(number: Decimal<'_>) -> u64 {
    steps(number.text().len()).saturating_mul(8).saturating_add(16)
}

impl Scalar {
    /// The type of the value.
    #[must_use]
    pub fn of_type(&self) -> Type {
        match self {
            Scalar::Null => Type::Null,
            Scalar::Bool(_) => Type::Bool,
            Scalar::Number(_) => Type::Number,
            Scalar::String(_) => Type::String,
        }
    }

    /// Compares values of one JSON type, and null with any.
    pub(in crate::engine) fn equals(
        &self,
        value: Value<'_>,
        work: &mut Work,
    ) -> Result<Truth, TooCostly> {
        Ok(match (self, value.of_type()) {
            (Scalar::Null, found) => Truth::from(found == Type::Null),
            (_, Type::Null) => Truth::Fails,
            (Scalar::Bool(wanted), Type::Bool) => {
                Truth::from(*wanted == matches!(value.kind(), Kind::Bool(true)))
            }
            (Scalar::Number(wanted), Type::Number) => match ordering(value, wanted, work)? {
                Some(order) => Truth::from(order.is_eq()),
                None => BEYOND_DOUBLE,
            },
            (Scalar::String(wanted), Type::String) => match text(value, work)? {
                Some(found) => Truth::from(*wanted == found),
                None => SURROGATE,
            },
            _ => unlike(value, Types::of(&[self.of_type()])),
        })
    }
}

/// How a number of a call stands to one of the policy; `None` if no double can hold it.
pub(in crate::engine) fn ordering(
    value: Value<'_>,
    number: &str,
    work: &mut Work,
) -> Result<Option<Ordering>, TooCostly> {
    let both = steps(value.text().len().saturating_add(number.len()));
    work.take(both.saturating_mul(8).saturating_add(32))?;
    let found = Decimal::read(value.text());
    Ok((!found.is_beyond_double()).then(|| found.cmp(&Decimal::read(number))))
}

/// The text of a value that is a string; `None` if it has a lone surrogate.
pub(in crate::engine) fn text<'a>(
    value: Value<'a>,
    work: &mut Work,
) -> Result<Option<Cow<'a, str>>, TooCostly> {
    value.as_str().map_or(Ok(None), |string| text_of(string, work))
}
