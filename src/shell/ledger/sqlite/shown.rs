//! Counters for people: they are read without a trace, and reset by hand.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use rusqlite::{Connection, OpenFlags, params};

use crate::engine::limits::{Counter, LimitClock, Now};

use super::row::Row;
use super::store::{boot, scope, seen, transact, window};
use super::{Trouble, files, schema};
use crate::shell::ledger::CounterRow;

/// Reads all counters, and writes nothing.
pub(super) fn read(path: &Path, now: Now) -> anyhow::Result<Vec<CounterRow>> {
    schema::verify(path).map_err(told)?;
    let connection = open(path)?;
    connection.busy_timeout(schema::PATIENCE)?;
    let mut select = connection.prepare(
        "SELECT server, scope, holder, name, window, calendar, id, row
         FROM counter JOIN charged USING (id)
         ORDER BY server, scope, holder, name, window, calendar",
    )?;
    let boot = boot();
    let mut rows = select.query([])?;
    let mut counters = Vec::new();
    while let Some(found) = rows.next()? {
        let (seconds, calendar): (i64, bool) = (found.get(4)?, found.get(5)?);
        let window = window(seconds, calendar).context("a window is out of range")?;
        let row = Row::decode(found.get(6)?, window, found.get_ref(7)?.as_blob()?);
        let is_damaged = row.is_err();
        let row = row.unwrap_or_else(|_| Row::new(window));
        let mut clock = LimitClock::default();
        clock.heed(seen(&row, boot, now));
        let at_ms = clock.observe(now);
        counters.push(CounterRow {
            server: found.get(0)?,
            scope: scope(&found.get::<_, String>(1)?).context("a scope is unknown")?,
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

/// Whether there are counters of each of these servers; reads no more than one row of each, and waits for nobody.
pub(super) fn has_counters(path: &Path, servers: [&str; 2]) -> rusqlite::Result<[bool; 2]> {
    let connection = open(path)?;
    let mut select = connection.prepare("SELECT 1 FROM counter WHERE server = ?1 LIMIT 1")?;
    let mut has = |server: &str| select.exists([server]);
    let [one, other] = servers;
    Ok([has(one)?, has(other)?])
}

/// Without a write-ahead log nobody has the database open, and the file is all there is: to open it in the common way
/// would make a log.
fn open(path: &Path) -> rusqlite::Result<Connection> {
    if !files::log(path).exists() {
        return schema::open_alone(path);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
}

/// Sets counters back to nothing; see [`super::reset`].
pub(super) fn reset(
    path: &Path,
    server: Option<&str>,
    grant: Option<&str>,
    counter: &str,
) -> anyhow::Result<Vec<String>> {
    let connection = schema::open(path, false).map_err(told)?;
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
            // One that was damaged is as new.
            let row = Row::decode(id, window, &bytes).unwrap_or_else(|_| Row::new(window));
            Row { counter, ..row }.encode(id, &mut bytes);
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
