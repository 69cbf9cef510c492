//! The innermost loops: tokens of JSON, read in place.

#![expect(
    clippy::inline_always,
    reason = "a cursor that is lent to a function out of line is kept in memory, at half the speed"
)]

use std::ops::Range;

/// A position in a text. It is copied, not borrowed, so that a loop can keep it in registers; functions that are not
/// inlined take it by value.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Cursor<'a> {
    text: &'a [u8],
    /// `at <= text.len()`
    at: usize,
}

/// What the reader expected, and where.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Expected {
    pub(in crate::engine) at: usize,
    pub(in crate::engine) what: &'static str,
}

impl<'a> Cursor<'a> {
    /// The position after the first `at` bytes of `text`.
    pub(in crate::engine) fn new(text: &'a str, at: usize) -> Self {
        Cursor { text: text.as_bytes(), at }
    }

    /// The offset in bytes from the start of the text.
    pub(in crate::engine) fn at(self) -> usize {
        self.at
    }

    /// The next byte; `None` at the end of the text.
    #[inline]
    pub(in crate::engine) fn byte(self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The bytes from here on.
    #[inline]
    pub(in crate::engine) fn rest(self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Steps over this many bytes, which must exist.
    #[inline]
    pub(in crate::engine) fn bump(&mut self, bytes: usize) {
        self.at = self.at.wrapping_add(bytes);
    }

    /// Steps over white space and returns the next byte.
    #[inline(always)]
    pub(in crate::engine) fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.bump(1);
        }
        self.byte()
    }

    /// Steps over white space, and over `byte` if it comes next.
    #[inline(always)]
    pub(in crate::engine) fn eat(&mut self, byte: u8) -> bool {
        if self.peek() != Some(byte) {
            return false;
        }
        self.bump(1);
        true
    }

    /// Steps over a key and its colon. Returns the range between the quotes, and whether it contains an escape.
    #[inline(always)]
    pub(in crate::engine) fn key(&mut self) -> Result<(Range<usize>, bool), Expected> {
        if self.peek() != Some(b'"') {
            return self.expected("a key in double quotes");
        }
        let start = self.at.wrapping_add(1);
        let escaped = self.string()?;
        let place = start..self.at.wrapping_sub(1);
        self.colon()?;
        Ok((place, escaped))
    }

    /// Steps over a colon.
    #[inline(always)]
    pub(in crate::engine) fn colon(&mut self) -> Result<(), Expected> {
        if self.eat(b':') { Ok(()) } else { self.expected("`:`") }
    }

    /// Steps over a string, whose opening quote comes next. True if it contains an escape.
    #[inline(always)]
    pub(in crate::engine) fn string(&mut self) -> Result<bool, Expected> {
        self.bump(1);
        self.bump(plain_run(self.rest()));
        if self.byte() == Some(b'"') {
            self.bump(1);
            return Ok(false);
        }
        *self = self.behind_escapes()?;
        Ok(true)
    }

    /// Steps to the end of a string from an escape in it.
    #[inline(never)]
    fn behind_escapes(mut self) -> Result<Self, Expected> {
        loop {
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(_) => return self.expected("no raw control character in a string"),
                None => return self.expected("the closing quote of a string"),
            }
            // Escapes usually come in runs.
            if self.byte() != Some(b'\\') {
                self.bump(plain_run(self.rest()));
            }
        }
        self.bump(1);
        Ok(self)
    }

    fn escape(&mut self) -> Result<(), Expected> {
        match self.rest() {
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.bump(2),
            [_, b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|h| h.is_ascii_hexdigit()) => {
                self.bump(6);
            }
            _ => return self.expected("an escape such as `\\n` or `\\u0041`"),
        }
        Ok(())
    }

    /// Steps over a number, whose sign or first digit comes next.
    #[inline(always)]
    pub(in crate::engine) fn number(&mut self) -> Result<(), Expected> {
        if self.byte() == Some(b'-') {
            self.bump(1);
        }
        match self.byte() {
            Some(b'0') => self.bump(1),
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.bump(1);
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.bump(1);
            if let Some(b'+' | b'-') = self.byte() {
                self.bump(1);
            }
            self.digits()?;
        }
        Ok(())
    }

    #[inline(always)]
    fn digits(&mut self) -> Result<(), Expected> {
        let run = digit_run(self.rest());
        if run == 0 {
            return self.expected("a digit");
        }
        self.bump(run);
        Ok(())
    }

    /// Steps over this literal.
    #[inline]
    pub(in crate::engine) fn word(&mut self, word: &[u8]) -> Result<(), Expected> {
        if self.rest().starts_with(word) {
            self.bump(word.len());
            return Ok(());
        }
        self.expected("a value")
    }

    /// Fails: the reader expected something else here.
    #[cold]
    pub(in crate::engine) fn expected<T>(self, what: &'static str) -> Result<T, Expected> {
        Err(Expected { at: self.at, what })
    }
}

/// How many bytes at the start may stand in a string unescaped: no quote, backslash or control character.
#[inline(always)]
pub(in crate::engine) fn plain_run(bytes: &[u8]) -> usize {
    // Most strings end within one or two words.
    if let ([low, high, ..], _) = bytes.as_chunks() {
        let [low, high] = [low, high].map(|word| special_bytes(u64::from_le_bytes(*word)));
        if low != 0 {
            return first_byte(low);
        }
        if high != 0 {
            return first_byte(high).wrapping_add(8);
        }
    }
    long_plain_run(bytes)
}

#[inline(never)]
fn long_plain_run(bytes: &[u8]) -> usize {
    /// Strings are usually short: this many words are checked one by one before the vectorised loop pays off.
    const WORDS: usize = 4;
    const LANES: usize = 32;
    let (words, _) = bytes.as_chunks::<8>();
    for (nth, word) in words.iter().take(WORDS).enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return nth.wrapping_mul(8).wrapping_add(first_byte(special));
        }
    }
    let begun = words.len().min(WORDS).saturating_mul(8);
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

/// How many digits come first.
#[inline(always)]
fn digit_run(bytes: &[u8]) -> usize {
    if let Some(word) = bytes.first_chunk() {
        let other = other_than_digits(u64::from_le_bytes(*word));
        if other != 0 {
            return first_byte(other);
        }
    }
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGH: u64 = u64::from_le_bytes([0x80; 8]);

/// The high bit of each byte of `word` that is special; bits above the lowest may be wrong.
fn special_bytes(word: u64) -> u64 {
    let all = |byte: u8| ONES.wrapping_mul(u64::from(byte));
    let control = word.wrapping_sub(all(0x20));
    let quote = (word ^ all(b'"')).wrapping_sub(ONES);
    let backslash = (word ^ all(b'\\')).wrapping_sub(ONES);
    (control | quote | backslash) & !word & HIGH
}

/// The high bit of each byte of `word` that is no digit; bits above the lowest may be wrong.
fn other_than_digits(word: u64) -> u64 {
    let offset = word ^ ONES.wrapping_mul(u64::from(b'0'));
    (offset.wrapping_add(ONES.wrapping_mul(0x80 - 10)) | offset) & HIGH
}

/// The place of the lowest byte that is not zero.
fn first_byte(word: u64) -> usize {
    usize::try_from(word.trailing_zeros() >> 3).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{digit_run, plain_run};

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
    #[test]
    fn a_digit_run_ends_at_the_first_other_byte() {
        for length in 0..20_usize {
            for other in 0..=u8::MAX {
                let digits = b"01234567899876543210".iter().take(length);
                let bytes: Vec<u8> = digits.copied().chain([other]).chain(*b"12/:x5678").collect();
                let more = if other.is_ascii_digit() { 3 } else { 0 };
                assert_eq!(digit_run(&bytes), length + more, "{other}");
                assert_eq!(digit_run(&bytes[..=length]), length + more / 3, "{other}");
            }
        }
    }
}
