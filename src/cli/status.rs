//! `callgate status`, as it is typed.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::{Format, KeptStateArgs, place};

/// Options of `callgate status`.
#[derive(Debug, Args)]
#[command(
    about = "Show sessions, counters and recent denials; reset counters",
    long_about = "Show sessions, counters and recent denials; reset counters\n\nShow, for each server and grant, the running sessions, how much of each limit is used, and what was denied lately.",
    override_usage = "callgate status [OPTIONS]\n       callgate status reset [OPTIONS] COUNTER",
    args_conflicts_with_subcommands = true,
    after_help = "Example: callgate status --watch"
)]
pub struct StatusArgs {
    /// What to do instead of showing it.
    #[command(subcommand)]
    pub verb: Option<StatusVerb>,

    /// What to show.
    #[command(flatten)]
    pub view: ViewArgs,
}

/// What can be done with the state besides showing it.
#[derive(Debug, Subcommand)]
pub enum StatusVerb {
    /// Reset a counter to zero
    Reset(ResetArgs),
}

/// What is shown.
#[derive(Debug, Args)]
pub struct ViewArgs {
    /// Of whom.
    #[command(flatten)]
    pub whose: WhoseArgs,

    /// Show it again every second, until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
}

/// Options of `callgate status reset`.
#[derive(Debug, Args)]
#[command(
    about = "Reset a counter to zero",
    after_help = "Example: callgate status reset image_spend_usd --grant alice"
)]
pub struct ResetArgs {
    /// The counter's name in the policy
    #[arg(value_name = "COUNTER", value_parser = NonEmptyStringValueParser::new())]
    pub counter: String,

    /// Of whom.
    #[command(flatten)]
    pub whose: WhoseArgs,
}

/// What is meant of all that is kept, and how it is printed.
#[derive(Debug, Args)]
pub struct WhoseArgs {
    /// Only this server
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,

    /// Only this grant
    #[arg(long, value_name = "NAME")]
    pub grant: Option<String>,

    /// Where they are.
    #[command(flatten)]
    pub state: KeptStateArgs,

    /// An audit log in another place, as given to `wrap`
    #[arg(long, value_name = "FILE", value_parser = place::path())]
    pub audit: Vec<PathBuf>,

    /// How to print the result
    #[arg(long, value_enum, default_value = "text", hide_possible_values = false)]
    pub format: Format,
}
