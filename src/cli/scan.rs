//! `callgate scan`, as it is typed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::parse::parse_seconds;
use super::{Format, place};

/// Options of `callgate scan`.
#[derive(Debug, Args)]
#[command(
    override_usage = "callgate scan [OPTIONS] -- COMMAND [ARGS]...\n       callgate scan [OPTIONS] --sessions FILE...",
    after_help = "Examples:\n  callgate scan -o proposal.json -- npx -y @modelcontextprotocol/server-everything\n  callgate scan --update policy.json -- npx -y @modelcontextprotocol/server-everything\n  callgate scan --sessions session.jsonl"
)]
pub struct ScanArgs {
    /// Write the policy to this new file [default: stdout, or the file of `--update`]; `-` is stdout
    #[arg(short, long, value_name = "FILE", value_parser = place::path())]
    pub output: Option<PathBuf>,

    /// Add the tools that this policy does not name yet, and touch nothing else of it
    #[arg(long, value_name = "POLICY", value_parser = place::path())]
    pub update: Option<PathBuf>,

    /// Permit what was called in these recordings, and not much more of it; `-` is stdin
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "command", value_parser = place::path())]
    pub sessions: Vec<PathBuf>,

    /// How long the server has for each answer
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    pub timeout: Duration,

    /// How the result is printed: with `json`, the verdicts stand beside the policy on stdout
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,

    /// The server's command and its arguments
    #[arg(value_name = "COMMAND", required_unless_present = "sessions", trailing_var_arg = true)]
    pub command: Vec<OsString>,
}
