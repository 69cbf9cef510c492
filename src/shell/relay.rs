//! The loop: carries lines between client and server, and carries out what the session says of them. The only
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
//! the other side, and nothing grows: all state is here in the open, and a future that is dropped loses none.

use std::future::{Future, poll_fn};
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::pin::pin;
use std::process::ExitCode;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;

use crate::engine::limits::{Ledger, Now};
use crate::engine::line::{HEAD_BYTES, Line, Side};
use crate::engine::session::{Action, Session, Step};

use super::descriptor::Descriptor;
use super::lanes::{Lane, Outlet};
use super::notices::{Notices, Verbosity};
use super::signals::Signals;
use super::upstream::{Exit, Upstream};

/// The exit code when a drain ended with requests unanswered (SPEC C2).
const NOT_DONE: u8 = 2;

/// How much a queue may hold before the lane that fills it stops.
const QUEUE_BYTES: usize = 64 * 1024;

/// How long a client that has closed its end is served on without any answer (SPEC W9).
const DRAIN: Duration = Duration::from_secs(30);
/// From closing the server's stdin to SIGTERM.
const PATIENCE: Duration = Duration::from_millis(1200);
/// From SIGTERM to SIGKILL.
const MERCY: Duration = Duration::from_millis(400);
/// What a server that has exited may still have in its pipe, or a client still take.
const AFTERMATH: Duration = Duration::from_millis(200);
/// So often that is waited for while something still comes: what a server left behind may write for ever.
const AFTERMATHS: u32 = 5;
/// How long the client has for the last answers at a stop (SPEC W9).
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What can end a stretch of relaying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
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
    /// Nothing is owed to the client, and everything it sent is with the server.
    Settled,
    /// The time is up.
    Deadline,
}

/// One session in the making.
pub struct Relay {
    session: Session,
    ledger: Box<dyn Ledger>,
    notices: Notices,
    max_frame: usize,
    started: Instant,
    upstream: Upstream,
    client: Lane,
    server: Lane,
    to_client: Outlet,
    to_server: Outlet,
    stdout_copier: Option<JoinHandle<io::Result<()>>>,
    signals: Signals,
    exit: Option<Exit>,
    /// Set once an answer has been relayed since it was last cleared.
    answered: bool,
    /// The server ended before anybody asked it to.
    server_died: bool,
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
        ledger: Box<dyn Ledger>,
        notices: Notices,
        max_frame: usize,
        signals: Signals,
        server: (Upstream, Descriptor, Descriptor),
    ) -> io::Result<Self> {
        let (upstream, server_stdin, server_stdout) = server;
        let stdin = Descriptor::reading(io::stdin().as_fd())?;
        let (stdout, stdout_copier) = Descriptor::writing(io::stdout().as_fd())?;
        Ok(Relay {
            session,
            ledger,
            notices,
            max_frame,
            started: Instant::now(),
            upstream,
            client: Lane::new(stdin, max_frame)?,
            server: Lane::new(server_stdout, max_frame)?,
            to_client: Outlet::new(stdout)?,
            to_server: Outlet::new(server_stdin)?,
            stdout_copier,
            signals,
            exit: None,
            answered: false,
            server_died: false,
            is_over: false,
        })
    }

    /// Runs the session to its end; returns the exit code (SPEC C2).
    pub async fn run(mut self) -> ExitCode {
        let code = match self.serve().await {
            Event::ClientEnded => self.drain_and_stop().await,
            Event::Signalled(number) => {
                self.stop().await;
                128_u8.saturating_add(number)
            }
            Event::ServerEnded | Event::ServerExited => self.bury().await,
            Event::ClientGone | Event::Settled | Event::Deadline => self.stop().await.unwrap_or(0),
        };
        self.close().await;
        ExitCode::from(code)
    }

    /// Relays until somebody ends.
    async fn serve(&mut self) -> Event {
        loop {
            match self.relay_until(None, Wanted::Ends).await {
                Event::ServerExited => return self.take_what_is_left().await,
                Event::Settled | Event::Deadline => {}
                end => return end,
            }
        }
    }

    /// The server has exited: what it left in its pipe is still relayed. A process that it left behind may hold
    /// the pipe open: once nothing has come for a while, nothing will.
    async fn take_what_is_left(&mut self) -> Event {
        for _ in 0..AFTERMATHS {
            let moved = self.server.moved;
            let deadline = Instant::now().checked_add(AFTERMATH);
            match self.relay_until(deadline, Wanted::ServerEnd).await {
                Event::Deadline if self.server.moved > moved => {}
                Event::Deadline => break,
                end => return end,
            }
        }
        Event::ServerExited
    }

    /// The client has closed its end: it is answered first, then the server is stopped (SPEC W9).
    async fn drain_and_stop(&mut self) -> u8 {
        loop {
            self.answered = false;
            let deadline = Instant::now().checked_add(DRAIN);
            match self.relay_until(deadline, Wanted::Settled).await {
                Event::Deadline if self.answered => {}
                Event::Deadline => {
                    let owing = self.session.expected_answers() > 0;
                    let code = self.stop().await.unwrap_or(0);
                    return if owing { NOT_DONE } else { code };
                }
                Event::ServerExited => {
                    self.take_what_is_left().await;
                    return self.bury().await;
                }
                Event::ServerEnded => return self.bury().await,
                Event::Signalled(number) => {
                    self.stop().await;
                    return 128_u8.saturating_add(number);
                }
                Event::ClientEnded => {}
                Event::Settled | Event::ClientGone => return self.stop().await.unwrap_or(0),
            }
        }
    }

    /// The server has closed its stdout or exited: what is in flight is answered, and its code is ours.
    async fn bury(&mut self) -> u8 {
        let code = match self.exit {
            Some(exit) => exit.code,
            None => self.end_server().await.0.code,
        };
        let message = format!("server exited with status {code}");
        if self.session.expected_answers() > 0 {
            self.notices.say(Verbosity::Normal, &message);
        }
        self.to_client.queue.extend(self.session.abandon(&message));
        self.is_over = true;
        self.server_died = true;
        code
    }

    /// Stops the server. Returns its exit code if it ended by itself.
    async fn stop(&mut self) -> Option<u8> {
        let (exit, forced) = self.end_server().await;
        self.to_client.queue.extend(self.session.abandon("callgate stopped"));
        self.is_over = true;
        (!forced).then_some(exit.code)
    }

    /// Closes the server's stdin and gives it time to end by itself, then ends it with its whole group; what it
    /// still writes is relayed. True if it had to be forced.
    async fn end_server(&mut self) -> (Exit, bool) {
        self.to_server.close();
        if let Some(exit) = self.wait_for_exit(PATIENCE).await {
            return (exit, false);
        }
        self.upstream.signal(Signal::TERM);
        if let Some(exit) = self.wait_for_exit(MERCY).await {
            return (exit, true);
        }
        self.upstream.signal(Signal::KILL);
        let exit = self.wait_for_exit(MERCY).await;
        (exit.unwrap_or(Exit { code: 128 + 9 }), true)
    }

    /// Relays what the server still writes until it has exited and its pipe is empty, or the time is up.
    async fn wait_for_exit(&mut self, patience: Duration) -> Option<Exit> {
        let deadline = Instant::now().checked_add(patience);
        loop {
            if let Some(exit) = self.exit {
                return Some(exit);
            }
            match self.relay_until(deadline, Wanted::Exit).await {
                Event::ServerExited => {
                    self.take_what_is_left().await;
                }
                Event::Deadline => return None,
                _ => {}
            }
        }
    }

    /// The last answers go out: at a stop what the client takes at once, behind a server that died all that it
    /// takes at all.
    async fn close(&mut self) {
        // A launcher may have gone before the server that it launched.
        self.upstream.signal(Signal::TERM);
        let patience = if self.server_died { PATIENCE } else { LAST_WORDS };
        loop {
            let moved = self.to_client.moved;
            let deadline = Instant::now().checked_add(patience);
            let event = self.relay_until(deadline, Wanted::Flushed).await;
            let goes_on = event == Event::Deadline && self.to_client.moved > moved;
            if !goes_on || !self.server_died {
                break;
            }
        }
        self.to_client.close();
        if let Some(thread) = self.stdout_copier.take().filter(|_| self.to_client.queue.is_empty())
        {
            // Whatever its end, there is nothing left to do about it.
            let _ = thread.join();
        }
    }
}

/// What a stretch of relaying waits for, beside the ends that always count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Any end of anybody.
    Ends,
    /// Every answer that is due.
    Settled,
    /// The server's stdout, to its end.
    ServerEnd,
    /// The server's exit.
    Exit,
    /// Everything that is decided is written to the client.
    Flushed,
}

impl Relay {
    /// Relays until something happens that `wanted` waits for, or the time is up.
    async fn relay_until(&mut self, deadline: Option<Instant>, wanted: Wanted) -> Event {
        let timer = deadline.map(|deadline| tokio::time::sleep_until(deadline.into()));
        let mut timer = pin!(timer);
        poll_fn(|cx| {
            let moved = self.poll_lanes(cx);
            if let Some(event) = self.poll_events(cx, wanted) {
                return Poll::Ready(event);
            }
            if let Some(timer) = timer.as_mut().as_pin_mut()
                && timer.poll(cx).is_ready()
            {
                return Poll::Ready(Event::Deadline);
            }
            if moved {
                // There may be more at once: let the reactor look round first.
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }

    fn poll_events(&mut self, cx: &mut Context<'_>, wanted: Wanted) -> Option<Event> {
        if self.exit.is_none()
            && let Poll::Ready(exit) = self.upstream.poll_exit(cx)
        {
            self.exit = Some(exit);
            if wanted != Wanted::Flushed {
                return Some(Event::ServerExited);
            }
        }
        let signalled = self.signals.poll(cx);
        let server_ended = self.server.is_done();
        let flushed = self.to_client.queue.is_empty() && self.server.run.is_empty();
        let client_gone = self.to_client.sink.is_none();
        match wanted {
            Wanted::Ends | Wanted::Settled => {
                let sent = self.client.is_done() && self.to_server.queue.is_empty();
                if let Some(number) = signalled {
                    return Some(Event::Signalled(number));
                }
                if client_gone {
                    return Some(Event::ClientGone);
                }
                if server_ended {
                    return Some(Event::ServerEnded);
                }
                if wanted == Wanted::Ends {
                    return self.client.source.is_none().then_some(Event::ClientEnded);
                }
                let settled = self.session.expected_answers() == 0 && sent && flushed;
                settled.then_some(Event::Settled)
            }
            Wanted::ServerEnd => (server_ended || client_gone).then_some(Event::ServerEnded),
            Wanted::Exit => None,
            Wanted::Flushed => (flushed || client_gone).then_some(Event::Settled),
        }
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
        let state = |outlet: &Outlet| (outlet.moved, outlet.sink.is_some());
        let before = (state(&self.to_server), state(&self.to_client));
        self.to_server.flush(&mut self.client, cx);
        self.to_client.flush(&mut self.server, cx);
        before != (state(&self.to_server), state(&self.to_client))
    }

    /// Decides the lines that a side has sent, and reads more if none is left. True if something moved.
    fn advance(&mut self, side: Side, cx: &mut Context<'_>) -> bool {
        let mut now = None;
        let mut moved = false;
        let mut has_read = false;
        while self.may_decide(side) {
            let lane = self.lane(side);
            let line = lane
                .buffer
                .next_line()
                .or_else(|| if lane.source.is_none() { lane.buffer.last_line() } else { None });
            match line {
                Some(line) => {
                    let now = *now.get_or_insert_with(|| self.now());
                    self.decide(side, line, now);
                }
                // One read at a time: a side that floods us must not keep all else waiting.
                None if !has_read && lane.read(cx) => has_read = true,
                None => return moved,
            }
            moved = true;
        }
        moved
    }

    /// True if the next line of `side` can be decided and the outcome put somewhere.
    fn may_decide(&self, side: Side) -> bool {
        let (lane, ahead, back) = match side {
            Side::Client => (&self.client, &self.to_server, &self.to_client),
            Side::Server => (&self.server, &self.to_client, &self.to_server),
        };
        let room = ahead.queue.is_empty() && back.queue.len() < QUEUE_BYTES;
        !self.is_over && lane.continues_run() && room
    }

    fn decide(&mut self, side: Side, line: Line, now: Now) {
        let line = match line {
            Line::Whole { start, content_end, end } => {
                return self.decide_whole(side, start..end, start..content_end, now);
            }
            Line::TooLong(line) => line,
        };
        let step = self.session.handle_long(side, &line, self.max_frame);
        self.record(&step);
        match step.action {
            Action::Divert(answer) => {
                self.notices.show_server_line(&line.head);
                self.to_client.queue.extend(answer.unwrap_or_default());
            }
            Action::Answer(bytes) => self.back(side).queue.extend(bytes),
            // Nothing is left of the line that could go on.
            Action::Forward | Action::Rewrite(_) | Action::Reserve(_) => {}
        }
    }

    fn decide_whole(&mut self, side: Side, line: Range<usize>, content: Range<usize>, now: Now) {
        let owed = self.session.expected_answers();
        let lane = match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        };
        let bytes = lane.buffer.slice(content.start, content.end);
        let mut step = self.session.handle(side, bytes, now);
        if let Action::Reserve(pending) = step.action {
            let settled = self.ledger.reserve(pending.demands(), now);
            step = self.session.resume(bytes, *pending, settled, now);
        }
        self.answered |= self.session.expected_answers() < owed;
        self.record(&step);
        let Step { action, reservation, .. } = step;
        // Nobody reads what goes to a server that has closed its stdin (SPEC P12).
        let goes_out = matches!(action, Action::Forward) && self.to_server.sink.is_some();
        if let (false, Some(reservation)) = (goes_out, reservation) {
            self.ledger.release(reservation);
        }
        match action {
            Action::Forward => self.forward(side, line, content.end),
            Action::Rewrite(bytes) => self.replace(side, bytes, content.end..line.end),
            Action::Answer(bytes) => self.back(side).queue.extend(bytes),
            Action::Divert(answer) => {
                let head = self.server.buffer.slice(content.start, content.end);
                self.notices.show_server_line(head.get(..HEAD_BYTES).unwrap_or(head));
                self.to_client.queue.extend(answer.unwrap_or_default());
            }
            // A session that resumes has its answer.
            Action::Reserve(_) => {}
        }
    }

    /// Adds a line to the run of its lane. The last line of all may lack its line end, and gets it (SPEC W1).
    fn forward(&mut self, side: Side, line: Range<usize>, content_end: usize) {
        if line.end > content_end {
            let lane = self.lane(side);
            let start = if lane.run.is_empty() { line.start } else { lane.run.start };
            lane.run = start..line.end;
            return;
        }
        let bytes = self.lane(side).buffer.slice(line.start, line.end).to_vec();
        self.replace(side, bytes, line.end..line.end);
    }

    /// Sends `bytes` in the place of a line, with its line end.
    fn replace(&mut self, side: Side, mut bytes: Vec<u8>, line_end: Range<usize>) {
        let line_end = self.lane(side).buffer.slice(line_end.start, line_end.end);
        bytes.extend_from_slice(if line_end.is_empty() { b"\n" } else { line_end });
        self.ahead(side).queue.extend(bytes);
    }

    fn record(&mut self, step: &Step) {
        if let Some(record) = &step.record {
            self.notices.say(Verbosity::Verbose, &record.to_string());
        }
    }

    fn lane(&mut self, side: Side) -> &mut Lane {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Where the lines of `side` go.
    fn ahead(&mut self, side: Side) -> &mut Outlet {
        match side {
            Side::Client => &mut self.to_server,
            Side::Server => &mut self.to_client,
        }
    }

    /// Where `side` itself reads.
    fn back(&mut self, side: Side) -> &mut Outlet {
        match side {
            Side::Client => &mut self.to_client,
            Side::Server => &mut self.to_server,
        }
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now { wall_ms: whole_ms(wall), monotonic_ms: whole_ms(self.started.elapsed()) }
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
