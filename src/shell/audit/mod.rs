//! The audit log of one session (contract S3): records become lines of the server's chain.
//!
//! ```text
//!   calls that go out, their answers ────────────────────────────────────────► server.jsonl
//!   all else ──► fold ──► while it fills less than half of the file ────────► server.jsonl
//!                   └───► then                                      ────────► server@refused.jsonl
//! ```
//!
//! A call's record is written before the call goes out, in one write. Other records (answers, refused lines) are queued
//! and written with the next call, or a moment later. Only records of calls that went out can push out older ones of
//! their kind: nothing else rotates a file. What finds no room goes to a second log beside the first, with a chain of
//! its own and at most a quarter of the space.

pub mod event;
pub mod head;
pub mod tail;

pub mod chain;
pub mod entry;
pub mod files;
mod fold;
pub mod reader;
mod snapshot;
pub mod verify;
pub mod words;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use jiff::Timestamp;

use crate::engine::session::audit_record::{CallRecord, Record};
use crate::engine::text::escape::escape_json;

use self::chain::{AppendError, Chain, Draft};
use self::event::{AuditEvent, Identity, RecordsLost, SessionEnded, Totals};
use self::fold::{Fate, Folds};
use super::os::retry::Retry;

/// How long a queued line may wait for a call to be written with.
const LINGER: Duration = Duration::from_millis(50);
/// How many bytes of calls that went out may be queued while the log cannot be written.
const MAX_NOTED_BYTES: usize = 256 * 1024;
/// The same for all other lines.
const MAX_OTHER_BYTES: usize = 64 * 1024;
/// If more than this is queued, it is written at once.
const ENOUGH_BYTES: usize = 32 * 1024;
/// A folded record that is longer loses its arguments.
const SHORT_BYTES: usize = 2048;
/// Pause before a failed write is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// The log of refusals may take one in so many of the bytes that are kept.
const REFUSED_SHARE: u64 = 4;

/// The log of one session.
#[derive(Debug)]
pub struct Audit {
    chain: Chain,
    refused: Refused,
    /// What every line ends with.
    identity: String,
    totals: Totals,
    folds: Folds,
    /// Lines that have not been written, oldest first.
    noted: Vec<Noted>,
    /// The bytes of those of calls that went out, and of the others.
    noted_bytes: [usize; 2],
    /// Indexes of lines that found no room.
    left_out: Vec<usize>,
    /// When they must be written at the latest.
    due: Option<Instant>,
    /// Events that found no room.
    lost: u64,
    /// The latest time given, in milliseconds since the epoch.
    seen_ms: u64,
    retry: Retry,
    /// The last write failed.
    failing: bool,
    trouble: Option<anyhow::Error>,
}

/// A queued line.
#[derive(Debug)]
struct Noted {
    body: String,
    /// It is not of a call that went out.
    is_other: bool,
    /// How many events it stands for.
    count: u64,
}

/// The second log, of what found no room in the first.
#[derive(Debug)]
struct Refused {
    path: PathBuf,
    keep: u64,
    /// Opened when it is needed.
    chain: Option<Chain>,
    /// Lines queued for it.
    waiting: Vec<Noted>,
}

impl Refused {
    /// Writes the queued lines.
    fn write(&mut self) -> Result<(), AppendError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let chain = match &mut self.chain {
            Some(chain) => chain,
            none => none.insert(Chain::open(&self.path, &files::head_path(&self.path), self.keep)?),
        };
        chain.append(self.waiting.iter().map(|noted| noted.body.as_str()))?;
        self.waiting.clear();
        Ok(())
    }
}

impl Audit {
    /// Opens the log at `path`, of which a copy of the head is kept at `witness`, if that is given; see [`Chain::open`].
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(
        path: &Path,
        witness: Option<&Path>,
        keep: u64,
        identity: &Identity,
    ) -> anyhow::Result<Self> {
        let identity = serde_json::to_string(identity)?.replacen('{', ",", 1);
        let refused = files::refused_path(path);
        let chain = Chain::open(path, &files::head_path(path), keep)?.beside(refused.clone());
        let chain = match witness {
            Some(witness) => chain.witnessed_at(witness)?,
            None => chain,
        };
        let share = keep.checked_div(REFUSED_SHARE).unwrap_or_default();
        let keep = if keep == u64::MAX { keep } else { share };
        Ok(Audit {
            chain,
            refused: Refused { path: refused, keep, chain: None, waiting: Vec::new() },
            identity,
            totals: Totals::default(),
            folds: Folds::default(),
            noted: Vec::new(),
            noted_bytes: [0; 2],
            left_out: Vec::new(),
            due: None,
            lost: 0,
            seen_ms: 0,
            retry: Retry::default(),
            failing: false,
            trouble: None,
        })
    }

    /// Writes the record of a call that goes out, after all queued lines. Must be polled with the same record until it is
    /// ready.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        call: &CallRecord,
        wall_ms: u64,
    ) -> Poll<anyhow::Result<()>> {
        self.seen_ms = wall_ms;
        let body = self.event_body(&AuditEvent::of_call(call), wall_ms);
        let written = match self.append(Some(&body)) {
            Err(AppendError::Busy)
                if self.retry.poll(cx, Some(self.chain.lock_inode())).is_pending() =>
            {
                return Poll::Pending;
            }
            Err(AppendError::Busy) => Err(anyhow!("another process has held the log for a second")),
            Err(AppendError::Failed(error)) => Err(error),
            Ok(()) => {
                self.totals.count_call(call);
                Ok(())
            }
        };
        self.retry.end();
        Poll::Ready(written)
    }

    /// Queues a record and writes it at once, unless the log is busy or cannot be written.
    pub fn note_now(&mut self, record: &Record, wall_ms: u64) {
        if self.note(record, wall_ms)
            && !self.failing
            && let Err(AppendError::Failed(error)) = self.append(None)
        {
            self.trouble = Some(error);
        }
    }

    /// Queues a record. False if it was folded into others like it.
    pub fn note(&mut self, record: &Record, wall_ms: u64) -> bool {
        self.seen_ms = wall_ms;
        self.totals.count(record);
        let is_other = match record {
            Record::Call(call) => !call.verdict.outcome.is_allowed(),
            Record::Answer { .. } => false,
            _ => true,
        };
        let (place, count) = match self.folds.admit(record, Instant::now(), wall_ms) {
            Fate::Whole => {
                let body = self.event_body(&AuditEvent::of(record), wall_ms);
                self.note_line(Noted { body, is_other, count: 1 });
                return true;
            }
            Fate::Counted { place, count } => (place, count),
        };
        if let Some(sample) = self.folds.sample(place) {
            match count {
                1 => *sample = AuditEvent::of(record).members(),
                2 if sample.len() > SHORT_BYTES => {
                    *sample = AuditEvent::of(record).without_arguments().members();
                }
                _ => {}
            }
        }
        false
    }

    /// Queues an event.
    pub fn note_event(&mut self, event: &AuditEvent<'_>, wall_ms: u64) {
        self.seen_ms = wall_ms;
        let body = self.event_body(event, wall_ms);
        self.note_line(Noted { body, is_other: true, count: 1 });
    }

    fn note_line(&mut self, noted: Noted) {
        let [of_calls, others] = &mut self.noted_bytes;
        let (held, most) =
            if noted.is_other { (others, MAX_OTHER_BYTES) } else { (of_calls, MAX_NOTED_BYTES) };
        if *held > most {
            self.lost = self.lost.saturating_add(noted.count);
            return;
        }
        *held = held.saturating_add(noted.body.len());
        self.noted.push(noted);
        if self.due.is_none() {
            self.due = Instant::now().checked_add(LINGER);
        }
        let [of_calls, others] = self.noted_bytes;
        if of_calls.saturating_add(others) > ENOUGH_BYTES && !self.failing {
            // What cannot be written now is due later.
            let _ = self.append(None);
        }
    }

    /// Queues what was folded long enough; at the end of a session, all of it.
    fn note_folded(&mut self, is_end: bool) {
        for folded in self.folds.take(Instant::now(), is_end) {
            let body = self.body(&folded.members, folded.last_ms);
            self.note_line(Noted { body, is_other: true, count: folded.count });
        }
    }

    /// Takes an error that did not keep records from being written.
    pub fn take_trouble(&mut self) -> Option<anyhow::Error> {
        let refused = self.refused.chain.as_mut().and_then(Chain::take_trouble);
        self.trouble.take().or_else(|| self.chain.take_trouble()).or(refused)
    }

    /// When [`Audit::flush`] is due, if anything is to be written.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let own = self.due.or_else(|| self.chain.due());
        own.into_iter().chain(self.folds.due()).min()
    }

    /// True if lines are queued.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !(self.noted.is_empty() && self.refused.waiting.is_empty())
    }

    /// Writes the queued lines, or tries again later.
    ///
    /// # Errors
    /// The log cannot be written; the write before succeeded.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.note_folded(false);
        let was_failing = self.failing;
        let written = match self.append(None) {
            Ok(()) if !self.is_waiting() && self.is_to_confirm() => self.write_all(None),
            written => written,
        };
        match written {
            Ok(()) => {
                if !self.is_waiting() {
                    self.due = None;
                }
                Ok(())
            }
            Err(AppendError::Busy) => {
                self.due = Instant::now().checked_add(LINGER);
                Ok(())
            }
            Err(AppendError::Failed(error)) => {
                self.due = Instant::now().checked_add(AGAIN);
                if was_failing { Ok(()) } else { Err(error) }
            }
        }
    }

    fn is_to_confirm(&self) -> bool {
        self.chain.due().is_some_and(|due| due <= Instant::now())
    }

    /// Writes the last line of the session. Other processes may keep it waiting for `at_most` so long.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn close(&mut self, exit_code: u8, wall_ms: u64, at_most: Duration) -> anyhow::Result<()> {
        self.note_folded(true);
        let totals = self.totals;
        self.note_event(&AuditEvent::SessionEnd(SessionEnded { exit_code, totals }), wall_ms);
        let begun = Instant::now();
        loop {
            match self.append(None) {
                Ok(()) if self.refused.waiting.is_empty() => return Ok(()),
                Ok(()) | Err(AppendError::Busy) if begun.elapsed() < at_most => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(()) | Err(AppendError::Busy) => {
                    return Err(anyhow!("another process holds the log"));
                }
                Err(AppendError::Failed(error)) => return Err(error),
            }
        }
    }

    /// Appends the queued lines, then `body` of a call that goes out.
    fn append(&mut self, body: Option<&str>) -> Result<(), AppendError> {
        if self.noted.is_empty() && body.is_none() {
            self.write_refused();
            return Ok(());
        }
        self.write_all(body)
    }

    fn write_all(&mut self, body: Option<&str>) -> Result<(), AppendError> {
        let noted = self.noted.iter();
        let noted = noted.map(|Noted { body, is_other, .. }| Draft { body, is_other: *is_other });
        let drafts = noted.chain(body.map(|body| Draft { body, is_other: false }));
        let written = self.chain.append_within(drafts, &mut self.left_out);
        match &written {
            Ok(()) => {
                let mut left_out = self.left_out.iter().copied().peekable();
                for (place, noted) in self.noted.drain(..).enumerate() {
                    if left_out.next_if_eq(&place).is_some() {
                        self.refused.waiting.push(noted);
                    }
                }
                self.noted_bytes = [0; 2];
                self.due = None;
                self.failing = false;
                self.write_refused();
                self.tell_lost();
            }
            Err(AppendError::Busy) => {}
            Err(AppendError::Failed(_)) => self.failing = true,
        }
        written
    }

    /// Writes to the log of refusals. A failure delays no call.
    fn write_refused(&mut self) {
        let pause = match self.refused.write() {
            Ok(()) => return,
            Err(AppendError::Busy) => LINGER,
            Err(AppendError::Failed(error)) => {
                self.trouble = Some(error);
                AGAIN
            }
        };
        let bytes: usize = self.refused.waiting.iter().map(|noted| noted.body.len()).sum();
        if bytes > MAX_OTHER_BYTES {
            let lost: u64 = self.refused.waiting.drain(..).map(|noted| noted.count).sum();
            self.lost = self.lost.saturating_add(lost);
        }
        self.due = Instant::now().checked_add(pause);
    }

    /// Once the log can be written again, queues a record of how many lines are missing.
    fn tell_lost(&mut self) {
        let lines = std::mem::take(&mut self.lost);
        if lines > 0 {
            self.note_event(&AuditEvent::RecordsLost(RecordsLost { lines }), self.seen_ms);
        }
    }

    fn event_body(&self, event: &AuditEvent<'_>, wall_ms: u64) -> String {
        self.body(&event.members(), wall_ms)
    }

    /// A line without its link to the chain.
    fn body(&self, members: &str, wall_ms: u64) -> String {
        let time = i64::try_from(wall_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let time = time.unwrap_or_default();
        let body = format!(r#"{{"time":"{time:.3}",{members}{}"#, self.identity);
        match escape_json(&body) {
            Cow::Borrowed(_) => body,
            Cow::Owned(escaped) => escaped,
        }
    }
}
