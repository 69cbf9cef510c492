//! The way of a line through the loop: it is read, decided by the session, put on record, and sent where it goes.

use std::task::{Context, Poll};
use std::time::Instant;

use crate::engine::limits::{Now, Reservation};
use crate::engine::session::audit_record::Record;
use crate::engine::session::{Answer, Diversion, Pending, RecordedCall, Step, Turn};
use crate::engine::wire::frame::batch::Batch;
use crate::engine::wire::line::{HEAD_BYTES, Line, LongLine, Side};

use super::lane::{Lane, LineSpan, Outlet};
use super::{QUEUE_BYTES, Relay};
use crate::shell::os::clock::moment;

/// A line of the client that is taken from the buffer and still lies there, for its decision is not carried out yet. The
/// client's direction waits for it, the server's goes on (contract S2).
pub(super) struct Blocked {
    at: LineSpan,
    on: BlockedOn,
}

/// What a line waits for.
enum BlockedOn {
    /// The ledger settles the limits of a call.
    Ledger(Box<Pending>),
    /// The record of an allowed call is written.
    Log(RecordedCall),
    /// The client reads the answers to a batch that were made so far.
    Reader(Box<Batch>),
}

/// From the buffer to the session.
impl Relay {
    /// Decides the lines that a side has sent, and reads more if none is left. True if something moved.
    pub(super) fn advance(&mut self, side: Side, cx: &mut Context<'_>) -> bool {
        let mut begun = None;
        let mut moved = false;
        let mut has_read = false;
        while self.may_decide(side) {
            if side == Side::Client
                && let Some(blocked) = self.blocked.take()
            {
                let is_batch = matches!(blocked.on, BlockedOn::Reader(_));
                self.retry(blocked, moment(), cx);
                if self.blocked.is_some() && !is_batch {
                    return moved;
                }
                moved = true;
                continue;
            }
            match self.next_line(side) {
                Some(line) => {
                    let (instant, now) = *begun.get_or_insert_with(|| (Instant::now(), moment()));
                    if side == Side::Client && self.must_postpone(&line, instant) {
                        self.postponed = Some(line);
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
    pub(super) fn may_decide(&self, side: Side) -> bool {
        let (lane, ahead, back) = match side {
            Side::Client => (&self.client, &self.to_server, &self.to_client),
            Side::Server => (&self.server, &self.to_client, &self.to_server),
        };
        let room = ahead.queue.is_empty() && back.queue.len() < QUEUE_BYTES;
        let waits = side == Side::Client && self.watch.is_asked();
        !self.is_over && !waits && lane.continues_run() && room
    }

    fn next_line(&mut self, side: Side) -> Option<Line> {
        if side == Side::Client && self.postponed.is_some() {
            return self.postponed.take();
        }
        let lane = self.lane(side);
        let line = lane.buffer.next_line();
        line.or_else(|| if lane.source.is_none() { lane.buffer.last_line() } else { None })
    }

    /// True if a line of the client has to wait: for a policy that may have changed, or in lockstep.
    fn must_postpone(&mut self, line: &Line, now: Instant) -> bool {
        if self.watch.must_wait(now) {
            return true;
        }
        let Line::Whole { start, content_end, .. } = *line else { return false };
        let server_lives = self.exit.is_none() && self.to_server.is_open();
        if !self.options.lockstep || !server_lives {
            return false;
        }
        let is_due = self.session.is_due(self.client.buffer.slice(start, content_end));
        if !is_due && self.postponed_until.is_none() {
            self.postponed_until = now.checked_add(self.options.drain);
        }
        if is_due {
            self.postponed_until = None;
        } else if self.postponed_until.is_some_and(|until| until <= now) {
            self.postponed_until = None;
            // A drain begins anew.
            self.answered = now;
            return false;
        }
        !is_due
    }

    fn decide(&mut self, side: Side, line: Line, now: Now, cx: &mut Context<'_>) {
        let at = match line {
            Line::Whole { start, content_end, end } => LineSpan { start, content_end, end },
            Line::TooLong(line) => return self.decide_long(side, &line, now),
        };
        let lane = match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        };
        let bytes = lane.content(at);
        self.effects.record_line(side, bytes, now);
        match self.session.handle(side, bytes, now) {
            Turn::Do(step) => self.carry_out(side, at, step, now, cx),
            Turn::Settle(pending) => self.settle(at, pending, now, cx),
        }
    }

    /// Decides about a line that was over the cap, of which only the beginning is left.
    fn decide_long(&mut self, side: Side, line: &LongLine, now: Now) {
        self.effects.record_line(side, &line.head, now);
        let max = self.options.max_frame;
        match side {
            Side::Client => {
                let answer = self.session.refuse_long(max);
                self.answer(side, answer, now);
            }
            Side::Server => {
                let Diversion { reason, answers, records } =
                    self.session.divert_long(line, max, now);
                self.effects.note(records, now);
                self.effects.show_server_line(&reason, &line.head);
                self.to_client.queue.extend(answers);
            }
        }
    }
}

/// What blocks the client's direction until it is there.
impl Relay {
    /// Looks again for what a line waits for.
    fn retry(&mut self, Blocked { at, on }: Blocked, now: Now, cx: &mut Context<'_>) {
        match on {
            BlockedOn::Ledger(pending) => self.settle(at, pending, now, cx),
            BlockedOn::Log(call) => self.send_call(at, call, now, cx),
            BlockedOn::Reader(batch) => self.answer_batch(at, batch),
        }
    }

    /// Has the ledger settle the limits of a call.
    fn settle(&mut self, at: LineSpan, pending: Box<Pending>, now: Now, cx: &mut Context<'_>) {
        let line = self.client.content(at);
        if let Some(exit) = self.exit {
            // It would not go out, and those behind it shall not wait for that.
            let answer = self.session.abandon_pending(line, &pending, &exit.message());
            return self.to_client.queue.extend(answer);
        }
        match self.effects.poll_reserve(cx, pending.demands(), now) {
            Poll::Pending => self.blocked = Some(Blocked { at, on: BlockedOn::Ledger(pending) }),
            Poll::Ready(settled) => {
                let step = self.session.resume(line, *pending, settled, now);
                self.carry_out(Side::Client, at, step, now, cx);
            }
        }
    }

    /// Sends a call on, once its record is written.
    fn send_call(&mut self, at: LineSpan, call: RecordedCall, now: Now, cx: &mut Context<'_>) {
        match self.effects.poll_write(cx, &call.record, now) {
            // Nothing goes out any more.
            Poll::Pending if self.exit.is_some() => {
                self.effects.note([Record::Call(call.record)], now);
                self.forward(Side::Client, at, call.charge);
            }
            Poll::Pending => self.blocked = Some(Blocked { at, on: BlockedOn::Log(call) }),
            Poll::Ready(Err(reason)) => {
                let step = self.session.unrecorded(call, reason);
                self.carry_out(Side::Client, at, step, now, cx);
            }
            Poll::Ready(Ok(())) => self.forward(Side::Client, at, call.charge),
        }
    }

    /// Sends the next answers to a batch.
    fn answer_batch(&mut self, at: LineSpan, mut batch: Box<Batch>) {
        let answers = self.session.next_answers(self.client.content(at), &mut batch);
        self.to_client.queue.extend(answers);
        if !batch.is_done() {
            self.blocked = Some(Blocked { at, on: BlockedOn::Reader(batch) });
        }
    }

    /// Answers everything that is in flight: nothing more will come of it.
    pub(super) fn abandon(&mut self, message: &str) {
        if let Some(Blocked { at, on }) = self.blocked.take() {
            match on {
                BlockedOn::Ledger(pending) => {
                    let line = self.client.content(at);
                    let answer = self.session.abandon_pending(line, &pending, message);
                    self.to_client.queue.extend(answer);
                }
                // It is in flight, and gets its answer with the others.
                BlockedOn::Log(RecordedCall { charge, .. }) => {
                    charge.into_iter().for_each(|charge| self.effects.release(charge));
                }
                // A client that has not read the answers so far gets no more of them.
                BlockedOn::Reader(_) => {}
            }
        }
        let now = moment();
        let (answers, records) = self.session.abandon(message, now);
        self.to_client.queue.extend(answers);
        self.effects.note(records, now);
        self.is_over = true;
    }
}

/// From the session to where a line goes.
impl Relay {
    fn carry_out(&mut self, side: Side, at: LineSpan, step: Step, now: Now, cx: &mut Context<'_>) {
        match step {
            Step::ForwardCall(call) => self.send_call(at, call, now, cx),
            Step::Forward { charge, records } => {
                self.effects.note(records, now);
                self.forward(side, at, charge);
            }
            Step::Rewrite { bytes, records } => {
                self.effects.note(records, now);
                self.replace(side, bytes, at);
            }
            Step::Answer(answer) => self.answer(side, answer, now),
            Step::AnswerBatch { batch, records } => {
                self.effects.note(records, now);
                self.answer_batch(at, batch);
            }
            Step::Divert(Diversion { reason, answers, records }) => {
                self.effects.note(records, now);
                let line = self.server.content(at);
                self.effects.show_server_line(&reason, line.get(..HEAD_BYTES).unwrap_or(line));
                self.to_client.queue.extend(answers);
            }
        }
    }

    /// Answers a line in the place of the other side.
    fn answer(&mut self, side: Side, answer: Answer, now: Now) {
        let Answer { bytes, refund, records, notice } = answer;
        self.effects.note(records, now);
        if let Some(notice) = notice {
            self.effects.say(&notice);
        }
        if let Some(refund) = refund {
            self.effects.release(refund);
        }
        self.back(side).queue.extend(bytes);
    }

    /// Adds a line to the run of its lane, with what was charged for it. The last line of all may lack its line end, and
    /// gets it (contract W1).
    fn forward(&mut self, side: Side, at: LineSpan, charge: Option<Reservation>) {
        if let Some(charge) = charge {
            self.unsent.push((at.start, charge));
        }
        if at.end > at.content_end {
            self.lane(side).extend_run(at);
            return;
        }
        let bytes = self.lane(side).content(at).to_vec();
        self.replace(side, bytes, at);
    }

    /// Sends `bytes` in the place of a line, with its line end.
    fn replace(&mut self, side: Side, mut bytes: Vec<u8>, at: LineSpan) {
        let line_end = self.lane(side).buffer.slice(at.content_end, at.end);
        bytes.extend_from_slice(if line_end.is_empty() { b"\n" } else { line_end });
        self.ahead(side).queue.extend(bytes);
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
