//! Counters in Redis or Valkey, shared by the wrappers of many machines (contract S2).
//!
//! ```text
//!   reservation: ledger ─► task ─► connect, if need be ─► one script: read, settle, charge ─► answer
//!                                  └──────────── a second in all, or the call is denied ────────────┘
//! ```
//!
//! The script is the only place that decides; it does what [`crate::engine::limits::settle`] does, by the server's
//! clock. A run expects to find the counters that it has seen. If some have vanished too early, one call is denied with
//! a message, since nobody can know what was charged.

mod connection;
mod continuity;
mod endpoint;
mod inspect;
mod keys;
mod request;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use anyhow::{Context as _, anyhow};
use tokio::sync::oneshot;

use crate::engine::limits::{Demand, Now, Reservation, Settlement, StateUnavailable};

use self::connection::{RedisLink, ReplyWords};
use self::continuity::SeenServer;
use self::endpoint::RedisPlace;
use self::keys::RedisNames;
use self::request::{Asked, ScriptReply, release};
use super::{CounterRow, Counters};
use crate::shell::os::clock::moment;
use crate::shell::stderr::prose;

/// The counters of one server, grant and run on a Redis server.
#[derive(Debug)]
pub struct RedisLedger {
    place: RedisPlace,
    names: RedisNames,
    link: Option<RedisLink>,
    seen: SeenServer,
    /// Number of reservations made so far.
    asked: u64,
    awaited: Option<PendingReply>,
    /// Resolves when everything has been given back.
    idle: Option<oneshot::Receiver<()>>,
    /// True once the counters of this run have been deleted.
    is_ended: bool,
    /// Replaces the server's clock in tests.
    pretended_ms: Option<u64>,
}

/// A reservation whose reply is pending.
#[derive(Debug)]
struct PendingReply {
    asked: Asked,
    demands: Vec<Demand>,
    answer: oneshot::Receiver<anyhow::Result<ReplyWords>>,
}

impl RedisLedger {
    /// Parses the URL; the first reservation connects.
    ///
    /// # Errors
    /// The URL is wrong. The message holds no secret.
    pub fn new(url: &str, server: &str, grant: &str, run: &str) -> anyhow::Result<Self> {
        let [server, grant, run] = [server, grant, run].map(str::to_owned);
        Ok(RedisLedger {
            place: RedisPlace::parse(url)?,
            names: RedisNames { server, grant, run },
            link: None,
            seen: SeenServer::default(),
            asked: 0,
            awaited: None,
            idle: None,
            is_ended: false,
            pretended_ms: None,
        })
    }

    /// Replaces the server's clock with this time from now on, so that tests can make time jump.
    #[doc(hidden)]
    pub fn pretend(&mut self, server_ms: u64) {
        self.pretended_ms = Some(server_ms);
    }

    /// The time of limits at the last reservation, in milliseconds since the epoch.
    #[must_use]
    pub fn seen_ms(&self) -> Option<u64> {
        self.seen.time_ms()
    }

    fn link(&mut self) -> &RedisLink {
        let up = self.link.take().filter(RedisLink::is_up);
        self.link.insert(up.unwrap_or_else(|| RedisLink::start(self.place.clone())))
    }

    fn ask(&mut self, demands: &[Demand], now: Now) -> PendingReply {
        self.asked = self.asked.saturating_add(1);
        self.is_ended = false;
        let id = format!("{}.{}", self.names.run, self.asked);
        let asked = Asked::new(demands);
        let run = asked.run(&self.names, id, demands, &self.seen, now, self.pretended_ms);
        PendingReply { asked, demands: demands.to_vec(), answer: self.link().ask(run) }
    }

    fn poll_awaited(
        &mut self,
        cx: &mut Context<'_>,
        mut awaited: PendingReply,
        now: Now,
    ) -> Poll<anyhow::Result<Settlement>> {
        let Poll::Ready(words) = Pin::new(&mut awaited.answer).poll(cx) else {
            self.awaited = Some(awaited);
            return Poll::Pending;
        };
        let PendingReply { asked, demands, .. } = awaited;
        let in_use = || format!("failed to use state `{}`", self.place);
        let words = match words {
            Ok(words) => words?,
            Err(_) => return Poll::Ready(Err(anyhow!("nobody answers").context(in_use()))),
        };
        Poll::Ready(match asked.read(&demands, words, &mut self.seen, now) {
            Ok(ScriptReply::Settled(settlement)) => Ok(settlement),
            Ok(ScriptReply::Lost) => Err(anyhow!(
                "it lost counters that were still in use (restarted without `appendonly yes`, flushed, or evicted \
                 for want of `maxmemory-policy noeviction`?); they begin anew"
            )
            .context(in_use())),
            Err(error) => Err(error.context(in_use())),
        })
    }
}

/// Shows where the counters are, without secrets.
impl fmt::Display for RedisLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl Counters for RedisLedger {
    fn poll_reserve(
        &mut self,
        cx: &mut Context<'_>,
        demands: &[Demand],
        now: Now,
    ) -> Poll<Result<Settlement, StateUnavailable>> {
        let awaited = self.awaited.take().unwrap_or_else(|| self.ask(demands, now));
        let settled = ready!(self.poll_awaited(cx, awaited, now));
        Poll::Ready(settled.map_err(|error| StateUnavailable { reason: prose(&error) }))
    }

    fn release(&mut self, reservation: Reservation) {
        if let Some(run) = release(&self.names, &reservation, &self.seen) {
            self.idle = None;
            self.link().tell(run);
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The caller that asked for it is gone.
        if let Some(awaited) = self.awaited.take() {
            let settled = ready!(self.poll_awaited(cx, awaited, moment()));
            if let Ok(Settlement::Charged { reservation, .. }) = settled {
                self.release(reservation);
            }
        }
        let Some(link) = &self.link else { return Poll::Ready(()) };
        let idle = self.idle.get_or_insert_with(|| link.report());
        let _ = ready!(Pin::new(idle).poll(cx));
        self.idle = None;
        Poll::Ready(())
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_ended {
            ready!(self.poll_idle(cx));
            self.is_ended = true;
            let of_this_run = self.seen.of_this_run().map(|counter| self.names.key(counter));
            let keys: Vec<String> = of_this_run.collect();
            self.seen.forget();
            if let (Some(link), false) = (&self.link, keys.is_empty()) {
                link.forget(keys);
            }
        }
        self.poll_idle(cx)
    }
}

/// Reads all counters of a server.
///
/// # Errors
/// The URL is wrong, or they cannot be read.
pub fn read(url: &str) -> anyhow::Result<Vec<CounterRow>> {
    let place = RedisPlace::parse(url)?;
    inspect::Inspection::open(&place)
        .and_then(|mut session| session.rows())
        .with_context(|| format!("failed to read state `{place}`"))
}

/// Resets all counters of a name, of one server and grant or of all. Returns the servers that had any.
///
/// # Errors
/// The URL is wrong, or the state cannot be written.
pub fn reset(
    url: &str,
    server: Option<&str>,
    grant: Option<&str>,
    counter: &str,
) -> anyhow::Result<Vec<String>> {
    let place = RedisPlace::parse(url)?;
    inspect::Inspection::open(&place)
        .and_then(|mut session| session.reset(server, grant, counter))
        .with_context(|| format!("failed to write state `{place}`"))
}
