//! The arguments of `callgate import`.

use std::path::PathBuf;

use clap::Args;

use super::{Format, place};

/// Options of `callgate import`.
#[derive(Debug, Args)]
#[command(
    about = "Convert an Intercept policy (YAML)",
    long_about = "Convert an Intercept policy (YAML)\n\nConvert a policy of Intercept into a policy of callgate that decides the same way.",
    override_usage = "callgate import [OPTIONS] FILE",
    after_help = "Example: callgate import intercept.yaml -o imported.json\n\nWhat callgate cannot express exactly is an error with its place. Notes on stderr tell where callgate\nbehaves differently."
)]
pub struct ImportArgs {
    /// The Intercept policy, in YAML
    #[arg(value_name = "FILE", value_parser = place::file())]
    pub file: PathBuf,

    /// Write the policy to this new file; `-` is stdout [default: stdout]
    #[arg(short, long, value_name = "FILE", value_parser = place::path())]
    pub output: Option<PathBuf>,

    /// How to print the result; `json` puts policy, notes and errors in one object
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,
}
