//! Who is measured, and a session with one of them.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::lines::Lines;
use crate::payload::{COUNT, Shape};

/// Who stands between the driver and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contestant {
    /// Nobody.
    Direct,
    BytePipe,
    /// `callgate wrap`, with a policy of so many tools beside those that are called.
    Callgate(Policy),
}

/// What a policy has in it. `echo` is always limited, with room for every call; `spent` has none after its first;
/// no other tool is permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Tools with a limit each, beside those that are called.
    pub others: usize,
    /// A condition on the argument `data` of `echo`, if it has this shape: on the whole string, or on a member of each
    /// object.
    pub condition: Option<Shape>,
}

/// What the driver's pipes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    Pipes,
    /// As Node.js gives to its children.
    Sockets,
}

impl Policy {
    pub const PLAIN: Policy = Policy { others: 0, condition: None };

    fn text(self) -> String {
        let limit = |name: &str, max: u64| {
            format!(r#"[{{"counter":"{name}","window":"minute","max":{max}}}]"#)
        };
        let deny_if = |condition| format!(r#""deny_if":[{{"conditions":[{condition}]}}],"#);
        let condition = match self.condition {
            None => String::new(),
            Some(Shape::Text) => deny_if(r#"{"path":"args.data","op":"eq","value":"x"}"#),
            Some(Shape::Objects) => {
                deny_if(r#"{"path":"args.data[*].price","op":"gt","value":100}"#)
            }
        };
        let mut tools = vec![
            format!(r#""echo":{{{condition}"limits":{}}}"#, limit("echo", 1_000_000_000)),
            format!(r#""spent":{{"limits":{}}}"#, limit("spent", 1)),
        ];
        let other =
            |nth| format!(r#""tool_{nth}":{{"limits":{}}}"#, limit(&format!("c{nth}"), 100));
        tools.extend((0..self.others).map(other));
        format!(r#"{{"version":"1","default":"deny","tools":{{{}}}}}"#, tools.join(","))
    }
}

/// A contestant that runs, with a server behind it.
pub struct Session {
    child: Child,
    /// `None` once it is closed.
    input: Option<File>,
    pub output: Lines,
    _policy: TempDir,
}

impl Session {
    /// Starts a contestant before a server that answers as `answers` says.
    pub fn start(contestant: Contestant, streams: Streams, answers: &str) -> Result<Self> {
        let this = std::env::current_exe()?;
        let policy = tempfile::tempdir()?;
        let mut command = match contestant {
            Contestant::Direct => Command::new(&this),
            Contestant::BytePipe => {
                let mut command = Command::new(&this);
                command.arg("byte-pipe").arg(&this);
                command
            }
            Contestant::Callgate(rules) => {
                let file = policy.path().join("policy.json");
                fs::write(&file, rules.text())?;
                let mut command = Command::new(env!("CARGO_BIN_EXE_callgate"));
                command
                    .args(["wrap", "--state", "memory", "--policy"])
                    .arg(file)
                    .arg("--")
                    .arg(&this);
                for name in ["POLICY", "GRANT", "STATE"] {
                    command.env_remove(format!("CALLGATE_{name}"));
                }
                command
            }
        };
        command.args(["server", answers]);
        let ((theirs_in, input), (output, theirs_out)) = match streams {
            Streams::Pipes => {
                let (read_in, write_in) = std::io::pipe()?;
                let (read_out, write_out) = std::io::pipe()?;
                let ours: (OwnedFd, OwnedFd) = (write_in.into(), read_out.into());
                ((OwnedFd::from(read_in), ours.0), (ours.1, OwnedFd::from(write_out)))
            }
            Streams::Sockets => {
                let (ours_in, theirs_in) = UnixStream::pair()?;
                let (ours_out, theirs_out) = UnixStream::pair()?;
                ((theirs_in.into(), ours_in.into()), (ours_out.into(), theirs_out.into()))
            }
        };
        let child =
            command.stdin(Stdio::from(theirs_in)).stdout(Stdio::from(theirs_out)).spawn()?;
        let (input, output) = (Some(File::from(input)), Lines::new(File::from(output)));
        Ok(Session { child, input, output, _policy: policy })
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.input.as_mut().context("the session is over")?.write_all(bytes)?)
    }

    /// A second way to write, for a thread.
    pub fn input(&self) -> Result<File> {
        Ok(self.input.as_ref().context("the session is over")?.try_clone()?)
    }

    /// The next line, without its line feed.
    pub fn receive(&mut self) -> Result<&[u8]> {
        Ok(self.output.wait()?.context("the session ended early")?.trim_ascii_end())
    }

    /// Checks that exactly `calls` calls have reached the server, and that everybody ends well.
    pub fn end(mut self, calls: usize) -> Result<()> {
        self.send(COUNT.as_bytes())?;
        self.send(b"\n")?;
        let count = format!(r#"{{"jsonrpc":"2.0","id":0,"result":{calls}}}"#);
        let said = String::from_utf8_lossy(self.receive()?).into_owned();
        ensure!(said == count, "the server says {said}, not that it had {calls} calls");
        self.input = None;
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }

    /// Ends a session that cannot end well.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The processor time of the contestant itself so far, all its threads together, in nanoseconds.
    pub fn cpu_ns(&self) -> Result<u64> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let stat = fs::read_to_string(task?.path().join("schedstat"))?;
            sum += stat.split(' ').next().context("an empty schedstat")?.parse::<u64>()?;
        }
        Ok(sum)
    }

    /// The most memory that the contestant has held so far, in KiB.
    pub fn peak_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        Ok(line.context("no VmHWM")?.trim().trim_end_matches(" kB").parse()?)
    }
}
