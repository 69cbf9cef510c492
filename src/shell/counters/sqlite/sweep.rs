//! Removes stale rows so that a store does not grow for ever: rows of runs that were killed, and rows of counters that
//! no policy names any longer.
//!
//! Sweeping happens beside the calls, over a bounded part of a large store at each start. Other processes wait for no
//! more than one short transaction.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::engine::limits::{LimitClock, Now};
use crate::shell::os;

use super::Trouble;
use super::codec::StoredRow;
use super::store::{AT_ONCE, transact, window};

/// How long rows of ended runs are kept after their last charge, in milliseconds.
const RUN_KEPT_MS: u64 = 60 * 1000;
/// How long other rows are kept after their last charge, in milliseconds: a month longer than any window (contract P9).
const KEPT_MS: u64 = (366 + 31) * 86_400 * 1000;
/// Rows that one sweep examines.
const LOOKED_AT: i64 = 4096;
/// The directory with a file for each live run.
const SESSIONS: &str = "sessions";

/// Removes the rows that are certainly stale. `run` is our own.
pub(super) fn sweep(
    connection: &Connection,
    path: &Path,
    run: &str,
    now: Now,
) -> Result<(), Trouble> {
    let sessions = path.with_file_name(SESSIONS);
    let lives = |other: &str| {
        other == run || !sessions.is_dir() || sessions.join(format!("{other}.json")).exists()
    };
    for rows in useless(connection, lives, now)?.chunks(AT_ONCE) {
        transact(connection, |connection| {
            let mut remove = connection.prepare_cached(REMOVE)?;
            rows.iter().try_for_each(|(id, row)| Ok(remove.execute(params![id, row]).map(drop)?))
        })?;
    }
    Ok(())
}

const NEWEST: &str = "SELECT coalesce(max(id), 0) FROM counter";
const LOOK: &str = "SELECT id, scope = 'session', holder, window, calendar, row
    FROM counter JOIN charged USING (id) WHERE id > ?1 ORDER BY id LIMIT ?2";
/// Removes a row unless it was charged since the sweep read it.
const REMOVE: &str = "DELETE FROM counter WHERE id = ?1
    AND EXISTS (SELECT 1 FROM charged WHERE id = ?1 AND row = ?2)";

/// Finds stale rows by their ids. Damaged rows stay, so that people can see them.
fn useless(
    connection: &Connection,
    lives: impl Fn(&str) -> bool,
    now: Now,
) -> Result<Vec<(i64, Vec<u8>)>, Trouble> {
    let newest: i64 = connection.query_row(NEWEST, [], |row| row.get(0))?;
    // A large store has another part swept each time.
    let steady_ms = i64::try_from(now.monotonic_ms).unwrap_or_default();
    let begin =
        if newest > LOOKED_AT { steady_ms.checked_rem(newest).unwrap_or_default() } else { 0 };
    let (boot, own_ms) = (os::boot_id(), LimitClock::default().observe(now));
    let mut select = connection.prepare(LOOK)?;
    let mut found = select.query(params![begin, LOOKED_AT])?;
    let mut useless = Vec::new();
    while let Some(columns) = found.next()? {
        let (id, of_run, run): (i64, bool, String) =
            (columns.get(0)?, columns.get(1)?, columns.get(2)?);
        let bytes: Vec<u8> = columns.get(5)?;
        let window = window(columns.get(3)?, columns.get(4)?);
        let Some(row) = window.and_then(|window| StoredRow::decode(id, window, &bytes).ok()) else {
            continue;
        };
        let at_ms = row.time_ms(boot, own_ms, now);
        // A run that was wrongly taken for dead continues from its own memory, so any clock will do there.
        let (kept_ms, at_ms) =
            if of_run { (RUN_KEPT_MS, at_ms.max(own_ms)) } else { (KEPT_MS, at_ms) };
        let is_old = row.seen.wall_ms.saturating_add(kept_ms) < at_ms;
        if is_old && !(of_run && lives(&run)) {
            useless.push((id, bytes));
        }
    }
    Ok(useless)
}

#[cfg(test)]
mod tests {
    use super::{KEPT_MS, RUN_KEPT_MS, sweep};
    use crate::engine::limits::{
        Amount, CounterKey, Demand, LimitClock, Now, Scope, Settlement, Window,
    };
    use crate::shell::counters::sqlite::schema;
    use crate::shell::counters::sqlite::store::{Own, Store, StoreNames};

    fn one(name: &str, scope: Scope, window: Window) -> Demand {
        let counter = CounterKey { scope, name: name.into(), window };
        Demand { counter, cost: Amount::ONE, max: Amount::ONE, enforced: true }
    }

    /// contract S2: a store does not grow for ever, and sweeping removes no row that could deny a call.
    #[test]
    fn only_stale_rows_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        std::fs::create_dir(directory.path().join("sessions")).unwrap();
        std::fs::write(directory.path().join("sessions/lives.json"), "{}").unwrap();
        let begin = Now { wall_ms: 1_767_225_600_000, monotonic_ms: 1000 };
        let later = |passed_ms: u64| Now {
            wall_ms: begin.wall_ms + passed_ms,
            monotonic_ms: begin.monotonic_ms + passed_ms,
        };
        let charge = |run: &str, demand: &Demand, now: Now| {
            let mut store = Store::open(&path, true).unwrap();
            let (mut own, mut clock) = (Own::default(), LimitClock::default());
            let names = StoreNames::new("server", "grant", run);
            let settled =
                store.reserve(&names, std::slice::from_ref(demand), &mut own, &mut clock, now);
            matches!(settled.unwrap(), Settlement::Charged { .. })
        };
        let longest = one("longest", Scope::Grant, Window::Sliding(31_622_400));
        let other = one("other", Scope::Server, Window::Sliding(60));
        let of_run = one("run", Scope::Session, Window::Session);
        assert!(charge("killed", &longest, begin));
        assert!(charge("killed", &of_run, begin) && charge("lives", &of_run, begin));
        let kept = |now: Now| {
            let connection = schema::open(&path, false).unwrap();
            sweep(&connection, &path, "ours", now).unwrap();
            let mut select =
                connection.prepare("SELECT name || ':' || holder FROM counter").unwrap();
            let names = select.query_map([], |row| row.get(0)).unwrap();
            names.collect::<Result<Vec<String>, _>>().unwrap()
        };
        assert_eq!(kept(later(RUN_KEPT_MS)), ["longest:grant", "run:killed", "run:lives"]);
        assert_eq!(kept(later(RUN_KEPT_MS + 1)), ["longest:grant", "run:lives"]);
        assert!(charge("ours", &other, later(KEPT_MS)));
        assert_eq!(kept(later(KEPT_MS)), ["longest:grant", "run:lives", "other:"]);
        assert!(charge("ours", &longest, later(KEPT_MS)), "it is free by now, and charged again");
        assert_eq!(kept(later(KEPT_MS + 1)), ["longest:grant", "run:lives", "other:"]);
        assert_eq!(kept(later(2 * KEPT_MS)), ["longest:grant", "run:lives", "other:"]);
        assert_eq!(kept(later(2 * KEPT_MS + 1)), ["run:lives"]);
    }
}
