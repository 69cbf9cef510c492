//! Exact amounts.

use std::fmt;

/// Digits after the point that an amount may have.
pub const AMOUNT_PLACES: u8 = 9;

/// A cost or a maximum: 0 to 10^15 with at most 9 digits after the point, kept exactly (contract P10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Amount {
    /// In units of 10^-9.
    pub(super) nanos: u128,
}

impl Amount {
    const UNIT: u128 = 1_000_000_000;
    /// The largest amount, in whole units: 10^15.
    pub const MAX_WHOLE: u64 = 1_000_000_000_000_000;
    pub(super) const MAX_NANOS: u128 = Self::MAX_WHOLE as u128 * Self::UNIT;

    /// The default cost of a call: 1.
    pub const ONE: Amount = Amount { nanos: Self::UNIT };

    /// The amount of `nanos` × 10^-9, if it is in range.
    #[must_use]
    pub fn from_nanos(nanos: u128) -> Option<Self> {
        (nanos <= Self::MAX_NANOS).then_some(Amount { nanos })
    }

    /// The amount in units of 10^-9.
    #[must_use]
    pub fn nanos(self) -> u128 {
        self.nanos
    }

    /// The product, if it is in range and has no more than 9 digits after the point.
    #[must_use]
    pub fn times(self, other: Self) -> Option<Self> {
        let product = self.nanos.checked_mul(other.nanos)?;
        let exact = product.checked_rem(Self::UNIT)? == 0;
        exact.then_some(product.checked_div(Self::UNIT)?).and_then(Self::from_nanos)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.nanos.checked_div(Self::UNIT).unwrap_or_default();
        let part = self.nanos.checked_rem(Self::UNIT).unwrap_or_default();
        if part == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{part:09}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::Amount;

    fn amount(nanos: u128) -> Amount {
        Amount::from_nanos(nanos).unwrap_or_default()
    }

    #[test]
    fn products_are_exact_or_nothing() {
        let half = amount(500_000_000);
        assert_eq!(half.times(amount(4_000_000_000)), Some(amount(2_000_000_000)));
        assert_eq!(amount(1).times(half), None);
        assert_eq!(amount(10_u128.pow(24)).times(amount(1_000_000_001)), None);
        assert_eq!(amount(10_u128.pow(24)).times(amount(10_u128.pow(24))), None);
    }

    #[test]
    fn amounts_have_no_trailing_zeros() {
        assert_eq!(amount(1_000_000_000).to_string(), "1");
        assert_eq!(amount(5_000_000).to_string(), "0.005");
        assert_eq!(amount(0).to_string(), "0");
    }
}
