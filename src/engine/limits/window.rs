//! Windows, and the slots that they are cut into.
//!
//! ```text
//!              one window = 60 slots, aligned to the epoch
//!        ┌───┬───┬───┬───┬── … ──┬───┬───┬───┐
//!  … ────┤ 0 │ 1 │ 2 │ 3 │       │58 │59 │60 ├──► time
//!        └───┴───┴───┴───┴── … ──┴───┴───┴─▲─┘
//!          ▲ the slot that is leaving      └ now: 61 slots count, so a limit is up to
//!            still counts                    1/60 of its window strict, and never loose
//! ```

use std::fmt;

/// The number of slots that count: those of a window, and the one that is leaving.
pub(super) const SLOTS: usize = 61;

/// Slots in a window.
pub(super) const SLOTS_PER_WINDOW: u64 = 60;

pub(super) const MILLIS: u64 = 1000;

/// The time over which a limit counts (contract P9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Window {
    /// Any stretch of this many seconds, 1 to 31,622,400.
    Sliding(u32),
    /// The current UTC minute, hour, day or week (from Monday), of this many seconds.
    Calendar(u32),
    /// From start to end of one run.
    Session,
}

/// The longest window in seconds: a leap year (contract P9).
pub const MAX_WINDOW_SECONDS: u32 = 31_622_400;

/// The windows that have names, with their seconds.
pub const NAMED_WINDOWS: [(&str, u32); 4] =
    [("minute", 60), ("hour", 3600), ("day", 86_400), ("week", 604_800)];

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Window::Session => f.write_str("session"),
            Window::Sliding(seconds) | Window::Calendar(seconds) => {
                match NAMED_WINDOWS.iter().find(|(_, length)| length == seconds) {
                    Some((name, _)) => f.write_str(name),
                    None => write!(f, "{seconds} s"),
                }
            }
        }
    }
}

impl Window {
    /// The number of the slot that `at_ms` falls into. A calendar window is one slot.
    #[must_use]
    pub fn slot(self, at_ms: u64) -> u64 {
        let slots = |per_window: u64, seconds: u32| {
            at_ms.saturating_mul(per_window).checked_div(u64::from(seconds).saturating_mul(MILLIS))
        };
        match self {
            Window::Sliding(seconds) => slots(SLOTS_PER_WINDOW, seconds).unwrap_or_default(),
            Window::Calendar(seconds) => {
                let shifted = at_ms.saturating_add(calendar_shift_ms(seconds));
                shifted.checked_div(u64::from(seconds).saturating_mul(MILLIS)).unwrap_or_default()
            }
            Window::Session => 0,
        }
    }

    /// The start of a slot, in milliseconds since the epoch: the inverse of [`Window::slot`].
    #[must_use]
    pub fn slot_start_ms(self, slot: u64) -> u64 {
        match self {
            Window::Sliding(seconds) => slot
                .saturating_mul(u64::from(seconds).saturating_mul(MILLIS))
                .div_ceil(SLOTS_PER_WINDOW),
            Window::Calendar(seconds) => slot
                .saturating_mul(u64::from(seconds).saturating_mul(MILLIS))
                .saturating_sub(calendar_shift_ms(seconds)),
            Window::Session => u64::MAX,
        }
    }

    /// The number of slots after its own in which a charge still counts.
    #[must_use]
    pub fn lasts(self) -> u64 {
        match self {
            Window::Sliding(_) => SLOTS_PER_WINDOW,
            Window::Calendar(_) => 0,
            Window::Session => u64::MAX,
        }
    }
}

/// The epoch was a Thursday: weeks that begin on Monday began three days before it.
fn calendar_shift_ms(seconds: u32) -> u64 {
    const WEEK: u32 = 604_800;
    const THREE_DAYS_MS: u64 = 3 * 86_400 * MILLIS;
    if seconds == WEEK { THREE_DAYS_MS } else { 0 }
}
