//! The server's command: its tools, and the errors if it cannot be started.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use anyhow::anyhow;

use super::server_name::{server_name, working_directory};
use crate::command::Error;
use crate::engine::wire::discovery::Listed;
use crate::shell::relay::probe::{self, ProbeError, TimeLimits};

/// The server's program, for messages. Its arguments may hold secrets, so no message shows them.
#[must_use]
pub fn program(command: &[OsString]) -> String {
    command.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The error for a server that could not be started (contract C2).
#[must_use]
pub fn not_started(command: &[OsString], error: io::Error) -> Error {
    let is_missing = error.kind() == io::ErrorKind::NotFound;
    let what = format!("failed to start server `{}`", program(command));
    let error = anyhow::Error::new(error).context(what);
    if is_missing { Error::ServerNotFound(error) } else { Error::ServerNotExecutable(error) }
}

/// How long a server may take for its whole list (contract S5).
const LONGEST: Duration = Duration::from_mins(10);

/// Starts a server, reads its list of tools, and stops it. `patience` is the time limit for each answer.
///
/// # Errors
/// The server cannot be started or does not answer, or a signal stops callgate meanwhile.
pub fn tools(command: &[OsString], patience: Duration) -> Result<Listed, Error> {
    let name = server_name(command, &working_directory()).name;
    let what = || format!("failed to list the tools of server `{name}`");
    let limits = TimeLimits { each: patience, all: LONGEST };
    probe::tools(command, limits).map_err(|error| match error {
        ProbeError::NotStarted(error) => not_started(command, error),
        ProbeError::Signalled(number) => {
            Error::Interrupted(number, anyhow!("stopped by signal {number}").context(what()))
        }
        ProbeError::Unanswered(error) => error.context(what()).into(),
    })
}
