//! The arguments of `callgate check`.

use std::path::PathBuf;

use clap::Args;

use super::{Format, place};

/// Options of `callgate check`.
#[derive(Debug, Args)]
#[command(
    about = "Validate policies and run their tests",
    long_about = "Validate policies and run their tests\n\nReport everything that is wrong with each policy, with its place, warn of probable mistakes, and run the tests that the policy contains.",
    override_usage = "callgate check [OPTIONS] FILE...",
    after_help = "Example: callgate check --deny-warnings policy.json"
)]
pub struct CheckArgs {
    /// Policy files
    #[arg(value_name = "FILE", required = true, value_parser = place::file())]
    pub files: Vec<PathBuf>,

    /// Exit with 1 if there is a warning
    #[arg(long)]
    pub deny_warnings: bool,

    /// How to print the result
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,
}
