//! The policy file, while a session runs: when it may have changed, and what stands in it then (SPEC W7).
//!
//! ```text
//!   directory ── events ──►  ┌─────────────┐
//!                            │ the watcher │── Found ──► the loop, which hands a new policy to the session
//!   the loop ── "look!" ──►  └─────────────┘
//! ```
//!
//! The watcher is a thread: it reads and compiles, so that the loop never waits for a file. Events come from every
//! directory in which a step of the path can be exchanged. They may be missing, as on network mounts: so when the
//! client speaks the loop asks now and then, and the client waits for the answer. Mostly that is no more than a look
//! at the file's [`Stamp`].

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::file::{self, Stamp};

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
/// The most symbolic links in one path, as in the kernel.
const MAX_LINKS: usize = 40;

/// How the content of the file at a path becomes what is wanted of it, or an error for people.
pub type Load<T> = fn(&Path, &[u8]) -> anyhow::Result<T>;

/// What a look has found.
#[derive(Debug)]
pub enum Found<T> {
    /// The file has changed, and this is what it says.
    New(T),
    /// The file cannot be used; the version before it stays in force.
    Rejected(anyhow::Error),
    /// No events will come: changes are seen only when the client speaks.
    Blind(anyhow::Error),
    /// Nothing that has not been told.
    Nothing,
}

/// Why the watcher looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Event,
    Asked,
}

/// What the watcher has to say, and why it looked.
type Finding<T> = (Found<T>, Option<Look>);

/// The loop's end of the watch.
pub struct Watch<T> {
    path: PathBuf,
    looks: Sender<Look>,
    findings: UnboundedReceiver<Finding<T>>,
    next_question: Instant,
    /// A look that the loop has asked for has not come back.
    asked: bool,
}

impl<T: Send + 'static> Watch<T> {
    /// Watches the file at `path`, which `what` it is stands in errors of; `content` has been loaded already.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn new(
        what: &'static str,
        path: PathBuf,
        content: Vec<u8>,
        load: Load<T>,
    ) -> io::Result<Self> {
        let (looks, wanted) = channel();
        let (findings_in, findings) = unbounded_channel();
        let watcher = Watcher {
            what,
            path: path.clone(),
            load,
            content,
            stamp: None,
            told: None,
            bad_since: None,
            events: Events { looks: looks.clone(), noticed: Arc::default() },
            sight: Sight::NotYet,
            findings: findings_in,
        };
        // The thread ends with the process.
        let thread = std::thread::Builder::new().name("policy".to_owned());
        thread.spawn(move || watcher.run(&wanted))?;
        let next_question = after(Instant::now(), ASK_EVERY);
        Ok(Watch { path, looks, findings, next_question, asked: false })
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
            self.asked = self.looks.send(Look::Asked).is_ok();
        }
        self.asked
    }

    /// True while the client has to wait.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked
    }

    /// What was found since; wakes the task when something is.
    pub fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<Found<T>> {
        let Some((found, why)) = ready!(self.findings.poll_recv(cx)) else {
            // The watcher is gone, and nobody is to be waited for.
            self.asked = false;
            return Poll::Pending;
        };
        self.asked &= why != Some(Look::Asked);
        Poll::Ready(found)
    }
}

/// The thread's end of the watch.
struct Watcher<T> {
    what: &'static str,
    path: PathBuf,
    load: Load<T>,
    /// The last good version.
    content: Vec<u8>,
    /// The file's stamp when it was read last, unless it was so young that it says nothing.
    stamp: Option<Stamp>,
    /// The error that was told last, unless a good version came after it.
    told: Option<String>,
    /// When the file was first found bad, unless it was told or became good.
    bad_since: Option<Instant>,
    events: Events,
    sight: Sight,
    findings: UnboundedSender<Finding<T>>,
}

/// What can be seen of the file's surroundings.
enum Sight {
    NotYet,
    Of(Surroundings),
    Blind,
}

impl<T> Watcher<T> {
    fn run(mut self, wanted: &Receiver<Look>) {
        let mut due = Some(after(Instant::now(), HEAD_START));
        let mut burst_ends = None;
        loop {
            let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
            let look = match wait {
                Some(wait) => wanted.recv_timeout(wait),
                None => wanted.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            if look == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            let now = Instant::now();
            if look == Ok(Look::Event) {
                self.events.noticed.store(false, Ordering::Release);
                let end = *burst_ends.get_or_insert(after(now, BURST));
                due = Some(after(now, QUIET).min(end));
                continue;
            }
            let stamp = Stamp::of(&self.path);
            if look == Ok(Look::Asked) && stamp.is_some() && stamp == self.stamp {
                self.say((Found::Nothing, Some(Look::Asked)));
                continue;
            }
            burst_ends = None;
            self.keep_in_sight();
            self.stamp = stamp.filter(|stamp| !stamp.is_young());
            let (found, again) = self.look(stamp, now);
            due = again;
            self.say((found, look.ok()));
        }
    }

    /// Reads the file. Returns what is to be said, and when to look again by ourselves.
    fn look(&mut self, stamp: Option<Stamp>, now: Instant) -> (Found<T>, Option<Instant>) {
        let read = file::read(self.what, &self.path);
        if Stamp::of(&self.path) != stamp {
            // It was written while it was read.
            return (Found::Nothing, Some(after(now, QUIET)));
        }
        if self.told.is_none() && read.as_ref().is_ok_and(|read| *read == self.content) {
            self.bad_since = None;
            return (Found::Nothing, None);
        }
        let loaded = read.and_then(|read| Ok(((self.load)(&self.path, &read)?, read)));
        match loaded {
            Ok((loaded, content)) => {
                self.content = content;
                self.told = None;
                self.bad_since = None;
                (Found::New(loaded), None)
            }
            Err(error) => self.doubt(error, now),
        }
    }

    /// A file that is bad may be half written: it is looked at again before that is said, once.
    fn doubt(&mut self, error: anyhow::Error, now: Instant) -> (Found<T>, Option<Instant>) {
        let text = format!("{error:#}");
        if self.told.as_ref() == Some(&text) {
            self.bad_since = None;
            return (Found::Nothing, None);
        }
        let since = *self.bad_since.get_or_insert(now);
        if now.saturating_duration_since(since) < DOUBT {
            return (Found::Nothing, Some(after(since, DOUBT)));
        }
        self.bad_since = None;
        self.told = Some(text);
        (Found::Rejected(error), None)
    }

    /// Watches what the path leads through now. That it cannot is said once.
    fn keep_in_sight(&mut self) {
        if let Sight::NotYet = self.sight {
            let begun = Surroundings::new(self.events.clone());
            self.sight = begun.map_or_else(|error| self.go_blind(error), Sight::Of);
        }
        if let Sight::Of(surroundings) = &mut self.sight
            && let Err(error) = surroundings.follow(&self.path)
        {
            self.sight = self.go_blind(error);
        }
    }

    fn go_blind(&self, error: notify::Error) -> Sight {
        self.say((Found::Blind(anyhow::Error::new(error)), None));
        Sight::Blind
    }

    fn say(&self, finding: Finding<T>) {
        // Nobody listens: the session is over.
        let _ = self.findings.send(finding);
    }
}

/// Where events go. A flood of them is one look.
#[derive(Clone)]
struct Events {
    looks: Sender<Look>,
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
            let _ = self.looks.send(Look::Event);
        }
    }
}

/// The directories in which a step of the path can be exchanged.
struct Surroundings {
    watcher: RecommendedWatcher,
    /// Each with its device and inode: another directory may come under the same name.
    watched: HashMap<PathBuf, (u64, u64)>,
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
                wanted.insert(directory, (metadata.dev(), metadata.ino()));
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
