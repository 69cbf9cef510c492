//! A healthy store denies nothing (contract S2), however many counters and wrappers use it.
//!
//! The loads are short in `cargo test`. Longer ones, which found what the short ones did not:
//!
//! ```text
//! CALLGATE_LOAD_ROUNDS=50 CALLGATE_LOAD_SECONDS=60 cargo test --release --test main ledger_load -- --nocapture
//! ```

use crate::harness::gate::{Gate, Wrap, callgate, temp_dir};
use crate::harness::process::{End, Process};
use rustix::process::Signal;
use serde_json::json;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How many calls to send before reading their answers.
const BATCH: usize = 100;

/// A policy with this many tools, each with a counter of its own that never runs out.
fn policy(tools: usize) -> String {
    let tool = |nth: usize| {
        format!(
            r#""t{nth}":{{"limits":[{{"counter":"c{nth}","window":"day","max":1000000,"scope":"server"}}]}}"#
        )
    };
    let tools: Vec<String> = (0..tools).map(tool).collect();
    format!(r#"{{"version":"1","default":"deny","tools":{{{}}}}}"#, tools.join(","))
}

fn start(policy: &str, state: &Path) -> Gate {
    Wrap::new(policy).counting_in(state).option(["--server", "s"]).serve(&json!(["echo"]))
}

fn call(tool: usize, id: usize) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t{tool}"}}}}"#)
        + "\n"
}

/// Calls these tools in turn, and checks that every call passes.
fn call_each(gate: &Gate, tools: impl IntoIterator<Item = usize>) {
    let tools: Vec<usize> = tools.into_iter().collect();
    for batch in tools.chunks(BATCH) {
        gate.send_raw(batch.iter().map(|tool| call(*tool, *tool)).collect::<String>());
        for tool in batch {
            let answer = gate.recv();
            assert!(!answer.contains("DENIED"), "t{tool}: {answer}; {}", gate.error_line());
        }
    }
}

/// The number of rounds or seconds of a load; the environment may raise it.
fn load(name: &str, of_old: u64) -> u64 {
    std::env::var(name).map_or(of_old, |wanted| wanted.parse().expect("a number"))
}

/// Runs callgate beside the sessions.
fn beside(words: &[&str], state: &Path) -> End {
    Process::spawn(callgate(state).args(words).arg("--state").arg(state)).end()
}

/// A checkpoint writes the pages of the log into the file in order. The first page, which holds their number, is there
/// before the file has that many. Whatever the progress of a checkpoint, nobody mistakes it for damage: neither running
/// and starting sessions nor `status`, `explain` and `reset`.
#[test]
fn an_unfinished_checkpoint_is_not_taken_for_damage() {
    const TOOLS: usize = 100;
    let (state, policy) = (temp_dir(), policy(TOOLS));
    let gate = start(&policy, state.path());
    call_each(&gate, 0..TOOLS);
    let database = state.path().join("state.db");
    let log = fs::read(state.path().join("state.db-wal")).unwrap();
    let pages = pages_of(&log);
    let length = fs::metadata(&database).unwrap().len();
    assert!(u64::from(page_count(pages[0].1)) * PAGE as u64 > length, "the file has to grow");
    let file = File::options().write(true).open(&database).unwrap();
    let explain =
        ["explain", "--policy", gate.policy_file().to_str().unwrap(), "--server", "s", "t1"];
    for (nth, (number, content)) in pages.iter().enumerate() {
        // Half of the first page.
        for half in [PAGE / 2, PAGE] {
            file.write_all_at(&content[..half], (u64::from(*number) - 1) * PAGE as u64).unwrap();
            call_each(&gate, [nth % TOOLS]);
        }
        if nth == 0 || nth == pages.len() / 2 {
            let fresh = start(&policy, state.path());
            call_each(&fresh, 0..3);
            fresh.ends_quietly(0);
            for words in [&["status"][..], &explain, &["status", "reset", "c7"]] {
                let end = beside(words, state.path());
                assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""), "{words:?}");
            }
        }
    }
    drop(file);
    call_each(&gate, 0..TOOLS);
    gate.ends_quietly(0);
}

/// The page size of the database.
const PAGE: usize = 1024;

/// The last version of each page in a write-ahead log, by page number: a header of 32 bytes, then frames of 24 bytes
/// and a page each (<https://sqlite.org/fileformat2.html#the_write_ahead_log>).
fn pages_of(log: &[u8]) -> Vec<(u32, &[u8])> {
    let salt = &log[16..24];
    let frames = log[32..].chunks_exact(24 + PAGE).take_while(|frame| frame[8..16] == *salt);
    let numbered =
        frames.map(|frame| (u32::from_be_bytes(*frame.first_chunk().unwrap()), &frame[24..]));
    let pages: std::collections::BTreeMap<u32, &[u8]> = numbered.collect();
    let pages: Vec<(u32, &[u8])> = pages.into_iter().collect();
    assert_eq!(pages[0].0, 1, "the first page is in the log");
    pages
}

fn page_count(first_page: &[u8]) -> u32 {
    u32::from_be_bytes(*first_page[28..].first_chunk().unwrap())
}

/// Ten thousand counters, each used in turn and then again, while the log is copied into a growing file.
#[test]
#[expect(clippy::print_stdout, reason = "a long load tells how far it is")]
fn ten_thousand_counters_deny_no_call() {
    const TOOLS: usize = 10_000;
    let policy = policy(TOOLS);
    for round in 0..load("CALLGATE_LOAD_ROUNDS", 1) {
        let (state, begun) = (temp_dir(), Instant::now());
        let gate = start(&policy, state.path());
        call_each(&gate, (0..TOOLS).chain(0..TOOLS));
        gate.ends_quietly(0);
        println!("round {round}: {} calls in {:?}", 2 * TOOLS, begun.elapsed());
    }
}

/// Eight wrappers at once on one store, of which one is killed each second and started again.
#[test]
#[expect(clippy::print_stdout, reason = "a long load tells how far it is")]
fn eight_wrappers_and_a_kill_each_second_deny_no_call() {
    const WRAPPERS: usize = 8;
    const TOOLS: usize = 2_000;
    let (state, policy) = (temp_dir(), policy(TOOLS));
    let seconds = load("CALLGATE_LOAD_SECONDS", 4);
    let (begun, calls, kills) = (Instant::now(), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for nth in 0..WRAPPERS {
            let (state, policy, calls, kills) = (state.path(), &policy, &calls, &kills);
            scope.spawn(move || {
                let mut gate = start(policy, state);
                let mut tools = (nth * TOOLS / WRAPPERS..TOOLS).chain(0..TOOLS).cycle();
                let mut batch = 0;
                while begun.elapsed() < Duration::from_secs(seconds) {
                    call_each(&gate, tools.by_ref().take(BATCH));
                    calls.fetch_add(BATCH, Ordering::Relaxed);
                    batch += 1;
                    // The wrapper to kill this second.
                    let due = usize::try_from(begun.elapsed().as_secs()).unwrap();
                    let turn = kills.load(Ordering::Relaxed);
                    let is_ours = due > turn && (turn + batch) % WRAPPERS == nth;
                    if is_ours
                        && kills
                            .compare_exchange(turn, turn + 1, Ordering::Relaxed, Ordering::Relaxed)
                            .is_ok()
                    {
                        // While it works.
                        gate.send_raw(
                            tools
                                .by_ref()
                                .take(BATCH)
                                .map(|tool| call(tool, tool))
                                .collect::<String>(),
                        );
                        gate.recv();
                        gate.signal(Signal::KILL);
                        assert_eq!(gate.wait().stderr, "");
                        gate = start(policy, state);
                    }
                }
                gate.ends_quietly(0);
            });
        }
    });
    let (calls, kills) = (calls.into_inner(), kills.into_inner());
    println!("{calls} calls and {kills} kills in {:?}", begun.elapsed());
    assert!(kills + 2 >= usize::try_from(seconds).unwrap(), "{kills} kills");
}

/// Many wrappers start at once on a directory that does not exist yet, and each is served.
#[test]
fn many_first_starts_at_once_deny_no_call() {
    for _ in 0..load("CALLGATE_LOAD_ROUNDS", 3) {
        let (home, policy) = (temp_dir(), policy(8));
        let state = home.path().join("not/yet");
        let gates: Vec<Gate> = (0..8).map(|_| start(&policy, &state)).collect();
        gates.iter().enumerate().for_each(|(nth, gate)| gate.send_raw(call(nth, nth)));
        for gate in &gates {
            let answer = gate.recv();
            assert!(!answer.contains("DENIED"), "{answer}; {}", gate.error_line());
        }
        gates.into_iter().for_each(|gate| gate.ends_quietly(0));
    }
}

/// A store that its wrapper was creating when it was killed is removed; the one that another created is used.
#[test]
fn an_abandoned_half_made_store_is_removed() {
    let (state, policy) = (temp_dir(), policy(1));
    let left = |nth: u32| state.path().join(format!(".state.db.{nth}-0.callgate-new"));
    for nth in 0..2 {
        fs::write(left(nth), "half of it").unwrap();
        let gate = start(&policy, state.path());
        call_each(&gate, [0]);
        let begun = Instant::now();
        while left(nth).exists() {
            assert!(begun.elapsed() < Duration::from_secs(10), "it stays");
        }
        gate.ends_quietly(0);
    }
}
