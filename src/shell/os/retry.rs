//! Retrying what another process has locked; most locks are released after a few microseconds.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::wake_holder;

/// How long to retry in all (contract S2).
const RETRY_PATIENCE: Duration = Duration::from_secs(1);
/// Interval between checks for a stopped lock holder.
const SUSPICION: Duration = Duration::from_millis(50);
/// The first pause; each is twice as long as the one before, up to the longest.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(16);
/// After this long, pauses are short again, so that a waiting process is not starved by new ones.
const IMPATIENCE: Duration = Duration::from_millis(200);

/// The pauses between attempts at one operation.
#[derive(Debug, Default)]
pub(in crate::shell) struct Retry {
    /// When the first attempt failed.
    begun: Option<Instant>,
    /// When the lock holder was last checked, from the first attempt on.
    looked: Duration,
    pause: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Retry {
    /// To be called after an attempt failed because another process locks one of the files with inodes `locked`.
    /// Pending: the task is woken for the next attempt. Ready: that was the last attempt.
    pub(in crate::shell) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        locked: impl IntoIterator<Item = u64>,
    ) -> Poll<()> {
        let now = Instant::now();
        let waited = now.saturating_duration_since(*self.begun.get_or_insert(now));
        if waited >= RETRY_PATIENCE {
            *self = Retry::default();
            return Poll::Ready(());
        }
        if waited >= self.looked.saturating_add(SUSPICION) {
            self.looked = waited;
            locked.into_iter().for_each(wake_holder);
        }
        loop {
            let sleep = self.sleep.get_or_insert_with(|| {
                let longest = if waited < IMPATIENCE { LONGEST } else { SHORTEST };
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
