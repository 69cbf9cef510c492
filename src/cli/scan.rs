//! The arguments of `callgate scan`.

use super::{Format, place};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::parse::parse_seconds;

/// Options of `callgate scan`.
#[derive(Debug, Args)]
#[command(
    about = "Propose a policy from a server's tools",
    long_about = "Propose a policy from a server's tools\n\nStart the server's COMMAND, ask for its tools, and write a policy for them: readers are free, writers are limited, the rest needs approval or is hidden. No tool is called. Or learn the policy from recordings.",
    override_usage = "callgate scan [OPTIONS] -- COMMAND [ARGS]...\n       callgate scan [OPTIONS] --sessions FILE...",
    after_help = "Examples:\n  callgate scan -o proposal.json -- npx -y @modelcontextprotocol/server-everything\n  callgate scan --update policy.json -- npx -y @modelcontextprotocol/server-everything\n  callgate scan --sessions session.jsonl"
)]
pub struct ScanArgs {
    /// Write the policy to this new file; `-` is stdout [default: stdout, or the file of `--update`]
    #[arg(short, long, value_name = "FILE", value_parser = place::path())]
    pub output: Option<PathBuf>,

    /// Add the tools that this policy does not name yet; change nothing else
    #[arg(long, value_name = "POLICY", value_parser = place::path())]
    pub update: Option<PathBuf>,

    /// Learn the policy from recordings: permit what was called, about as often; `-` is stdin
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "command", value_parser = place::path())]
    pub sessions: Vec<PathBuf>,

    /// How long the server may take for each answer
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    pub timeout: Duration,

    /// How to print the result; `json` puts policy and verdicts in one object
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,

    /// The server's command and its arguments
    #[arg(value_name = "COMMAND", required_unless_present = "sessions", trailing_var_arg = true)]
    pub command: Vec<OsString>,
}
