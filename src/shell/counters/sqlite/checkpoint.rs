//! Copies the write-ahead log into the database now and then, so that no call has to wait for the disk.
//!
//! The first write after a complete checkpoint restarts the log, and has to sync that; this thread does it, right away.
//! While other processes keep writing, no checkpoint is ever complete; once the log has grown very long, they are
//! locked out for the moment that one takes.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Row};

use super::sweep::sweep;
use super::{Trouble, files, schema};
use crate::shell::file::clear_beside;
use crate::shell::grace::STORE_LOCK;
use crate::shell::os::clock::moment;

/// Commits of this process between two checkpoints.
const COMMITS: u64 = 1000;
/// How long to leave a log alone that stays long.
const REST: Duration = Duration::from_millis(250);
/// Pages, 8 MiB of them, beyond which the log must not grow.
const TOO_LONG: i64 = 8 * 1024;
/// A small checkpoint that takes this long shows a slow disk. Locking others out there would take most of the second
/// that their calls may wait (contract S2), …
const SLOW: Duration = Duration::from_millis(400);
/// … so there the log may grow longer first: 256 MiB.
const TOO_LONG_ON_A_SLOW_DISK: i64 = 256 * 1024;

/// The thread and its wake-up. It ends with its owner.
#[derive(Debug)]
pub(super) struct Tender {
    wake: SyncSender<()>,
    cleared: Receiver<()>,
    /// Commits since the last wake-up.
    commits: u64,
    woken: Option<Instant>,
}

impl Tender {
    /// Starts the thread for the database at `path` and this run.
    pub(super) fn new(path: &Path, run: &str) -> Self {
        let (wake, woken) = sync_channel(1);
        let (begun, cleared) = sync_channel(0);
        let (path, run) = (path.to_owned(), run.to_owned());
        let tend = move || {
            // A later process finds what stays behind.
            let _ = clear_away(&path, &run);
            drop(begun);
            while woken.recv().is_ok() {
                // The next call reports what is wrong.
                let _ = carry_over(&path);
            }
        };
        // Without the thread, the log grows until the last process closes it.
        let _ = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(tend);
        Tender { wake, cleared, commits: 0, woken: None }
    }

    /// Waits briefly for the thread's work at the start: only a process that has the database to itself removes the log
    /// on closing.
    pub(super) fn settle(&self) {
        // Nothing is ever sent: the channel closes.
        let _ = self.cleared.recv_timeout(STORE_LOCK);
    }

    /// Counts a commit, and notes whether the log is long.
    pub(super) fn count(&mut self, log_is_long: bool) {
        self.commits = self.commits.saturating_add(1);
        let is_rested = || self.woken.is_none_or(|at| at.elapsed() >= REST);
        if self.commits >= COMMITS || log_is_long && is_rested() {
            self.wake();
        }
    }

    /// Starts a checkpoint now.
    pub(super) fn wake(&mut self) {
        self.commits = 0;
        self.woken = Some(Instant::now());
        // A busy thread checks once more afterwards.
        let _ = self.wake.try_send(());
    }
}

fn clear_away(path: &Path, run: &str) -> Result<(), Trouble> {
    clear_beside(path);
    if files::are_complete(path) {
        sweep(&schema::open(path, false)?, path, run, moment())?;
    }
    Ok(())
}

fn carry_over(path: &Path) -> Result<(), Trouble> {
    // If the log was removed, do not create another here.
    if !files::are_complete(path) {
        return Ok(());
    }
    let connection = schema::open(path, false)?;
    let (found, done) = connection.query_row(PASSIVE, [], progress)?;
    if found == done {
        begin_anew(&connection)?;
    }
    // Other processes may keep writing: lock them out while their latest commits are copied.
    let (pages, _) = connection.query_row(LENGTH, [], progress)?;
    if pages > TOO_LONG {
        let begun = Instant::now();
        let (found, _) = connection.query_row(PASSIVE, [], progress)?;
        if begun.elapsed() < SLOW || found > TOO_LONG_ON_A_SLOW_DISK {
            connection.query_row(RESTART, [], progress)?;
            begin_anew(&connection)?;
        }
    }
    Ok(())
}

const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
const LENGTH: &str = "PRAGMA wal_checkpoint(NOOP)";
const RESTART: &str = "PRAGMA wal_checkpoint(RESTART)";

/// Reads the number of pages in the log, and how many of them have been copied.
fn progress(row: &Row<'_>) -> rusqlite::Result<(i64, i64)> {
    Ok((row.get(1)?, row.get(2)?))
}

fn begin_anew(connection: &Connection) -> Result<(), Trouble> {
    connection.execute("UPDATE tended SET rounds = rounds + 1", [])?;
    Ok(())
}
