//! What can be typed: commands, options and their help texts, one file a verb. No logic.

mod check;
mod completions;
mod explain;
mod import;
mod log;
mod parse;
mod place;
mod replay;
mod scan;
mod schema;
mod state;
mod status;
mod wrap;

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand, ValueEnum};

use crate::engine::visible::escape_line;

pub use check::CheckArgs;
pub use completions::CompletionsArgs;
pub use explain::ExplainArgs;
pub use import::ImportArgs;
pub use log::{LogArgs, LogFiles, LogVerb, QueryArgs, VerifyArgs};
pub use parse::Since;
pub use replay::{FailOn, ReplayArgs};
pub use scan::ScanArgs;
pub use schema::SchemaArgs;
pub use state::{State, StateArgs};
pub use status::{ResetArgs, StatusArgs, StatusVerb, ViewArgs, WhoseArgs};
pub use wrap::WrapArgs;

/// A policy gate for MCP servers on stdio.
///
/// callgate runs an MCP server and decides every tool call by a policy file before the server sees it.
#[derive(Debug, Parser)]
#[command(
    name = "callgate",
    bin_name = "callgate",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_long_help = "Example: callgate wrap --policy policy.json -- npx -y @modelcontextprotocol/server-everything\n\n`callgate COMMAND --help` says more."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads a command line.
    ///
    /// # Errors
    /// It is wrong, or asks for help: what is to be printed. What was typed is escaped in it (SPEC C1).
    pub fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(line).map_err(escaped)
    }
}

/// An error in which everything that may hold an argument is escaped.
fn escaped(mut error: clap::Error) -> clap::Error {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return error;
    }
    let escape = |text: &String| escape_line(text).into_owned();
    let context: Vec<(ContextKind, ContextValue)> = error
        .context()
        .filter_map(|(kind, value)| {
            let value = match value {
                ContextValue::String(text) => ContextValue::String(escape(text)),
                ContextValue::Strings(texts) => {
                    ContextValue::Strings(texts.iter().map(escape).collect())
                }
                ContextValue::StyledStrs(texts) => {
                    let texts = texts.iter().map(|text| escape(&text.to_string()).into());
                    ContextValue::StyledStrs(texts.collect())
                }
                // The usage, and numbers: they hold nothing that was typed.
                _ => return None,
            };
            Some((kind, value))
        })
        .collect();
    for (kind, value) in context {
        error.insert(kind, value);
    }
    error
}

/// The verbs. Only the options of the one that is typed are put together.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Run an MCP server behind a policy
    Wrap(WrapArgs),
    /// Propose a policy for the tools of a server
    Scan(ScanArgs),
    /// Look for what is wrong with policies, and run their tests
    Check(CheckArgs),
    /// Say what a policy makes of a call, and why
    Explain(ExplainArgs),
    /// Show running sessions, counters and recent denials; give quota back
    Status(StatusArgs),
    /// Show, follow and verify the audit log
    Log(LogArgs),
    /// Decide a recorded session again
    Replay(ReplayArgs),
    /// Turn a policy of Intercept (YAML) into one of callgate
    Import(ImportArgs),
    /// Print the JSON Schema of the policy file, for editors
    Schema(SchemaArgs),
    /// Print what a shell needs to complete the command line
    Completions(CompletionsArgs),
}

/// Values of `--format`, which every command takes that prints a result (SPEC C1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}
