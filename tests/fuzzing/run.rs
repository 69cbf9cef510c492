//! Runs each target for two seconds, on its seeds and then on mutations of them.
//!
//! `CALLGATE_FUZZ_SEED=7 cargo test fuzzing` makes other mutations. `CALLGATE_FUZZ_CORPUS=fuzz/corpus cargo test
//! fuzzing` also writes the seeds to the corpus of `cargo fuzz`.

use std::any::Any;
use std::env;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use super::mutate::Mutator;
use super::{cost, frame, import, policy, seeds, session, work};

const PATIENCE: Duration = Duration::from_secs(2);

/// contract W1, W3, W6
#[test]
fn any_bytes_are_read_as_frames_or_refused() {
    run("frame", frame::check, &seeds::frames());
}

/// contract W8
#[test]
fn any_long_line_costs_four_times_its_length_at_most() {
    run("cost", cost::check, &seeds::costs());
}

/// contract P1, 3.5
#[test]
fn any_bytes_are_a_policy_or_explained() {
    run("policy", policy::check, &seeds::policies());
}

/// contract P1
#[test]
fn any_bytes_are_imported_or_explained() {
    run("import", import::check, &seeds::imports());
}

/// contract W4
#[test]
fn any_lines_in_any_order_are_a_session() {
    run("session", session::check, &seeds::sessions());
}

/// contract 3.5
#[test]
fn any_decision_is_bounded() {
    run("work", work::check, &seeds::work());
}

fn run(target: &str, check: fn(&[u8]), seeds: &[Vec<u8>]) {
    assert!(seeds.len() >= 100, "only {} seeds for {target}", seeds.len());
    if let Some(corpus) = env::var_os("CALLGATE_FUZZ_CORPUS") {
        keep(&Path::new(env!("CARGO_MANIFEST_DIR")).join(corpus).join(target), seeds);
    }
    for (nth, input) in seeds.iter().enumerate() {
        attempt(check, input, &format!("{target}, seed input {nth}"));
    }
    let seed = env::var("CALLGATE_FUZZ_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let mut mutator = Mutator::new(seed);
    let start = Instant::now();
    for round in 0_u64.. {
        if start.elapsed() > PATIENCE {
            assert!(round >= 20, "only {round} rounds in {PATIENCE:?}");
            return;
        }
        let place = format!("{target}, round {round} of CALLGATE_FUZZ_SEED={seed}");
        attempt(check, &mutator.change(seeds), &place);
    }
}

fn attempt(check: fn(&[u8]), input: &[u8], place: &str) {
    if let Err(cause) = catch_unwind(|| check(input)) {
        panic!("{place}: {}\ninput: b\"{}\"", message(cause.as_ref()), input.escape_ascii());
    }
}

fn message(cause: &(dyn Any + Send)) -> &str {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("no words")
}

fn keep(folder: &Path, seeds: &[Vec<u8>]) {
    fs::create_dir_all(folder).expect("the folder of the corpus");
    for (nth, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{nth:04}")), seed).expect("a seed");
    }
}
