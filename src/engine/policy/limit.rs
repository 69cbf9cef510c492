//! Limits as a policy states them, and what a call costs by one.

use std::sync::Arc;

use super::path::ArgPath;
use crate::engine::json::arguments::{Arguments, Found};
use crate::engine::json::decimal::Decimal;
use crate::engine::json::undecidable::{Types, Undecidable};
use crate::engine::json::value::{Kind, Type};
use crate::engine::limits::{AMOUNT_PLACES, Amount, CounterKey};
use crate::engine::work::{TooCostly, Work, steps};

/// An entry of `limits` (contract 3.4).
#[derive(Debug)]
pub struct Limit {
    /// Where it stands.
    pub pointer: Arc<str>,
    /// What it says, for people: `30 per minute (images)`.
    pub what: Arc<str>,
    /// What it counts with.
    pub counter: CounterKey,
    /// The most that its counter may hold.
    pub max: Amount,
    /// What a call costs, or what [`Limit::increment_from`] is multiplied by.
    pub increment: Amount,
    /// Where in the arguments the amount stands.
    pub increment_from: Option<ArgPath>,
    /// `on_deny`.
    pub on_deny: Option<String>,
}

/// Why the cost of a call cannot be told (contract P10): what cannot be decided about its amount, or nothing if the
/// amount is absent, negative or out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAmount(pub Option<Undecidable>);

impl Limit {
    /// What a call with these arguments costs, if that can be told.
    ///
    /// # Errors
    /// Less work is left than reading the amount takes.
    pub fn cost(
        &self,
        arguments: &Arguments<'_>,
        work: &mut Work,
    ) -> Result<Result<Amount, NoAmount>, TooCostly> {
        let Some(path) = &self.increment_from else { return Ok(Ok(self.increment)) };
        let value = match path.find(arguments, work)? {
            Found::Value(value) => value,
            Found::Absent => return Ok(Err(NoAmount(None))),
            Found::Doubtful(doubt) => return Ok(Err(NoAmount(Some(doubt)))),
        };
        let found = value.of_type();
        if found != Type::Number {
            let wanted = Types::of(&[Type::Number]);
            return Ok(Err(NoAmount(Some(Undecidable::Type { found, wanted }))));
        }
        work.take(steps(value.text().len()).saturating_mul(8))?;
        let Kind::Number(number) = value.kind() else { return Ok(Err(NoAmount(None))) };
        if number.is_beyond_double() {
            return Ok(Err(NoAmount(Some(Undecidable::BeyondDouble))));
        }
        let cost = amount_of(number).and_then(|amount| amount.times(self.increment));
        Ok(cost.ok_or(NoAmount(None)))
    }
}

/// A number as an amount: not negative, at most 10^15, with at most 9 digits after the point.
#[must_use]
pub fn amount_of(number: Decimal<'_>) -> Option<Amount> {
    if number.is_negative() || number.is_beyond_double() {
        return None;
    }
    number.scaled(AMOUNT_PLACES).and_then(Amount::from_nanos)
}
