//! Counts of the last day from the audit logs, in bounded memory: the logs are read backwards once, and then followed.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use crate::engine::policy::BuiltIn;
use crate::engine::wire::line::Side;
use crate::shell::audit::entry::{Common, LogEntry};
use crate::shell::audit::event::AuditEvent;
use crate::shell::audit::reader::LogLine;
use crate::shell::audit::tail::{Newest, Trail};
use crate::shell::os::clock::rfc3339;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Lines are not strictly in the order of their times: a queued line may be written after a later one.
const DISORDER_MS: u64 = 10 * MINUTE_MS;
/// How many denials are kept for each grant.
const DENIALS: usize = 10;
/// Stands for a field in which folded denials differ.
const VARIOUS: &str = "(various)";
/// The event's name is within so many bytes of the beginning of a line.
const BEGINNING: usize = 256;

/// How often each thing happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// Calls that were decided.
    pub(super) calls: u64,
    /// Those that did not go out.
    pub(super) denied: u64,
    /// Those that went out only because of shadow mode.
    pub(super) shadowed: u64,
    /// Refused messages that are not calls.
    pub(super) refused: u64,
    /// Messages that were dropped because nothing waited for them.
    pub(super) dropped: u64,
}

impl Counts {
    fn add(&mut self, more: Counts) {
        for (count, more) in [
            (&mut self.calls, more.calls),
            (&mut self.denied, more.denied),
            (&mut self.shadowed, more.shadowed),
            (&mut self.refused, more.refused),
            (&mut self.dropped, more.dropped),
        ] {
            *count = count.saturating_add(more);
        }
    }
}

/// Something that was denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct RecentDenial {
    /// When.
    pub(super) time: String,
    /// The number of the line in the log.
    pub(super) seq: u64,
    /// What was denied: `call`, `method_denied` or `frame_refused`.
    pub(super) event: String,
    /// The tool or the method; empty for a line that was refused.
    pub(super) what: String,
    /// The rule.
    pub(super) rule: String,
    /// What the agent was told, or what is wrong with the line.
    pub(super) message: String,
    /// How many denials this line stands for.
    pub(super) count: u64,
}

impl RecentDenial {
    fn of(entry: LogEntry) -> Self {
        let count = entry.count();
        let various = |field: &str, of_one: &str| {
            if entry.is_various(field) { VARIOUS } else { of_one }.to_owned()
        };
        let (what, rule, message) = match &entry.event {
            Some(AuditEvent::Call(call)) => (
                various("tool", &call.tool),
                various("rule", &call.rule),
                call.message.clone().into_owned(),
            ),
            Some(AuditEvent::MethodDenied(method)) => {
                (various("method", &method.method), various("rule", &method.rule), String::new())
            }
            Some(AuditEvent::FrameRefused(frame)) => {
                (String::new(), BuiltIn::Frame.word().to_owned(), various("reason", &frame.reason))
            }
            _ => (String::new(), String::new(), String::new()),
        };
        let Common { time, seq, event, .. } = entry.common;
        RecentDenial { time, seq, event, what, rule, message, count }
    }
}

/// What happened under one grant of a server.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// By minutes since the epoch.
    hour: BTreeMap<u64, Counts>,
    day: BTreeMap<u64, Minute>,
    /// The newest denials, newest first.
    last: Vec<RecentDenial>,
}

/// What happened within a minute.
#[derive(Debug, Default)]
struct Minute {
    counts: Counts,
    /// How often each rule has denied.
    rules: HashMap<String, u64>,
}

impl Activity {
    /// The last hour.
    pub(super) fn hour(&self) -> Counts {
        sum(self.hour.values())
    }

    /// The last day.
    pub(super) fn day(&self) -> Counts {
        sum(self.day.values().map(|minute| &minute.counts))
    }

    /// The newest denials of the last day, newest first.
    pub(super) fn last_denials(&self) -> &[RecentDenial] {
        &self.last
    }

    /// The rules that have denied in the last day, with how often they did, the most first.
    pub(super) fn rules(&self) -> Vec<(String, u64)> {
        let mut rules: HashMap<&str, u64> = HashMap::new();
        for (rule, count) in self.day.values().flat_map(|minute| &minute.rules) {
            let sum = rules.entry(rule).or_default();
            *sum = sum.saturating_add(*count);
        }
        let mut rules: Vec<_> =
            rules.into_iter().map(|(rule, count)| (rule.to_owned(), count)).collect();
        rules.sort_by(|(a, many), (b, more)| more.cmp(many).then(a.cmp(b)));
        rules
    }

    fn take(&mut self, at_ms: u64, now_ms: u64, entry: LogEntry) {
        let is_denial = is_denial(&entry);
        let (is_call, shadowed) = match &entry.event {
            Some(AuditEvent::Call(call)) => (true, !is_denial && call.shadow.is_some()),
            _ => (false, false),
        };
        let is_drop = matches!(entry.event, Some(AuditEvent::FrameDropped(_)));
        let folded = entry.count();
        let counted = |is_one: bool| if is_one { folded } else { 0 };
        let counts = Counts {
            calls: counted(is_call),
            denied: counted(is_call && is_denial),
            shadowed: counted(shadowed),
            refused: counted(!is_call && is_denial),
            dropped: counted(is_drop),
        };
        let minute = minute(at_ms);
        if at_ms > now_ms.saturating_sub(HOUR_MS) {
            self.hour.entry(minute).or_default().add(counts);
        }
        let day = self.day.entry(minute).or_default();
        day.counts.add(counts);
        if is_denial {
            let denial = RecentDenial::of(entry);
            let count = day.rules.entry(denial.rule.clone()).or_default();
            *count = count.saturating_add(folded);
            let order = |denial: &RecentDenial| (denial.time.clone(), denial.seq);
            let place = self.last.partition_point(|other| order(other) > order(&denial));
            if place < DENIALS {
                self.last.insert(place, denial);
                self.last.truncate(DENIALS);
            }
        }
    }

    /// Forgets what is older than a day.
    fn expire(&mut self, now_ms: u64) {
        self.hour = self.hour.split_off(&minute(now_ms.saturating_sub(HOUR_MS)));
        self.day = self.day.split_off(&minute(now_ms.saturating_sub(DAY_MS)));
        let oldest = rfc3339(now_ms.saturating_sub(DAY_MS));
        self.last.retain(|denial| denial.time > oldest);
    }
}

fn minute(at_ms: u64) -> u64 {
    at_ms.checked_div(MINUTE_MS).unwrap_or_default()
}

fn sum<'c>(counts: impl Iterator<Item = &'c Counts>) -> Counts {
    counts.fold(Counts::default(), |mut sum, more| {
        sum.add(*more);
        sum
    })
}

/// The last day of several logs.
#[derive(Debug, Default)]
pub(super) struct Tally {
    logs: BTreeMap<PathBuf, TalliedLog>,
    /// By server and grant.
    activities: BTreeMap<(String, String), Activity>,
}

/// A log, as far as it was read.
#[derive(Debug)]
struct TalliedLog {
    trail: Trail,
    /// The newest line that was read at first.
    seq: u64,
    /// Lines of the last day that are none.
    broken: u64,
}

/// What a line is to a tally.
enum Taken {
    /// A line of the last day, with its number.
    Counted(u64),
    /// It is older.
    Old,
    /// It is no line of a log.
    Broken,
}

impl Tally {
    /// Reads what is new in a log.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn read(&mut self, log: &Path, now_ms: u64) -> anyhow::Result<()> {
        let mut source = match self.logs.remove(log) {
            Some(source) => source,
            None => self.read_back(log, now_ms)?,
        };
        let known = source.seq;
        while let Some(taken) = source.trail.next(|found| self.take(&found.line, known, now_ms))? {
            source.broken = source.broken.saturating_add(u64::from(matches!(taken, Taken::Broken)));
        }
        self.logs.insert(log.to_owned(), source);
        Ok(())
    }

    /// Reads the last day of a log.
    fn read_back(&mut self, log: &Path, now_ms: u64) -> anyhow::Result<TalliedLog> {
        let mut newest = Newest::new(log)?;
        let end = newest.newest()?;
        let (mut seq, mut broken) = (0, 0_u64);
        while let Some(taken) = newest.previous(|line, _| self.take(line, 0, now_ms))? {
            match taken {
                Taken::Counted(number) => seq = seq.max(number),
                Taken::Old => break,
                Taken::Broken => broken = broken.saturating_add(1),
            }
        }
        Ok(TalliedLog { trail: Trail::new(log, end), seq, broken })
    }

    /// Counts what a line says, if its number is above `known`.
    fn take(&mut self, line: &LogLine<'_>, known: u64, now_ms: u64) -> Taken {
        let beginning = line.bytes.get(..BEGINNING).unwrap_or(line.bytes);
        if line.is_whole() && is_answer(beginning) {
            // Half of all lines: not worth reading. They count nothing.
            return Taken::Counted(0);
        }
        let entry = LogEntry::of(line.bytes).filter(|_| line.is_whole() && line.is_ended);
        let timed = entry.and_then(|entry| Some((milliseconds(&entry.common.time)?, entry)));
        let Some((at_ms, entry)) = timed else { return Taken::Broken };
        let seq = entry.common.seq;
        let oldest = now_ms.saturating_sub(DAY_MS);
        if at_ms <= oldest {
            let is_past = at_ms < oldest.saturating_sub(DISORDER_MS);
            return if is_past { Taken::Old } else { Taken::Counted(seq) };
        }
        let is_counted = match entry.event {
            Some(AuditEvent::Call(_) | AuditEvent::FrameDropped(_)) => true,
            _ => is_denial(&entry),
        };
        if seq > known && is_counted {
            let whose = (entry.common.server.clone(), entry.common.grant.clone());
            self.activities.entry(whose).or_default().take(at_ms, now_ms, entry);
        }
        Taken::Counted(seq)
    }

    /// What happened in the last day, by server and grant.
    pub(super) fn activities(
        &mut self,
        now_ms: u64,
    ) -> impl Iterator<Item = (&(String, String), &Activity)> {
        for activity in self.activities.values_mut() {
            activity.expire(now_ms);
        }
        self.activities.iter().filter(|(_, activity)| !activity.day.is_empty())
    }

    /// The logs with lines of the last day that are none, and how many.
    pub(super) fn broken(&self) -> impl Iterator<Item = (&Path, u64)> {
        let logs = self.logs.iter().map(|(log, source)| (log.as_path(), source.broken));
        logs.filter(|(_, broken)| *broken > 0)
    }
}

/// The first member of that name is the line's own: arguments, which may have one as well, come later.
fn is_answer(beginning: &[u8]) -> bool {
    const EVENT: &[u8] = br#""event":"#;
    let behind = |at: usize| beginning.get(at.saturating_add(EVENT.len())..);
    let event = memchr::memmem::find(beginning, EVENT).and_then(behind);
    event.is_some_and(|event| event.starts_with(br#""answer""#))
}

/// What a server logs to its stdout is not relayed, but was not denied to anybody.
fn is_denial(entry: &LogEntry) -> bool {
    let is_noise = match &entry.event {
        Some(AuditEvent::FrameRefused(frame)) => frame.from.is(Side::Server),
        _ => false,
    };
    entry.is_denial() && !is_noise
}

fn milliseconds(time: &str) -> Option<u64> {
    u64::try_from(time.parse::<Timestamp>().ok()?.as_millisecond()).ok()
}
