//! The clock of limits.

use super::window::{MAX_WINDOW_SECONDS, MILLIS};

/// The time of a decision, which the engine is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Wall clock, milliseconds since the epoch; it may jump either way.
    pub wall_ms: u64,
    /// Milliseconds on a clock that never goes back. Its origin is arbitrary; in a live session it is the machine's start,
    /// so all processes share it.
    pub monotonic_ms: u64,
}

/// The end of the year 9999, in milliseconds since the epoch. A clock that shows this or a later time is ignored.
pub const LATEST_MS: u64 = 253_402_300_799_999;

/// The longest step forward of the wall clock that counts as time passed: the length of the longest window (contract P9).
/// A longer step is a wrong clock: time then follows the monotonic clock, and no window is cut short.
const LONGEST_STEP_MS: u64 = MAX_WINDOW_SECONDS as u64 * MILLIS;

/// Time as limits count it: the later of the wall clock and the last time seen plus the monotonic time
/// since (contract P13). A step back neither frees nor freezes quota; a step forward counts as time passed, unless it is
/// longer than any window or leads beyond [`LATEST_MS`].
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitClock {
    last: Option<Now>,
}

impl LimitClock {
    /// A clock that continues from the time that another clock of this machine has seen.
    #[must_use]
    pub fn after(seen: Now) -> Self {
        LimitClock { last: Some(seen) }
    }

    /// Takes note of `now`; returns milliseconds since the epoch, never fewer than before.
    pub fn observe(&mut self, now: Now) -> u64 {
        let Some(last) = self.last else {
            if now.wall_ms >= LATEST_MS {
                // Without a time of day any origin will do until there is one.
                return now.monotonic_ms;
            }
            self.last = Some(now);
            return now.wall_ms;
        };
        let passed_ms = now.monotonic_ms.saturating_sub(last.monotonic_ms);
        let steady_ms = last.wall_ms.saturating_add(passed_ms);
        let is_wrong =
            now.wall_ms >= LATEST_MS || now.wall_ms.saturating_sub(steady_ms) > LONGEST_STEP_MS;
        let at_ms = if is_wrong { steady_ms } else { now.wall_ms.max(steady_ms) };
        self.last = Some(Now { wall_ms: at_ms, monotonic_ms: now.monotonic_ms });
        at_ms
    }
}

#[cfg(test)]
mod tests {
    use super::{LATEST_MS, LimitClock, Now};

    /// contract P13
    #[test]
    fn time_never_goes_back_or_stands_still() {
        let mut clock = LimitClock::default();
        let mut at = |wall_ms, monotonic_ms| clock.observe(Now { wall_ms, monotonic_ms });
        assert_eq!(at(10_000, 0), 10_000);
        assert_eq!(at(4_000, 500), 10_500, "a step back");
        assert_eq!(at(4_400, 900), 10_900, "time goes on behind it");
        assert_eq!(at(90_000, 1_000), 90_000, "a step forward");
        assert_eq!(at(11_000, 1_200), 90_200, "and back again");
    }

    /// contract P13, S2: a clock that is far off neither frees quota nor stops time; one that is set right counts.
    #[test]
    fn a_clock_that_is_far_off_is_ignored() {
        let year = 366 * 86_400_000;
        let start = 1_767_225_600_000;
        let mut clock = LimitClock::default();
        let mut at = |wall_ms, monotonic_ms| clock.observe(Now { wall_ms, monotonic_ms });
        assert_eq!(at(u64::MAX, 7), 7, "no time of day yet");
        assert_eq!(at(start, 1_000), start);
        for (nth, wall_ms) in [u64::MAX, LATEST_MS, start + 2 * year].into_iter().enumerate() {
            let passed = nth as u64 * 10;
            assert_eq!(at(wall_ms, 1_010 + passed), start + 10 + passed, "{wall_ms}");
        }
        assert_eq!(at(start + year, 1_040), start + year, "as long as a window may be");
        assert_eq!(at(start, 1_050), start + year + 10, "and back again");
    }
}
