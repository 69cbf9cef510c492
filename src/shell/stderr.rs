//! Messages on stderr while a session runs. A session never waits for stderr: lines that it does not take at once are
//! dropped and counted (contract W6).

use std::fmt;
use std::io;

use super::os;
use super::os::descriptor::Descriptor;
use crate::engine::text::escape::{escape_bytes, escape_line};

/// The longest message, in bytes; a pipe that is ready takes as much at once.
const MAX_BYTES: usize = 4096;

/// How many messages the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// `-q`: errors only.
    Quiet,
    /// Errors, and what a person has to know.
    Normal,
    /// `-v`: every decision.
    Verbose,
}

/// Writes messages to stderr.
#[derive(Debug)]
pub struct Notices {
    verbosity: Verbosity,
    /// Set if stderr could be opened anew: writing never waits then, even if other processes write as well.
    own: Option<Descriptor>,
    dropped: u64,
}

impl Notices {
    /// Opens stderr.
    #[must_use]
    pub fn new(verbosity: Verbosity) -> Self {
        Notices { verbosity, own: Descriptor::stderr(), dropped: 0 }
    }

    /// True if every decision is shown.
    #[must_use]
    pub fn shows_records(&self) -> bool {
        self.verbosity == Verbosity::Verbose
    }

    /// Writes `text`, if the user wants messages of this verbosity.
    pub fn say(&mut self, from: Verbosity, text: &str) {
        if from <= self.verbosity {
            self.write_line("callgate: ", text.as_bytes());
        }
    }

    /// Writes an error in full, whatever the verbosity.
    pub fn complain(&mut self, error: &anyhow::Error) {
        for line in prose(error).lines() {
            self.write_line("callgate: ", line.as_bytes());
        }
    }

    /// Shows the beginning of a line of the server that is not relayed, and why it is not.
    pub fn show_server_line(&mut self, reason: &str, head: &[u8]) {
        if self.verbosity >= Verbosity::Normal {
            let reason = escape_bytes(reason.as_bytes(), MAX_BYTES / 2);
            let mark = format!("callgate: server wrote ({reason}): ");
            self.write_line(&mark, head);
        }
    }

    fn write_line(&mut self, mark: &str, text: &[u8]) {
        let room = MAX_BYTES.saturating_sub(mark.len()).saturating_sub(1);
        let line = [mark, &escape_bytes(text, room)].concat();
        self.write_text(line.trim_end().to_owned());
    }

    /// Writes a line, or counts it if stderr does not take it at once.
    fn write_text(&mut self, mut line: String) {
        line.push('\n');
        if self.dropped > 0 {
            let report = format!("callgate: {} lines dropped here\n", self.dropped);
            if !self.write(report.as_bytes()) {
                self.dropped = self.dropped.saturating_add(1);
                return;
            }
            self.dropped = 0;
        }
        if !self.write(line.as_bytes()) {
            self.dropped = 1;
        }
    }

    /// False if stderr did not take the bytes.
    fn write(&self, bytes: &[u8]) -> bool {
        match &self.own {
            Some(descriptor) => descriptor.write(bytes).is_ok(),
            None => os::write_stderr(bytes),
        }
    }
}

/// An error of several lines: a summary, and below it what was found and where.
#[derive(Debug)]
pub struct LongError {
    /// One line.
    pub summary: String,
    /// The lines below. The caller escapes what is quoted in them, so that none is forged.
    pub below: String,
}

impl fmt::Display for LongError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.summary, self.below)
    }
}

impl std::error::Error for LongError {}

/// An error and its causes as a message (contract C3): one line, and the lines of a [`LongError`]. It leaves out the
/// operating system's error number, which says no more than its text.
#[must_use]
pub fn prose(error: &anyhow::Error) -> String {
    let mut causes = error.chain().map(|cause| {
        if let Some(LongError { summary, below }) = cause.downcast_ref() {
            let below: Vec<_> = below.split('\n').map(escape_line).collect();
            return format!("{}\n{}", escape_line(summary), below.join("\n"));
        }
        let text = cause.to_string();
        let number = text.rfind(" (os error ").filter(|_| cause.is::<io::Error>());
        escape_line(number.and_then(|at| text.get(..at)).unwrap_or(&text)).into_owned()
    });
    let first = causes.next().unwrap_or_default();
    causes.fold(first, |told, cause| [told.as_str(), ": ", &cause].concat())
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::{Context as _, anyhow};

    use super::{LongError, prose};

    /// contract C1: only callgate itself begins a line.
    #[test]
    fn no_cause_forges_a_line() {
        let io = io::Error::other("a\u{1b}b\nerror: c");
        let error = Err::<(), _>(io).with_context(|| "failed to read `x\ny`").expect_err("fails");
        assert_eq!(prose(&error), r"failed to read `x\u{a}y`: a\u{1b}b\u{a}error: c");
        let removed = io::Error::from_raw_os_error(2);
        assert_eq!(prose(&anyhow!(removed)), "No such file or directory");
        let report = LongError { summary: "p\u{2028}q\nr".into(), below: "1\u{ad}\n2".into() };
        let error = anyhow::Error::new(report).context("failed");
        assert_eq!(prose(&error), "failed: p\\u{2028}q\\u{a}r\n1\\u{ad}\n2");
    }
}
