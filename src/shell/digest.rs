//! SHA-256: of policies, names, and the lines of audit logs.

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use sha2::{Digest as _, Sha256};

/// SHA-256, in 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 64]);

impl Hash {
    /// Stands for the hash before the first line of a chain.
    pub const NONE: Hash = Hash([b'0'; 64]);

    /// The hash of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(Sha256::digest(bytes)) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        Hash(digits)
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; 64] = text.as_bytes().try_into().ok()?;
        let lower = digits.map(|digit| digit.to_ascii_lowercase());
        lower.iter().all(u8::is_ascii_hexdigit).then_some(Hash(lower))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl de::Visitor<'_> for Digits {
            type Value = Hash;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("64 hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Hash, E> {
                Hash::parse(text).ok_or_else(|| E::custom("64 hexadecimal digits are needed"))
            }
        }
        deserializer.deserialize_str(Digits)
    }
}
