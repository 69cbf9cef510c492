//! What wakes the loop beside lines: signals, the server's exit, another policy, and times that have come.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::engine::session::audit_record::Record;

use super::Relay;
use crate::shell::audit::event::{AuditEvent, PolicyLoaded, PolicyRejected, cut_text};
use crate::shell::os;
use crate::shell::os::clock::moment;
use crate::shell::stderr::prose;
use crate::shell::wakeup::WakeupEvent;
use crate::shell::watch::{FileChange, LoadedPolicy};

impl Relay {
    /// Takes in what has happened beside the lines.
    pub(super) fn poll_wakeups(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(event)) = self.wakeups.poll_recv(cx) {
            match event {
                WakeupEvent::Signalled(number) => {
                    self.signal = Some(number);
                    self.hurry = true;
                    self.session.heed_stop();
                }
                WakeupEvent::ServerExited(exit) => {
                    self.exit = Some(exit);
                    self.exit_is_new = true;
                }
                // Between two lines, with no lock in hand.
                WakeupEvent::Suspended => {
                    os::suspend();
                }
                WakeupEvent::PolicyChecked(report) => {
                    self.watch.take_note(&report);
                    self.take_policy(report.change);
                }
            }
        }
    }

    /// Puts a changed policy in force, between two lines (contract W7).
    fn take_policy(&mut self, change: FileChange<LoadedPolicy>) {
        let now = moment();
        let path = self.watch.path().display().to_string();
        match change {
            FileChange::New(LoadedPolicy { policy, sha256 }) => {
                self.session.reload(Arc::new(policy), now);
                self.effects.say(&format!("policy `{path}` reloaded"));
                self.effects.note_policy(true, now);
                let (policy, sha256) = (path.into(), sha256.into());
                let event = AuditEvent::PolicyLoaded(PolicyLoaded { policy, sha256 });
                self.effects.note_event(&event, now);
            }
            FileChange::Rejected(error) => {
                self.effects.complain(&error);
                self.effects.complain(&anyhow!("the last good policy stays in force"));
                let error = prose(&error);
                let error = cut_text(&error);
                self.effects.note_policy(false, now);
                let event =
                    AuditEvent::PolicyRejected(PolicyRejected { policy: path.into(), error });
                self.effects.note_event(&event, now);
            }
            FileChange::Unwatched(error) => {
                let error = error.context("changes of the policy are seen at calls only");
                self.effects.say(&prose(&error));
            }
            FileChange::Slow => {
                let slow = format!(
                    "policy `{path}` takes over 1 s to compile; calls go on under the last good policy"
                );
                self.effects.say(&slow);
            }
            FileChange::Nothing => {}
        }
    }

    /// Does what is due at this time.
    pub(super) fn keep_time(&mut self) {
        if let Some(due) = self.announcement()
            && due <= Instant::now()
        {
            let announcement = self.session.announce();
            if !announcement.is_empty() {
                self.effects.note([Record::ToolsChanged { by_policy: true }], moment());
            }
            self.to_client.queue.extend(announcement);
        }
        self.effects.keep_time();
    }

    /// When the client is to be told of a changed list. While it does not read, it is not told.
    pub(super) fn announcement(&self) -> Option<Instant> {
        let due_ms = self.session.announcement()?;
        let wait = Duration::from_millis(due_ms.saturating_sub(moment().monotonic_ms));
        let free = self.to_client.queue.is_empty() && !self.is_over;
        Instant::now().checked_add(wait).filter(|_| free)
    }
}
