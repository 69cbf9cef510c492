//! The clocks.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::platform;
use crate::engine::limits::Now;

/// Now, by the clocks that limits are counted with. The steady one is that of the machine's start: all processes
/// share it, and it goes on while the machine sleeps.
#[must_use]
pub fn moment() -> Now {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let steady = platform::steady_time();
    let whole_ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Now { wall_ms: whole_ms(wall), monotonic_ms: whole_ms(steady) }
}

/// A time of day as RFC 3339 has it, in UTC, from milliseconds since the epoch.
#[must_use]
pub fn rfc3339(wall_ms: u64) -> String {
    let time = i64::try_from(wall_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", time.unwrap_or_default())
}
