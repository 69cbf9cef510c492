//! The loop: carries lines between client and server, and carries out what the session decides about them. The only
//! place that orders effects.
//!
//! ```text
//!              client lane                                server lane
//!   stdin ──► buffer ──► session ──► run ──► server    server ──► buffer ──► session ──► run ──► stdout
//!                           └──► queue of the client outlet          └──► queue of the server outlet
//! ```
//!
//! A *run* is a stretch of a lane's buffer that goes out as it came in; it is written in place. A *queue* holds
//! what callgate writes itself. An outlet finishes the run first, then its queue; a lane decides its next line
//! only when the queue of its outlet is empty. So lines keep their order, a side that does not read stops
//! the other side, and nothing grows. All state is in [`Relay`]; a future that is dropped loses none.

mod alarm;
pub mod effects;
mod lane;
mod lines;
pub mod probe;
pub mod recorder;
mod shutdown;
mod wakeups;

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::engine::limits::Reservation;
use crate::engine::session::Session;
use crate::engine::wire::line::{Line, Side};

use self::alarm::Alarm;
use self::effects::Effects;
use self::lane::{Lane, Outlet};
use self::lines::Blocked;
use super::exit::Exit;
use super::os::descriptor::Descriptor;
use super::upstream::Upstream;
use super::wakeup::WakeupReceiver;
use super::watch::Watch;

/// How much a queue may hold before the lane that fills it stops.
const QUEUE_BYTES: usize = 64 * 1024;

/// Why a stretch of relaying ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RelayEnd {
    /// The client closed its end, or cannot be read.
    ClientEnded,
    /// The client does not read any more.
    ClientGone,
    /// The server closed its stdout, and everything it wrote is relayed.
    ServerEnded,
    /// The server exited; it may have left something in its pipe.
    ServerExited,
    /// callgate was told to stop, by this signal.
    Signalled(u8),
    /// The goal of the stretch is reached.
    Reached,
    /// The time is up.
    Deadline,
}

/// How a session is to be relayed.
#[derive(Debug, Clone, Copy)]
pub struct RelayOptions {
    /// The longest line, in bytes without its line end.
    pub max_frame: usize,
    /// How long the server may go without an answer once the client has closed its end (contract W9), and how long a
    /// line waits in lockstep (contract W11).
    pub drain: Duration,
    /// A client's request waits for the answer to the one before it.
    pub lockstep: bool,
}

/// One running session.
pub struct Relay {
    session: Session,
    effects: Effects,
    options: RelayOptions,
    watch: Watch,
    wakeups: WakeupReceiver,
    upstream: Upstream,
    client: Lane,
    server: Lane,
    to_client: Outlet,
    to_server: Outlet,
    /// If a thread writes to stdout: the result of its work.
    copied: Option<oneshot::Receiver<io::Result<()>>>,
    alarm: Alarm,
    /// A line of the client that was taken from the buffer and is not to be decided yet.
    postponed: Option<Line>,
    /// When the line that is postponed in lockstep is decided in any case.
    postponed_until: Option<Instant>,
    /// A line of the client that waits for counters, the log, or the client itself.
    blocked: Option<Blocked>,
    /// What was charged for lines of the client's run, by where they begin.
    unsent: Vec<(usize, Reservation)>,
    exit: Option<Exit>,
    /// The exit has not been acted on.
    exit_is_new: bool,
    /// When the last answer was relayed, or something else showed that there are more to come.
    answered: Instant,
    /// When the server last reported progress of a request in flight.
    progressed: Instant,
    /// Once the client has closed its end: when something that it left behind was last read or passed on.
    handed_over: Option<Instant>,
    /// The last signal, until it is acted on.
    signal: Option<u8>,
    /// A signal has come in this session.
    hurry: bool,
    /// Every request has its answer, at least in a queue: no further line is decided.
    is_over: bool,
}

impl Relay {
    /// Puts a session between our stdin and stdout and a server that has been started.
    ///
    /// # Errors
    /// Our stdin or stdout is closed, or the reactor cannot take a descriptor.
    pub fn new(
        session: Session,
        effects: Effects,
        options: RelayOptions,
        watch: Watch,
        wakeups: WakeupReceiver,
        server: (Upstream, Descriptor, Descriptor),
    ) -> io::Result<Self> {
        let (upstream, server_stdin, server_stdout) = server;
        let (stdin, no_more) = Descriptor::stdin()?;
        let (stdout, copied) = Descriptor::stdout()?;
        Ok(Relay {
            session,
            effects,
            options,
            watch,
            wakeups,
            upstream,
            client: Lane::new(stdin, options.max_frame)?.with_end(no_more),
            server: Lane::new(server_stdout, options.max_frame)?,
            to_client: Outlet::new(stdout)?,
            to_server: Outlet::new(server_stdin)?,
            copied,
            alarm: Alarm::default(),
            postponed: None,
            postponed_until: None,
            blocked: None,
            unsent: Vec::new(),
            exit: None,
            exit_is_new: false,
            answered: Instant::now(),
            progressed: Instant::now(),
            handed_over: None,
            signal: None,
            hurry: false,
            is_over: false,
        })
    }
}

/// Where a stretch of relaying ends, if nothing ends it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// An end of the client or the server.
    Ends,
    /// Every answer that is due is relayed.
    Answered,
    /// The server's stdout, to its end.
    ServerEnd,
    /// The server's exit.
    Exit,
    /// Everything that is decided is written to the client, or a signal has come.
    Flushed,
}

/// The loop.
impl Relay {
    /// Relays until `until` is reached, an end cuts it short, or the time is up.
    async fn relay_until(&mut self, deadline: Option<Instant>, until: Until) -> RelayEnd {
        poll_fn(|cx| {
            self.poll_wakeups(cx);
            self.keep_time();
            let moved = self.poll_lanes(cx);
            if let Some(end) = self.poll_end(cx, until) {
                return Poll::Ready(end);
            }
            let due = [deadline, self.postponed_until, self.announcement(), self.effects.due()];
            let due = due.into_iter().flatten().min();
            let rings = self.alarm.poll(cx, due).is_ready();
            if rings && deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Poll::Ready(RelayEnd::Deadline);
            }
            if rings || moved {
                // There may be more to do at once: the reactor has its turn first.
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, until: Until) -> Option<RelayEnd> {
        if std::mem::take(&mut self.exit_is_new) && until != Until::Flushed {
            return Some(RelayEnd::ServerExited);
        }
        self.to_client.poll_closed(cx);
        let server_ended = self.server.is_done();
        let flushed = self.to_client.queue.is_empty() && self.server.run.is_empty();
        let client_gone = !self.to_client.is_open();
        match until {
            Until::Ends | Until::Answered => {
                let decided = !self.has_undecided();
                let sent = self.client.is_done() && decided && self.to_server.queue.is_empty();
                if let Some(number) = self.signal.take() {
                    return Some(RelayEnd::Signalled(number));
                }
                if client_gone {
                    return Some(RelayEnd::ClientGone);
                }
                if server_ended {
                    return Some(RelayEnd::ServerEnded);
                }
                if until == Until::Ends {
                    return self.client_has_ended(cx).then_some(RelayEnd::ClientEnded);
                }
                let settled = self.session.expected_answers() == 0 && sent && flushed;
                settled.then_some(RelayEnd::Reached)
            }
            Until::ServerEnd => (server_ended || client_gone).then_some(RelayEnd::ServerEnded),
            Until::Exit => None,
            Until::Flushed if flushed || client_gone => Some(RelayEnd::Reached),
            Until::Flushed => self.signal.take().map(RelayEnd::Signalled),
        }
    }

    /// True once the client has closed its end, even if a server that does not read holds up what it wrote (contract W9).
    fn client_has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        // A lane that is not held up reads its end.
        let is_held_up =
            !self.client.run.is_empty() || self.has_undecided() || !self.may_decide(Side::Client);
        self.client.source.is_none() || is_held_up && self.client.poll_no_more(cx)
    }

    /// Moves what can be moved in both directions. True if there may be more at once.
    fn poll_lanes(&mut self, cx: &mut Context<'_>) -> bool {
        // A few rounds, so that a busy side does not keep signals and the child waiting.
        const ROUNDS: usize = 16;
        self.flush(cx);
        for _ in 0..ROUNDS {
            let advanced = [Side::Client, Side::Server].map(|side| self.advance(side, cx));
            let flushed = self.flush(cx);
            // Only a round in which nothing moved has left a wake-up behind for everything that can move.
            if !flushed && advanced == [false, false] {
                return false;
            }
        }
        true
    }

    /// Writes what is due on both sides. True if something was written, or a side turned out to be gone.
    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        let state = |outlet: &Outlet| (outlet.moved, outlet.is_open());
        let before = (state(&self.to_server), state(&self.to_client));
        let moved = self.client.moved;
        self.to_server.flush(&mut self.client, cx);
        self.to_client.flush(&mut self.server, cx);
        self.settle_unsent();
        if self.client.moved != moved {
            self.handed_over = self.handed_over.map(|_| Instant::now());
        }
        before != (state(&self.to_server), state(&self.to_client))
    }

    /// Gives back what was charged for lines of which no byte was written before the server was gone (contract P12).
    fn settle_unsent(&mut self) {
        if self.unsent.is_empty() || !self.client.run.is_empty() {
            return;
        }
        let sent = if self.to_server.is_open() { usize::MAX } else { self.client.run.start };
        for (start, charge) in self.unsent.drain(..) {
            if start >= sent {
                self.effects.release(charge);
            }
        }
    }

    /// True if a line of the client is taken from the buffer and its decision is not carried out.
    fn has_undecided(&self) -> bool {
        self.postponed.is_some() || self.blocked.is_some()
    }
}
