//! What a session leaves behind beside the lines that it relays: charges, the audit log, the recording, its entry in the
//! registry, and messages on stderr.

use std::future::poll_fn;
use std::path::Path;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::engine::limits::{Demand, Now, Reservation, Settlement, StateUnavailable};
use crate::engine::session::audit_record::{CallRecord, Record};
use crate::engine::wire::line::Side;

use super::recorder::Recorder;
use crate::shell::audit::Audit;
use crate::shell::audit::event::AuditEvent;
use crate::shell::counters::Counters;
use crate::shell::grace;
use crate::shell::os::clock::moment;
use crate::shell::registry::{Registration, Running};
use crate::shell::stderr::{Notices, Verbosity, prose};

/// The same trouble is reported again after so long.
const REPORT_AGAIN: Duration = Duration::from_mins(1);

/// Where the effects of a session go. The relay decides when.
pub struct Effects {
    counters: Box<dyn Counters>,
    /// `None` with `--no-audit`.
    audit: Option<Audit>,
    notices: Notices,
    /// How `callgate status` knows of the session, if it does.
    registration: Option<Registration>,
    /// `None` without `--record`.
    recorder: Option<Recorder>,
    /// The last trouble with counters or log that was reported, and when.
    reported: Option<(String, Instant)>,
}

/// The session as a whole.
impl Effects {
    /// The effects of a session that has not begun.
    #[must_use]
    pub fn new(
        counters: Box<dyn Counters>,
        audit: Option<Audit>,
        recorder: Option<Recorder>,
        notices: Notices,
    ) -> Self {
        Effects { counters, audit, notices, registration: None, recorder, reported: None }
    }

    /// Enters the session into the registry as long as it runs. If that fails, it goes on without.
    pub fn register(&mut self, directory: &Path, session: Running) {
        match Registration::enter(directory, session) {
            Ok(registration) => self.registration = Some(registration),
            Err(error) => {
                let error = error.context("`callgate status` will not show this session");
                self.notices.say(Verbosity::Verbose, &prose(&error));
            }
        }
    }

    /// Notes the first event of the session.
    pub fn note_start(&mut self, start: &AuditEvent<'_>) {
        self.note_event(start, moment());
    }

    /// Notes in the registry whether a new version of the policy was taken.
    pub(super) fn note_policy(&mut self, is_taken: bool, now: Now) {
        if let Some(registration) = &mut self.registration {
            registration.note_policy(is_taken, now.wall_ms);
        }
    }

    /// Ends the session: gives charges back, and writes the last line of the log, within [`grace::CLOSING`].
    pub(super) async fn close(&mut self, exit_code: u8) {
        let begun = Instant::now();
        let counters = &mut self.counters;
        let idle = poll_fn(|cx| counters.poll_end(cx));
        // What does not come back in time is lost, and never given twice.
        let _ = tokio::time::timeout(grace::LAST_REFUNDS, idle).await;
        let rest = grace::CLOSING.saturating_sub(begun.elapsed());
        if let Some(audit) = &mut self.audit
            && let Err(error) = audit.close(exit_code, moment().wall_ms, rest)
        {
            self.report(&prose(&error));
        }
    }
}

/// Counters.
impl Effects {
    /// Has the counters settle `demands`. Poll it with the same demands until it is ready.
    ///
    /// # Errors
    /// The counters cannot be read or written, which is reported.
    pub(super) fn poll_reserve(
        &mut self,
        cx: &mut Context<'_>,
        demands: &[Demand],
        now: Now,
    ) -> Poll<Result<Settlement, StateUnavailable>> {
        let settled = ready!(self.counters.poll_reserve(cx, demands, now));
        if let Err(unavailable) = &settled {
            self.report(&unavailable.reason);
        }
        Poll::Ready(settled)
    }

    /// Gives a charge back.
    pub(super) fn release(&mut self, charge: Reservation) {
        self.counters.release(charge);
    }
}

/// Records.
impl Effects {
    /// Writes the record of a call that goes out. Poll it with the same record until it is ready.
    ///
    /// # Errors
    /// Why the record cannot be written, which is reported.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        call: &CallRecord,
        now: Now,
    ) -> Poll<Result<(), String>> {
        if let Some(audit) = &mut self.audit
            && let Err(error) = ready!(audit.poll_write(cx, call, now.wall_ms))
        {
            let reason = prose(&error);
            self.report(&reason);
            return Poll::Ready(Err(reason));
        }
        if self.notices.shows_records() {
            self.notices.say(Verbosity::Verbose, &call.to_string());
        }
        Poll::Ready(Ok(()))
    }

    /// Notes records that nothing waits for. That of a denied call is written at once if the log is free.
    pub(super) fn note(&mut self, records: impl IntoIterator<Item = Record>, now: Now) {
        for record in records {
            if let Some(audit) = &mut self.audit {
                match &record {
                    Record::Call(call) if !call.verdict.outcome.is_allowed() => {
                        audit.note_now(&record, now.wall_ms);
                    }
                    record => {
                        audit.note(record, now.wall_ms);
                    }
                }
            }
            // A line of the server that is not relayed is shown itself, with the reason.
            let is_shown = matches!(record, Record::FrameRefused { from: Side::Server, .. });
            if self.notices.shows_records() && !is_shown {
                self.notices.say(Verbosity::Verbose, &record.to_string());
            }
        }
    }

    pub(super) fn note_event(&mut self, event: &AuditEvent<'_>, now: Now) {
        if let Some(audit) = &mut self.audit {
            audit.note_event(event, now.wall_ms);
        }
    }

    /// When [`Effects::keep_time`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.audit.as_ref().and_then(Audit::due)
    }

    /// Writes what was noted, if that is due.
    pub(super) fn keep_time(&mut self) {
        let Some(audit) = &mut self.audit else { return };
        let flushed = match audit.due() {
            Some(due) if due <= Instant::now() => audit.flush(),
            _ => Ok(()),
        };
        if let Some(error) = flushed.err().or_else(|| audit.take_trouble()) {
            self.report(&prose(&error));
        }
    }

    /// Adds a line to the recording. A failure is reported, and ends the recording alone.
    pub(super) fn record_line(&mut self, from: Side, line: &[u8], now: Now) {
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.write_line(now.wall_ms, from, line)
        {
            self.complain(&error.context("the session goes on without its recording"));
        }
    }
}

/// Messages on stderr.
impl Effects {
    /// Writes a message, unless the user wants fewer.
    pub(super) fn say(&mut self, text: &str) {
        self.notices.say(Verbosity::Normal, text);
    }

    /// Writes an error, however few messages the user wants.
    pub(super) fn complain(&mut self, error: &anyhow::Error) {
        self.notices.complain(error);
    }

    /// Shows the beginning of a line of the server that is no message, and why.
    pub(super) fn show_server_line(&mut self, reason: &str, head: &[u8]) {
        self.notices.show_server_line(reason, head);
    }

    /// Reports trouble with counters or log, but not again and again.
    fn report(&mut self, reason: &str) {
        let is_old = self
            .reported
            .as_ref()
            .is_some_and(|(reported, at)| reported == reason && at.elapsed() < REPORT_AGAIN);
        if !is_old {
            self.notices.complain(&anyhow!("{reason}"));
            self.reported = Some((reason.to_owned(), Instant::now()));
        }
    }
}
