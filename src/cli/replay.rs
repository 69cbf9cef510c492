//! `callgate replay`, as it is typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Format, place};

/// Options of `callgate replay`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  callgate replay --policy policy.json session.jsonl\n  callgate replay --policy new.json --against old.json session.jsonl"
)]
pub struct ReplayArgs {
    /// The policy file
    #[arg(long, value_name = "FILE", env = "CALLGATE_POLICY", hide_env_values = true, value_parser = place::path())]
    pub policy: PathBuf,

    /// Show only the calls that this policy decides otherwise
    #[arg(long, value_name = "FILE", value_parser = place::path())]
    pub against: Option<PathBuf>,

    /// End with 1 if a call is not allowed, or decided otherwise than by `--against`
    #[arg(long, value_name = "WHAT", value_enum)]
    pub fail_on: Option<FailOn>,

    /// Decide it as with `wrap --shadow`
    #[arg(long)]
    pub shadow: bool,

    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,

    /// The recording: of `wrap --record`, or a client's own lines; `-` is stdin
    #[arg(value_name = "SESSION", default_value = "-", value_parser = place::file())]
    pub session: PathBuf,
}

/// What makes a replay end with 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// A call is not allowed
    Deny,
    /// A call is decided otherwise than by `--against`
    Change,
}
