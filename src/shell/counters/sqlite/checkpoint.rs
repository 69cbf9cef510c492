//! Carries the write-ahead log over into the database now and then, so that no call has to wait for the disk.
//!
//! The first to write after the whole log was carried over begins it anew, and has to sync that: this is done here as
//! well, at once. While others write on and on, the log is never carried over whole; when it has grown very long, they
//! are kept out for the moment that it takes.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Row};

use super::sweep::sweep;
use super::{Trouble, files, schema};
use crate::shell::file::clear_beside;
use crate::shell::grace::STORE_LOCK;
use crate::shell::os::clock::moment;

/// Commits of this process between two rounds.
const COMMITS: u64 = 1000;
/// How long a log that stays long is left alone.
const REST: Duration = Duration::from_millis(250);
/// A log of more pages than these, or 8 MiB, is not left to grow.
const TOO_LONG: i64 = 8 * 1024;
/// A checkpoint of a little that takes so long is that of a slow disk. There others would be kept out for most of the
/// second that their calls may wait (contract S2), …
const SLOW: Duration = Duration::from_millis(400);
/// … so the log may become longer first: 256 MiB.
const TOO_LONG_ON_A_SLOW_DISK: i64 = 256 * 1024;

/// The thread, and how it is woken. It ends with its owner.
#[derive(Debug)]
pub(super) struct Tender {
    wake: SyncSender<()>,
    cleared: Receiver<()>,
    /// Commits since it was last woken.
    commits: u64,
    woken: Option<Instant>,
}

impl Tender {
    /// Starts it for the database at `path` and this run.
    pub(super) fn new(path: &Path, run: &str) -> Self {
        let (wake, woken) = sync_channel(1);
        let (begun, cleared) = sync_channel(0);
        let (path, run) = (path.to_owned(), run.to_owned());
        let tend = move || {
            // What stays behind is found by whoever comes next.
            let _ = clear_away(&path, &run);
            drop(begun);
            while woken.recv().is_ok() {
                // Whoever calls next will tell what is wrong.
                let _ = carry_over(&path);
            }
        };
        // Without it the log grows until the last process closes it.
        let _ = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(tend);
        Tender { wake, cleared, commits: 0, woken: None }
    }

    /// Waits a moment for what is done at the start: only who has the database to itself leaves no log beside it.
    pub(super) fn settle(&self) {
        // Nothing is ever sent: the other end goes.
        let _ = self.cleared.recv_timeout(STORE_LOCK);
    }

    /// Tells of one more commit, and whether the log is long.
    pub(super) fn count(&mut self, log_is_long: bool) {
        self.commits = self.commits.saturating_add(1);
        let is_rested = || self.woken.is_none_or(|at| at.elapsed() >= REST);
        if self.commits >= COMMITS || log_is_long && is_rested() {
            self.wake();
        }
    }

    /// Has the log carried over now.
    pub(super) fn wake(&mut self) {
        self.commits = 0;
        self.woken = Some(Instant::now());
        // One that is busy will look once more.
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
    // If somebody has taken it away, nobody is to begin another one here.
    if !files::are_complete(path) {
        return Ok(());
    }
    let connection = schema::open(path, false)?;
    let (found, done) = connection.query_row(PASSIVE, [], progress)?;
    if found == done {
        begin_anew(&connection)?;
    }
    // Others may write on and on. They are kept out for as long as it takes to carry over what they wrote just now.
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

/// The pages of the log, and how many of them have been carried over.
fn progress(row: &Row<'_>) -> rusqlite::Result<(i64, i64)> {
    Ok((row.get(1)?, row.get(2)?))
}

fn begin_anew(connection: &Connection) -> Result<(), Trouble> {
    connection.execute("UPDATE tended SET rounds = rounds + 1", [])?;
    Ok(())
}
