//! What can be typed: commands, options and their help texts. No logic.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};

/// A policy gate for MCP servers on stdio.
///
/// callgate runs an MCP server and decides every tool call by a policy file before the server sees it.
#[derive(Debug, Parser)]
#[command(name = "callgate", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an MCP server behind a policy
    Wrap(WrapArgs),
}

/// Options of `callgate wrap`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch that is typed")]
#[command(
    override_usage = "callgate wrap --policy FILE [OPTIONS] -- COMMAND [ARGS]...",
    after_help = "Example: callgate wrap --policy policy.json -- npx -y @modelcontextprotocol/server-everything"
)]
pub struct WrapArgs {
    /// The policy file
    #[arg(long, value_name = "FILE", env = "CALLGATE_POLICY")]
    pub policy: PathBuf,

    /// The server's name in counters and records [default: taken from the command]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub server: Option<String>,

    /// The identity that counters are kept for
    #[arg(long, value_name = "NAME", env = "CALLGATE_GRANT", default_value = "default", value_parser = NonEmptyStringValueParser::new())]
    pub grant: String,

    /// Where counters are kept: `memory`, for this run only
    #[arg(long, value_name = "STATE", env = "CALLGATE_STATE", default_value = "memory")]
    pub state: State,

    /// Decide and report, but never block
    #[arg(long)]
    pub shadow: bool,

    /// The longest message in bytes; KiB, MiB or GiB may follow the number
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size)]
    pub max_frame: usize,

    /// Send a request only when the one before it has been answered, for piped sessions
    #[arg(long)]
    pub lockstep: bool,

    /// How long to wait for the next answer when the client has closed its end, or in lockstep
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    pub drain: Duration,

    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Show every decision on stderr
    #[arg(short, long)]
    pub verbose: bool,

    /// The server's command and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

/// Values of `--state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum State {
    /// Counters of this run only.
    Memory,
}

/// Frames are indexed with 32 bits.
const LARGEST_FRAME: u64 = 2 * 1024 * 1024 * 1024;

/// A year; longer is a mistake.
const LONGEST_DRAIN: f64 = 366.0 * 86_400.0;

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.0..=LONGEST_DRAIN).contains(&seconds) {
        return Err("a time is from 0 seconds to a year".to_owned());
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn parse_size(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text.strip_prefix(digits).unwrap_or_default() {
        "" | "B" => 1,
        "K" | "KiB" => 1024,
        "M" | "MiB" => 1024 * 1024,
        "G" | "GiB" => 1024 * 1024 * 1024,
        _ => return Err("the unit is one of KiB, MiB, GiB".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "not a whole number".to_owned())?;
    number
        .checked_mul(unit)
        .filter(|size| (1..=LARGEST_FRAME).contains(size))
        .and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| "a size is from 1 byte to 2 GiB".to_owned())
}
