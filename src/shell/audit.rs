//! The audit log of one session (SPEC S3): what is worth a record becomes a line of the server's chain.
//!
//! A call's record is written before the call goes out, in one write. What may come later (answers, refused lines) is
//! noted and leaves with the next call, or a moment later.

pub mod chain;
pub mod entry;
pub mod files;
pub mod lines;
pub mod link;
pub mod reader;
pub mod trail;
pub mod verify;

use std::borrow::Cow;
use std::path::Path;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use jiff::Timestamp;

use crate::engine::record::Record;
use crate::engine::visible::escape_json;

use self::chain::{AppendError, Chain};
use self::lines::{Event, Identity, Totals};
use super::retry::Retry;

/// How long what is noted may wait for a call to leave with.
const LINGER: Duration = Duration::from_millis(50);
/// How much may wait while the log cannot be written.
const MAX_NOTED_BYTES: usize = 256 * 1024;
/// … and how much of it does not wait for its time.
const ENOUGH_BYTES: usize = 32 * 1024;
/// How long the last lines of a session may take.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The log of one session.
#[derive(Debug)]
pub struct Audit {
    chain: Chain,
    /// What every line ends with.
    identity: String,
    totals: Totals,
    /// Lines that have not been written, oldest first, and their bytes.
    noted: Vec<String>,
    noted_bytes: usize,
    /// When they are to be written at the latest.
    due: Option<Instant>,
    /// Notes that found no room.
    lost: u64,
    /// The time that was given last.
    seen_ms: u64,
    retry: Retry,
    /// The log could not be written when that was last tried.
    failing: bool,
}

impl Audit {
    /// Opens the log at `path`; see [`Chain::open`].
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path, head: &Path, keep: u64, identity: &Identity) -> anyhow::Result<Self> {
        let identity = serde_json::to_string(identity)?.replacen('{', ",", 1);
        Ok(Audit {
            chain: Chain::open(path, head, keep)?,
            identity,
            totals: Totals::default(),
            noted: Vec::new(),
            noted_bytes: 0,
            due: None,
            lost: 0,
            seen_ms: 0,
            retry: Retry::default(),
            failing: false,
        })
    }

    /// Writes a record, behind everything that was noted before. To be asked again, with the same record, until it is
    /// ready.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        record: &Record,
        wall_ms: u64,
    ) -> Poll<anyhow::Result<()>> {
        self.seen_ms = wall_ms;
        let body = self.body(&Event::of(record), wall_ms);
        let written = match self.append(Some(&body)) {
            Err(AppendError::Busy)
                if self.retry.poll(cx, Some(self.chain.lock_inode())).is_pending() =>
            {
                return Poll::Pending;
            }
            Err(AppendError::Busy) => Err(anyhow!("another process has held the log for a second")),
            Err(AppendError::Failed(error)) => Err(error),
            Ok(()) => {
                self.totals.count(record);
                Ok(())
            }
        };
        self.retry.end();
        Poll::Ready(written)
    }

    /// Notes a record that nothing waits for.
    pub fn note(&mut self, record: &Record, wall_ms: u64) {
        self.totals.count(record);
        self.note_event(&Event::of(record), wall_ms);
    }

    /// Notes an event.
    pub fn note_event(&mut self, event: &Event<'_>, wall_ms: u64) {
        self.seen_ms = wall_ms;
        if self.noted_bytes > MAX_NOTED_BYTES {
            self.lost = self.lost.saturating_add(1);
            return;
        }
        let body = self.body(event, wall_ms);
        self.noted_bytes = self.noted_bytes.saturating_add(body.len());
        self.noted.push(body);
        if self.due.is_none() {
            self.due = Instant::now().checked_add(LINGER);
        }
        if self.noted_bytes > ENOUGH_BYTES && !self.failing {
            // What cannot be written now is due later.
            let _ = self.append(None);
        }
    }

    /// What did not keep records from being written, but should be known.
    pub fn take_trouble(&mut self) -> Option<anyhow::Error> {
        self.chain.take_trouble()
    }

    /// When [`Audit::flush`] is due, if anything is noted.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Writes what is noted, or tries again later.
    ///
    /// # Errors
    /// The log cannot be written, and could be before.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        let was_failing = self.failing;
        match self.append(None) {
            Ok(()) => Ok(()),
            Err(AppendError::Busy) => {
                self.due = Instant::now().checked_add(LINGER);
                Ok(())
            }
            Err(AppendError::Failed(error)) => {
                self.due = Instant::now().checked_add(Duration::from_secs(1));
                if was_failing { Ok(()) } else { Err(error) }
            }
        }
    }

    /// Writes the last line of the session.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn close(&mut self, exit_code: u8, wall_ms: u64) -> anyhow::Result<()> {
        let totals = self.totals;
        self.note_event(&Event::SessionEnd { exit_code, totals }, wall_ms);
        let begun = Instant::now();
        loop {
            match self.append(None) {
                Ok(()) => return Ok(()),
                Err(AppendError::Busy) if begun.elapsed() < LAST_WORDS => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(AppendError::Busy) => {
                    return Err(anyhow!("another process holds the log"));
                }
                Err(AppendError::Failed(error)) => return Err(error),
            }
        }
    }

    /// Appends what is noted, and `body` behind it.
    fn append(&mut self, body: Option<&str>) -> Result<(), AppendError> {
        if self.noted.is_empty() && body.is_none() {
            return Ok(());
        }
        let noted = self.noted.iter().map(String::as_str);
        let written = self.chain.append(noted.chain(body));
        match &written {
            Ok(()) => {
                self.noted.clear();
                self.noted_bytes = 0;
                self.due = None;
                self.failing = false;
                self.tell_lost();
            }
            Err(AppendError::Busy) => {}
            Err(AppendError::Failed(_)) => self.failing = true,
        }
        written
    }

    /// The log can be written again: it is told of what it lacks.
    fn tell_lost(&mut self) {
        let lines = std::mem::take(&mut self.lost);
        if lines > 0 {
            self.note_event(&Event::RecordsLost { lines }, self.seen_ms);
        }
    }

    /// A line without what binds it to the chain.
    fn body(&self, event: &Event<'_>, wall_ms: u64) -> String {
        let time = i64::try_from(wall_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let time = time.unwrap_or_default();
        // An event has no way to fail to be JSON.
        let event = serde_json::to_string(event).unwrap_or_default();
        let members = event.get(1..event.len().saturating_sub(1)).unwrap_or_default();
        let body = format!(r#"{{"time":"{time:.3}",{members}{}"#, self.identity);
        match escape_json(&body) {
            Cow::Borrowed(_) => body,
            Cow::Owned(escaped) => escaped,
        }
    }
}
