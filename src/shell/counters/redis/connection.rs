//! The connection to a Redis server: opened when first needed, dropped after any error. It belongs to a task of its
//! own, which runs orders one after the other, each within its time.

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, Script, ServerErrorKind};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::endpoint::RedisPlace;

/// How long a reservation, connecting included, or any other order may take (contract S2).
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// How many orders may wait. A release beyond that is lost: the quota stays charged.
const MAX_WAITING: usize = 256;

/// A script, and the hash by which a server knows it.
#[derive(Debug)]
pub(super) struct Code {
    text: &'static str,
    hash: LazyLock<String>,
}

impl Code {
    /// Wraps the script of this text.
    pub(super) const fn new(text: &'static str, hash: fn() -> String) -> Self {
        Code { text, hash: LazyLock::new(hash) }
    }
}

/// The hash of a script.
pub(super) fn hash(text: &str) -> String {
    Script::new(text).get_hash().to_owned()
}

/// A script to run, with its keys and arguments.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) code: &'static Code,
    pub(super) keys: Vec<String>,
    pub(super) args: Vec<String>,
}

/// The reply of a script.
pub(super) type ReplyWords = Vec<String>;

/// An order for the task.
#[derive(Debug)]
enum Order {
    /// Run a script, and return its answer if anyone waits for it.
    Run { run: Run, until: Instant, answer: Option<oneshot::Sender<anyhow::Result<ReplyWords>>> },
    /// Delete these keys.
    Forget { keys: Vec<String>, until: Instant },
    /// Report that all earlier orders are done.
    Report(oneshot::Sender<()>),
}

/// A handle to the task. Dropping it ends the task.
#[derive(Debug)]
pub(super) struct RedisLink {
    orders: mpsc::Sender<Order>,
}

impl RedisLink {
    /// Starts the task. It connects with the first order.
    pub(super) fn start(place: RedisPlace) -> Self {
        let (orders, taken) = mpsc::channel(MAX_WAITING);
        tokio::spawn(serve(Connection { place, open: None }, taken));
        RedisLink { orders }
    }

    /// False once the task is gone.
    pub(super) fn is_up(&self) -> bool {
        !self.orders.is_closed()
    }

    /// Runs a script; its answer arrives within [`ANSWER_WAIT`].
    pub(super) fn ask(&self, run: Run) -> oneshot::Receiver<anyhow::Result<ReplyWords>> {
        let (answer, awaited) = oneshot::channel();
        self.order(Order::Run { run, until: deadline(), answer: Some(answer) });
        awaited
    }

    /// Runs a script and ignores its answer.
    pub(super) fn tell(&self, run: Run) {
        self.order(Order::Run { run, until: deadline(), answer: None });
    }

    /// Deletes keys.
    pub(super) fn forget(&self, keys: Vec<String>) {
        self.order(Order::Forget { keys, until: deadline() });
    }

    /// Resolves once all earlier orders are done, with or without success.
    pub(super) fn report(&self) -> oneshot::Receiver<()> {
        let (report, awaited) = oneshot::channel();
        self.order(Order::Report(report));
        awaited
    }

    /// Drops an order that finds no room; a receiver that waits for its answer gets an error.
    fn order(&self, order: Order) {
        let _ = self.orders.try_send(order);
    }
}

fn deadline() -> Instant {
    let now = Instant::now();
    now.checked_add(ANSWER_WAIT).unwrap_or(now)
}

async fn serve(mut connection: Connection, mut orders: mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Run { run, until, answer } => {
                let answered = connection.within(until, &Request::Run(run)).await;
                if let Some(answer) = answer {
                    // The receiver may be gone.
                    let _ = answer.send(answered);
                }
            }
            Order::Forget { keys, until } => {
                // Keys that stay behind expire.
                let _ = connection.within(until, &Request::Forget(keys)).await;
            }
            Order::Report(report) => {
                let _ = report.send(());
            }
        }
    }
}

/// A request to the server.
pub(super) enum Request {
    Run(Run),
    Forget(Vec<String>),
}

impl Request {
    async fn send(&self, connection: &mut MultiplexedConnection) -> Result<ReplyWords, RedisError> {
        match self {
            Request::Run(run) => run.send(connection).await,
            Request::Forget(keys) => {
                let deleted: usize = redis::cmd("DEL").arg(keys).query_async(connection).await?;
                Ok(vec![deleted.to_string()])
            }
        }
    }
}

impl Run {
    /// Sends the script whole to a server that does not know it: one that was restarted or replaced.
    async fn send(&self, connection: &mut MultiplexedConnection) -> Result<ReplyWords, RedisError> {
        let unknown = ErrorKind::Server(ServerErrorKind::NoScript);
        match self.invoke("EVALSHA", &self.code.hash, connection).await {
            Err(error) if error.kind() == unknown => {
                self.invoke("EVAL", self.code.text, connection).await
            }
            answered => answered,
        }
    }

    async fn invoke(
        &self,
        command: &str,
        script: &str,
        connection: &mut MultiplexedConnection,
    ) -> Result<ReplyWords, RedisError> {
        let mut command = redis::cmd(command);
        command.arg(script).arg(self.keys.len()).arg(&self.keys).arg(&self.args);
        command.query_async(connection).await
    }
}

/// A connection, open or not.
struct Connection {
    place: RedisPlace,
    open: Option<MultiplexedConnection>,
}

impl Connection {
    /// Sends a request and waits for the answer until the deadline. After any error, the next request connects again.
    async fn within(&mut self, until: Instant, request: &Request) -> anyhow::Result<ReplyWords> {
        let answered = if Instant::now() < until {
            timeout_at(until, self.send(request)).await.unwrap_or_else(|_| Err(too_slow()))
        } else {
            Err(too_slow())
        };
        if answered.is_err() {
            self.open = None;
        }
        answered.with_context(|| format!("failed to use state `{}`", self.place))
    }

    async fn send(&mut self, request: &Request) -> anyhow::Result<ReplyWords> {
        if let Some(open) = &mut self.open {
            match request.send(open).await {
                // The connection was closed while idle. If the server did run the script and only its answer was lost,
                // the call is charged twice, which errs on the safe side.
                Err(error) if error.is_io_error() => self.open = None,
                answered => return answered.map_err(|error| self.place.explain(&error)),
            }
        }
        let open = self.open.insert(self.place.connect().await?);
        request.send(open).await.map_err(|error| self.place.explain(&error))
    }
}

fn too_slow() -> anyhow::Error {
    anyhow!("no answer within a second")
}
