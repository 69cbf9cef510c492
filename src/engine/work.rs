//! How much work one decision may take, counted in steps and not in time, so that the same call is always decided in
//! the same way (contract 3.5).

/// What is left of an allowance of work. A step is about a nanosecond on a slow machine.
#[derive(Debug)]
pub struct Work {
    limit: u64,
    left: u64,
}

/// The work that is left does not suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooCostly;

/// Steps for one byte of JSON that is walked over.
const WALK_BYTE: u64 = 2;

/// Steps for one value that is walked to.
const WALK_VALUE: u64 = 16;

impl Work {
    /// What one decision may take.
    pub const DECISION: u64 = 200_000_000;

    /// What the tests of one policy may take together (contract P16): 2 s.
    pub const TESTS: u64 = 2_000_000_000;

    /// An allowance of so many steps.
    #[must_use]
    pub fn of(steps: u64) -> Self {
        Work { limit: steps, left: steps }
    }

    /// The allowance of one decision.
    #[must_use]
    pub fn of_decision() -> Self {
        Work::of(Self::DECISION)
    }

    /// Takes so many steps from what is left.
    ///
    /// # Errors
    /// Fewer are left; then none is.
    #[inline]
    pub fn take(&mut self, steps: u64) -> Result<(), TooCostly> {
        if let Some(left) = self.left.checked_sub(steps) {
            self.left = left;
            return Ok(());
        }
        self.left = 0;
        Err(TooCostly)
    }

    /// Takes what it costs to walk over so many bytes of JSON to the next value, or to the end.
    ///
    /// # Errors
    /// Less is left.
    #[inline]
    pub fn walk(&mut self, bytes: usize) -> Result<(), TooCostly> {
        self.take(steps(bytes).saturating_mul(WALK_BYTE).saturating_add(WALK_VALUE))
    }

    /// How many steps are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// How many steps were taken.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.limit.saturating_sub(self.left)
    }
}

/// A number of bytes or things as steps: one for each.
#[inline]
#[must_use]
pub fn steps(count: usize) -> u64 {
    count as u64
}

#[cfg(test)]
mod tests {
    use super::{TooCostly, Work};

    #[test]
    fn work_that_was_refused_leaves_nothing() {
        let mut work = Work::of(10);
        assert_eq!(work.take(4), Ok(()));
        assert_eq!((work.left(), work.spent()), (6, 4));
        assert_eq!(work.take(7), Err(TooCostly));
        assert_eq!((work.left(), work.spent()), (0, 10));
        assert_eq!(work.take(1), Err(TooCostly));
        assert_eq!(work.take(0), Ok(()));
    }
}
