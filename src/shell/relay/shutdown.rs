//! How a session ends (contract W4, W9): who may go first, who is waited for, and for how long.
//!
//! ```text
//!   client ends ─► drain ─► stop: server's stdin closed ─1.2 s─► SIGTERM ─0.4 s─► SIGKILL ─► last answers
//!   signal, or stdout closed ─┘
//!   server ends ─► what it left is relayed ─► what it owes is answered ─► its group is ended
//! ```

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::{Event, Relay, Wanted};
use crate::shell::exit::{Exit, NOT_DONE, of_signal};
use crate::shell::os::Signal;
use crate::shell::stderr::Verbosity;
use crate::shell::upstream::{AFTERMATH, GLANCE, MERCY, PATIENCE};

/// From closing the server's stdin until nobody of its group is left.
const STOP: Duration = Duration::from_millis(1800);
/// So often what a server that has exited left behind is waited for while something still comes: it may write for ever.
const AFTERMATHS: u32 = 5;
/// How long the client has for the last answers at a stop.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How long callgate itself may hold a line back.
const HOLD: Duration = Duration::from_secs(1);

/// How many times `--drain` the server may only report progress.
const PROGRESS_DRAINS: u32 = 10;

/// A server that was stopped.
struct Stopped {
    /// Its exit code, if it ended by itself.
    code: Option<u8>,
    /// A request of the client was not answered by the server.
    is_owing: bool,
}

impl Relay {
    /// Runs the session to its end; returns the exit code (contract C2).
    pub async fn run(mut self) -> u8 {
        let end = match self.serve().await {
            Event::ClientEnded => self.drain().await,
            end => end,
        };
        let code = match end {
            Event::Signalled(number) => {
                self.stop().await;
                of_signal(number)
            }
            Event::ServerEnded | Event::ServerExited => self.bury().await,
            // The drain is over; what is owed may still come while the server is being stopped.
            Event::Deadline => match self.stop().await {
                Stopped { is_owing: true, .. } => NOT_DONE,
                stopped => stopped.code.unwrap_or(0),
            },
            Event::ClientEnded | Event::ClientGone | Event::Settled => {
                self.stop().await.code.unwrap_or(0)
            }
        };
        let server_died = matches!(end, Event::ServerEnded | Event::ServerExited);
        let code = match self.close(server_died).await {
            Ok(()) => code,
            Err(error) => {
                self.books.notices.complain(&error.context("failed to write to stdout"));
                if code == 0 { NOT_DONE } else { code }
            }
        };
        self.books.close(code).await;
        code
    }

    /// Relays until somebody ends.
    async fn serve(&mut self) -> Event {
        loop {
            match self.relay_until(None, Wanted::Ends).await {
                Event::ServerExited => return self.take_what_is_left(None).await,
                Event::Settled | Event::Deadline => {}
                end => return end,
            }
        }
    }

    /// The client has closed its end: it is answered first, as long as answers come. Returns what ended that.
    async fn drain(&mut self) -> Event {
        self.answered = Instant::now();
        self.handed_over = Some(self.answered);
        loop {
            let deadline = self.drained_by();
            match self.relay_until(deadline, Wanted::Settled).await {
                Event::Deadline if self.drained_by() > deadline => {}
                Event::ClientEnded => {}
                Event::ServerExited => return self.take_what_is_left(None).await,
                end => return end,
            }
        }
    }

    /// When a client that has closed its end has waited long enough for the next answer (contract W9). A report of progress
    /// counts as an answer does, but not for ever. A line that callgate itself holds back, for a store, the policy or in
    /// lockstep, has a moment more to go out.
    fn drained_by(&self) -> Option<Instant> {
        // A server that still reads what the client left behind will come to it; there is an end of that.
        let answered = self.handed_over.map_or(self.answered, |at| at.max(self.answered));
        let last = answered.max(self.progressed);
        let drains = self.settings.drain.checked_mul(PROGRESS_DRAINS);
        let at_most = drains.and_then(|drains| answered.checked_add(drains));
        let by = last.checked_add(self.settings.drain).into_iter().chain(at_most).min();
        let by = by.map(|by| self.held_until.map_or(by, |held_until| by.max(held_until)));
        let waits = self.held.is_some() || self.waiting.is_some();
        let is_held = waits && self.client.run.is_empty();
        let soon = Instant::now().checked_add(GLANCE).filter(|_| is_held);
        let held_by = by
            .and_then(|by| by.checked_add(HOLD))
            .and_then(|latest| soon.map(|soon| soon.min(latest)));
        by.max(held_by)
    }

    /// The server has exited: what it left in its pipe is still relayed. A process that it left behind may hold
    /// the pipe open: once nothing has come for a while, nothing will.
    async fn take_what_is_left(&mut self, latest: Option<Instant>) -> Event {
        for _ in 0..AFTERMATHS {
            let moved = self.server.moved;
            let deadline = Instant::now().checked_add(AFTERMATH);
            let deadline = latest.into_iter().chain(deadline).min();
            match self.relay_until(deadline, Wanted::ServerEnd).await {
                Event::Deadline if self.server.moved > moved => {}
                Event::Deadline => break,
                end => return end,
            }
        }
        Event::ServerExited
    }

    /// The server has closed its stdout or exited: what is in flight is answered, and its code is ours.
    async fn bury(&mut self) -> u8 {
        let code = match self.exit {
            Some(exit) => exit.code,
            None => self.end_server().await.0.code,
        };
        let message = Exit { code }.message();
        if self.session.expected_answers() > 0 {
            self.books.notices.say(Verbosity::Normal, &message);
        }
        self.abandon(&message);
        self.end_group(Instant::now().checked_add(MERCY)).await;
        code
    }

    /// Stops the server.
    async fn stop(&mut self) -> Stopped {
        let latest = Instant::now().checked_add(STOP);
        let (exit, forced) = self.end_server().await;
        self.end_group(latest).await;
        // There may be requests in what was not read.
        let is_owing = self.session.expected_answers() > 0
            || self.held.is_some()
            || self.waiting.is_some()
            || !self.client.is_done();
        self.abandon("callgate stopped");
        Stopped { code: (!forced).then_some(exit.code), is_owing }
    }

    /// Closes the server's stdin and gives it time to end by itself, then ends it with its whole group; what it
    /// still writes is relayed. True if it had to be forced.
    async fn end_server(&mut self) -> (Exit, bool) {
        let begun = Instant::now();
        let latest = begun.checked_add(STOP);
        self.to_server.close();
        if let Some(exit) = self.wait_for_exit(PATIENCE, latest).await {
            return (exit, false);
        }
        self.upstream.signal(Signal::TERM);
        if let Some(exit) = self.wait_for_exit(MERCY, latest).await {
            return (exit, true);
        }
        self.upstream.signal(Signal::KILL);
        let exit = self.wait_for_exit(MERCY, latest).await;
        (exit.unwrap_or(Exit { code: 128 + 9 }), true)
    }

    /// Relays what the server still writes until it has exited and its pipe is empty, or the time is up.
    async fn wait_for_exit(&mut self, patience: Duration, latest: Option<Instant>) -> Option<Exit> {
        let deadline = Instant::now().checked_add(patience);
        loop {
            if let Some(exit) = self.exit {
                return Some(exit);
            }
            match self.relay_until(deadline, Wanted::Exit).await {
                Event::ServerExited => {
                    self.take_what_is_left(latest).await;
                }
                Event::Deadline => return None,
                _ => {}
            }
        }
    }

    /// Ends what is left of the server's group: a launcher may go before the server that it launched.
    async fn end_group(&mut self, latest: Option<Instant>) {
        self.upstream.signal(Signal::TERM);
        let mercy = Instant::now().checked_add(MERCY).into_iter().chain(latest).min();
        while self.upstream.has_group() && mercy.is_some_and(|mercy| Instant::now() < mercy) {
            self.relay_until(Instant::now().checked_add(GLANCE), Wanted::Exit).await;
        }
        self.upstream.signal(Signal::KILL);
    }

    /// The last answers go out: at a stop what the client takes at once, behind a server that died all that it
    /// takes at all.
    ///
    /// # Errors
    /// stdout is a file that could not be written.
    async fn close(&mut self, server_died: bool) -> anyhow::Result<()> {
        loop {
            let moved = self.to_client.moved;
            let patient = server_died && !self.hurry;
            let patience = if patient { PATIENCE } else { LAST_WORDS };
            match self.relay_until(Instant::now().checked_add(patience), Wanted::Flushed).await {
                Event::Deadline if patient && self.to_client.moved > moved => {}
                Event::Signalled(_) => {}
                _ => break,
            }
        }
        let cut_short = !self.to_client.queue.is_empty();
        self.to_client.close();
        let Some(mut copied) = self.copied.take() else { return Ok(()) };
        // A file takes what it gets; a terminal may be stopped, and then waits for a person, or a signal.
        let hurry = self.hurry || cut_short;
        let patience = if hurry { LAST_WORDS } else { self.settings.drain };
        let written = poll_fn(|cx| match Pin::new(&mut copied).poll(cx) {
            Poll::Ready(written) => Poll::Ready(written.ok()),
            Poll::Pending => {
                self.poll_news(cx);
                self.signal.map_or(Poll::Pending, |_| Poll::Ready(None))
            }
        });
        match tokio::time::timeout(patience, written).await {
            // That nobody reads any more is an end like others.
            Ok(Some(Err(error))) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }
}
