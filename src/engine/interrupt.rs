//! A flag that ends the reading of a long line when the session is told to stop (contract W8, W9).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Lines of fewer bytes are read to their end: that takes a few milliseconds.
const LONG: usize = 1024 * 1024;

/// A flag that another thread or a signal handler raises. While it is raised, no line of 1 MiB or more is read any
/// further: such a line is refused.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// The flag itself, for whoever raises it.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Takes the flag down: long lines are read again.
    pub fn lower(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// True if the reading of so many bytes can be interrupted.
    #[inline]
    #[must_use]
    pub fn is_long(length: usize) -> bool {
        length >= LONG
    }

    /// True if a line of so many bytes must not be read any further.
    #[inline]
    #[must_use]
    pub fn ends(&self, length: usize) -> bool {
        Self::is_long(length) && self.0.load(Ordering::Relaxed)
    }
}
