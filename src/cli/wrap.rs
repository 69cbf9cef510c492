//! The arguments of `callgate wrap`.

use super::place;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::parse::{parse_large_size, parse_seconds, parse_size};
use super::state::StateArgs;

/// Options of `callgate wrap`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch that is typed")]
#[command(
    about = "Run an MCP server behind a policy",
    long_about = "Run an MCP server behind a policy\n\nStart the server's COMMAND, pass MCP between stdin, stdout and the server, and decide every tool call by the policy. A denied call is answered in the server's place. The policy is reloaded when it changes.",
    override_usage = "callgate wrap --policy FILE [OPTIONS] -- COMMAND [ARGS]...",
    after_help = "Examples:\n  callgate wrap --policy policy.json -- npx -y @modelcontextprotocol/server-everything\n  callgate wrap --policy policy.json --shadow -v --record session.jsonl -- npx -y @modelcontextprotocol/server-everything"
)]
pub struct WrapArgs {
    /// The policy file
    #[arg(long, value_name = "FILE", env = "CALLGATE_POLICY", hide_env_values = true, value_parser = place::path())]
    pub policy: PathBuf,

    /// The server's name in counters and logs [default: taken from the command]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub server: Option<String>,

    /// The identity to keep counters for
    #[arg(long, value_name = "NAME", env = "CALLGATE_GRANT", hide_env_values = true, default_value = "default", value_parser = NonEmptyStringValueParser::new())]
    pub grant: String,

    /// Where counters are kept.
    #[command(flatten)]
    pub state: StateArgs,

    /// The audit log [default: `audit/SERVER.jsonl` in the state directory]
    #[arg(long, value_name = "FILE", conflicts_with = "no_audit", value_parser = place::path())]
    pub audit: Option<PathBuf>,

    /// Keep no audit log
    #[arg(long)]
    pub no_audit: bool,

    /// Log the values of arguments too, not only their names
    #[arg(long, conflicts_with = "no_audit")]
    pub audit_args: bool,

    /// How much of the audit log to keep; the oldest files are removed first
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_large_size)]
    pub audit_keep: u64,

    /// Record the session for `callgate replay`
    #[arg(long, value_name = "FILE", value_parser = place::path())]
    pub record: Option<PathBuf>,

    /// Decide and report, but block nothing
    #[arg(long)]
    pub shadow: bool,

    /// The longest message, in bytes or with KiB, MiB or GiB
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size)]
    pub max_frame: usize,

    /// Send a request only when the one before it is answered, for piped sessions
    #[arg(long)]
    pub lockstep: bool,

    /// How long to wait for the next answer once the client has closed its end, or with `--lockstep`
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    pub drain: Duration,

    /// Print nothing but errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Print every decision on stderr
    #[arg(short, long)]
    pub verbose: bool,

    /// The server's command and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    pub command: Vec<OsString>,
}
