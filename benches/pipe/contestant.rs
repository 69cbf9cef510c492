//! The contestants, and a session with one of them.

use std::fs::{self, File};
use std::future::poll_fn;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};
use callgate::engine::limits::{Amount, CounterKey, Demand, Scope, Settlement, Window};
use callgate::shell::audit::chain::Chain;
use callgate::shell::counters::Counters as _;
use callgate::shell::counters::sqlite::SqliteLedger;
use callgate::shell::os::clock::moment;
use tempfile::TempDir;

use crate::lines::Lines;
use crate::payload::{COUNT, Shape};

/// The program between the driver and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contestant {
    /// None: the driver talks to the server.
    Direct,
    BytePipe,
    /// `callgate wrap`, with this policy and this state.
    Callgate(Policy, Books),
    /// The other commit's `callgate wrap`, with the same.
    Other(Policy, Books),
}

/// The callgate of the other commit.
pub static OTHER: OnceLock<PathBuf> = OnceLock::new();

/// The state that callgate keeps for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Books {
    /// Counters in memory, no audit log.
    Memory,
    /// Both, in an empty directory.
    Durable,
    /// Both, in a directory after a million calls.
    Aged,
}

/// The content of a policy. `echo` always has a limit with room for every call, and `twice` has two; `free` has none;
/// `spent` has room for one call; other tools are denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Tools with one limit each, besides those that are called.
    pub others: usize,
    /// A condition on the argument `data` of `echo`, if it has this shape: on the whole string, or on a member of each
    /// object.
    pub condition: Option<Shape>,
}

/// The kind of the driver's pipes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    Pipes,
    /// As Node.js gives to its children.
    Sockets,
}

impl Policy {
    pub const PLAIN: Policy = Policy { others: 0, condition: None };

    fn text(self) -> String {
        let one = |name: &str, window: &str, max: u64| {
            format!(r#"{{"counter":"{name}","window":"{window}","max":{max}}}"#)
        };
        let limit = |name: &str, max: u64| format!("[{}]", one(name, "minute", max));
        let two = ["minute", "day"].map(|window| one("twice", window, 1_000_000_000)).join(",");
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
            format!(r#""twice":{{"limits":[{two}]}}"#),
            r#""free":{}"#.to_owned(),
            format!(r#""spent":{{"limits":{}}}"#, limit("spent", 1)),
        ];
        let other =
            |nth| format!(r#""tool_{nth}":{{"limits":{}}}"#, limit(&format!("c{nth}"), 100));
        tools.extend((0..self.others).map(other));
        format!(r#"{{"version":"1","default":"deny","tools":{{{}}}}}"#, tools.join(","))
    }
}

/// A state directory after a million calls: their records are in its audit log, and their charges in the counters that
/// the next calls use.
fn aged_state() -> Result<PathBuf> {
    static AGED: OnceLock<TempDir> = OnceLock::new();
    const CALLS: u64 = 1_000_000;
    const AT_ONCE: u64 = 1000;
    if let Some(aged) = AGED.get() {
        return Ok(aged.path().to_owned());
    }
    let aged = tempfile::tempdir()?;
    let audit = aged.path().join("audit");
    let mut log = Chain::open(&audit.join("bench.jsonl"), &audit.join("bench.head"), u64::MAX)?;
    let body = |nth| {
        format!(
            r#"{{"time":"2026-01-01T00:00:00.000Z","event":"call","id":{nth},"tool":"twice","decision":"allowed","rule":"/tools/twice","keys":["a","b"],"server":"bench","grant":"default","session":"0123456789abcdef"}}"#
        )
    };
    for begin in (0..CALLS).step_by(usize::try_from(AT_ONCE)?) {
        let bodies: Vec<String> = (begin..begin + AT_ONCE).map(body).collect();
        let appended = log.append(bodies.iter().map(String::as_str));
        ensure!(appended.is_ok(), "{appended:?}");
    }
    let counter = |window| CounterKey { scope: Scope::Grant, name: "twice".into(), window };
    let cost = Amount::from_nanos(u128::from(CALLS) * 1_000_000_000).context("an amount")?;
    let max = Amount::from_nanos(10_u128.pow(24)).context("an amount")?;
    let demands = [Window::Sliding(60), Window::Sliding(86_400)].map(|window| Demand {
        counter: counter(window),
        cost,
        max,
        enforced: true,
    });
    let mut ledger = SqliteLedger::new(aged.path(), "bench", "default", "0123456789abcdef");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let charge = poll_fn(|cx| ledger.poll_reserve(cx, &demands, moment()));
    let charged = runtime.block_on(charge);
    ensure!(matches!(charged, Ok(Settlement::Charged { .. })), "{charged:?}");
    drop(ledger);
    Ok(AGED.get_or_init(|| aged).path().to_owned())
}

/// A copy of it for the other commit: each commit must see only its own changes.
fn aged_state_of_other() -> Result<PathBuf> {
    static COPY: OnceLock<TempDir> = OnceLock::new();
    if let Some(copy) = COPY.get() {
        return Ok(copy.path().to_owned());
    }
    let copy = tempfile::tempdir()?;
    let from = aged_state()?.join(".");
    let copied = Command::new("cp").arg("-a").args([from.as_path(), copy.path()]).status()?;
    ensure!(copied.success(), "cp failed to copy `{}`", from.display());
    Ok(COPY.get_or_init(|| copy).path().to_owned())
}

/// A running contestant with a server behind it.
pub struct Session {
    child: Child,
    /// `None` after it is closed.
    input: Option<File>,
    pub output: Lines,
    /// The policy file, and callgate's state unless that is aged.
    _files: TempDir,
}

impl Session {
    /// Starts a contestant with a server that answers as `answers` says.
    pub fn start(contestant: Contestant, streams: Streams, answers: &str) -> Result<Self> {
        let this = std::env::current_exe()?;
        let files = tempfile::tempdir()?;
        let mut command = match contestant {
            Contestant::Direct => Command::new(&this),
            Contestant::BytePipe => {
                let mut command = Command::new(&this);
                command.arg("byte-pipe").arg(&this);
                command
            }
            Contestant::Callgate(rules, books) | Contestant::Other(rules, books) => {
                let file = files.path().join("policy.json");
                fs::write(&file, rules.text())?;
                let ours = Path::new(env!("CARGO_BIN_EXE_callgate"));
                let other = OTHER.get().filter(|_| matches!(contestant, Contestant::Other(..)));
                let mut command = Command::new(other.map_or(ours, PathBuf::as_path));
                for name in ["POLICY", "GRANT", "STATE"] {
                    command.env_remove(format!("CALLGATE_{name}"));
                }
                command.args(["wrap", "--server", "bench", "--policy"]).arg(file).arg("--state");
                match books {
                    Books::Memory => command.args(["memory", "--no-audit"]),
                    Books::Durable => command.arg(files.path().join("state")),
                    Books::Aged if other.is_some() => command.arg(aged_state_of_other()?),
                    Books::Aged => command.arg(aged_state()?),
                };
                command.arg("--").arg(&this);
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
        Ok(Session { child, input, output, _files: files })
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.input.as_mut().context("the session is over")?.write_all(bytes)?)
    }

    /// A second handle for writing, for a thread.
    pub fn input(&self) -> Result<File> {
        Ok(self.input.as_ref().context("the session is over")?.try_clone()?)
    }

    /// The next line, without its line feed.
    pub fn receive(&mut self) -> Result<&[u8]> {
        Ok(self.output.wait()?.context("the session ended early")?.trim_ascii_end())
    }

    /// Checks that exactly `calls` calls have reached the server, and that all processes end without errors.
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

    /// Kills a session that cannot end by itself.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The CPU time of the contestant's process so far, over all its threads, in nanoseconds.
    pub fn cpu_ns(&self) -> Result<u64> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let stat = fs::read_to_string(task?.path().join("schedstat"))?;
            sum += stat.split(' ').next().context("an empty schedstat")?.parse::<u64>()?;
        }
        Ok(sum)
    }

    /// The peak memory of the contestant so far, in KiB.
    pub fn peak_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        Ok(line.context("no VmHWM")?.trim().trim_end_matches(" kB").parse()?)
    }
}
