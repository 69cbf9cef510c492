//! Promises about the installed binary, except memory (`src/manual/speed.md`).

use crate::harness::gate::{callgate, temp_dir};
use crate::harness::process::{End, Process};
use std::fs;
use std::time::{Duration, Instant};

/// The largest allowed binary, in bytes.
const SIZE: u64 = 9 * 1024 * 1024;

/// The longest time for a session without a call, including its server, on an idle machine.
const SESSION: Duration = Duration::from_millis(20);

#[test]
fn the_binary_is_small() {
    let dir = temp_dir();
    let size = fs::metadata(callgate(dir.path()).get_program()).unwrap().len();
    assert!(size <= SIZE, "{} KiB", size / 1024);
}

/// Takes the fastest of many runs, since the machine may be busy.
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
