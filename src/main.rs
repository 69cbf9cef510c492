//! The program: parse, dispatch, report.
#![allow(clippy::disallowed_methods, reason = "it reads its command line, and prints")]

use std::io::Write as _;
use std::process::ExitCode;

use callgate::cli::{Cli, Command};
use callgate::command::NOT_DONE;
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
use callgate::shell::os::privacy;
use callgate::shell::stderr::prose;

fn main() -> ExitCode {
    // Before anything else: the environment is there from the first moment.
    if let Err(error) = privacy::hide_from_others() {
        let what = "error: failed to hide callgate's memory from other processes";
        let _ = writeln!(std::io::stderr(), "{what}: {error}");
        return ExitCode::from(NOT_DONE);
    }
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Whoever left before the end of a help text has read enough.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(NOT_DONE));
        }
    };
    let done = match cli.command {
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
