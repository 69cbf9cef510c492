//! A child process on three pipes, with a deadline on everything that it may keep us waiting for.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// How long anything may take before the test fails and its processes are killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A child that has not read for this long does not read any more.
const STANDSTILL: Duration = Duration::from_secs(1);

/// How many bytes are read or written at once.
const AT_ONCE: usize = 16 * 1024;

/// A running child. Dropped, it is killed with all its descendants.
pub(crate) struct Process {
    pid: u32,
    input: Option<Sender<Vec<u8>>>,
    /// How many bytes of each write to stdin were taken.
    taken: Receiver<usize>,
    output: Receiver<Vec<u8>>,
    errors: Receiver<Vec<u8>>,
    /// Set while stdout is not read yet: what will have it read, so many bytes at once.
    held_stdout: Option<Sender<usize>>,
    exit: Receiver<Option<i32>>,
    ended: bool,
    patience: Duration,
}

/// How a process ended, and all that it wrote that had not been read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl End {
    /// The end of a process that had nothing more to say.
    pub(crate) fn quiet(code: i32) -> Self {
        Self { code: Some(code), stdout: String::new(), stderr: String::new() }
    }
}

impl Process {
    /// Starts `command` with its three standard streams on pipes.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::spawn_with(command, Stdio::piped(), false)
    }

    /// Starts `command` with stdin and stdout on pipes; with `holds_stdout` nobody reads its stdout yet.
    pub(crate) fn spawn_with(command: &mut Command, stderr: Stdio, holds_stdout: bool) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
        let (held_stdout, hold) = holds_stdout.then(mpsc::channel).unzip();
        let (input, taken) = write_from_a_thread(child.stdin.take().unwrap());
        let stderr = child.stderr.take();
        Self {
            pid: child.id(),
            input: Some(input),
            taken,
            output: read_in_a_thread(child.stdout.take().unwrap(), hold),
            errors: stderr.map_or_else(|| mpsc::channel().1, |pipe| read_in_a_thread(pipe, None)),
            held_stdout,
            exit: wait_in_a_thread(child),
            ended: false,
            patience: PATIENCE,
        }
    }

    /// Waits so many times as long as the other tests: for an installation.
    pub(crate) fn with_patience(mut self, times: u32) -> Self {
        self.patience *= times;
        self
    }

    /// Hands bytes to the child's stdin, never waiting for it to read them.
    pub(crate) fn write(&self, bytes: Vec<u8>) {
        // The send fails once the child has closed its stdin: the test sees that by what is missing.
        let _ = self.input.as_ref().expect("stdin is open").send(bytes);
    }

    /// Writes to the child's stdin until it is all taken, or nothing more is; true if all was.
    pub(crate) fn flood(&self, bytes: Vec<u8>) -> bool {
        self.taken.try_iter().for_each(drop);
        let mut left = bytes.len();
        self.write(bytes);
        while left > 0 {
            match self.taken.recv_timeout(STANDSTILL) {
                Ok(count) => left -= count,
                Err(_) => return false,
            }
        }
        true
    }

    /// Reads stdout from here on, at most so many bytes at once.
    pub(crate) fn read_on(&mut self, at_once: usize) {
        self.held_stdout.take().expect("stdout is held").send(at_once).unwrap();
    }

    /// The next line of stdout without its LF, or why there is none.
    pub(crate) fn line(&self) -> Result<Vec<u8>, String> {
        let mut line = self.output.recv_timeout(self.patience).map_err(|error| match error {
            RecvTimeoutError::Disconnected => format!("stdout has ended; {}", self.complaints()),
            RecvTimeoutError::Timeout => {
                format!("nothing on stdout for {:?}; {}", self.patience, self.complaints())
            }
        })?;
        if line.pop() == Some(b'\n') { Ok(line) } else { Err("stdout ended within a line".into()) }
    }

    /// The next line of stderr without its LF.
    pub(crate) fn error_line(&self) -> String {
        self.error_line_within(self.patience).expect("a line on stderr in time")
    }

    /// The next line of stderr without its LF, if one comes within this time.
    pub(crate) fn error_line_within(&self, time: Duration) -> Option<String> {
        let line = self.errors.recv_timeout(time).ok()?;
        Some(String::from_utf8(line).unwrap().trim_end_matches('\n').to_owned())
    }

    /// Closes stdin and waits until the child and all that hold its stdout or stderr are gone.
    pub(crate) fn end(&mut self) -> End {
        self.input = None;
        self.wait()
    }

    /// Waits, with stdin open, until the child and all that hold its stdout or stderr are gone.
    pub(crate) fn wait(&mut self) -> End {
        let stdout = text(self.rest_of(&self.output, "stdout"));
        let stderr = text(self.rest_of(&self.errors, "stderr"));
        let code = self.exit.recv_timeout(self.patience).expect("the process ends in time");
        self.ended = true;
        End { code, stdout, stderr }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Everything up to the end of a stream.
    fn rest_of(&self, stream: &Receiver<Vec<u8>>, name: &str) -> Vec<u8> {
        let mut rest = Vec::new();
        loop {
            match stream.recv_timeout(self.patience) {
                Ok(line) => rest.extend(line),
                Err(RecvTimeoutError::Disconnected) => return rest,
                Err(RecvTimeoutError::Timeout) => panic!(
                    "{name} is still open after {:?}: a process was left behind; {}",
                    self.patience,
                    self.complaints()
                ),
            }
        }
    }

    /// What stands on stderr so far, for a panic's message.
    fn complaints(&self) -> String {
        let stderr: Vec<u8> = self.errors.try_iter().flatten().collect();
        format!("stderr: {}", String::from_utf8_lossy(&stderr))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended && self.exit.try_recv().is_err() {
            kill_with_descendants(self.pid);
            let _ = self.exit.recv_timeout(self.patience);
        }
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

/// What is sent is written; how much of it was taken comes back write by write.
fn write_from_a_thread(
    mut pipe: impl Write + Send + 'static,
) -> (Sender<Vec<u8>>, Receiver<usize>) {
    let (sender, receiver) = mpsc::channel::<Vec<u8>>();
    let (progress, taken) = mpsc::channel();
    thread::spawn(move || {
        for bytes in receiver {
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let Ok(count) = pipe.write(&rest[..rest.len().min(AT_ONCE)]) else { return };
                rest = &rest[count..];
                // Nobody counts once the test is over.
                let _ = progress.send(count);
            }
        }
    });
    (sender, taken)
}

/// The lines of a pipe, read from now on, or as `hold` says: then, and at most so many bytes at once.
fn read_in_a_thread(
    pipe: impl Read + Send + 'static,
    hold: Option<Receiver<usize>>,
) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let Ok(at_once) = hold.map_or(Ok(AT_ONCE), |hold| hold.recv()) else { return };
        let mut pipe = BufReader::with_capacity(at_once, pipe);
        loop {
            let mut line = Vec::new();
            match pipe.read_until(b'\n', &mut line) {
                Ok(1..) if sender.send(line).is_ok() => {}
                _ => return,
            }
        }
    });
    receiver
}

fn wait_in_a_thread(mut child: Child) -> Receiver<Option<i32>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait().ok().and_then(|status| status.code())));
    receiver
}

/// Kills a process and, where `/proc` tells them, its descendants: a server that is in a process
/// group of its own would outlive the test that failed.
fn kill_with_descendants(pid: u32) {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    for child in children.unwrap_or_default().split_whitespace() {
        kill_with_descendants(child.parse().expect("a process id"));
    }
}
