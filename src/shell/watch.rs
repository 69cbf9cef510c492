//! Watches the policy file while a session runs, and compiles it when it has changed (contract W7).
//!
//! ```text
//!   directory ── events ──►  ┌─────────────┐
//!                            │ the watcher │── WatchReport ──► the loop, which hands a new policy to the session
//!   the loop ── "look!" ──►  └─────────────┘
//! ```
//!
//! The watcher is a thread: it looks and reads, so that the loop never waits for a file. Events come from every
//! directory in which a step of the path can be exchanged. They may be missing, as on network mounts. So the loop asks
//! now and then when the client sends a line, and the line waits for the report. Usually the watcher only compares the
//! file's [`FileStamp`].
//!
//! A file that has changed is compiled on a thread of its own, one at a time. The watcher goes on meanwhile: a newer
//! version ends the compiling of the older one, and a line of the client waits for `COMPILE_WAIT` at most.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::file::{self, FileStamp};
use super::os::{self, FileId};
use crate::engine::policy::Policy;

/// The least time between two questions of the loop.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// An editor's several steps are one change: the file is read once nothing has happened for so long …
const QUIET: Duration = Duration::from_millis(25);
/// … but at the latest so long after the first step.
const BURST: Duration = Duration::from_millis(100);
/// A bad file may be half written: it is rejected once it has been bad for so long.
const DOUBT: Duration = Duration::from_millis(200);
/// Delay of the watch, so that it does not slow the start down. It finds what has changed since.
const HEAD_START: Duration = Duration::from_millis(50);
/// How long a line of the client waits for a policy that is being compiled; then the policy in force decides (contract W7).
const COMPILE_WAIT: Duration = Duration::from_secs(1);
/// The most symbolic links in one path, as in the kernel.
const MAX_LINKS: usize = 40;

/// A policy as it was read.
#[derive(Debug)]
pub struct LoadedPolicy {
    /// The policy.
    pub policy: Policy,
    /// The hash of its file, in hexadecimal.
    pub sha256: String,
}

/// Makes a value of the content of the file at a path, or an error message. It asks now and then whether the content is
/// stale: then its result is not used.
pub type Load<T> = fn(&Path, &[u8], &dyn Fn() -> bool) -> anyhow::Result<T>;

/// What has become of the file since the last report.
#[derive(Debug)]
pub enum FileChange<T> {
    /// The file has changed: its new value.
    New(T),
    /// The file cannot be used; the version before it stays in force.
    Rejected(anyhow::Error),
    /// There are no events: changes are seen only when the client sends a line.
    Unwatched(anyhow::Error),
    /// The file has changed and takes over a second to compile; the version before it stays in force until then.
    Slow,
    /// Nothing new.
    Nothing,
}

/// Why the watcher looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LookCause {
    Event,
    Asked,
    /// A compilation has ended.
    Compiled,
}

/// A message of the watcher to the loop.
#[derive(Debug)]
pub struct WatchReport<T> {
    /// What has changed.
    pub change: FileChange<T>,
    /// It answers a question of the loop.
    asked: bool,
}

/// The loop's end of the watch.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    looks: Sender<LookCause>,
    next_question: Instant,
    /// A question of the loop is not answered yet.
    asked: bool,
}

impl Watch {
    /// Watches the file at `path`, which errors call `what`. `content` has been loaded already. Reports go to `tell`
    /// until it returns false.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new<T: Send + 'static>(
        what: &'static str,
        path: PathBuf,
        content: Vec<u8>,
        load: Load<T>,
        tell: impl FnMut(WatchReport<T>) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let (looks, wanted) = channel();
        let watcher = Watcher {
            what,
            path: path.clone(),
            load,
            content,
            stamp: None,
            compiling: None,
            next: None,
            owes: false,
            told: None,
            bad_since: None,
            events: Events { looks: looks.clone(), noticed: Arc::default() },
            sight: PathWatch::NotYet,
            tell,
        };
        // The thread ends with the process.
        let thread = std::thread::Builder::new().name("policy".to_owned());
        thread.spawn(move || watcher.run(&wanted))?;
        let next_question = after(Instant::now(), ASK_EVERY);
        Ok(Watch { path, looks, next_question, asked: false })
    }

    /// The file that is watched.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// To be called before a line of the client is decided: asks whether the file has changed, unless that was asked a
    /// moment ago. True if the line has to wait for the answer.
    pub fn must_wait(&mut self, now: Instant) -> bool {
        if !self.asked && now >= self.next_question {
            self.next_question = after(now, ASK_EVERY);
            self.asked = self.looks.send(LookCause::Asked).is_ok();
        }
        self.asked
    }

    /// True while lines of the client have to wait.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked
    }

    /// Takes note of a report.
    pub fn take_note<T>(&mut self, report: &WatchReport<T>) {
        self.asked &= !report.asked;
    }
}

/// The thread's end of the watch.
struct Watcher<T, F: FnMut(WatchReport<T>) -> bool> {
    what: &'static str,
    path: PathBuf,
    load: Load<T>,
    /// The last good version.
    content: Vec<u8>,
    /// The file's stamp when it was read last, unless it was too young to prove anything.
    stamp: Option<FileStamp>,
    /// What is being compiled.
    compiling: Option<Compiling<T>>,
    /// A newer version, which is compiled next.
    next: Option<Vec<u8>>,
    /// The loop has asked and has had no answer.
    owes: bool,
    /// The error that was reported last, unless a good version came after it.
    told: Option<String>,
    /// When the file was first found bad, unless that was reported or it became good.
    bad_since: Option<Instant>,
    events: Events,
    sight: PathWatch,
    tell: F,
}

/// A version of the file that is being compiled.
struct Compiling<T> {
    content: Arc<Vec<u8>>,
    /// Set once there is a newer version.
    is_stale: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<T>>,
    /// When lines of the client stop waiting.
    patience_ends: Instant,
    /// It was reported that this takes long.
    is_slow: bool,
}

/// Whether events tell of changes.
enum PathWatch {
    NotYet,
    Of(Surroundings),
    Blind,
}

impl<T: Send + 'static, F: FnMut(WatchReport<T>) -> bool> Watcher<T, F> {
    fn run(mut self, wanted: &Receiver<LookCause>) {
        let mut due = Some(after(Instant::now(), HEAD_START));
        let mut burst_ends = None;
        loop {
            let wake = [due, self.patience_ends()].into_iter().flatten().min();
            let wait = wake.map(|wake| wake.saturating_duration_since(Instant::now()));
            let look = match wait {
                Some(wait) => wanted.recv_timeout(wait),
                None => wanted.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let now = Instant::now();
            let goes_on = match look {
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(LookCause::Event) => {
                    self.events.noticed.store(false, Ordering::Release);
                    let end = *burst_ends.get_or_insert(after(now, BURST));
                    due = Some(after(now, QUIET).min(end));
                    true
                }
                Ok(LookCause::Compiled) => {
                    let (found, again) = self.take_compiled(now);
                    due = due.or(again);
                    self.tell(found, now)
                }
                Ok(LookCause::Asked) if self.is_unchanged() => {
                    self.owes = true;
                    true
                }
                Err(RecvTimeoutError::Timeout) if due.is_none_or(|due| now < due) => {
                    self.lose_patience(now)
                }
                Ok(LookCause::Asked) | Err(RecvTimeoutError::Timeout) => {
                    self.owes |= look == Ok(LookCause::Asked);
                    burst_ends = None;
                    self.keep_in_sight();
                    let (found, again) = self.look(now);
                    due = again;
                    self.tell(found, now)
                }
            };
            if !goes_on || !self.tell(FileChange::Nothing, now) {
                return;
            }
        }
    }

    /// True if the file is the one that was read last.
    fn is_unchanged(&self) -> bool {
        let stamp = FileStamp::of(&self.path);
        stamp.is_some() && stamp == self.stamp
    }

    /// Reports a change, and lets the client go on unless it waits for more. False if nobody listens.
    fn tell(&mut self, change: FileChange<T>, now: Instant) -> bool {
        let waits = self.compiling.as_ref().is_some_and(|compiling| now < compiling.patience_ends);
        let asked = self.owes && (!waits || matches!(change, FileChange::New(_)));
        if !asked && matches!(change, FileChange::Nothing) {
            return true;
        }
        self.owes &= !asked;
        (self.tell)(WatchReport { change, asked })
    }

    /// When it is to be reported that compiling takes long.
    fn patience_ends(&self) -> Option<Instant> {
        let compiling = self.compiling.as_ref().filter(|compiling| !compiling.is_slow)?;
        Some(compiling.patience_ends)
    }

    fn lose_patience(&mut self, now: Instant) -> bool {
        let Some(compiling) = self.compiling.as_mut().filter(|compiling| !compiling.is_slow) else {
            return true;
        };
        if now < compiling.patience_ends {
            return true;
        }
        compiling.is_slow = true;
        self.tell(FileChange::Slow, now)
    }

    /// Reads the file, and has it compiled if it has changed. Returns what to report now, and when to look again.
    fn look(&mut self, now: Instant) -> (FileChange<T>, Option<Instant>) {
        let stamp = FileStamp::of(&self.path);
        self.stamp = stamp.filter(|stamp| !stamp.is_young());
        let read = file::read(self.what, &self.path);
        if FileStamp::of(&self.path) != stamp {
            // The file was written while it was read.
            return (FileChange::Nothing, Some(after(now, QUIET)));
        }
        let content = match read {
            Ok(content) => content,
            Err(error) => {
                self.end_compiling();
                return self.doubt(error, now);
            }
        };
        if self.told.is_none() && content == self.content {
            self.end_compiling();
            self.bad_since = None;
            return (FileChange::Nothing, None);
        }
        let current = self.compiling.as_ref().filter(|_| self.next.is_none());
        if current.is_some_and(|compiling| {
            !compiling.is_stale.load(Ordering::Relaxed) && *compiling.content == content
        }) {
            return (FileChange::Nothing, None);
        }
        self.end_compiling();
        self.next = Some(content);
        self.compile_next(now)
    }

    /// Marks what is being compiled as out of date.
    fn end_compiling(&mut self) {
        self.next = None;
        if let Some(compiling) = &self.compiling {
            compiling.is_stale.store(true, Ordering::Relaxed);
        }
    }

    /// Begins to compile the next version, unless an older one is being compiled.
    fn compile_next(&mut self, now: Instant) -> (FileChange<T>, Option<Instant>) {
        if self.compiling.is_some() {
            return (FileChange::Nothing, None);
        }
        let Some(content) = self.next.take() else { return (FileChange::Nothing, None) };
        let content = Arc::new(content);
        let is_stale = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("compile".to_owned()).spawn({
            let (path, load, looks) = (self.path.clone(), self.load, self.events.looks.clone());
            let (content, is_stale) = (Arc::clone(&content), Arc::clone(&is_stale));
            move || {
                let loaded = load(&path, &content, &|| is_stale.load(Ordering::Relaxed));
                // Nobody listens: the session is over.
                let _ = looks.send(LookCause::Compiled);
                loaded
            }
        });
        match thread {
            Ok(thread) => {
                let patience_ends = after(now, COMPILE_WAIT);
                let compiling =
                    Compiling { content, is_stale, thread, patience_ends, is_slow: false };
                self.compiling = Some(compiling);
                (FileChange::Nothing, None)
            }
            Err(error) => self.doubt(anyhow::Error::new(error), now),
        }
    }

    /// Takes what was compiled, unless it is out of date. Returns what [`Watcher::look`] does.
    fn take_compiled(&mut self, now: Instant) -> (FileChange<T>, Option<Instant>) {
        let Some(compiling) = self.compiling.take() else { return (FileChange::Nothing, None) };
        let Compiling { content, is_stale, thread, .. } = compiling;
        // It has nothing more to do.
        let loaded = thread.join();
        if is_stale.load(Ordering::Relaxed) {
            return self.compile_next(now);
        }
        match loaded {
            Ok(Ok(loaded)) => {
                self.content = Arc::unwrap_or_clone(content);
                self.told = None;
                self.bad_since = None;
                (FileChange::New(loaded), None)
            }
            Ok(Err(error)) => self.doubt(error, now),
            Err(_) => self.doubt(anyhow!("its compiling has broken off"), now),
        }
    }

    /// Handles a bad file, which may be half written: it is looked at again before it is rejected, once.
    fn doubt(&mut self, error: anyhow::Error, now: Instant) -> (FileChange<T>, Option<Instant>) {
        let text = format!("{error:#}");
        if self.told.as_ref() == Some(&text) {
            self.bad_since = None;
            return (FileChange::Nothing, None);
        }
        let since = *self.bad_since.get_or_insert(now);
        if now.saturating_duration_since(since) < DOUBT {
            return (FileChange::Nothing, Some(after(since, DOUBT)));
        }
        self.bad_since = None;
        self.told = Some(text);
        (FileChange::Rejected(error), None)
    }

    /// Watches what the path leads through now. A failure is reported once.
    fn keep_in_sight(&mut self) {
        if let PathWatch::NotYet = self.sight {
            let begun = Surroundings::new(self.events.clone());
            self.sight = begun.map_or_else(|error| self.go_blind(error), PathWatch::Of);
        }
        if let PathWatch::Of(surroundings) = &mut self.sight
            && let Err(error) = surroundings.follow(&self.path)
        {
            self.sight = self.go_blind(error);
        }
    }

    fn go_blind(&mut self, error: notify::Error) -> PathWatch {
        (self.tell)(WatchReport {
            change: FileChange::Unwatched(anyhow::Error::new(error)),
            asked: false,
        });
        PathWatch::Blind
    }
}

impl<T, F: FnMut(WatchReport<T>) -> bool> Drop for Watcher<T, F> {
    fn drop(&mut self) {
        // No line waits for a watcher that is gone.
        (self.tell)(WatchReport { change: FileChange::Nothing, asked: true });
    }
}

/// Where events go. A flood of them causes one look.
#[derive(Clone)]
struct Events {
    looks: Sender<LookCause>,
    /// Set while an event waits for its look.
    noticed: Arc<AtomicBool>,
}

impl Events {
    fn tell(&self, event: &notify::Result<notify::Event>) {
        // Reading the file, as the watcher does, changes nothing.
        let matters = event.as_ref().map_or(true, |event| {
            !matches!(event.kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
        });
        if matters && !self.noticed.swap(true, Ordering::AcqRel) {
            // Nobody listens: the session is over.
            let _ = self.looks.send(LookCause::Event);
        }
    }
}

/// The directories in which a step of the path can be exchanged.
struct Surroundings {
    watcher: RecommendedWatcher,
    /// Each with its device and inode: another directory may come under the same name.
    watched: HashMap<PathBuf, FileId>,
}

impl Surroundings {
    fn new(events: Events) -> notify::Result<Self> {
        let watcher = notify::recommended_watcher(move |event| events.tell(&event))?;
        Ok(Surroundings { watcher, watched: HashMap::new() })
    }

    fn follow(&mut self, path: &Path) -> notify::Result<()> {
        let mut wanted = HashMap::new();
        for directory in directories(path) {
            // A directory that is gone by now was reported by an event.
            if let Ok(metadata) = std::fs::metadata(&directory) {
                wanted.insert(directory, os::file_id(&metadata));
            }
        }
        let gone = self.watched.iter().filter(|(path, id)| wanted.get(*path) != Some(*id));
        for path in gone.map(|(path, _)| path.clone()).collect::<Vec<_>>() {
            self.watched.remove(&path);
            // A directory that was removed is not watched any more.
            let _ = self.watcher.unwatch(&path);
        }
        for (path, id) in wanted {
            if !self.watched.contains_key(&path) {
                self.watcher.watch(&path, RecursiveMode::NonRecursive)?;
                self.watched.insert(path, id);
            }
        }
        Ok(())
    }
}

/// The directory of the file, and those of the symbolic links on the way to it. If a step is missing, the directory in
/// which it has to appear.
fn directories(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut links: usize = 0;
    let mut at = PathBuf::new();
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut ahead = steps(&absolute);
    while let Some(step) = ahead.pop() {
        let next = at.join(&step);
        let kind = std::fs::symlink_metadata(&next).map(|metadata| metadata.file_type());
        let is_link = kind.as_ref().is_ok_and(std::fs::FileType::is_symlink);
        if (is_link || kind.is_err() || ahead.is_empty()) && !found.contains(&at) {
            found.push(at.clone());
        }
        if is_link && links < MAX_LINKS {
            links = links.saturating_add(1);
            ahead.extend(std::fs::read_link(&next).map(|link| steps(&link)).unwrap_or_default());
        } else if kind.is_err() {
            break;
        } else {
            at = next;
        }
    }
    found
}

/// The steps of a path, the first one last.
fn steps(path: &Path) -> Vec<OsString> {
    path.components().rev().map(|step| step.as_os_str().to_owned()).collect()
}

fn after(now: Instant, time: Duration) -> Instant {
    // No clock ends so soon.
    now.checked_add(time).unwrap_or(now)
}
