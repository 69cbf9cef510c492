//! The program: parse, dispatch, report.

use std::io::Write as _;
use std::process::ExitCode;

use callgate::cli::{Cli, Command};
use callgate::command::check::check;
use callgate::command::completions::completions;
use callgate::command::explain::explain;
use callgate::command::help::help;
use callgate::command::import::import;
use callgate::command::log::log;
use callgate::command::replay::replay;
use callgate::command::scan::scan;
use callgate::command::schema::schema;
use callgate::command::status::status;
use callgate::command::wrap::wrap;
use callgate::shell::notices::prose;
use clap::Parser as _;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Wrap(args) => wrap(&args),
        Command::Scan(args) => scan(&args),
        Command::Check(args) => check(&args),
        Command::Explain(args) => explain(&args),
        Command::Log(args) => log(&args),
        Command::Status(args) => status(&args),
        Command::Replay(args) => replay(&args),
        Command::Import(args) => import(&args),
        Command::Schema(_) => schema(),
        Command::Completions(args) => completions(&args),
        Command::Help(args) => help(&args),
    };
    done.unwrap_or_else(|failure| {
        // Nobody reads stderr: the exit code has to say it.
        let _ = writeln!(std::io::stderr(), "error: {}", prose(&failure.error));
        ExitCode::from(failure.exit_code)
    })
}
