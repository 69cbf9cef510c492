//! Enums as the words of a log line: each has one table, which is used for writing and for reading.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::outcome::Outcome;
use crate::engine::session::audit_record::CallEnd;
use crate::engine::wire::line::Side;

/// One of a few things, each of which has a word.
pub trait Words: Copy + PartialEq + 'static {
    /// Each of them with its word.
    const WORDS: &'static [(Self, &'static str)];

    /// Its word.
    #[must_use]
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(known, _)| *known == self).map_or("", |(_, word)| word)
    }

    /// The one that has this word, if any has.
    #[must_use]
    fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(known, _)| *known)
    }
}

impl Words for Outcome {
    const WORDS: &'static [(Self, &'static str)] = &Outcome::WORDS;
}

impl Words for CallEnd {
    const WORDS: &'static [(Self, &'static str)] = &CallEnd::WORDS;
}

impl Words for Side {
    const WORDS: &'static [(Self, &'static str)] =
        &[(Side::Client, "client"), (Side::Server, "server")];
}

/// What changed a list of tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangedBy {
    /// The policy, which was reloaded.
    Policy,
    /// The server, which says so.
    Server,
}

impl Words for ChangedBy {
    const WORDS: &'static [(Self, &'static str)] =
        &[(ChangedBy::Policy, "policy"), (ChangedBy::Server, "server")];
}

/// A value as it stands in a log: one that is known, or the word of a newer version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word<T> {
    /// A value of this version.
    Known(T),
    /// A word that this version does not know; empty if there is none.
    Other(String),
}

impl<T: Words> Word<T> {
    /// True if it is this value.
    pub fn is(&self, value: T) -> bool {
        *self == Word::Known(value)
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Word::Known(value) => value.word(),
            Word::Other(word) => word,
        }
    }
}

impl<T> Default for Word<T> {
    fn default() -> Self {
        Word::Other(String::new())
    }
}

impl<T> From<T> for Word<T> {
    fn from(value: T) -> Self {
        Word::Known(value)
    }
}

impl<T: Words> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<T: Words> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, T: Words> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<'de, str>::deserialize(deserializer)?;
        Ok(T::of_word(&word).map_or_else(|| Word::Other(word.into_owned()), Word::Known))
    }
}
