//! The chain of an audit log (SPEC S4): lines that each carry the hash of the one before, over several files, appended
//! by several processes.
//!
//! ```text
//!   server.000000000001.jsonl   server.000000210034.jsonl   server.jsonl        server.head
//!   ┌──────────────┐            ┌──────────────┐            ┌────────────┐      ┌───────────────────────┐
//!   │ first kept   │◄─── prev ──┤              │◄─── prev ──┤ …          │      │ seq and hash of the   │
//!   │ …            │            │ …            │            │ newest     │◄─────┤ newest line, length of│
//!   └──────────────┘            └──────────────┘            └────────────┘      │ its file, first kept  │
//!     rotated, named after its first line's seq                                 └───────────────────────┘
//! ```
//!
//! Who appends holds a lock on the head for a few microseconds: it reads the head, writes its lines in one write, and
//! then the head. A process that is killed between the two leaves lines behind the head, or a torn one: the next to
//! append takes the whole lines up, ends a torn one, and says so in the log.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A file is rotated when it has grown to so many bytes.
const ROTATE_AT: u64 = 64 * 1024 * 1024;
/// … or sooner, so that what is kept is a few files at least.
const FILES_KEPT: u64 = 4;
/// How long it is trusted that files are still those at their paths, if nobody else has written since.
const TRUST: Duration = Duration::from_millis(10);
/// The length of a head: one line, padded.
const HEAD_BYTES: usize = 512;
/// What comes before the first line of all.
pub const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Where a chain has come to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// `seq` of the newest line; 0 if there is none.
    pub seq: u64,
    /// SHA-256 of the newest line without its line feed, in hexadecimal.
    pub hash: String,
    /// How long the current file is, in bytes.
    pub length: u64,
    /// `seq` of the current file's first line.
    pub file_from: u64,
    /// `seq` of the oldest line that is kept.
    pub kept_from: u64,
    /// `prev` of that line.
    pub kept_prev: String,
}

impl Head {
    fn new() -> Self {
        let none = NO_HASH.to_owned();
        Head { seq: 0, hash: none.clone(), length: 0, file_from: 1, kept_from: 1, kept_prev: none }
    }

    /// Writes the head as [`Head::parse`] reads it.
    fn write(&self, out: &mut Vec<u8>) {
        let Head { seq, hash, length, file_from, kept_from, kept_prev } = self;
        // A vector has no way to fail.
        let _ = write!(
            out,
            r#"{{"seq":{seq},"hash":"{hash}","length":{length},"file_from":{file_from},"#
        );
        let _ = write!(out, r#""kept_from":{kept_from},"kept_prev":"{kept_prev}"}}"#);
    }

    /// Another file begins behind the newest line.
    fn begin_file(&mut self) {
        self.file_from = self.seq.saturating_add(1);
        self.length = 0;
    }

    /// Reads a head as it is kept.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        serde_json::from_slice(bytes).context("the head is damaged")
    }
}

/// Why lines were not appended.
#[derive(Debug)]
pub enum AppendError {
    /// Another process appends just now: to be tried again at once.
    Busy,
    /// The log cannot be written.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for AppendError {
    fn from(error: E) -> Self {
        AppendError::Failed(error.into())
    }
}

/// A chain that lines are appended to.
#[derive(Debug)]
pub struct Chain {
    path: PathBuf,
    head_path: PathBuf,
    head: Opened,
    rotate_at: u64,
    /// How many bytes of old files are kept.
    keep: u64,
    current: Option<Opened>,
    /// The head as it was last read or written, and its bytes; none if it has to be read anew.
    known: (Head, Vec<u8>),
    /// When the open files were last seen to be those at their paths.
    checked: Option<Instant>,
    buffer: Vec<u8>,
}

/// A file beside what tells it from any other that comes to stand at its path.
#[derive(Debug)]
struct Opened {
    file: File,
    device_and_inode: (u64, u64),
}

impl Opened {
    /// Opens a regular file for its owner alone, without waiting for whatever else it may be.
    fn open(options: &mut OpenOptions, path: &Path) -> io::Result<Self> {
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file = options.mode(0o600).custom_flags(nonblocking).open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(Opened { file, device_and_inode: (found.dev(), found.ino()) })
    }

    fn is(&self, found: &Metadata) -> bool {
        self.device_and_inode == (found.dev(), found.ino())
    }
}

impl Chain {
    /// Opens the log at `path`, whose head is at `head`; both are made if they are not there. Of rotated files the
    /// newest are kept, `keep` bytes of all together.
    ///
    /// # Errors
    /// One of them cannot be opened, or is no regular file.
    pub fn open(path: &Path, head: &Path, keep: u64) -> anyhow::Result<Self> {
        for path in [path, head] {
            make_parent(path)?;
        }
        let rotate_at = ROTATE_AT.min(keep.checked_div(FILES_KEPT).unwrap_or_default()).max(1);
        let mut chain = Chain {
            path: path.to_owned(),
            head_path: head.to_owned(),
            head: open_head(head)?,
            rotate_at,
            keep,
            current: None,
            known: (Head::new(), Vec::new()),
            checked: None,
            buffer: Vec::new(),
        };
        chain.open_current(true).with_context(|| failed("open", path))?;
        Ok(chain)
    }

    /// Appends lines, all or none. Each of `bodies` is a JSON object without `seq` and `prev`; the line gets both.
    ///
    /// # Errors
    /// Nothing was appended.
    pub fn append<'b>(&mut self, bodies: impl Iterator<Item = &'b str>) -> Result<(), AppendError> {
        self.lock()?;
        let appended = self.append_locked(bodies);
        // An open file cannot fail to be unlocked.
        let _ = flock(&self.head.file, FlockOperation::Unlock);
        if appended.is_err() {
            // What is known of the files may be what failed.
            self.known.1.clear();
        }
        appended.map_err(AppendError::Failed)
    }

    /// The file that writers lock.
    pub(super) fn lock_inode(&self) -> u64 {
        self.head.device_and_inode.1
    }

    /// Locks the head, and makes sure that it is the one that everybody locks.
    fn lock(&mut self) -> Result<(), AppendError> {
        loop {
            match flock(&self.head.file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Err(AppendError::Busy),
                Err(error) => return Err(io::Error::from(error).into()),
            }
            let now = Instant::now();
            if self.checked.is_some_and(|at| now.saturating_duration_since(at) < TRUST) {
                return Ok(());
            }
            self.checked = None;
            self.known.1.clear();
            if std::fs::metadata(&self.head_path).is_ok_and(|found| self.head.is(&found)) {
                return Ok(());
            }
            self.head = open_head(&self.head_path)?;
        }
    }

    fn append_locked<'b>(&mut self, bodies: impl Iterator<Item = &'b str>) -> anyhow::Result<()> {
        let mut head = self.read_head()?;
        let found =
            if self.known.1.is_empty() { self.find_current(&mut head)? } else { head.length };
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        if found != head.length && rotated_path(&self.path, head.file_from).exists() {
            head.begin_file();
        }
        if found != head.length {
            self.take_up(&mut head, found, &mut buffer)?;
        }
        for body in bodies {
            link(&mut head, body, &mut buffer);
        }
        let written = self.write(&buffer, head.length);
        head.length = head.length.saturating_add(buffer.len() as u64);
        self.buffer = buffer;
        written?;
        if head.length >= self.rotate_at {
            self.rotate(&mut head)?;
        }
        self.write_head(head)
    }

    /// The head as it is kept. One that is missing or damaged is made anew from the newest line there is. If another
    /// has written since, nothing is known of the files.
    fn read_head(&mut self) -> anyhow::Result<Head> {
        let mut bytes = [0; HEAD_BYTES];
        let count = self.head.file.read_at(&mut bytes, 0).context("failed to read the head")?;
        let bytes = bytes.get(..count).unwrap_or_default();
        if !bytes.is_empty() && bytes == self.known.1 {
            return Ok(std::mem::take(&mut self.known.0));
        }
        self.known.1.clear();
        match Head::parse(bytes) {
            Ok(head) => Ok(head),
            Err(_) => self.recovered_head(),
        }
    }

    fn recovered_head(&self) -> anyhow::Result<Head> {
        let files = files(&self.path)?;
        let mut head = Head::new();
        if let Some(oldest) = files.first()
            && let Some(first) = first_link(oldest)?
        {
            head.kept_from = first.seq;
            head.kept_prev = first.prev;
        }
        for path in files.iter().rev() {
            let Opened { file, .. } = Opened::open(OpenOptions::new().read(true), path)?;
            if let Some((line, end)) = last_line(&file)? {
                let link = Link::of(&line).ok_or_else(|| {
                    anyhow!("`{}` does not end with a line of an audit log", path.display())
                })?;
                (head.seq, head.hash) = (link.seq, hash(&line));
                if *path == self.path {
                    head.length = end;
                    head.file_from = first_link(path)?.map_or(link.seq, |first| first.seq);
                } else {
                    head.file_from = link.seq.saturating_add(1);
                }
                break;
            }
        }
        Ok(head)
    }

    /// Makes sure that the open file is the one at the path; returns its length.
    fn find_current(&mut self, head: &mut Head) -> anyhow::Result<u64> {
        let failed = |path: &Path| failed("write", path);
        match std::fs::metadata(&self.path) {
            Ok(found) => {
                if !self.current.as_ref().is_some_and(|current| current.is(&found)) {
                    self.current = None;
                    self.open_current(false).with_context(|| failed(&self.path))?;
                }
                Ok(found.len())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Nothing was ever written; or somebody was killed between two steps of a rotation.
                if head.length > 0 {
                    if !rotated_path(&self.path, head.file_from).exists() {
                        return Err(anyhow!("it was removed or renamed"))
                            .with_context(|| failed(&self.path));
                    }
                    head.begin_file();
                }
                self.open_current(true).with_context(|| failed(&self.path))?;
                Ok(0)
            }
            Err(error) => Err(error).with_context(|| failed(&self.path)),
        }
    }

    /// The file is not as long as the head says. Whole lines that go on with the chain are taken up, a torn one is
    /// ended; the log is told of both. What else stands there stays, and does not belong to the chain.
    fn take_up(&self, head: &mut Head, found: u64, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
        let Some(current) = &self.current else { return Ok(()) };
        let mut recovered = Recovered { event: "recovered", lines: 0, torn_bytes: 0 };
        if let Some(behind) = found.checked_sub(head.length).filter(|behind| *behind <= ROTATE_AT) {
            let mut bytes = vec![0; usize::try_from(behind).unwrap_or_default()];
            current.file.read_exact_at(&mut bytes, head.length)?;
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                let Some(line) = line.strip_suffix(b"\n") else { break };
                let link = Link::of(line);
                let is_next = |link: &Link| {
                    link.prev == head.hash && Some(link.seq) == head.seq.checked_add(1)
                };
                if let Some(link) = link.filter(is_next) {
                    (head.seq, head.hash) = (link.seq, hash(line));
                    recovered.lines = recovered.lines.saturating_add(1);
                }
            }
            let torn = bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
            recovered.torn_bytes = torn.len() as u64;
        }
        head.length = found;
        let mut last = [b'\n'];
        if let Some(at) = found.checked_sub(1) {
            current.file.read_exact_at(&mut last, at)?;
        }
        if last != *b"\n" {
            buffer.push(b'\n');
        }
        if recovered.lines > 0 || recovered.torn_bytes > 0 {
            link(head, &serde_json::to_string(&recovered)?, buffer);
        }
        Ok(())
    }

    /// Writes `bytes` at the end, which is at `end`: all of them, or none.
    fn write(&self, bytes: &[u8], end: u64) -> anyhow::Result<()> {
        let named = || failed("write", &self.path);
        let Some(Opened { file, .. }) = &self.current else {
            return Err(anyhow!("it is not open")).with_context(named);
        };
        let mut file = file;
        let written = match file.write(bytes) {
            Ok(count) if count == bytes.len() => return Ok(()),
            Ok(_) => Errno::NOSPC.into(),
            Err(error) => error,
        };
        // A piece of a line must not stay; if it does, whoever appends next sees it.
        let _ = file.set_len(end);
        Err(written).with_context(named)
    }

    fn write_head(&mut self, head: Head) -> anyhow::Result<()> {
        let mut bytes = std::mem::take(&mut self.known.1);
        let is_checked = !bytes.is_empty();
        bytes.clear();
        head.write(&mut bytes);
        bytes.resize(HEAD_BYTES.saturating_sub(1), b' ');
        bytes.push(b'\n');
        let named = || failed("write", &self.head_path);
        self.head.file.write_all_at(&bytes, 0).with_context(named)?;
        self.known = (head, bytes);
        if !is_checked {
            self.checked = Some(Instant::now());
        }
        Ok(())
    }

    /// Begins a new file, and drops old ones that are beyond what is kept.
    fn rotate(&mut self, head: &mut Head) -> anyhow::Result<()> {
        let rotated = rotated_path(&self.path, head.file_from);
        renameat_with(CWD, &self.path, CWD, rotated, RenameFlags::NOREPLACE)
            .map_err(io::Error::from)
            .with_context(|| failed("rotate", &self.path))?;
        head.begin_file();
        self.current = None;
        self.open_current(true).with_context(|| failed("rotate", &self.path))?;
        let mut old = rotated_files(&self.path)?;
        let mut kept = 0_u64;
        // From the newest back, with room for the current file.
        let keep = self.keep.saturating_sub(self.rotate_at);
        while let Some(path) = old.pop() {
            kept = kept.saturating_add(std::fs::metadata(&path).map_or(0, |found| found.len()));
            if kept <= keep {
                continue;
            }
            for gone in old.drain(..).chain([path]) {
                std::fs::remove_file(&gone).with_context(|| failed("remove", &gone))?;
            }
        }
        let oldest = rotated_files(&self.path)?.into_iter().next();
        let first = oldest.map(|path| first_link(&path)).transpose()?.flatten();
        (head.kept_from, head.kept_prev) = match first {
            Some(link) => (link.seq, link.prev),
            None => (head.file_from, head.hash.clone()),
        };
        Ok(())
    }

    fn open_current(&mut self, create: bool) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let opened = Opened::open(options.read(true).append(true).create(create), &self.path)?;
        self.current = Some(opened);
        Ok(())
    }
}

/// What was found behind the head.
#[derive(Serialize)]
struct Recovered {
    event: &'static str,
    /// Whole lines of a process that was killed before it could write the head.
    lines: u64,
    /// How much of a last line there was, if it was torn.
    torn_bytes: u64,
}

/// What binds a line to the one before it.
#[derive(Debug, Clone, Deserialize)]
pub struct Link {
    /// The number of the line, from 1 on.
    pub seq: u64,
    /// The hash of the line before it.
    pub prev: String,
}

impl Link {
    /// Reads the link of a line, if it has one.
    #[must_use]
    pub fn of(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

/// Adds a line for `body` to `buffer`, and moves `head` on to it; its length stays.
fn link(head: &mut Head, body: &str, buffer: &mut Vec<u8>) {
    let begin = buffer.len();
    head.seq = head.seq.saturating_add(1);
    // Neither a string nor a vector has a way to fail.
    let _ = write!(buffer, r#"{{"seq":{},"prev":"{}","#, head.seq, head.hash);
    buffer.extend_from_slice(body.strip_prefix('{').unwrap_or(body).as_bytes());
    head.hash = hash(buffer.get(begin..).unwrap_or_default());
    buffer.push(b'\n');
}

/// The hash of a line, given without its line feed, in hexadecimal.
#[must_use]
pub fn hash(line: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).map(|digit| char::from(*digit));
    let digest = Sha256::digest(line);
    digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).flatten().collect()
}

/// The files of the log at `path` that are there, oldest first.
///
/// # Errors
/// The directory cannot be read.
pub fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = rotated_files(path)?;
    if path.exists() {
        files.push(path.to_owned());
    }
    Ok(files)
}

fn rotated_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let directory = parent(path);
    let named = || failed("read directory", directory);
    let mut rotated = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(named)? {
        let found = entry.with_context(named)?.path();
        rotated.extend(rotated_from(path, &found).map(|from| (from, found)));
    }
    rotated.sort_unstable();
    Ok(rotated.into_iter().map(|(_, path)| path).collect())
}

/// Where a file goes whose first line has this `seq`.
fn rotated_path(path: &Path, from: u64) -> PathBuf {
    let extension = path.extension().map(|end| format!(".{}", end.to_string_lossy()));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}.{from:012}{}", extension.unwrap_or_default()))
}

/// The `seq` of the first line of `found`, if it is a rotated file of the log at `path`.
fn rotated_from(path: &Path, found: &Path) -> Option<u64> {
    let (_, number) = found.file_stem()?.to_str()?.rsplit_once('.')?;
    let from = number.parse().ok()?;
    (number.len() >= 12 && rotated_path(path, from).file_name() == found.file_name())
        .then_some(from)
}

fn first_link(path: &Path) -> anyhow::Result<Option<Link>> {
    use std::io::BufRead as _;
    let Opened { file, .. } = Opened::open(OpenOptions::new().read(true), path)?;
    let mut line = Vec::new();
    io::BufReader::new(file).read_until(b'\n', &mut line)?;
    Ok(line.strip_suffix(b"\n").and_then(Link::of))
}

/// The last whole line of a file without its line feed, and where it ends.
fn last_line(file: &File) -> anyhow::Result<Option<(Vec<u8>, u64)>> {
    const PIECE: u64 = 64 * 1024;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    let mut from = length;
    while from > 0 {
        let start = from.saturating_sub(PIECE);
        let mut piece = vec![0; usize::try_from(from.saturating_sub(start))?];
        file.read_exact_at(&mut piece, start)?;
        piece.append(&mut bytes);
        bytes = piece;
        from = start;
        let Some(end) = memchr::memrchr(b'\n', &bytes) else { continue };
        let before = bytes.get(..end).unwrap_or_default();
        let begin = memchr::memrchr(b'\n', before).map(|newline| newline.saturating_add(1));
        if begin.is_some() || from == 0 {
            let line = bytes.get(begin.unwrap_or(0)..end).unwrap_or_default().to_vec();
            return Ok(Some((line, from.saturating_add(end as u64).saturating_add(1))));
        }
    }
    Ok(None)
}

fn open_head(path: &Path) -> anyhow::Result<Opened> {
    Opened::open(OpenOptions::new().read(true).write(true).create(true), path)
        .with_context(|| failed("open", path))
}

fn failed(verb: &str, path: &Path) -> String {
    format!("failed to {verb} `{}`", path.display())
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != "").unwrap_or(Path::new("."))
}

/// Makes the directory of a file, for its owner alone.
fn make_parent(path: &Path) -> anyhow::Result<()> {
    let directory = parent(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| failed("create directory", directory))
}
