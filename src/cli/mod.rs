//! The command line: commands, options and their help texts, one file a verb. No logic.

mod check;
mod completions;
mod explain;
mod help;
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

use crate::engine::text::escape::escape_line;

pub use check::CheckArgs;
pub use completions::CompletionsArgs;
pub use explain::ExplainArgs;
pub use help::{HelpArgs, PageFormat};
pub use import::ImportArgs;
pub use log::{LogArgs, LogFiles, LogVerb, QueryArgs, VerifyArgs};
pub use parse::Since;
pub use replay::{FailOn, ReplayArgs};
pub use scan::ScanArgs;
pub use schema::SchemaArgs;
pub use state::{StateArgs, TypedState};
pub use status::{ResetArgs, StatusArgs, StatusVerb, ViewArgs, WhoseArgs};
pub use wrap::WrapArgs;

/// The program's help: the verbs, grouped by task.
const HELP: &str = "\
{about-with-newline}
{usage-heading} {usage}

Run a server:
  wrap         Run an MCP server behind a policy

Write a policy:
  scan         Propose a policy from a server's tools
  check        Validate policies and run their tests
  explain      Explain how a policy decides a call
  replay       Decide a recorded session again
  import       Convert an Intercept policy (YAML)
  schema       Print the JSON Schema of policy files, for editors

See what happens:
  status       Show sessions, counters and recent denials; reset counters
  log          Show, follow and verify the audit log

Get help:
  help         Show the manual
  completions  Print a completion script for a shell

Options:
{options}

`callgate VERB --help` lists a verb's options; `callgate help` shows the manual.{after-help}
";

/// Run MCP servers behind a policy.
///
/// callgate runs an MCP server and decides every tool call by a policy file before the server sees it.
#[derive(Debug, Parser)]
#[command(
    name = "callgate",
    bin_name = "callgate",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    help_template = HELP,
    after_help = "Example: callgate wrap --policy policy.json -- npx -y @modelcontextprotocol/server-everything"
)]
pub struct Cli {
    /// The verb.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Parses a command line.
    ///
    /// # Errors
    /// The command line is wrong, or asks for help. The error is the text to print, with all arguments escaped
    /// (contract C1).
    pub fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let line: Vec<OsString> = line.into_iter().collect();
        Self::try_parse_from(&line).map_err(|error| escaped(of_variable(error, &line)))
    }
}

/// Options and the environment variables that replace them.
const VARIABLES: [(&str, &str); 3] =
    [("--policy", "CALLGATE_POLICY"), ("--state", "CALLGATE_STATE"), ("--grant", "CALLGATE_GRANT")];

/// An error that names the variable, not the option, if the wrong value came from the environment.
fn of_variable(mut error: clap::Error, line: &[OsString]) -> clap::Error {
    if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        return error;
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let (argument, value) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue));
    let option = argument.split(' ').next().unwrap_or_default();
    let Some((_, variable)) = VARIABLES.iter().find(|(name, _)| *name == option) else {
        return error;
    };
    let is = |word: &OsString, text: &str| word.to_string_lossy() == text;
    let joined = format!("{option}={value}");
    // An option without its value is followed by nothing, or by an empty word.
    let is_typed =
        line.iter().any(|word| is(word, &joined) || value.is_empty() && is(word, option))
            || line.iter().zip(line.iter().skip(1)).any(|(a, b)| is(a, option) && is(b, value));
    if !is_typed {
        error.insert(ContextKind::InvalidArg, ContextValue::String((*variable).to_owned()));
    }
    error
}

/// Escapes every part of an error that may hold an argument.
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
                // The usage and numbers hold nothing that was typed.
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

/// The verbs. Only the options of the typed verb are built.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Run an MCP server behind a policy
    Wrap(WrapArgs),
    /// Propose a policy from a server's tools
    Scan(ScanArgs),
    /// Validate policies and run their tests
    Check(CheckArgs),
    /// Explain how a policy decides a call
    Explain(ExplainArgs),
    /// Show sessions, counters and recent denials; reset counters
    Status(StatusArgs),
    /// Show, follow and verify the audit log
    Log(LogArgs),
    /// Decide a recorded session again
    Replay(ReplayArgs),
    /// Convert an Intercept policy (YAML)
    Import(ImportArgs),
    /// Print the JSON Schema of policy files, for editors
    Schema(SchemaArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Show the manual
    Help(HelpArgs),
}

/// Values of `--format`, an option of every command that prints a result (contract C1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}
