//! Why a command did not do what it was asked to, and the exit code for it (contract C2).

use std::fmt;
use std::io::Write as _;

use crate::shell::exit::{NOT_DONE, of_signal};
use crate::shell::stderr::prose;

/// The exit code for an answer that is no.
const NO: u8 = 1;
/// The exit code for a server that is no program.
const NOT_EXECUTABLE: u8 = 126;
/// The exit code for a server that is not there.
const NOT_FOUND: u8 = 127;

/// Why a command ended otherwise than with success.
#[derive(Debug)]
pub enum Error {
    /// The answer is no, and stdout tells why.
    AnswerIsNo,
    /// The answer is no, for this reason.
    No(anyhow::Error),
    /// Something could not be done, and the command has told what.
    Incomplete,
    /// It could not be done, for this reason.
    NotDone(anyhow::Error),
    /// The command line is wrong; or it asked for help, which is success.
    Usage(clap::Error),
    /// The server's program is not there.
    ServerNotFound(anyhow::Error),
    /// The server's program cannot be run.
    ServerNotExecutable(anyhow::Error),
    /// A signal of this number ended the command, which has no more to say.
    Signalled(u8),
    /// A signal of this number ended the command before it was done.
    Interrupted(u8, anyhow::Error),
    /// A session ended with this exit code: the server's, or 128+N after signal N.
    SessionEnded(u8),
}

impl Error {
    /// Success, or the answer no.
    ///
    /// # Errors
    /// The answer is no.
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

    /// Prints the reason on stderr, if there is one to tell (contract C3).
    pub fn report(&self) {
        match self {
            // Help that was asked for goes to stdout. Who left before its end has read enough.
            Error::Usage(error) => {
                let _ = error.print();
            }
            Error::No(error)
            | Error::NotDone(error)
            | Error::ServerNotFound(error)
            | Error::ServerNotExecutable(error)
            | Error::Interrupted(_, error) => {
                // If nobody reads stderr, the exit code has to say it.
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
