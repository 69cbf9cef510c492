//! Lines for people on stderr, while the session runs. Nobody waits for stderr: what it does not take at once
//! is dropped and counted (SPEC W6).

use std::fmt::Write as _;
use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::descriptor::Descriptor;

/// The longest notice in bytes; a pipe that is ready takes as much at once.
const MAX_BYTES: usize = 4096;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// `-q`: errors only.
    Quiet,
    /// What a person would want to know.
    Normal,
    /// `-v`: every decision.
    Verbose,
}

/// The way to stderr.
#[derive(Debug)]
pub struct Notices {
    verbosity: Verbosity,
    /// Set where stderr can be opened anew, so that writing never waits even if others write, too.
    own: Option<Descriptor>,
    dropped: u64,
}

impl Notices {
    /// Opens the way.
    #[must_use]
    pub fn new(verbosity: Verbosity) -> Self {
        Notices { verbosity, own: Descriptor::notices(io::stderr().as_fd()), dropped: 0 }
    }

    /// True if records are shown.
    #[must_use]
    pub fn shows_records(&self) -> bool {
        self.verbosity == Verbosity::Verbose
    }

    /// Says `text`, if `from` is not above what is wanted.
    pub fn say(&mut self, from: Verbosity, text: &str) {
        if from <= self.verbosity {
            self.write_line("callgate: ", text.as_bytes());
        }
    }

    /// Tells an error in full, however little is wanted.
    pub fn complain(&mut self, error: &anyhow::Error) {
        for line in prose(error).lines() {
            let mut line = format!("callgate: {line}").trim_end().to_owned();
            line.truncate(line.floor_char_boundary(MAX_BYTES.saturating_sub(8)));
            self.write_text(line);
        }
    }

    /// Shows the beginning of a line that the server wrote and that is not relayed, and why.
    pub fn show_server_line(&mut self, reason: &str, head: &[u8]) {
        if self.verbosity >= Verbosity::Normal {
            let mut mark = "callgate: server wrote (".to_owned();
            push_visible(&mut mark, reason.as_bytes(), MAX_BYTES / 2);
            mark.push_str("): ");
            self.write_line(&mark, head);
        }
    }

    fn write_line(&mut self, mark: &str, text: &[u8]) {
        let mut line = mark.to_owned();
        push_visible(&mut line, text, MAX_BYTES.saturating_sub(8));
        self.write_text(line);
    }

    /// Writes a line; or counts it, if stderr does not take it at once.
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
            None => is_ready() && rustix::io::write(io::stderr(), bytes).is_ok(),
        }
    }
}

/// An error and its causes, for people (SPEC C3). The operating system's own number helps nobody.
#[must_use]
pub fn prose(error: &anyhow::Error) -> String {
    let causes = error.chain().map(|cause| {
        let text = cause.to_string();
        let number = text.rfind(" (os error ").filter(|_| cause.is::<io::Error>());
        number.and_then(|at| text.get(..at)).map_or_else(|| text.clone(), str::to_owned)
    });
    visible(&causes.collect::<Vec<_>>().join(": "))
}

/// User text is part of it: what a terminal could obey, or a person not see, is spelt out.
fn visible(text: &str) -> String {
    let hidden = |c: char| {
        c != '\n' && c.is_control()
            || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
    };
    text.chars().fold(String::new(), |mut line, c| {
        if hidden(c) {
            line.extend(c.escape_unicode());
        } else {
            line.push(c);
        }
        line
    })
}

/// True if stderr takes bytes now.
fn is_ready() -> bool {
    let stderr = io::stderr();
    let mut polled = [PollFd::new(&stderr, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(rustix::event::poll(&mut polled, Some(&now)), Ok(1))
}

/// Adds `text` with everything that a terminal could obey, or a person not see, spelt out. Stops before `line`
/// is longer than `max`.
fn push_visible(line: &mut String, text: &[u8], max: usize) {
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            if line.len().saturating_add(12) > max {
                line.push('…');
                return;
            }
            if c == ' ' || (c.is_ascii_graphic() && c != '\\') || is_plain(c) {
                line.push(c);
            } else {
                line.extend(c.escape_default());
            }
        }
        for byte in chunk.invalid() {
            if line.len().saturating_add(12) > max {
                line.push('…');
                return;
            }
            let _ = write!(line, "\\x{byte:02x}");
        }
    }
}

/// Letters, digits and marks of any script; not the invisible or direction-changing rest.
fn is_plain(c: char) -> bool {
    !c.is_ascii() && c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::push_visible;

    #[test]
    fn nothing_invisible_reaches_a_terminal() {
        let shown = |text: &[u8], max| {
            let mut line = String::new();
            push_visible(&mut line, text, max);
            line
        };
        assert_eq!(
            shown("a b\u{1b}[2J\té\u{202E}x\\".as_bytes(), 400),
            r"a b\u{1b}[2J\té\u{202e}x\\"
        );
        assert_eq!(shown(b"\xFFa\r", 400), r"\xffa\r");
        assert_eq!(shown(&[b'a'; 100], 20), format!("{}…", "a".repeat(9)));
    }
}
