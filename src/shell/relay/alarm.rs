//! The loop's timer.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

/// One timer, set to what is due next.
#[derive(Default)]
pub(super) struct Alarm {
    sleep: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Alarm {
    /// Ready at `due`, and woken then; never, if nothing is due.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, due: Option<Instant>) -> Poll<()> {
        let Some(due) = due else { return Poll::Pending };
        let (set, sleep) =
            self.sleep.get_or_insert_with(|| (due, Box::pin(tokio::time::sleep_until(due.into()))));
        if *set != due {
            *set = due;
            sleep.as_mut().reset(due.into());
        }
        sleep.as_mut().poll(cx)
    }
}
