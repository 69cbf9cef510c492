//! A server that follows a script and logs every byte it receives.
//!
//! `scripted_server SCRIPT LOG`: SCRIPT is a JSON array of [`Step`]s; the server copies its stdin to the file LOG as it
//! arrives. After the last step the server waits for the end of input and exits with 0.
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

/// One step of the server.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    /// Reads this many lines.
    Recv(usize),
    /// Writes the text and an LF.
    Send(String),
    /// Writes bytes without an LF: each character of the text is one byte, U+0000 to U+00FF.
    SendBytes(String),
    /// Writes the text this many times, without an LF.
    SendRepeat { text: String, times: usize },
    /// Answers the last request read with this raw result, and with the id as spelt.
    Answer(String),
    /// Answers every further request with the text `ok`, until the end of input.
    Echo,
    /// As [`Step::Echo`], with each answer this many milliseconds after the line.
    EchoAfter(u64),
    /// As [`Step::Echo`], but exits with 9 if input, or its end, arrives while a request waits.
    EchoAlone(u64),
    /// Exits with 9 if input, or its end, arrives within this many milliseconds.
    Silence(u64),
    /// Reads to the end of input without answering.
    Hold,
    /// Writes the text and an LF to stderr.
    Stderr(String),
    /// Closes stdout, and stays alive.
    CloseStdout,
    /// Exits with this code.
    Exit(u8),
    /// Ends by this signal.
    Signal(i32),
}

/// The result of [`Step::Echo`].
const OK: &str = r#"{"content":[{"type":"text","text":"ok"}]}"#;

/// The exit code of a server that receives input when it must not.
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

/// The pipes, the log and the last line read.
struct Server {
    stdin: BufReader<File>,
    stdout: StdoutLock<'static>,
    log: File,
    line: Vec<u8>,
}

/// The parts of a line that an answer needs.
#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
}

impl Server {
    /// Plays one step; `Some` ends the server with that exit code.
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

    /// Answers the last line read, if it is a request.
    fn answer(&mut self, result: &str) -> io::Result<()> {
        let Some(id) = self.id() else { return Ok(()) };
        let answer = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n");
        self.write(answer.as_bytes())
    }

    /// The id of the last line read, if it is a request.
    fn id(&self) -> Option<&RawValue> {
        let Request { id, method } = serde_json::from_slice(&self.line).ok()?;
        method.and(id)
    }

    /// True if input, or its end, arrives within this many milliseconds.
    fn is_sent_more_within(&self, ms: u64) -> Result<bool, Box<dyn Error>> {
        let mut polled = [PollFd::new(self.stdin.get_ref(), PollFlags::IN)];
        Ok(!self.stdin.buffer().is_empty() || poll(&mut polled, Some(&milliseconds(ms)?))? > 0)
    }

    /// Writes at once, so that the sends of a script arrive in order.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stdout.write_all(bytes)?;
        self.stdout.flush()
    }
}

fn milliseconds(ms: u64) -> Result<Timespec, Box<dyn Error>> {
    Ok(Duration::from_millis(ms).try_into()?)
}

/// Ends this process like a server that is killed or crashes.
fn end_by_signal(number: i32) -> Result<(), Box<dyn Error>> {
    let signal = Signal::from_named_raw(number).ok_or("no such signal")?;
    kill_process(getpid(), signal)?;
    Err("the signal did not end the server".into())
}
