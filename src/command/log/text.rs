//! A log for people: a row for each line, aligned, in 80 columns or as many as the terminal has.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use crate::command::show::stdout;
use crate::engine::outcome::Outcome;
use crate::engine::text::escape::escape_line;
use crate::engine::text::shorten::cut;
use crate::engine::text::words::Worded;
use crate::shell::audit::entry::{LogEntry, unknown_members};
use crate::shell::audit::event::{
    AuditEvent, CallDecided, CounterReset, SessionEnded, SessionStarted, Totals,
};
use crate::shell::audit::head::Recovered;
use crate::shell::audit::words::Word;

use super::merge::ShownLine;

const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";
/// Widths of the columns.
const TIME: usize = 19;
/// Where the time of day stands in a time.
const TIME_OF_DAY: std::ops::Range<usize> = 11..19;
const EVENT: usize = 9;
const WHAT: usize = 14;
const OUTCOME: usize = 8;
/// What is longer is cut.
const LONGEST_SERVER: usize = 12;
const SHORTEST_SERVER: usize = 6;
/// The least that stands in a row of what is wrapped.
const LEAST_WRAPPED: usize = 24;

/// How rows are laid out.
pub(super) struct LogTable {
    server: usize,
    columns: usize,
    in_colour: bool,
}

/// What stands in the columns behind the server, of one event.
#[derive(Default)]
struct LogRow {
    event: &'static str,
    what: String,
    result: String,
    rest: String,
}

impl LogTable {
    /// Wide enough for the servers of these logs.
    pub(super) fn new(logs: &[PathBuf]) -> Self {
        let names = logs.iter().filter_map(|log| log.file_stem());
        let longest = names.map(|name| name.to_string_lossy().chars().count()).max().unwrap_or(0);
        LogTable {
            server: longest.clamp(SHORTEST_SERVER, LONGEST_SERVER),
            columns: stdout::columns(),
            in_colour: stdout::in_colour(),
        }
    }

    /// Prints a row. What does not fit into its last column goes on below.
    pub(super) fn row(&self, out: &mut dyn Write, shown: &ShownLine) -> anyhow::Result<()> {
        let mut row = match &shown.entry {
            Some(entry) => LogRow::of(entry, &shown.bytes),
            None => LogRow::unreadable(shown),
        };
        let (mut time, mut server, mut is_denial) = (String::new(), String::new(), false);
        if let Some(entry) = &shown.entry {
            if entry.count() > 1 {
                row.rest = show(&folded(entry)) + &row.rest;
                if entry.is_various("tool") || entry.is_various("method") {
                    "(various)".clone_into(&mut row.what);
                }
            }
            let common = &entry.common;
            time = common.time.get(..TIME).unwrap_or(&common.time).replacen('T', " ", 1);
            server = cut(&show(&common.server), self.server);
            is_denial = entry.is_denial();
        }
        let LogRow { event, what, result, rest } = row;
        let mut line = format!("{time:TIME$} {server:0$} {event:EVENT$} ", self.server);
        let indent = TIME.saturating_add(1);
        let mut hidden = 0_usize;
        if !what.is_empty() || !result.is_empty() {
            let _ = write!(line, "{what:WHAT$} ");
            if is_denial && self.in_colour {
                let _ = write!(line, "{RED}{result:OUTCOME$}{PLAIN} ");
                hidden = RED.len().saturating_add(PLAIN.len());
            } else {
                let _ = write!(line, "{result:OUTCOME$} ");
            }
        }
        let used = line.chars().count().saturating_sub(hidden);
        if used.saturating_add(rest.chars().count()) <= self.columns {
            line.push_str(&rest);
            writeln!(out, "{}", line.trim_end())?;
            return Ok(());
        }
        writeln!(out, "{}", line.trim_end())?;
        let width = self.columns.saturating_sub(indent).max(LEAST_WRAPPED);
        for piece in wrap(&rest, width) {
            writeln!(out, "{:indent$}{piece}", "")?;
        }
        Ok(())
    }
}

impl LogRow {
    fn of(entry: &LogEntry, line: &[u8]) -> Self {
        let row =
            |event, what, rest: &str| LogRow { event, what, rest: show(rest), ..LogRow::default() };
        let mut row = match &entry.event {
            None => row("event", String::new(), &entry.common.event),
            Some(AuditEvent::Call(call)) => {
                let result = match call.outcome {
                    Word::Known(Outcome::ApprovalRequired) => "approval".to_owned(),
                    _ => show(call.outcome.as_str()),
                };
                LogRow { result, ..row("call", show(&call.tool), &decision(call)) }
            }
            Some(AuditEvent::Answer(answer)) => {
                let id = answer.id.as_ref().map_or("", |id| id.get());
                let took = format!("{} ms", answer.latency_ms);
                LogRow {
                    result: show(answer.end.as_str()),
                    ..row("answer", format!("id {}", show(id)), &took)
                }
            }
            Some(AuditEvent::FrameRefused(frame)) => {
                let of = frame.id.as_ref().map(|id| format!("id {}: ", id.get()));
                let rest = [of.as_deref().unwrap_or_default(), &frame.reason].concat();
                LogRow { result: "refused".to_owned(), ..row("line", sender(&frame.from), &rest) }
            }
            Some(AuditEvent::FrameDropped(frame)) => LogRow {
                result: "dropped".to_owned(),
                ..row("line", sender(&frame.from), &frame.reason)
            },
            Some(AuditEvent::MethodDenied(method)) => {
                let result = if method.shadow { "shadow" } else { "denied" }.to_owned();
                let rest = format!("{}: from {}", method.rule, method.from);
                LogRow { result, ..row("method", show(&method.method), &rest) }
            }
            Some(AuditEvent::SessionStart(start)) => {
                row("start", String::new(), &session_start(&entry.common.grant, start))
            }
            Some(AuditEvent::SessionEnd(SessionEnded { exit_code, totals, .. })) => {
                let Totals { calls, denied, .. } = totals;
                let rest =
                    format!("exit code {exit_code}, {}, {denied} denied", many(*calls, "call"));
                row("end", String::new(), &rest)
            }
            Some(AuditEvent::PolicyLoaded(loaded)) => {
                row("policy", String::new(), &format!("`{}` loaded", loaded.policy))
            }
            Some(AuditEvent::PolicyRejected(rejected)) => {
                let rest = format!("`{}` rejected: {}", rejected.policy, rejected.error);
                row("policy", String::new(), &rest)
            }
            Some(AuditEvent::ToolsChanged(changed)) => {
                row("tools", String::new(), &format!("the list was changed by the {}", changed.by))
            }
            Some(AuditEvent::CounterReset(reset)) => {
                let CounterReset { counter, counters, .. } = reset;
                let rest = format!("counter `{counter}` reset: {counters} of that name");
                row("reset", String::new(), &rest)
            }
            Some(AuditEvent::RecordsLost(lost)) => {
                row("lost", String::new(), &format!("{} lines could not be written", lost.lines))
            }
            Some(AuditEvent::Recovered(recovered)) => {
                row("recovered", String::new(), &recovery(recovered))
            }
        };
        for (name, value) in unknown_members(line) {
            row.rest.push_str(&show(&format!("; {name} {}", value.get())));
        }
        row
    }

    fn unreadable(shown: &ShownLine) -> Self {
        let (file, bytes) = (shown.path.display(), shown.length);
        let text = String::from_utf8_lossy(shown.beginning());
        let cut = if text.len() as u64 >= bytes { "" } else { "…" };
        let rest =
            format!("{bytes} bytes at {} of `{file}` are no line of a log: {text}{cut}", shown.at);
        LogRow { event: "UNREADABLE", rest: show(&rest), ..LogRow::default() }
    }
}

/// What a session began with.
fn session_start(grant: &str, start: &SessionStarted<'_>) -> String {
    let SessionStarted { pid, version, command, policy, shadow, .. } = start;
    let mode = if *shadow { ", in shadow mode" } else { "" };
    format!(
        "grant `{grant}`, policy `{policy}`, command `{command}`, process {pid}, callgate {version}{mode}"
    )
}

/// What a writer found of a process that was killed while it wrote.
fn recovery(Recovered { lines, torn_bytes, .. }: &Recovered) -> String {
    format!(
        "a process was killed while it wrote: {} taken up, {} torn",
        many(*lines, "line"),
        many(*torn_bytes, "byte")
    )
}

/// Who sent a line.
fn sender<T: Worded>(from: &Word<T>) -> String {
    show(&format!("from {from}"))
}

/// Rule and message of a call, and what shadow mode let pass.
fn decision(call: &CallDecided<'_>) -> String {
    let mut text = call.rule.to_string();
    for more in [Some(&call.message), call.cause.as_ref()].into_iter().flatten() {
        if !more.is_empty() {
            text.extend([": ", more]);
        }
    }
    if let Some(shadowed) = &call.shadow {
        let _ = write!(text, "; in shadow mode: {} by {}", shadowed.outcome, shadowed.rule);
        if !shadowed.message.is_empty() {
            let _ = write!(text, ": {}", shadowed.message);
        }
    }
    text
}

fn show(text: &str) -> String {
    escape_line(text).into_owned()
}

/// What stands before the rest of a line that stands for several events.
fn folded(entry: &LogEntry) -> String {
    let since = entry.common.since.get(TIME_OF_DAY).unwrap_or(&entry.common.since);
    let various = match entry.common.various.as_slice() {
        [] => String::new(),
        fields => format!(" (each with a {} of its own)", fields.join(" and ")),
    };
    format!("{} times since {since}{various}, such as: ", entry.count())
}

/// A number of things.
pub(super) fn many(count: u64, what: &str) -> String {
    if count == 1 { format!("{count} {what}") } else { format!("{count} {what}s") }
}

/// Breaks a text at spaces, and within words that are longer than a line.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0_usize;
    for word in text.split(' ') {
        let length = word.chars().count();
        let needed = used.saturating_add(usize::from(used > 0)).saturating_add(length);
        if needed <= width && used > 0 {
            if let Some(line) = lines.last_mut() {
                line.extend([" ", word]);
            }
            used = needed;
            continue;
        }
        let mut rest: Vec<char> = word.chars().collect();
        while !rest.is_empty() {
            let behind = rest.split_off(rest.len().min(width));
            used = rest.len();
            lines.push(rest.into_iter().collect());
            rest = behind;
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}
