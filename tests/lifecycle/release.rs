//! What is promised of the binary as it is installed, beside its memory (`src/manual/speed.md`).

use crate::harness::gate::{callgate, temp_dir};
use crate::harness::process::{End, Process};
use std::fs;
use std::time::{Duration, Instant};

/// The largest that the binary may be, in bytes.
const SIZE: u64 = 9 * 1024 * 1024;

/// The longest that a session without a call may take, its server included, when nothing else runs.
const SESSION: Duration = Duration::from_millis(20);

#[test]
fn the_binary_is_small() {
    let dir = temp_dir();
    let size = fs::metadata(callgate(dir.path()).get_program()).unwrap().len();
    assert!(size <= SIZE, "{} KiB", size / 1024);
}

/// The fastest of many, since others may be at work.
#[test]
fn it_starts_at_once() {
    let dir = temp_dir();
    let policy = dir.path().join("policy.json");
    fs::write(&policy, r#"{"version":"1","default":"allow"}"#).unwrap();
    let session = |_| {
        let mut command = callgate(dir.path());
        command.args(["wrap", "--policy"]).arg(&policy).args(["--", "true"]);
        let begun = Instant::now();
        assert_eq!(Process::spawn(&mut command).end(), End::quiet(0));
        begun.elapsed()
    };
    let fastest = (0..50).map(session).min().unwrap();
    assert!(fastest <= SESSION, "{fastest:?}");
}
