//! `callgate explain`, as it is typed.

use std::path::PathBuf;

use clap::Args;

use super::Format;

/// Options of `callgate explain`.
#[derive(Debug, Args)]
#[command(
    override_usage = "callgate explain --policy FILE [OPTIONS] TOOL [ARGUMENTS]\n       callgate explain --policy FILE [OPTIONS] --matrix SESSION",
    after_help = "Examples:\n  callgate explain --policy policy.json create_refund '{\"amount\": 150}'\n  callgate explain --policy policy.json --matrix session.jsonl"
)]
pub struct ExplainArgs {
    /// The policy file
    #[arg(long, value_name = "FILE", env = "CALLGATE_POLICY")]
    pub policy: PathBuf,

    /// The tool that is called
    #[arg(value_name = "TOOL", required_unless_present = "matrix")]
    pub tool: Option<String>,

    /// The call's arguments: a JSON object
    #[arg(value_name = "ARGUMENTS", default_value = "{}")]
    pub arguments: String,

    /// Put the policy beside all tools that a server lists in this recorded session
    #[arg(long, value_name = "SESSION", conflicts_with = "tool")]
    pub matrix: Option<PathBuf>,

    /// Explain it as with `wrap --shadow`
    #[arg(long)]
    pub shadow: bool,

    /// How to print it
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,
}
