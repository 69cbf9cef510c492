//! `--state`, as the shell knows it.

use crate::cli::TypedState;
use crate::shell::state_dir::State;

/// The state that was typed, or the default one.
///
/// # Errors
/// The default one is meant, and no home directory is known.
pub fn state_of(typed: &TypedState) -> anyhow::Result<State> {
    Ok(match typed {
        TypedState::Default => State::default_directory()?,
        TypedState::Directory(directory) => State::Directory(directory.clone()),
        TypedState::Redis(url) => State::Redis(url.clone()),
        TypedState::Memory => State::Memory,
    })
}
