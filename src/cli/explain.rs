//! The arguments of `callgate explain`.

use super::{Format, place};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::parse::parse_seconds;
use super::state::{TypedState, parse_state};

/// Options of `callgate explain`.
#[derive(Debug, Args)]
#[command(
    about = "Explain how a policy decides a call",
    long_about = "Explain how a policy decides a call\n\nDecide one call of TOOL, and print each step: the entries that match, each condition with the value it found, each limit with what it holds. Nothing is charged. With --matrix, show how the policy decides every tool of a server.",
    override_usage = "callgate explain --policy FILE [OPTIONS] TOOL [ARGUMENTS]\n       callgate explain --policy FILE [OPTIONS] --matrix SESSION\n       callgate explain --policy FILE [OPTIONS] --matrix -- COMMAND [ARGS]...",
    after_help = "Examples:\n  callgate explain --policy policy.json create_refund '{\"amount\": 150}'\n  callgate explain --policy policy.json --server images image_generate\n  callgate explain --policy policy.json --matrix session.jsonl\n  callgate explain --policy policy.json --matrix -- npx -y @modelcontextprotocol/server-everything"
)]
pub struct ExplainArgs {
    /// The policy file
    #[arg(long, value_name = "FILE", env = "CALLGATE_POLICY", hide_env_values = true, value_parser = place::path())]
    pub policy: PathBuf,

    /// The tool to call
    #[arg(value_name = "TOOL", required_unless_present = "matrix")]
    pub tool: Option<String>,

    /// Its arguments, as a JSON object
    #[arg(value_name = "ARGUMENTS", default_value = "{}")]
    pub arguments: String,

    /// Show how the policy decides every tool of a server: of a recorded session, or of COMMAND
    #[arg(long, value_name = "SESSION", num_args = 0..=1, conflicts_with = "tool", value_parser = place::path())]
    pub matrix: Option<Option<PathBuf>>,

    /// The server's command and its arguments; it is asked for its tools
    #[arg(value_name = "COMMAND", last = true, requires = "matrix")]
    pub command: Vec<OsString>,

    /// How long the server may take for each answer
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    pub timeout: Duration,

    /// Start from this server's current counters [default: counters at zero, unless `--state` is given]
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,

    /// The grant whose counters to use
    #[arg(
        long,
        value_name = "NAME",
        env = "CALLGATE_GRANT",
        hide_env_values = true,
        default_value = "default"
    )]
    pub grant: String,

    /// Where the counters are: a directory, or `redis://…` [default: as for `wrap`]
    #[arg(long, value_name = "STATE", value_parser = parse_state)]
    pub state: Option<TypedState>,

    /// Decide as `wrap --shadow` does
    #[arg(long)]
    pub shadow: bool,

    /// How to print the result
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,
}
