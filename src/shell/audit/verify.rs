//! Verifies that a log is whole (contract S4): every line in order, each bound to the one before it, up to the head.
//!
//! Runs beside writers. It holds their lock only while it reads the head and finds the files.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context as _;
use serde::{Serialize, Serializer};

use super::files::{OpenedFile, failed, rotated_path};
use super::head::{ChainLink, Head, Recovered, is_torn, write_beginning};
use super::reader::{Forward, LogLine, first_link};
use super::snapshot::{EMPTY, Snapshot};
use crate::shell::digest::Hash;

/// The result of verifying a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The log.
    #[serde(serialize_with = "as_text")]
    pub log: PathBuf,
    /// The first fault, if there is one.
    pub wrong: Option<VerifyFinding>,
    /// Oddities that are not faults.
    pub notes: Vec<VerifyFinding>,
    /// Number of files read.
    pub files: u64,
    /// Number of intact lines.
    pub lines: u64,
    /// `seq` of the first intact line.
    pub from: u64,
    /// `seq` of the last intact line.
    pub to: u64,
    /// Hash of the last intact line, to be noted elsewhere.
    pub head: String,
    /// True if a line has the hash that the caller gave.
    pub found: bool,
}

impl VerifyReport {
    /// True if the log has no fault.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.wrong.is_none()
    }
}

/// A finding, and its place in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyFinding {
    /// The file.
    #[serde(serialize_with = "as_text")]
    pub file: PathBuf,
    /// The line in that file; `None` for the file as a whole.
    pub line: Option<u64>,
    /// The finding, as a message.
    pub what: String,
}

/// Verifies all files of the log at `path`. If `noted` is given, a line must have that hash.
///
/// # Errors
/// A file cannot be read. A fault in the log is not an error: the report holds it.
pub fn verify(path: &Path, head: &Path, noted: Option<Hash>) -> anyhow::Result<VerifyReport> {
    verify_beside(path, head, None, noted)
}

/// Like [`verify`]; the log must also reach the copy of its head at `witness`.
///
/// # Errors
/// As for [`verify`].
pub fn verify_beside(
    path: &Path,
    head: &Path,
    witness: Option<&Path>,
    noted: Option<Hash>,
) -> anyhow::Result<VerifyReport> {
    let snapshot = Snapshot::take(path, head, witness)?;
    let mut walk = ChainWalk::new(path, &snapshot.head, noted);
    walk.witness = snapshot.witness;
    let mut files = snapshot.files;
    while let Some(file) = files.pop_front() {
        let opened = match file.opened {
            Some(opened) => opened,
            None => match OpenedFile::read(&file.path) {
                Ok(opened) => opened,
                // Rotation removed it meanwhile, or someone else did.
                Err(error) => match Snapshot::take(path, head, None)?.head {
                    Ok(now) if file.from < now.kept_from => {
                        files.retain(|file| file.from >= now.kept_from);
                        walk.begin_at(now.kept_from, now.kept_prev);
                        continue;
                    }
                    _ => return Err(error),
                },
            },
        };
        let next = files.front().map(|next| next.path.clone());
        if !walk.read(&file.path, &opened, file.length, next.as_deref())? {
            return Ok(walk.report);
        }
    }
    walk.end(&snapshot.head, head);
    Ok(walk.report)
}

/// A line that is in its place.
#[derive(Debug, Clone)]
struct Known {
    file: Rc<Path>,
    line: u64,
    link: ChainLink,
    hash: Hash,
    /// Offset of its end in the file.
    end: u64,
}

/// A run of bytes that is not a line of the chain.
#[derive(Debug, Clone)]
struct Junk {
    file: Rc<Path>,
    line: u64,
    bytes: u64,
    /// True if it can be the rest of a torn line.
    is_torn: bool,
}

/// A pass along the chain, from the oldest line to the newest.
struct ChainWalk {
    path: PathBuf,
    head: Option<Head>,
    /// The copy of the head in the state directory.
    witness: Option<Head>,
    noted: Option<Hash>,
    /// `seq` and `prev` of the oldest line kept.
    kept: Option<(u64, Hash)>,
    last: Option<Known>,
    /// The line before the last one, and the bytes of the last one.
    before: Option<Known>,
    last_bytes: Vec<u8>,
    junk: Option<Junk>,
    /// The bytes that the next line must begin with.
    beginning: Vec<u8>,
    report: VerifyReport,
}

impl ChainWalk {
    fn new(path: &Path, head: &Result<Head, &'static str>, noted: Option<Hash>) -> Self {
        let head = head.as_ref().ok().copied();
        let report = VerifyReport {
            log: path.to_owned(),
            wrong: None,
            notes: Vec::new(),
            files: 0,
            lines: 0,
            from: 0,
            to: 0,
            head: Hash::NONE.to_string(),
            found: noted.is_none(),
        };
        let mut walk = ChainWalk {
            path: path.to_owned(),
            head,
            witness: None,
            noted,
            kept: None,
            last: None,
            before: None,
            last_bytes: Vec::new(),
            junk: None,
            beginning: Vec::new(),
            report,
        };
        walk.expect_after(0, &Hash::NONE);
        if let Some(head) = head {
            walk.begin_at(head.kept_from, head.kept_prev);
        }
        walk
    }

    /// Starts over: the files read so far have been removed meanwhile.
    fn begin_at(&mut self, from: u64, prev: Hash) {
        self.kept = Some((from, prev));
        (self.last, self.before, self.junk) = (None, None, None);
        self.report.lines = 0;
        self.expect_after(from.saturating_sub(1), &prev);
    }

    fn expect_after(&mut self, seq: u64, hash: &Hash) {
        self.beginning.clear();
        write_beginning(seq, hash, &mut self.beginning);
    }

    /// Records the first fault, which ends the pass.
    fn wrong(&mut self, file: &Path, line: Option<u64>, what: String) -> bool {
        self.report.wrong = Some(VerifyFinding { file: file.to_owned(), line, what });
        false
    }

    fn note(&mut self, file: &Path, line: u64, what: String) {
        self.report.notes.push(VerifyFinding { file: file.to_owned(), line: Some(line), what });
    }

    /// Reads a file; false at a fault.
    fn read(
        &mut self,
        path: &Path,
        opened: &OpenedFile,
        length: u64,
        next: Option<&Path>,
    ) -> anyhow::Result<bool> {
        let named = || failed("read", path);
        let path: &Rc<Path> = &Rc::from(path);
        let mut lines = Forward::new(0, length);
        let mut number = 0_u64;
        self.report.files = self.report.files.saturating_add(1);
        while let Some(line) = lines.next(&opened.file).with_context(named)? {
            number = number.saturating_add(1);
            if self.step(path, number, &line) {
                continue;
            }
            if self.report.wrong.is_some() {
                return Ok(false);
            }
            let (bytes, end) = (line.bytes.to_vec(), line.end());
            let Some(link) = ChainLink::of(&bytes) else { return Ok(false) };
            let after = match lines.next(&opened.file).with_context(named)? {
                Some(after) => ChainLink::of(after.bytes),
                None => next.map(first_link).transpose()?.flatten(),
            };
            let known =
                Known { file: path.clone(), line: number, link, hash: Hash::of(&bytes), end };
            return Ok(self.break_at(&known, after));
        }
        let tail = lines.tail();
        Ok(tail.is_none_or(|tail| self.stop_within_line(path, number.saturating_add(1), &tail)))
    }

    /// Takes a line. False if it is not the next one, or has a fault.
    fn step(&mut self, path: &Rc<Path>, number: u64, line: &LogLine<'_>) -> bool {
        let expected = self.last.as_ref().map(|last| last.link.seq.saturating_add(1));
        // A torn line may look like this too; the line after it decides. Where none may follow, the line is parsed
        // whole.
        let is_expected = line.is_whole()
            && line.bytes.starts_with(&self.beginning)
            && self.junk.is_none()
            && self.head.is_none_or(|head| Some(head.seq) != expected);
        let link = match &self.last {
            Some(last) if is_expected => {
                Some(ChainLink { seq: last.link.seq.saturating_add(1), prev: last.hash })
            }
            _ => {
                self.take_back();
                ChainLink::of(line.bytes).filter(|_| line.is_whole())
            }
        };
        let Some(link) = link else {
            self.step_over(path, number, line);
            return true;
        };
        if !self.is_next(path, number, &link) {
            return false;
        }
        let recovered = Recovered::of(line.bytes);
        if let Some(junk) = self.junk.take() {
            let told = recovered.map_or(0, |recovered| recovered.torn_bytes);
            if !junk.is_torn || told != junk.bytes {
                return self.wrong(&junk.file, Some(junk.line), no_line());
            }
            let what = format!(
                "a process was killed while it wrote: {} bytes of a line; the log continues after them",
                junk.bytes
            );
            self.note(&junk.file, junk.line, what);
        }
        if let Some(lines) = recovered.map(|recovered| recovered.lines).filter(|lines| *lines > 0) {
            // Such lines are bound to the chain, but anyone who may append to the file can do that.
            let which = if lines == 1 { "the line" } else { &format!("the last {lines} lines") };
            let what = format!(
                "the head did not cover {which} before this one: a process was killed, or another program appended"
            );
            self.note(path, number, what);
        }
        if let Some(trouble) = recovered.and_then(|recovered| recovered.head) {
            let trouble = trouble.as_str();
            let what = format!(
                "the head was {trouble} when this line was written: lines before it may have been cut off"
            );
            return self.wrong(path, Some(number), what);
        }
        let (hash, end) = (Hash::of(line.bytes), line.end());
        self.last_bytes.clear();
        self.last_bytes.extend_from_slice(line.bytes);
        self.take(Known { file: path.clone(), line: number, link, hash, end })
    }

    /// Drops the last line taken if it is incomplete: it was torn, and is not part of the chain.
    fn take_back(&mut self) {
        if self.before.is_none() || ChainLink::of(&self.last_bytes).is_some() {
            return;
        }
        let before = self.before.take();
        let Some(torn) = std::mem::replace(&mut self.last, before) else { return };
        let Some(last) = &self.last else { return };
        let (seq, hash) = (last.link.seq, last.hash);
        self.expect_after(seq, &hash);
        self.report.lines = self.report.lines.saturating_sub(1);
        let (bytes, is_torn) = (self.last_bytes.len() as u64, true);
        self.junk = Some(Junk { file: torn.file, line: torn.line, bytes, is_torn });
    }

    /// Takes the next line, and checks it against the head.
    fn take(&mut self, line: Known) -> bool {
        let Known { file, line: number, link, hash, end } = line.clone();
        if let Some(head) = self.head.filter(|head| head.seq == link.seq) {
            if head.hash != hash {
                let what = "this line was changed: the head records another hash for it".to_owned();
                return self.wrong(&file, Some(number), what);
            }
            if *file == *self.path && head.length != end {
                let what = format!(
                    "the head is wrong: it says that this line ends at byte {}, and it ends at {end}",
                    head.length
                );
                return self.wrong(&file, Some(number), what);
            }
        }
        if self.witness.is_some_and(|witness| witness.seq == link.seq && witness.hash != hash) {
            let what =
                "this line was changed: the state directory records another hash for it".to_owned();
            return self.wrong(&file, Some(number), what);
        }
        if self.report.lines == 0 {
            self.report.from = link.seq;
        }
        self.report.lines = self.report.lines.saturating_add(1);
        self.report.found |= self.noted == Some(hash) || self.noted == Some(link.prev);
        self.expect_after(link.seq, &hash);
        self.before = self.last.replace(line);
        true
    }

    /// True if the line with this link comes next. Records the fault if it would be the first line and is not.
    fn is_next(&mut self, path: &Path, number: u64, link: &ChainLink) -> bool {
        if let Some(last) = &self.last {
            let is_kept =
                self.kept.is_none_or(|(from, prev)| from != link.seq || prev == link.prev);
            return link.prev == last.hash
                && Some(link.seq) == last.link.seq.checked_add(1)
                && is_kept;
        }
        let Some((from, prev)) = self.kept else {
            if link.seq != 1 || link.prev != Hash::NONE {
                let what = format!(
                    "without a head it is not known whether line {} was the first",
                    link.seq
                );
                self.note(path, number, what);
            }
            return true;
        };
        let is_first = link.seq < from || link.seq == from && link.prev == prev;
        if let Some(junk) = self.junk.take_if(|_| !is_first) {
            return self.wrong(&junk.file, Some(junk.line), no_line());
        }
        if link.seq > from {
            let last = link.seq.saturating_sub(1);
            return self.wrong(
                path,
                Some(number),
                format!("{} missing before this one", are(from, last)),
            );
        }
        if link.seq == from && link.prev != prev {
            let what = "this line was changed: the head records another hash for the one before it";
            return self.wrong(path, Some(number), what.to_owned());
        }
        true
    }

    /// Skips bytes that are not a line of the chain; the next line must account for them.
    fn step_over(&mut self, path: &Rc<Path>, number: u64, line: &LogLine<'_>) {
        let is_torn = line.is_whole() && is_torn(line.bytes, &self.beginning);
        let junk = self.junk.get_or_insert_with(|| Junk {
            file: path.clone(),
            line: number,
            bytes: 0,
            is_torn: true,
        });
        junk.bytes = junk.bytes.saturating_add(line.length);
        junk.is_torn &= is_torn;
    }

    /// Reports a break of the chain at `line`. The link of the line `after` it shows which line is at fault.
    fn break_at(&mut self, line: &Known, after: Option<ChainLink>) -> bool {
        if let Some(junk) = self.junk.take() {
            return self.wrong(&junk.file, Some(junk.line), no_line());
        }
        let Some(last) = self.last.clone() else { return false };
        let seq = line.link.seq;
        let expected = last.link.seq.saturating_add(1);
        let is_confirmed = match after {
            Some(after) => after.prev == line.hash && Some(after.seq) == seq.checked_add(1),
            None => self.head.is_some_and(|head| head.seq == seq && head.hash == line.hash),
        };
        // All lines up to the head are there, so it is this one that does not belong.
        let is_complete = self.head.is_some_and(|head| head.seq <= last.link.seq);
        let is_confirmed = is_confirmed && !is_complete;
        let here = Some(line.line);
        if seq > expected {
            let missing = are(expected, seq.saturating_sub(1));
            let what = if is_confirmed {
                format!("{missing} missing before this one")
            } else {
                format!(
                    "this is line {seq}, and line {expected} comes next: lines were removed, moved or inserted"
                )
            };
            return self.wrong(&line.file, here, what);
        }
        if seq == expected && is_confirmed {
            let what = "this line was changed: the next one records another hash for it".to_owned();
            return self.wrong(&last.file, Some(last.line), what);
        }
        if seq == last.link.seq && line.link.prev == last.link.prev && is_confirmed {
            let what = "this line was inserted: the log goes on without it".to_owned();
            return self.wrong(&last.file, Some(last.line), what);
        }
        let what = if seq == expected {
            "this line was changed or inserted, or the one before it was: it records another hash for that one"
                .to_owned()
        } else {
            format!(
                "this is line {seq}, and line {expected} comes next: lines were moved or inserted"
            )
        };
        self.wrong(&line.file, here, what)
    }

    /// Handles a file that does not end with a line feed. False if that is a fault.
    fn stop_within_line(&mut self, path: &Rc<Path>, number: u64, tail: &LogLine<'_>) -> bool {
        let is_covered =
            self.head.is_some_and(|head| **path == *self.path && head.length > tail.at);
        if **path != *self.path || is_covered {
            let what = "the file ends within this line: it was cut off".to_owned();
            return self.wrong(path, Some(number), what);
        }
        self.step_over(path, number, tail);
        let is_torn = self.junk.take_if(|junk| junk.is_torn).is_some();
        if is_torn {
            let what =
                format!("a process was killed while it wrote: {} bytes of a line", tail.length);
            self.note(path, number, what);
        }
        true
    }

    /// Checks, after the last file, whether lines are missing at the end.
    fn end(&mut self, head: &Result<Head, &'static str>, head_path: &Path) {
        self.take_back();
        let last = self.last.as_ref().map_or(0, |last| last.link.seq);
        let is_behind = self.head.is_none_or(|head| head.seq <= last);
        if let Some(junk) = self.junk.take() {
            if !junk.is_torn || !is_behind {
                self.wrong(&junk.file, Some(junk.line), no_line());
                return;
            }
            let what =
                format!("a process was killed while it wrote: {} bytes of a line", junk.bytes);
            self.note(&junk.file, junk.line, what);
        }
        if let Some(last) = &self.last {
            self.report.to = last.link.seq;
            self.report.head = last.hash.to_string();
        }
        if let Some(witness) = self.witness.filter(|witness| witness.seq > last) {
            let missing = are(last.saturating_add(1), witness.seq);
            let (file, line) = self.place();
            let what =
                format!("{missing} missing after this one: the state directory records them");
            self.wrong(&file, line, what);
            return;
        }
        match head {
            Ok(head) => self.compare(head),
            // A process was killed before it wrote the first line.
            Err(EMPTY) if self.last.is_none() => {}
            Err(_) if self.noted.is_some_and(|noted| noted.to_string() == self.report.head) => {}
            Err(trouble) => {
                let what = format!(
                    "the head {trouble}: the remaining lines are in order, but lines may be missing at the end"
                );
                self.wrong(head_path, None, what);
            }
        }
    }

    /// The place of the last line taken.
    fn place(&self) -> (Rc<Path>, Option<u64>) {
        let last = self.last.as_ref();
        let file = last.map_or_else(|| Rc::from(self.path.as_path()), |last| last.file.clone());
        (file, last.map(|last| last.line))
    }

    /// Compares the end of the log with the head.
    fn compare(&mut self, head: &Head) {
        let (file, line) = self.place();
        let before = head.kept_from.saturating_sub(1);
        let seq = self.last.as_ref().map_or(before, |last| last.link.seq);
        if seq < head.seq {
            let missing = are(seq.saturating_add(1), head.seq);
            let from = rotated_path(&self.path, head.file_from);
            let is_gone = head.length > 0 && !self.path.exists() && !from.exists();
            if is_gone {
                let path = self.path.clone();
                self.wrong(
                    &path,
                    None,
                    format!("the file is missing, and {missing} missing with it"),
                );
            } else if line.is_some() {
                self.wrong(
                    &file,
                    line,
                    format!("{missing} missing after this one: the log was cut off"),
                );
            } else {
                self.wrong(&file, None, format!("{missing} missing"));
            }
            return;
        }
        if seq > head.seq {
            let which = match seq.saturating_sub(head.seq) {
                1 => "this line".to_owned(),
                behind => format!("the last {behind} lines up to this one"),
            };
            let what = format!("a process was killed before it updated the head: {which}");
            self.note(&file, line.unwrap_or_default(), what);
        }
    }
}

/// Serializes a path as text: a path need not be Unicode, JSON must be.
fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn no_line() -> String {
    "this is not a line of the log: it was changed or inserted".to_owned()
}

/// Names these lines, with the verb.
fn are(first: u64, last: u64) -> String {
    if first == last { format!("line {first} is") } else { format!("lines {first} to {last} are") }
}
