//! Why a condition cannot be decided (contract P8), in words that say nothing of the value (contract W2).

use std::fmt;

use super::value::Type;

/// What stands in the way of a decision. `left` counts the steps of the path that lie behind the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecidable {
    /// The operator cannot compare a value of this type.
    Type {
        /// What the value is.
        found: Type,
        /// What the operator compares.
        wanted: Types,
    },
    /// A list has no element that the operator can compare.
    NoElement(Types),
    /// A step leads into a value of another kind.
    Step {
        /// See [`Undecidable`].
        left: usize,
        /// What the value is.
        found: Type,
        /// What the step leads into.
        wanted: Types,
    },
    /// The key is there only with different capitals: some servers read it (Go's `encoding/json`).
    OtherCase {
        /// See [`Undecidable`].
        left: usize,
    },
    /// The key is there, and another that differs by case.
    TwoCases {
        /// See [`Undecidable`].
        left: usize,
    },
    /// The object has a key `__proto__`: a JavaScript server that copies it reads more members than it has.
    Proto {
        /// See [`Undecidable`].
        left: usize,
    },
    /// A lone surrogate.
    Surrogate,
    /// A number that no double can hold.
    BeyondDouble,
}

/// Some types of JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Types(u8);

impl Types {
    /// These types.
    #[must_use]
    pub const fn of(types: &[Type]) -> Self {
        let mut set = 0;
        let mut rest = types;
        while let [first, behind @ ..] = rest {
            set |= first.bit();
            rest = behind;
        }
        Types(set)
    }

    /// The types of both.
    #[must_use]
    pub fn and(self, other: Types) -> Self {
        Types(self.0 | other.0)
    }

    /// True if `of` is one of them.
    #[must_use]
    pub fn has(self, of: Type) -> bool {
        self.0 & of.bit() != 0
    }
}

impl fmt::Display for Types {
    /// `a number or a string`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Type::ALL.into_iter().filter(|of| self.has(*of)).map(Type::words);
        f.write_str(words.next().unwrap_or("anything"))?;
        words.try_for_each(|word| write!(f, " or {word}"))
    }
}

impl Undecidable {
    /// How many steps of the path lead on from the place that stands in the way, and whether the first of them
    /// belongs to it; `None` if it is where the path ends.
    pub(in crate::engine) fn place(self) -> Option<(usize, bool)> {
        match self {
            Undecidable::Step { left, .. } | Undecidable::Proto { left } => Some((left, false)),
            Undecidable::OtherCase { left } | Undecidable::TwoCases { left } => Some((left, true)),
            Undecidable::Type { .. }
            | Undecidable::NoElement(_)
            | Undecidable::Surrogate
            | Undecidable::BeyondDouble => None,
        }
    }

    /// The reason as a sentence without its full stop: `` `args.amount` is a string, not a number ``. It tells
    /// nothing of the value. `place` is what [`crate::engine::policy::path::ArgPath::words`] takes from the policy's path.
    pub(in crate::engine) fn words(self, place: &str) -> String {
        match self {
            Undecidable::Type { found, wanted } | Undecidable::Step { found, wanted, .. } => {
                format!("`{place}` is {}, not {wanted}", found.words())
            }
            Undecidable::NoElement(wanted) => format!("`{place}` has no element that is {wanted}"),
            Undecidable::OtherCase { .. } => {
                format!("`{place}` is there only with different capitals")
            }
            Undecidable::TwoCases { .. } => {
                format!("`{place}` stands beside a key that differs by case only")
            }
            Undecidable::Proto { .. } => {
                format!("`{place}` has a key `__proto__`, which some servers read as further keys")
            }
            Undecidable::Surrogate => {
                format!("`{place}` holds a lone surrogate, which is no Unicode text")
            }
            Undecidable::BeyondDouble => {
                format!("`{place}` holds a number that a double cannot hold")
            }
        }
    }
}
