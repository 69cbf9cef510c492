//! The database itself: its schema, and the transactions on it.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use foldhash::fast::RandomState;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, TransactionBehavior, params};

use crate::engine::limits::{
    Amount, Counter, CounterKey, Demand, Few, LimitClock, Now, Reservation, Scope, Settlement,
    Window, settle,
};

use super::Trouble;
use crate::shell::ledger::CounterRow;

/// Marks a file as ours: "cgat".
const APPLICATION_ID: i32 = 0x6367_6174;
/// The size of a page.
const PAGE_BYTES: i32 = 1024;
/// How long commands wait for other processes.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a run that is over waits for them.
const LAST_PATIENCE: Duration = Duration::from_millis(50);
/// Rows of runs that were killed are kept for a month after their last charge.
const KEPT_MS: u64 = 31 * 24 * 60 * 60 * 1000;

/// What takes a database from one version of its schema to the next; the version is `user_version`.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE counter (
        id INTEGER PRIMARY KEY,
        server TEXT NOT NULL,
        scope TEXT NOT NULL CHECK (scope IN ('grant', 'session', 'server')),
        holder TEXT NOT NULL,          -- the grant, the run, or nothing
        name TEXT NOT NULL,
        window INTEGER NOT NULL,       -- in seconds; 0: the session
        calendar INTEGER NOT NULL,     -- 1: fixed windows
        max TEXT NOT NULL,             -- the smallest that was last asked for, in units of 10^-9
        seen_ms INTEGER NOT NULL,      -- the time of limits at the last charge, since the epoch
        steady_ms INTEGER NOT NULL,    -- the same on the machine's steady clock
        boot TEXT NOT NULL,            -- which start of the machine that clock counts from
        slots BLOB NOT NULL,           -- pairs of slot and charge, oldest first
        UNIQUE (server, scope, holder, name, window, calendar)
    ) STRICT;
    CREATE TABLE meta (checkpoints INTEGER NOT NULL) STRICT;
    INSERT INTO meta VALUES (0);
"];

/// Whose counters they are.
#[derive(Debug, Clone)]
pub(super) struct Names {
    server: String,
    grant: String,
    run: String,
    /// Which start of the machine this is.
    boot: String,
}

impl Names {
    pub(super) fn new(server: &str, grant: &str, run: &str) -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = boot.trim().to_owned();
        Names { server: server.to_owned(), grant: grant.to_owned(), run: run.to_owned(), boot }
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
    /// Where rows are that were found once. Rows are never removed while their run lives.
    ids: HashMap<CounterKey, i64, RandomState>,
}

/// A counter as it was read, and its row if it has one.
type Kept = (Counter, Option<i64>);

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, Trouble> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::ZERO)?;
        migrate(&mut connection)?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "cache_size", -256)?;
        Ok(Store { connection, ids: HashMap::default() })
    }

    /// One transaction over all limits of a call.
    pub(super) fn reserve(
        &mut self,
        names: &Names,
        demands: &[Demand],
        clock: &mut LimitClock,
        now: Now,
    ) -> Result<Settlement, Trouble> {
        self.transact(|store| {
            let mut keys: Few<&CounterKey> = Few::new();
            let mut counters = Vec::with_capacity(demands.len());
            let mut rows: Few<Option<i64>> = Few::new();
            let mut places: Few<usize> = Few::new();
            for Demand { counter: key, .. } in demands {
                let place = keys.iter().position(|known| *known == key).unwrap_or(keys.len());
                if place == keys.len() {
                    let (counter, row) = store.read(names, key, clock, now)?;
                    keys.push(key);
                    counters.push(counter);
                    rows.push(row);
                }
                places.push(place);
            }
            let at_ms = clock.observe(now);
            let settled = settle(demands, &places, &mut counters, at_ms);
            let Settlement::Charged { reservation, .. } = &settled else { return Ok(settled) };
            let seen = Now { wall_ms: at_ms, monotonic_ms: now.monotonic_ms };
            for ((key, counter), row) in keys.iter().zip(&counters).zip(rows) {
                if reservation.charges.iter().any(|charge| charge.counter == **key) {
                    let of_key = demands.iter().filter(|demand| demand.counter == **key);
                    let max = of_key.map(|demand| demand.max).min().unwrap_or_default();
                    store.write(names, key, row, counter, max, seen)?;
                }
            }
            Ok(settled)
        })
    }

    /// Gives back what was charged.
    pub(super) fn release(
        &mut self,
        names: &Names,
        reservation: &Reservation,
    ) -> Result<(), Trouble> {
        self.transact(|store| {
            for charge in &reservation.charges {
                // Time is of no account here.
                let mut clock = LimitClock::default();
                let kept = store.read(names, &charge.counter, &mut clock, Now::default())?;
                if let (mut counter, Some(id)) = kept {
                    counter.refund(charge.cost, charge.slot);
                    let update = "UPDATE counter SET slots = ?2 WHERE id = ?1";
                    let slots = encode(&counter);
                    store.connection.prepare_cached(update)?.execute(params![id, slots])?;
                }
            }
            Ok(())
        })
    }

    /// Removes what belongs to this run alone.
    pub(super) fn forget_run(&mut self, names: &Names) -> Result<(), Trouble> {
        if self.ids.keys().any(|key| key.scope == Scope::Session) {
            self.connection.busy_timeout(LAST_PATIENCE)?;
            let forget = "DELETE FROM counter WHERE scope = 'session' AND holder = ?1";
            self.connection.execute(forget, [&names.run])?;
        }
        Ok(())
    }

    /// Removes what belonged to runs that were killed. `lives` says of a run whether it may still live.
    pub(super) fn sweep(&mut self, now: Now, lives: impl Fn(&str) -> bool) -> Result<(), Trouble> {
        let before = integer(now.wall_ms.saturating_sub(KEPT_MS));
        let old = "SELECT DISTINCT holder FROM counter WHERE scope = 'session' AND seen_ms < ?1";
        let runs: Vec<String> = self
            .connection
            .prepare(old)?
            .query_map([before], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for run in runs.iter().filter(|run| !lives(run)) {
            let sweep = "DELETE FROM counter WHERE scope = 'session' AND holder = ?1";
            self.connection.execute(sweep, [run])?;
        }
        Ok(())
    }

    /// Runs `body` in one transaction that nothing else can come between.
    fn transact<T>(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let done = body(self).and_then(|done| {
            self.connection.prepare_cached("COMMIT")?.execute([])?;
            Ok(done)
        });
        if done.is_err() && !self.connection.is_autocommit() {
            // What cannot be rolled back now is so when the connection is closed.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        done
    }

    /// Reads a counter, and lets the clock heed the time that it has seen.
    fn read(
        &mut self,
        names: &Names,
        key: &CounterKey,
        clock: &mut LimitClock,
        now: Now,
    ) -> Result<Kept, Trouble> {
        let read = |row: &Row<'_>| -> rusqlite::Result<(i64, Now, Vec<u8>)> {
            let steady_ms = natural(row.get(2)?).min(now.monotonic_ms);
            let same_boot = row.get_ref(3)?.as_str().is_ok_and(|boot| boot == names.boot);
            // Of another start of the machine only the time of day is worth something.
            let monotonic_ms = if same_boot { steady_ms } else { now.monotonic_ms };
            let seen = Now { wall_ms: natural(row.get(1)?), monotonic_ms };
            Ok((row.get(0)?, seen, row.get_ref(4)?.as_blob()?.to_vec()))
        };
        let found = if let Some(id) = self.ids.get(key) {
            self.connection.prepare_cached(BY_ID)?.query_row([id], read).optional()?
        } else {
            let (window, calendar) = spell(key.window);
            let (scope, holder) = (scope_name(key.scope), names.holder(key.scope));
            let known = params![names.server, scope, holder, &*key.name, window, calendar];
            self.connection.prepare_cached(BY_KEY)?.query_row(known, read).optional()?
        };
        let Some((id, seen, slots)) = found else {
            self.ids.remove(key);
            return Ok((Counter::new(key.window), None));
        };
        clock.heed(seen);
        if !self.ids.contains_key(key) {
            self.ids.insert(key.clone(), id);
        }
        Ok((decode(key.window, &slots)?, Some(id)))
    }

    fn write(
        &mut self,
        names: &Names,
        key: &CounterKey,
        row: Option<i64>,
        counter: &Counter,
        max: Amount,
        seen: Now,
    ) -> Result<(), Trouble> {
        let (seen_ms, steady_ms) = (integer(seen.wall_ms), integer(seen.monotonic_ms));
        let (max, slots) = (max.nanos().to_string(), encode(counter));
        if let Some(id) = row {
            let known = params![id, max, seen_ms, steady_ms, names.boot, slots];
            self.connection.prepare_cached(UPDATE)?.execute(known)?;
            return Ok(());
        }
        let (window, calendar) = spell(key.window);
        let (scope, holder) = (scope_name(key.scope), names.holder(key.scope));
        let name = &*key.name;
        let whose = params![
            names.server,
            scope,
            holder,
            name,
            window,
            calendar,
            max,
            seen_ms,
            steady_ms,
            names.boot,
            slots
        ];
        self.connection.prepare_cached(INSERT)?.execute(whose)?;
        Ok(())
    }
}

const BY_ID: &str = "SELECT id, seen_ms, steady_ms, boot, slots FROM counter WHERE id = ?1";
const BY_KEY: &str = "SELECT id, seen_ms, steady_ms, boot, slots FROM counter
    WHERE server = ?1 AND scope = ?2 AND holder = ?3 AND name = ?4 AND window = ?5 AND calendar = ?6";
const UPDATE: &str =
    "UPDATE counter SET max = ?2, seen_ms = ?3, steady_ms = ?4, boot = ?5, slots = ?6
    WHERE id = ?1";
const INSERT: &str = "INSERT INTO counter
    (server, scope, holder, name, window, calendar, max, seen_ms, steady_ms, boot, slots)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// Brings the schema up to date. A file that is empty becomes ours; any other that is not stays as it is.
fn migrate(connection: &mut Connection) -> Result<(), Trouble> {
    let read = |connection: &Connection, pragma| {
        connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0))
    };
    let known = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
    let version = read(connection, "user_version")?;
    if read(connection, "application_id")? == APPLICATION_ID {
        if version == known {
            return Ok(());
        }
        if version > known {
            let newer = anyhow!("a newer callgate has written it (schema {version}, not {known})");
            return Err(newer.into());
        }
    } else {
        let is_empty = "SELECT count(*) = 0 FROM sqlite_schema";
        if !connection.query_row(is_empty, [], |row| row.get::<_, bool>(0))? {
            return Err(anyhow!("it is a database of another program").into());
        }
    }
    // Outside of any transaction; both stay so for good. Rows are small, and whole pages go to the log.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let version = read(&transaction, "user_version")?;
    for step in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or_default()) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

/// Reads all counters, and writes nothing.
pub(super) fn read(path: &Path, now: Now) -> anyhow::Result<Vec<CounterRow>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    let mut select = connection.prepare(
        "SELECT server, scope, holder, name, window, calendar, max, seen_ms, slots FROM counter
         ORDER BY server, scope, holder, name, window, calendar",
    )?;
    let mut rows = select.query([])?;
    let mut counters = Vec::new();
    while let Some(row) = rows.next()? {
        let (seconds, calendar): (i64, bool) = (row.get(4)?, row.get(5)?);
        let window = window(seconds, calendar).context("a window is out of range")?;
        let counter = decode(window, row.get_ref(8)?.as_blob()?)?;
        let seen_ms = natural(row.get(7)?);
        let at_ms = seen_ms.max(now.wall_ms);
        let max: String = row.get(6)?;
        let max =
            max.parse().ok().and_then(Amount::from_nanos).context("a limit is out of range")?;
        counters.push(CounterRow {
            server: row.get(0)?,
            scope: scope(&row.get::<_, String>(1)?).context("a scope is unknown")?,
            holder: row.get(2)?,
            name: row.get(3)?,
            window,
            used: Amount::from_nanos(counter.used(at_ms)).unwrap_or_default(),
            max,
            frees_at_ms: counter.frees_at_ms(at_ms),
            seen_ms,
        });
    }
    Ok(counters)
}

/// Sets counters back to nothing; see [`super::reset`].
pub(super) fn reset(
    path: &Path,
    server: Option<&str>,
    grant: Option<&str>,
    counter: &str,
) -> anyhow::Result<Vec<String>> {
    let mut store = Store::open(path).map_err(told)?;
    store.connection.busy_timeout(PATIENCE)?;
    let which = "name = ?1 AND (?2 IS NULL OR server = ?2)
        AND (?3 IS NULL OR (scope = 'grant' AND holder = ?3))";
    let reset = |store: &mut Store| {
        let select = format!("SELECT server FROM counter WHERE {which}");
        let servers: Vec<String> = store
            .connection
            .prepare(&select)?
            .query_map(params![counter, server, grant], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let update = format!("UPDATE counter SET slots = x'' WHERE {which}");
        store.connection.execute(&update, params![counter, server, grant])?;
        Ok(servers)
    };
    store.transact(reset).map_err(told)
}

fn told(trouble: Trouble) -> anyhow::Error {
    match trouble {
        Trouble::Busy => anyhow!("another process has locked it for a second"),
        Trouble::Broken(error) => error,
    }
}

/// A window in seconds, and whether it is a fixed one. A session is 0 seconds.
fn spell(window: Window) -> (i64, bool) {
    match window {
        Window::Sliding(seconds) => (seconds.into(), false),
        Window::Calendar(seconds) => (seconds.into(), true),
        Window::Session => (0, false),
    }
}

fn window(seconds: i64, calendar: bool) -> Option<Window> {
    match (u32::try_from(seconds).ok()?, calendar) {
        (0, _) => Some(Window::Session),
        (seconds, true) => Some(Window::Calendar(seconds)),
        (seconds, false) => Some(Window::Sliding(seconds)),
    }
}

fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Grant => "grant",
        Scope::Session => "session",
        Scope::Server => "server",
    }
}

fn scope(name: &str) -> Option<Scope> {
    let all = [Scope::Grant, Scope::Session, Scope::Server];
    all.into_iter().find(|scope| scope_name(*scope) == name)
}

/// Slots and charges as numbers of seven bits a byte, the lowest first. A slot is counted from the one before.
fn encode(counter: &Counter) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    let mut before = 0;
    for (slot, nanos) in counter.charged() {
        push(&mut bytes, u128::from(slot.saturating_sub(before)));
        push(&mut bytes, nanos);
        before = slot;
    }
    bytes
}

fn decode(window: Window, bytes: &[u8]) -> anyhow::Result<Counter> {
    let mut numbers = Numbers { bytes };
    let mut charged: Vec<(u64, u128)> = Vec::new();
    let mut slot = 0_u64;
    while !numbers.bytes.is_empty() {
        let (step, nanos) = (numbers.next(), numbers.next());
        let (Some(step), Some(nanos)) = (step, nanos) else {
            return Err(anyhow!("the slots of a counter are damaged"));
        };
        slot = slot.saturating_add(u64::try_from(step).unwrap_or(u64::MAX));
        charged.push((slot, nanos));
    }
    Ok(Counter::restore(window, charged))
}

fn push(bytes: &mut Vec<u8>, mut number: u128) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

struct Numbers<'b> {
    bytes: &'b [u8],
}

impl Numbers<'_> {
    /// The next number; `None` if it is cut off or too large.
    fn next(&mut self) -> Option<u128> {
        let mut number = 0_u128;
        for shift in (0..128).step_by(7) {
            let (byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            number |= u128::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

/// The integers of the database are signed.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn natural(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
