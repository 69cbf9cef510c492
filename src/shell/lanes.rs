//! One direction of a session, and one destination: what is read, what is on its way out, and how both are moved
//! without waiting.

use std::io;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::engine::line::LineBuffer;

use super::descriptor::Descriptor;

/// One direction: a source, its lines, and the stretch of them that is on its way out.
pub(super) struct Lane {
    /// `None` once it has ended.
    pub(super) source: Option<AsyncFd<Descriptor>>,
    pub(super) buffer: LineBuffer,
    pub(super) run: Range<usize>,
    /// Bytes read and bytes of runs written so far: it grows as long as anything goes on.
    pub(super) moved: u64,
}

/// One destination, and what callgate itself has to say there.
pub(super) struct Outlet {
    /// `None` once nobody reads it.
    pub(super) sink: Option<AsyncFd<Descriptor>>,
    pub(super) queue: Queue,
    /// Bytes written so far.
    pub(super) moved: u64,
}

impl Lane {
    pub(super) fn new(source: Descriptor, max_frame: usize) -> io::Result<Self> {
        let source = Some(source.watched(Interest::READABLE)?);
        Ok(Lane { source, buffer: LineBuffer::new(max_frame), run: 0..0, moved: 0 })
    }

    /// True once the source has ended and nothing of it is left.
    pub(super) fn is_done(&self) -> bool {
        self.source.is_none() && self.run.is_empty() && self.buffer.begun() == 0
    }

    /// True if the next line, whatever becomes of it, leaves the run in one piece.
    pub(super) fn continues_run(&self) -> bool {
        self.run.is_empty() || self.run.end == self.buffer.decided()
    }

    /// Reads once, if the run is out and something is there. True if it read or the source ended.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.run.is_empty() {
            return false;
        }
        loop {
            let Some(source) = &self.source else { return false };
            let Poll::Ready(ready) = source.poll_read_ready(cx) else { return false };
            let Ok(mut guard) = ready else { break };
            let buffer = self.buffer.spare();
            let room = buffer.capacity().saturating_sub(buffer.len());
            match source.get_ref().read(buffer) {
                Ok(0) => break,
                Ok(count) => {
                    // A short read has emptied the pipe: the next byte will be announced.
                    if count < room {
                        guard.clear_ready();
                    }
                    self.moved = self.moved.saturating_add(count as u64);
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(_) => break,
            }
        }
        self.source = None;
        true
    }
}

impl Outlet {
    pub(super) fn new(sink: Descriptor) -> io::Result<Self> {
        let sink = Some(sink.watched(Interest::WRITABLE)?);
        Ok(Outlet { sink, queue: Queue::default(), moved: 0 })
    }

    pub(super) fn close(&mut self) {
        self.sink = None;
    }

    /// Writes the run of the lane that leads here, then the queue, as far as they are taken.
    pub(super) fn flush(&mut self, lane: &mut Lane, cx: &mut Context<'_>) {
        loop {
            if self.sink.is_none() {
                lane.run = 0..0;
                self.queue = Queue::default();
                return;
            }
            let run = lane.buffer.slice(lane.run.start, lane.run.end);
            let bytes = if run.is_empty() { self.queue.bytes() } else { run };
            if bytes.is_empty() {
                return;
            }
            let from_run = !run.is_empty();
            match self.write(bytes, cx) {
                Poll::Pending => return,
                Poll::Ready(None) => self.close(),
                Poll::Ready(Some(count)) => {
                    self.moved = self.moved.saturating_add(count as u64);
                    if from_run {
                        lane.moved = lane.moved.saturating_add(count as u64);
                        lane.run.start = lane.run.start.saturating_add(count);
                    } else {
                        self.queue.consume(count);
                    }
                }
            }
        }
    }

    /// `None` if nobody will read again. Writes before it waits: mostly there is room.
    fn write(&self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<Option<usize>> {
        let Some(sink) = &self.sink else { return Poll::Ready(None) };
        loop {
            match sink.get_ref().write(bytes) {
                Ok(count) => return Poll::Ready(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(None),
            }
            match ready!(sink.poll_write_ready(cx)) {
                Ok(mut guard) => guard.clear_ready(),
                Err(_) => return Poll::Ready(None),
            }
        }
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
        } else {
            self.bytes.extend(bytes);
        }
    }

    fn consume(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count);
        if self.is_empty() {
            *self = Queue::default();
        }
    }
}
