//! Constant calls while the policy is constantly rewritten, in all ways and with all faults (contract W7).

use super::swap::dir;
use crate::harness::gate::ok;
use crate::harness::versions::{Session, call_of, id_of, kind, text, version_in};
use crate::harness::ways::{FAULTS, WAYS, clear_fault};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// The first id of these calls.
const FIRST_ID: u64 = 1_000_000;
/// The least number of calls.
const CALLS: u64 = 5_000;
/// How many calls to send at once.
const BATCH: u64 = 50;
/// How many versions must have decided calls for the test to mean anything.
const VERSIONS: usize = 8;

/// Rewrites the policy until `stopped`, then once more; returns the final version.
fn rewrite(root: &Path, stopped: &Receiver<()>) -> u32 {
    let pause = || stopped.recv_timeout(Duration::from_millis(9)) == Err(RecvTimeoutError::Timeout);
    for number in 2.. {
        let nth = number as usize;
        if nth.is_multiple_of(3) {
            (FAULTS[nth / 3 % FAULTS.len()].make)(root, &text(number));
            pause();
            clear_fault(root);
        }
        WAYS[nth % WAYS.len()].write(root, &text(number));
        if !pause() {
            return number;
        }
    }
    unreachable!("the versions do not run out")
}

/// The calls, which repeat.
fn line(id: u64) -> String {
    match id % 5 {
        0 => call_of("always", id),
        1 => call_of("never", id),
        2 => call_of("flips", id),
        3 => call_of("which", id),
        // Half of what each kind of version requires.
        _ => {
            let arguments = format!(r#","arguments":{{"a":"{}","b":"{}"}}}}}}"#, kind(0), kind(1));
            call_of("mixed", id).replace("}}", &arguments)
        }
    }
}

/// contract W7: whatever happens to the file, no call is lost, one good version decides each call, and each answer
/// matches what was done.
#[test]
fn calls_are_decided_by_good_versions_while_the_policy_is_rewritten() {
    let mut session = Session::start(dir());
    let root = session.gate.dir().to_owned();
    let (stop, stopped) = mpsc::channel::<()>();
    let writer = thread::spawn(move || rewrite(&root, &stopped));
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut answers = BTreeMap::new();
    let mut versions = BTreeSet::new();
    for nth in 0.. {
        let first = FIRST_ID + nth * BATCH;
        let ids = first..first + BATCH;
        session.gate.send_raw(ids.clone().map(|id| line(id) + "\n").collect::<String>());
        let new = session.answers(ids);
        versions
            .extend(new.iter().filter(|(id, _)| **id % 5 == 3).map(|(_, line)| version_in(line)));
        answers.extend(new);
        if answers.len() as u64 >= CALLS && versions.len() >= VERSIONS {
            break;
        }
        assert!(Instant::now() < deadline, "{} calls, versions {versions:?}", answers.len());
        session.listen();
    }
    drop(stop);
    let last = writer.join().unwrap();
    session.reaches(last);
    let served: Vec<u64> =
        answers.iter().filter(|(id, line)| **line == ok(id)).map(|(id, _)| *id).collect();
    for (id, answer) in &answers {
        match id % 5 {
            0 => assert!(served.contains(id), "`always` is refused: {answer}"),
            2 => {}
            _ => assert!(!served.contains(id), "{} has passed", line(*id)),
        }
    }
    let received = session.gate.received();
    let received = received.iter().filter_map(|line| id_of(line)).filter(|id| *id >= FIRST_ID);
    assert_eq!(received.collect::<Vec<u64>>(), served, "what was served is what was done");
    session.end();
}
