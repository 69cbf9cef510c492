//! The keys of the objects being read, and which of them are duplicates (contract P1, W3).
//!
//! The objects of a list mostly have the same keys in the same order. The reader keeps the keys it has compared; a key
//! that repeats the one in the same place of the previous object is not compared again.

use std::hash::{BuildHasher, RandomState};

use super::value::{Str, proved_string_len};

/// Up to this many keys of one object are compared pair by pair; more are sorted by hash.
const FEW: usize = 16;

/// The keys of an object with more than this are kept as digests (contract W8): a key takes as little as five bytes of
/// text, and an entry of [`Keys::open`] sixteen.
const MANY: usize = 64;

/// Objects with more keys than this, or deeper ones, keep no keys for the next object.
const KEPT_KEYS: usize = MANY;
const KEPT_LEVELS: usize = 32;

/// The most keys compared in one text, not counting those that [`Keys::again`] finds (contract W8): more than any
/// legitimate message has, and few enough to compare in a tenth of a second.
pub(in crate::engine) const MAX_COMPARED: usize = 1_000_000;

/// The most duplicates noted: one is enough to refuse.
const NOTED: usize = 16;

/// Keys of the open objects, innermost last.
#[derive(Debug, Default)]
pub(in crate::engine) struct Keys {
    open: Vec<Key>,
    /// Keys of the last object at each level, if spelt without escapes: at even indexes those of objects whose keys may
    /// repeat, at odd ones those of objects whose keys must differ.
    kept: Vec<Vec<Kept>>,
    /// Keys of the open objects that have many, innermost last. Each entry holds a keyed hash of 32 bits and the key's
    /// start in the text, in one number so that sorting is fast.
    many: Vec<u64>,
    hasher: RandomState,
    duplicates: Vec<usize>,
    /// How many keys were compared, or will be.
    compared: usize,
}

/// An open object.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct KeySet {
    /// The length of [`Keys::open`] when this object began.
    base: u32,
    /// The index of its keys in [`Keys::kept`].
    place: u32,
    /// Its keys must differ.
    compared: bool,
    /// It has many keys: they are in [`Keys::many`], and `base` is their start there.
    is_many: bool,
    /// The number of keys so far that repeat those of the last object at this level, and are not in [`Keys::open`];
    /// `None` after a different key.
    alike: Option<u32>,
}

/// Where a key stands in the text, between its quotes. Frames are shorter than 4 GiB, so 32 bits suffice.
#[derive(Debug, Clone, Copy)]
struct Key {
    start: u32,
    end: u32,
    /// Equal keys without escapes have equal tags.
    tag: u32,
    escaped: bool,
}

/// A key without escapes, in its quotes.
#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    /// Where it begins in the text, and its length.
    start: u32,
    length: u32,
    /// Its first 16 bytes, padded with zeros.
    head: u128,
    /// The bits of the head that belong to the key.
    mask: u128,
}

impl Keys {
    pub(in crate::engine) fn reset(&mut self, keep: usize) {
        self.open.clear();
        self.open.shrink_to(keep);
        self.kept.iter_mut().for_each(Vec::clear);
        self.many.clear();
        self.many.shrink_to(keep);
        self.duplicates.clear();
        self.compared = 0;
    }

    /// True once more keys were compared than one text may have.
    pub(in crate::engine) fn are_too_many(&self) -> bool {
        self.compared > MAX_COMPARED
    }

    /// Begins an object whose keys must differ and are compared with no previous object's.
    pub(in crate::engine) fn enter(&self) -> KeySet {
        let base = narrow(self.open.len());
        KeySet { base, place: u32::MAX, compared: true, is_many: false, alike: None }
    }

    /// Begins an object at this level, which may repeat the keys of the last one there.
    pub(in crate::engine) fn enter_at(&self, level: usize, compared: bool) -> KeySet {
        let place = narrow(level.saturating_mul(2).saturating_add(usize::from(compared)));
        KeySet { place, compared, alike: Some(0), ..self.enter() }
    }

    /// The length of the key at the start of `rest`, with its quotes, if the last object at this level had the same key
    /// in the same place; the key is then counted. Otherwise 0.
    #[inline]
    pub(in crate::engine) fn again(&self, set: &mut KeySet, text: &[u8], rest: &[u8]) -> usize {
        let Some(alike) = set.alike else { return 0 };
        let kept = self.kept.get(set.place as usize).and_then(|kept| kept.get(alike as usize));
        let (Some(kept), Some(head)) = (kept, rest.first_chunk()) else { return 0 };
        if (u128::from_le_bytes(*head) ^ kept.head) & kept.mask != 0
            || kept.length > 16 && !rest.starts_with(kept.of(text))
        {
            return 0;
        }
        set.alike = Some(alike.wrapping_add(1));
        kept.length as usize
    }

    /// Notes the next key of an object whose keys must differ.
    #[inline]
    pub(in crate::engine) fn push(&mut self, set: &mut KeySet, key: Str<'_>, text: &str) {
        if set.is_many || self.open.len().saturating_sub(set.base as usize) >= MANY {
            self.push_to_many(set, key, text);
        } else {
            self.open.push(Key::new(key));
        }
    }

    /// Notes one more key of an object that has many.
    #[cold]
    #[inline(never)]
    fn push_to_many(&mut self, set: &mut KeySet, key: Str<'_>, text: &str) {
        if !set.is_many {
            self.turn_into_many(set, text);
        }
        self.push_hash(&Key::new(key), text);
    }

    fn turn_into_many(&mut self, set: &mut KeySet, text: &str) {
        let base = narrow(self.many.len());
        for nth in set.base as usize..self.open.len() {
            if let Some(key) = self.open.get(nth).copied() {
                self.push_hash(&key, text);
            }
        }
        self.open.truncate(set.base as usize);
        *set = KeySet { base, is_many: true, ..*set };
    }

    fn push_hash(&mut self, key: &Key, text: &str) {
        self.compared = self.compared.saturating_add(1);
        // One pair of equal keys is enough to refuse; later keys need no search.
        if self.duplicates.len() >= NOTED {
            return;
        }
        if self.many.len() == self.many.capacity() {
            // Doubling would take more memory than the text allows.
            self.many.reserve_exact((self.many.len() / 2).max(4 * MANY));
        }
        // The hash is keyed and random, so no agent can choose keys that collide.
        let hash = self.hasher.hash_one(key.of(text)) >> 32 << 32;
        self.many.push(hash | u64::from(key.start));
    }

    /// Notes the next key of an object, when it differs from the last object's key in that place.
    pub(in crate::engine) fn push_other(
        &mut self,
        set: KeySet,
        key: Str<'_>,
        text: &str,
    ) -> KeySet {
        if let Some(alike) = set.alike
            && let Some(kept) = self.kept.get(set.place as usize)
        {
            self.open.extend(kept.iter().take(alike as usize).map(|kept| kept.key(text)));
        }
        let mut set = KeySet { alike: None, ..set };
        if set.compared {
            self.push(&mut set, key, text);
        } else if self.keys_of(set).len() <= KEPT_KEYS {
            self.open.push(Key::new(key));
        }
        set
    }

    /// Compares the keys of the innermost object, and drops them or keeps them for the next object.
    pub(in crate::engine) fn close(&mut self, set: KeySet, text: &str) {
        // All keys repeat those of the previous object, which were compared.
        if set.alike.is_some() {
            return;
        }
        if set.is_many {
            return self.close_many(set, text);
        }
        if set.compared {
            self.compare(set, text);
        }
        if self.duplicates.is_empty() {
            self.keep(set, text);
        }
        self.open.truncate(set.base as usize);
    }

    fn keys_of(&self, set: KeySet) -> &[Key] {
        self.open.get(set.base as usize..).unwrap_or_default()
    }

    fn compare(&mut self, set: KeySet, text: &str) {
        let keys = self.open.get(set.base as usize..).unwrap_or_default();
        if keys.len() > FEW {
            return self.compare_by_hash(set, text);
        }
        self.compared = self.compared.saturating_add(keys.len());
        for (nth, later) in keys.iter().enumerate() {
            if keys.iter().take(nth).any(|earlier| earlier.equals(later, text)) {
                note(&mut self.duplicates, later);
            }
        }
    }

    /// Compares the keys of an object with too many for pairwise comparison.
    fn compare_by_hash(&mut self, set: KeySet, text: &str) {
        let base = self.many.len();
        for nth in set.base as usize..self.open.len() {
            if let Some(key) = self.open.get(nth).copied() {
                self.push_hash(&key, text);
            }
        }
        self.note_equal(base, text);
    }

    fn close_many(&mut self, set: KeySet, text: &str) {
        self.note_equal(set.base as usize, text);
    }

    /// Finds equal keys among those in [`Keys::many`] from `base` on, and removes all of these.
    fn note_equal(&mut self, base: usize, text: &str) {
        let keys = self.many.get_mut(base..).unwrap_or_default();
        keys.sort_unstable();
        // Among a million keys some have the same hash by chance, so all keys of a run are compared. A run is long only
        // if it contains equal keys, and those are found at once.
        for run in keys.chunk_by(|one, other| one >> 32 == other >> 32) {
            for (nth, later) in run.iter().enumerate().skip(1) {
                if self.duplicates.len() >= NOTED {
                    break;
                }
                if run.iter().take(nth).any(|key| key_at(text, *key) == key_at(text, *later)) {
                    self.duplicates.push(start_of(*later).saturating_sub(1));
                }
            }
        }
        self.many.truncate(base);
    }

    /// Keeps the keys of the innermost object for the next one at its level.
    fn keep(&mut self, set: KeySet, text: &str) {
        let place = set.place as usize;
        let keys = self.open.get(set.base as usize..).unwrap_or_default();
        if place >= KEPT_LEVELS * 2 || keys.len() > KEPT_KEYS || keys.iter().any(|key| key.escaped)
        {
            return;
        }
        if self.kept.len() <= place {
            self.kept.resize_with(place.saturating_add(1), Vec::new);
        }
        if let Some(kept) = self.kept.get_mut(place) {
            kept.clear();
            kept.extend(keys.iter().map(|key| Kept::new(key, text)));
        }
    }

    /// Where the second key of each pair begins (its opening quote), in bytes.
    pub(in crate::engine) fn duplicates(&self) -> &[usize] {
        &self.duplicates
    }
}

impl Key {
    fn new(key: Str<'_>) -> Self {
        let raw = key.raw().as_bytes();
        let start = narrow(key.start());
        let end = narrow(key.start().saturating_add(raw.len()));
        Key { start, end, tag: tag(raw), escaped: key.is_escaped() }
    }

    fn equals(&self, other: &Key, text: &str) -> bool {
        (self.tag == other.tag || self.escaped || other.escaped) && self.of(text) == other.of(text)
    }

    fn of<'a>(&self, text: &'a str) -> Str<'a> {
        let raw = text.get(self.start as usize..self.end as usize).unwrap_or_default();
        Str::proved(raw, self.start as usize, self.escaped)
    }
}

impl Kept {
    fn new(key: &Key, text: &str) -> Self {
        let start = key.start.saturating_sub(1);
        let length = key.end.saturating_add(1).saturating_sub(start);
        let kept = Kept { start, length, ..Kept::default() };
        let own = kept.of(text.as_bytes());
        if let Some(head) = own.first_chunk() {
            return Kept { head: u128::from_le_bytes(*head), mask: u128::MAX, ..kept };
        }
        let (mut head, mut mask) = ([0; 16], [0; 16]);
        for ((head, mask), &byte) in head.iter_mut().zip(&mut mask).zip(own) {
            (*head, *mask) = (byte, u8::MAX);
        }
        Kept { head: u128::from_le_bytes(head), mask: u128::from_le_bytes(mask), ..kept }
    }

    fn of<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        let end = self.start.saturating_add(self.length);
        text.get(self.start as usize..end as usize).unwrap_or_default()
    }

    fn key(&self, text: &str) -> Key {
        let start = self.start.saturating_add(1);
        let end = self.start.saturating_add(self.length).saturating_sub(1);
        let raw = text.get(start as usize..end as usize).unwrap_or_default();
        Key::new(Str::proved(raw, start as usize, false))
    }
}

/// Where a key in [`Keys::many`] begins.
fn start_of(key: u64) -> usize {
    usize::try_from(key & u64::from(u32::MAX)).unwrap_or(usize::MAX)
}

/// The text of a key in [`Keys::many`].
fn key_at(text: &str, key: u64) -> Option<Str<'_>> {
    let start = start_of(key);
    let quoted = text.get(start.saturating_sub(1)..)?;
    let length = proved_string_len(quoted.as_bytes());
    let raw = quoted.get(1..length.saturating_sub(1))?;
    let escaped = memchr::memchr(b'\\', raw.as_bytes()).is_some();
    Some(Str::proved(raw, start, escaped))
}

fn note(duplicates: &mut Vec<usize>, key: &Key) {
    if duplicates.len() < NOTED {
        duplicates.push((key.start as usize).saturating_sub(1));
    }
}

/// A number from a few bytes of a key, different for most different keys.
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
