//! A child's stdin and stdout, and the test's ends of them.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, Sender};

/// The child's ends, and the test's.
pub(crate) struct Streams {
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    /// Dropping it ends the child's input.
    pub(crate) input: Box<dyn Write + Send>,
    pub(crate) output: Box<dyn Read + Send>,
}

impl Streams {
    /// Two pipes, as from a shell and from most clients.
    pub(crate) fn pipes() -> Self {
        let (stdin, input) = io::pipe().unwrap();
        let (output, stdout) = io::pipe().unwrap();
        Self {
            stdin: stdin.into(),
            stdout: stdout.into(),
            input: Box::new(input),
            output: Box::new(output),
        }
    }

    /// Two socket pairs, as from Node.js.
    pub(crate) fn sockets() -> Self {
        let (stdin, input) = UnixStream::pair().unwrap();
        let (output, stdout) = UnixStream::pair().unwrap();
        Self {
            stdin: stdin.into(),
            stdout: stdout.into(),
            input: Box::new(input),
            output: Box::new(output),
        }
    }

    /// One socket pair for both.
    pub(crate) fn one_socket() -> Self {
        let (theirs, ours) = UnixStream::pair().unwrap();
        Self {
            stdin: theirs.try_clone().unwrap().into(),
            stdout: theirs.into(),
            input: Box::new(Half(ours.try_clone().unwrap())),
            output: Box::new(ours),
        }
    }

    /// A terminal for both, as for an interactive user: it edits lines, and handles Ctrl-C, Ctrl-D and Ctrl-S. It does
    /// not echo, so all its output is the child's.
    #[cfg(target_os = "linux")]
    pub(crate) fn terminal() -> Self {
        use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
        use rustix::termios::{LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr};

        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags).unwrap();
        unlockpt(&ours).unwrap();
        let theirs = ioctl_tiocgptpeer(&ours, flags).unwrap();
        let mut modes = tcgetattr(&theirs).unwrap();
        modes.local_modes.remove(LocalModes::ECHO);
        modes.output_modes.remove(OutputModes::OPOST);
        tcsetattr(&theirs, OptionalActions::Now, &modes).unwrap();
        Self {
            stdin: theirs.try_clone().unwrap(),
            stdout: theirs,
            input: Box::new(Keyboard(ours.try_clone().unwrap().into())),
            output: Box::new(std::fs::File::from(ours)),
        }
    }

    /// A terminal that shows all output. Others discard at Ctrl-C what they have not shown yet, which on a busy machine
    /// may be anything, even half a character.
    #[cfg(target_os = "linux")]
    pub(crate) fn showing_all(self) -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

        let mut modes = tcgetattr(&self.stdin).unwrap();
        modes.local_modes.insert(LocalModes::NOFLSH);
        tcsetattr(&self.stdin, OptionalActions::Now, &modes).unwrap();
        self
    }

    /// With a client that reads only when the test requests a number of bytes.
    pub(crate) fn unread(self) -> (Self, Sender<usize>) {
        let (read_on, told) = mpsc::channel();
        let output = Box::new(Held { output: self.output, told, at_once: 0 });
        (Self { output, ..self }, read_on)
    }

    /// With this as stdin, which ends by itself or is kept open elsewhere.
    pub(crate) fn reading(self, stdin: impl Into<OwnedFd>) -> Self {
        Self { stdin: stdin.into(), input: Box::new(io::sink()), ..self }
    }

    /// With this as stdout, which the test does not read.
    pub(crate) fn writing(self, stdout: impl Into<OwnedFd>) -> Self {
        Self { stdout: stdout.into(), output: Box::new(io::empty()), ..self }
    }

    /// Duplicates of the child's own stdin and stdout: settings made on the child's ends are visible here.
    pub(crate) fn shared(&self) -> [OwnedFd; 2] {
        [self.stdin.try_clone().unwrap(), self.stdout.try_clone().unwrap()]
    }
}

/// A stream that is read only on request, by this many bytes at once.
struct Held {
    output: Box<dyn Read + Send>,
    told: Receiver<usize>,
    at_once: usize,
}

impl Read for Held {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at_once == 0 {
            // This ends when the test is over.
            self.at_once = self.told.recv().unwrap_or_default();
        }
        let room = buffer.len().min(self.at_once);
        self.output.read(&mut buffer[..room])
    }
}

/// The writing end of a socket whose other direction is read elsewhere.
struct Half(UnixStream);

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

/// Types input; when dropped, Ctrl-D.
#[cfg(target_os = "linux")]
struct Keyboard(std::fs::File);

#[cfg(target_os = "linux")]
impl Write for Keyboard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
impl Drop for Keyboard {
    fn drop(&mut self) {
        let _ = self.0.write(b"\x04");
    }
}
