//! One file a verb. Each turns what was typed into values, and runs them.

pub mod input;
pub mod show;

pub mod check;
pub mod completions;
pub mod explain;
pub mod help;
pub mod import;
pub mod log;
pub mod replay;
pub mod scan;
pub mod schema;
pub mod status;
pub mod wrap;

/// The exit code for an answer that is no (contract C2).
pub const NO: u8 = 1;

/// The exit code for what could not be done (contract C2).
pub const NOT_DONE: u8 = 2;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub struct Failure {
    /// For people, with its causes.
    pub error: anyhow::Error,
    /// For scripts.
    pub exit_code: u8,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure { error, exit_code: NOT_DONE }
    }
}
