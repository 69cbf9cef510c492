//! Reads and resets the counters of a Redis server for commands.

use std::collections::HashMap;

use anyhow::anyhow;
use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;

use crate::engine::limits::{Counter, LATEST_MS, Scope};

use super::connection::ANSWER_WAIT;
use super::endpoint::RedisPlace;
use super::keys::{self, PREFIX, shown};
use super::request::amount;
use crate::shell::counters::CounterRow;

/// Keys that one `SCAN` step asks the server to visit.
const LOOKED_AT: usize = 1000;

/// A connection for a command, which may block.
pub(super) struct Inspection<'p> {
    place: &'p RedisPlace,
    runtime: tokio::runtime::Runtime,
    connection: MultiplexedConnection,
}

impl<'p> Inspection<'p> {
    /// Connects and logs in.
    pub(super) fn open(place: &'p RedisPlace) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connect = async { tokio::time::timeout(ANSWER_WAIT, place.connect()).await };
        match runtime.block_on(connect).map_err(|_| too_slow()).flatten() {
            Ok(connection) => Ok(Inspection { place, runtime, connection }),
            Err(error) => {
                // A pending name lookup must not delay the exit.
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> anyhow::Result<T> {
        let Some((name, args)) = words.split_first() else { return Err(anyhow!("no command")) };
        let mut command = redis::cmd(name);
        command.arg(args);
        let connection = &mut self.connection;
        let answer =
            async { tokio::time::timeout(ANSWER_WAIT, command.query_async(connection)).await };
        let answer = self.runtime.block_on(answer).map_err(|_| too_slow())?;
        answer.map_err(|error| self.place.explain(&error))
    }

    /// Lists the keys of all counters, each once.
    fn keys(&mut self) -> anyhow::Result<Vec<String>> {
        let (pattern, count) = (format!("{PREFIX}{{*}}:*"), LOOKED_AT.to_string());
        let mut cursor = "0".to_owned();
        let mut keys = Vec::new();
        loop {
            let found: Vec<String>;
            let scan = ["SCAN", &cursor, "MATCH", &pattern, "COUNT", &count, "TYPE", "hash"];
            (cursor, found) = self.ask(&scan)?;
            keys.extend(found);
            if cursor == "0" {
                keys.sort_unstable();
                keys.dedup();
                return Ok(keys);
            }
        }
    }

    /// Reads all counters; skips keys that are not ours.
    pub(super) fn rows(&mut self) -> anyhow::Result<Vec<CounterRow>> {
        let now_ms = self.time_ms()?;
        let mut rows = Vec::new();
        for key in self.keys()? {
            let hash: HashMap<String, String> = self.ask(&["HGETALL", &key])?;
            rows.extend(row(&hash, now_ms));
        }
        rows.sort_by(|a, b| {
            let order = |row: &CounterRow| {
                (row.server.clone(), row.scope, row.holder.clone(), row.name.clone(), row.window)
            };
            order(a).cmp(&order(b))
        });
        Ok(rows)
    }

    /// Reads the server's clock, in milliseconds since the epoch.
    fn time_ms(&mut self) -> anyhow::Result<u64> {
        let (seconds, micros): (u64, u64) = self.ask(&["TIME"])?;
        Ok(seconds.saturating_mul(1000).saturating_add(micros / 1000))
    }

    /// Resets counters to zero; their keys stay.
    pub(super) fn reset(
        &mut self,
        server: Option<&str>,
        grant: Option<&str>,
        counter: &str,
    ) -> anyhow::Result<Vec<String>> {
        let mut servers = Vec::new();
        for key in self.keys()? {
            let hash: HashMap<String, String> = self.ask(&["HGETALL", &key])?;
            let is = |field: &str, value: &str| hash.get(field).is_some_and(|kept| kept == value);
            let wanted = is("name", shown(counter))
                && server.is_none_or(|server| is("server", shown(server)))
                && grant.is_none_or(|grant| is("scope", "grant") && is("holder", shown(grant)));
            let slots: Vec<&str> =
                hash.keys().map(String::as_str).filter(|field| field.starts_with('@')).collect();
            if wanted {
                servers.extend(hash.get("server").cloned());
                if !slots.is_empty() {
                    let command = ["HDEL", &key].into_iter().chain(slots).collect::<Vec<_>>();
                    let _: usize = self.ask(&command)?;
                }
            }
        }
        Ok(servers)
    }
}

/// Parses a counter as `reserve.lua` stores it.
fn row(hash: &HashMap<String, String>, now_ms: u64) -> Option<CounterRow> {
    let text = |field: &str| hash.get(field).cloned();
    let window = keys::window(hash.get("window")?)?;
    let mut charged: Vec<(u64, u128)> = hash
        .iter()
        .filter_map(|(field, nanos)| {
            Some((field.strip_prefix('@')?.parse().ok()?, nanos.parse().ok()?))
        })
        .collect();
    charged.sort_unstable();
    let counter = Counter::restore(window, charged);
    let seen_ms: u64 = hash.get("seen")?.parse().ok()?;
    let believed_ms = if seen_ms < LATEST_MS { seen_ms } else { 0 };
    let scope = Scope::from_word(hash.get("scope")?)?;
    Some(CounterRow {
        server: text("server")?,
        scope,
        holder: text("holder")?,
        name: text("name")?,
        window,
        counter,
        at_ms: now_ms.max(believed_ms),
        max: amount(hash.get("max")?)?,
        seen_ms,
        is_damaged: false,
    })
}

fn too_slow() -> anyhow::Error {
    anyhow!("no answer within a second")
}
