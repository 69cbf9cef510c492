//! The signals that end a session (SPEC W9).

use std::io;
use std::task::Context;

use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};

/// The signals that end a session.
pub struct Signals {
    streams: Vec<(u8, SignalStream)>,
}

impl Signals {
    /// Takes the signals over, from here on. One that is ignored stays so: callgate was started by `nohup`, or by a
    /// script in its background.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn new() -> io::Result<Self> {
        let ignored = ignored();
        let mut streams = Vec::new();
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let number = u8::try_from(kind.as_raw_value()).unwrap_or_default();
            if ignored >> number.saturating_sub(1) & 1 == 0 {
                streams.push((number, signal(kind)?));
            }
        }
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

/// The signals that are ignored, one bit each, from 1 on. Where `/proc` does not tell, none is.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
