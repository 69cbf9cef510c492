//! One file or folder for each verb. A verb turns the typed arguments into values, and runs them.

mod error;

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

use crate::cli::Command;

pub use self::error::Error;

/// Runs the verb that was typed.
///
/// # Errors
/// The verb did not end with success.
pub fn run(command: &Command) -> Result<(), Error> {
    match command {
        Command::Wrap(args) => wrap::wrap(args),
        Command::Scan(args) => scan::scan(args),
        Command::Check(args) => check::check(args),
        Command::Explain(args) => explain::explain(args),
        Command::Log(args) => log::log(args),
        Command::Status(args) => status::status(args),
        Command::Replay(args) => replay::replay(args),
        Command::Import(args) => import::import(args),
        Command::Schema(_) => schema::schema(),
        Command::Completions(args) => completions::completions(args),
        Command::Help(args) => help::help(args),
    }
}
