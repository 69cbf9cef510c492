//! `callgate wrap`: run a server behind a policy.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

use crate::cli::{State, WrapArgs};
use crate::engine::limits::MemoryLedger;
use crate::engine::policy::Policy;
use crate::engine::session::{self, Session};
use crate::shell::file;
use crate::shell::notices::{Notices, Verbosity};
use crate::shell::relay::{self, Relay};
use crate::shell::signals::Signals;
use crate::shell::upstream::{Upstream, start_failure_code};
use crate::shell::watch::Watch;

use super::policy_file;
use super::server_name::server_name;
use super::{Failure, NOT_DONE};

/// Runs the server; returns what callgate is to end with.
///
/// # Errors
/// The policy is not valid, or the server cannot be started; nothing was run then.
pub fn wrap(args: &WrapArgs) -> Result<ExitCode, Failure> {
    let content = file::read(policy_file::POLICY, &args.policy)?;
    let policy = policy_file::load(&args.policy, &content)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("failed to start the event loop")?;
    runtime.block_on(async { Ok(start(args, content, policy)?.run().await) })
}

/// Starts the server, and everything around it.
fn start(args: &WrapArgs, content: Vec<u8>, policy: Policy) -> Result<Relay, Failure> {
    let mut notices = Notices::new(match (args.quiet, args.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    });
    // Before there is a server that a signal could leave behind.
    let signals = Signals::new().context("failed to take signals over")?;
    let server = Upstream::spawn(&args.command).map_err(|error| {
        let program = args.command.first().map(|program| program.to_string_lossy());
        let exit_code = start_failure_code(&error);
        let what = format!("failed to start server `{}`", program.unwrap_or_default());
        Failure { error: anyhow::Error::new(error).context(what), exit_code }
    })?;
    let name = args.server.clone().unwrap_or_else(|| server_name(&args.command));
    let policy_path = args.policy.display();
    let hello = format!("server `{name}`, grant `{}`, policy `{policy_path}`", args.grant);
    notices.say(Verbosity::Verbose, &hello);
    for danger in policy_file::dangers(&args.policy) {
        notices.say(Verbosity::Normal, &danger);
    }
    let session = session::Settings {
        shadow: args.shadow,
        recording: notices.shows_records(),
        lockstep: args.lockstep,
    };
    let session = Session::new(Arc::new(policy), session);
    let ledger = match args.state {
        State::Memory => Box::new(MemoryLedger::default()),
    };
    let path = args.policy.clone();
    let watch = Watch::new(policy_file::POLICY, path, content, policy_file::load)
        .context("failed to watch the policy")?;
    let settings =
        relay::Settings { max_frame: args.max_frame, drain: args.drain, lockstep: args.lockstep };
    Relay::new(session, ledger, notices, settings, watch, signals, server)
        .context("failed to open stdin and stdout")
        .map_err(|error| Failure { error, exit_code: NOT_DONE })
}
