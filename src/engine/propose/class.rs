//! Classes of tools, and their risks.

use crate::engine::text::words::words;

/// The class of a tool, from the most to the least harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It looks something up, or works something out.
    Read,
    /// It makes, changes or sends something.
    Write,
    /// It runs something, and what that does is open.
    Execute,
    /// Nothing that can be read says what it does: it may do anything.
    Unknown,
    /// It moves money, or commits somebody to pay.
    Financial,
    /// It takes something away.
    Destructive,
}

words!(Class {
    Read => "Read",
    Write => "Write",
    Execute => "Execute",
    Unknown => "Unknown",
    Financial => "Financial",
    Destructive => "Destructive",
});

/// The damage that a wrong call can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Hardly any.
    Low,
    /// It can be mended.
    Medium,
    /// It may be felt by others, or be hard to mend.
    High,
    /// Nothing mends it.
    Critical,
}

words!(Risk { Low => "Low", Medium => "Medium", High => "High", Critical => "Critical" });

impl Risk {
    /// One step worse, if there is one.
    #[must_use]
    pub fn worse(self) -> Self {
        match self {
            Risk::Low => Risk::Medium,
            Risk::Medium => Risk::High,
            Risk::High | Risk::Critical => Risk::Critical,
        }
    }
}
