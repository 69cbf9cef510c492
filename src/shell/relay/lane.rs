//! One direction of a session, and one destination; reading and writing never wait.

use std::future::Future as _;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::sync::oneshot;

use crate::engine::wire::line::LineBuffer;

use crate::shell::os::descriptor::Descriptor;

/// Where a line lies in the buffer of its lane, until the next read.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineSpan {
    /// First byte.
    pub(super) start: usize,
    /// Behind the last byte that is not of the line end.
    pub(super) content_end: usize,
    /// Behind the line end.
    pub(super) end: usize,
}

/// One direction: a source, its lines, and the stretch of them that is on its way out.
pub(super) struct Lane {
    /// `None` once it has ended.
    pub(super) source: Option<AsyncFd<Descriptor>>,
    /// If a thread reads the source: ready once nothing more will come than is in its pipe.
    no_more: Option<oneshot::Receiver<()>>,
    /// There is something to read although the reactor's readiness was cleared.
    announced: bool,
    pub(super) buffer: LineBuffer,
    /// `run.start <= run.end`, and what is before `run.start` is written.
    pub(super) run: Range<usize>,
    /// Bytes read and bytes of runs written so far.
    pub(super) moved: u64,
}

impl Lane {
    pub(super) fn new(source: Descriptor, max_frame: usize) -> io::Result<Self> {
        let source = Some(source.watched(Interest::READABLE)?);
        Ok(Lane { source, buffer: LineBuffer::new(max_frame), ..Self::silent() })
    }

    /// The lane of a source that a thread reads; see [`Descriptor::reading`].
    pub(super) fn with_end(self, no_more: Option<oneshot::Receiver<()>>) -> Self {
        Lane { no_more, ..self }
    }

    /// A lane without a source.
    pub(super) fn silent() -> Self {
        let buffer = LineBuffer::new(0);
        Lane { source: None, no_more: None, announced: false, buffer, run: 0..0, moved: 0 }
    }

    /// True once the source has ended and nothing of it is left.
    pub(super) fn is_done(&self) -> bool {
        self.source.is_none() && self.run.is_empty() && self.buffer.begun() == 0
    }

    /// True if the next line can be added to the run.
    pub(super) fn continues_run(&self) -> bool {
        self.run.is_empty() || self.run.end == self.buffer.decided()
    }

    /// A line without its line end.
    pub(super) fn content(&self, at: LineSpan) -> &[u8] {
        self.buffer.slice(at.start, at.content_end)
    }

    /// Adds a line to the run.
    pub(super) fn extend_run(&mut self, at: LineSpan) {
        let start = if self.run.is_empty() { at.start } else { self.run.start };
        self.run = start..at.end;
    }

    /// Reads once, if something is there; behind a run that is not written yet only while there is room. True if it read
    /// something or the source ended.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let Some(source) = &self.source else { return false };
            let mut guard = match source.poll_read_ready(cx) {
                Poll::Ready(Ok(guard)) => Some(guard),
                Poll::Ready(Err(_)) => break,
                Poll::Pending if self.announced => None,
                Poll::Pending => {
                    if self.run.is_empty() {
                        self.buffer.shrink();
                    }
                    return false;
                }
            };
            let buffer = if self.run.is_empty() {
                self.buffer.spare()
            } else if let Some(buffer) = self.buffer.spare_behind() {
                buffer
            } else {
                return false;
            };
            let room = buffer.capacity().saturating_sub(buffer.len());
            match source.get_ref().read(buffer) {
                Ok(0) => break,
                Ok(count) => {
                    // A short read has emptied the pipe: the reactor reports the next byte.
                    if count < room {
                        self.announced = false;
                        guard.iter_mut().for_each(AsyncFdReadyGuard::clear_ready);
                    }
                    self.moved = self.moved.saturating_add(count as u64);
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.announced = false;
                    guard.iter_mut().for_each(AsyncFdReadyGuard::clear_ready);
                }
                Err(_) => break,
            }
        }
        self.source = None;
        true
    }

    /// True once the source has ended, even if there is no room to read what it left. Wakes the task then.
    pub(super) fn poll_no_more(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(source) = &self.source else { return true };
        if let Some(no_more) = &mut self.no_more
            && Pin::new(no_more).poll(cx).is_ready()
        {
            // It is ready once. From here on the end of the thread's pipe is the end.
            self.no_more = None;
            return true;
        }
        // Readiness for reading would hide the end and its wake-up.
        while let Poll::Ready(ready) = source.poll_read_ready(cx) {
            match ready {
                Ok(guard) if guard.ready().is_read_closed() => return true,
                Ok(mut guard) => {
                    self.announced = true;
                    guard.clear_ready();
                }
                Err(_) => return true,
            }
        }
        false
    }
}

/// One destination, and what callgate itself writes there.
pub(super) struct Outlet {
    /// `None` once nobody reads it.
    sink: Option<Sink>,
    pub(super) queue: Queue,
    /// Bytes written so far.
    pub(super) moved: u64,
}

impl Outlet {
    pub(super) fn new(sink: Descriptor) -> io::Result<Self> {
        let sink = Sink { fd: sink.watched(Sink::IDLE)?, is_full: false };
        Ok(Outlet { sink: Some(sink), queue: Queue::default(), moved: 0 })
    }

    pub(super) fn is_open(&self) -> bool {
        self.sink.is_some()
    }

    pub(super) fn close(&mut self) {
        self.sink = None;
    }

    /// Closes the outlet once nobody reads it any more, even if there is nothing to write; wakes the task then.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) {
        if self.sink.as_ref().is_some_and(|sink| sink.poll_closed(cx).is_ready()) {
            self.close();
        }
    }

    /// Writes the run of the lane that leads here, then the queue, as much as the destination takes.
    pub(super) fn flush(&mut self, lane: &mut Lane, cx: &mut Context<'_>) {
        while let Some(sink) = self.sink.take() {
            let run = lane.buffer.slice(lane.run.start, lane.run.end);
            let bytes = if run.is_empty() { self.queue.bytes() } else { run };
            if bytes.is_empty() {
                self.sink = sink.rest();
                return;
            }
            match sink.write(bytes, cx) {
                WriteOutcome::Some(sink, count) => {
                    self.sink = Some(sink);
                    self.moved = self.moved.saturating_add(count as u64);
                    if run.is_empty() {
                        self.queue.consume(count);
                    } else {
                        lane.moved = lane.moved.saturating_add(count as u64);
                        lane.run.start = lane.run.start.saturating_add(count);
                    }
                }
                WriteOutcome::NotYet(sink) => {
                    self.sink = Some(sink);
                    return;
                }
                WriteOutcome::NeverAgain => {}
            }
        }
        // Nobody will read them.
        lane.run.end = lane.run.start;
        self.queue = Queue::default();
    }
}

/// The writing end of a destination. It asks to be woken for room only while there is none: otherwise the reader of a
/// socket would wake the task with every message that it takes.
struct Sink {
    fd: AsyncFd<Descriptor>,
    is_full: bool,
}

/// The result of an attempt to write.
enum WriteOutcome {
    /// So many bytes were taken.
    Some(Sink, usize),
    /// There is no room; the task is woken once there is.
    NotYet(Sink),
    /// Nobody will read again.
    NeverAgain,
}

impl Sink {
    /// Waits for the end alone, which the reactor always reports.
    const IDLE: Interest = Interest::PRIORITY;

    /// Writes before it waits: there usually is room.
    fn write(mut self, bytes: &[u8], cx: &mut Context<'_>) -> WriteOutcome {
        loop {
            match self.fd.get_ref().write(bytes) {
                Ok(count) => return WriteOutcome::Some(self, count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return WriteOutcome::NeverAgain,
            }
            if !self.is_full {
                let Some(waiting) = self.waiting_for(Interest::WRITABLE) else {
                    return WriteOutcome::NeverAgain;
                };
                self = waiting;
            }
            match self.fd.poll_write_ready(cx) {
                Poll::Pending => return WriteOutcome::NotYet(self),
                Poll::Ready(Ok(mut guard)) => guard.clear_ready(),
                Poll::Ready(Err(_)) => return WriteOutcome::NeverAgain,
            }
        }
    }

    /// Everything is written. `None` if the reactor gives up.
    fn rest(self) -> Option<Self> {
        if self.is_full { self.waiting_for(Self::IDLE) } else { Some(self) }
    }

    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        // While it is full, the next write finds out.
        if self.is_full { Poll::Pending } else { self.fd.poll_write_ready(cx).map(|_| ()) }
    }

    fn waiting_for(self, interest: Interest) -> Option<Self> {
        let fd = self.fd.into_inner().watched(interest).ok()?;
        Some(Sink { fd, is_full: interest != Self::IDLE })
    }
}

/// Bytes that callgate writes itself, on their way out.
#[derive(Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    /// `sent <= bytes.len()`
    sent: usize,
}

impl Queue {
    fn bytes(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes().len()
    }

    pub(super) fn extend(&mut self, bytes: Vec<u8>) {
        if self.bytes.is_empty() {
            self.bytes = bytes;
            return;
        }
        // A queue that is never quite empty must not keep everything that was ever in it.
        if self.sent > self.len() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend(bytes);
    }

    fn consume(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count);
        if self.is_empty() {
            *self = Queue::default();
        }
    }
}
