//! The arguments of `callgate status`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::state::KEPT;
use super::{Format, StateArgs, place};

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
    /// A verb, in place of showing the state.
    #[command(subcommand)]
    pub verb: Option<StatusVerb>,

    /// Which state to show.
    #[command(flatten)]
    pub view: ViewArgs,
}

/// The verbs of `callgate status`.
#[derive(Debug, Subcommand)]
pub enum StatusVerb {
    /// Reset a counter to zero
    Reset(ResetArgs),
}

/// Which state to show.
#[derive(Debug, Args)]
pub struct ViewArgs {
    /// Whose state.
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

    /// Whose counters.
    #[command(flatten)]
    pub whose: WhoseArgs,
}

/// Which part of the state to use, and how to print it.
#[derive(Debug, Args)]
#[command(mut_arg("state", |arg| arg.help(KEPT)))]
pub struct WhoseArgs {
    /// Only this server
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,

    /// Only this grant
    #[arg(long, value_name = "NAME")]
    pub grant: Option<String>,

    /// Where the state is.
    #[command(flatten)]
    pub state: StateArgs,

    /// An audit log in another place, as given to `wrap`
    #[arg(long, value_name = "FILE", value_parser = place::path())]
    pub audit: Vec<PathBuf>,

    /// How to print the result
    #[arg(long, value_enum, default_value = "text", hide_possible_values = false)]
    pub format: Format,
}
