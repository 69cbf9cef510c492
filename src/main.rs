//! The program: parse, dispatch, report.

use std::io::Write as _;
use std::process::ExitCode;

use callgate::cli::{Cli, Command};
use callgate::command::wrap::wrap;
use clap::Parser as _;

/// An error and its causes on one line (SPEC C3). The operating system's own number helps nobody.
fn prose(error: &anyhow::Error) -> String {
    let causes = error.chain().map(|cause| {
        let text = cause.to_string();
        text.split(" (os error ").next().map(str::to_owned).unwrap_or(text)
    });
    causes.collect::<Vec<_>>().join(": ")
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Wrap(args) => wrap(&args),
    };
    done.unwrap_or_else(|failure| {
        // Nobody reads stderr: the exit code has to say it.
        let _ = writeln!(std::io::stderr(), "error: {}", prose(&failure.error));
        ExitCode::from(failure.exit_code)
    })
}
