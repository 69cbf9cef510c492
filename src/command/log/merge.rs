//! Merges several logs by time, in memory that does not depend on their length.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};

use crate::shell::audit::entry::LogEntry;
use crate::shell::audit::reader::LogLine;
use crate::shell::audit::tail::{FoundLine, LogPlace, Newest, Trail};

use super::Query;

/// How much of an unreadable line to show, in bytes.
const SHOWN: usize = 256;
/// How far lines may be out of the order of their times: an event may be written later than newer ones.
const DISORDER: SignedDuration = SignedDuration::from_mins(10);
/// How long to wait for the line feed of a line that may still be being written.
const MAKING: std::time::Duration = std::time::Duration::from_millis(20);

/// A line to show.
#[derive(Debug)]
pub(super) struct ShownLine {
    /// Its file.
    pub(super) path: PathBuf,
    /// Its offset in the file.
    pub(super) at: u64,
    /// Its length in bytes.
    pub(super) length: u64,
    /// The line, or the beginning of one that is too long.
    pub(super) bytes: Vec<u8>,
    /// Its content, if it can be read.
    pub(super) entry: Option<LogEntry>,
    /// Its time; an unreadable line gets the time of the line before it.
    time: String,
}

impl ShownLine {
    fn of(found: &FoundLine<'_>, before: &str) -> Self {
        let FoundLine { path, line } = found;
        let entry = read(line);
        let own =
            entry.as_ref().map(|entry| entry.common.time.as_str()).filter(|time| !time.is_empty());
        ShownLine {
            path: path.to_path_buf(),
            at: line.at,
            length: line.length,
            bytes: line.bytes.to_vec(),
            time: own.unwrap_or(before).to_owned(),
            entry,
        }
    }

    /// The part of an unreadable line to show.
    pub(super) fn beginning(&self) -> &[u8] {
        self.bytes.get(..SHOWN).unwrap_or(&self.bytes)
    }
}

fn read(line: &LogLine<'_>) -> Option<LogEntry> {
    LogEntry::of(line.bytes).filter(|_| line.is_whole() && line.is_ended)
}

/// One log of the merge.
#[derive(Debug)]
struct LogSource {
    path: PathBuf,
    trail: Trail,
    next: Option<ShownLine>,
    /// The time of the last line read.
    time: String,
    /// True once the unfinished line at the end has been shown.
    told_tail: bool,
}

impl LogSource {
    fn new(path: &Path, from: Option<LogPlace>) -> Self {
        let trail = Trail::new(path, from);
        let path = path.to_owned();
        LogSource { path, trail, next: None, time: String::new(), told_tail: false }
    }

    /// Reads on to the next line that matches the query.
    fn fill(&mut self, query: &Query, follow: bool) -> anyhow::Result<()> {
        while self.next.is_none() {
            let time = &self.time;
            let Some(shown) = self.trail.next(|found| ShownLine::of(&found, time))? else {
                if !follow && !self.told_tail {
                    self.told_tail = true;
                    self.next = self.torn_tail()?;
                }
                return Ok(());
            };
            self.time.clone_from(&shown.time);
            let is_wanted = shown.entry.as_ref().is_none_or(|entry| query.wants(entry));
            self.next = Some(shown).filter(|_| is_wanted);
        }
        Ok(())
    }

    /// The line at the end that lacks its line feed, unless a process is still writing it.
    fn torn_tail(&mut self) -> anyhow::Result<Option<ShownLine>> {
        let Some(before) = self.trail.tail().map(|found| found.line.length) else {
            return Ok(None);
        };
        std::thread::sleep(MAKING);
        let time = &self.time;
        if let Some(shown) = self.trail.next(|found| ShownLine::of(&found, time))? {
            return Ok(Some(shown));
        }
        let torn = self.trail.tail().filter(|found| found.line.length == before);
        Ok(torn.map(|found| ShownLine::of(&found, &self.time)))
    }
}

/// Several logs as one.
#[derive(Debug)]
pub(super) struct Merge {
    sources: Vec<LogSource>,
}

impl Merge {
    /// Starts at the newest lines that match, `limit` of them at most, and goes on to all later ones.
    pub(super) fn new(logs: &[PathBuf], query: &Query, limit: u64) -> anyhow::Result<Self> {
        let mut searches = Vec::new();
        let from_the_beginning = limit == u64::MAX && query.since.is_none();
        if from_the_beginning {
            let sources = logs.iter().map(|log| LogSource::new(log, None)).collect();
            return Ok(Merge { sources });
        }
        let stop = query.since.as_deref().map(stop_before).transpose()?;
        for log in logs {
            let mut search = Search::new(log)?;
            search.go_back(query, stop.as_deref())?;
            searches.push(search);
        }
        for _ in 0..limit {
            let newest = searches.iter_mut().filter(|search| search.found.is_some());
            let time = |search: &&mut Search| search.found.as_ref().map(|(time, _)| time.clone());
            let Some(search) = newest.max_by_key(time) else { break };
            search.start = search.found.take().map(|(_, place)| place);
            search.go_back(query, stop.as_deref())?;
        }
        let started = searches.into_iter().zip(logs);
        let sources = started.map(|(search, log)| LogSource::new(log, search.start)).collect();
        Ok(Merge { sources })
    }

    /// Adds logs that did not exist before.
    pub(super) fn add(&mut self, logs: Vec<PathBuf>) {
        for log in logs {
            if !self.sources.iter().any(|source| source.path == log) {
                self.sources.push(LogSource::new(&log, None));
            }
        }
    }

    /// The next line, if there is one yet.
    pub(super) fn next(
        &mut self,
        query: &Query,
        follow: bool,
    ) -> anyhow::Result<Option<ShownLine>> {
        for source in &mut self.sources {
            source.fill(query, follow)?;
        }
        let waiting = self.sources.iter_mut().filter(|source| source.next.is_some());
        let time = |source: &&mut LogSource| source.next.as_ref().map(|shown| shown.time.clone());
        Ok(waiting.min_by_key(time).and_then(|source| source.next.take()))
    }
}

/// A search backwards through one log for the place to start from.
#[derive(Debug)]
struct Search {
    lines: Newest,
    /// The next older line that matches: its time and place.
    found: Option<(String, LogPlace)>,
    /// The place to start from, as far as it is known.
    start: Option<LogPlace>,
    time: Option<String>,
}

impl Search {
    fn new(log: &Path) -> anyhow::Result<Self> {
        let lines = Newest::new(log)?;
        let start = lines.newest()?;
        Ok(Search { lines, found: None, start, time: None })
    }

    /// Searches back to the next line that matches, but not beyond `stop`.
    fn go_back(&mut self, query: &Query, stop: Option<&str>) -> anyhow::Result<()> {
        while self.found.is_none() {
            let Some((entry, place)) = self.lines.previous(|line, place| (read(line), place))?
            else {
                return Ok(());
            };
            let own = entry
                .as_ref()
                .map(|entry| entry.common.time.clone())
                .filter(|time| !time.is_empty());
            if own.as_deref().zip(stop).is_some_and(|(time, stop)| time < stop) {
                return Ok(());
            }
            // An unreadable line gets the time of the line after it, which is exact enough here.
            let time = own.or_else(|| self.time.take()).unwrap_or_else(|| "9".to_owned());
            self.time = Some(time.clone());
            if entry.is_none_or(|entry| query.wants(&entry)) {
                self.found = Some((time, place));
            }
        }
        Ok(())
    }
}

/// The time before which the search stops.
fn stop_before(since: &str) -> anyhow::Result<String> {
    let since: Timestamp = since.parse().context("failed to read a time")?;
    let stop = since.checked_sub(DISORDER).unwrap_or(Timestamp::MIN);
    Ok(format!("{stop:.3}"))
}
