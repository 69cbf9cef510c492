//! The innermost loop: how far a JSON string goes on without anything special in it.

/// How many bytes from the start may stand in a string as they are: no quote, backslash or control character.
#[inline]
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    // Most strings end within the first word or two.
    let mut begun = 0_usize;
    while let Some(word) = bytes.get(begun..).and_then(|rest| rest.first_chunk::<8>()) {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return begun.wrapping_add(first_byte(special));
        }
        begun = begun.wrapping_add(8);
        if begun == 32 {
            return long_plain_run(bytes, begun);
        }
    }
    long_plain_run(bytes, begun)
}

/// The same, of which `begun` bytes are known to be plain.
fn long_plain_run(bytes: &[u8], begun: usize) -> usize {
    const LANES: usize = 32;
    let rest = bytes.get(begun..).unwrap_or_default();
    // Without a branch in the inner loop this compiles to a handful of vector instructions.
    let (chunks, _) = rest.as_chunks::<LANES>();
    let plain = chunks
        .iter()
        .take_while(|chunk| !chunk.iter().fold(false, |found, &byte| found | is_special(byte)))
        .count()
        .saturating_mul(LANES);
    let tail = rest.get(plain..).unwrap_or_default();
    let last = tail.iter().position(|&byte| is_special(byte)).unwrap_or(tail.len());
    begun.saturating_add(plain).saturating_add(last)
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The high bit of each byte of `word` that is special; bits above the lowest may be wrong.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let below =
        |word: u64, byte: u8| word.wrapping_sub(ONES.wrapping_mul(u64::from(byte))) & !word & HIGH;
    let equal = |byte: u8| below(word ^ ONES.wrapping_mul(u64::from(byte)), 1);
    below(word, 0x20) | equal(b'"') | equal(b'\\')
}

/// The place of the lowest byte that is not zero.
fn first_byte(word: u64) -> usize {
    usize::try_from(word.trailing_zeros() >> 3).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::plain_run;

    #[test]
    fn a_plain_run_ends_at_the_first_special_byte() {
        for length in 0..100_usize {
            for special in [b'"', b'\\', 0, 0x1F, b'\n'] {
                let mut bytes = vec![0xFF; length];
                bytes.push(special);
                bytes.extend_from_slice(b"\"\\ more \x00 than one word, and more");
                assert_eq!(plain_run(&bytes), length, "{special}");
            }
            for plain in [b' ', b'!', b'#', b'[', b']', 0x7F, 0x80, 0xA2, 0xDC, 0xFF] {
                assert_eq!(plain_run(&vec![plain; length]), length, "{plain}");
            }
        }
    }
}
