//! `callgate wrap`: run a server behind a policy.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use crate::cli::WrapArgs;
use crate::engine::limits::MemoryLedger;
use crate::engine::session::{RecordDetail, Session, SessionOptions};
use crate::shell::audit::Audit;
use crate::shell::audit::event::{AuditEvent, Identity, SessionStarted};
use crate::shell::counters::Counters;
use crate::shell::counters::redis::RedisLedger;
use crate::shell::counters::sqlite::SqliteLedger;
use crate::shell::file;
use crate::shell::os::clock::{moment, rfc3339};
use crate::shell::registry::{Running, new_run};
use crate::shell::relay::effects::Effects;
use crate::shell::relay::recorder::Recorder;
use crate::shell::relay::{Relay, RelayOptions};
use crate::shell::signals;
use crate::shell::stderr::{Notices, Verbosity};
use crate::shell::upstream::Upstream;
use crate::shell::wakeup::{self, WakeupEvent};
use crate::shell::watch::LoadedPolicy;
use crate::shell::watch::Watch;

mod naming;

use super::Error;
use super::input::policy_file;
use super::input::server_command;
use super::input::state::state_of;
use crate::shell::state_dir::{self, State};

/// Runs the server, and ends with the status of the session.
///
/// # Errors
/// The policy is invalid or the server cannot be started, and nothing was run; or the session ended with an exit code
/// other than 0.
pub fn wrap(args: &WrapArgs) -> Result<(), Error> {
    let content = file::read(policy_file::POLICY, &args.policy)?;
    let policy = policy_file::load(&args.policy, &content)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("failed to start the event loop")?;
    let ended =
        runtime.block_on(async { Ok::<u8, Error>(start(args, content, policy)?.run().await) });
    // A pending name lookup must not delay the exit.
    runtime.shutdown_background();
    match ended? {
        0 => Ok(()),
        code => Err(Error::SessionEnded(code)),
    }
}

/// Starts the server and everything around it.
fn start(
    args: &WrapArgs,
    content: Vec<u8>,
    LoadedPolicy { policy, sha256 }: LoadedPolicy,
) -> Result<Relay, Error> {
    let mut notices = Notices::new(match (args.quiet, args.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    });
    let server_name = naming::name(args)?;
    let identity = Identity { server: server_name, grant: args.grant.clone(), session: new_run() };
    let state = state_of(&args.state.state)?;
    let directory = state_directory(args, &state)?;
    let audit = directory.as_deref().map(|directory| open_audit(args, directory, &identity));
    let audit = audit.transpose()?.flatten();
    let ledger = open_ledger(&state, directory.as_deref(), &identity)?;
    let log = directory.as_deref().filter(|_| audit.is_some());
    let log = log.map(|directory| audit_log(args, directory, &identity.server));
    let recorder = open_recorder(args, log.as_deref())?;
    let (wakeups, events) = wakeup::channel();
    // This comes before the server is started, so that no signal can leave it behind.
    signals::take_over(&wakeups).context("failed to take over signals")?;
    let server = Upstream::spawn(&args.command, wakeups.clone())
        .map_err(|error| server_command::not_started(&args.command, error))?;
    let policy_path = args.policy.display();
    let Identity { server: name, grant, .. } = &identity;
    let hello = format!("server `{name}`, grant `{grant}`, policy `{policy_path}`");
    notices.say(Verbosity::Verbose, &hello);
    let log = (audit.is_some()).then_some(directory.as_deref()).flatten();
    let log = log.map(|directory| audit_log(args, directory, name));
    let of_state = directory.as_deref().map(|found| state_dir::dangers(found, log.as_deref()));
    for danger in
        policy_file::dangers(&args.policy).into_iter().chain(of_state.into_iter().flatten())
    {
        notices.say(Verbosity::Normal, &danger);
    }
    if let Some(hint) = naming::hint(args, &state, &identity.server) {
        notices.say(Verbosity::Normal, &hint);
    }
    let options = SessionOptions {
        shadow: args.shadow,
        records: match &audit {
            Some(_) if args.audit_args => RecordDetail::Values,
            Some(_) => RecordDetail::Names,
            None if notices.shows_records() => RecordDetail::Names,
            None => RecordDetail::Nothing,
        },
        lockstep: args.lockstep,
    };
    let session = Session::new(Arc::new(policy), options);
    signals::raise(&session.interrupt().flag()).context("failed to take over signals")?;
    let recorder = recorder.map(|recorder| recorder.interrupted_by(session.interrupt()));
    let mut effects = Effects::new(ledger, audit, recorder, notices);
    effects.note_start(&AuditEvent::SessionStart(SessionStarted {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").into(),
        command: server_command::program(&args.command).into(),
        policy: policy_path.to_string().into(),
        sha256: sha256.into(),
        shadow: args.shadow,
    }));
    if let Some(directory) = &directory {
        effects.register(directory, running(args, &state, directory, &identity));
    }
    let path = args.policy.clone();
    let tell = move |report| wakeups.send(WakeupEvent::PolicyChecked(Box::new(report))).is_ok();
    let watch = Watch::new(policy_file::POLICY, path, content, policy_file::load_unless, tell)
        .context("failed to watch the policy")?;
    let options =
        RelayOptions { max_frame: args.max_frame, drain: args.drain, lockstep: args.lockstep };
    Relay::new(session, effects, options, watch, events, server)
        .context("failed to open stdin and stdout")
        .map_err(Error::NotDone)
}

/// What other commands can see of the session.
fn running(args: &WrapArgs, state: &State, directory: &Path, identity: &Identity) -> Running {
    let Identity { server, grant, session } = identity.clone();
    let now = rfc3339(moment().wall_ms);
    let absolute = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        path.to_string_lossy().into_owned()
    };
    Running {
        pid: std::process::id(),
        since: now.clone(),
        policy: absolute(&args.policy),
        policy_loaded: now,
        policy_rejected: None,
        shadow: args.shadow,
        state: state.shown(directory),
        audit: (!args.no_audit).then(|| absolute(&audit_log(args, directory, &server))),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        run: session,
        server,
        grant,
    }
}

fn audit_log(args: &WrapArgs, directory: &Path, server: &str) -> PathBuf {
    args.audit.clone().unwrap_or_else(|| state_dir::audit_log(directory, server))
}

/// The state directory, or `None` if the session keeps nothing there.
fn state_directory(args: &WrapArgs, state: &State) -> anyhow::Result<Option<PathBuf>> {
    let counters_elsewhere = matches!(state, State::Memory | State::Redis(_));
    let needed = !(args.no_audit && counters_elsewhere);
    needed.then(|| state.directory()).transpose()
}

/// Opens the recording. It may be an empty file, so check that it is not another file of the session.
fn open_recorder(args: &WrapArgs, log: Option<&Path>) -> anyhow::Result<Option<Recorder>> {
    let Some(path) = &args.record else { return Ok(None) };
    let recorder = Recorder::open(path)?;
    for (what, other) in [("audit log", log), ("policy", Some(args.policy.as_path()))] {
        if other.is_some_and(|other| recorder.is_at(other)) {
            let what = format!("it is the {what} of this session");
            let path = path.display();
            return Err(anyhow!(what).context(format!("failed to open recording `{path}`")));
        }
    }
    Ok(Some(recorder))
}

fn open_ledger(
    state: &State,
    directory: Option<&Path>,
    Identity { server, grant, session }: &Identity,
) -> anyhow::Result<Box<dyn Counters>> {
    Ok(match (state, directory) {
        (State::Directory(_), Some(directory)) => {
            Box::new(SqliteLedger::new(directory, server, grant, session))
        }
        (State::Redis(url), _) => Box::new(RedisLedger::new(url, server, grant, session)?),
        _ => Box::new(MemoryLedger::default()),
    })
}

fn open_audit(
    args: &WrapArgs,
    directory: &Path,
    identity: &Identity,
) -> anyhow::Result<Option<Audit>> {
    if args.no_audit {
        return Ok(None);
    }
    let log = audit_log(args, directory, &identity.server);
    let opened = state_dir::open_audit(directory, &log, args.audit_keep, identity);
    let audit = opened.context(
        "failed to open the audit log; `--audit FILE` puts it elsewhere, `--no-audit` keeps none",
    )?;
    Ok(Some(audit))
}
