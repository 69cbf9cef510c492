//! `callgate log`: shows the audit log, follows it and verifies it.

mod merge;
mod text;
mod verify;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use jiff::Timestamp;

use crate::cli::{Format, LogArgs, LogFiles, LogVerb, QueryArgs, Since};
use crate::engine::text::escape::escape_json;
use crate::engine::text::name::NamePattern;
use crate::shell::audit::entry::LogEntry;
use crate::shell::audit::files;
use crate::shell::os;
use crate::shell::stderr::prose;

use self::merge::{Merge, ShownLine};
use self::text::LogTable;
use super::Error;
use super::input::state::state_of;
use super::show::stdout;
use crate::shell::state_dir;

/// How many lines to show if neither a number nor a time is given.
const LIMIT: u64 = 50;
/// Interval between looks for new lines.
const TICK: Duration = Duration::from_millis(100);

/// Shows or verifies logs.
///
/// # Errors
/// A log cannot be read.
pub fn log(args: &LogArgs) -> Result<(), Error> {
    match &args.verb {
        Some(LogVerb::Verify(args)) => verify::verify(args),
        None => show(&args.query),
    }
}

/// The logs that the arguments select. The name of a rotated file selects its log.
fn logs(args: &LogFiles, directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !args.are_named() {
        let mut logs = files::logs(&state_dir::audit_directory(directory))?;
        logs.iter_mut().for_each(|log| *log = real(log));
        // The refusals of a log that is a symbolic link are beside its target.
        let mut logs: Vec<PathBuf> = logs.into_iter().flat_map(files::with_refused).collect();
        logs.sort_unstable();
        logs.dedup();
        return Ok(logs);
    }
    let mut logs: Vec<PathBuf> = Vec::new();
    for file in args.files.iter().chain(&args.audit).map(|file| real(file)) {
        // A log may have a name like a rotated file's, if the log of that name does not exist.
        let log = Some(files::log_of(&file)).filter(|log| files::has_files(log)).unwrap_or(file);
        for log in files::with_refused(log) {
            if !logs.contains(&log) {
                logs.push(log);
            }
        }
    }
    Ok(logs)
}

/// The path of a log without symbolic links, which is how `wrap` knows it.
pub(super) fn real(file: &Path) -> PathBuf {
    let in_directory = || {
        let directory = std::fs::canonicalize(files::parent(file)).ok()?;
        Some(directory.join(file.file_name()?))
    };
    std::fs::canonicalize(file).ok().or_else(in_directory).unwrap_or_else(|| file.to_owned())
}

/// A selection of log lines.
struct Query {
    server: Option<String>,
    grant: Option<String>,
    tool: Option<NamePattern>,
    denied: bool,
    /// A time, in the log's own format.
    since: Option<String>,
}

impl Query {
    fn new(args: &QueryArgs) -> Self {
        let time = |since| match since {
            Since::At(time) => time,
            Since::Ago(ago) => Timestamp::now().checked_sub(ago).unwrap_or(Timestamp::MIN),
        };
        Query {
            server: args.server.clone(),
            grant: args.grant.clone(),
            tool: args.tool.as_deref().map(NamePattern::new),
            denied: args.denied,
            since: args.since.map(|since| format!("{:.3}", time(since))),
        }
    }

    fn wants(&self, entry: &LogEntry) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        let is_server = entry.common.server.is_empty() || is(&self.server, &entry.common.server);
        is_server
            && is(&self.grant, &entry.common.grant)
            && self.tool.as_ref().is_none_or(|tool| entry.may_be_of(|name| tool.matches(name)))
            && (!self.denied || entry.is_denial())
            && self.since.as_ref().is_none_or(|since| *since <= entry.common.time)
    }
}

/// The logs to show; in the state directory, only those of the requested server.
fn shown(args: &QueryArgs, directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut logs = logs(&args.logs, directory)?;
    if args.logs.are_named() {
        match logs.iter().find(|log| !files::has_files(log)) {
            Some(log) => return Err(missing(log)),
            None => return Ok(logs),
        }
    }
    if let Some(server) = &args.server {
        let wanted = real(&state_dir::audit_log(directory, server));
        let wanted = [files::refused_path(&wanted), wanted];
        logs.retain(|log| wanted.contains(log));
    }
    Ok(logs)
}

/// The error for a log that does not exist.
pub(super) fn missing(log: &Path) -> anyhow::Error {
    anyhow!("there is none").context(format!("failed to read audit log `{}`", log.display()))
}

fn show(args: &QueryArgs) -> Result<(), Error> {
    let directory = state_of(&args.logs.state.state)?.directory()?;
    let logs = shown(args, &directory)?;
    if logs.is_empty() {
        let place = state_dir::audit_directory(&directory);
        say(&format!("no audit log of that kind in `{}`", place.display()));
    }
    let limit = args.limit.unwrap_or(if args.since.is_some() { u64::MAX } else { LIMIT });
    let query = Query::new(args);
    let mut merge = Merge::new(&logs, &query, limit)?;
    let table = LogTable::new(&logs);
    stdout::result(|out| {
        loop {
            while let Some(shown) = merge.next(&query, args.follow)? {
                match args.logs.format {
                    Format::Text => table.row(out, &shown)?,
                    Format::Json => json(out, &shown)?,
                }
            }
            if !args.follow {
                return Ok(());
            }
            out.flush()?;
            if !wait_while_read() {
                return Ok(());
            }
            // A log may have gained a second one, for refusals, beside it.
            let named = args.logs.are_named();
            let new =
                if named { self::logs(&args.logs, &directory) } else { shown(args, &directory) };
            merge.add(new?);
        }
    })?;
    Ok(())
}

/// Prints the line as it is stored. An unreadable line becomes a JSON object.
fn json(out: &mut dyn Write, shown: &ShownLine) -> anyhow::Result<()> {
    let stored = str::from_utf8(&shown.bytes).ok().filter(|_| shown.entry.is_some());
    let unreadable = || {
        let text = String::from_utf8_lossy(shown.beginning());
        let path = shown.path.to_string_lossy();
        serde_json::json!({
            "event": "unreadable", "file": path, "at": shown.at, "bytes": shown.length, "text": text
        })
        .to_string()
    };
    let line = stored.map_or_else(unreadable, str::to_owned);
    writeln!(out, "{}", escape_json(&line))?;
    Ok(())
}

/// Waits for the next tick. False if the reader of stdout is gone.
fn wait_while_read() -> bool {
    os::is_stdout_read(TICK)
}

/// Prints a notice on stderr.
fn say(text: &str) {
    // stderr may have no reader.
    let _ = writeln!(io::stderr(), "callgate: {}", prose(&anyhow!("{text}")));
}
