//! The result of a decision, and the word for it in everything that callgate writes for programs (contract C1).

use std::fmt;
use std::str::FromStr;

/// The result of the decision of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The call goes out.
    Allowed,
    /// The call does not go out.
    Denied,
    /// The call does not go out unless a human approves it.
    ApprovalRequired,
}

/// No outcome has this word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownOutcome;

impl Outcome {
    /// Every outcome with its word.
    pub const WORDS: [(Outcome, &'static str); 3] = [
        (Outcome::Allowed, "allowed"),
        (Outcome::Denied, "denied"),
        (Outcome::ApprovalRequired, "approval_required"),
    ];

    /// The outcome's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        let [(_, allowed), (_, denied), (_, approval_required)] = Self::WORDS;
        match self {
            Outcome::Allowed => allowed,
            Outcome::Denied => denied,
            Outcome::ApprovalRequired => approval_required,
        }
    }

    /// True if the call goes out.
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        matches!(self, Outcome::Allowed)
    }
}

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(word: &str) -> Result<Self, UnknownOutcome> {
        let known = Self::WORDS.into_iter().find(|(_, known)| *known == word);
        known.map(|(outcome, _)| outcome).ok_or(UnknownOutcome)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, UnknownOutcome};

    #[test]
    fn every_word_is_read_as_it_is_written() {
        for (outcome, word) in Outcome::WORDS {
            assert_eq!(outcome.as_str(), word);
            assert_eq!(word.parse(), Ok(outcome));
            assert_eq!(outcome.is_allowed(), word == "allowed");
        }
        assert_eq!("Allowed".parse::<Outcome>(), Err(UnknownOutcome));
    }
}
