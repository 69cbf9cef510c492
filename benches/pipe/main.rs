//! The cost of callgate: the bare server, a byte pipe around it, and `callgate wrap` around it, in one interleaved run.
//! Only ratios within a round count, so the machine's speed may change between rounds.
//!
//! `cargo bench --bench pipe [-- [--against COMMIT] [--rounds N] [--list] [NAME]...]`, where NAME is a part of a
//! measure's name. `--against` measures only that commit's callgate and this one, in turns.
//!
//! ```text
//! driver ══► server                          direct
//! driver ══► byte pipe ══► server            two threads that copy, 64 KiB at a time: the floor
//! driver ══► callgate ══► server
//! ```
//!
//! Driver and server parse JSON with `serde_json`, as far as a client and a server must, and write each message
//! separately, as the SDKs do. They do nothing else.
//!
//! Every answer is checked byte for byte, and the server counts the calls it receives: a figure with errors is
//! discarded. Latency, CPU time and calls per second are measured with everything pinned to one CPU, throughput of
//! large values without pinning.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a benchmark that meets the unexpected stops"
)]

mod measures;
mod report;

#[path = "../against/mod.rs"]
mod against;

mod contestant;
mod load;

mod byte_pipe;
mod lines;
mod payload;
mod server;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use against::Commit;
use contestant::OTHER;
use measures::{Measure, measures};

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["server", answers] => server::run(answers).map(|()| ExitCode::SUCCESS),
        ["byte-pipe", command @ ..] => byte_pipe::run(command),
        _ => compare(&words),
    }
}

/// Rounds, unless `--rounds` says otherwise.
const ROUNDS: usize = 7;

fn compare(words: &[String]) -> Result<ExitCode> {
    let (other, options) = against::taken_from(words)?;
    let mut rounds = ROUNDS;
    let mut names = Vec::new();
    let mut options = options.iter().map(String::as_str);
    while let Some(option) = options.next() {
        match option {
            // `cargo bench` passes this argument.
            "--bench" => {}
            "--rounds" => rounds = options.next().context("--rounds takes a number")?.parse()?,
            "--list" => {
                measures().iter().for_each(|measure| println!("{}", measure.name));
                return Ok(ExitCode::SUCCESS);
            }
            name => names.push(name),
        }
    }
    ensure!(rounds > 0, "at least one round");
    let wanted = |measure: &Measure| {
        names.is_empty() || names.iter().any(|name| measure.name.contains(name))
    };
    let measures: Vec<Measure> = measures().into_iter().filter(wanted).collect();
    ensure!(!measures.is_empty(), "no measure has this name; see --list");
    if let Some(name) = other {
        return compare_with(&Commit::find(&name)?, &measures, rounds);
    }
    report::head(rounds);
    let mut all_met = true;
    let progress = watch_over();
    for measure in &measures {
        let begin = || progress.store(0, Ordering::Relaxed);
        let taken = measure.take(rounds, begin).with_context(|| format!("`{}`", measure.name))?;
        all_met &= report::row(measure, &taken);
    }
    Ok(if all_met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Measures this callgate and the other commit's in turns.
fn compare_with(commit: &Commit, measures: &[Measure], rounds: usize) -> Result<ExitCode> {
    let program = commit.built("callgate", &["build", "--release", "--bin", "callgate"])?;
    OTHER.get_or_init(|| program);
    against::head(commit, rounds);
    let progress = watch_over();
    let mut none_worse = true;
    for measure in measures {
        let taken = measure.take_against(rounds, || progress.store(0, Ordering::Relaxed));
        if let Some(rounds) = taken.with_context(|| format!("`{}`", measure.name))? {
            let name = format!("{}, {}", measure.name, measure.unit);
            none_worse &= against::row(&name, &rounds, measure.more_is_better());
        }
    }
    Ok(if none_worse { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Ends the run if one round takes longer than any should, so that a contestant that hangs does not block it. Each
/// round resets the seconds to 0.
fn watch_over() -> Arc<AtomicU32> {
    const SECONDS: u32 = 300;
    let seconds = Arc::new(AtomicU32::new(0));
    let watched = Arc::clone(&seconds);
    thread::spawn(move || {
        while watched.fetch_add(1, Ordering::Relaxed) < SECONDS {
            thread::sleep(Duration::from_secs(1));
        }
        println!("nothing has come for {SECONDS} s");
        std::process::exit(1);
    });
    seconds
}
