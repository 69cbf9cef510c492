//! `callgate completions`: prints a completion script for a shell.

use clap::CommandFactory as _;

use crate::cli::{Cli, CompletionsArgs};

use super::Error;
use super::show::stdout;

/// Prints the completion script for a shell.
///
/// # Errors
/// stdout cannot be written.
pub fn completions(args: &CompletionsArgs) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "callgate", &mut script);
    stdout::result(|out| Ok(out.write_all(&script)?))?;
    Ok(())
}
