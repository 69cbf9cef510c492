//! How a server ended.

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code, or 128+N if signal N ended it.
    pub code: u8,
}

impl Exit {
    /// The message for requests that are still unanswered (contract W4).
    #[must_use]
    pub fn message(self) -> String {
        format!("server exited with status {}", self.code)
    }
}
