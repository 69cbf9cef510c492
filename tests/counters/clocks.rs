//! Setting the clock during and between sessions (contract P13), with libfaketime from Debian's package `faketime`.

use crate::harness::gate::{Gate, Wrap, call, temp_dir};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const POLICY: &str = r#"{"version":"1","default":"deny","tools":{"t":{"limits":[
    {"counter":"c","window":"hour","max":2}]}}}"#;

/// Sets the wall clock of the sessions that it starts; the machine's steady clock is unaffected.
struct Clock {
    dir: TempDir,
    library: PathBuf,
}

impl Clock {
    fn new() -> Self {
        let libraries = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
        let mut library = libraries.map(|dir| dir.join("faketime/libfaketime.so.1"));
        let library = library.find(|path| path.exists());
        let library = library.expect("libfaketime, from the package `faketime`");
        Clock { dir: temp_dir(), library }
    }

    /// Moves the clock forward or back by this many seconds.
    fn set(&self, seconds: i64) {
        let new = self.dir.path().join("new");
        fs::write(&new, format!("{seconds:+}")).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("clock")
    }

    fn start(&self, state: &Path) -> Gate {
        self.start_with(state, POLICY)
    }

    fn start_with(&self, state: &Path, policy: &str) -> Gate {
        Wrap::new(policy)
            .counting_in(state)
            .option(["--server", "s"])
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .serve(&json!(["echo"]))
    }
}

fn passes(gate: &Gate, id: u32) -> bool {
    !gate.ask(call(id)).contains("POLICY DENIED")
}

/// contract P13: a step back frees no quota, a step forward counts once as time passed; the same with a restart at each
/// step.
#[test]
fn the_clock_is_set_back_and_forth() {
    for restarts in [false, true] {
        let (clock, state) = (Clock::new(), temp_dir());
        clock.set(0);
        let mut gate = clock.start(state.path());
        assert!(passes(&gate, 1) && passes(&gate, 2) && !passes(&gate, 3));
        let mut id = 3;
        for (seconds, quota, why) in [
            (-3600, 0, "back an hour"),
            (-3_153_600_000, 0, "back a hundred years"),
            (0, 0, "as it was"),
            (86_400, 2, "forth a day"),
            (0, 0, "back again"),
            (86_400, 0, "forth again"),
            (2 * 86_400, 2, "forth another day"),
        ] {
            clock.set(seconds);
            if restarts {
                gate.ends_quietly(0);
                gate = clock.start(state.path());
            }
            for nth in 0..3 {
                id += 1;
                assert_eq!(passes(&gate, id), nth < quota, "{why}, restarts: {restarts}");
            }
        }
        gate.ends_quietly(0);
    }
}

/// contract P13: quota that a step back would freeze returns once the window has passed in real time.
#[test]
fn quota_returns_after_the_clock_was_set_back() {
    for restarts in [false, true] {
        let (clock, state) = (Clock::new(), temp_dir());
        clock.set(0);
        let policy = POLICY.replace(r#""hour""#, "1");
        let mut gate = clock.start_with(state.path(), &policy);
        while passes(&gate, 1) {}
        clock.set(-86_400);
        if restarts {
            gate.ends_quietly(0);
            gate = clock.start_with(state.path(), &policy);
        }
        let begun = std::time::Instant::now();
        while !passes(&gate, 2) {
            assert!(begun.elapsed().as_secs() < 5, "the quota is frozen");
        }
        gate.ends_quietly(0);
    }
}
