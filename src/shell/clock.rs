//! The clocks.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::engine::limits::Now;

/// Now, by the clocks that limits are counted with. The steady one is that of the machine's start: all processes
/// share it, and it goes on while the machine sleeps.
#[must_use]
pub fn moment() -> Now {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let steady = clock_gettime(ClockId::Boottime);
    let steady = Duration::try_from(steady).unwrap_or_default();
    let whole_ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Now { wall_ms: whole_ms(wall), monotonic_ms: whole_ms(steady) }
}
