//! Conditions over a call's arguments (contract P5–P8). A value that an operator cannot compare goes
//! against the call.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};

use super::one_of::OneOf;
use super::path::{ArgPath, Stop};
use super::pattern::Pattern;
use super::scalar::{
    BEYOND_DOUBLE, NUMBER, SURROGATE, TEXT, ordering, text, text_of, unlike, write_quoted,
};
use crate::engine::json::arguments::{Arguments, Found};
use crate::engine::json::undecidable::{Types, Undecidable};
use crate::engine::json::value::{Type, Value};
use crate::engine::text::shorten::MARK;
use crate::engine::text::words::words;
use crate::engine::work::{TooCostly, Work, steps};

pub use super::scalar::{Scalar, Truth};

/// `{ "path", "op", "value" }`, compiled.
#[derive(Debug, Clone)]
pub struct Condition {
    /// Where to look.
    pub path: ArgPath,
    /// The test for the values there.
    pub test: Test,
}

/// What a condition asks of the value at its path (contract P7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// Equal.
    Eq,
    /// Not equal.
    Neq,
    /// Less than.
    Lt,
    /// Less than or equal.
    Lte,
    /// Greater than.
    Gt,
    /// Greater than or equal.
    Gte,
    /// Equal to one of a list.
    In,
    /// Equal to none of a list.
    NotIn,
    /// Present, or absent.
    Exists,
    /// A text that a pattern finds something in.
    Regex,
    /// A text with this substring, or a list with this element.
    Contains,
}

words!(Operator {
    Eq => "eq",
    Neq => "neq",
    Lt => "lt",
    Lte => "lte",
    Gt => "gt",
    Gte => "gte",
    In => "in",
    NotIn => "not_in",
    Exists => "exists",
    Regex => "regex",
    Contains => "contains",
});

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
    In(OneOf),
    /// `not_in`
    NotIn(OneOf),
    /// `exists`
    Exists(bool),
    /// `regex`
    Regex(Pattern),
    /// `contains`
    Contains(Scalar),
}

/// A value that has an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// A number as the policy spells it.
    Number(String),
    /// A string; strings are ordered by code point.
    String(String),
}

/// The result of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// True if it holds; in doubt, whatever goes against the call.
    pub holds: bool,
    /// Why it could not be decided, if it could not.
    pub doubt: Option<Undecidable>,
}

impl fmt::Display for Condition {
    /// `args.width gt 2048`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Condition { path, test } = self;
        write!(f, "{path} {} ", test.operator().word())?;
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
                for (nth, scalar) in list.list().iter().enumerate() {
                    write!(f, "{}{scalar}", if nth == 0 { "[" } else { ", " })?;
                }
                f.write_str("]")
            }
            Test::Exists(wanted) => write!(f, "{wanted}"),
            Test::Regex(regex) => write_quoted(f, regex.as_str()),
        }
    }
}

/// The longest text of a condition in messages, in bytes.
const MAX_SHOWN: usize = 512;

/// A text of at most [`MAX_SHOWN`] bytes.
struct ShownText {
    text: String,
    is_cut: bool,
}

impl fmt::Write for ShownText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_SHOWN.saturating_sub(self.text.len());
        if text.len() <= room {
            self.text.push_str(text);
            return Ok(());
        }
        self.text.push_str(text.get(..text.floor_char_boundary(room)).unwrap_or_default());
        self.is_cut = true;
        Err(fmt::Error)
    }
}

impl Condition {
    /// The condition for messages, cut if it is long.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut shown = ShownText { text: String::new(), is_cut: false };
        // An error means that the text was cut.
        let _ = write!(shown, "{self}");
        if shown.is_cut {
            shown.text.push(MARK);
        }
        shown.text
    }

    /// In `require`: true if the condition certainly holds for every match of the path. `witness` sees each value that is
    /// tried.
    ///
    /// # Errors
    /// The work does not suffice.
    pub fn surely_holds(
        &self,
        arguments: &Arguments<'_>,
        work: &mut Work,
        witness: impl FnMut(Found<'_>, Truth),
    ) -> Result<Trial, TooCostly> {
        let broken = self.first(arguments, work, |truth| truth != Truth::Holds, witness)?;
        Ok(Trial { holds: broken.is_none(), doubt: broken.and_then(Truth::doubt) })
    }

    /// In `deny_if` and `approval_if`: true unless the condition certainly fails for every match of the path.
    ///
    /// # Errors
    /// The work does not suffice.
    pub fn may_hold(
        &self,
        arguments: &Arguments<'_>,
        work: &mut Work,
        witness: impl FnMut(Found<'_>, Truth),
    ) -> Result<Trial, TooCostly> {
        let met = self.first(arguments, work, |truth| truth != Truth::Fails, witness)?;
        Ok(Trial { holds: met.is_some(), doubt: met.and_then(Truth::doubt) })
    }

    /// The result for the first match of the path that is `wanted`.
    #[inline]
    fn first(
        &self,
        arguments: &Arguments<'_>,
        work: &mut Work,
        wanted: impl Fn(Truth) -> bool,
        mut witness: impl FnMut(Found<'_>, Truth),
    ) -> Result<Option<Truth>, TooCostly> {
        work.take(TRIAL)?;
        let mut met = None;
        let visited = self.path.visit(arguments, work, &mut |found, work| {
            let truth = self.test.of(found, work)?;
            witness(found, truth);
            if !wanted(truth) {
                return Ok(());
            }
            met = Some(truth);
            Err(Stop::Met)
        });
        if visited == Err(Stop::TooCostly) { Err(TooCostly) } else { Ok(met) }
    }
}

/// Steps for trying a condition on any value.
const TRIAL: u64 = 20;

impl Test {
    /// The operator.
    #[must_use]
    pub fn operator(&self) -> Operator {
        match self {
            Test::Equal(_) => Operator::Eq,
            Test::NotEqual(_) => Operator::Neq,
            Test::Less(_) => Operator::Lt,
            Test::AtMost(_) => Operator::Lte,
            Test::Greater(_) => Operator::Gt,
            Test::AtLeast(_) => Operator::Gte,
            Test::In(_) => Operator::In,
            Test::NotIn(_) => Operator::NotIn,
            Test::Exists(_) => Operator::Exists,
            Test::Regex(_) => Operator::Regex,
            Test::Contains(_) => Operator::Contains,
        }
    }

    /// The table of contract P8.
    fn of(&self, found: Found<'_>, work: &mut Work) -> Result<Truth, TooCostly> {
        match found {
            Found::Doubtful(doubt) => Ok(Truth::Unknown(doubt)),
            Found::Absent => Ok(match self {
                Test::Exists(wanted) => Truth::from(!wanted),
                Test::NotEqual(_) | Test::NotIn(_) => Truth::Absent,
                _ => Truth::Fails,
            }),
            Found::Value(value) => self.of_value(value, work),
        }
    }

    /// The same for a value that is there.
    pub(in crate::engine) fn of_value(
        &self,
        value: Value<'_>,
        work: &mut Work,
    ) -> Result<Truth, TooCostly> {
        match self {
            Test::Equal(scalar) => scalar.equals(value, work),
            Test::NotEqual(scalar) => scalar.equals(value, work).map(Truth::not),
            Test::Less(bound) => bound.compare(value, Ordering::is_lt, work),
            Test::AtMost(bound) => bound.compare(value, Ordering::is_le, work),
            Test::Greater(bound) => bound.compare(value, Ordering::is_gt, work),
            Test::AtLeast(bound) => bound.compare(value, Ordering::is_ge, work),
            Test::In(list) => list.has(value, work),
            Test::NotIn(list) => list.has(value, work).map(Truth::not),
            Test::Exists(wanted) => Ok(Truth::from(*wanted)),
            Test::Regex(pattern) => {
                let Some(string) = value.as_str() else { return Ok(unlike(value, TEXT)) };
                let Some(text) = text_of(string, work)? else { return Ok(SURROGATE) };
                Ok(Truth::from(pattern.is_match(&text, work)?))
            }
            Test::Contains(scalar) => contains(value, scalar, work),
        }
    }
}

impl Bound {
    fn compare(
        &self,
        value: Value<'_>,
        wanted: fn(Ordering) -> bool,
        work: &mut Work,
    ) -> Result<Truth, TooCostly> {
        Ok(match (self, value.of_type()) {
            (Bound::Number(bound), Type::Number) => match ordering(value, bound, work)? {
                Some(order) => Truth::from(wanted(order)),
                None => BEYOND_DOUBLE,
            },
            (Bound::String(bound), Type::String) => match text(value, work)? {
                Some(found) => Truth::from(wanted(found.as_ref().cmp(bound))),
                None => SURROGATE,
            },
            (Bound::Number(_), _) => unlike(value, NUMBER),
            (Bound::String(_), _) => unlike(value, TEXT),
        })
    }
}

/// A substring of a string, or an element of an array.
fn contains(value: Value<'_>, scalar: &Scalar, work: &mut Work) -> Result<Truth, TooCostly> {
    match (value.of_type(), scalar) {
        (Type::String, Scalar::String(wanted)) => {
            let Some(found) = text(value, work)? else { return Ok(SURROGATE) };
            let both = steps(found.len().saturating_add(wanted.len()));
            work.take(both.saturating_mul(4))?;
            Ok(Truth::from(found.contains(wanted.as_str())))
        }
        (Type::Array, _) => has_element(value, scalar, work),
        (_, Scalar::String(_)) => Ok(unlike(value, Types::of(&[Type::String, Type::Array]))),
        _ => Ok(unlike(value, Types::of(&[Type::Array]))),
    }
}

/// True if an element is equal. Undecidable if one of the scalar's type is, or if there is none of that type.
fn has_element(array: Value<'_>, scalar: &Scalar, work: &mut Work) -> Result<Truth, TooCostly> {
    let wanted = scalar.of_type();
    let mut doubt = Some(Undecidable::NoElement(Types::of(&[wanted])));
    let mut at = array.start();
    for element in array.elements() {
        work.walk(element.end().saturating_sub(at))?;
        at = element.end();
        if element.of_type() != wanted {
            continue;
        }
        match scalar.equals(element, work)? {
            Truth::Holds => return Ok(Truth::Holds),
            Truth::Unknown(why) => doubt = Some(why),
            Truth::Fails | Truth::Absent => {
                doubt.take_if(|doubt| matches!(doubt, Undecidable::NoElement(_)));
            }
        }
    }
    work.walk(array.end().saturating_sub(at))?;
    Ok(doubt.map_or(Truth::Fails, Truth::Unknown))
}
