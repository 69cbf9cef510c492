//! Counters in a database file, shared by all processes of a machine (SPEC S2).
//!
//! ```text
//!   reservation:  look whether the files are still ours ─► BEGIN IMMEDIATE ─► read rows ─► settle ─► write rows ─► COMMIT
//!                              busy? try again in a millisecond, for a second in all
//! ```
//!
//! One row is one counter with its slots in it. Nothing on the path of a call is synced to the disk: what was committed
//! survives the death of the process, and a power loss takes at most the newest. The write-ahead log is carried over
//! into the file by a thread of its own.

mod files;
mod store;
mod tender;

use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use anyhow::{Context as _, anyhow};

use crate::engine::limits::{Demand, LimitClock, Now, Reservation, Settlement, StateUnavailable};

use self::files::Files;
use self::store::{Names, Store};
use self::tender::Tender;
use super::{CounterRow, Counters};
use crate::shell::clock::moment;
use crate::shell::notices::prose;
use crate::shell::retry::Retry;

/// The file in a state directory.
const FILE: &str = "state.db";
/// The folder with a file for each run that lives.
const SESSIONS: &str = "sessions";

/// Why a transaction did not take place.
#[derive(Debug)]
enum Trouble {
    /// Another process writes just now.
    Busy,
    /// The store cannot be used.
    Broken(anyhow::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        match error.sqlite_error_code() {
            Some(DatabaseBusy | DatabaseLocked) => Trouble::Busy,
            // Its cause says the same once more.
            _ => Trouble::Broken(anyhow!("{error}")),
        }
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
    names: Names,
    clock: LimitClock,
    /// Opened with the first reservation, and anew when the files have changed behind it.
    store: Option<Store>,
    tender: Option<Tender>,
    retry: Retry,
    /// What is still to be given back.
    releases: Vec<Reservation>,
}

impl SqliteLedger {
    /// Notes where the counters are; nothing is opened before the first reservation.
    #[must_use]
    pub fn new(directory: &Path, server: &str, grant: &str, run: &str) -> Self {
        SqliteLedger {
            files: Files::new(file(directory)),
            names: Names::new(server, grant, run),
            clock: LimitClock::default(),
            store: None,
            tender: None,
            retry: Retry::default(),
            releases: Vec::new(),
        }
    }

    /// Makes sure that the store is open, and its files where they were.
    fn open(&mut self) -> Result<(), Trouble> {
        if !self.files.are_ours(self.store.is_some())? {
            self.store = None;
        }
        if self.store.is_none() {
            self.store = Some(self.open_anew()?);
        }
        Ok(())
    }

    fn open_anew(&mut self) -> Result<Store, Trouble> {
        self.files.make()?;
        let mut store = Store::open(self.files.path())?;
        let directory = self.files.path().with_file_name(SESSIONS);
        store.sweep(moment(), |run| directory.join(run).with_extension("json").exists())?;
        self.files.note();
        let tender = self.tender.get_or_insert_with(|| Tender::new(self.files.path()));
        if self.files.log_is_long() {
            tender.wake();
        }
        Ok(store)
    }

    fn try_reserve(&mut self, demands: &[Demand], now: Now) -> Result<Settlement, Trouble> {
        self.open()?;
        let Some(store) = &mut self.store else { return Err(Trouble::Busy) };
        let settled = store.reserve(&self.names, demands, &mut self.clock, now)?;
        self.tender.as_mut().map(Tender::count);
        Ok(settled)
    }

    fn try_release(&mut self) -> Result<(), Trouble> {
        while !self.releases.is_empty() {
            self.open()?;
            let (Some(store), Some(reservation)) = (&mut self.store, self.releases.last()) else {
                return Ok(());
            };
            store.release(&self.names, reservation)?;
            self.releases.pop();
        }
        Ok(())
    }

    fn unavailable(&mut self, error: anyhow::Error) -> StateUnavailable {
        self.store = None;
        // A disk that is full may be so of our own log.
        self.tender.as_mut().map(Tender::wake);
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
        let settled = match self.try_reserve(demands, now) {
            Err(Trouble::Busy) => {
                let lock = self.files.lock_inode();
                if self.retry.poll(cx, lock).is_pending() {
                    return Poll::Pending;
                }
                Err(anyhow!("another process has locked it for a second"))
            }
            Err(Trouble::Broken(error)) => Err(error),
            Ok(settled) => Ok(settled),
        };
        self.retry.end();
        Poll::Ready(settled.map_err(|error| self.unavailable(error)))
    }

    fn release(&mut self, reservation: Reservation) {
        self.releases.push(reservation);
        // What does not work at once is tried again when the loop has time.
        let _ = self.try_release();
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.try_release() {
            Err(Trouble::Busy) if self.retry.poll(cx, None).is_pending() => return Poll::Pending,
            Err(_) | Ok(()) => {}
        }
        self.releases.clear();
        self.retry.end();
        Poll::Ready(())
    }
}

impl Drop for SqliteLedger {
    fn drop(&mut self) {
        if let Some(store) = &mut self.store {
            // Rows that stay behind are swept by whoever opens the store a day later.
            let _ = store.forget_run(&self.names);
        }
    }
}

/// The file of counters in a state directory.
#[must_use]
pub fn file(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// All counters in a state directory; none if nothing was ever counted there.
///
/// # Errors
/// They cannot be read.
pub fn read(directory: &Path, now: Now) -> anyhow::Result<Vec<CounterRow>> {
    let path = file(directory);
    if !path.exists() {
        return Ok(Vec::new());
    }
    store::read(&path, now).with_context(|| format!("failed to read state `{}`", path.display()))
}

/// Sets all counters of a name back to nothing, of one server and grant or of all; returns the servers that had any.
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
    store::reset(&path, server, grant, counter)
        .with_context(|| format!("failed to write state `{}`", path.display()))
}
