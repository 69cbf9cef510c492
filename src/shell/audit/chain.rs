//! The chain of an audit log (contract S4): each line carries the hash of the one before, over several files and several
//! writing processes.
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
//! A writer locks the head for a few microseconds: it reads the head, writes its lines in one write, then writes the
//! head. A process that is killed in between leaves lines behind the head, or a torn line; the next writer adds the whole
//! lines to the chain, ends a torn one, and records both. A file is rotated before lines are written, while the head
//! describes it, and old files are removed once the head no longer counts on them: a kill at any point leaves nothing
//! that looks like removed lines.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, anyhow, bail};

use super::files::{OpenedFile, failed, make_parent, rotated_files, rotated_path};
use super::head::{HEAD_BYTES, Head, HeadTrouble, Recovered, take_up_line};
use super::reader::{Forward, first_link, head_fits, newest_line};
use crate::shell::os::{self, Lock};

/// A file is rotated at this length in bytes …
const ROTATE_AT: u64 = 64 * 1024 * 1024;
/// … or sooner, so that what is kept is a few files at least.
const FILES_KEPT: u64 = 4;
/// Records of anything but calls that went out may fill one in so many bytes of a file.
const OTHER_SHARE: u64 = 2;
/// How long the open files count as those at their paths, if no other process has written since.
const TRUST: Duration = Duration::from_millis(10);
/// How long the start waits for others to release the log.
const START_PATIENCE: Duration = Duration::from_secs(1);
/// Interval at which a writer confirms its `keep` in the head …
const CONFIRM: Duration = Duration::from_mins(10);
/// … and how long an unconfirmed one counts, in seconds: its writer was killed, or has ended.
const CONFIRMED: u64 = 3600;
/// About how many bytes `prev`, `seq` and a line feed add to a body.
const LINK_BYTES: u64 = 96;

/// Why lines were not appended.
#[derive(Debug)]
pub enum AppendError {
    /// Another process is appending: try again at once.
    Busy,
    /// The log cannot be written.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for AppendError {
    fn from(error: E) -> Self {
        AppendError::Failed(error.into())
    }
}

/// A line to append.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'b> {
    /// A JSON object without `seq` and `prev`.
    pub body: &'b str,
    /// True for a record of anything but a call that went out: it has to fit into those records' part of the file.
    pub is_other: bool,
}

/// A chain that is open for appending.
#[derive(Debug)]
pub struct Chain {
    path: PathBuf,
    head_path: PathBuf,
    head: OpenedFile,
    /// A copy of the head in the state directory, if the head lies elsewhere.
    witness: Option<File>,
    rotate_at: u64,
    /// How many bytes of old files are kept.
    keep: u64,
    /// A log whose size counts against `keep` as well.
    beside: Option<PathBuf>,
    /// When `keep` was last confirmed in the head.
    confirmed: Option<Instant>,
    current: Option<OpenedFile>,
    /// The head as it was last read or written.
    seen: Head,
    /// Its bytes; empty if it has to be read again.
    known: Vec<u8>,
    /// When the open files were last seen to be those at their paths.
    checked: Option<Instant>,
    buffer: Vec<u8>,
    /// The head was seen to belong to the log.
    fits: bool,
    trouble: Option<anyhow::Error>,
}

impl Chain {
    /// Opens the log at `path`, whose head is at `head`; both are made if they are not there. Of rotated files the
    /// newest are kept, `keep` bytes of all together.
    ///
    /// # Errors
    /// One of them cannot be opened, or is no regular file; or the file is something else than a log.
    pub fn open(path: &Path, head: &Path, keep: u64) -> anyhow::Result<Self> {
        for path in [path, head] {
            make_parent(path)?;
        }
        let has_content = std::fs::metadata(path).is_ok_and(|found| found.len() > 0);
        if has_content && !head.exists() && first_link(path)?.is_none() {
            // Somebody's file that was mistaken for one must not be written to.
            bail!("`{}` is not an audit log", path.display());
        }
        let mut chain = Chain {
            path: path.to_owned(),
            head_path: head.to_owned(),
            head: open_head(head)?,
            witness: None,
            rotate_at: rotate_at(keep),
            keep,
            beside: None,
            confirmed: None,
            current: None,
            seen: Head::default(),
            known: Vec::new(),
            checked: None,
            buffer: Vec::new(),
            fits: false,
            trouble: None,
        };
        chain.open_current(true).with_context(|| failed("open", path))?;
        for (opened, path) in [(chain.current.as_ref(), path), (Some(&chain.head), head)] {
            if opened.is_some_and(OpenedFile::has_other_names) {
                // Under its other name a log would have another head.
                bail!("`{}` has another name as well (a hard link)", path.display());
            }
        }
        chain.check_head_at_start()?;
        Ok(chain)
    }

    /// Makes sure that the head belongs to the log. If others hold the lock for long, the first lines that are appended
    /// do it.
    fn check_head_at_start(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let checked = self.lock().and_then(|()| {
                let checked = self.check_head();
                self.unlock();
                checked.map_err(AppendError::Failed)
            });
            match checked {
                Err(AppendError::Busy) if begun.elapsed() < START_PATIENCE => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(AppendError::Failed(error)) => return Err(error),
                Ok(()) | Err(AppendError::Busy) => return Ok(()),
            }
        }
    }

    /// Refuses the head of another log: lines that are bound to it would break the chain. Holds the lock.
    fn check_head(&mut self) -> anyhow::Result<()> {
        if self.fits {
            return Ok(());
        }
        let mut bytes = [0; HEAD_BYTES];
        let count =
            os::read_at(&self.head.file, &mut bytes, 0).context("failed to read the head")?;
        // One that is missing or damaged is made anew.
        if let Ok(head) = Head::parse(bytes.get(..count).unwrap_or_default())
            && self.path.exists()
            && !head_fits(&head, &self.path)?
        {
            let (head, log) = (self.head_path.display(), self.path.display());
            bail!("`{head}` is not the head of `{log}`: it notes a line that is not there");
        }
        self.fits = true;
        Ok(())
    }

    fn unlock(&self) {
        os::unlock(&self.head.file);
    }

    /// Keeps a copy of the head at `witness`, for whoever asks later whether log and head were changed together
    /// (contract S4: the head is kept in the state directory).
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn witnessed_at(mut self, witness: &Path) -> anyhow::Result<Self> {
        make_parent(witness)?;
        self.witness = Some(open_head(witness)?.file);
        Ok(self)
    }

    /// Counts the size of the log at `path` against this one's `keep`.
    #[must_use]
    pub fn beside(mut self, path: PathBuf) -> Self {
        self.beside = Some(path);
        self
    }

    /// Appends lines, all or none. Each of `bodies` is a JSON object without `seq` and `prev`; the line gets both.
    ///
    /// # Errors
    /// Nothing was appended.
    pub fn append<'b>(&mut self, bodies: impl Iterator<Item = &'b str>) -> Result<(), AppendError> {
        let drafts = bodies.map(|body| Draft { body, is_other: false });
        self.append_within(drafts, &mut Vec::new())
    }

    /// Appends lines, all or none but those that find no room: their places are added to `left_out`. Records of
    /// anything but calls that went out may fill half of a file, so that they never rotate one (contract S3).
    ///
    /// # Errors
    /// Nothing was appended.
    pub fn append_within<'b>(
        &mut self,
        drafts: impl Iterator<Item = Draft<'b>>,
        left_out: &mut Vec<usize>,
    ) -> Result<(), AppendError> {
        self.lock()?;
        left_out.clear();
        let appended = self.check_head().and_then(|()| self.append_locked(drafts, left_out));
        self.unlock();
        if appended.is_err() {
            // What is known of the files may be what failed.
            self.known.clear();
            self.checked = None;
        }
        appended.map_err(AppendError::Failed)
    }

    /// Takes an error that did not keep lines from being appended: a file that cannot be rotated or removed.
    pub fn take_trouble(&mut self) -> Option<anyhow::Error> {
        self.trouble.take()
    }

    /// When to append next, even if there is nothing to append, so that `keep` is confirmed.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.confirmed.and_then(|at| at.checked_add(CONFIRM))
    }

    /// The file that writers lock.
    pub(super) fn lock_inode(&self) -> u64 {
        self.head.inode()
    }

    /// Locks the head, and makes sure that it is the file at its path.
    fn lock(&mut self) -> Result<(), AppendError> {
        loop {
            if !os::try_lock(&self.head.file, Lock::Exclusive)? {
                return Err(AppendError::Busy);
            }
            let now = Instant::now();
            if self.checked.is_some_and(|at| now.saturating_duration_since(at) < TRUST) {
                return Ok(());
            }
            self.checked = None;
            self.known.clear();
            if self.head.is_at(&self.head_path) {
                return Ok(());
            }
            self.head = open_head(&self.head_path)?;
        }
    }

    fn append_locked<'b>(
        &mut self,
        drafts: impl Iterator<Item = Draft<'b>>,
        left_out: &mut Vec<usize>,
    ) -> anyhow::Result<()> {
        let (mut head, trouble) = self.read_head()?;
        let found = self.find_current(&mut head)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut recovered = Recovered { head: trouble, ..Recovered::default() };
        if found != head.length {
            self.take_up(&mut head, found, &mut recovered, &mut buffer)?;
        } else if head.length >= self.rotate_at {
            // Who wants more to be kept wants longer files as well.
            let keep = self.keep.max(confirmed_keep(&head));
            if head.length >= rotate_at(keep) {
                self.rotate(&mut head, keep)?;
            }
        }
        self.confirm_keep(&mut head);
        if let Some(body) = recovered.body() {
            head.link(&body, &mut buffer);
        }
        let room = self.rotate_at.checked_div(OTHER_SHARE).unwrap_or_default();
        for (place, Draft { body, is_other }) in drafts.enumerate() {
            if is_other {
                let sum = head.other.saturating_add(LINK_BYTES).saturating_add(body.len() as u64);
                if sum > room {
                    left_out.push(place);
                    continue;
                }
                head.other = sum;
            }
            head.link(body, &mut buffer);
        }
        let end = head.length;
        let written = self.write(&buffer, end);
        head.length = end.saturating_add(buffer.len() as u64);
        self.buffer = buffer;
        written?;
        self.write_head(head).inspect_err(|_| self.cut(end))
    }

    /// Confirms `keep` in the head, unless another writer wants more.
    fn confirm_keep(&mut self, head: &mut Head) {
        let is_recent = self.confirmed.is_some_and(|at| at.elapsed() < CONFIRM);
        // Who has nothing to say of it keeps everything, and binds nobody.
        if self.keep == u64::MAX || is_recent && head.keep >= self.keep {
            return;
        }
        self.confirmed = Some(Instant::now());
        if confirmed_keep(head) <= self.keep {
            (head.keep, head.keep_at) = (self.keep, seconds_now());
        }
    }

    /// Reads the head. A missing or damaged one is restored from the newest line, but never to before what was seen
    /// already. If another process has written since, the open files have to be checked again.
    fn read_head(&mut self) -> anyhow::Result<(Head, Option<HeadTrouble>)> {
        let mut bytes = [0; HEAD_BYTES];
        let count =
            os::read_at(&self.head.file, &mut bytes, 0).context("failed to read the head")?;
        let bytes = bytes.get(..count).unwrap_or_default();
        if !bytes.is_empty() && bytes == self.known {
            return Ok((self.seen, None));
        }
        self.known.clear();
        let (head, trouble) = match Head::parse(bytes) {
            Ok(head) => (head, None),
            Err(_) if bytes.is_empty() => (self.recovered_head()?, Some(HeadTrouble::Missing)),
            Err(_) => (self.recovered_head()?, Some(HeadTrouble::Damaged)),
        };
        if head.seq < self.seen.seq {
            return Ok((self.seen, trouble.or(Some(HeadTrouble::SetBack))));
        }
        if trouble == Some(HeadTrouble::Missing) && head == Head::default() {
            // A head that is missing later was removed, then, and is not what somebody left who was killed.
            self.write_head(head)?;
            self.known.clear();
            self.checked = None;
            return Ok((head, None));
        }
        Ok((head, trouble))
    }

    fn recovered_head(&self) -> anyhow::Result<Head> {
        let rotated = rotated_files(&self.path)?;
        let current = self.path.exists().then_some(&self.path);
        let files: Vec<&PathBuf> = rotated.iter().map(|(_, path)| path).chain(current).collect();
        let mut head = Head::default();
        if let Some(oldest) = files.first()
            && let Some(first) = first_link(oldest)?
        {
            head.kept_from = first.seq;
            head.kept_prev = first.prev;
        }
        for path in files.into_iter().rev() {
            if let Some((link, hash, end)) = newest_line(path)? {
                (head.seq, head.hash) = (link.seq, hash);
                head.begin_file();
                if *path == self.path {
                    head.length = end;
                    head.file_from = first_link(path)?.map_or(link.seq, |first| first.seq);
                }
                break;
            }
        }
        Ok(head)
    }

    /// Makes sure that the open file is the one at the path; returns its length.
    fn find_current(&mut self, head: &mut Head) -> anyhow::Result<u64> {
        if !self.known.is_empty()
            && let Some(length) = self.current.as_ref().and_then(OpenedFile::length)
        {
            return Ok(length);
        }
        self.known.clear();
        let failed = |path: &Path| failed("write", path);
        let was_rotated = || rotated_path(&self.path, head.file_from).exists();
        match std::fs::metadata(&self.path) {
            Ok(found) => {
                if found.len() != head.length && was_rotated() {
                    // Somebody was killed between two steps of a rotation.
                    head.begin_file();
                }
                if !self.current.as_ref().is_some_and(|current| current.is(&found)) {
                    self.current = None;
                    self.open_current(false).with_context(|| failed(&self.path))?;
                }
                Ok(found.len())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Nothing was ever written; or, again, somebody was killed.
                if head.length > 0 {
                    if !was_rotated() {
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

    /// Handles a file that is not as long as the head says: adds whole lines that continue the chain, ends a torn one,
    /// and notes both to be recorded. Anything else stays in the file, outside the chain.
    fn take_up(
        &self,
        head: &mut Head,
        found: u64,
        recovered: &mut Recovered,
        buffer: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        let Some(OpenedFile { file, .. }) = &self.current else { return Ok(()) };
        recovered.missing_bytes = head.length.saturating_sub(found);
        let mut lines = Forward::new(head.length, found);
        while let Some(line) = lines.next(file)? {
            take_up_line(head, line.bytes, line.is_whole(), recovered);
        }
        if let Some(line) = lines.tail() {
            // A line that lacks its line feed only is whole.
            take_up_line(head, line.bytes, line.is_whole(), recovered);
        }
        head.length = found;
        let mut last = [b'\n'];
        if let Some(at) = found.checked_sub(1) {
            os::read_exact_at(file, &mut last, at)?;
        }
        if last != *b"\n" {
            buffer.push(b'\n');
        }
        Ok(())
    }

    /// Writes `bytes` at the end, which is at `end`: all of them, or none.
    fn write(&self, bytes: &[u8], end: u64) -> anyhow::Result<()> {
        let named = || failed("write", &self.path);
        let Some(OpenedFile { file, .. }) = &self.current else {
            return Err(anyhow!("it is not open")).with_context(named);
        };
        let mut file = file;
        let written = match file.write(bytes) {
            Ok(count) if count == bytes.len() => return Ok(()),
            Ok(_) => os::no_space(),
            Err(error) => error,
        };
        self.cut(end);
        Err(written).with_context(named)
    }

    /// Removes a piece of a line, or lines that count as not written. If that fails, the next writer handles them.
    fn cut(&self, end: u64) {
        let _ = self.current.as_ref().map(|current| current.file.set_len(end));
    }

    fn write_head(&mut self, head: Head) -> anyhow::Result<()> {
        let is_checked = !self.known.is_empty();
        head.write(&mut self.known);
        let named = || failed("write", &self.head_path);
        os::write_all_at(&self.head.file, &self.known, 0).with_context(named)?;
        if let Some(witness) = &self.witness
            && let Err(error) = os::write_all_at(witness, &self.known, 0)
        {
            let what = "failed to keep a copy of the head in the state directory";
            self.trouble = Some(anyhow::Error::new(error).context(what));
        }
        self.seen = head;
        if !is_checked {
            self.checked = Some(Instant::now());
        }
        Ok(())
    }

    /// Begins a new file, and removes old ones beyond `keep`. A file that cannot be rotated keeps growing.
    ///
    /// The head is written before any file is removed, so that it describes the files at every moment.
    fn rotate(&mut self, head: &mut Head, keep: u64) -> anyhow::Result<()> {
        let named = || failed("rotate", &self.path);
        if let Err(error) = os::rename_to_new(&self.path, &rotated_path(&self.path, head.file_from))
        {
            self.trouble = Some(anyhow::Error::new(error).context(named()));
            return Ok(());
        }
        head.begin_file();
        self.current = None;
        self.open_current(true).with_context(|| failed("rotate", &self.path))?;
        match self.beyond_keep(head, keep) {
            Ok(gone) => {
                self.write_head(*head)?;
                for path in gone {
                    if let Err(error) = std::fs::remove_file(&path) {
                        let failed = failed("remove", &path);
                        self.trouble = Some(anyhow::Error::new(error).context(failed));
                    }
                }
            }
            Err(error) => self.trouble = Some(error),
        }
        Ok(())
    }

    /// The rotated files that are beyond what is kept, oldest first; the head notes the first line behind them.
    fn beyond_keep(&self, head: &mut Head, keep: u64) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = rotated_files(&self.path)?;
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
        // From the newest back, with room for the current file and the log beside this one.
        let mut keep = keep.saturating_sub(rotate_at(keep));
        if let Some(beside) = &self.beside {
            let rotated = rotated_files(beside)?.into_iter().map(|(_, path)| path);
            let taken = rotated.chain([beside.clone()]).map(|path| length(&path)).sum();
            keep = keep.saturating_sub(taken);
        }
        let mut sum = 0_u64;
        let is_kept = |(_, path): &&(u64, PathBuf)| {
            sum = sum.saturating_add(length(path));
            sum <= keep
        };
        let kept = files.iter().rev().take_while(is_kept).count();
        let kept = files.split_off(files.len().saturating_sub(kept));
        if !files.is_empty() {
            match kept.first() {
                None => (head.kept_from, head.kept_prev) = (head.file_from, head.hash),
                // A first line that is not what its file is named after is for `verify` to find.
                Some((from, path)) => {
                    if let Some(first) = first_link(path)?.filter(|first| first.seq == *from) {
                        (head.kept_from, head.kept_prev) = (first.seq, first.prev);
                    }
                }
            }
        }
        Ok(files.into_iter().map(|(_, path)| path).collect())
    }

    fn open_current(&mut self, create: bool) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let opened = OpenedFile::open(options.read(true).append(true).create(create), &self.path)?;
        self.current = Some(opened);
        Ok(())
    }
}

/// The length at which a file is rotated.
fn rotate_at(keep: u64) -> u64 {
    ROTATE_AT.min(keep.checked_div(FILES_KEPT).unwrap_or_default()).max(1)
}

/// The largest `keep` that the writers of the log have confirmed recently.
fn confirmed_keep(head: &Head) -> u64 {
    let age = seconds_now().abs_diff(head.keep_at);
    if age <= CONFIRMED { head.keep } else { 0 }
}

fn seconds_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Opens the head. A symbolic link is refused: it could lead to any other file, which would be overwritten.
fn open_head(path: &Path) -> anyhow::Result<OpenedFile> {
    OpenedFile::open_itself(OpenOptions::new().read(true).write(true).create(true), path)
        .with_context(|| failed("open", path))
}
