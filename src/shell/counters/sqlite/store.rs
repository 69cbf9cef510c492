//! The transactions of a ledger on an open database.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use foldhash::fast::RandomState;
use rusqlite::config::DbConfig;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};

use crate::engine::limits::{
    Charge, Counter, CounterKey, Demand, Few, LimitClock, Now, Reservation, Scope, Settlement,
    Window, settle,
};
use crate::shell::os::{self, FileId};

use super::codec::StoredRow;
use super::files::FoundFile;
use super::{Trouble, files, schema};
use crate::shell::grace::STORE_LOCK;

/// Rows removed in one transaction, for which other processes wait.
pub(super) const AT_ONCE: usize = 256;

/// The owner of the counters: server, grant and run.
#[derive(Debug, Clone)]
pub(super) struct StoreNames {
    server: String,
    grant: String,
    pub(super) run: String,
    /// The current boot of the machine.
    boot: u64,
}

impl StoreNames {
    pub(super) fn new(server: &str, grant: &str, run: &str) -> Self {
        StoreNames {
            server: server.to_owned(),
            grant: grant.to_owned(),
            run: run.to_owned(),
            boot: os::boot_id(),
        }
    }

    fn holder(&self, scope: Scope) -> &str {
        match scope {
            Scope::Grant => &self.grant,
            Scope::Session => &self.run,
            Scope::Server => "",
        }
    }
}

/// An open database.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    stamp: FileId,
    /// The ids of rows found so far; no id is used twice.
    ids: HashMap<CounterKey, i64, RandomState>,
    /// Encoded rows, before they are written.
    buffer: Vec<u8>,
}

/// The counters of this run alone, as last charged. No other process charges them. If their rows vanish because the run
/// was taken for dead or the files were replaced, the run continues from here.
pub(super) type Own = HashMap<CounterKey, Counter, RandomState>;

/// A counter of a call, as read from the store.
struct KeptCounter {
    /// `None` if it has no row yet.
    id: Option<i64>,
    row: StoredRow,
    /// The row must be written whatever the decision.
    is_stale: bool,
}

impl Store {
    /// Opens the database; if `anew`, it may be created. May wait for other processes.
    pub(super) fn open(path: &Path, anew: bool) -> Result<Self, Trouble> {
        files::make(path, anew, schema::empty)?;
        let stamp = FoundFile::at(path)?.stamp;
        let connection = schema::open(path, anew)?;
        connection.set_prepared_statement_cache_capacity(16);
        // From here on, never wait for another process.
        connection.busy_timeout(Duration::ZERO)?;
        Ok(Store { connection, stamp, ids: HashMap::default(), buffer: Vec::new() })
    }

    /// The identity of the opened file.
    pub(super) fn stamp(&self) -> FileId {
        self.stamp
    }

    /// Forgets what was read before another process wrote the database.
    pub(super) fn read_anew(&mut self, path: &Path) -> Result<(), Trouble> {
        schema::verify(path)?;
        self.connection.execute_batch("PRAGMA shrink_memory")?;
        Ok(())
    }

    /// Charges all limits of a call in one transaction.
    pub(super) fn reserve(
        &mut self,
        names: &StoreNames,
        demands: &[Demand],
        own: &mut Own,
        clock: &mut LimitClock,
        now: Now,
    ) -> Result<Settlement, Trouble> {
        let own_ms = clock.observe(now);
        let Store { connection, ids, buffer, .. } = self;
        let mut charged: Few<(CounterKey, Counter)> = Few::new();
        let settled = transact(connection, |connection| {
            let mut keys: Few<&CounterKey> = Few::new();
            let mut rows: Few<KeptCounter> = Few::new();
            let mut counters: Vec<Counter> = Vec::with_capacity(demands.len());
            let mut times: Few<u64> = Few::new();
            let mut places: Few<usize> = Few::new();
            let mut by_id = connection.prepare_cached(BY_ID)?;
            for Demand { counter: key, .. } in demands {
                let place = keys.iter().position(|known| *known == key).unwrap_or(keys.len());
                if place == keys.len() {
                    let mut kept = read(connection, &mut by_id, ids, names, key)?;
                    if kept.id.is_some() {
                        times.push(kept.row.time_ms(names.boot, own_ms, now));
                    } else {
                        times.push(own_ms);
                        if let Some(counter) = own.get(key) {
                            kept.row.counter = counter.clone();
                        }
                    }
                    let of_key = demands.iter().filter(|demand| demand.counter == *key);
                    let max = of_key.map(|demand| demand.max).min().unwrap_or_default();
                    // After another boot, its time must count from now on, for everyone.
                    kept.is_stale =
                        kept.id.is_some() && (kept.row.max != max || kept.row.boot != names.boot);
                    kept.row.max = max;
                    kept.row.boot = names.boot;
                    keys.push(key);
                    counters.push(std::mem::replace(
                        &mut kept.row.counter,
                        Counter::new(Window::Session),
                    ));
                    rows.push(kept);
                }
                places.push(place);
            }
            let at_ms = |place: usize| times.get(place).copied().unwrap_or(own_ms);
            let settled = settle(demands, &places, &mut counters, at_ms);
            let charges = match &settled {
                Settlement::Charged { reservation, .. } => reservation.charges.as_slice(),
                Settlement::Exhausted { .. } => &[],
            };
            for (((key, counter), KeptCounter { id, mut row, is_stale }), &wall_ms) in
                keys.into_iter().zip(counters).zip(rows).zip(&times)
            {
                if is_stale || charges.iter().any(|charge| charge.counter == *key) {
                    let seen = Now { wall_ms, monotonic_ms: now.monotonic_ms };
                    row = StoredRow { seen, counter, ..row };
                    write(connection, names, key, id, &row, buffer)?;
                    if key.scope == Scope::Session {
                        charged.push((key.clone(), row.counter));
                    }
                }
            }
            Ok(settled)
        })?;
        own.extend(charged);
        Ok(settled)
    }

    /// Gives charges back.
    pub(super) fn release(
        &mut self,
        names: &StoreNames,
        reservation: &Reservation,
        own: &mut Own,
    ) -> Result<(), Trouble> {
        let Store { connection, ids, buffer, .. } = self;
        transact(connection, |connection| {
            let mut by_id = connection.prepare_cached(BY_ID)?;
            for charge in &reservation.charges {
                let mut kept = read(connection, &mut by_id, ids, names, &charge.counter)?;
                if kept.id.is_some() {
                    kept.row.counter.refund(charge.cost, charge.slot);
                    write(connection, names, &charge.counter, kept.id, &kept.row, buffer)?;
                }
            }
            Ok(())
        })?;
        for Charge { counter, slot, cost } in &reservation.charges {
            if let Some(counter) = own.get_mut(counter) {
                counter.refund(*cost, *slot);
            }
        }
        Ok(())
    }

    /// Leaves the database for good: removes the rows of this run. The last process to leave copies the write-ahead log
    /// into the database.
    pub(super) fn leave(self) -> Result<(), Trouble> {
        let of_this_run = self.ids.iter().filter(|(key, _)| key.scope == Scope::Session);
        let ids: Vec<i64> = of_this_run.map(|(_, id)| *id).collect();
        self.connection.busy_timeout(STORE_LOCK)?;
        for ids in ids.chunks(AT_ONCE) {
            transact(&self.connection, |connection| {
                let mut forget = connection.prepare_cached(FORGET)?;
                ids.iter().try_for_each(|id| Ok(forget.execute([id]).map(drop)?))
            })?;
        }
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        Ok(())
    }
}

const BY_ID: &str = "SELECT row FROM charged WHERE id = ?1";
const BY_KEY: &str = "SELECT id FROM counter
    WHERE server = ?1 AND scope = ?2 AND holder = ?3 AND name = ?4 AND window = ?5 AND calendar = ?6";
const UPDATE: &str = "UPDATE charged SET row = ?2 WHERE id = ?1";
const INSERT: &str = "INSERT INTO charged (id, row) VALUES (?1, ?2)";
const INSERT_KEY: &str = "INSERT INTO counter (server, scope, holder, name, window, calendar)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id";
const FORGET: &str = "DELETE FROM counter WHERE id = ?1";

/// Runs `body` in one transaction, isolated from all others.
pub(super) fn transact<T>(
    connection: &Connection,
    body: impl FnOnce(&Connection) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let done = body(connection).and_then(|done| {
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(done)
    });
    if done.is_err() && !connection.is_autocommit() {
        // A failed rollback happens when the connection is closed.
        let _ = connection.execute_batch("ROLLBACK");
    }
    done
}

fn read(
    connection: &Connection,
    by_id: &mut CachedStatement<'_>,
    ids: &mut HashMap<CounterKey, i64, RandomState>,
    names: &StoreNames,
    key: &CounterKey,
) -> Result<KeptCounter, Trouble> {
    let found = match ids.get(key) {
        Some(&id) => Some((id, row(by_id, id, key.window)?)),
        None => find(connection, names, key)?
            .map(|id| -> Result<_, Trouble> { Ok((id, row(by_id, id, key.window)?)) })
            .transpose()?,
    };
    if let Some((id, Some(row))) = found {
        if !ids.contains_key(key) {
            ids.insert(key.clone(), id);
        }
        return Ok(KeptCounter { id: Some(id), row, is_stale: false });
    }
    // The row was removed meanwhile, or never existed.
    ids.remove(key);
    Ok(KeptCounter { id: None, row: StoredRow::new(key.window), is_stale: false })
}

fn row(
    by_id: &mut CachedStatement<'_>,
    id: i64,
    window: Window,
) -> Result<Option<StoredRow>, Trouble> {
    let mut rows = by_id.query([id])?;
    let Some(found) = rows.next()? else { return Ok(None) };
    let bytes = found.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
    Ok(Some(StoredRow::decode(id, window, bytes)?))
}

fn find(
    connection: &Connection,
    names: &StoreNames,
    key: &CounterKey,
) -> Result<Option<i64>, Trouble> {
    let (window, calendar) = spell(key.window);
    let (scope, holder) = (key.scope.word(), names.holder(key.scope));
    let known = params![names.server, scope, holder, &*key.name, window, calendar];
    Ok(connection.prepare_cached(BY_KEY)?.query_row(known, |row| row.get(0)).optional()?)
}

fn write(
    connection: &Connection,
    names: &StoreNames,
    key: &CounterKey,
    id: Option<i64>,
    row: &StoredRow,
    buffer: &mut Vec<u8>,
) -> Result<(), Trouble> {
    if let Some(id) = id {
        row.encode(id, buffer);
        connection.prepare_cached(UPDATE)?.execute(params![id, &buffer[..]])?;
        return Ok(());
    }
    let (window, calendar) = spell(key.window);
    let (scope, holder) = (key.scope.word(), names.holder(key.scope));
    let whose = params![names.server, scope, holder, &*key.name, window, calendar];
    let id: i64 = connection.prepare_cached(INSERT_KEY)?.query_row(whose, |row| row.get(0))?;
    row.encode(id, buffer);
    connection.prepare_cached(INSERT)?.execute(params![id, &buffer[..]])?;
    Ok(())
}

/// A window in seconds, and whether it is a calendar window. A session is 0 seconds.
fn spell(window: Window) -> (i64, bool) {
    match window {
        Window::Sliding(seconds) => (seconds.into(), false),
        Window::Calendar(seconds) => (seconds.into(), true),
        Window::Session => (0, false),
    }
}

pub(super) fn window(seconds: i64, calendar: bool) -> Option<Window> {
    match (u32::try_from(seconds).ok()?, calendar) {
        (0, _) => Some(Window::Session),
        (seconds, true) => Some(Window::Calendar(seconds)),
        (seconds, false) => Some(Window::Sliding(seconds)),
    }
}
