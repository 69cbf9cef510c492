//! Carries the write-ahead log over into the database now and then, so that no call has to wait for the disk.

use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// Commits of this process between two rounds.
const COMMITS: u64 = 500;
/// How long it waits for others before it leaves it to them.
const PATIENCE: Duration = Duration::from_millis(100);

/// The thread, and how it is woken. It ends with its owner.
#[derive(Debug)]
pub(super) struct Tender {
    wake: SyncSender<()>,
    /// Commits since it was last woken.
    commits: u64,
}

impl Tender {
    pub(super) fn new(path: &Path) -> Self {
        let (wake, woken) = sync_channel(1);
        let path = path.to_owned();
        let tend = move || {
            while woken.recv().is_ok() {
                // Whoever calls next will tell what is wrong.
                let _ = carry_over(&path);
            }
        };
        // Without it the log grows until the last process closes it.
        let _ = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(tend);
        Tender { wake, commits: 0 }
    }

    /// Tells of one more commit.
    pub(super) fn count(&mut self) {
        self.commits = self.commits.saturating_add(1);
        if self.commits >= COMMITS {
            self.wake();
        }
    }

    pub(super) fn wake(&mut self) {
        self.commits = 0;
        // One that is busy will look once more.
        let _ = self.wake.try_send(());
    }
}

fn carry_over(path: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let is_done = |row: &rusqlite::Row<'_>| {
        let (blocked, frames, done): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(blocked == 0 && frames == done)
    };
    if connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], is_done)? {
        // The next to write begins the log anew, and syncs that: better here than on the path of a call.
        connection.execute("UPDATE meta SET checkpoints = checkpoints + 1", [])?;
    }
    Ok(())
}
