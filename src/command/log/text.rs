//! A log for people: a row for each line, aligned, in 80 columns or as many as the terminal has.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use crate::command::show::stdout;
use crate::engine::text::escape::{cut, escape_line};
use crate::shell::audit::entry::{Entry, EntryTotals};

use super::merge::Shown;

const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";
/// How wide the columns are.
const TIME: usize = 19;
/// Where the time of day stands in a time.
const TIME_OF_DAY: std::ops::Range<usize> = 11..19;
const EVENT: usize = 9;
const WHAT: usize = 14;
const DECISION: usize = 8;
/// What is longer is cut.
const LONGEST_SERVER: usize = 12;
const SHORTEST_SERVER: usize = 6;
/// The least that stands in a row of what is wrapped.
const LEAST_WRAPPED: usize = 24;

/// How rows are laid out.
pub(super) struct Table {
    server: usize,
    columns: usize,
    in_colour: bool,
}

/// What stands in the columns behind the server, of one event.
#[derive(Default)]
struct Row {
    event: &'static str,
    what: String,
    decision: String,
    rest: String,
}

impl Table {
    /// Wide enough for the servers of these logs.
    pub(super) fn new(logs: &[PathBuf]) -> Self {
        let names = logs.iter().filter_map(|log| log.file_stem());
        let longest = names.map(|name| name.to_string_lossy().chars().count()).max().unwrap_or(0);
        Table {
            server: longest.clamp(SHORTEST_SERVER, LONGEST_SERVER),
            columns: stdout::columns(),
            in_colour: stdout::in_colour(),
        }
    }

    /// Prints a row. What does not fit into its last column goes on below.
    pub(super) fn row(&self, out: &mut dyn Write, shown: &Shown) -> anyhow::Result<()> {
        let unreadable = Entry::default();
        let entry = shown.entry.as_ref().unwrap_or(&unreadable);
        let mut row = if shown.entry.is_some() { Row::of(entry) } else { Row::unreadable(shown) };
        if entry.count() > 1 {
            row.rest = show(&folded(entry)) + &row.rest;
            if entry.is_various("tool") || entry.is_various("method") {
                "(various)".clone_into(&mut row.what);
            }
        }
        let time = entry.time.get(..TIME).unwrap_or(&entry.time).replacen('T', " ", 1);
        let server = cut(&show(&entry.server), self.server);
        let Row { event, what, decision, rest } = row;
        let mut line = format!("{time:TIME$} {server:0$} {event:EVENT$} ", self.server);
        let indent = TIME.saturating_add(1);
        let mut hidden = 0_usize;
        if !what.is_empty() || !decision.is_empty() {
            let _ = write!(line, "{what:WHAT$} ");
            if entry.is_denial() && self.in_colour {
                let _ = write!(line, "{RED}{decision:DECISION$}{PLAIN} ");
                hidden = RED.len().saturating_add(PLAIN.len());
            } else {
                let _ = write!(line, "{decision:DECISION$} ");
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

impl Row {
    fn of(entry: &Entry) -> Self {
        let sender = || format!("from {}", show(&entry.from));
        let decided = |decision: &str| match decision {
            "approval_required" => "approval".to_owned(),
            other => show(other),
        };
        let row = |event, what, rest: &str| Row { event, what, rest: show(rest), ..Row::default() };
        let id = || entry.id.as_ref().map(|id| show(id.get())).unwrap_or_default();
        match entry.event.as_str() {
            "call" => Row {
                event: "call",
                what: show(&entry.tool),
                decision: decided(&entry.decision),
                rest: show(&verdict(entry)),
            },
            "answer" => Row {
                decision: show(&entry.outcome),
                ..row("answer", format!("id {}", id()), &format!("{} ms", entry.latency_ms))
            },
            "frame_refused" => {
                let of = entry.id.as_ref().map(|id| format!("id {}: ", id.get()));
                let rest = of.unwrap_or_default() + &entry.reason;
                Row { decision: "refused".to_owned(), ..row("line", sender(), &rest) }
            }
            "frame_dropped" => {
                Row { decision: "dropped".to_owned(), ..row("line", sender(), &entry.reason) }
            }
            "method_denied" => {
                let how = if entry.is_denial() { "denied" } else { "shadow" };
                let rest = format!("{}: from {}", entry.rule, entry.from);
                Row { decision: how.to_owned(), ..row("method", show(&entry.method), &rest) }
            }
            "session_start" => row("start", String::new(), &start(entry)),
            "session_end" => row("end", String::new(), &end(entry)),
            "policy_loaded" => row("policy", String::new(), &format!("`{}` loaded", entry.policy)),
            "policy_rejected" => {
                let rest = format!("`{}` rejected: {}", entry.policy, entry.error);
                row("policy", String::new(), &rest)
            }
            "tools_changed" => {
                row("tools", String::new(), &format!("the list was changed by the {}", entry.by))
            }
            "counter_reset" => {
                let rest =
                    format!("counter `{}` reset: {} of that name", entry.counter, entry.counters);
                row("reset", String::new(), &rest)
            }
            "records_lost" => {
                row("lost", String::new(), &format!("{} lines could not be written", entry.lines))
            }
            "recovered" => {
                let rest = format!(
                    "a process was killed while it wrote: {} taken up, {} torn",
                    many(entry.lines, "line"),
                    many(entry.torn_bytes, "byte")
                );
                row("recovered", String::new(), &rest)
            }
            other => row("event", String::new(), other),
        }
    }

    fn unreadable(shown: &Shown) -> Self {
        let (file, bytes) = (shown.path.display(), shown.length);
        let text = String::from_utf8_lossy(shown.beginning());
        let cut = if text.len() as u64 >= bytes { "" } else { "…" };
        let rest =
            format!("{bytes} bytes at {} of `{file}` are no line of a log: {text}{cut}", shown.at);
        Row { event: "UNREADABLE", rest: show(&rest), ..Row::default() }
    }
}

/// What a session began with.
fn start(entry: &Entry) -> String {
    let Entry { grant, pid, version, command, policy, .. } = entry;
    let shadow = entry.shadow.as_ref().is_some_and(|shadow| shadow.get() == "true");
    let mode = if shadow { ", in shadow mode" } else { "" };
    format!(
        "grant `{grant}`, policy `{policy}`, command `{command}`, process {pid}, callgate {version}{mode}"
    )
}

/// How a session ended, and its totals.
fn end(entry: &Entry) -> String {
    let EntryTotals { calls, denied } = entry.totals.unwrap_or_default();
    format!("exit code {}, {}, {denied} denied", entry.exit_code, many(calls, "call"))
}

/// Rule and message of a call, and what shadow mode let pass.
fn verdict(entry: &Entry) -> String {
    let mut text = entry.rule.clone();
    for (mark, more) in [(": ", &entry.message), (": ", &entry.cause)] {
        if !more.is_empty() {
            text.extend([mark, more]);
        }
    }
    if let Some(shadowed) = entry.shadowed() {
        let _ = write!(text, "; in shadow mode: {} by {}", shadowed.decision, shadowed.rule);
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
fn folded(entry: &Entry) -> String {
    let since = entry.since.get(TIME_OF_DAY).unwrap_or(&entry.since);
    let various = match entry.various.as_slice() {
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
