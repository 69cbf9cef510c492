//! `callgate wrap`: run a server behind a policy.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

use crate::cli::{State, WrapArgs};
use crate::engine::limits::MemoryLedger;
use crate::engine::session::{Session, Settings};
use crate::shell::notices::{Notices, Verbosity};
use crate::shell::relay::Relay;
use crate::shell::signals::Signals;
use crate::shell::upstream::{Upstream, start_failure_code};

use super::policy_file;
use super::server_name::server_name;
use super::{Failure, NOT_DONE};

/// Runs the server; returns what callgate is to end with.
///
/// # Errors
/// The policy is not valid, or the server cannot be started; nothing was run then.
pub fn wrap(args: &WrapArgs) -> Result<ExitCode, Failure> {
    let policy = policy_file::load(&args.policy)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("failed to start the event loop")?;
    runtime.block_on(async {
        let verbosity = match (args.quiet, args.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        let mut notices = Notices::new(verbosity);
        let settings = Settings { shadow: args.shadow, recording: notices.shows_records() };
        let session = Session::new(Arc::new(policy), settings);
        let ledger = match args.state {
            State::Memory => Box::new(MemoryLedger::default()),
        };
        // Before there is a server that a signal could leave behind.
        let signals = Signals::new().context("failed to take signals over")?;
        let server = Upstream::spawn(&args.command).map_err(|error| {
            let program = args.command.first().map(|program| program.to_string_lossy());
            let exit_code = start_failure_code(&error);
            let what = format!("failed to start server `{}`", program.unwrap_or_default());
            Failure { error: anyhow::Error::new(error).context(what), exit_code }
        })?;
        let name = args.server.clone().unwrap_or_else(|| server_name(&args.command));
        let hello =
            format!("server `{name}`, grant `{}`, policy `{}`", args.grant, args.policy.display());
        notices.say(Verbosity::Verbose, &hello);
        let relay = Relay::new(session, ledger, notices, args.max_frame, signals, server)
            .context("failed to open stdin and stdout")
            .map_err(|error| Failure { error, exit_code: NOT_DONE })?;
        Ok(relay.run().await)
    })
}
