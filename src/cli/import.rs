//! `callgate import`, as it is typed.

use std::path::PathBuf;

use clap::Args;

/// Options of `callgate import`.
#[derive(Debug, Args)]
#[command(
    override_usage = "callgate import [OPTIONS] FILE",
    after_help = "Example: callgate import intercept.yaml -o imported.json\n\nWhat cannot be said exactly is an error with its place; what callgate does in another way is noted on stderr."
)]
pub struct ImportArgs {
    /// A policy of Intercept, in YAML
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Where to write the policy, a file that is not there yet, instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
