//! The arguments of `callgate replay`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Format, place};

/// Options of `callgate replay`.
#[derive(Debug, Args)]
#[command(
    about = "Decide a recorded session again",
    long_about = "Decide a recorded session again\n\nDecide every call of a recorded session by the policy and by the recording's own clock, offline. With --against, compare two policies.",
    after_help = "Examples:\n  callgate replay --policy policy.json session.jsonl\n  callgate replay --policy new.json --against old.json session.jsonl"
)]
pub struct ReplayArgs {
    /// The policy file
    #[arg(long, value_name = "FILE", env = "CALLGATE_POLICY", hide_env_values = true, value_parser = place::path())]
    pub policy: PathBuf,

    /// Show only the calls that this policy decides differently
    #[arg(long, value_name = "FILE", value_parser = place::path())]
    pub against: Option<PathBuf>,

    /// Exit with 1 if a call is not allowed, or is decided differently than by `--against`
    #[arg(long, value_name = "WHAT", value_enum)]
    pub fail_on: Option<FailOn>,

    /// Decide as `wrap --shadow` does
    #[arg(long)]
    pub shadow: bool,

    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,

    /// A recording made by `wrap --record`, or the lines of a client; `-` is stdin
    #[arg(value_name = "SESSION", default_value = "-", value_parser = place::file())]
    pub session: PathBuf,
}

/// When a replay ends with 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// A call is not allowed
    Deny,
    /// A call is decided differently than by `--against`
    Change,
}
