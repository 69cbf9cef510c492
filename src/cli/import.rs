//! `callgate import`, as it is typed.

use std::path::PathBuf;

use clap::Args;

use super::{Format, place};

/// Options of `callgate import`.
#[derive(Debug, Args)]
#[command(
    override_usage = "callgate import [OPTIONS] FILE",
    after_help = "Example: callgate import intercept.yaml -o imported.json\n\nWhat cannot be said exactly is an error with its place; what callgate does in another way is noted on stderr."
)]
pub struct ImportArgs {
    /// A policy of Intercept, in YAML
    #[arg(value_name = "FILE", value_parser = place::file())]
    pub file: PathBuf,

    /// Write the policy to this new file [default: stdout]; `-` is stdout
    #[arg(short, long, value_name = "FILE", value_parser = place::path())]
    pub output: Option<PathBuf>,

    /// How the result is printed: with `json`, notes and errors stand beside the policy on stdout
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,
}
