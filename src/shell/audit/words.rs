//! Enums as the words of a log line: each has one table, which is used for writing and for reading.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::text::words::{Worded, words};

/// What changed a list of tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangedBy {
    /// The policy, which was reloaded.
    Policy,
    /// The server, which says so.
    Server,
}

words!(ChangedBy { Policy => "policy", Server => "server" });

/// A value as it stands in a log: one that is known, or the word of a newer version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word<T> {
    /// A value of this version.
    Known(T),
    /// A word that this version does not know; empty if there is none.
    Other(String),
}

impl<T: Worded> Word<T> {
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

impl<T: Worded> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<T: Worded> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, T: Worded> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<'de, str>::deserialize(deserializer)?;
        Ok(T::from_word(&word).map_or_else(|| Word::Other(word.into_owned()), Word::Known))
    }
}
