//! The program: parse, run, report.
#![allow(clippy::disallowed_methods, reason = "it reads its command line, and prints")]

use std::process::ExitCode;

use anyhow::Context as _;
use callgate::cli::Cli;
use callgate::command::{self, Error};
use callgate::shell::os;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.report();
            ExitCode::from(error.exit_code())
        }
    }
}

fn run() -> Result<(), Error> {
    // Before anything else: the environment is there from the first moment.
    os::hide_from_others().context("failed to hide callgate's memory from other processes")?;
    let cli = Cli::read(std::env::args_os()).map_err(Error::Usage)?;
    command::run(&cli.command)
}
