//! Counters on disk that cannot be used: limited calls are denied with the reason, others pass, and the session
//! recovers once the cause is gone (contract S2). It never starts from zero.

use crate::harness::gate::{Gate, Wrap, call, temp_dir};
use crate::wire::ids::died;
use rusqlite::Connection;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const POLICY: &str = r#"{"version":"1","default":"deny","tools":{"free":{},"t":{"limits":[
    {"counter":"c","window":"day","max":3}]}}}"#;

/// A session, and the path of its counters.
struct Session {
    gate: Gate,
    state: TempDir,
    id: usize,
}

/// The outcome of a call.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Spent,
    /// Denied because the state is unavailable.
    Unavailable,
}
use Outcome::{Passed, Spent, Unavailable};

fn wrap(state: &Path) -> Wrap {
    Wrap::new(POLICY).counting_in(state).option(["--server", "s"])
}

impl Session {
    fn new() -> Self {
        let state = temp_dir();
        let gate = wrap(state.path()).serve(&json!(["echo"]));
        Session { gate, state, id: 0 }
    }

    /// A session that has made one of its three calls, and whose first sweep is over: it opens the database as well,
    /// and would make a file anew that a test has just moved.
    fn begun() -> Self {
        let mut session = Session::new();
        assert_eq!(session.call(), Passed);
        session.gate.rests("checkpoint");
        session
    }

    fn database(&self) -> PathBuf {
        self.state.path().join("state.db")
    }

    fn call(&mut self) -> Outcome {
        self.id += 1;
        let answer = self.gate.ask(call(self.id));
        match () {
            () if answer.contains("(state unavailable)") => Unavailable,
            () if answer.contains("POLICY DENIED") => Spent,
            () => Passed,
        }
    }

    /// Checks that limited calls are denied with this reason, and that others pass.
    fn fails(&mut self, reason: &str) {
        for _ in 0..2 {
            assert_eq!(self.call(), Unavailable, "{reason}");
        }
        let told = self.gate.error_line();
        assert!(told.contains(reason), "{told}");
        assert!(told.starts_with("callgate: failed to use state `"), "{told}");
        assert!(!told.contains("os error"), "{told}");
        self.id += 1;
        let answer = self.gate.ask(call(self.id).replace(r#""t""#, r#""free""#));
        assert!(!answer.contains("DENIED"), "{answer}");
    }

    /// Checks that exactly this many of the three calls are left.
    fn has_left(&mut self, calls: usize) {
        for _ in 0..calls {
            assert_eq!(self.call(), Passed);
        }
        assert_eq!(self.call(), Spent);
    }

    fn ends(mut self) {
        assert_eq!(self.gate.end().code, Some(0));
    }
}

/// contract S2: a session never counts in a file that no one else can see, and never starts afresh beside it.
#[test]
fn a_moved_state_denies_calls_until_it_is_back() {
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let mut session = Session::begun();
        let (here, there) = (session.state.path().join(name), session.state.path().join("away"));
        fs::rename(&here, &there).unwrap();
        // Files beside the database are only checked now and then.
        let begun = Instant::now();
        while session.call() != Unavailable {
            assert!(begun.elapsed() < Duration::from_secs(5), "{name} is not missed");
        }
        session.fails("removed or renamed");
        fs::rename(&there, &here).unwrap();
        assert_ne!(session.call(), Unavailable, "{name}");
        session.ends();
    }
    let mut session = Session::begun();
    let away = temp_dir();
    fs::rename(session.state.path(), away.path().join("state")).unwrap();
    session.fails("removed or renamed");
    assert!(!session.state.path().exists());
    fs::rename(away.path().join("state"), session.state.path()).unwrap();
    session.has_left(2);
    session.ends();
}

/// contract S2: only a session that never saw a removed state creates it again.
#[test]
fn only_a_fresh_session_recreates_a_removed_state() {
    let mut session = Session::begun();
    fs::remove_dir_all(session.state.path()).unwrap();
    session.fails("removed or renamed");
    let fresh = wrap(session.state.path()).serve(&json!(["echo"]));
    fresh.serves(1);
    session.has_left(2);
    fresh.ends_quietly(0);
    session.ends();
}

/// contract S2: if the state is overwritten, nothing is counted in it, and nothing is forgotten.
#[test]
fn an_overwritten_state_denies_calls_until_it_is_restored() {
    for garbage in ["", "garbage", &"garbage ".repeat(10_000)] {
        let mut session = Session::begun();
        let good = fs::read(session.database()).unwrap();
        fs::write(session.database(), garbage).unwrap();
        session.fails(if garbage.is_empty() { "it was emptied" } else { "not a database" });
        fs::write(session.database(), good).unwrap();
        session.has_left(2);
        session.ends();
    }
}

/// contract S2: a foreign file in the state's place is neither waited for nor changed.
#[test]
fn foreign_files_are_left_unchanged() {
    let another = |sql: &str| {
        let dir = temp_dir();
        let path = dir.path().join("db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        fs::read(path).unwrap()
    };
    let newer = {
        let state = temp_dir();
        let other = wrap(state.path()).serve(&json!(["echo"]));
        other.serves(1);
        other.ends_quietly(0);
        let path = state.path().join("state.db");
        Connection::open(&path).unwrap().execute_batch("PRAGMA user_version=99").unwrap();
        fs::read(path).unwrap()
    };
    for (reason, content) in [
        ("it is not a database", b"What is this? ".repeat(100)),
        ("another program's database", another("CREATE TABLE x (y); PRAGMA user_version=1")),
        ("a newer callgate wrote it (schema 99, not 1)", newer),
    ] {
        let mut session = Session::new();
        fs::write(session.database(), &content).unwrap();
        session.fails(reason);
        assert!(fs::read(session.database()).unwrap() == content, "{reason}");
        fs::remove_file(session.database()).unwrap();
        session.has_left(3);
        session.ends();
    }
}

/// contract S2: neither a directory nor a pipe without a writer stops the session.
#[test]
fn a_directory_or_a_pipe_stops_nothing() {
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        for make in ["mkdir", "mkfifo"] {
            let mut session = Session::new();
            let path = session.state.path().join(name);
            assert!(Command::new(make).arg(&path).status().unwrap().success());
            session.fails("not a regular file");
            fs::remove_dir(&path).or_else(|_| fs::remove_file(&path)).unwrap();
            session.has_left(3);
            session.ends();
        }
    }
}

/// contract S2: a damaged row is not used, and no new one replaces it.
#[test]
fn a_damaged_counter_is_not_used() {
    let mut session = Session::begun();
    let connection = Connection::open(session.database()).unwrap();
    let row: Vec<u8> =
        connection.query_row("SELECT row FROM charged", [], |row| row.get(0)).unwrap();
    let write = |row: &[u8]| {
        connection.execute("UPDATE charged SET row = ?1", [row]).unwrap();
    };
    let mut damaged = row.clone();
    damaged[row.len() - 2] ^= 1;
    write(&damaged);
    session.fails("a stored counter is damaged");
    write(&row);
    session.has_left(2);
    drop(connection);
    session.ends();
}

/// contract S2: a locked state is unavailable after 1 s. Meanwhile the server's direction goes on.
#[test]
fn a_call_waits_a_second_for_a_locked_state() {
    let mut session = Session::begun();
    let connection = Connection::open(session.database()).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    session.fails(&format!("process {} has locked it for a second", std::process::id()));
    assert!(begun.elapsed() >= Duration::from_secs(2), "two calls waited {:?}", begun.elapsed());
    session.gate.send(call("\"waits\""));
    connection.execute_batch("COMMIT").unwrap();
    assert!(!session.gate.recv().contains("DENIED"));
    session.has_left(1);
    drop(connection);
    session.ends();
}

/// contract W4, P12: the server dies while a call waits for its reservation. That call and those after it are answered
/// and not charged.
#[test]
fn calls_that_wait_when_the_server_dies_are_answered() {
    let mut session = Session::begun();
    let connection = Connection::open(session.database()).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut gate = wrap(session.state.path()).run(["sh", "-c", "read line; exit 5"]);
    gate.send(call(1).replace(r#""t""#, r#""free""#));
    (2..=5).for_each(|id| gate.send(call(id)));
    let mut answers: Vec<String> = (1..=5).map(|_| gate.recv()).collect();
    answers.sort();
    assert_eq!(answers, (1..=5).map(|id| died(id, 5)).collect::<Vec<_>>());
    assert_eq!(gate.exit_code(), Some(5));
    connection.execute_batch("COMMIT").unwrap();
    drop(connection);
    session.has_left(2);
    session.ends();
}

/// contract S2: calls are denied while the disk is full, and pass once there is room.
#[test]
fn a_full_disk_denies_and_recovers() {
    let state = temp_dir();
    let policy = POLICY.replace(r#""max":3"#, r#""max":300"#);
    // No file may grow beyond 48 KiB, which the log exceeds after some calls.
    let limited = "trap '' XFSZ; ulimit -S -f 96; exec \"$@\"";
    let gate = Wrap::new(policy)
        .counting_in(state.path())
        .launched_by(["sh", "-c", limited, "sh"])
        .serve(&json!(["echo"]));
    let mut session = Session { gate, state, id: 0 };
    let mut passed = 0;
    while session.call() == Passed {
        passed += 1;
        assert!(passed < 200, "the disk is not full");
    }
    let told = session.gate.error_line();
    assert!(told.contains("disk"), "{told}");
    let pid = i32::try_from(session.gate.pid()).ok().and_then(Pid::from_raw);
    prlimit(pid, Resource::Fsize, Rlimit { current: None, maximum: None }).unwrap();
    for _ in passed..300 {
        assert_eq!(session.call(), Passed);
    }
    assert_eq!(session.call(), Spent);
    session.ends();
}

/// contract S2: a read-only state denies calls until it is writable.
#[test]
fn a_read_only_state_denies_and_recovers() {
    let mut before = Session::begun();
    assert_eq!(before.call(), Passed);
    let state = before.state;
    assert_eq!(before.gate.end().code, Some(0));
    for file in [true, false] {
        let path = if file { state.path().join("state.db") } else { state.path().to_owned() };
        let mode = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        mode(if file { 0o400 } else { 0o500 });
        // Makes permissions apply even to root.
        let wrap = wrap(state.path()).without_privileges();
        let mut session = Session { gate: wrap.serve(&json!(["echo"])), state: temp_dir(), id: 0 };
        session.fails("Permission denied");
        mode(if file { 0o600 } else { 0o700 });
        session.has_left(usize::from(file));
        session.ends();
    }
}
