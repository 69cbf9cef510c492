//! `callgate status reset`: quota is given back, and the audit log of the server says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use serde_json::json;

use crate::cli::{Format, ResetArgs};
use crate::command::Error;
use crate::command::input::state::state_of;
use crate::command::log::real;
use crate::command::show::stdout;
use crate::engine::limits::Scope;
use crate::engine::text::escape::{escape_json, escape_line};
use crate::shell::audit::event::{AuditEvent, CounterReset, Identity};
use crate::shell::counters::{CounterRow, redis, sqlite};
use crate::shell::os::clock::moment;
use crate::shell::registry::{self, Running};
use crate::shell::state_dir::{self, State};

/// How long a log may be held by others.
const LOG_WAIT: Duration = Duration::from_secs(1);
/// How near a name has to be to be offered in the place of one that is not there.
const NEAR: f64 = 0.8;

/// Sets all counters of a name back to nothing. The log is told first: what it cannot hold does not happen.
///
/// # Errors
/// There is no such counter, or state or log cannot be written.
pub(super) fn reset(args: &ResetArgs) -> Result<(), Error> {
    let state = state_of(&args.whose.state.state)?;
    if state == State::Memory {
        let why = "counters in memory are known to their session alone: start it anew";
        return Err(anyhow!("failed to reset counter `{}`: {why}", args.counter).into());
    }
    let directory = state.directory()?;
    let rows = state.counters(moment())?;
    let (meant, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| is_meant(args, row));
    if meant.is_empty() {
        return Err(unknown(args, &others, &state.shown(&directory)).into());
    }
    tell_logs(args, &directory, &meant)?;
    let Whose { server, grant } = Whose::of(args);
    match &state {
        State::Redis(url) => redis::reset(url, server, grant, &args.counter)?,
        State::Directory(_) | State::Memory => {
            sqlite::reset(&directory, server, grant, &args.counter)?
        }
    };
    stdout::result(|out| {
        for row in &meant {
            let line = match args.whose.format {
                Format::Text => escape_line(&told(row)).into_owned(),
                Format::Json => escape_json(&as_json(row)).into_owned(),
            };
            writeln!(out, "{line}")?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Whose counters are meant; of all, if it is not said.
struct Whose<'a> {
    server: Option<&'a str>,
    grant: Option<&'a str>,
}

impl<'a> Whose<'a> {
    fn of(args: &'a ResetArgs) -> Self {
        Whose { server: args.whose.server.as_deref(), grant: args.whose.grant.as_deref() }
    }
}

/// What all grants share belongs to none of them.
fn is_meant(args: &ResetArgs, row: &CounterRow) -> bool {
    let Whose { server, grant } = Whose::of(args);
    row.name == args.counter
        && server.is_none_or(|server| server == row.server)
        && grant.is_none_or(|grant| row.scope == Scope::Grant && grant == row.holder)
}

fn unknown(args: &ResetArgs, others: &[CounterRow], place: &str) -> anyhow::Error {
    let ResetArgs { counter, .. } = args;
    let known: BTreeSet<&str> = others.iter().map(|row| row.name.as_str()).collect();
    let by_likeness = known.iter().map(|name| (strsim::jaro_winkler(name, counter), *name));
    let near = by_likeness.filter(|(likeness, _)| *likeness >= NEAR);
    let best = near.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name);
    let why = match best {
        Some(name) if name == counter => "it is kept, but not for that server and grant".to_owned(),
        Some(name) => format!("there is none in `{place}`; did you mean `{name}`?"),
        None => format!("there is none in `{place}`"),
    };
    anyhow!("failed to reset counter `{counter}`: {why}")
}

/// Writes what is going to happen into the log of each server, a line for each grant.
fn tell_logs(args: &ResetArgs, directory: &Path, meant: &[CounterRow]) -> anyhow::Result<()> {
    // A session whose file cannot be read has told no log.
    let (running, _) = registry::read(directory).unwrap_or_default();
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for row in meant {
        let grant = if row.scope == Scope::Grant { row.holder.as_str() } else { "" };
        let count = counts.entry((&row.server, grant)).or_default();
        *count = count.saturating_add(1);
    }
    let run = registry::new_run();
    for ((server, grant), counters) in counts {
        let identity =
            Identity { server: server.to_owned(), grant: grant.to_owned(), session: run.clone() };
        for log in logs(args, directory, &running, server) {
            let counter = args.counter.as_str().into();
            let event = AuditEvent::CounterReset(CounterReset { counter, counters });
            tell_log(directory, &log, &identity, &event).with_context(|| {
                format!("failed to write audit log `{}`; no counter was reset", log.display())
            })?;
        }
    }
    Ok(())
}

/// The logs of a server: those that are named, or those of its sessions, or the one in the state directory.
fn logs(args: &ResetArgs, directory: &Path, running: &[Running], server: &str) -> Vec<PathBuf> {
    if !args.whose.audit.is_empty() {
        return args.whose.audit.clone();
    }
    let own = state_dir::audit_log(directory, server);
    let of_server = running.iter().filter(|session| session.server == server);
    let mut logs: Vec<PathBuf> =
        of_server.filter_map(|session| session.audit.as_deref().map(PathBuf::from)).collect();
    if own.exists() || logs.is_empty() {
        logs.push(own);
    }
    let mut logs: Vec<PathBuf> = logs.iter().map(|log| real(log)).collect();
    logs.sort_unstable();
    logs.dedup();
    logs
}

fn tell_log(
    directory: &Path,
    log: &Path,
    identity: &Identity,
    event: &AuditEvent<'_>,
) -> anyhow::Result<()> {
    // How much is kept is for the server's own session to say.
    let mut audit = state_dir::open_audit(directory, log, u64::MAX, identity)?;
    audit.note_event(event, moment().wall_ms);
    let begun = Instant::now();
    loop {
        audit.flush()?;
        if !audit.is_waiting() {
            return Ok(());
        }
        if begun.elapsed() > LOG_WAIT {
            return Err(anyhow!("another process has held it for a second"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn told(row: &CounterRow) -> String {
    let CounterRow { server, name, window, max, .. } = row;
    let was = if row.is_damaged {
        "what was kept of it was damaged".to_owned()
    } else {
        format!("{} of {max} per {window} were used", row.used())
    };
    format!("reset `{name}` of server `{server}`, {}: {was}", whose(row))
}

fn whose(row: &CounterRow) -> String {
    match row.scope {
        Scope::Grant => format!("grant `{}`", row.holder),
        Scope::Session => format!("run `{}`", row.holder),
        Scope::Server => "all grants".to_owned(),
    }
}

fn as_json(row: &CounterRow) -> String {
    let (grant, run) = match row.scope {
        Scope::Grant => (Some(&row.holder), None),
        Scope::Session => (None, Some(&row.holder)),
        Scope::Server => (None, None),
    };
    let scope = row.scope.word();
    let CounterRow { server, name, .. } = row;
    json!({ "server": server, "grant": grant, "counter": name, "scope": scope, "run": run })
        .to_string()
}
