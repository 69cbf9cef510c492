//! Decimal numbers as JSON spells them, compared exactly at any length (contract P7), and their canonical text, by
//! which request ids are matched (contract W4).

use std::cmp::Ordering;

/// A JSON number, read but not converted: `±(int).(frac) × 10^exponent`.
#[derive(Debug, Clone, Copy)]
pub struct Decimal<'a> {
    text: &'a str,
    negative: bool,
    /// Digits before the point, without leading zeros.
    int: &'a [u8],
    /// Digits after the point, without trailing zeros.
    frac: &'a [u8],
    /// Saturates: no double holds a number with such an exponent anyway.
    exponent: i64,
}

impl<'a> Decimal<'a> {
    /// Reads the text of a JSON number that a [`super::reader::Reader`] has validated.
    #[must_use]
    pub fn read(text: &'a str) -> Self {
        let (negative, magnitude) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = split_at_any(magnitude, b"eE").unwrap_or((magnitude, "0"));
        let (int, frac) = split_at_any(mantissa, b".").unwrap_or((mantissa, ""));
        Decimal {
            text,
            negative,
            int: without_leading_zeros(int.as_bytes()),
            frac: without_trailing_zeros(frac.as_bytes()),
            exponent: read_exponent(exponent),
        }
    }

    /// The number as spelt.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.text
    }

    /// True if some parser would read this number as infinity, or a nonzero number as zero: it is beyond the range of a
    /// double, so servers will not agree on it (contract P8).
    #[must_use]
    pub fn is_beyond_double(self) -> bool {
        // Numbers of up to 15 digits without exponent are the common case, and always fit.
        if self.exponent == 0 && self.int.len() <= 15 && self.frac.len() <= 15 {
            return false;
        }
        match self.text.parse::<f64>() {
            Ok(double) => !double.is_finite() || (double == 0.0 && !self.is_zero()),
            Err(_) => true,
        }
    }

    /// True for 0, 0.0, -0, 0e7 …
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.digits().next().is_none()
    }

    /// True if the number is below zero; -0 is not.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.negative && !self.is_zero()
    }

    /// The number in units of `10^-places`, without its sign; `None` unless that is a whole number below `2^128`.
    #[must_use]
    pub fn scaled(self, places: u8) -> Option<u128> {
        let mut value = 0_u128;
        let mut count = 0_i64;
        for digit in self.digits() {
            value = value.checked_mul(10)?.checked_add(u128::from(digit.wrapping_sub(b'0')))?;
            count = count.saturating_add(1);
        }
        if value == 0 {
            return Some(0);
        }
        // The last significant digit stands at 10^(magnitude - count) and must move to 10^-places.
        let shift = self.magnitude().saturating_sub(count).saturating_add(i64::from(places));
        value.checked_mul(10_u128.checked_pow(u32::try_from(shift).ok()?)?)
    }

    /// One text for each value: 1, 1.0 and 1e0 are all `1`; 100 and 1e2 are `100`; -0 is `0`.
    #[must_use]
    pub fn canonical(self) -> String {
        let mut canonical = Vec::new();
        self.canonical_in_pieces(&mut |piece| canonical.extend_from_slice(piece));
        String::from_utf8(canonical).unwrap_or_default()
    }

    /// The same text, passed to `show` piece by piece: a number may be as long as a frame.
    pub fn canonical_in_pieces(self, show: &mut impl FnMut(&[u8])) {
        const PLAIN: i64 = 40;
        /// The largest exponent for which the place of the first digit is computed exactly.
        const FARTHEST: u64 = 1 << 62;
        if self.exponent.unsigned_abs() > FARTHEST && !self.is_zero() {
            // Beyond it, numbers with different spellings never count as equal.
            return show(self.text.as_bytes());
        }
        let count = i64::try_from(self.digits().count()).unwrap_or(i64::MAX);
        if count == 0 {
            return show(b"0");
        }
        if self.is_negative() {
            show(b"-");
        }
        let magnitude = self.magnitude();
        let is_plain = count <= magnitude && magnitude <= PLAIN;
        if !is_plain {
            show(b"0.");
        }
        let (mut piece, mut length) = ([0; 64], 0_usize);
        for digit in self.digits() {
            if let Some(place) = piece.get_mut(length) {
                *place = digit;
            }
            length = length.saturating_add(1);
            if length == piece.len() {
                show(&piece);
                length = 0;
            }
        }
        show(piece.get(..length).unwrap_or_default());
        if is_plain {
            (count..magnitude).for_each(|_| show(b"0"));
        } else {
            show(format!("e{magnitude}").as_bytes());
        }
    }

    /// The significant digits, without leading or trailing zeros.
    fn digits(self) -> impl Iterator<Item = u8> + Clone {
        let whole = self.int.iter().chain(self.frac).copied();
        let leading = whole.clone().take_while(|&d| d == b'0').count();
        let total = self.int.len().saturating_add(self.frac.len());
        let trailing = if self.frac.is_empty() {
            self.int.iter().rev().take_while(|&&d| d == b'0').count()
        } else {
            0
        };
        let significant = total.saturating_sub(leading).saturating_sub(trailing);
        whole.skip(leading).take(significant)
    }

    /// How many digits stand before the point when the number is written without exponent; negative for 0.00x, and
    /// meaningless for zero.
    fn magnitude(self) -> i64 {
        let before = if self.int.is_empty() {
            let zeros = self.frac.iter().take_while(|&&d| d == b'0').count();
            i64::try_from(zeros).unwrap_or(i64::MAX).saturating_neg()
        } else {
            i64::try_from(self.int.len()).unwrap_or(i64::MAX)
        };
        before.saturating_add(self.exponent)
    }

    fn cmp_magnitude(self, other: Self) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self
                .magnitude()
                .cmp(&other.magnitude())
                .then_with(|| self.digits().cmp(other.digits())),
        }
    }
}

/// The text before and after the first of some ASCII characters.
fn split_at_any<'a>(text: &'a str, marks: &[u8]) -> Option<(&'a str, &'a str)> {
    let at = text.bytes().position(|byte| marks.contains(&byte))?;
    Some((text.get(..at)?, text.get(at.saturating_add(1)..)?))
}

fn without_leading_zeros(mut digits: &[u8]) -> &[u8] {
    while let [b'0', rest @ ..] = digits {
        digits = rest;
    }
    digits
}

fn without_trailing_zeros(mut digits: &[u8]) -> &[u8] {
    while let [rest @ .., b'0'] = digits {
        digits = rest;
    }
    digits
}

fn read_exponent(text: &str) -> i64 {
    text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX })
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative(), other.is_negative()) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self.cmp_magnitude(*other),
            (true, true) => other.cmp_magnitude(*self),
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal<'_> {}

/// True if the spelling is the one that [`Decimal::canonical`] returns.
pub(in crate::engine) fn is_plain_integer(text: &str) -> bool {
    text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    #[test]
    fn numbers_compare_as_decimals_of_any_length() {
        let equal =
            [("1", "1.0"), ("1", "10e-1"), ("0", "-0.000e9"), ("100", "1e2"), ("0.01", "1E-2")];
        for (a, b) in equal {
            assert_eq!(Decimal::read(a), Decimal::read(b), "{a} {b}");
            assert_eq!(Decimal::read(a).canonical(), Decimal::read(b).canonical(), "{a} {b}");
        }
        let rising = [
            "-1e400",
            "-2",
            "-1.5",
            "-0.001",
            "0",
            "1e-400",
            "0.00999",
            "0.01",
            "0.010001",
            "0.1",
            "1",
            "9",
            "10",
            "9007199254740992",
            "9007199254740993",
            "1e400",
            "1.0000000000000000000001e400",
        ];
        for pair in rising.windows(2) {
            let [a, b] = pair else { continue };
            assert!(Decimal::read(a) < Decimal::read(b), "{a} < {b}");
            assert_ne!(Decimal::read(a).canonical(), Decimal::read(b).canonical(), "{a} {b}");
        }
    }

    #[test]
    fn numbers_beyond_a_double_are_detected() {
        for beyond in ["1e400", "-1e400", "1e-400", "1e99999999999999999999"] {
            assert!(Decimal::read(beyond).is_beyond_double(), "{beyond}");
        }
        for held in ["0", "0e99999999999999999999", "9007199254740993", "1e308", "-4.9e-324", "0.1"]
        {
            assert!(!Decimal::read(held).is_beyond_double(), "{held}");
        }
    }

    #[test]
    fn scaling_is_exact_or_nothing() {
        let nanos = |text| Decimal::read(text).scaled(9);
        assert_eq!(nanos("0.005"), Some(5_000_000));
        assert_eq!(nanos("1e15"), Some(10_u128.pow(24)));
        assert_eq!(nanos("1.10e-8"), Some(11));
        assert_eq!(nanos("0.0000000010"), Some(1));
        assert_eq!(nanos("0.00000000010"), None);
        assert_eq!(nanos("1e40"), None);
        assert_eq!(nanos("0e40"), Some(0));
    }
}
