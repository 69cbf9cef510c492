//! A flag that interrupts the reading of a long line when the session is told to stop (contract W8, W9).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shorter lines, in bytes, are always read to their end, which takes a few milliseconds.
const LONG: usize = 1024 * 1024;

/// A flag that another thread or a signal handler sets. While it is set, the reading of a line of 1 MiB or more stops,
/// and the line is refused.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// The flag itself, for the thread or handler that sets it.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Clears the flag: long lines are read again.
    pub fn lower(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// True if the reading of this many bytes can be interrupted.
    #[inline]
    #[must_use]
    pub fn is_long(length: usize) -> bool {
        length >= LONG
    }

    /// True if the reading of a line of this many bytes must stop.
    #[inline]
    #[must_use]
    pub fn ends(&self, length: usize) -> bool {
        Self::is_long(length) && self.0.load(Ordering::Relaxed)
    }
}
