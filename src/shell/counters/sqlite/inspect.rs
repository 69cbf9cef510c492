//! Reads counters for people without leaving a trace, and resets them.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use rusqlite::{Connection, OpenFlags, params};

use crate::engine::limits::{Counter, LimitClock, Now, Scope};
use crate::shell::os;

use super::codec::StoredRow;
use super::files::FoundFile;
use super::store::{transact, window};
use super::{Trouble, files, schema};
use crate::shell::counters::CounterRow;
use crate::shell::os::clock::moment;

/// How often to retry reading a file that other processes begin to write at the same time.
const ATTEMPTS: usize = 100;

/// Reads all counters without writing anything.
pub(super) fn read(path: &Path, now: Now) -> anyhow::Result<Vec<CounterRow>> {
    for _ in 0..ATTEMPTS {
        if let Some(counters) = look(path, |connection| rows(connection, now))? {
            return Ok(counters);
        }
        std::thread::yield_now();
    }
    Err(anyhow!("other processes open and close it all the time"))
}

/// Tells for each of these servers whether it has counters: reads at most one row of each, and tries once. `None` if
/// another process began to use the database meanwhile.
pub(super) fn has_counters(path: &Path, servers: [&str; 2]) -> anyhow::Result<Option<[bool; 2]>> {
    look(path, |connection| {
        let mut select = connection.prepare("SELECT 1 FROM counter WHERE server = ?1 LIMIT 1")?;
        let [one, other] = servers;
        Ok([select.exists([one])?, select.exists([other])?])
    })
}

/// Reads the database without writing anything. `None` if another process began to use it meanwhile.
fn look<T>(
    path: &Path,
    read: impl FnOnce(&Connection) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    if files::log(path).exists() {
        schema::verify(path).map_err(told)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(schema::LOCK_WAIT)?;
        return read(&connection).map(Some);
    }
    // Nobody has the database open and there is no log. Opening it the usual way would create one, so read the file
    // alone; the result counts if the file is still the same afterwards.
    let before = FoundFile::at(path)?;
    let found = schema::verify(path).map_err(told).and_then(|()| read(&schema::open_alone(path)?));
    if files::log(path).exists() || FoundFile::at(path)? != before {
        return Ok(None);
    }
    found.map(Some)
}

fn rows(connection: &Connection, now: Now) -> anyhow::Result<Vec<CounterRow>> {
    let mut select = connection.prepare(
        "SELECT server, scope, holder, name, window, calendar, id, row
         FROM counter JOIN charged USING (id)
         ORDER BY server, scope, holder, name, window, calendar",
    )?;
    let (boot, own_ms) = (os::boot_id(), LimitClock::default().observe(now));
    let mut rows = select.query([])?;
    let mut counters = Vec::new();
    while let Some(found) = rows.next()? {
        let (seconds, calendar): (i64, bool) = (found.get(4)?, found.get(5)?);
        let window = window(seconds, calendar).context("a window is out of range")?;
        let row = StoredRow::decode(found.get(6)?, window, found.get_ref(7)?.as_blob()?);
        let is_damaged = row.is_err();
        let row = row.unwrap_or_else(|_| StoredRow::new(window));
        let at_ms = row.time_ms(boot, own_ms, now);
        counters.push(CounterRow {
            server: found.get(0)?,
            scope: Scope::from_word(&found.get::<_, String>(1)?).context("a scope is unknown")?,
            holder: found.get(2)?,
            name: found.get(3)?,
            window,
            counter: row.counter,
            at_ms,
            max: row.max,
            seen_ms: row.seen.wall_ms,
            is_damaged,
        });
    }
    Ok(counters)
}

/// Resets counters to zero; see [`super::reset`].
pub(super) fn reset(
    path: &Path,
    server: Option<&str>,
    grant: Option<&str>,
    counter: &str,
) -> anyhow::Result<Vec<String>> {
    let connection = schema::open(path, false).map_err(told)?;
    let now = moment();
    let (boot, own_ms) = (os::boot_id(), LimitClock::default().observe(now));
    let servers = transact(&connection, |connection| {
        let mut select = connection.prepare(
            "SELECT id, server, window, calendar, row FROM counter JOIN charged USING (id)
             WHERE name = ?1 AND (?2 IS NULL OR server = ?2)
             AND (?3 IS NULL OR (scope = 'grant' AND holder = ?3))",
        )?;
        let mut update = connection.prepare("UPDATE charged SET row = ?2 WHERE id = ?1")?;
        let mut found = select.query(params![counter, server, grant])?;
        let mut servers = Vec::new();
        while let Some(row) = found.next()? {
            let (id, mut bytes): (i64, Vec<u8>) = (row.get(0)?, row.get(4)?);
            let window = window(row.get(2)?, row.get(3)?).context("a window is out of range")?;
            servers.push(row.get(1)?);
            let counter = Counter::new(window);
            // A damaged row becomes a fresh one.
            let mut row =
                StoredRow::decode(id, window, &bytes).unwrap_or_else(|_| StoredRow::new(window));
            if row.seen.wall_ms > own_ms {
                // A charge under a wrong clock need not move the time on.
                row.boot = boot;
                row.seen = Now { wall_ms: own_ms, ..now };
            }
            StoredRow { counter, ..row }.encode(id, &mut bytes);
            update.execute(params![id, bytes])?;
        }
        Ok(servers)
    });
    servers.map_err(told)
}

fn told(trouble: Trouble) -> anyhow::Error {
    match trouble {
        Trouble::Busy => anyhow!("another process has locked it for a second"),
        Trouble::Broken(error) => error,
    }
}
