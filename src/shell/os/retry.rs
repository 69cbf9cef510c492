//! Trying again: what another process holds is mostly free a few microseconds later.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::wake_holder;

/// How long it is tried in all (contract S2).
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How often it is looked who holds the lock.
const SUSPICION: Duration = Duration::from_millis(50);
/// The first pause; each is twice as long as the one before, up to the longest.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(16);
/// Whoever has waited so long tries more often than those who come anew, so that nobody waits for ever.
const OFTEN_AFTER: Duration = Duration::from_millis(200);

/// The pauses between attempts at one thing.
#[derive(Debug, Default)]
pub(in crate::shell) struct Retry {
    /// When the first attempt failed.
    begun: Option<Instant>,
    /// How far into the attempts whoever stands in the way was last looked at.
    looked: Duration,
    pause: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Retry {
    /// An attempt has failed, since another process holds a lock on a file with an inode of `locked`. Pending: the task
    /// is woken when it is time for another one. Ready: that was the last.
    pub(in crate::shell) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        locked: impl IntoIterator<Item = u64>,
    ) -> Poll<()> {
        let now = Instant::now();
        let waited = now.saturating_duration_since(*self.begun.get_or_insert(now));
        if waited >= LONGEST_WAIT {
            *self = Retry::default();
            return Poll::Ready(());
        }
        if waited >= self.looked.saturating_add(SUSPICION) {
            self.looked = waited;
            locked.into_iter().for_each(wake_holder);
        }
        loop {
            let sleep = self.sleep.get_or_insert_with(|| {
                let longest = if waited < OFTEN_AFTER { LONGEST } else { SHORTEST };
                self.pause = self.pause.saturating_mul(2).clamp(SHORTEST, longest);
                Box::pin(tokio::time::sleep(self.pause))
            });
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // It woke us for this attempt; now for the next.
            self.sleep = None;
        }
    }

    /// An attempt has succeeded, or will not be repeated.
    pub(in crate::shell) fn end(&mut self) {
        if self.begun.is_some() {
            *self = Retry::default();
        }
    }
}
