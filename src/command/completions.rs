//! `callgate completions`: what a shell needs to complete our command line.

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::{Cli, CompletionsArgs};

use super::Failure;
use super::show::stdout;

/// Prints the completions for a shell.
///
/// # Errors
/// stdout cannot be written.
pub fn completions(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "callgate", &mut script);
    stdout::result(|out| Ok(out.write_all(&script)?))?;
    Ok(ExitCode::SUCCESS)
}
