//! Counters in a database file, shared by all processes of a machine (contract S2).
//!
//! ```text
//!   reservation:  look whether the files are still ours ─► BEGIN IMMEDIATE ─► read rows ─► settle ─► write rows ─► COMMIT
//!                              busy? try again in a millisecond, for a second in all
//! ```
//!
//! A row is one counter with its slots. No call waits for a sync to disk: a commit survives the death of the process,
//! and a power loss takes at most the latest ones. A thread of its own copies the write-ahead log into the database.

mod checkpoint;
mod codec;
mod files;
mod inspect;
mod schema;
mod store;
mod sweep;

use std::future::Future as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use anyhow::{Context as _, anyhow};
use tokio::sync::oneshot::{self, Receiver};

use crate::engine::limits::{Demand, LimitClock, Now, Reservation, Settlement, StateUnavailable};

use self::checkpoint::Tender;
use self::files::{Files, StoreStanding};
use self::store::{Own, Store, StoreNames};
use super::{CounterRow, Counters};
use crate::shell::os;
use crate::shell::os::retry::Retry;
use crate::shell::stderr::prose;

/// The database's name in a state directory.
const FILE: &str = "state.db";
/// How often to try a lock before the loop does other work.
const ATTEMPTS: usize = 3;

/// Why a transaction failed.
#[derive(Debug)]
enum Trouble {
    /// Another process is writing.
    Busy,
    /// The store cannot be used.
    Broken(anyhow::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let rusqlite::Error::SqliteFailure(failure, message) = error else {
            return Trouble::Broken(error.into());
        };
        Trouble::Broken(match failure.code {
            // The last means that too many processes opened the database at once.
            Code::DatabaseBusy | Code::DatabaseLocked | Code::FileLockingProtocolFailed => {
                return Trouble::Busy;
            }
            Code::NotADatabase => anyhow!("it is not a database"),
            Code::DatabaseCorrupt => anyhow!("it is damaged"),
            Code::ReadOnly => anyhow!("it is read-only"),
            Code::DiskFull => anyhow!("the disk is full"),
            Code::CannotOpen => anyhow!("it cannot be opened"),
            _ => anyhow!(message.unwrap_or_else(|| failure.to_string())),
        })
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Trouble::Broken(error)
    }
}

/// The counters of one server, grant and run in a state directory.
#[derive(Debug)]
pub struct SqliteLedger {
    files: Files,
    names: StoreNames,
    own: Own,
    clock: LimitClock,
    store: StoreState,
    tender: Option<Tender>,
    retry: Retry,
    /// Reservations still to be given back.
    releases: Vec<Reservation>,
}

/// The database: opened with the first reservation, and again if other files have taken its place.
#[derive(Debug)]
enum StoreState {
    Closed,
    /// A thread is opening it, since that may wait for the disk.
    Opening(Receiver<Result<Store, Trouble>>),
    Open(Box<Store>),
}

impl SqliteLedger {
    /// Records where the counters are; the first reservation opens the store.
    #[must_use]
    pub fn new(directory: &Path, server: &str, grant: &str, run: &str) -> Self {
        SqliteLedger {
            files: Files::new(file(directory)),
            names: StoreNames::new(server, grant, run),
            own: Own::default(),
            clock: LimitClock::default(),
            store: StoreState::Closed,
            tender: None,
            retry: Retry::default(),
            releases: Vec::new(),
        }
    }

    /// Opens the store; it stays open as long as its files are unchanged.
    fn open(&mut self, cx: &mut Context<'_>) -> Result<(), Trouble> {
        if let StoreState::Open(store) = &mut self.store {
            match self.files.look()? {
                StoreStanding::Same => {}
                StoreStanding::Written => store.read_anew(self.files.path())?,
                StoreStanding::Others => self.store = StoreState::Closed,
            }
        }
        if let StoreState::Closed = self.store {
            self.store = StoreState::Opening(open_aside(&self.files)?);
        }
        if let StoreState::Opening(opened) = &mut self.store {
            let Poll::Ready(opened) = Pin::new(opened).poll(cx) else { return Err(Trouble::Busy) };
            self.store = StoreState::Closed;
            let opened =
                opened.unwrap_or_else(|_| Err(anyhow!("it could not be opened").into()))?;
            if !self.files.note(opened.stamp())? {
                return Err(Trouble::Busy);
            }
            let (files, names) = (&self.files, &self.names);
            self.tender.get_or_insert_with(|| Tender::new(files.path(), &names.run));
            self.store = StoreState::Open(Box::new(opened));
        }
        match self.store {
            StoreState::Open(_) => Ok(()),
            StoreState::Closed | StoreState::Opening(_) => Err(Trouble::Busy),
        }
    }

    fn try_reserve(
        &mut self,
        cx: &mut Context<'_>,
        demands: &[Demand],
        now: Now,
    ) -> Result<Settlement, Trouble> {
        self.try_release(cx)?;
        self.open(cx)?;
        let SqliteLedger { store: StoreState::Open(store), names, own, clock, .. } = self else {
            return Err(Trouble::Busy);
        };
        let settled = at_once(|| store.reserve(names, demands, own, clock, now))?;
        if let Some(tender) = &mut self.tender {
            tender.count(self.files.log_is_long());
        }
        Ok(settled)
    }

    fn try_release(&mut self, cx: &mut Context<'_>) -> Result<(), Trouble> {
        while let Some(reservation) = self.releases.pop() {
            let released = self.open(cx).and_then(|()| {
                let SqliteLedger { store: StoreState::Open(store), names, own, .. } = self else {
                    return Err(Trouble::Busy);
                };
                at_once(|| store.release(names, &reservation, own))
            });
            if let Err(trouble) = released {
                self.releases.push(reservation);
                return Err(trouble);
            }
        }
        Ok(())
    }

    /// Explains why the call is denied. The next call finds the store closed, and tries to open it again.
    fn unavailable(&mut self, error: anyhow::Error) -> StateUnavailable {
        if let StoreState::Open(_) = self.store {
            self.store = StoreState::Closed;
            // Our own log may be what fills the disk.
            self.tender.as_mut().map(Tender::wake);
        }
        let error = error.context(format!("failed to use state `{}`", self.files.path().display()));
        StateUnavailable { reason: prose(&error) }
    }
}

impl Counters for SqliteLedger {
    fn poll_reserve(
        &mut self,
        cx: &mut Context<'_>,
        demands: &[Demand],
        now: Now,
    ) -> Poll<Result<Settlement, StateUnavailable>> {
        let settled = match self.try_reserve(cx, demands, now) {
            Err(Trouble::Busy) => {
                if self.retry.poll(cx, self.files.locked()).is_pending() {
                    return Poll::Pending;
                }
                Err(anyhow!(os::blame(self.files.locked())))
            }
            Err(Trouble::Broken(error)) => Err(error),
            Ok(settled) => Ok(settled),
        };
        self.retry.end();
        Poll::Ready(settled.map_err(|error| self.unavailable(error)))
    }

    fn release(&mut self, reservation: Reservation) {
        self.releases.push(reservation);
        // A release that fails now is tried again with the next call, or when the session ends.
        let _ = self.try_release(&mut Context::from_waker(Waker::noop()));
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.try_release(cx) {
            Err(Trouble::Busy) if self.retry.poll(cx, self.files.locked()).is_pending() => {
                return Poll::Pending;
            }
            Err(_) | Ok(()) => {}
        }
        self.releases.clear();
        self.retry.end();
        Poll::Ready(())
    }
}

impl Drop for SqliteLedger {
    fn drop(&mut self) {
        if let StoreState::Open(store) = std::mem::replace(&mut self.store, StoreState::Closed)
            && matches!(self.files.look(), Ok(StoreStanding::Same | StoreStanding::Written))
        {
            self.tender.as_ref().map(Tender::settle);
            // A later sweep removes rows that stay behind.
            let _ = store.leave();
        }
    }
}

/// Opens the database on a thread of its own.
fn open_aside(files: &Files) -> Result<Receiver<Result<Store, Trouble>>, Trouble> {
    let (tell, told) = oneshot::channel();
    let (path, anew) = (files.path().to_owned(), files.may_be_made()?);
    let open = move || {
        // The receiver may be gone.
        let _ = tell.send(Store::open(&path, anew));
    };
    let thread = std::thread::Builder::new().name("open state".to_owned()).spawn(open);
    thread.map_err(anyhow::Error::from)?;
    Ok(told)
}

/// Retries at once while another process holds the lock: it usually needs a few microseconds.
fn at_once<T>(mut attempt: impl FnMut() -> Result<T, Trouble>) -> Result<T, Trouble> {
    for _ in 0..ATTEMPTS {
        match attempt() {
            Err(Trouble::Busy) => std::thread::yield_now(),
            done => return done,
        }
    }
    attempt()
}

/// The path of the counters' database in a state directory.
#[must_use]
pub fn file(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// Reads all counters in a state directory; none if nothing was ever counted there.
///
/// # Errors
/// The database cannot be read.
pub fn read(directory: &Path, now: Now) -> anyhow::Result<Vec<CounterRow>> {
    let path = file(directory);
    if !path.exists() {
        return Ok(Vec::new());
    }
    inspect::read(&path, now).with_context(|| format!("failed to read state `{}`", path.display()))
}

/// Tells for each of these servers whether it has counters. If the database cannot be read at once, the answer is no.
#[must_use]
pub fn has_counters(directory: &Path, servers: [&str; 2]) -> [bool; 2] {
    let path = file(directory);
    if !path.exists() {
        return [false; 2];
    }
    inspect::has_counters(&path, servers).ok().flatten().unwrap_or_default()
}

/// Resets all counters of a name, of one server and grant or of all. Returns the servers that had any.
///
/// # Errors
/// The state cannot be written, or is locked for a second.
pub fn reset(
    directory: &Path,
    server: Option<&str>,
    grant: Option<&str>,
    counter: &str,
) -> anyhow::Result<Vec<String>> {
    let path = file(directory);
    if !path.exists() {
        return Ok(Vec::new());
    }
    inspect::reset(&path, server, grant, counter)
        .with_context(|| format!("failed to write state `{}`", path.display()))
}
