//! Links between the lines of an audit log (contract S4), and the head, which notes the newest line.

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::shell::digest::Hash;

/// The length of a head as it is kept: one line, padded.
pub const HEAD_BYTES: usize = 512;
/// The beginning of a line `recovered`, after its link. No other line begins so.
const RECOVERED: &[u8] = br#""event":"recovered","#;

/// The head of a chain: its newest line, and its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Head {
    /// `seq` of the newest line; 0 if there is none.
    pub seq: u64,
    /// The hash of the newest line.
    pub hash: Hash,
    /// How long the current file is, in bytes.
    pub length: u64,
    /// `seq` of the current file's first line.
    pub file_from: u64,
    /// `seq` of the oldest line that is kept.
    pub kept_from: u64,
    /// `prev` of that line.
    pub kept_prev: Hash,
    /// How many bytes of the current file are records of anything but calls that went out.
    #[serde(default)]
    pub other: u64,
    /// The largest `--audit-keep` of the log's writers, in bytes; 0 if there is none.
    #[serde(default)]
    pub keep: u64,
    /// When that was last confirmed, in seconds since the epoch.
    #[serde(default)]
    pub keep_at: u64,
}

impl Default for Head {
    fn default() -> Self {
        let none = Hash::NONE;
        Head {
            seq: 0,
            hash: none,
            length: 0,
            file_from: 1,
            kept_from: 1,
            kept_prev: none,
            other: 0,
            keep: 0,
            keep_at: 0,
        }
    }
}

impl Head {
    /// Writes the head as [`Head::parse`] reads it, one padded line.
    pub fn write(&self, out: &mut Vec<u8>) {
        let Head { seq, hash, length, file_from, kept_from, kept_prev, other, keep, keep_at } =
            self;
        out.clear();
        // It is written with every call: no formatting.
        push(out, r#"{"seq":"#, *seq);
        out.extend_from_slice(br#","hash":""#);
        out.extend_from_slice(hash.as_str().as_bytes());
        push(out, r#"","length":"#, *length);
        push(out, r#","file_from":"#, *file_from);
        push(out, r#","kept_from":"#, *kept_from);
        out.extend_from_slice(br#","kept_prev":""#);
        out.extend_from_slice(kept_prev.as_str().as_bytes());
        push(out, r#"","other":"#, *other);
        push(out, r#","keep":"#, *keep);
        push(out, r#","keep_at":"#, *keep_at);
        out.push(b'}');
        out.resize(HEAD_BYTES.saturating_sub(1), b' ');
        out.push(b'\n');
    }

    /// Begins another file after the newest line.
    pub fn begin_file(&mut self) {
        self.file_from = self.seq.saturating_add(1);
        self.length = 0;
        self.other = 0;
    }

    /// Reads a head as it is kept.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        serde_json::from_slice(bytes).context("the head is damaged")
    }

    /// Appends a line for `body`, a JSON object, to `buffer`, and makes it the newest line; the length stays.
    pub fn link(&mut self, body: &str, buffer: &mut Vec<u8>) {
        let begin = buffer.len();
        write_beginning(self.seq, &self.hash, buffer);
        self.seq = self.seq.saturating_add(1);
        buffer.extend_from_slice(body.strip_prefix('{').unwrap_or(body).as_bytes());
        self.hash = Hash::of(buffer.get(begin..).unwrap_or_default());
        buffer.push(b'\n');
    }

    /// Makes a line the newest one, if it is next in the chain.
    pub fn follow(&mut self, line: &[u8]) -> bool {
        let follows = ChainLink::of(line).is_some_and(|link| {
            link.prev == self.hash && Some(link.seq) == self.seq.checked_add(1)
        });
        if follows {
            self.seq = self.seq.saturating_add(1);
            self.hash = Hash::of(line);
        }
        follows
    }
}

/// The link of a line to the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct ChainLink {
    /// The number of the line, from 1 on.
    pub seq: u64,
    /// The hash of the line before it.
    pub prev: Hash,
}

impl ChainLink {
    /// Reads the link of a line, if it has one.
    #[must_use]
    pub fn of(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

/// Writes the beginning of the line that follows line `seq`.
pub(super) fn write_beginning(seq: u64, hash: &Hash, out: &mut Vec<u8>) {
    push(out, r#"{"seq":"#, seq.saturating_add(1));
    out.extend_from_slice(br#","prev":""#);
    out.extend_from_slice(hash.as_str().as_bytes());
    out.extend_from_slice(b"\",");
}

/// Adds a text and the digits of a number.
fn push(out: &mut Vec<u8>, text: &str, number: u64) {
    out.extend_from_slice(text.as_bytes());
    // As many as a number can have.
    let mut digits = [b'0'; 20];
    let mut left = number;
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        used = usize::saturating_add(used, 1);
        if let Ok(digit) = u8::try_from(left % 10) {
            *place = b'0' | digit;
        }
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len().saturating_sub(used)..).unwrap_or_default());
}

/// True if `piece` can be a part of a torn line that begins so. An empty line cannot: none is ever written.
pub(super) fn is_torn(piece: &[u8], beginning: &[u8]) -> bool {
    !piece.is_empty() && (piece.starts_with(beginning) || beginning.starts_with(piece))
}

/// What was wrong with a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadTrouble {
    /// It was not there.
    Missing,
    /// It could not be read.
    Damaged,
    /// It was behind what a running process had seen.
    SetBack,
}

impl HeadTrouble {
    /// The words for it in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HeadTrouble::Missing => "missing",
            HeadTrouble::Damaged => "damaged",
            HeadTrouble::SetBack => "set back",
        }
    }
}

/// What a writer found in the files otherwise than the head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Recovered {
    /// Whole lines of a process that was killed before it could write the head.
    pub lines: u64,
    /// How much there is of lines that were torn.
    pub torn_bytes: u64,
    /// How much there is of what was never a line.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub foreign_bytes: u64,
    /// How much is missing at the end of the file.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing_bytes: u64,
    /// What was wrong with the head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadTrouble>,
}

impl Recovered {
    /// Reads a line `recovered`; none for any other line.
    #[must_use]
    pub fn of(line: &[u8]) -> Option<Self> {
        let behind_prev = memchr::memmem::find(line, br#"","#)?.saturating_add(2);
        line.get(behind_prev..)?
            .starts_with(RECOVERED)
            .then(|| serde_json::from_slice(line).ok())?
    }

    /// The line, without what binds it to the chain; none if there is nothing to tell.
    pub(super) fn body(&self) -> Option<String> {
        if *self == Recovered::default() {
            return None;
        }
        let told = serde_json::to_string(self).unwrap_or_default();
        let time = Timestamp::now();
        let told = told.strip_prefix('{').unwrap_or_default();
        Some(format!(r#"{{"event":"recovered","time":"{time:.3}",{told}"#))
    }
}

/// Counts what stands behind the head: a whole line that goes on with the chain, a torn one, or anything else.
pub(super) fn take_up_line(
    head: &mut Head,
    bytes: &[u8],
    is_whole: bool,
    recovered: &mut Recovered,
) {
    if is_whole && head.follow(bytes) {
        recovered.lines = recovered.lines.saturating_add(1);
        if Recovered::of(bytes).is_some() {
            // It tells of what stands before it.
            recovered.torn_bytes = 0;
        }
        return;
    }
    let mut beginning = Vec::new();
    write_beginning(head.seq, &head.hash, &mut beginning);
    let is_torn = is_whole && is_torn(bytes, &beginning);
    let count = if is_torn { &mut recovered.torn_bytes } else { &mut recovered.foreign_bytes };
    // An empty line is something as well.
    *count = count.saturating_add(bytes.len().max(1) as u64);
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
