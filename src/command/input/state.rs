//! Turns `--state` into the shell's type.

use crate::cli::TypedState;
use crate::shell::state_dir::State;

/// The state that was typed, or the default one.
///
/// # Errors
/// The default state was requested, and there is no known home directory.
pub fn state_of(typed: &TypedState) -> anyhow::Result<State> {
    Ok(match typed {
        TypedState::Default => State::default_directory()?,
        TypedState::Directory(directory) => State::Directory(directory.clone()),
        TypedState::Redis(url) => State::Redis(url.clone()),
        TypedState::Memory => State::Memory,
    })
}
