//! The keys of the objects that are being read, and which of them stand twice (SPEC P1, W3).

use std::hash::{BuildHasher, RandomState};

use super::value::Str;

/// Up to this many keys of one object are compared pair by pair; more are sorted by hash.
const FEW: usize = 16;

/// More duplicates than this are not noted: one is enough to refuse.
const NOTED: usize = 16;

/// Keys of the open objects, innermost last.
#[derive(Debug, Default)]
pub(super) struct Keys {
    open: Vec<Key>,
    hashed: Vec<(u64, Key)>,
    hasher: RandomState,
    duplicates: Vec<usize>,
}

/// Where a key stands in the text, between its quotes. Frames are shorter than 4 GiB, so 32 bits do.
#[derive(Debug, Clone, Copy)]
struct Key {
    start: u32,
    end: u32,
    /// Equal for equal keys without escapes.
    tag: u32,
    escaped: bool,
}

impl Keys {
    pub(super) fn reset(&mut self, keep: usize) {
        self.open.clear();
        self.open.shrink_to(keep);
        self.hashed.clear();
        self.hashed.shrink_to(keep);
        self.duplicates.clear();
    }

    /// How many keys are open: where those of the next object begin.
    pub(super) fn count(&self) -> u32 {
        narrow(self.open.len())
    }

    /// Adds a key, which stands `raw` between its quotes and begins at `start` of the text.
    #[inline]
    pub(super) fn push(&mut self, raw: &[u8], start: usize, escaped: bool) {
        let end = narrow(start.saturating_add(raw.len()));
        self.open.push(Key { start: narrow(start), end, tag: tag(raw), escaped });
    }

    /// Compares the keys of the innermost object, which begin at `base`, and forgets them.
    pub(super) fn close(&mut self, base: u32, text: &[u8]) {
        let base = base as usize;
        let keys = self.open.get(base..).unwrap_or_default();
        if keys.len() <= FEW {
            for (nth, later) in keys.iter().enumerate() {
                if keys.iter().take(nth).any(|earlier| earlier.equals(later, text)) {
                    note(&mut self.duplicates, later);
                }
            }
        } else {
            // The hash is keyed and random, so no agent can choose keys that collide.
            self.hashed.clear();
            let hashes = keys.iter().map(|key| (self.hasher.hash_one(key.of(text)), *key));
            self.hashed.extend(hashes);
            self.hashed.sort_unstable_by_key(|(hash, key)| (*hash, key.start));
            for pair in self.hashed.windows(2) {
                if let [(first, earlier), (second, later)] = pair
                    && first == second
                    && earlier.equals(later, text)
                {
                    note(&mut self.duplicates, later);
                }
            }
        }
        self.open.truncate(base);
    }

    /// Where the second key of each pair begins (its opening quote), in bytes.
    pub(super) fn duplicates(&self) -> &[usize] {
        &self.duplicates
    }
}

impl Key {
    fn equals(&self, other: &Key, text: &[u8]) -> bool {
        (self.tag == other.tag || self.escaped || other.escaped) && self.of(text) == other.of(text)
    }

    fn of<'a>(&self, text: &'a [u8]) -> Str<'a> {
        let raw = text.get(self.start as usize..self.end as usize).unwrap_or_default();
        // The whole text has been read as UTF-8, and keys end at quotes.
        Str::proved(str::from_utf8(raw).unwrap_or_default(), self.start as usize, self.escaped)
    }
}

fn note(duplicates: &mut Vec<usize>, key: &Key) {
    if duplicates.len() < NOTED {
        duplicates.push((key.start as usize).saturating_sub(1));
    }
}

/// A few bytes that tell most keys apart.
fn tag(raw: &[u8]) -> u32 {
    let length = narrow(raw.len());
    match (raw.first_chunk(), raw.last_chunk()) {
        (Some(first), Some(last)) => {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            first ^ last.rotate_left(7) ^ length.rotate_left(16)
        }
        _ => raw.iter().fold(length, |tag, &byte| tag.rotate_left(8) ^ u32::from(byte)),
    }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
