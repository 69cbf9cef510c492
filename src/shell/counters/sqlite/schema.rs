//! The database file: its schema, how it is created, and how to tell whether it is ours.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::files::LONG_LOG;
use super::{Trouble, files};
use crate::shell::os;

/// Marks a file as ours: "cgat".
const APPLICATION_ID: i32 = 0x6367_6174;
/// Page size in bytes. A call writes two small rows.
const PAGE: u32 = 1024;
/// How long commands and background threads wait for other processes.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(1);

/// The steps from each version of the schema to the next; `user_version` holds the version.
const MIGRATIONS: [&str; 1] = ["
    -- Who is counted. No number is given twice: processes remember them.
    CREATE TABLE counter (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        server TEXT NOT NULL,
        scope TEXT NOT NULL CHECK (scope IN ('grant', 'session', 'server')),
        holder TEXT NOT NULL,          -- the grant, the run, or nothing
        name TEXT NOT NULL,
        window INTEGER NOT NULL,       -- in seconds; 0: the session
        calendar INTEGER NOT NULL,     -- 1: fixed windows
        UNIQUE (server, scope, holder, name, window, calendar)
    ) STRICT;
    -- What was counted: as much as a call writes, and no more. src/shell/counters/sqlite/codec.rs reads it.
    CREATE TABLE charged (
        id INTEGER PRIMARY KEY REFERENCES counter (id) ON DELETE CASCADE,
        row BLOB NOT NULL
    ) STRICT;
    CREATE TABLE tended (rounds INTEGER NOT NULL) STRICT;
    INSERT INTO tended VALUES (0);
"];

/// Opens the database at `path`; if `anew`, it may be created. May wait for other processes.
///
/// # Errors
/// It is not ours, or cannot be used. The file is left unchanged.
pub(super) fn open(path: &Path, anew: bool) -> Result<Connection, Trouble> {
    files::make(path, anew, empty)?;
    if std::fs::metadata(path).is_ok_and(|found| found.len() > 0) {
        check_file(path)?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    // The connection may be closed because the file is wrong: do not copy the log into it then.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", LONG_LOG.to_string())?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "cache_size", -256)?;
    // Applies only to an empty file that someone put there.
    connection.pragma_update(None, "page_size", PAGE)?;
    migrate(&mut connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Opens the write-ahead log and its index, unless they are open.
    check_version(read(&connection, "user_version")?)?;
    Ok(connection)
}

/// The bytes of a database without counters.
pub(super) fn empty() -> anyhow::Result<Vec<u8>> {
    /// The header fields that tell readers and writers to use a write-ahead log
    /// (<https://sqlite.org/fileformat2.html#file_format_version_numbers>).
    const FORMATS: std::ops::Range<usize> = 18..20;
    const WITH_LOG: u8 = 2;
    let mut connection = Connection::open_in_memory()?;
    connection.pragma_update(None, "page_size", PAGE)?;
    migrate(&mut connection).map_err(|trouble| match trouble {
        Trouble::Busy => anyhow!("nobody else has it"),
        Trouble::Broken(error) => error,
    })?;
    let mut bytes = connection.serialize("main")?.to_vec();
    bytes.get_mut(FORMATS).context("it has no header")?.fill(WITH_LOG);
    Ok(bytes)
}

/// Verifies that the file itself, without its write-ahead log, is ours. Another process may be copying a log into it,
/// so this reads only the parts of the header that never change once the file exists.
///
/// # Errors
/// It is not ours, or a later callgate's.
pub(super) fn verify(path: &Path) -> Result<(), Trouble> {
    files::make(path, false, empty)?;
    check_file(path)
}

fn check_file(path: &Path) -> Result<(), Trouble> {
    match check_header(path) {
        // Another process is creating the file, or was killed while doing so. The database waits for it, or rolls back
        // its changes, and then [`migrate`] examines the result.
        Err(_) if files::journal(path).exists() => Ok(()),
        // The other process may have finished in between.
        Err(_) => check_header(path),
        Ok(()) => Ok(()),
    }
}

fn check_header(path: &Path) -> Result<(), Trouble> {
    let connection = open_alone(path)?;
    // Otherwise the database would compare the header with the length of the file. A checkpoint writes the header first
    // and extends the file later.
    connection.pragma_update(None, "writable_schema", true)?;
    check_owner(read(&connection, "application_id")?)?;
    check_version(read(&connection, "user_version")?)?;
    Ok(())
}

/// Opens a file without log and locks. A read means nothing if someone writes the file meanwhile: the caller has to
/// detect that, or read only what no writer changes.
pub(super) fn open_alone(path: &Path) -> rusqlite::Result<Connection> {
    let mut name = b"file:".to_vec();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'%' => name.extend_from_slice(b"%25"),
            b'?' => name.extend_from_slice(b"%3f"),
            b'#' => name.extend_from_slice(b"%23"),
            byte => name.push(*byte),
        }
    }
    name.extend_from_slice(b"?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(os::path_of_bytes(name), flags)
}

/// Migrates the schema to the current version.
fn migrate(connection: &mut Connection) -> Result<(), Trouble> {
    if steps_behind(connection)? == 0 {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let behind = steps_behind(&transaction)?;
    for step in MIGRATIONS.iter().skip(MIGRATIONS.len().saturating_sub(behind)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", MIGRATIONS.len().to_string())?;
    transaction.commit()?;
    Ok(())
}

/// Counts the steps that the database is behind; all of them if it is empty.
fn steps_behind(connection: &Connection) -> Result<usize, Trouble> {
    let objects: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if objects == 0 && read(connection, "application_id")? == 0 {
        return Ok(check_version(read(connection, "user_version")?)?);
    }
    check_owner(read(connection, "application_id")?)?;
    Ok(check_version(read(connection, "user_version")?)?)
}

fn check_owner(application_id: i32) -> anyhow::Result<()> {
    if application_id == APPLICATION_ID {
        return Ok(());
    }
    Err(anyhow!("it is another program's database"))
}

/// Counts the steps that a schema of this version is behind.
fn check_version(version: i32) -> anyhow::Result<usize> {
    let known = MIGRATIONS.len();
    usize::try_from(version)
        .ok()
        .and_then(|version| known.checked_sub(version))
        .with_context(|| format!("a newer callgate wrote it (schema {version}, not {known})"))
}

fn read(connection: &Connection, pragma: &str) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}
