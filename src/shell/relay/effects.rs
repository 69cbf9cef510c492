//! What is kept of a session and told of it: counters, the audit log, and notices to people.

use std::future::poll_fn;
use std::path::Path;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::engine::limits::Now;
use crate::engine::session::Step;
use crate::engine::session::audit_record::Record;
use crate::engine::wire::line::Side;

use super::recorder::Recorder;
use crate::shell::audit::Audit;
use crate::shell::audit::event::Event as AuditEvent;
use crate::shell::counters::Counters;
use crate::shell::os::clock::moment;
use crate::shell::registry::{Registration, Running};
use crate::shell::stderr::{Notices, Verbosity, prose};

/// How soon the same trouble is told again.
const TROUBLE_AGAIN: Duration = Duration::from_mins(1);
/// How long a session that is over waits for charges to be given back.
const LAST_CHARGES: Duration = Duration::from_millis(200);

/// What is kept of a session, and told of it.
pub struct Books {
    /// The counters.
    pub ledger: Box<dyn Counters>,
    /// The audit log, if one is kept.
    pub audit: Option<Audit>,
    /// The way to people.
    pub notices: Notices,
    /// How others know that the session runs, if they can.
    registration: Option<Registration>,
    /// The recording, if one is made.
    pub recorder: Option<Recorder>,
    /// The last trouble that people were told of, and when.
    trouble: Option<(String, Instant)>,
}

impl Books {
    /// Opens them.
    #[must_use]
    pub fn new(ledger: Box<dyn Counters>, audit: Option<Audit>, notices: Notices) -> Self {
        Books { ledger, audit, notices, registration: None, recorder: None, trouble: None }
    }

    /// Takes a line down in the recording. A failure is told, and changes nothing else.
    pub(in crate::shell) fn take_down(&mut self, from: Side, line: &[u8], now: Now) {
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.take_down(now.wall_ms, from, line)
        {
            self.notices.complain(&error.context("the session goes on without its recording"));
        }
    }

    /// Lets others know of the session as long as it runs. If that cannot be, it goes on without.
    pub fn register(&mut self, directory: &Path, session: Running) {
        match Registration::enter(directory, session) {
            Ok(registration) => self.registration = Some(registration),
            Err(error) => {
                let error = error.context("`callgate status` will not show this session");
                self.notices.say(Verbosity::Verbose, &prose(&error));
            }
        }
    }

    /// Lets others know that a new version of the policy was taken, or not.
    pub(in crate::shell) fn note_policy(&mut self, is_taken: bool, now: Now) {
        if let Some(registration) = &mut self.registration {
            registration.note_policy(is_taken, now.wall_ms);
        }
    }

    /// Puts a step on record. A call that would go out waits for it; all else does not.
    ///
    /// # Errors
    /// Why the call cannot be put on record.
    pub(in crate::shell) fn poll_record(
        &mut self,
        cx: &mut Context<'_>,
        step: &Step,
        now: Now,
    ) -> Poll<Result<(), String>> {
        let Some(record) = &step.record else {
            self.note_all(&step.more, now);
            return Poll::Ready(Ok(()));
        };
        if let (Record::Call(_), Some(audit)) = (record, &mut self.audit) {
            let Poll::Ready(written) = audit.poll_write(cx, record, now.wall_ms) else {
                return Poll::Pending;
            };
            if let Err(error) = written {
                return Poll::Ready(Err(prose(&error)));
            }
            self.show_all([record]);
        } else {
            self.note(record, now);
        }
        self.note_all(&step.more, now);
        Poll::Ready(Ok(()))
    }

    /// Notes a record that nothing waits for.
    pub(in crate::shell) fn note(&mut self, record: &Record, now: Now) {
        self.note_all([record], now);
    }

    pub(in crate::shell) fn note_all<'r>(
        &mut self,
        records: impl IntoIterator<Item = &'r Record>,
        now: Now,
    ) {
        for record in records {
            if let Some(audit) = &mut self.audit {
                audit.note(record, now.wall_ms);
            }
            self.show_all([record]);
        }
    }

    pub(in crate::shell) fn show_all<'r>(&mut self, records: impl IntoIterator<Item = &'r Record>) {
        if self.notices.shows_records() {
            // Lines of the server that are not relayed are shown themselves, with the reason.
            let is_shown = |record: &&Record| {
                matches!(record, Record::FrameRefused { from: Side::Server, .. })
            };
            for record in records.into_iter().filter(|record| !is_shown(record)) {
                self.notices.say(Verbosity::Verbose, &record.to_string());
            }
        }
    }

    /// Notes the first event of the session.
    pub fn note_start(&mut self, start: &AuditEvent<'_>) {
        self.note_event(start, moment());
    }

    pub(in crate::shell) fn note_event(&mut self, event: &AuditEvent<'_>, now: Now) {
        if let Some(audit) = &mut self.audit {
            audit.note_event(event, now.wall_ms);
        }
    }

    /// When [`Books::keep_time`] has something to do.
    pub(in crate::shell) fn due(&self) -> Option<Instant> {
        self.audit.as_ref().and_then(Audit::due)
    }

    /// Writes what was noted, if that is due.
    pub(in crate::shell) fn keep_time(&mut self) {
        let Some(audit) = &mut self.audit else { return };
        let flushed = match audit.due() {
            Some(due) if due <= Instant::now() => audit.flush(),
            _ => Ok(()),
        };
        if let Some(error) = flushed.err().or_else(|| audit.take_trouble()) {
            self.tell_trouble(&prose(&error));
        }
    }

    /// Tells people of trouble with state or log, but not again and again.
    pub(in crate::shell) fn tell_trouble(&mut self, reason: &str) {
        let is_old = self
            .trouble
            .as_ref()
            .is_some_and(|(told, at)| told == reason && at.elapsed() < TROUBLE_AGAIN);
        if !is_old {
            self.notices.complain(&anyhow!("{reason}"));
            self.trouble = Some((reason.to_owned(), Instant::now()));
        }
    }

    /// Closes the books: what was charged in vain goes back, and the log gets its last line.
    pub(in crate::shell) async fn close(&mut self, exit_code: u8) {
        let ledger = &mut self.ledger;
        let idle = poll_fn(|cx| ledger.poll_end(cx));
        // What does not come back in time is lost, and never given twice.
        let _ = tokio::time::timeout(LAST_CHARGES, idle).await;
        if let Some(audit) = &mut self.audit
            && let Err(error) = audit.close(exit_code, moment().wall_ms)
        {
            self.tell_trouble(&prose(&error));
        }
    }
}
