//! `callgate explain`, as it is typed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::parse::parse_seconds;
use super::state::{State, parse_state};
use super::{Format, place};

/// Options of `callgate explain`.
#[derive(Debug, Args)]
#[command(
    override_usage = "callgate explain --policy FILE [OPTIONS] TOOL [ARGUMENTS]\n       callgate explain --policy FILE [OPTIONS] --matrix SESSION\n       callgate explain --policy FILE [OPTIONS] --matrix -- COMMAND [ARGS]...",
    after_help = "Examples:\n  callgate explain --policy policy.json create_refund '{\"amount\": 150}'\n  callgate explain --policy policy.json --server images image_generate\n  callgate explain --policy policy.json --matrix session.jsonl\n  callgate explain --policy policy.json --matrix -- npx -y @modelcontextprotocol/server-everything"
)]
pub struct ExplainArgs {
    /// The policy file
    #[arg(long, value_name = "FILE", env = "CALLGATE_POLICY", hide_env_values = true, value_parser = place::path())]
    pub policy: PathBuf,

    /// The tool that is called
    #[arg(value_name = "TOOL", required_unless_present = "matrix")]
    pub tool: Option<String>,

    /// The call's arguments: a JSON object
    #[arg(value_name = "ARGUMENTS", default_value = "{}")]
    pub arguments: String,

    /// Put the policy beside all tools that a server lists: in this recorded session, or when it is asked
    #[arg(long, value_name = "SESSION", num_args = 0..=1, conflicts_with = "tool", value_parser = place::path())]
    pub matrix: Option<Option<PathBuf>>,

    /// The server to ask for its tools: its command and arguments
    #[arg(value_name = "COMMAND", last = true, requires = "matrix")]
    pub command: Vec<OsString>,

    /// How long the server has for each answer
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    pub timeout: Duration,

    /// Count on from what this server's counters hold now; without it, and without `--state`, they are fresh
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,

    /// The identity whose counters these are
    #[arg(
        long,
        value_name = "NAME",
        env = "CALLGATE_GRANT",
        hide_env_values = true,
        default_value = "default"
    )]
    pub grant: String,

    /// Where they are kept: a directory, or `redis://…` [default: as for `wrap`]
    #[arg(long, value_name = "STATE", value_parser = parse_state)]
    pub state: Option<State>,

    /// Explain it as with `wrap --shadow`
    #[arg(long)]
    pub shadow: bool,

    /// How to print it
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,
}
