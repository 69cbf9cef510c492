//! How a session ends (contract W4, W9): what is waited for, and for how long.
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

use super::{Relay, RelayEnd, Until};
use crate::shell::exit::{Exit, NOT_DONE, of_signal};
use crate::shell::grace;
use crate::shell::os::Signal;

/// For how many times [`grace::SILENCE_AFTER_EXIT`] the pipe of a server that has exited is read while something still
/// comes: a process that the server left behind may write for ever.
const MAX_SILENCES: u32 = 5;

/// How long a client may take nothing of the last answers once the server has died.
const CLIENT_STALL: Duration = Duration::from_millis(1200);

/// How much longer than the drain callgate itself may hold a line back.
const HOLD: Duration = Duration::from_secs(1);

/// For how many times `--drain` the server may only report progress (contract W9).
const PROGRESS_DRAINS: u32 = 10;

/// How a stop went.
struct Stopped {
    /// The server's exit code, if it ended by itself.
    code: Option<u8>,
    /// The server left a request of the client unanswered.
    is_owing: bool,
}

impl Relay {
    /// Runs the session to its end; returns the exit code (contract C2).
    pub async fn run(mut self) -> u8 {
        let end = match self.serve().await {
            RelayEnd::ClientEnded => self.drain().await,
            end => end,
        };
        let code = match end {
            RelayEnd::Signalled(number) => {
                self.stop().await;
                of_signal(number)
            }
            RelayEnd::ServerEnded | RelayEnd::ServerExited => self.bury().await,
            // The drain is over; what is owed may still come while the server is being stopped.
            RelayEnd::Deadline => match self.stop().await {
                Stopped { is_owing: true, .. } => NOT_DONE,
                stopped => stopped.code.unwrap_or(0),
            },
            RelayEnd::ClientEnded | RelayEnd::ClientGone | RelayEnd::Reached => {
                self.stop().await.code.unwrap_or(0)
            }
        };
        let server_died = matches!(end, RelayEnd::ServerEnded | RelayEnd::ServerExited);
        let code = match self.close(server_died).await {
            Ok(()) => code,
            Err(error) => {
                self.effects.complain(&error.context("failed to write to stdout"));
                if code == 0 { NOT_DONE } else { code }
            }
        };
        self.effects.close(code).await;
        code
    }

    /// Relays until client or server ends.
    async fn serve(&mut self) -> RelayEnd {
        loop {
            match self.relay_until(None, Until::Ends).await {
                RelayEnd::ServerExited => return self.take_what_is_left(None).await,
                RelayEnd::Reached | RelayEnd::Deadline => {}
                end => return end,
            }
        }
    }

    /// Relays answers to a client that has closed its end, as long as they come. Returns what ended that.
    async fn drain(&mut self) -> RelayEnd {
        self.answered = Instant::now();
        self.handed_over = Some(self.answered);
        loop {
            let deadline = self.drained_by();
            match self.relay_until(deadline, Until::Answered).await {
                RelayEnd::Deadline if self.drained_by() > deadline => {}
                RelayEnd::ClientEnded => {}
                RelayEnd::ServerExited => return self.take_what_is_left(None).await,
                end => return end,
            }
        }
    }

    /// The end of the drain, unless an answer comes before (contract W9). A report of progress counts as an answer, for
    /// [`PROGRESS_DRAINS`] at most. A line that callgate itself holds back, for a store, the policy or in lockstep, has up
    /// to [`HOLD`] more to go out.
    fn drained_by(&self) -> Option<Instant> {
        // A server that still reads what the client left behind counts as one that answers; what it reads is finite.
        let answered = self.handed_over.map_or(self.answered, |at| at.max(self.answered));
        let last = answered.max(self.progressed);
        let drains = self.options.drain.checked_mul(PROGRESS_DRAINS);
        let at_most = drains.and_then(|drains| answered.checked_add(drains));
        let by = last.checked_add(self.options.drain).into_iter().chain(at_most).min();
        let by = by.map(|by| self.postponed_until.map_or(by, |until| by.max(until)));
        let is_held = self.has_undecided() && self.client.run.is_empty();
        let soon = Instant::now().checked_add(grace::GROUP_CHECK).filter(|_| is_held);
        let held_by = by
            .and_then(|by| by.checked_add(HOLD))
            .and_then(|latest| soon.map(|soon| soon.min(latest)));
        by.max(held_by)
    }

    /// Relays what a server that has exited left in its pipe. A process that it left behind may hold the pipe open, so
    /// silence counts as the end.
    async fn take_what_is_left(&mut self, latest: Option<Instant>) -> RelayEnd {
        for _ in 0..MAX_SILENCES {
            let moved = self.server.moved;
            let deadline = Instant::now().checked_add(grace::SILENCE_AFTER_EXIT);
            let deadline = latest.into_iter().chain(deadline).min();
            match self.relay_until(deadline, Until::ServerEnd).await {
                RelayEnd::Deadline if self.server.moved > moved => {}
                RelayEnd::Deadline => break,
                end => return end,
            }
        }
        RelayEnd::ServerExited
    }

    /// Answers what is in flight once the server has closed its stdout or exited; returns the server's exit code.
    async fn bury(&mut self) -> u8 {
        let code = match self.exit {
            Some(exit) => exit.code,
            None => self.end_server().await.0.code,
        };
        let message = Exit { code }.message();
        if self.session.expected_answers() > 0 {
            self.effects.say(&message);
        }
        self.abandon(&message);
        self.end_group(None).await;
        code
    }

    /// Stops the server.
    async fn stop(&mut self) -> Stopped {
        let latest = Instant::now().checked_add(grace::SERVER);
        let (exit, forced) = self.end_server().await;
        self.end_group(latest).await;
        // What was not read may hold requests.
        let is_owing =
            self.session.expected_answers() > 0 || self.has_undecided() || !self.client.is_done();
        self.abandon("callgate stopped");
        Stopped { code: (!forced).then_some(exit.code), is_owing }
    }

    /// Closes the server's stdin and gives it time to end by itself, then ends it with its whole group. Relays what it
    /// still writes. Returns how it ended, and true if it was signalled.
    async fn end_server(&mut self) -> (Exit, bool) {
        let latest = Instant::now().checked_add(grace::SERVER);
        self.to_server.close();
        if let Some(exit) = self.wait_for_exit(grace::EOF_TO_SIGTERM, latest).await {
            return (exit, false);
        }
        self.upstream.signal(Signal::TERM);
        if let Some(exit) = self.wait_for_exit(grace::SIGTERM_TO_SIGKILL, latest).await {
            return (exit, true);
        }
        self.upstream.signal(Signal::KILL);
        let exit = self.wait_for_exit(grace::SERVER, latest).await;
        (exit.unwrap_or(Exit { code: 128 + 9 }), true)
    }

    /// Relays what the server still writes until it has exited and its pipe is empty, or the time is up.
    async fn wait_for_exit(&mut self, at_most: Duration, latest: Option<Instant>) -> Option<Exit> {
        let deadline = Instant::now().checked_add(at_most).into_iter().chain(latest).min();
        loop {
            if let Some(exit) = self.exit {
                return Some(exit);
            }
            match self.relay_until(deadline, Until::Exit).await {
                RelayEnd::ServerExited => {
                    self.take_what_is_left(latest).await;
                }
                RelayEnd::Deadline => return None,
                _ => {}
            }
        }
    }

    /// Ends what is left of the server's group: a launcher may end before the server that it launched.
    async fn end_group(&mut self, latest: Option<Instant>) {
        self.upstream.signal(Signal::TERM);
        let end = Instant::now().checked_add(grace::SIGTERM_TO_SIGKILL);
        let end = end.into_iter().chain(latest).min();
        while self.upstream.has_group() && end.is_some_and(|end| Instant::now() < end) {
            self.relay_until(Instant::now().checked_add(grace::GROUP_CHECK), Until::Exit).await;
        }
        self.upstream.signal(Signal::KILL);
    }

    /// Writes the last answers: at a stop those that the client takes within [`grace::LAST_ANSWERS`], after the death of
    /// the server all, as long as the client takes some.
    ///
    /// # Errors
    /// stdout is a file that could not be written.
    async fn close(&mut self, server_died: bool) -> anyhow::Result<()> {
        let mut hurry_until = None;
        loop {
            let moved = self.to_client.moved;
            let patient = server_died && !self.hurry;
            let deadline = if patient {
                Instant::now().checked_add(CLIENT_STALL)
            } else {
                // Further signals do not prolong it.
                *hurry_until.get_or_insert_with(|| Instant::now().checked_add(grace::LAST_ANSWERS))
            };
            match self.relay_until(deadline, Until::Flushed).await {
                RelayEnd::Deadline if patient && self.to_client.moved > moved => {}
                RelayEnd::Signalled(_) => {}
                _ => break,
            }
        }
        let cut_short = !self.to_client.queue.is_empty();
        self.to_client.close();
        let Some(mut copied) = self.copied.take() else { return Ok(()) };
        // A file takes everything; a stopped terminal takes nothing until a person continues it, or a signal comes.
        let hurry = self.hurry || cut_short;
        let rest = hurry_until
            .flatten()
            .map_or(grace::LAST_ANSWERS, |until| until.saturating_duration_since(Instant::now()));
        let at_most = if hurry { rest } else { self.options.drain };
        let written = poll_fn(|cx| match Pin::new(&mut copied).poll(cx) {
            Poll::Ready(written) => Poll::Ready(written.ok()),
            Poll::Pending => {
                self.poll_wakeups(cx);
                self.signal.map_or(Poll::Pending, |_| Poll::Ready(None))
            }
        });
        match tokio::time::timeout(at_most, written).await {
            // A reader that is gone is no failure.
            Ok(Some(Err(error))) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }
}
