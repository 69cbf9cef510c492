//! Lines from a descriptor, in the buffer they are read into.

use std::fs::File;
use std::io;

use rustix::buffer::spare_capacity;

/// The size of one read.
const READ: usize = 64 * 1024;

/// A reader of lines.
pub struct Lines {
    from: File,
    bytes: Vec<u8>,
    /// `begun <= scanned <= bytes.len()`: the next line begins here, and has no end before `scanned`.
    begun: usize,
    scanned: usize,
}

impl Lines {
    pub fn new(from: File) -> Self {
        Lines { from, bytes: Vec::with_capacity(READ), begun: 0, scanned: 0 }
    }

    /// The next line that is already in the buffer, with its line feed.
    pub fn ready(&mut self) -> Option<&[u8]> {
        let Some(found) = memchr::memchr(b'\n', &self.bytes[self.scanned..]) else {
            self.scanned = self.bytes.len();
            return None;
        };
        let line = self.begun..self.scanned + found + 1;
        (self.begun, self.scanned) = (line.end, line.end);
        Some(&self.bytes[line])
    }

    /// Reads more. False at the end of input.
    pub fn fill(&mut self) -> io::Result<bool> {
        self.bytes.drain(..self.begun);
        self.scanned -= self.begun;
        self.begun = 0;
        self.bytes.reserve(READ);
        Ok(rustix::io::read(&self.from, spare_capacity(&mut self.bytes))? > 0)
    }

    /// The next line, after reads if necessary; `None` at the end of input.
    pub fn wait(&mut self) -> io::Result<Option<&[u8]>> {
        while memchr::memchr(b'\n', &self.bytes[self.scanned..]).is_none() {
            self.scanned = self.bytes.len();
            if !self.fill()? {
                return Ok(None);
            }
        }
        Ok(self.ready())
    }
}
