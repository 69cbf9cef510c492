//! The result of a decision, and the word for it in all machine-readable output (contract C1).

use std::fmt;

use crate::engine::text::words::words;

/// The result of a decision on a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The call is forwarded.
    Allowed,
    /// The call is not forwarded.
    Denied,
    /// The call is not forwarded unless a human approves it.
    ApprovalRequired,
}

words!(Outcome {
    Allowed => "allowed",
    Denied => "denied",
    ApprovalRequired => "approval_required",
});

impl Outcome {
    /// True if the call is forwarded.
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        matches!(self, Outcome::Allowed)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn every_outcome_is_read_back_from_its_word() {
        for (word, outcome) in Outcome::WORDS {
            assert_eq!(outcome.word(), *word);
            assert_eq!(Outcome::from_word(word), Some(*outcome));
            assert_eq!(outcome.is_allowed(), *word == "allowed");
        }
        assert_eq!(Outcome::from_word("Allowed"), None);
    }
}
