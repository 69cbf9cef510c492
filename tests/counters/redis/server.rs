//! A Redis server for one test, and ledgers that use it.

use std::future::poll_fn;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use callgate::engine::limits::{
    Amount, CounterKey, Demand, Now, Reservation, Scope, Settlement, StateUnavailable, Window,
};
use callgate::shell::counters::Counters;
use callgate::shell::counters::redis::RedisLedger;
use callgate::shell::os::clock::moment;
use redis::FromRedisValue;
use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::harness::gate::temp_dir;

/// How long a server may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a port of its own. After the test it is killed and its files are removed.
pub(crate) struct Server {
    process: Child,
    port: u16,
    options: Vec<String>,
    dir: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(|_| Vec::new())
    }

    /// Starts a server with options, which may name files in its directory.
    pub(crate) fn with(options: impl Fn(&Path) -> Vec<String>) -> Self {
        let dir = temp_dir();
        let options = options(dir.path());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = spawn(dir.path(), port, &options);
        let server = Self { process, port, options, dir };
        server.is_up();
        server
    }

    fn is_up(&self) {
        let begun = Instant::now();
        let log = || std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        while !log().contains("Ready to accept connections") {
            assert!(begun.elapsed() < PATIENCE, "redis-server does not start: {}", log());
            park_timeout(Duration::from_millis(5));
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again on the same port and directory.
    pub(crate) fn restart(&mut self) {
        let _ = std::fs::remove_file(self.dir.path().join("log"));
        self.process = spawn(self.dir.path(), self.port, &self.options);
        self.is_up();
    }

    /// Sends it a command.
    pub(crate) fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = redis::Client::open(self.url()).unwrap().get_connection().unwrap();
        redis::cmd(words[0]).arg(&words[1..]).query(&mut connection).unwrap()
    }

    /// The keys of all counters.
    pub(crate) fn counters(&self) -> Vec<String> {
        self.ask(&["KEYS", "callgate:{*}:*"])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(dir: &Path, port: u16, options: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.arg("--dir").arg(dir).arg("--logfile").arg(dir.join("log")).args(options);
    command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| {
        panic!("failed to start `redis-server`, which these tests need (Debian: `apt install redis-server`): {error}")
    })
}

/// A ledger, and the loop that it runs in.
pub(crate) struct Run {
    pub(crate) ledger: RedisLedger,
    runtime: Runtime,
}

impl Run {
    /// A ledger for server `files`, grant `ann`, run `one`.
    pub(crate) fn at(url: &str) -> Self {
        Self::of(url, "files", "ann", "one")
    }

    pub(crate) fn of(url: &str, server: &str, grant: &str, run: &str) -> Self {
        let ledger = RedisLedger::new(url, server, grant, run).expect("a URL");
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Run { ledger, runtime }
    }

    pub(crate) fn try_reserve_at(
        &mut self,
        demands: &[Demand],
        now: Now,
    ) -> Result<Settlement, StateUnavailable> {
        let ledger = &mut self.ledger;
        self.runtime.block_on(poll_fn(|cx| ledger.poll_reserve(cx, demands, now)))
    }

    pub(crate) fn try_reserve(
        &mut self,
        demands: &[Demand],
    ) -> Result<Settlement, StateUnavailable> {
        self.try_reserve_at(demands, moment())
    }

    /// Charges 1 of `max` to the counter; true if there was room.
    pub(crate) fn takes(&mut self, counter: &CounterKey, max: u32) -> bool {
        match self
            .try_reserve(&[demand(counter, 1, max)])
            .unwrap_or_else(|e| panic!("{}", e.reason))
        {
            Settlement::Charged { .. } => true,
            Settlement::Exhausted { .. } => false,
        }
    }

    /// The reason why nothing could be charged.
    pub(crate) fn trouble(&mut self, counter: &CounterKey) -> String {
        let settled = self.try_reserve(&[demand(counter, 1, 1000)]);
        settled.expect_err("the state is unavailable").reason
    }

    pub(crate) fn release(&mut self, reservation: Reservation) {
        let ledger = &mut self.ledger;
        self.runtime.block_on(async { ledger.release(reservation) });
    }

    pub(crate) fn idle(&mut self) {
        let ledger = &mut self.ledger;
        self.runtime.block_on(poll_fn(|cx| ledger.poll_idle(cx)));
    }

    pub(crate) fn end(&mut self) {
        let ledger = &mut self.ledger;
        self.runtime.block_on(poll_fn(|cx| ledger.poll_end(cx)));
    }
}

pub(crate) fn counter(scope: Scope, name: &str, window: Window) -> CounterKey {
    CounterKey { scope, name: name.into(), window }
}

/// A counter of a grant, per hour.
pub(crate) fn hourly(name: &str) -> CounterKey {
    counter(Scope::Grant, name, Window::Sliding(3600))
}

pub(crate) fn demand(counter: &CounterKey, cost: u32, max: u32) -> Demand {
    let amount = |whole: u32| Amount::from_nanos(u128::from(whole) * 1_000_000_000).unwrap();
    Demand { counter: counter.clone(), cost: amount(cost), max: amount(max), enforced: true }
}
