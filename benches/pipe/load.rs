//! The loads, each with the figure that it yields.

use std::io::Write as _;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::contestant::{Contestant, Session, Streams};
use crate::payload::{FIRST_ID, Frame, Large, SMALL, call};

/// Calls before the measurement starts.
const WARM_UP: usize = 200;
/// Calls of a measurement, one at a time.
const CALLS: usize = 2000;
/// Calls of a measurement with many in flight.
const MANY: usize = 20_000;
/// Bytes of large values in a measurement: enough for at least a tenth of a second.
const BULK: usize = 192 * 1024 * 1024;
/// Results requested before the first arrives: more than a client would request, and few enough to fit into a pipe.
const ASKED: usize = 64;
/// Starts of a measurement.
const STARTS: usize = 15;

/// A load.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// Calls of this tool, one at a time: the median latency in microseconds.
    Latency(&'static str, Streams),
    /// The contestant's CPU time for each such call, in microseconds.
    SequentialCpu,
    /// The same with this many calls in flight.
    PipelinedCpu(usize),
    /// Calls of this tool per second with this many in flight.
    CallsPerSecond(usize, &'static str),
    /// Calls with a large value, sent one after another without waiting: MB/s.
    Arguments(Large),
    /// Results with a large value, all requested at once: MB/s.
    Results(Large),
    /// The time from the start to the first answer: the median in milliseconds.
    StartUp,
    /// The peak memory after some calls, in MiB.
    IdleMemory,
    /// The growth of that peak while the server floods a driver that does not read, in MiB.
    UnreadMemory,
}

impl Load {
    /// Runs the load on a contestant.
    pub fn put_on(self, contestant: Contestant) -> Result<f64> {
        let _pin = match self {
            Load::Arguments(_) | Load::Results(_) | Load::IdleMemory | Load::UnreadMemory => None,
            _ => Some(Pin::new()?),
        };
        match self {
            Load::Latency(tool, streams) => latency(contestant, tool, streams),
            Load::SequentialCpu => cpu(contestant, 1),
            Load::PipelinedCpu(depth) => cpu(contestant, depth),
            Load::CallsPerSecond(depth, tool) => calls_per_second(contestant, depth, tool),
            Load::Arguments(large) => arguments(contestant, large),
            Load::Results(large) => results(contestant, large),
            Load::StartUp => start_up(contestant),
            Load::IdleMemory => idle_memory(contestant),
            Load::UnreadMemory => unread_memory(contestant),
        }
    }
}

/// While this value exists, this thread and all processes it starts run on one CPU, under the scheduling policy
/// `SCHED_BATCH`, in which a thread that wakes another one is not preempted by it. Such preemptions would be random on
/// one CPU, and more frequent for contestants with two threads. Each hop is thus exactly one switch.
struct Pin {
    before: CpuSet,
}

impl Pin {
    fn new() -> Result<Self> {
        let before = sched_getaffinity(None)?;
        let mut one = CpuSet::new();
        let first = (0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu));
        one.set(first.expect("a CPU to run on"));
        sched_setaffinity(None, &one)?;
        schedule("--batch")?;
        Ok(Pin { before })
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        sched_setaffinity(None, &self.before).expect("the CPUs that were allowed before");
        schedule("--other").expect("the policy of before");
    }
}

/// Sets the scheduling policy of this thread, the first of the process.
fn schedule(policy: &str) -> Result<()> {
    let this = std::process::id().to_string();
    let chrt = Command::new("chrt").args([policy, "--pid", "0", &this]).status();
    ensure!(chrt.context("failed to run `chrt` of util-linux")?.success(), "`chrt` failed");
    Ok(())
}

fn latency(contestant: Contestant, tool: &str, streams: Streams) -> Result<f64> {
    let mut session = Session::start(contestant, streams, "small")?;
    let ids = FIRST_ID..FIRST_ID + WARM_UP + CALLS;
    let lines: Vec<String> = ids.clone().map(|id| call(id, tool) + "\n").collect();
    let mut times = Vec::with_capacity(lines.len());
    let mut reached = 0;
    for (id, line) in ids.zip(&lines) {
        let begun = Instant::now();
        session.send(line.as_bytes())?;
        let said = session.receive()?;
        times.push(begun.elapsed());
        if is_answer(said, id, SMALL).is_ok() {
            reached += 1;
        } else {
            is_denial(said, id, tool)?;
        }
    }
    let expected = match tool {
        "echo" | "free" | "twice" => times.len(),
        "spent" => 1,
        _ => 0,
    };
    ensure!(reached == expected, "{reached} calls were answered by the server, not {expected}");
    session.end(reached)?;
    Ok(median(times.split_off(WARM_UP)).as_secs_f64() * 1e6)
}

/// Checks a denial byte for byte, except for the time until a retry.
fn is_denial(said: &[u8], id: usize, tool: &str) -> Result<()> {
    let (message, decision) = match tool {
        "spent" => (
            "Limit reached: 1 per minute (spent). Try again in # s.",
            r#""rule":"/tools/spent/limits/0","retry_after_ms":#"#,
        ),
        _ => ("Tool `nope` is not permitted by policy.", r#""rule":"(default deny)""#),
    };
    let expected = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"[POLICY DENIED] {message}"}}],"isError":true,"_meta":{{"callgate/decision":{{"outcome":"denied",{decision}}}}}}}}}"#
    );
    let said = String::from_utf8_lossy(said);
    let mut rest = &*said;
    for (nth, part) in expected.split('#').enumerate() {
        let behind =
            if nth == 0 { rest } else { rest.trim_start_matches(|c: char| c.is_ascii_digit()) };
        rest = behind.strip_prefix(part).with_context(|| format!("{said} is no answer to {id}"))?;
    }
    ensure!(rest.is_empty(), "{said} is no answer to {id}");
    Ok(())
}

fn cpu(contestant: Contestant, depth: usize) -> Result<f64> {
    let mut session = Session::start(contestant, Streams::Pipes, "small")?;
    let calls = if depth == 1 { CALLS } else { MANY };
    pipeline(&mut session, "echo", FIRST_ID, WARM_UP, depth)?;
    let before = session.cpu_ns()?;
    pipeline(&mut session, "echo", FIRST_ID + WARM_UP, calls, depth)?;
    let spent = session.cpu_ns()? - before;
    session.end(WARM_UP + calls)?;
    Ok(spent as f64 / calls as f64 / 1e3)
}

fn calls_per_second(contestant: Contestant, depth: usize, tool: &str) -> Result<f64> {
    let mut session = Session::start(contestant, Streams::Pipes, "small")?;
    let calls = if depth == 1 { CALLS } else { MANY };
    pipeline(&mut session, tool, FIRST_ID, WARM_UP, depth)?;
    let begun = Instant::now();
    pipeline(&mut session, tool, FIRST_ID + WARM_UP, calls, depth)?;
    let spent = begun.elapsed();
    session.end(WARM_UP + calls)?;
    Ok(calls as f64 / spent.as_secs_f64())
}

/// Makes `calls` calls with `depth` in flight: for each answer one new call is sent, in a separate write as in the
/// SDKs. `depth` is at most 256, so that all of them fit into a pipe.
fn pipeline(
    session: &mut Session,
    tool: &str,
    first_id: usize,
    calls: usize,
    depth: usize,
) -> Result<()> {
    let mut sent = 0;
    let mut answered = 0;
    while answered < calls {
        let due = (answered + depth).min(calls);
        for nth in sent..due {
            session.send((call(first_id + nth, tool) + "\n").as_bytes())?;
        }
        sent = due;
        is_answer(session.receive()?, first_id + answered, SMALL)?;
        answered += 1;
        while let Some(said) = session.output.ready() {
            is_answer(said, first_id + answered, SMALL)?;
            answered += 1;
        }
    }
    Ok(())
}

/// How many values of a size are sent.
fn times(large: Large) -> usize {
    (BULK / large.bytes).max(4)
}

/// One thread writes calls as fast as the pipe accepts them, like a client that does not wait: the wrapper can read one
/// while the server reads the previous one. The server compares every byte.
fn arguments(contestant: Contestant, large: Large) -> Result<f64> {
    let mut session = Session::start(contestant, Streams::Pipes, &format!("arguments={large}"))?;
    let times = times(large);
    let mut call = Frame::call(&large.arguments());
    let mut input = session.input()?;
    session.send(call.with(FIRST_ID))?;
    is_answer(session.receive()?, FIRST_ID, SMALL)?;
    let ids = FIRST_ID + 1..=FIRST_ID + times;
    let begun = Instant::now();
    let spent = thread::scope(|scope| -> Result<Duration> {
        let written = ids.clone();
        scope.spawn(move || {
            for id in written {
                if input.write_all(call.with(id)).is_err() {
                    return;
                }
            }
        });
        for id in ids {
            is_answer(session.receive()?, id, SMALL)?;
        }
        Ok(begun.elapsed())
    })?;
    session.end(times + 1)?;
    Ok((large.bytes * times) as f64 / 1e6 / spent.as_secs_f64())
}

/// Some results are requested ahead, and the server writes them one after another. The driver compares every byte.
fn results(contestant: Contestant, large: Large) -> Result<f64> {
    let mut session = Session::start(contestant, Streams::Pipes, &format!("results={large}"))?;
    let times = times(large);
    let result = large.result();
    let ask = |session: &mut Session, id| session.send((call(id, "echo") + "\n").as_bytes());
    ask(&mut session, FIRST_ID)?;
    is_answer(session.receive()?, FIRST_ID, &result)?;
    let ids = FIRST_ID + 1..=FIRST_ID + times;
    let begun = Instant::now();
    for id in ids.clone().take(ASKED) {
        ask(&mut session, id)?;
    }
    for id in ids.clone() {
        is_answer(session.receive()?, id, &result)?;
        if ids.contains(&(id + ASKED)) {
            ask(&mut session, id + ASKED)?;
        }
    }
    let spent = begun.elapsed();
    session.end(times + 1)?;
    Ok((large.bytes * times) as f64 / 1e6 / spent.as_secs_f64())
}

/// The parts of an answer that every client must read.
#[derive(Deserialize)]
struct Answer<'a> {
    id: usize,
    #[serde(borrow)]
    result: &'a RawValue,
}

/// Checks that `line` answers the call `id` with this result, byte for byte.
fn is_answer(line: &[u8], id: usize, result: &str) -> Result<()> {
    let said: Answer<'_> = serde_json::from_slice(line)?;
    ensure!(said.id == id, "an answer to {}, not to {id}", said.id);
    ensure!(said.result.get() == result, "the result was altered");
    Ok(())
}

fn start_up(contestant: Contestant) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let begun = Instant::now();
        let mut session = Session::start(contestant, Streams::Pipes, "small")?;
        session.send((call(FIRST_ID, "echo") + "\n").as_bytes())?;
        is_answer(session.receive()?, FIRST_ID, SMALL)?;
        times.push(begun.elapsed());
        session.end(1)?;
    }
    Ok(median(times).as_secs_f64() * 1e3)
}

fn idle_memory(contestant: Contestant) -> Result<f64> {
    let mut session = Session::start(contestant, Streams::Pipes, "small")?;
    pipeline(&mut session, "echo", FIRST_ID, WARM_UP, 1)?;
    let peak = session.peak_kib()?;
    session.end(WARM_UP)?;
    Ok(peak as f64 / 1024.0)
}

fn unread_memory(contestant: Contestant) -> Result<f64> {
    /// The time without progress after which the measurement starts.
    const STILL: Duration = Duration::from_millis(200);
    let mut session = Session::start(contestant, Streams::Pipes, "flood")?;
    session.send((call(FIRST_ID, "echo") + "\n").as_bytes())?;
    is_answer(session.receive()?, FIRST_ID, SMALL)?;
    let before = session.peak_kib()?;
    let mut spent = 0;
    while session.cpu_ns()? > spent {
        spent = session.cpu_ns()?;
        thread::sleep(STILL);
    }
    let grown = session.peak_kib()?.saturating_sub(before);
    session.kill()?;
    Ok(grown as f64 / 1024.0)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
