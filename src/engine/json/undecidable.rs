//! Why a condition cannot be decided (contract P8), in words that reveal nothing about the value (contract W2).

use std::fmt;

use super::value::Type;

/// Why a condition cannot be decided. `left` counts the steps of the path after the place where it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecidable {
    /// The operator cannot compare a value of this type.
    Type {
        /// The type of the value.
        found: Type,
        /// The types that the operator compares.
        wanted: Types,
    },
    /// A list has no element that the operator can compare.
    NoElement(Types),
    /// A step leads into a value of another type.
    Step {
        /// See [`Undecidable`].
        left: usize,
        /// The type of the value.
        found: Type,
        /// The type that the step needs.
        wanted: Types,
    },
    /// The key exists only with different capitals: some servers accept it (Go's `encoding/json`).
    OtherCase {
        /// See [`Undecidable`].
        left: usize,
    },
    /// The key exists, and so does another that differs only by case.
    TwoCases {
        /// See [`Undecidable`].
        left: usize,
    },
    /// The object has a key `__proto__`: in a JavaScript server, a copy of it can gain members.
    Proto {
        /// See [`Undecidable`].
        left: usize,
    },
    /// The string contains a lone surrogate.
    Surrogate,
    /// The number is beyond the range of a double.
    BeyondDouble,
}

/// A set of JSON types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Types(u8);

impl Types {
    /// A set of these types.
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

    /// The union of both.
    #[must_use]
    pub fn and(self, other: Types) -> Self {
        Types(self.0 | other.0)
    }

    /// True if the set contains `of`.
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
    /// How many steps of the path follow the place where it fails, and whether the first of them belongs to that place;
    /// `None` at the end of the path.
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

    /// The reason as a sentence without its full stop: `` `args.amount` is a string, not a number ``. It reveals
    /// nothing about the value. `place` comes from [`crate::engine::policy::path::ArgPath::words`] of the policy's
    /// path.
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
