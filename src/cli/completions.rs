//! The arguments of `callgate completions`.

use clap::Args;
use clap_complete::Shell;

/// Options of `callgate completions`.
#[derive(Debug, Args)]
#[command(
    about = "Print a completion script for a shell",
    after_help = "Example: callgate completions bash > ~/.local/share/bash-completion/completions/callgate"
)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}
