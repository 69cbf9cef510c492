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

mod alarm;
pub mod effects;
mod lane;
pub mod probe;
pub mod recorder;
mod shutdown;

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::sync::oneshot;

use crate::engine::limits::{Now, Reservation};
use crate::engine::session::audit_record::Record;
use crate::engine::session::{Action, Pending, Session, Step};
use crate::engine::wire::batch::Batch;
use crate::engine::wire::line::{HEAD_BYTES, Line, Side};
use crate::shell::os;

use self::alarm::Alarm;
use self::effects::Books;
use self::lane::{Lane, Outlet};
use super::audit::event::{AuditEvent, PolicyLoaded, PolicyRejected, cut_text};
use super::exit::Exit;
use super::os::clock::moment;
use super::os::descriptor::Descriptor;
use super::stderr::{Verbosity, prose};
use super::upstream::Upstream;
use super::wakeup::{News, NewsReceiver};
use super::watch::LoadedPolicy;
use super::watch::{PolicySighting, Watch};

/// How much a queue may hold before the lane that fills it stops.
const QUEUE_BYTES: usize = 64 * 1024;

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
    /// What was waited for is done.
    Settled,
    /// The time is up.
    Deadline,
}

/// How a session is to be relayed.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The longest line, in bytes without its line end.
    pub max_frame: usize,
    /// How long a client that has closed its end is served on without any answer (contract W9); and how long a line
    /// waits in lockstep (contract W11).
    pub drain: Duration,
    /// A client's request waits for the answer to the one before it.
    pub lockstep: bool,
}

/// One session in the making.
pub struct Relay {
    session: Session,
    books: Books,
    settings: Settings,
    watch: Watch,
    news: NewsReceiver,
    upstream: Upstream,
    client: Lane,
    server: Lane,
    to_client: Outlet,
    to_server: Outlet,
    /// Where stdout takes a thread: how that has ended.
    copied: Option<oneshot::Receiver<io::Result<()>>>,
    alarm: Alarm,
    /// A line of the client that was taken from the buffer, but is not to be decided yet.
    held: Option<Line>,
    /// A call that is decided, but for what its limits or its record say.
    waiting: Option<Waiting>,
    /// When the line that is held in lockstep goes out in any case.
    held_until: Option<Instant>,
    /// What was charged for lines of the client's run, by where they begin.
    unsent: Vec<(usize, Reservation)>,
    exit: Option<Exit>,
    /// The exit has not been heeded.
    exit_is_new: bool,
    /// When the last answer was relayed, or something else showed that there are more to come.
    answered: Instant,
    /// When the server last reported progress of a request in flight.
    progressed: Instant,
    /// Once the client has closed its end: when something that it left behind was last read or handed over.
    handed_over: Option<Instant>,
    /// The last signal, until it is heeded.
    signal: Option<u8>,
    /// A signal has come, at some time.
    hurry: bool,
    /// Every request has its answer, at least in a queue: no further line is decided.
    is_over: bool,
}

/// A call whose line was taken from the buffer and still lies there. The client's direction waits for it, the
/// server's goes on (contract S2).
struct Waiting {
    line: Range<usize>,
    content: Range<usize>,
    what: Awaited,
}

/// What a call waits for.
enum Awaited {
    /// The ledger is asked for a reservation.
    Reservation(Box<Pending>),
    /// The record of what it has come to is being written.
    Recording(Box<Step>),
    /// The answers to a batch are made as they are read.
    Answers(Box<Batch>),
}

impl Relay {
    /// Puts a session between our stdin and stdout and a server that has been started.
    ///
    /// # Errors
    /// Our stdin or stdout is closed, or the reactor cannot take a descriptor.
    pub fn new(
        session: Session,
        books: Books,
        settings: Settings,
        watch: Watch,
        news: NewsReceiver,
        server: (Upstream, Descriptor, Descriptor),
    ) -> io::Result<Self> {
        let (upstream, server_stdin, server_stdout) = server;
        let (stdin, no_more) = Descriptor::stdin()?;
        let (stdout, copied) = Descriptor::stdout()?;
        Ok(Relay {
            session,
            books,
            settings,
            watch,
            news,
            upstream,
            client: Lane::new(stdin, settings.max_frame)?.told(no_more),
            server: Lane::new(server_stdout, settings.max_frame)?,
            to_client: Outlet::new(stdout)?,
            to_server: Outlet::new(server_stdin)?,
            copied,
            alarm: Alarm::default(),
            held: None,
            waiting: None,
            held_until: None,
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
    /// Everything that is decided is written to the client; or a signal.
    Flushed,
}

/// The loop.
impl Relay {
    /// Relays until something happens that `wanted` waits for, or the time is up.
    async fn relay_until(&mut self, deadline: Option<Instant>, wanted: Wanted) -> Event {
        poll_fn(|cx| {
            self.poll_news(cx);
            self.keep_time();
            let moved = self.poll_lanes(cx);
            if let Some(event) = self.poll_events(cx, wanted) {
                return Poll::Ready(event);
            }
            let due = [deadline, self.held_until, self.announcement(), self.books.due()];
            let due = due.into_iter().flatten().min();
            let rings = self.alarm.poll(cx, due).is_ready();
            if rings && deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Poll::Ready(Event::Deadline);
            }
            if rings || moved {
                // There may be more at once: let the reactor look round first.
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }

    fn poll_events(&mut self, cx: &mut Context<'_>, wanted: Wanted) -> Option<Event> {
        if std::mem::take(&mut self.exit_is_new) && wanted != Wanted::Flushed {
            return Some(Event::ServerExited);
        }
        self.to_client.poll_closed(cx);
        let server_ended = self.server.is_done();
        let flushed = self.to_client.queue.is_empty() && self.server.run.is_empty();
        let client_gone = !self.to_client.is_open();
        match wanted {
            Wanted::Ends | Wanted::Settled => {
                let decided = self.held.is_none() && self.waiting.is_none();
                let sent = self.client.is_done() && decided && self.to_server.queue.is_empty();
                if let Some(number) = self.signal.take() {
                    return Some(Event::Signalled(number));
                }
                if client_gone {
                    return Some(Event::ClientGone);
                }
                if server_ended {
                    return Some(Event::ServerEnded);
                }
                if wanted == Wanted::Ends {
                    return self.client_has_ended(cx).then_some(Event::ClientEnded);
                }
                let settled = self.session.expected_answers() == 0 && sent && flushed;
                settled.then_some(Event::Settled)
            }
            Wanted::ServerEnd => (server_ended || client_gone).then_some(Event::ServerEnded),
            Wanted::Exit => None,
            Wanted::Flushed if flushed || client_gone => Some(Event::Settled),
            Wanted::Flushed => self.signal.take().map(Event::Signalled),
        }
    }

    /// True once the client has closed its end, though a server that does not read holds up what it wrote (contract W9).
    fn client_has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        // A lane that is not held up reads its end.
        let is_held_up = !self.client.run.is_empty()
            || self.held.is_some()
            || self.waiting.is_some()
            || !self.may_decide(Side::Client);
        self.client.source.is_none() || is_held_up && self.client.poll_no_more(cx)
    }

    /// Takes in what has happened beside the lines.
    fn poll_news(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(news)) = self.news.poll_recv(cx) {
            match news {
                News::Signalled(number) => {
                    self.signal = Some(number);
                    self.hurry = true;
                }
                News::ServerExited(exit) => {
                    self.exit = Some(exit);
                    self.exit_is_new = true;
                }
                // Between two lines, with no lock in hand.
                News::Suspended => {
                    os::suspend();
                }
                News::PolicySeen(finding) => {
                    self.watch.hear(&finding);
                    self.take_policy(finding.found);
                }
            }
        }
    }

    /// Puts a changed policy in force, between two lines (contract W7).
    fn take_policy(&mut self, found: PolicySighting<LoadedPolicy>) {
        let now = moment();
        let path = self.watch.path().display().to_string();
        match found {
            PolicySighting::New(LoadedPolicy { policy, sha256 }) => {
                self.session.reload(Arc::new(policy), now);
                self.books.notices.say(Verbosity::Normal, &format!("policy `{path}` reloaded"));
                self.books.note_policy(true, now);
                let (policy, sha256) = (path.into(), sha256.into());
                let event = AuditEvent::PolicyLoaded(PolicyLoaded { policy, sha256 });
                self.books.note_event(&event, now);
            }
            PolicySighting::Rejected(error) => {
                self.books.notices.complain(&error);
                self.books.notices.complain(&anyhow!("the last good policy stays in force"));
                let error = prose(&error);
                let error = cut_text(&error);
                self.books.note_policy(false, now);
                let event =
                    AuditEvent::PolicyRejected(PolicyRejected { policy: path.into(), error });
                self.books.note_event(&event, now);
            }
            PolicySighting::Blind(error) => {
                let error = error.context("changes of the policy are seen at calls only");
                self.books.notices.say(Verbosity::Normal, &prose(&error));
            }
            PolicySighting::Slow => {
                let slow = format!(
                    "policy `{path}` takes over 1 s to compile; calls go on under the last good policy"
                );
                self.books.notices.say(Verbosity::Normal, &slow);
            }
            PolicySighting::Nothing => {}
        }
    }

    /// Does what is due at this time.
    fn keep_time(&mut self) {
        if let Some(due) = self.announcement()
            && due <= Instant::now()
        {
            let announcement = self.session.announce();
            if !announcement.is_empty() {
                self.books.note(&Record::ToolsChanged { by_policy: true }, moment());
            }
            self.to_client.queue.extend(announcement);
        }
        self.books.keep_time();
    }

    /// When the client is to be told of a changed list. While it does not read, it is not told.
    fn announcement(&self) -> Option<Instant> {
        let due_ms = self.session.announcement()?;
        let wait = Duration::from_millis(due_ms.saturating_sub(moment().monotonic_ms));
        let free = self.to_client.queue.is_empty() && !self.is_over;
        Instant::now().checked_add(wait).filter(|_| free)
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

    /// Gives back what was charged for lines of which no byte was written, the server being gone (contract P12).
    fn settle_unsent(&mut self) {
        if self.unsent.is_empty() || !self.client.run.is_empty() {
            return;
        }
        let sent = if self.to_server.is_open() { usize::MAX } else { self.client.run.start };
        for (start, reservation) in self.unsent.drain(..) {
            if start >= sent {
                self.books.ledger.release(reservation);
            }
        }
    }

    /// Decides the lines that a side has sent, and reads more if none is left. True if something moved.
    fn advance(&mut self, side: Side, cx: &mut Context<'_>) -> bool {
        let mut begun = None;
        let mut moved = false;
        let mut has_read = false;
        while self.may_decide(side) {
            if side == Side::Client
                && let Some(waiting) = self.waiting.take()
            {
                let is_batch = matches!(waiting.what, Awaited::Answers(_));
                self.go_on(side, waiting, moment(), cx);
                if self.waiting.is_some() && !is_batch {
                    return moved;
                }
                moved = true;
                continue;
            }
            match self.next_line(side) {
                Some(line) => {
                    let (instant, now) = *begun.get_or_insert_with(|| (Instant::now(), moment()));
                    if side == Side::Client && self.must_hold(&line, instant) {
                        self.held = Some(line);
                        return moved;
                    }
                    let owed = self.session.expected_answers();
                    let progress = self.session.progress();
                    self.decide(side, line, now, cx);
                    if self.session.expected_answers() < owed {
                        self.answered = instant;
                    }
                    if self.session.progress() > progress {
                        self.progressed = instant;
                    }
                }
                // One read at a time: a side that floods us must not keep all else waiting.
                None if !has_read && self.lane(side).read(cx) => has_read = true,
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
        let waits = side == Side::Client && self.watch.is_asked();
        !self.is_over && !waits && lane.continues_run() && room
    }

    fn next_line(&mut self, side: Side) -> Option<Line> {
        if side == Side::Client && self.held.is_some() {
            return self.held.take();
        }
        let lane = self.lane(side);
        let line = lane.buffer.next_line();
        line.or_else(|| if lane.source.is_none() { lane.buffer.last_line() } else { None })
    }

    /// True if a line of the client has to wait: for a policy that may have changed, or in lockstep.
    fn must_hold(&mut self, line: &Line, now: Instant) -> bool {
        if self.watch.must_wait(now) {
            return true;
        }
        let Line::Whole { start, content_end, .. } = *line else { return false };
        let server_lives = self.exit.is_none() && self.to_server.is_open();
        if !self.settings.lockstep || !server_lives {
            return false;
        }
        let is_due = self.session.is_due(self.client.buffer.slice(start, content_end));
        if !is_due && self.held_until.is_none() {
            self.held_until = now.checked_add(self.settings.drain);
        }
        if is_due {
            self.held_until = None;
        } else if self.held_until.is_some_and(|until| until <= now) {
            self.held_until = None;
            // A drain begins anew.
            self.answered = now;
            return false;
        }
        !is_due
    }

    fn decide(&mut self, side: Side, line: Line, now: Now, cx: &mut Context<'_>) {
        let line = match line {
            Line::Whole { start, content_end, end } => {
                return self.decide_whole(side, start..end, start..content_end, now, cx);
            }
            Line::TooLong(line) => line,
        };
        self.books.take_down(side, &line.head, now);
        let step = self.session.handle_long(side, &line, self.settings.max_frame, now);
        self.books.note_all(step.records(), now);
        match step.action {
            Action::Divert { reason, answers } => {
                self.books.notices.show_server_line(&reason, &line.head);
                self.to_client.queue.extend(answers);
            }
            Action::Answer(bytes) => self.back(side).queue.extend(bytes),
            // Nothing is left of the line that could go on.
            Action::Forward | Action::Rewrite(_) | Action::Reserve(_) | Action::AnswerBatch(_) => {}
        }
    }

    fn decide_whole(
        &mut self,
        side: Side,
        line: Range<usize>,
        content: Range<usize>,
        now: Now,
        cx: &mut Context<'_>,
    ) {
        let bytes = match side {
            Side::Client => self.client.buffer.slice(content.start, content.end),
            Side::Server => self.server.buffer.slice(content.start, content.end),
        };
        self.books.take_down(side, bytes, now);
        let step = self.session.handle(side, bytes, now);
        if let Action::Reserve(pending) = step.action {
            let what = Awaited::Reservation(pending);
            return self.go_on(side, Waiting { line, content, what }, now, cx);
        }
        self.record(side, line, content, step, now, cx);
    }

    /// Asks for what a call waits for; once it is there, the call goes on.
    fn go_on(&mut self, side: Side, waiting: Waiting, now: Now, cx: &mut Context<'_>) {
        let Waiting { line, content, what } = waiting;
        let pending = match what {
            Awaited::Reservation(pending) => pending,
            Awaited::Recording(step) => return self.record(side, line, content, *step, now, cx),
            Awaited::Answers(batch) => return self.answer_batch(line, content, batch),
        };
        let bytes = self.client.buffer.slice(content.start, content.end);
        if let Some(exit) = self.exit {
            // It would not go out, and those behind it shall not wait for that.
            let answer = self.session.abandon_pending(bytes, &pending, &exit.message());
            return self.to_client.queue.extend(answer);
        }
        match self.books.ledger.poll_reserve(cx, pending.demands(), now) {
            Poll::Pending => {
                let what = Awaited::Reservation(pending);
                self.waiting = Some(Waiting { line, content, what });
            }
            Poll::Ready(settled) => {
                if let Err(unavailable) = &settled {
                    self.books.tell_trouble(&unavailable.reason);
                }
                let step = self.session.resume(bytes, *pending, settled, now);
                self.record(side, line, content, step, now, cx);
            }
        }
    }

    /// Sends the next answers to a batch.
    fn answer_batch(&mut self, line: Range<usize>, content: Range<usize>, mut batch: Box<Batch>) {
        let bytes = self.client.buffer.slice(content.start, content.end);
        let answers = self.session.next_answers(bytes, &mut batch);
        self.to_client.queue.extend(answers);
        if !batch.is_done() {
            self.waiting = Some(Waiting { line, content, what: Awaited::Answers(batch) });
        }
    }

    /// Puts a step on record, then carries it out.
    fn record(
        &mut self,
        side: Side,
        line: Range<usize>,
        content: Range<usize>,
        mut step: Step,
        now: Now,
        cx: &mut Context<'_>,
    ) {
        match self.books.poll_record(cx, &step, now) {
            // Nothing goes out any more.
            Poll::Pending if self.exit.is_some() => self.books.note_all(step.records(), now),
            Poll::Pending => {
                let what = Awaited::Recording(Box::new(step));
                self.waiting = Some(Waiting { line, content, what });
                return;
            }
            Poll::Ready(Err(reason)) => {
                self.books.tell_trouble(&reason);
                step = self.session.unrecorded(step, reason);
                // The log is told once it can be written again.
                self.books.note_all(step.records(), now);
            }
            Poll::Ready(Ok(())) => {}
        }
        self.act(side, line, content, step);
    }

    fn act(&mut self, side: Side, line: Range<usize>, content: Range<usize>, step: Step) {
        let Step { action, reservation, notice, .. } = step;
        if let Some(notice) = notice {
            self.books.notices.say(Verbosity::Normal, &notice);
        }
        match (reservation, &action) {
            (Some(reservation), Action::Forward) => self.unsent.push((line.start, reservation)),
            (Some(reservation), _) => self.books.ledger.release(reservation),
            (None, _) => {}
        }
        match action {
            Action::Forward => self.forward(side, line, content.end),
            Action::Rewrite(bytes) => self.replace(side, bytes, content.end..line.end),
            Action::Answer(bytes) => self.back(side).queue.extend(bytes),
            Action::AnswerBatch(batch) => self.answer_batch(line, content, batch),
            Action::Divert { reason, answers } => {
                let head = self.server.buffer.slice(content.start, content.end);
                let head = head.get(..HEAD_BYTES).unwrap_or(head);
                self.books.notices.show_server_line(&reason, head);
                self.to_client.queue.extend(answers);
            }
            // A session that resumes has its answer.
            Action::Reserve(_) => {}
        }
    }

    /// Adds a line to the run of its lane. The last line of all may lack its line end, and gets it (contract W1).
    fn forward(&mut self, side: Side, line: Range<usize>, content_end: usize) {
        if line.end > content_end {
            self.lane(side).extend_run(line);
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

    /// Answers everything that is in flight: nothing more will come of it.
    fn abandon(&mut self, message: &str) {
        match self.waiting.take() {
            Some(Waiting { content, what: Awaited::Reservation(pending), .. }) => {
                let line = self.client.buffer.slice(content.start, content.end);
                self.to_client.queue.extend(self.session.abandon_pending(line, &pending, message));
            }
            // It never went out; if it was to, it is in flight and gets its answer with the others.
            Some(Waiting { what: Awaited::Recording(step), .. }) => {
                step.reservation.into_iter().for_each(|charge| self.books.ledger.release(charge));
                if let Action::Answer(bytes) = step.action {
                    self.to_client.queue.extend(bytes);
                }
            }
            // Who asked so much at once and did not wait is not told more.
            Some(Waiting { what: Awaited::Answers(_), .. }) | None => {}
        }
        let now = moment();
        let (answers, records) = self.session.abandon(message, now);
        self.to_client.queue.extend(answers);
        self.books.note_all(records.iter(), now);
        self.is_over = true;
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
}
