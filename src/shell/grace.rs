//! How long each part of a stop may take: together less than the 2 s of contract W9.
//!
//! ```text
//!   server's stdin closed ── 1.2 s ──► SIGTERM ── 0.4 s ──► SIGKILL ── 50 ms ──► the server is given up
//!   then: last answers 100 ms ─► counters and log are closed 200 ms
//! ```
//!
//! Every part is a bound: it ends as soon as its work is done, which usually takes no time at all.

use std::time::Duration;

/// From the end of the server's stdin to SIGTERM: a server may end by itself.
pub const EOF_TO_SIGTERM: Duration = Duration::from_millis(1200);
/// From SIGTERM to SIGKILL.
pub const SIGTERM_TO_SIGKILL: Duration = Duration::from_millis(400);
/// From SIGKILL until callgate stops waiting for the server's exit.
const SIGKILL_TO_EXIT: Duration = Duration::from_millis(50);
/// From the end of the server's stdin until callgate stops waiting for the server and its group.
pub const SERVER: Duration = sum(&[EOF_TO_SIGTERM, SIGTERM_TO_SIGKILL, SIGKILL_TO_EXIT]);

/// How long the client has to take the last answers (contract W9).
pub const LAST_ANSWERS: Duration = Duration::from_millis(100);

/// How long counters and audit log may take to be closed.
pub const CLOSING: Duration = Duration::from_millis(200);
/// How much of [`CLOSING`] charges may take to go back, for calls that never went out.
pub const LAST_REFUNDS: Duration = Duration::from_millis(100);
/// How long a store that is closed waits for other processes, each of two times.
pub const STORE_LOCK: Duration = Duration::from_millis(50);
const _: () = assert!(
    sum(&[LAST_REFUNDS, STORE_LOCK, STORE_LOCK]).as_millis() <= CLOSING.as_millis(),
    "the counters leave no time to close the log"
);

const STOP: Duration = sum(&[SERVER, LAST_ANSWERS, CLOSING]);
const _: () = assert!(STOP.as_millis() < 2000, "contract W9: callgate is gone within 2 s");

/// How long the pipe of a server that has exited must be silent to count as read to its end: a process that the server
/// left behind may hold it open.
pub const SILENCE_AFTER_EXIT: Duration = Duration::from_millis(200);
/// Interval between checks for surviving processes of the server's group: nothing reports the end of the last one.
pub const GROUP_CHECK: Duration = Duration::from_millis(10);

const fn sum(parts: &[Duration]) -> Duration {
    let mut sum = Duration::ZERO;
    let mut rest = parts;
    while let [part, others @ ..] = rest {
        sum = sum.saturating_add(*part);
        rest = others;
    }
    sum
}
