//! The name of the server in this run (contract C4), and hints about it.

use anyhow::anyhow;

use crate::cli::{TypedState, WrapArgs};
use crate::command::input::server_name::{ServerName, older_name, server_name, working_directory};
use crate::shell::counters::sqlite;
use crate::shell::state_dir::State;

/// The name that was typed, or else the one taken from the command.
///
/// # Errors
/// The name would come from a path, but several machines share the counters: on another machine it could differ.
pub(super) fn name(args: &WrapArgs) -> anyhow::Result<String> {
    if let Some(name) = &args.server {
        return Ok(name.clone());
    }
    let ServerName { name, is_local } = server_name(&args.command, &working_directory());
    if is_local && matches!(args.state.state, TypedState::Redis(_)) {
        let what = format!(
            "the name would come from a path, as `{name}`, and differ on each machine; say `--server NAME`"
        );
        return Err(anyhow!(what).context("failed to name the server for counters in Redis"));
    }
    Ok(name)
}

/// A hint for users whose counters are under the name that an older callgate gave the server, with none under its
/// current name. It says how to continue them.
pub(super) fn hint(args: &WrapArgs, state: &State, name: &str) -> Option<String> {
    if args.server.is_some() || !matches!(state, State::Directory(_)) {
        return None;
    }
    let older = older_name(&args.command);
    if older == name {
        return None;
    }
    let directory = state.directory().ok()?;
    let [has_older, has_own] = sqlite::has_counters(&directory, [&older, name]);
    (has_older && !has_own).then(|| {
        format!("an older callgate kept counters under the name `{older}`, and this server is now `{name}`: `--server {older}` continues them")
    })
}
