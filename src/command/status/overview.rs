//! The content of a status report, from sessions, counters and logs. What cannot be read is listed as a problem.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::anyhow;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::cli::WhoseArgs;
use crate::command::input::state::state_of;
use crate::command::log::{missing, real};
use crate::engine::limits::{Amount, NAMED_WINDOWS, Now, Scope, Window};
use crate::shell::audit::files;
use crate::shell::counters::CounterRow;
use crate::shell::os::clock::{moment, rfc3339};
use crate::shell::registry::{self, Running};
use crate::shell::state_dir::{self, State};
use crate::shell::stderr::prose;

use super::tally::{Counts, RecentDenial, Tally};

/// A status report. The manual documents its fields (`src/manual/status.md`).
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    /// When the state was read.
    pub(super) time: String,
    /// Where counters are.
    pub(super) state: String,
    /// Where sessions and logs are.
    pub(super) directory: String,
    /// One for each grant of each server, and one for each server as a whole.
    pub(super) grants: Vec<Account>,
    /// What cannot be read.
    pub(super) problems: Vec<String>,
    /// The time of day in milliseconds.
    #[serde(skip)]
    pub(super) now_ms: u64,
    /// The server and grant asked for, if not all.
    #[serde(skip)]
    pub(super) wanted: Option<String>,
    /// All servers found, wanted or not.
    #[serde(skip)]
    pub(super) servers: Vec<String>,
}

/// A grant of a server.
#[derive(Debug, Serialize)]
pub(super) struct Account {
    /// The server's name.
    pub(super) server: String,
    /// The grant; none for what all of them share.
    pub(super) grant: Option<String>,
    /// Its running sessions.
    pub(super) sessions: Vec<Running>,
    /// Its counters.
    pub(super) counters: Vec<Gauge>,
    /// What happened in the last hour.
    pub(super) last_hour: Counts,
    /// What happened in the last day.
    pub(super) last_day: Counts,
    /// The rules that have denied most in the last day.
    pub(super) denying_rules: Vec<RuleCount>,
    /// The last denials of the last day, newest first.
    pub(super) last_denials: Vec<RecentDenial>,
}

/// A rule that has denied.
#[derive(Debug, Serialize)]
pub(super) struct RuleCount {
    /// The rule.
    pub(super) rule: String,
    /// How often.
    pub(super) denials: u64,
}

/// A counter.
#[derive(Debug, Serialize)]
pub(super) struct Gauge {
    /// Its name in the policy.
    pub(super) counter: String,
    /// `grant`, `session` or `server`.
    pub(super) scope: &'static str,
    /// The run that it belongs to, if it belongs to one.
    pub(super) run: Option<String>,
    /// The process of that run, if it runs.
    pub(super) pid: Option<u32>,
    /// As in a policy.
    #[serde(serialize_with = "as_in_policy")]
    pub(super) window: Window,
    /// `sliding`, `calendar`; none for a session.
    pub(super) align: Option<&'static str>,
    /// The amount used now.
    #[serde(serialize_with = "exact")]
    pub(super) used: Amount,
    /// Its limit.
    #[serde(serialize_with = "exact")]
    pub(super) max: Amount,
    /// When some of it is next freed.
    pub(super) frees_at: Option<String>,
    /// When it was last charged.
    pub(super) charged_at: String,
    #[serde(skip)]
    pub(super) frees_at_ms: Option<u64>,
}

impl Gauge {
    fn of(row: CounterRow, pid: Option<u32>) -> Self {
        let (used, frees_at_ms) = (row.used(), row.frees_at_ms());
        let run = (row.scope == Scope::Session).then_some(row.holder);
        Gauge {
            counter: row.name,
            scope: row.scope.word(),
            run,
            pid,
            window: row.window,
            align: match row.window {
                Window::Sliding(_) => Some("sliding"),
                Window::Calendar(_) => Some("calendar"),
                Window::Session => None,
            },
            used,
            max: row.max,
            frees_at: frees_at_ms.map(rfc3339),
            charged_at: rfc3339(row.seen_ms),
            frees_at_ms,
        }
    }

    /// True if it belongs to a run that is over, as far as is known.
    pub(super) fn is_over(&self) -> bool {
        self.run.is_some() && self.pid.is_none()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn as_in_policy<S: Serializer>(window: &Window, to: S) -> Result<S::Ok, S::Error> {
    match window {
        Window::Session => to.serialize_str("session"),
        Window::Sliding(seconds) | Window::Calendar(seconds) => {
            match NAMED_WINDOWS.iter().find(|(_, length)| length == seconds) {
                Some((name, _)) => to.serialize_str(name),
                None => to.serialize_u32(*seconds),
            }
        }
    }
}

/// A number with all its digits.
fn exact<S: Serializer>(amount: &Amount, to: S) -> Result<S::Ok, S::Error> {
    let number = RawValue::from_string(amount.to_string()).map_err(serde::ser::Error::custom)?;
    number.serialize(to)
}

/// Reads the state, once or repeatedly.
pub(super) struct StateView<'a> {
    args: &'a WhoseArgs,
    state: State,
    directory: PathBuf,
    tally: Tally,
}

impl<'a> StateView<'a> {
    /// # Errors
    /// No state directory is known, or a log that was named is not there.
    pub(super) fn new(args: &'a WhoseArgs) -> anyhow::Result<Self> {
        let state = state_of(&args.state.state)?;
        let directory = state.directory()?;
        if let Some(log) = args.audit.iter().map(|log| real(log)).find(|log| !files::has_files(log))
        {
            return Err(missing(&log));
        }
        Ok(StateView { args, state, directory, tally: Tally::default() })
    }

    /// Reads the state.
    pub(super) fn look(&mut self) -> Overview {
        let now = moment();
        let mut grants = Accounts::default();
        let mut problems = Vec::new();
        let running = match registry::read(&self.directory) {
            Ok((running, broken)) => {
                problems.extend(broken);
                running
            }
            Err(error) => {
                problems.push(error);
                Vec::new()
            }
        };
        self.read_logs(&running, now, &mut problems);
        match self.state.counters(now) {
            Ok(rows) => {
                let (damaged, rows): (Vec<_>, Vec<_>) =
                    rows.into_iter().partition(|row| row.is_damaged);
                problems.extend(damaged.iter().map(damage));
                rows.into_iter().for_each(|row| grants.take_counter(row, &running));
            }
            Err(error) => problems.push(error),
        }
        for session in running {
            grants.of(&session.server, Some(&session.grant)).sessions.push(session);
        }
        for ((server, grant), activity) in self.tally.activities(now.wall_ms) {
            let of = grants.of(server, Some(grant));
            of.last_hour = activity.hour();
            of.last_day = activity.day();
            let rules = activity.rules().into_iter();
            of.denying_rules = rules.map(|(rule, denials)| RuleCount { rule, denials }).collect();
            of.last_denials = activity.last_denials().to_vec();
        }
        let mut problems: Vec<String> = problems.iter().map(prose).collect();
        problems.extend(self.tally.broken().map(|(log, lines)| {
            let lines = if lines == 1 { "a line".to_owned() } else { format!("{lines} lines") };
            format!(
                "{lines} of the last day in audit log `{}` cannot be read; `callgate log verify` tells more",
                log.display()
            )
        }));
        let mut grants: Vec<Account> = grants.by_name.into_values().collect();
        let mut servers: Vec<String> = grants.iter().map(|grant| grant.server.clone()).collect();
        servers.dedup();
        grants.retain(|grant| self.is_wanted(grant));
        Overview {
            time: rfc3339(now.wall_ms),
            state: self.state.shown(&self.directory),
            directory: self.directory.to_string_lossy().into_owned(),
            grants,
            problems,
            now_ms: now.wall_ms,
            wanted: self.wanted(),
            servers,
        }
    }

    /// What all grants of a server share is wanted with each of them.
    fn is_wanted(&self, grant: &Account) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is(&self.args.server, &grant.server)
            && grant.grant.as_deref().is_none_or(|grant| is(&self.args.grant, grant))
    }

    fn wanted(&self) -> Option<String> {
        let server = self.args.server.as_ref().map(|server| format!("server `{server}`"));
        let grant = self.args.grant.as_ref().map(|grant| format!("grant `{grant}`"));
        let wanted: Vec<String> = server.into_iter().chain(grant).collect();
        (!wanted.is_empty()).then(|| wanted.join(" and "))
    }

    fn read_logs(&mut self, running: &[Running], now: Now, problems: &mut Vec<anyhow::Error>) {
        let known = files::logs(&state_dir::audit_directory(&self.directory));
        let mut logs = known.unwrap_or_else(|error| {
            problems.push(error);
            Vec::new()
        });
        if let Some(server) = &self.args.server {
            let own = state_dir::audit_log(&self.directory, server);
            let own = [files::refused_path(&own), own];
            logs.retain(|log| own.contains(log));
        }
        let of_sessions = running.iter().filter_map(|session| session.audit.as_deref());
        let named = self.args.audit.iter().cloned();
        let all = logs.into_iter().chain(of_sessions.map(PathBuf::from)).chain(named);
        let all = all.flat_map(|log| files::with_refused(real(&log)));
        let mut logs: Vec<PathBuf> = all.collect();
        logs.sort_unstable();
        logs.dedup();
        for log in logs {
            if let Err(error) = self.tally.read(&log, now.wall_ms) {
                problems.push(error);
            }
        }
    }
}

/// The problem of a counter that cannot be read: every call that needs it is denied.
fn damage(CounterRow { server, name, .. }: &CounterRow) -> anyhow::Error {
    anyhow!(
        "what is kept of counter `{name}` of server `{server}` is damaged; `callgate status reset` begins it anew"
    )
}

/// What is known of each grant, by server and grant; what all grants of a server share comes first.
#[derive(Default)]
struct Accounts {
    by_name: BTreeMap<(String, Option<String>), Account>,
}

impl Accounts {
    fn of(&mut self, server: &str, grant: Option<&str>) -> &mut Account {
        let name = (server.to_owned(), grant.map(str::to_owned));
        self.by_name.entry(name).or_insert_with_key(|(server, grant)| Account {
            server: server.clone(),
            grant: grant.clone(),
            sessions: Vec::new(),
            counters: Vec::new(),
            last_hour: Counts::default(),
            last_day: Counts::default(),
            denying_rules: Vec::new(),
            last_denials: Vec::new(),
        })
    }

    fn take_counter(&mut self, row: CounterRow, running: &[Running]) {
        let server = row.server.clone();
        let (grant, pid) = match row.scope {
            Scope::Grant => (Some(row.holder.clone()), None),
            Scope::Server => (None, None),
            Scope::Session => {
                let of_row = |session: &&Running| session.run == row.holder;
                let session = running.iter().find(of_row);
                (session.map(|session| session.grant.clone()), session.map(|session| session.pid))
            }
        };
        self.of(&server, grant.as_deref()).counters.push(Gauge::of(row, pid));
    }
}
