//! Counters as stored bytes.
//!
//! ```text
//!   check   boot    seen  steady  max   slot charge  slot charge …      fixed: 4 and 8 bytes, little-endian
//!   └fixed┘ └fixed┘ └────── numbers of seven bits a byte, lowest first; a slot counts from the one before ──┘
//! ```
//!
//! The check covers all bytes after it and the row's id: a damaged row does not decode.

use anyhow::Context as _;

use crate::engine::limits::{Amount, Counter, LATEST_MS, LimitClock, Now, Window};

/// A counter as it is stored.
#[derive(Debug, Clone)]
pub(super) struct StoredRow {
    /// The boot of the machine that the steady clock counts from.
    pub(super) boot: u64,
    /// The time of limits at the last charge, and the steady clock at that moment.
    pub(super) seen: Now,
    /// The smallest maximum last asked for.
    pub(super) max: Amount,
    /// The charges.
    pub(super) counter: Counter,
}

impl StoredRow {
    /// A counter without charges.
    pub(super) fn new(window: Window) -> Self {
        let counter = Counter::new(window);
        StoredRow { boot: 0, seen: Now::default(), max: Amount::default(), counter }
    }

    /// The time of limits for this counter, in milliseconds since the epoch. `own_ms` is the process's own reading of
    /// `now`; the counter continues from the time of its last charge (contract P13). Other counters play no part, so
    /// that a wrapper with a wrong clock only moves the counters that it charges.
    pub(super) fn time_ms(&self, boot: u64, own_ms: u64, now: Now) -> u64 {
        let StoredRow { seen, .. } = self;
        if self.boot != boot || boot == 0 {
            // After another boot only the time of day counts: the time last seen counts as if it were just now.
            return own_ms.max(seen.wall_ms);
        }
        let seen = Now { monotonic_ms: seen.monotonic_ms.min(now.monotonic_ms), ..*seen };
        LimitClock::after(seen).observe(Now { wall_ms: own_ms, ..now })
    }

    /// Encodes the row with this id into `bytes`, replacing its content.
    pub(super) fn encode(&self, id: i64, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.boot.to_le_bytes());
        push(bytes, self.seen.wall_ms.into());
        push(bytes, self.seen.monotonic_ms.into());
        push(bytes, self.max.nanos());
        let mut before = 0;
        for (slot, nanos) in self.counter.charged() {
            push(bytes, u128::from(slot.saturating_sub(before)));
            push(bytes, nanos);
            before = slot;
        }
        if let Some((place, rest)) = bytes.split_first_chunk_mut() {
            *place = check(id, rest).to_le_bytes();
        }
    }

    /// Decodes a row that [`StoredRow::encode`] has written.
    ///
    /// # Errors
    /// The bytes are not such a row.
    pub(super) fn decode(id: i64, window: Window, bytes: &[u8]) -> anyhow::Result<Self> {
        StoredRow::parse(id, window, bytes).context("a stored counter is damaged")
    }

    fn parse(id: i64, window: Window, bytes: &[u8]) -> Option<Self> {
        let (found, rest) = bytes.split_first_chunk()?;
        if u32::from_le_bytes(*found) != check(id, rest) {
            return None;
        }
        let (boot, bytes) = rest.split_first_chunk()?;
        let mut numbers = Numbers { bytes };
        let wall_ms = numbers.next_u64()?;
        let monotonic_ms = numbers.next_u64()?;
        let max = Amount::from_nanos(numbers.next()?)?;
        let charged = || {
            let mut slot = 0_u64;
            let mut numbers = Numbers { bytes: numbers.bytes };
            std::iter::from_fn(move || {
                slot = slot.saturating_add(numbers.next_u64()?);
                Some((slot, numbers.next()?))
            })
        };
        // A session has one slot.
        if window == Window::Session && charged().any(|(slot, _)| slot > 0) {
            return None;
        }
        if wall_ms >= LATEST_MS {
            // Written under an implausible clock: its charges would never expire.
            return Some(StoredRow { max, ..StoredRow::new(window) });
        }
        let counter = Counter::restore(window, charged());
        let boot = u64::from_le_bytes(*boot);
        Some(StoredRow { boot, seen: Now { wall_ms, monotonic_ms }, max, counter })
    }
}

/// FNV-1a over a row, eight bytes at a time.
fn check(id: i64, bytes: &[u8]) -> u32 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let step = |hash: u64, word: [u8; 8]| (hash ^ u64::from_le_bytes(word)).wrapping_mul(PRIME);
    let (words, rest) = bytes.as_chunks();
    let mut last = [0xff; 8];
    last.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
    let hash = words.iter().copied().fold(step(OFFSET, id.to_le_bytes()), step);
    let hash = step(step(hash, last), (bytes.len() as u64).to_le_bytes());
    u32::try_from((hash >> 32) ^ (hash & u64::from(u32::MAX))).unwrap_or_default()
}

fn push(bytes: &mut Vec<u8>, mut number: u128) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

struct Numbers<'b> {
    bytes: &'b [u8],
}

impl Numbers<'_> {
    /// Reads the next number; `None` if it is cut off or too large.
    fn next(&mut self) -> Option<u128> {
        let mut number = 0_u128;
        for shift in (0..128).step_by(7) {
            let (byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            number |= u128::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn next_u64(&mut self) -> Option<u64> {
        u64::try_from(self.next()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::StoredRow;
    use crate::engine::limits::{Amount, Counter, LATEST_MS, Now, Window};

    fn row() -> StoredRow {
        let window = Window::Sliding(60);
        let charged = [(29_453_760_000, 1), (29_453_760_003, 10_u128.pow(24))];
        StoredRow {
            boot: u64::MAX,
            seen: Now { wall_ms: 1_767_225_600_000, monotonic_ms: 5 },
            max: Amount::ONE,
            counter: Counter::restore(window, charged),
        }
    }

    #[test]
    fn a_row_comes_back_as_it_was() {
        let mut bytes = Vec::new();
        row().encode(7, &mut bytes);
        let found = StoredRow::decode(7, Window::Sliding(60), &bytes).expect("a row");
        assert!(found.counter.charged().eq(row().counter.charged()));
        assert_eq!((found.boot, found.seen, found.max), (u64::MAX, row().seen, Amount::ONE));
    }

    /// contract S2: times beyond the year 9999 are not believed.
    #[test]
    fn a_row_of_an_implausible_year_starts_afresh() {
        for (wall_ms, charged) in [(LATEST_MS - 1, 2), (LATEST_MS, 0), (u64::MAX, 0)] {
            let mut bytes = Vec::new();
            let seen = Now { wall_ms, monotonic_ms: 5 };
            StoredRow { seen, ..row() }.encode(7, &mut bytes);
            let found = StoredRow::decode(7, Window::Sliding(60), &bytes).expect("a row");
            assert_eq!(found.counter.charged().count(), charged, "{wall_ms}");
            assert_eq!(found.max, Amount::ONE);
        }
    }

    /// contract P13: a counter continues from the time it has seen; another boot has another steady clock.
    #[test]
    fn the_time_of_a_counter_is_the_later_plausible_one() {
        let row = StoredRow { boot: 3, ..row() };
        let seen = row.seen.wall_ms;
        let year = 366 * 86_400_000;
        let now = Now { wall_ms: 0, monotonic_ms: 105 };
        for (boot, own_ms, expected) in [
            (3, seen - year, seen + 100),
            (3, seen + 101, seen + 101),
            (3, seen + year, seen + year),
            (3, seen + 2 * year, seen + 100),
            (4, seen - year, seen),
            (4, seen + 2 * year, seen + 2 * year),
        ] {
            assert_eq!(row.time_ms(boot, own_ms, now), expected, "{boot}, {own_ms}");
        }
    }

    #[test]
    fn no_damage_to_a_row_goes_unseen() {
        let mut bytes = Vec::new();
        row().encode(7, &mut bytes);
        assert!(
            StoredRow::decode(8, Window::Sliding(60), &bytes).is_err(),
            "the row of another counter"
        );
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(StoredRow::decode(7, Window::Sliding(60), &damaged).is_err(), "byte {at}");
            assert!(
                StoredRow::decode(7, Window::Sliding(60), &bytes[..at]).is_err(),
                "cut at {at}"
            );
        }
    }
}
