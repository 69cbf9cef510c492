//! How a server ended, and the exit codes that follow from it (contract C2).

/// The exit code for what could not be done: requests that are unanswered at the end, or any other failure.
pub const NOT_DONE: u8 = 2;

/// The exit code of what signal `number` ended: 128 more.
#[must_use]
pub const fn of_signal(number: u8) -> u8 {
    128_u8.saturating_add(number)
}

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
