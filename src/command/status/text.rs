//! The overview for people: in 80 columns, or as many as the terminal has.

use std::fmt::Write as _;

use crate::engine::limits::Window;
use crate::engine::text::escape::escape_line;
use crate::engine::text::shorten::{cut, cut_middle};

use super::overview::{Account, Gauge, Overview};
use super::tally::{Counts, RecentDenial};
use crate::shell::registry::Running;

/// How wide bars are.
const SHORTEST_BAR: usize = 8;
const LONGEST_BAR: usize = 30;
/// Less than that is left of no name.
const SHORTEST_NAME: usize = 12;
/// Rules and denials that are shown of a grant.
const SHOWN: usize = 5;
/// How wide a tool's name may be.
const TOOL: usize = 24;
/// A time of day.
const TIME: usize = 19;

/// How a piece of a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tint {
    Plain,
    Bold,
    Faint,
    Green,
    Yellow,
    Red,
}

impl Tint {
    fn code(self) -> &'static str {
        match self {
            Tint::Plain => "",
            Tint::Bold => "\x1b[1m",
            Tint::Faint => "\x1b[2m",
            Tint::Green => "\x1b[32m",
            Tint::Yellow => "\x1b[33m",
            Tint::Red => "\x1b[31m",
        }
    }
}

/// A line in pieces, none of which holds anything that a terminal could obey.
#[derive(Debug, Default)]
pub(super) struct StatusLine {
    pieces: Vec<(Tint, String)>,
}

impl StatusLine {
    fn plain(text: impl Into<String>) -> Self {
        StatusLine::default().and(Tint::Plain, text)
    }

    fn and(mut self, look: Tint, text: impl Into<String>) -> Self {
        self.pieces.push((look, text.into()));
        self
    }

    /// The line as it is printed, cut off at so many columns if there is such a limit.
    pub(super) fn show(&self, in_colour: bool, columns: Option<usize>) -> String {
        let mut shown = String::new();
        let mut left = columns.unwrap_or(usize::MAX);
        for (look, text) in &self.pieces {
            let piece: String = text.chars().take(left).collect();
            left = left.saturating_sub(piece.chars().count());
            if in_colour && *look != Tint::Plain {
                shown.extend([look.code(), &piece, "\x1b[0m"]);
            } else {
                shown.push_str(&piece);
            }
        }
        shown.truncate(shown.trim_end().len());
        shown
    }
}

/// Lays an overview out.
pub(super) fn lines(overview: &Overview, columns: usize) -> Vec<StatusLine> {
    let mut lines = Vec::new();
    for grant in &overview.grants {
        if !lines.is_empty() {
            lines.push(StatusLine::default());
        }
        show_grant(&mut lines, grant, overview, columns);
    }
    if overview.grants.is_empty() {
        lines.extend(nothing(overview).into_iter().map(StatusLine::plain));
    }
    if !overview.problems.is_empty() {
        lines.push(StatusLine::default());
    }
    for problem in &overview.problems {
        lines.push(
            StatusLine::default().and(Tint::Red, "problem: ").and(Tint::Plain, show(problem)),
        );
    }
    lines
}

/// What is said where there is nothing to show.
fn nothing(overview: &Overview) -> Vec<String> {
    let Overview { directory, state, wanted, servers, .. } = overview;
    let elsewhere = if state == directory { String::new() } else { format!(", nor in `{state}`") };
    let place = show(&format!("`{directory}`{elsewhere}"));
    if let Some(wanted) = wanted {
        let known: Vec<String> = servers.iter().map(|server| format!("`{server}`")).collect();
        let known =
            if known.is_empty() { String::new() } else { format!(", but of {}", known.join(", ")) };
        return vec![show(&format!("nothing of {wanted} in {place}{known}"))];
    }
    vec![
        format!("no session runs, no counter was charged, and nothing was logged in {place}"),
        "a session begins with: callgate wrap --policy FILE -- COMMAND".to_owned(),
        "if it was given a `--state` of its own, say the same here".to_owned(),
    ]
}

fn show_grant(lines: &mut Vec<StatusLine>, grant: &Account, overview: &Overview, columns: usize) {
    let whose = match &grant.grant {
        Some(name) => format!(", grant {}", show(name)),
        None => ", all grants".to_owned(),
    };
    let server = show(&grant.server);
    lines.push(StatusLine::default().and(Tint::Bold, server).and(Tint::Plain, whose));
    for session in &grant.sessions {
        show_session(lines, session, overview, columns);
    }
    let (over, counters): (Vec<_>, Vec<_>) =
        grant.counters.iter().partition(|counter| counter.is_over());
    let several = grant.sessions.len() > 1;
    lines.extend(GaugeRows::new(&counters, several, overview.now_ms, columns).lines());
    if !over.is_empty() {
        let what = format!("  {} of sessions that are over", many(over.len() as u64, "counter"));
        lines.push(StatusLine::default().and(Tint::Faint, what));
    }
    for (when, counts) in [("last hour", grant.last_hour), ("last day", grant.last_day)] {
        if grant.last_day != Counts::default() {
            lines.push(StatusLine::plain(format!("  {when:9}  {}", tell(counts))));
        }
    }
    if !grant.denying_rules.is_empty() {
        lines.push(StatusLine::plain("  denied by"));
    }
    for rule in grant.denying_rules.iter().take(SHOWN) {
        let count = format!("{:>8}", rule.denials);
        let room = columns.saturating_sub(count.len()).saturating_sub(2);
        let name = cut_middle(&show(&rule.rule), room);
        lines.push(StatusLine::plain(format!("{count}  {name}")));
    }
    if !grant.last_denials.is_empty() {
        lines.push(StatusLine::plain("  last denials"));
    }
    for denial in grant.last_denials.iter().take(SHOWN) {
        show_denial(lines, denial, columns);
    }
}

fn show_session(
    lines: &mut Vec<StatusLine>,
    session: &Running,
    overview: &Overview,
    columns: usize,
) {
    let Running { pid, since, policy, policy_loaded, policy_rejected, .. } = session;
    let age = milliseconds(since).map(|since| span(overview.now_ms.saturating_sub(since)));
    let age = age.map(|age| format!(" ({age})")).unwrap_or_default();
    let mode = if session.shadow { ", in shadow mode" } else { "" };
    let mut line = StatusLine::plain("  ")
        .and(Tint::Green, format!("pid {pid}"))
        .and(Tint::Plain, format!(" since {}{age}{mode}", time(since)));
    if session.state != overview.state {
        line = line.and(Tint::Yellow, format!(", counters in {}", show(&session.state)));
    }
    lines.push(line);
    let loaded = format!(", loaded {}", time(policy_loaded));
    let room = columns.saturating_sub(loaded.len()).saturating_sub("    policy ".len());
    let policy = cut_middle(&show(policy), room.max(SHORTEST_NAME));
    lines.push(StatusLine::plain(format!("    policy {policy}{loaded}")));
    if let Some(rejected) = policy_rejected {
        let what = format!("    a later version was rejected {}", time(rejected));
        lines.push(StatusLine::default().and(Tint::Yellow, what));
    }
}

fn show_denial(lines: &mut Vec<StatusLine>, denial: &RecentDenial, columns: usize) {
    let RecentDenial { time: when, event, what, rule, message, count, .. } = denial;
    let what = match event.as_str() {
        "frame_refused" => "a message".to_owned(),
        _ => cut_middle(&show(what), TOOL),
    };
    let begun = format!("    {}  {what}", time(when));
    let times = if *count > 1 { format!("  {count} times") } else { String::new() };
    let used = begun.chars().count().saturating_add(times.len());
    let room = columns.saturating_sub(used).saturating_sub(2);
    let rule = cut_middle(&show(rule), room.max(SHORTEST_NAME));
    lines
        .push(StatusLine::plain(begun).and(Tint::Red, format!("  {rule}")).and(Tint::Plain, times));
    if !message.is_empty() {
        let room = columns.saturating_sub(6);
        lines.push(StatusLine::plain("      ").and(Tint::Faint, cut(&show(message), room)));
    }
}

fn tell(counts: Counts) -> String {
    let Counts { calls, denied, shadowed, refused, dropped } = counts;
    let mut text = format!("{}, {denied} denied", many(calls, "call"));
    if shadowed > 0 {
        let _ = write!(text, ", {shadowed} let pass in shadow mode");
    }
    if refused > 0 {
        let _ = write!(text, ", {} refused", many(refused, "message"));
    }
    if dropped > 0 {
        let _ = write!(text, ", {} dropped", many(dropped, "message"));
    }
    text
}

/// The counters of a grant, as a table.
struct GaugeRows {
    rows: Vec<GaugeRow>,
    columns: usize,
}

/// One counter.
struct GaugeRow {
    name: String,
    window: String,
    used: String,
    max: String,
    frees: String,
    /// How much is used, of 1000.
    share: u128,
}

impl GaugeRows {
    fn new(counters: &[&Gauge], several: bool, now_ms: u64, columns: usize) -> Self {
        let row = |counter: &&Gauge| GaugeRow::of(counter, several, now_ms);
        GaugeRows { rows: counters.iter().map(row).collect(), columns }
    }

    fn widest(&self, text: impl Fn(&GaugeRow) -> &str) -> usize {
        self.rows.iter().map(|row| text(row).chars().count()).max().unwrap_or_default()
    }

    fn lines(&self) -> Vec<StatusLine> {
        let [window, used, max, frees] = [
            self.widest(|row| &row.window),
            self.widest(|row| &row.used),
            self.widest(|row| &row.max),
            self.widest(|row| &row.frees),
        ];
        // Two blanks before each column, and ` of ` between the amounts.
        let fixed = [2, 2, window, 2, used, 4, max, 2, frees].into_iter().sum::<usize>();
        let room = self.columns.saturating_sub(fixed);
        let longest = self.widest(|row| &row.name);
        let wanted = room.saturating_sub(longest.saturating_add(2));
        let mut bar = wanted.clamp(SHORTEST_BAR, LONGEST_BAR);
        let mut name = room.saturating_sub(bar.saturating_add(2)).min(longest);
        if name < longest.min(SHORTEST_NAME) {
            bar = 0;
            name = room.min(longest);
        }
        let is_tight = name < longest.min(SHORTEST_NAME);
        let line = |row: &GaugeRow| {
            let look = row.look();
            let amounts = format!("{:>used$} of {:max$}", row.used, row.max);
            let drawn = if bar > 0 { format!("  {}", row.bar(bar)) } else { String::new() };
            if is_tight {
                // Amounts may have 25 digits.
                let first = format!("  {}  {}", row.name, row.window);
                let second =
                    StatusLine::plain("    ").and(look, format!("{} of {}", row.used, row.max));
                return vec![
                    StatusLine::plain(first),
                    second.and(Tint::Plain, format!("  {}", row.frees)),
                ];
            }
            let named = format!("  {:name$}  {:window$}", cut_middle(&row.name, name), row.window);
            let line = StatusLine::plain(named).and(look, drawn).and(look, format!("  {amounts}"));
            vec![line.and(Tint::Plain, format!("  {}", row.frees))]
        };
        self.rows.iter().flat_map(line).collect()
    }
}

impl GaugeRow {
    fn of(counter: &Gauge, several: bool, now_ms: u64) -> Self {
        let (used, max) = (counter.used.nanos(), counter.max.nanos());
        let window = match counter.window {
            Window::Calendar(_) => format!("calendar {}", counter.window),
            Window::Sliding(_) | Window::Session => counter.window.to_string(),
        };
        let frees = match counter.frees_at_ms {
            Some(at) => format!("frees in {}", span(at.saturating_sub(now_ms).max(1))),
            None if used > 0 => "frees with the session".to_owned(),
            None => String::new(),
        };
        let pid = counter.pid.filter(|_| several).map(|pid| format!(" (pid {pid})"));
        GaugeRow {
            name: show(&counter.counter) + &pid.unwrap_or_default(),
            window,
            used: counter.used.to_string(),
            max: counter.max.to_string(),
            frees,
            // Of nothing, all is used.
            share: used.saturating_mul(1000).checked_div(max).unwrap_or(1000).min(1000),
        }
    }

    fn look(&self) -> Tint {
        match self.share {
            0..800 => Tint::Green,
            800..1000 => Tint::Yellow,
            _ => Tint::Red,
        }
    }

    /// Full only if nothing is left, and empty only if nothing is used.
    fn bar(&self, width: usize) -> String {
        let cells = u128::try_from(width).unwrap_or_default();
        let full = self.share.saturating_mul(cells).checked_div(1000).unwrap_or_default();
        let least = u128::from(self.used != "0").min(cells);
        let full = usize::try_from(full.max(least)).unwrap_or_default();
        ["█".repeat(full), "░".repeat(width.saturating_sub(full))].concat()
    }
}

/// A stretch of time in its two largest units; what has begun of the last one counts.
fn span(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (length, unit) in units {
        let count = left.checked_div(length).unwrap_or_default();
        left = left.checked_rem(length).unwrap_or_default();
        let is_next = !parts.is_empty();
        if count > 0 {
            parts.push(format!("{count} {unit}"));
        }
        if is_next {
            break;
        }
    }
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

fn many(count: u64, what: &str) -> String {
    if count == 1 { format!("{count} {what}") } else { format!("{count} {what}s") }
}

fn milliseconds(time: &str) -> Option<u64> {
    u64::try_from(time.parse::<jiff::Timestamp>().ok()?.as_millisecond()).ok()
}

/// A time as people read it, in UTC.
fn time(rfc3339: &str) -> String {
    show(rfc3339.get(..TIME).unwrap_or(rfc3339)).replacen('T', " ", 1)
}

fn show(text: &str) -> String {
    escape_line(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn times_are_told_in_two_units() {
        let told =
            [0, 1, 999, 60_000, 61_000, 3_600_000, 7_261_000, 90_000_000, 86_401_000].map(span);
        let expected =
            ["0 s", "1 s", "1 s", "1 min", "1 min 1 s", "1 h", "2 h 1 min", "1 d 1 h", "1 d"];
        assert_eq!(told, expected);
    }
}
