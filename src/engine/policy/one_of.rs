//! The lists of `in` and `not_in`, compiled to sets: the time of a look-up does not depend on their length.

use std::borrow::Cow;
use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::scalar::{Scalar, Truth, decimal_work, text_of};
use crate::engine::json::decimal::Decimal;
use crate::engine::json::undecidable::{Types, Undecidable};
use crate::engine::json::value::{Kind, Type, Value};
use crate::engine::work::{TooCostly, Work};

/// A list of values to compare with. Only values of one type compare, and null with any.
#[derive(Debug, Clone)]
pub struct OneOf {
    /// As the policy writes it.
    list: Vec<Scalar>,
    /// The types in it.
    types: Types,
    /// True if it holds only null.
    only_nulls: bool,
    bools: [bool; 2],
    /// Numbers by [`Decimal::canonical`].
    numbers: HashSet<String, RandomState>,
    strings: HashSet<String, RandomState>,
}

impl OneOf {
    /// Compiles a list.
    #[must_use]
    pub fn new(list: Vec<Scalar>) -> Self {
        let mut set = OneOf {
            list: Vec::new(),
            types: Types::default(),
            only_nulls: list.iter().all(|scalar| *scalar == Scalar::Null),
            bools: [false; 2],
            numbers: HashSet::default(),
            strings: HashSet::default(),
        };
        for scalar in &list {
            set.types = set.types.and(Types::of(&[scalar.of_type()]));
            match scalar {
                Scalar::Null => {}
                Scalar::Bool(value) => {
                    if let Some(has) = set.bools.get_mut(usize::from(*value)) {
                        *has = true;
                    }
                }
                Scalar::Number(number) => {
                    set.numbers.insert(Decimal::read(number).canonical());
                }
                Scalar::String(text) => {
                    set.strings.insert(text.clone());
                }
            }
        }
        OneOf { list, ..set }
    }

    /// The list as the policy writes it.
    #[must_use]
    pub fn list(&self) -> &[Scalar] {
        &self.list
    }

    /// True if `value` equals one of the list.
    pub(in crate::engine) fn has(
        &self,
        value: Value<'_>,
        work: &mut Work,
    ) -> Result<Truth, TooCostly> {
        let found = value.of_type();
        if found == Type::Null {
            return Ok(Truth::from(self.types.has(Type::Null)));
        }
        if !self.types.has(found) {
            let doubt = Undecidable::Type { found, wanted: self.types };
            return Ok(if self.only_nulls { Truth::Fails } else { Truth::Unknown(doubt) });
        }
        Ok(match value.kind() {
            Kind::Bool(value) => {
                Truth::from(self.bools.get(usize::from(value)).copied().unwrap_or_default())
            }
            Kind::Number(number) => {
                work.take(decimal_work(number))?;
                if number.is_beyond_double() {
                    return Ok(Truth::Unknown(Undecidable::BeyondDouble));
                }
                Truth::from(self.numbers.contains(canonical(number).as_ref()))
            }
            Kind::String(string) => match text_of(string, work)? {
                Some(text) => {
                    // It is hashed.
                    work.take(text.len() as u64)?;
                    Truth::from(self.strings.contains(text.as_ref()))
                }
                None => Truth::Unknown(Undecidable::Surrogate),
            },
            // No scalar is of these types.
            Kind::Null | Kind::Array | Kind::Object => Truth::Fails,
        })
    }
}

/// The canonical text of a number; most numbers are spelled that way.
fn canonical(number: Decimal<'_>) -> Cow<'_, str> {
    let text = number.text();
    let is_plain = text.len() <= 18
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    if is_plain { Cow::Borrowed(text) } else { Cow::Owned(number.canonical()) }
}

#[cfg(test)]
mod tests {
    use super::canonical;
    use crate::engine::json::decimal::Decimal;

    #[test]
    fn a_plain_number_is_its_own_canonical_text() {
        for text in
            ["0", "7", "10", "100", "999999999999999999", "1000000000000000000", "-1", "1.0"]
        {
            let number = Decimal::read(text);
            assert_eq!(canonical(number), number.canonical(), "{text}");
        }
    }
}
