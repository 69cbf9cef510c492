//! The signals that end a session (SPEC W9).

use std::io;
use std::task::Context;

use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};

/// The signals that end a session.
pub struct Signals {
    streams: [(u8, SignalStream); 3],
}

impl Signals {
    /// Takes the signals over, from here on.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn new() -> io::Result<Self> {
        let stream = |kind: SignalKind| -> io::Result<(u8, SignalStream)> {
            Ok((u8::try_from(kind.as_raw_value()).unwrap_or_default(), signal(kind)?))
        };
        let streams = [
            stream(SignalKind::interrupt())?,
            stream(SignalKind::terminate())?,
            stream(SignalKind::hangup())?,
        ];
        Ok(Signals { streams })
    }

    /// The number of a signal that has come; wakes the task when one does.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<u8> {
        let mut arrived = None;
        for (number, stream) in &mut self.streams {
            if stream.poll_recv(cx).is_ready() {
                arrived = Some(*number);
            }
        }
        arrived
    }
}
