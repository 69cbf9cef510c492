//! Errors of the commands, and their exit codes (contract C2).

use std::fmt;
use std::io::Write as _;

use crate::shell::exit::{NOT_DONE, of_signal};
use crate::shell::stderr::prose;

/// The exit code for a negative answer.
const NO: u8 = 1;
/// The exit code for a server that is not executable.
const NOT_EXECUTABLE: u8 = 126;
/// The exit code for a server that is not found.
const NOT_FOUND: u8 = 127;

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Error {
    /// A negative answer; stdout has the reason.
    AnswerIsNo,
    /// A negative answer, for this reason.
    No(anyhow::Error),
    /// A failure that the command has already reported.
    Incomplete,
    /// A failure, for this reason.
    NotDone(anyhow::Error),
    /// A wrong command line; or a request for help, which is success.
    Usage(clap::Error),
    /// The server's program is not found.
    ServerNotFound(anyhow::Error),
    /// The server's program cannot be executed.
    ServerNotExecutable(anyhow::Error),
    /// A signal with this number ended the command, which has nothing more to report.
    Signalled(u8),
    /// A signal with this number ended the command early.
    Interrupted(u8, anyhow::Error),
    /// The session ended with this exit code: the server's, or 128+N after signal N.
    SessionEnded(u8),
}

impl Error {
    /// Turns a positive or negative answer into a result.
    ///
    /// # Errors
    /// The answer is negative.
    pub fn unless(is_yes: bool) -> Result<(), Self> {
        if is_yes { Ok(()) } else { Err(Error::AnswerIsNo) }
    }

    /// The exit code (contract C2).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::AnswerIsNo | Error::No(_) => NO,
            Error::Incomplete | Error::NotDone(_) => NOT_DONE,
            Error::Usage(error) => u8::try_from(error.exit_code()).unwrap_or(NOT_DONE),
            Error::ServerNotFound(_) => NOT_FOUND,
            Error::ServerNotExecutable(_) => NOT_EXECUTABLE,
            Error::Signalled(number) | Error::Interrupted(number, _) => of_signal(*number),
            Error::SessionEnded(code) => *code,
        }
    }

    /// Prints the reason on stderr, if there is one (contract C3).
    pub fn report(&self) {
        match self {
            // Help that was requested goes to stdout. Its reader may leave early.
            Error::Usage(error) => {
                let _ = error.print();
            }
            Error::No(error)
            | Error::NotDone(error)
            | Error::ServerNotFound(error)
            | Error::ServerNotExecutable(error)
            | Error::Interrupted(_, error) => {
                // Without a reader of stderr, the exit code has to tell.
                let _ = writeln!(std::io::stderr(), "error: {}", prose(error));
            }
            Error::AnswerIsNo
            | Error::Incomplete
            | Error::Signalled(_)
            | Error::SessionEnded(_) => {}
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::No(error)
            | Error::NotDone(error)
            | Error::ServerNotFound(error)
            | Error::ServerNotExecutable(error)
            | Error::Interrupted(_, error) => write!(f, "{error:#}"),
            Error::Usage(error) => error.fmt(f),
            other => write!(f, "exit code {}", other.exit_code()),
        }
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Error::NotDone(error)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::Error;

    /// contract C2
    #[test]
    fn every_error_has_its_exit_code() {
        let cases = [
            (Error::AnswerIsNo, 1),
            (Error::No(anyhow!("x")), 1),
            (Error::Incomplete, 2),
            (Error::NotDone(anyhow!("x")), 2),
            (Error::ServerNotFound(anyhow!("x")), 127),
            (Error::ServerNotExecutable(anyhow!("x")), 126),
            (Error::Signalled(15), 143),
            (Error::Interrupted(2, anyhow!("x")), 130),
            (Error::SessionEnded(7), 7),
        ];
        for (error, code) in cases {
            assert_eq!(error.exit_code(), code, "{error}");
        }
    }
}
