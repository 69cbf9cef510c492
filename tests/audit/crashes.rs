//! Writers that are killed between any two system calls: the next writer continues, and `verify` tells a kill from
//! tampering.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use callgate::shell::audit::chain::Chain;
use callgate::shell::audit::files::rotated_path;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any};
use proptest::proptest;
use serde_json::Value;

use super::{Log, append, body, lines};

/// The state on disk: the head, and the current file's length.
struct Before {
    head: Vec<u8>,
    length: u64,
    files: Vec<PathBuf>,
}

impl Before {
    fn of(log: &Log) -> Self {
        let length = log.path().metadata().map_or(0, |found| found.len());
        Before { head: fs::read(log.head()).unwrap_or_default(), length, files: log.files() }
    }

    /// Restores the head in the same file.
    fn restore_head(&self, log: &Log) {
        let head = OpenOptions::new().write(true).open(log.head()).unwrap();
        head.set_len(self.head.len() as u64).unwrap();
        head.write_all_at(&self.head, 0).unwrap();
    }
}

/// Appends lines as a killed process does: only `cut` bytes of them reach the file, and the head is not updated.
fn killed_within_a_write(log: &Log, bodies: &[String], cut: usize) {
    let mut victim = log.open();
    // Recover or rotate beforehand, if that is due.
    append(&mut victim, &[]);
    let before = Before::of(log);
    append(&mut victim, bodies);
    assert_eq!(log.files().len(), before.files.len(), "rotated within");
    before.restore_head(log);
    let current = OpenOptions::new().write(true).open(log.path()).unwrap();
    let written = current.metadata().unwrap().len() - before.length;
    current.set_len(before.length + cut as u64 % (written + 1)).unwrap();
}

/// A process that is killed during a rotation: after the rename, or after the next file was created as well.
fn killed_within_a_rotation(log: &Log, next_is_there: bool) {
    let Ok(head) = serde_json::from_slice::<Value>(&fs::read(log.head()).unwrap()) else { return };
    let length = log.path().metadata().map_or(0, |found| found.len());
    // Only a non-empty file that the head covers completely is ever rotated.
    if length == 0 || head["length"].as_u64() != Some(length) {
        return;
    }
    fs::rename(log.path(), rotated_path(&log.path(), head["file_from"].as_u64().unwrap())).unwrap();
    if next_is_there {
        fs::write(log.path(), "").unwrap();
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Append { writer: usize, count: usize },
    KilledWriting { count: usize, cut: usize },
    KilledRotating { next_is_there: bool },
}

fn step((kind, writer, count, cut): (u8, usize, usize, usize)) -> Step {
    match kind % 8 {
        0 | 1 => Step::KilledWriting { count: count % 3 + 1, cut },
        2 => Step::KilledRotating { next_is_there: cut % 2 == 0 },
        _ => Step::Append { writer: writer % 3, count: count % 4 + 1 },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// contract S4: wherever writers are killed, the log stays intact and holds each appended line once.
    #[test]
    fn no_crash_looks_like_tampering(
        keep in 2_000_u64..20_000,
        steps in vec((any::<u8>(), any::<usize>(), any::<usize>(), any::<usize>()), 1..40),
    ) {
        let log = Log::new(keep * 1000);
        let mut chains: Vec<Chain> = (0..3).map(|_| Chain::open(&log.path(), &log.head(), keep).unwrap()).collect();
        let mut number = 0;
        let mut acknowledged = Vec::new();
        for step in steps.into_iter().map(step) {
            match step {
                Step::Append { writer, count } => {
                    let bodies: Vec<String> = (number..number + count).map(|n| body(0, n)).collect();
                    append(&mut chains[writer], &bodies);
                    acknowledged.extend(number..number + count);
                    number += count;
                }
                Step::KilledWriting { count, cut } => {
                    let bodies: Vec<String> = (number..number + count).map(|n| body(1, n)).collect();
                    killed_within_a_write(&log, &bodies, cut);
                    number += count;
                }
                Step::KilledRotating { next_is_there } => killed_within_a_rotation(&log, next_is_there),
            }
            log.is_intact();
        }
        append(&mut chains[0], &[body(2, 0)]);
        log.is_intact();
        let first = log.report().from;
        let mut found = Vec::new();
        for line in log.lines() {
            let Ok(value) = serde_json::from_str::<Value>(&line) else { continue };
            if value["writer"] == 0 {
                found.push(usize::try_from(value["number"].as_u64().unwrap()).unwrap());
            }
        }
        // A log with a small limit may have dropped its oldest lines.
        let kept = acknowledged.len() - found.len();
        assert!(kept == 0 || first > 1, "lost: {acknowledged:?} {found:?}");
        assert_eq!(&acknowledged[kept..], found);
    }
}

/// contract S4: nothing is ever appended to a torn line, wherever it was torn, and the log records it.
#[test]
fn a_torn_line_is_ended_and_recorded() {
    let whole = {
        let log = Log::new(1 << 20);
        append(&mut log.open(), &[body(0, 0)]);
        lines(&log.path())[0].len()
    };
    for cut in 1..=whole {
        let log = Log::new(1 << 20);
        append(&mut log.open(), &[body(0, 0)]);
        killed_within_a_write(&log, &[body(0, 0)], cut);
        let before = fs::read(log.path()).unwrap();
        let notes = log.is_intact();
        assert!(notes.iter().any(|note| note.contains("killed")), "{cut}: {notes:?}");
        append(&mut log.open(), &[body(1, 1)]);
        let after = fs::read(log.path()).unwrap();
        assert_eq!(&after[..=before.len()], [before, b"\n".to_vec()].concat(), "{cut}: glued to");
        let notes = log.is_intact();
        let is_whole = cut == lines(&log.path())[1].len()
            && serde_json::from_str::<Value>(&lines(&log.path())[1]).is_ok();
        assert!(
            is_whole || notes.iter().any(|note| note.contains("continues after")),
            "{cut}: {notes:?}"
        );
        assert!(lines(&log.path())[2].contains(r#""event":"recovered""#), "{cut}");
    }
}

/// Lines after the head are recovered, and the log records it.
#[test]
fn whole_lines_after_the_head_are_recovered() {
    let log = Log::new(1 << 20);
    append(&mut log.open(), &[body(0, 0)]);
    killed_within_a_write(&log, &[body(0, 1), body(0, 2)], usize::MAX - 1);
    append(&mut log.open(), &[body(0, 3)]);
    append(&mut log.open(), &[body(0, 4)]);
    let notes = log.is_intact();
    assert!(
        notes.iter().any(|note| note.contains("the head did not cover the line before this one")),
        "{notes:?}"
    );
    assert!(
        log.lines().iter().any(|line| line.contains(r#""event":"recovered""#)),
        "{:?}",
        log.lines()
    );
}

/// A head that was never written is distinct from one that was removed.
#[test]
fn a_process_killed_at_its_first_line_leaves_an_intact_log() {
    for cut in [0, 1, 40, 1000] {
        let log = Log::new(1 << 20);
        killed_within_a_write(&log, &[body(0, 0)], cut);
        append(&mut log.open(), &[body(0, 1)]);
        log.is_intact();
    }
}

/// If a file cannot be renamed, it keeps growing, and callgate reports it.
#[test]
fn a_file_that_cannot_be_rotated_keeps_growing() {
    let log = Log::new(40_000);
    let mut chain = log.open();
    // Another file is in the way.
    fs::write(rotated_path(&log.path(), 1), "").unwrap();
    for number in 0..60 {
        append(&mut chain, &[body(0, number)]);
    }
    let trouble = chain.take_trouble().expect("it is told");
    assert!(format!("{trouble:#}").starts_with("failed to rotate"), "{trouble:#}");
    fs::remove_file(rotated_path(&log.path(), 1)).unwrap();
    append(&mut chain, &[body(0, 60)]);
    log.is_intact();
    assert_eq!(log.files().len(), 2);
}
