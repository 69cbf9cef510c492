//! Several concurrent writers of one log.

use std::collections::BTreeMap;
use std::thread;

use callgate::shell::audit::chain::Chain;
use callgate::shell::audit::head::ChainLink;
use callgate::shell::audit::tail::{FoundLine, Newest, Trail};
use serde_json::Value;

use super::{Log, append, body};

/// Runs `writers` threads, each with a chain of its own, that append `batches` batches.
fn write(log: &Log, writers: usize, batches: usize) {
    thread::scope(|scope| {
        for writer in 0..writers {
            let mut chain: Chain = log.open();
            scope.spawn(move || {
                let mut number = 0;
                for batch in 0..batches {
                    let count = (writer * 31 + batch * 17) % 4 + 1;
                    let bodies: Vec<String> =
                        (number..number + count).map(|number| body(writer, number)).collect();
                    append(&mut chain, &bodies);
                    number += count;
                }
            });
        }
    });
}

/// The numbers that each writer has written, in log order.
fn written(log: &Log) -> BTreeMap<u64, Vec<u64>> {
    let mut written: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for line in log.lines() {
        let value: Value = serde_json::from_str(&line).unwrap();
        written
            .entry(value["writer"].as_u64().unwrap())
            .or_default()
            .push(value["number"].as_u64().unwrap());
    }
    written
}

/// contract S4: nothing is mixed up, lost or reordered, across several files.
#[test]
fn eight_writers_make_one_chain() {
    let log = Log::new(1_600_000);
    write(&log, 8, 200);
    assert!(log.is_intact().is_empty());
    assert!(log.files().len() >= 3, "{:?}", log.files());
    let written = written(&log);
    assert_eq!(written.len(), 8);
    for (writer, numbers) in written {
        let expected: Vec<u64> = (0..numbers.len() as u64).collect();
        assert!(numbers.len() >= 100 && numbers == expected, "{writer}: {numbers:?}");
    }
}

/// contract S4: the oldest files are dropped; the rest verifies and stays within its limit.
#[test]
fn old_files_are_dropped_and_the_rest_verifies() {
    let log = Log::new(64 * 1024);
    write(&log, 2, 500);
    assert!(log.is_intact().is_empty());
    let report = log.report();
    assert!(report.from > 1, "nothing was dropped: {report:?}");
    let kept: u64 = log.files().iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(kept <= log.keep + 4096, "{kept} bytes are kept");
    assert!(kept >= log.keep / 2, "only {kept} bytes are kept");
}

/// A reader that runs concurrently sees no fault.
#[test]
fn verify_runs_beside_writers() {
    let log = Log::new(64 * 1024);
    drop(log.open());
    append(&mut log.open(), &[body(9, 0)]);
    thread::scope(|scope| {
        let writing = scope.spawn(|| write(&log, 3, 400));
        while !writing.is_finished() {
            log.is_intact();
        }
    });
    assert!(log.report().from > 1, "nothing was dropped");
}

/// A follower sees each line once and in order; it misses lines only together with a dropped file.
#[test]
fn following_runs_beside_writers() {
    for (keep, writers, batches) in [(2_000, 3, 800), (1_600_000, 8, 200)] {
        let log = Log::new(keep);
        let mut trail = Trail::new(&log.path(), None);
        let mut seen: Vec<u64> = Vec::new();
        thread::scope(|scope| {
            let writing = scope.spawn(|| write(&log, writers, batches));
            loop {
                let is_over = writing.is_finished();
                let seq = |found: FoundLine<'_>| ChainLink::of(found.line.bytes).unwrap().seq;
                while let Some(seq) = trail.next(seq).unwrap() {
                    seen.push(seq);
                }
                let mut newest = Newest::new(&log.path()).unwrap();
                newest.newest().unwrap();
                while newest.previous(|_, _| ()).unwrap().is_some() {}
                if is_over {
                    break;
                }
            }
        });
        assert!(seen.is_sorted_by(|before, next| before < next), "{seen:?}");
        let report = log.report();
        assert_eq!(seen.last(), Some(&report.to));
        assert!(report.from > 1 || seen.len() as u64 == report.to, "{} were seen", seen.len());
        assert_eq!(report.from > 1, writers == 3, "{report:?}");
    }
}
