//! A server that does what its script says, and writes down every byte it is sent.
//!
//! `scripted_server SCRIPT LOG`: SCRIPT is a JSON array of [`Step`]s, LOG the file that stdin is
//! copied to as it comes. When the steps have run out the server waits for the end of its input
//! and ends with 0.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a server of its own")]

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, getpid, kill_process};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, StdoutLock, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

/// One thing that the server does.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    /// Reads so many lines.
    Recv(usize),
    /// Writes the text and a LF.
    Send(String),
    /// Writes bytes without a LF: each character of the text is one byte, U+0000 to U+00FF.
    SendBytes(String),
    /// Writes the text so many times, without a LF.
    SendRepeat { text: String, times: usize },
    /// Answers the request that was read last, its id as it was written, with this raw result.
    Answer(String),
    /// Answers every further request with the text `ok`, until the end of input.
    Echo,
    /// Does the same, so many milliseconds after it has read each line.
    EchoAfter(u64),
    /// Does the same, and ends with 9 if anything, or the end of input, comes while a request waits.
    EchoAlone(u64),
    /// Ends with 9 if anything, or the end of input, comes within so many milliseconds.
    Silence(u64),
    /// Reads to the end of input and answers nothing.
    Hold,
    /// Writes the text and a LF to stderr.
    Stderr(String),
    /// Closes stdout, and lives on.
    CloseStdout,
    /// Ends with this code.
    Exit(u8),
    /// Ends by this signal.
    Signal(i32),
}

/// What [`Step::Echo`] answers.
const OK: &str = r#"{"content":[{"type":"text","text":"ok"}]}"#;

/// How a server ends that is sent something while it must not be.
const DISTURBED: u8 = 9;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(script), Some(log)) = (arguments.next(), arguments.next()) else {
        return Err("usage: scripted_server SCRIPT LOG".into());
    };
    let steps: Vec<Step> = serde_json::from_str(&fs::read_to_string(script)?)?;
    let log = File::options().create(true).append(true).open(log)?;
    let stdin = BufReader::new(File::from(io::stdin().as_fd().try_clone_to_owned()?));
    let mut server = Server { stdin, stdout: io::stdout().lock(), log, line: Vec::new() };

    for step in steps {
        if let Some(code) = server.play(step)? {
            return Ok(code);
        }
    }
    server.hold()?;
    Ok(ExitCode::SUCCESS)
}

/// The pipes, the log and the line that was read last.
struct Server {
    stdin: BufReader<File>,
    stdout: StdoutLock<'static>,
    log: File,
    line: Vec<u8>,
}

/// What is needed of a line to answer it.
#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
}

impl Server {
    /// Plays one step; `Some` ends the server with that code.
    fn play(&mut self, step: Step) -> Result<Option<ExitCode>, Box<dyn Error>> {
        match step {
            Step::Recv(lines) => {
                for _ in 0..lines {
                    if !self.receive()? {
                        return Ok(Some(ExitCode::SUCCESS));
                    }
                }
            }
            Step::Send(text) => self.write(format!("{text}\n").as_bytes())?,
            Step::SendBytes(text) => {
                let bytes: Vec<u8> =
                    text.chars().map(|c| u8::try_from(u32::from(c))).collect::<Result<_, _>>()?;
                self.write(&bytes)?;
            }
            Step::SendRepeat { text, times } => self.write(text.repeat(times).as_bytes())?,
            Step::Answer(result) => self.answer(&result)?,
            Step::Echo => {
                while self.receive()? {
                    self.answer(OK)?;
                }
            }
            Step::EchoAfter(ms) => {
                while self.receive()? {
                    poll(&mut [], Some(&milliseconds(ms)?))?;
                    self.answer(OK)?;
                }
            }
            Step::EchoAlone(ms) => {
                while self.receive()? {
                    if self.id().is_some() && self.is_sent_more_within(ms)? {
                        return Ok(Some(DISTURBED.into()));
                    }
                    self.answer(OK)?;
                }
            }
            Step::Silence(ms) => {
                if self.is_sent_more_within(ms)? {
                    return Ok(Some(DISTURBED.into()));
                }
            }
            Step::Hold => self.hold()?,
            Step::Stderr(text) => writeln!(io::stderr(), "{text}")?,
            Step::CloseStdout => rustix::stdio::dup2_stdout(File::open("/dev/null")?)?,
            Step::Exit(code) => return Ok(Some(ExitCode::from(code))),
            Step::Signal(number) => end_by_signal(number)?,
        }
        Ok(None)
    }

    /// Reads one line and logs it; false at the end of input.
    fn receive(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.stdin.read_until(b'\n', &mut self.line)?;
        self.log.write_all(&self.line)?;
        Ok(!self.line.is_empty())
    }

    fn hold(&mut self) -> io::Result<()> {
        while self.receive()? {}
        Ok(())
    }

    /// Answers the line that was read last, if it is a request.
    fn answer(&mut self, result: &str) -> io::Result<()> {
        let Some(id) = self.id() else { return Ok(()) };
        let answer = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n");
        self.write(answer.as_bytes())
    }

    /// The id of the line that was read last, if it is a request.
    fn id(&self) -> Option<&RawValue> {
        let Request { id, method } = serde_json::from_slice(&self.line).ok()?;
        method.and(id)
    }

    /// True if anything, or the end of input, comes within so many milliseconds.
    fn is_sent_more_within(&self, ms: u64) -> Result<bool, Box<dyn Error>> {
        let mut polled = [PollFd::new(self.stdin.get_ref(), PollFlags::IN)];
        Ok(!self.stdin.buffer().is_empty() || poll(&mut polled, Some(&milliseconds(ms)?))? > 0)
    }

    /// Writes at once: a script's sends are seen in its order.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stdout.write_all(bytes)?;
        self.stdout.flush()
    }
}

fn milliseconds(ms: u64) -> Result<Timespec, Box<dyn Error>> {
    Ok(Duration::from_millis(ms).try_into()?)
}

/// Ends this process as a server does that is killed or crashes.
fn end_by_signal(number: i32) -> Result<(), Box<dyn Error>> {
    let signal = Signal::from_named_raw(number).ok_or("no such signal")?;
    kill_process(getpid(), signal)?;
    Err("the signal did not end the server".into())
}
