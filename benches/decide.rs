//! The cost of one decision: a frame in, a step out, one limit, the in-memory ledger.
//!
//! `cargo bench --bench decide [-- [--against COMMIT] [--rounds N] [NAME]...]`; without `--against` the arguments go to
//! criterion. With it, the benchmark runs in turns with that commit's, which uses that commit's library.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark that meets the unexpected stops"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use callgate::engine::compile::compile;
use callgate::engine::limits::{MemoryLedger, Now};
use callgate::engine::session::{Session, SessionOptions, Step};
use callgate::engine::wire::line::Side;
use criterion::{Criterion, Throughput, criterion_group};

#[path = "against/mod.rs"]
mod against;

use against::Commit;

/// Calls timed together; their answers are handled untimed.
const BATCH: usize = 64;
const BATCH_CALLS: u32 = 64;

/// The fastest of at least this many batches counts: it shows the cost of the code without other load on the machine.
const MIN_BATCHES: u32 = 50;

const NOW: Now = Now { wall_ms: 1_790_000_000_000, monotonic_ms: 0 };

/// A session with its ledger, as the shell drives it.
struct Engine {
    session: Session,
    ledger: MemoryLedger,
}

impl Engine {
    fn new(policy: &str) -> Self {
        let policy = compile(policy.as_bytes()).unwrap_or_else(|problems| panic!("{problems:?}"));
        let session = Session::new(Arc::new(policy), SessionOptions::default());
        Engine { session, ledger: MemoryLedger::default() }
    }

    fn decide(&mut self, side: Side, line: &str) -> Step {
        self.session.handle_with(&mut self.ledger, side, line.as_bytes(), NOW)
    }

    /// Times a batch of calls, after a check that each is decided as `forwarded` says.
    fn time(&mut self, calls: &[String], answers: &[String], forwarded: bool) -> Duration {
        let begun = Instant::now();
        for line in calls {
            let step = self.decide(Side::Client, black_box(line));
            assert_eq!(step.is_forward(), forwarded, "{step:?}");
        }
        let spent = begun.elapsed();
        for line in answers.iter().filter(|_| forwarded) {
            assert!(self.decide(Side::Server, line).is_forward());
        }
        spent
    }

    /// Times the line of one side in a call and its answer.
    fn time_pair(&mut self, call: &str, answer: &str, side: Side) -> Duration {
        let begun = Instant::now();
        let step = self.decide(Side::Client, black_box(call));
        let called = begun.elapsed();
        assert!(step.is_forward(), "{step:?}");
        let begun = Instant::now();
        let step = self.decide(Side::Server, black_box(answer));
        let answered = begun.elapsed();
        assert!(step.is_forward(), "{step:?}");
        match side {
            Side::Client => called,
            Side::Server => answered,
        }
    }
}

/// A policy with this many tools; the tool that is called comes last, with these conditions and one limit of `max`.
fn policy(tools: usize, conditions: &str, max: &str) -> String {
    let mut policy = r#"{"version":"1","default":"deny","tools":{"#.to_owned();
    for nth in 1..tools {
        write!(
            policy,
            r#""tool_{nth}":{{"limits":[{{"counter":"c{nth}","window":"minute","max":30}}]}},"#
        )
        .expect("a string takes it");
    }
    let limit = format!(r#"{{"counter":"image_rate","window":"minute","max":{max}}}"#);
    write!(policy, r#""image_generate":{{{conditions}"limits":[{limit}]}}}}}}"#)
        .expect("a string takes it");
    policy
}

/// A call of exactly 245 bytes.
fn call(id: usize, width: u32) -> String {
    let fixed = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"image_generate","arguments":{{"prompt":"","width":{width},"height":1024}}}}}}"#
    );
    let prompt =
        "a lighthouse at dusk ".repeat(10).chars().take(245 - fixed.len()).collect::<String>();
    let line = fixed.replace(r#""prompt":"""#, &format!(r#""prompt":"{prompt}""#));
    assert_eq!(line.len(), 245);
    line
}

fn decisions(criterion: &mut Criterion) {
    let ids = 10_000..10_000 + BATCH;
    let answers: Vec<String> =
        ids.clone().map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)).collect();
    let mut group = criterion.benchmark_group("decision of a 245-byte call");
    let bounds = concat!(
        r#""deny_if":[{"conditions":[{"path":"args.width","op":"gt","value":2048}]},"#,
        r#"{"conditions":[{"path":"args.height","op":"gt","value":2048}]}],"#
    );
    let rows = [
        ("allowed, 1 tool", 1, "", "1e15", 1024, true),
        ("allowed, 10000 tools", 10_000, "", "1e15", 1024, true),
        ("allowed, with two conditions", 1, bounds, "1e15", 1024, true),
        ("denied by a condition", 1, bounds, "1e15", 4096, false),
        ("denied by a limit", 1, "", "0", 1024, false),
    ];
    for (name, tools, conditions, max, width, forwarded) in rows {
        let mut engine = Engine::new(&policy(tools, conditions, max));
        let calls: Vec<String> = ids.clone().map(|id| call(id, width)).collect();
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let iterations = u32::try_from(iterations).unwrap_or(u32::MAX);
                let batches = iterations.div_ceil(BATCH_CALLS).max(MIN_BATCHES);
                let fastest = (0..batches).map(|_| engine.time(&calls, &answers, forwarded)).min();
                fastest.unwrap_or_default() / BATCH_CALLS * iterations
            });
        });
    }
    group.finish();
}

/// One string, or a list of objects of about 100 bytes that differ only in their values.
fn large_value(objects: bool, size: usize) -> String {
    if !objects {
        return format!(r#""{}""#, "x".repeat(size));
    }
    let mut list = "[".to_owned();
    for nth in 1.. {
        let (id, price, on) = (nth * 7919 % 1_000_000, nth * 31 % 100, nth % 3 == 0);
        write!(
            list,
            r#"{{"id":{id},"name":"item {id}","price":{price}.5,"tags":["a","b"],"ok":{on},"note":"some words here"}}"#
        )
        .expect("a string takes it");
        if list.len() >= size {
            break;
        }
        list.push(',');
    }
    list + "]"
}

/// Large frames: bytes read per second.
fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    group.sample_size(10).warm_up_time(Duration::from_millis(500));
    let width = r#""deny_if":[{"conditions":[{"path":"args.width","op":"gt","value":2048}]}],"#;
    let text = r#""deny_if":[{"conditions":[{"path":"args.value","op":"eq","value":"y"}]}],"#;
    let each =
        r#""deny_if":[{"conditions":[{"path":"args.value[*].price","op":"gt","value":100}]}],"#;
    let rows = [
        ("a result, one string", Side::Server, false, ""),
        ("a result, objects", Side::Server, true, ""),
        ("arguments, one string", Side::Client, false, ""),
        ("arguments, one string, a condition on it", Side::Client, false, text),
        ("arguments, objects", Side::Client, true, ""),
        ("arguments, objects, a condition beside them", Side::Client, true, width),
        ("arguments, objects, a condition on each", Side::Client, true, each),
    ];
    let sizes = [("64 KiB", 1 << 16), ("1 MiB", 1 << 20), ("16 MiB", 1 << 24)];
    for ((name, side, objects, conditions), (size_name, size)) in
        rows.iter().flat_map(|row| sizes.map(|size| (*row, size)))
    {
        let value = large_value(objects, size - 1024);
        let (given, answered) = match side {
            Side::Client => (value.as_str(), "0"),
            Side::Server => ("0", value.as_str()),
        };
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"image_generate","arguments":{{"width":1,"value":{given}}}}}}}"#
        );
        let answer =
            format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"structuredContent":{answered}}}}}"#);
        let mut engine = Engine::new(&policy(1, conditions, "1e15"));
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("{name}/{size_name}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let times = (0..iterations).map(|_| engine.time_pair(&call, &answer, side));
                times.sum()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50);
    targets = decisions, reading
}

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (name, words) = against::taken_from(&words)?;
    if let Some(name) = name {
        return compare_with(&Commit::find(&name)?, &words);
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
    Ok(ExitCode::SUCCESS)
}

/// Rounds, unless `--rounds` says otherwise.
const ROUNDS: usize = 7;

fn compare_with(commit: &Commit, words: &[String]) -> Result<ExitCode> {
    let (mut rounds, mut names) = (ROUNDS, Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--bench" => {}
            "--rounds" => rounds = words.next().context("--rounds takes a number")?.parse()?,
            name => names.push(name),
        }
    }
    ensure!(rounds > 0, "at least one round");
    let theirs = commit.built("decide", &["bench", "--bench", "decide", "--no-run"])?;
    let ours = std::env::current_exe()?;
    let listed = Command::new(&ours).args(["--bench", "--list"]).output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let wanted = |name: &&str| names.is_empty() || names.iter().any(|part| name.contains(part));
    let rows: Vec<&str> =
        listed.lines().filter_map(|line| line.strip_suffix(": benchmark")).filter(wanted).collect();
    ensure!(!rows.is_empty(), "no benchmark has this name");
    against::head(commit, rounds);
    let mut none_worse = true;
    for row in rows {
        let mut figures = Vec::new();
        for nth in 0..rounds {
            let own = || figure(&ours, row)?.context("no figure of our own");
            // The order alternates.
            let first = if nth % 2 == 1 { Some(own()?) } else { None };
            // Rows that the other commit does not have are skipped.
            let Some(theirs) = figure(&theirs, row)? else { break };
            figures.push((theirs, first.map_or_else(own, Ok)?));
        }
        if figures.is_empty() {
            println!("{row}: commit {} does not know it", commit.short());
        } else {
            none_worse &= against::row(&format!("{row}, ns"), &figures, false);
        }
    }
    Ok(if none_worse { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The nanoseconds of one row in this program; `None` if the program does not have it.
fn figure(program: &Path, row: &str) -> Result<Option<f64>> {
    let words = ["--bench", "--output-format", "bencher", "--sample-size", "10"];
    let times = ["--warm-up-time", "0.1", "--measurement-time", "0.3", "--exact", row];
    let run = Command::new(program).args(words).args(times).output()?;
    ensure!(run.status.success(), "`{row}`: {}", String::from_utf8_lossy(&run.stderr));
    let said = String::from_utf8(run.stdout)?;
    let line = said.lines().find_map(|line| line.split_once(" bench: "));
    let Some((_, behind)) = line else { return Ok(None) };
    let number = behind.trim_start().split(' ').next().unwrap_or_default().replace(',', "");
    Ok(Some(number.parse().with_context(|| format!("`{row}`: no figure in `{said}`"))?))
}
