//! The work that one decision may take, counted in steps instead of time, so that the same call is always decided the
//! same way (contract 3.5).

/// The rest of an allowance of work. A step takes about a nanosecond on a slow machine.
#[derive(Debug)]
pub struct Work {
    limit: u64,
    left: u64,
}

/// Not enough work is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooCostly;

/// Steps for each byte of JSON on a walk.
const WALK_BYTE: u64 = 2;

/// Steps for each value on a walk.
const WALK_VALUE: u64 = 16;

impl Work {
    /// Steps for one decision.
    pub const DECISION: u64 = 200_000_000;

    /// Steps for all tests of one policy together (contract P16): 2 s.
    pub const TESTS: u64 = 2_000_000_000;

    /// An allowance of `steps` steps.
    #[must_use]
    pub fn of(steps: u64) -> Self {
        Work { limit: steps, left: steps }
    }

    /// The allowance of one decision.
    #[must_use]
    pub fn of_decision() -> Self {
        Work::of(Self::DECISION)
    }

    /// Takes `steps` steps from what is left.
    ///
    /// # Errors
    /// Fewer steps are left; the rest is then used up.
    #[inline]
    pub fn take(&mut self, steps: u64) -> Result<(), TooCostly> {
        if let Some(left) = self.left.checked_sub(steps) {
            self.left = left;
            return Ok(());
        }
        self.left = 0;
        Err(TooCostly)
    }

    /// Takes the cost of walking over this many bytes of JSON to the next value, or to the end.
    ///
    /// # Errors
    /// Fewer steps are left.
    #[inline]
    pub fn walk(&mut self, bytes: usize) -> Result<(), TooCostly> {
        self.take(steps(bytes).saturating_mul(WALK_BYTE).saturating_add(WALK_VALUE))
    }

    /// The number of steps left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The number of steps taken.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.limit.saturating_sub(self.left)
    }
}

/// Converts a count of bytes or items to steps, one for each.
#[inline]
#[must_use]
pub fn steps(count: usize) -> u64 {
    count as u64
}

#[cfg(test)]
mod tests {
    use super::{TooCostly, Work};

    #[test]
    fn refused_work_uses_up_the_rest() {
        let mut work = Work::of(10);
        assert_eq!(work.take(4), Ok(()));
        assert_eq!((work.left(), work.spent()), (6, 4));
        assert_eq!(work.take(7), Err(TooCostly));
        assert_eq!((work.left(), work.spent()), (0, 10));
        assert_eq!(work.take(1), Err(TooCostly));
        assert_eq!(work.take(0), Ok(()));
    }
}
