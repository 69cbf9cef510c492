//! The policy file, while a session runs: when it may have changed, and what stands in it then (contract W7).
//!
//! ```text
//!   directory ── events ──►  ┌─────────────┐
//!                            │ the watcher │── Found ──► the loop, which hands a new policy to the session
//!   the loop ── "look!" ──►  └─────────────┘
//! ```
//!
//! The watcher is a thread: it looks and reads, so that the loop never waits for a file. Events come from every
//! directory in which a step of the path can be exchanged. They may be missing, as on network mounts: so when the
//! client speaks the loop asks now and then, and the client waits for the answer. Mostly that is no more than a look
//! at the file's [`Stamp`].
//!
//! A file that has changed is compiled on a thread of its own, one at a time. While it is, the watcher goes on: a
//! newer version ends the compiling of the older one, and a client that waits does so for [`RELOAD_PATIENCE`] at most.

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

use super::file::{self, Stamp};
use super::os::{self, FileId};
use crate::engine::policy::Policy;

/// How often the loop asks at most.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// An editor's several steps are one change: so long nothing must have happened …
const QUIET: Duration = Duration::from_millis(25);
/// … but so long after the first step it is looked at in any case.
const BURST: Duration = Duration::from_millis(100);
/// A file that is bad may be half written: it gets so long before that is said.
const DOUBT: Duration = Duration::from_millis(200);
/// A start is not slowed down by the watch: it is set up so much later, and what has changed since is found then.
const HEAD_START: Duration = Duration::from_millis(50);
/// So long a client waits for a policy that is being compiled; then the one in force goes on (contract W7).
const RELOAD_PATIENCE: Duration = Duration::from_secs(1);
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

/// How the content of the file at a path becomes what is wanted of it, or an error for people. It asks now and then
/// whether the content is stale; then nobody waits for what comes of it.
pub type Load<T> = fn(&Path, &[u8], &dyn Fn() -> bool) -> anyhow::Result<T>;

/// What a look has found.
#[derive(Debug)]
pub enum PolicySighting<T> {
    /// The file has changed, and this is what it says.
    New(T),
    /// The file cannot be used; the version before it stays in force.
    Rejected(anyhow::Error),
    /// No events will come: changes are seen only when the client speaks.
    Blind(anyhow::Error),
    /// The file has changed, and it takes over a second to make anything of it; the version before it stays in
    /// force until then.
    Slow,
    /// Nothing that has not been told.
    Nothing,
}

/// Why the watcher looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileLook {
    Event,
    Asked,
    /// What was being compiled has come to an end.
    Compiled,
}

/// What the watcher has to say.
#[derive(Debug)]
pub struct PolicyFinding<T> {
    /// What it has found.
    pub found: PolicySighting<T>,
    /// The loop had asked.
    asked: bool,
}

/// The loop's end of the watch.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    looks: Sender<FileLook>,
    next_question: Instant,
    /// A look that the loop has asked for has not come back.
    asked: bool,
}

impl Watch {
    /// Watches the file at `path`; `what` it is stands in errors. `content` has been loaded already. What is found
    /// is told to `tell`, until that returns false.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn new<T: Send + 'static>(
        what: &'static str,
        path: PathBuf,
        content: Vec<u8>,
        load: Load<T>,
        tell: impl FnMut(PolicyFinding<T>) -> bool + Send + 'static,
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
            sight: FileSight::NotYet,
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

    /// The client speaks: asks whether the file has changed, unless that was asked a moment ago. True if the client
    /// has to wait for the answer.
    pub fn must_wait(&mut self, now: Instant) -> bool {
        if !self.asked && now >= self.next_question {
            self.next_question = after(now, ASK_EVERY);
            self.asked = self.looks.send(FileLook::Asked).is_ok();
        }
        self.asked
    }

    /// True while the client has to wait.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked
    }

    /// Takes note of what was found.
    pub fn hear<T>(&mut self, finding: &PolicyFinding<T>) {
        self.asked &= !finding.asked;
    }
}

/// The thread's end of the watch.
struct Watcher<T, F: FnMut(PolicyFinding<T>) -> bool> {
    what: &'static str,
    path: PathBuf,
    load: Load<T>,
    /// The last good version.
    content: Vec<u8>,
    /// The file's stamp when it was read last, unless it was so young that it says nothing.
    stamp: Option<Stamp>,
    /// What is being compiled.
    compiling: Option<Compiling<T>>,
    /// What is to be compiled after that: a newer version.
    next: Option<Vec<u8>>,
    /// The loop has asked and has had no answer.
    owes: bool,
    /// The error that was told last, unless a good version came after it.
    told: Option<String>,
    /// When the file was first found bad, unless it was told or became good.
    bad_since: Option<Instant>,
    events: Events,
    sight: FileSight,
    tell: F,
}

/// A version of the file that is being compiled.
struct Compiling<T> {
    content: Arc<Vec<u8>>,
    /// Set once there is a newer version.
    is_stale: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<T>>,
    /// When the client has waited for long enough.
    patience_ends: Instant,
    /// It has been said that this takes long.
    is_slow: bool,
}

/// What can be seen of the file's surroundings.
enum FileSight {
    NotYet,
    Of(Surroundings),
    Blind,
}

impl<T: Send + 'static, F: FnMut(PolicyFinding<T>) -> bool> Watcher<T, F> {
    fn run(mut self, wanted: &Receiver<FileLook>) {
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
                Ok(FileLook::Event) => {
                    self.events.noticed.store(false, Ordering::Release);
                    let end = *burst_ends.get_or_insert(after(now, BURST));
                    due = Some(after(now, QUIET).min(end));
                    true
                }
                Ok(FileLook::Compiled) => {
                    let (found, again) = self.take_compiled(now);
                    due = due.or(again);
                    self.tell(found, now)
                }
                Ok(FileLook::Asked) if self.is_unchanged() => {
                    self.owes = true;
                    true
                }
                Err(RecvTimeoutError::Timeout) if due.is_none_or(|due| now < due) => {
                    self.lose_patience(now)
                }
                Ok(FileLook::Asked) | Err(RecvTimeoutError::Timeout) => {
                    self.owes |= look == Ok(FileLook::Asked);
                    burst_ends = None;
                    self.keep_in_sight();
                    let (found, again) = self.look(now);
                    due = again;
                    self.tell(found, now)
                }
            };
            if !goes_on || !self.tell(PolicySighting::Nothing, now) {
                return;
            }
        }
    }

    /// True if the file is the one that was read last.
    fn is_unchanged(&self) -> bool {
        let stamp = Stamp::of(&self.path);
        stamp.is_some() && stamp == self.stamp
    }

    /// Says what was found, and lets the client go on unless it waits for more. False if nobody listens.
    fn tell(&mut self, found: PolicySighting<T>, now: Instant) -> bool {
        let waits = self.compiling.as_ref().is_some_and(|compiling| now < compiling.patience_ends);
        let asked = self.owes && (!waits || matches!(found, PolicySighting::New(_)));
        if !asked && matches!(found, PolicySighting::Nothing) {
            return true;
        }
        self.owes &= !asked;
        (self.tell)(PolicyFinding { found, asked })
    }

    /// When it is to be said that compiling takes long.
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
        self.tell(PolicySighting::Slow, now)
    }

    /// Reads the file, and has it compiled if it has changed. Returns what is to be said now, and when to look again
    /// by ourselves.
    fn look(&mut self, now: Instant) -> (PolicySighting<T>, Option<Instant>) {
        let stamp = Stamp::of(&self.path);
        self.stamp = stamp.filter(|stamp| !stamp.is_young());
        let read = file::read(self.what, &self.path);
        if Stamp::of(&self.path) != stamp {
            // It was written while it was read.
            return (PolicySighting::Nothing, Some(after(now, QUIET)));
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
            return (PolicySighting::Nothing, None);
        }
        let current = self.compiling.as_ref().filter(|_| self.next.is_none());
        if current.is_some_and(|compiling| {
            !compiling.is_stale.load(Ordering::Relaxed) && *compiling.content == content
        }) {
            return (PolicySighting::Nothing, None);
        }
        self.end_compiling();
        self.next = Some(content);
        self.compile_next(now)
    }

    /// What is being compiled is out of date.
    fn end_compiling(&mut self) {
        self.next = None;
        if let Some(compiling) = &self.compiling {
            compiling.is_stale.store(true, Ordering::Relaxed);
        }
    }

    /// Begins to compile what waits for it, unless something else is being compiled: it will be soon.
    fn compile_next(&mut self, now: Instant) -> (PolicySighting<T>, Option<Instant>) {
        if self.compiling.is_some() {
            return (PolicySighting::Nothing, None);
        }
        let Some(content) = self.next.take() else { return (PolicySighting::Nothing, None) };
        let content = Arc::new(content);
        let is_stale = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("compile".to_owned()).spawn({
            let (path, load, looks) = (self.path.clone(), self.load, self.events.looks.clone());
            let (content, is_stale) = (Arc::clone(&content), Arc::clone(&is_stale));
            move || {
                let loaded = load(&path, &content, &|| is_stale.load(Ordering::Relaxed));
                // Nobody listens: the session is over.
                let _ = looks.send(FileLook::Compiled);
                loaded
            }
        });
        match thread {
            Ok(thread) => {
                let patience_ends = after(now, RELOAD_PATIENCE);
                let compiling =
                    Compiling { content, is_stale, thread, patience_ends, is_slow: false };
                self.compiling = Some(compiling);
                (PolicySighting::Nothing, None)
            }
            Err(error) => self.doubt(anyhow::Error::new(error), now),
        }
    }

    /// Takes what was compiled, unless it is out of date. Returns as [`Watcher::look`] does.
    fn take_compiled(&mut self, now: Instant) -> (PolicySighting<T>, Option<Instant>) {
        let Some(compiling) = self.compiling.take() else { return (PolicySighting::Nothing, None) };
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
                (PolicySighting::New(loaded), None)
            }
            Ok(Err(error)) => self.doubt(error, now),
            Err(_) => self.doubt(anyhow!("its compiling has broken off"), now),
        }
    }

    /// A file that is bad may be half written: it is looked at again before that is said, once.
    fn doubt(
        &mut self,
        error: anyhow::Error,
        now: Instant,
    ) -> (PolicySighting<T>, Option<Instant>) {
        let text = format!("{error:#}");
        if self.told.as_ref() == Some(&text) {
            self.bad_since = None;
            return (PolicySighting::Nothing, None);
        }
        let since = *self.bad_since.get_or_insert(now);
        if now.saturating_duration_since(since) < DOUBT {
            return (PolicySighting::Nothing, Some(after(since, DOUBT)));
        }
        self.bad_since = None;
        self.told = Some(text);
        (PolicySighting::Rejected(error), None)
    }

    /// Watches what the path leads through now. That it cannot is said once.
    fn keep_in_sight(&mut self) {
        if let FileSight::NotYet = self.sight {
            let begun = Surroundings::new(self.events.clone());
            self.sight = begun.map_or_else(|error| self.go_blind(error), FileSight::Of);
        }
        if let FileSight::Of(surroundings) = &mut self.sight
            && let Err(error) = surroundings.follow(&self.path)
        {
            self.sight = self.go_blind(error);
        }
    }

    fn go_blind(&mut self, error: notify::Error) -> FileSight {
        (self.tell)(PolicyFinding {
            found: PolicySighting::Blind(anyhow::Error::new(error)),
            asked: false,
        });
        FileSight::Blind
    }
}

impl<T, F: FnMut(PolicyFinding<T>) -> bool> Drop for Watcher<T, F> {
    fn drop(&mut self) {
        // Nobody is to wait for a watcher that is gone.
        (self.tell)(PolicyFinding { found: PolicySighting::Nothing, asked: true });
    }
}

/// Where events go. A flood of them is one look.
#[derive(Clone)]
struct Events {
    looks: Sender<FileLook>,
    /// Set while an event waits for its look.
    noticed: Arc<AtomicBool>,
}

impl Events {
    fn tell(&self, event: &notify::Result<notify::Event>) {
        // That somebody reads the file, as we do, changes nothing.
        let matters = event.as_ref().map_or(true, |event| {
            !matches!(event.kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
        });
        if matters && !self.noticed.swap(true, Ordering::AcqRel) {
            // Nobody listens: the session is over.
            let _ = self.looks.send(FileLook::Event);
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
            // It may be gone by now; then so is what it is a step to, and events tell.
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

/// The directory of the file, and those of the symbolic links on the way to it; of what is missing, the directory
/// where it has to appear.
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
    // A clock that ends here does not exist.
    now.checked_add(time).unwrap_or(now)
}
