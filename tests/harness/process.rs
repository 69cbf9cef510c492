//! A child process, with a deadline on everything that the test waits for.

use super::streams::Streams;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// The time limit for any wait, after which the test fails and its processes are killed. It is much longer than
/// anything takes on a machine that is busy with a build, where a second's work may take ten.
const PATIENCE: Duration = Duration::from_secs(30);

/// A child that has not read for this long is considered to have stopped reading.
const STANDSTILL: Duration = Duration::from_secs(1);

/// A running child. When dropped, it is killed with all its descendants.
pub(crate) struct Process {
    pid: u32,
    input: Option<Sender<Vec<u8>>>,
    /// The number of bytes taken by each write to stdin.
    taken: Receiver<usize>,
    output: Receiver<Vec<u8>>,
    errors: Receiver<Vec<u8>>,
    exit: Receiver<ExitStatus>,
    /// How the child ended, once known.
    status: Option<ExitStatus>,
    patience: Duration,
}

/// How a process ended, with its unread output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl End {
    /// The end of a process without any unread output.
    pub(crate) fn quiet(code: i32) -> Self {
        Self { code: Some(code), stdout: String::new(), stderr: String::new() }
    }
}

impl Process {
    /// Starts `command` with its three standard streams on pipes.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::spawn_on(command, Streams::pipes(), Stdio::piped())
    }

    /// Starts `command` on these streams.
    pub(crate) fn spawn_on(command: &mut Command, streams: Streams, stderr: Stdio) -> Self {
        let Streams { stdin, stdout, input, output } = streams;
        let mut child = command
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
        // The command would keep the child's ends open.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (input, taken) = write_from_a_thread(input);
        Self {
            pid: child.id(),
            input: Some(input),
            taken,
            output: read_in_a_thread(output),
            errors: child.stderr.take().map_or_else(|| mpsc::channel().1, read_in_a_thread),
            exit: wait_in_a_thread(child),
            status: None,
            patience: PATIENCE,
        }
    }

    /// Multiplies the time limit by this factor, for an installation.
    pub(crate) fn with_patience(mut self, times: u32) -> Self {
        self.patience *= times;
        self
    }

    /// Sends bytes to the child's stdin without waiting for the child to read them.
    pub(crate) fn write(&self, bytes: Vec<u8>) {
        // The send fails once the child has closed its stdin; the test notices by the missing output.
        let _ = self.input.as_ref().expect("stdin is open").send(bytes);
    }

    /// Writes to the child's stdin until everything is taken, or the child stops reading; true if everything was taken.
    /// Earlier writes must have been taken already.
    pub(crate) fn flood(&self, bytes: Vec<u8>) -> bool {
        self.write_within(bytes, STANDSTILL)
    }

    /// Writes to the child's stdin until everything is taken; false if the child stops reading. Earlier writes must
    /// have been taken already.
    pub(crate) fn takes(&self, bytes: Vec<u8>) -> bool {
        self.write_within(bytes, self.patience)
    }

    /// Writes as long as no piece waits longer than this; true if everything was taken.
    fn write_within(&self, bytes: Vec<u8>, standstill: Duration) -> bool {
        self.taken.try_iter().for_each(drop);
        let mut left = bytes.len();
        self.write(bytes);
        while left > 0 {
            match self.taken.recv_timeout(standstill) {
                Ok(count) => left -= count,
                Err(_) => return false,
            }
        }
        true
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

    /// The next line of stderr without its LF, if one arrives within this time.
    pub(crate) fn error_line_within(&self, time: Duration) -> Option<String> {
        let line = self.errors.recv_timeout(time).ok()?;
        Some(String::from_utf8(line).unwrap().trim_end_matches('\n').to_owned())
    }

    /// Closes stdin, and waits until the child and all other holders of its stdout or stderr are gone.
    pub(crate) fn end(&mut self) -> End {
        self.close_input();
        self.wait()
    }

    /// Closes stdin.
    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    /// Waits for the exit code of the child alone; `None` when a signal ended it.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let wait = || self.exit.recv_timeout(self.patience).expect("the process ends in time");
        self.status.get_or_insert_with(wait).code()
    }

    /// Waits, with stdin open, until the child and all other holders of its stdout or stderr are gone.
    pub(crate) fn wait(&mut self) -> End {
        let stdout = text(self.rest_of(&self.output, "stdout"));
        let stderr = text(self.rest_of(&self.errors, "stderr"));
        End { code: self.exit_code(), stdout, stderr }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal to the child.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.unwrap(), signal).unwrap();
    }

    /// Everything up to the end of a stream. Gives up on an endless stream even if it never pauses.
    fn rest_of(&self, stream: &Receiver<Vec<u8>>, name: &str) -> Vec<u8> {
        let mut rest = Vec::new();
        let begun = Instant::now();
        loop {
            match stream.recv_timeout(self.patience) {
                Ok(_) if begun.elapsed() > 4 * self.patience => panic!(
                    "{name} is still written after {:?}; {}",
                    begun.elapsed(),
                    self.complaints()
                ),
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

    /// The stderr output so far, for a panic message.
    fn complaints(&self) -> String {
        let stderr: Vec<u8> = self.errors.try_iter().flatten().collect();
        format!("stderr: {}", String::from_utf8_lossy(&stderr))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_none() && self.exit.try_recv().is_err() {
            kill_with_descendants(self.pid);
            let _ = self.exit.recv_timeout(self.patience);
        }
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

/// Writes everything that is sent, and reports for each write how many bytes were taken.
fn write_from_a_thread(
    mut pipe: impl Write + Send + 'static,
) -> (Sender<Vec<u8>>, Receiver<usize>) {
    // The size of one write: a write that waits does not report its progress.
    const AT_ONCE: usize = 16 * 1024;
    let (sender, receiver) = mpsc::channel::<Vec<u8>>();
    let (progress, taken) = mpsc::channel();
    thread::spawn(move || {
        for bytes in receiver {
            for piece in bytes.chunks(AT_ONCE) {
                if pipe.write_all(piece).is_err() {
                    return;
                }
                // The receiver is gone once the test is over.
                let _ = progress.send(piece.len());
            }
        }
    });
    (sender, taken)
}

fn read_in_a_thread(pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
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

fn wait_in_a_thread(mut child: Child) -> Receiver<ExitStatus> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait().expect("a child that can be waited for")));
    receiver
}

/// Kills a process and, where `/proc` lists them, its descendants: a server in a process group of its own would outlive
/// the failed test.
fn kill_with_descendants(pid: u32) {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    for child in children.unwrap_or_default().split_whitespace() {
        kill_with_descendants(child.parse().expect("a process id"));
    }
}
