//! Counters on disk, shared by several sessions: exactly `max` calls get through, whichever session is killed or
//! stopped.

use crate::harness::gate::{Gate, Wrap, call, temp_dir};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A policy that lets `max` calls a day through.
fn policy(max: usize) -> String {
    format!(
        r#"{{"version":"1","default":"deny","tools":{{"t":{{"limits":[
            {{"counter":"c","window":"day","max":{max}}},
            {{"counter":"all","window":"hour","max":1000000,"scope":"server"}}]}}}}}}"#
    )
}

/// A session whose counters are in `state`.
fn start(max: usize, state: &Path) -> Gate {
    Wrap::new(policy(max)).counting_in(state).option(["--server", "s"]).serve(&json!(["echo"]))
}

/// Makes `times` calls, one after the other; `charged` counts those that are let through.
fn call_often(gate: &Gate, times: usize, charged: &AtomicUsize) {
    for id in 0..times {
        let Ok(answer) = try_ask(gate, id) else { return };
        if !answer.contains("POLICY DENIED") {
            charged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Runs `work` on all sessions at once.
fn in_threads(gates: Vec<Gate>, work: impl Fn(&Gate) + Sync) -> Vec<Gate> {
    let work = &work;
    std::thread::scope(|scope| {
        let working = gates.into_iter().map(|gate| {
            scope.spawn(move || {
                work(&gate);
                gate
            })
        });
        let working: Vec<_> = working.collect();
        working.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn try_ask(gate: &Gate, id: usize) -> Result<String, String> {
    gate.send(call(id));
    gate.try_recv()
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.unwrap(), signal).unwrap();
}

/// contract P13: with eight sessions at once, exactly `max` calls get through.
#[test]
fn eight_sessions_let_exactly_max_calls_through() {
    let state = temp_dir();
    let gates: Vec<Gate> = (0..8).map(|_| start(1000, state.path())).collect();
    let charged = AtomicUsize::new(0);
    let gates = in_threads(gates, |gate| call_often(gate, 500, &charged));
    assert_eq!(charged.into_inner(), 1000);
    assert_eq!(gates.iter().map(|gate| gate.received().len()).sum::<usize>(), 1000);
    gates.into_iter().for_each(|gate| gate.ends_quietly(0));
}

/// contract S2: charges survive the death of the process; at most the call in flight is lost.
#[test]
fn a_killed_session_frees_no_quota() {
    const MAX: usize = 2000;
    const KILLED: usize = 12;
    let state = temp_dir();
    let survivor = start(MAX, state.path());
    let (charged, forwarded, dead) =
        (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let survivor = std::thread::scope(|scope| {
        for victim in 0..3 {
            let (state, charged, forwarded, dead) = (&state, &charged, &forwarded, &dead);
            scope.spawn(move || {
                for round in 0..KILLED / 3 {
                    let mut gate = start(MAX, state.path());
                    call_often(&gate, 7 + 5 * victim + round, charged);
                    // Killed while it works on the last call.
                    gate.send(call(1000));
                    gate.signal(Signal::KILL);
                    gate.wait();
                    forwarded.fetch_add(gate.received().len(), Ordering::Relaxed);
                    dead.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let (charged, dead) = (&charged, &dead);
        let survivor = scope.spawn(move || {
            while dead.load(Ordering::Relaxed) < KILLED {
                call_often(&survivor, 10, charged);
            }
            // Use up what is left.
            call_often(&survivor, MAX, charged);
            survivor
        });
        survivor.join().unwrap()
    });
    let forwarded = forwarded.into_inner() + survivor.received().len();
    assert!(forwarded <= MAX, "{forwarded} calls got through");
    assert!(forwarded + KILLED >= MAX, "{forwarded} calls got through");
}

/// contract S2: a session that is stopped while it holds the lock delays the others only briefly, although they may not
/// look into it (contract W10).
#[test]
fn a_stopped_session_does_not_block_the_others() {
    const CALLS: usize = 20_000;
    let state = temp_dir();
    let start = || {
        let wrap = Wrap::new(policy(1_000_000)).counting_in(state.path()).without_privileges();
        wrap.option(["--server", "s"]).serve(&json!(["echo"]))
    };
    let (busy, other) = (start(), start());
    busy.serves(0);
    other.serves(0);
    let index = fs::metadata(state.path().join("state.db-shm")).unwrap().ino();
    let pid = busy.pid();
    let mut held = 0;
    while held < 2 {
        busy.send_raw((0..CALLS).map(|id| call(id) + "\n").collect::<String>());
        for id in 0..CALLS {
            busy.recv();
            if held == 2 || id % 10 > 0 {
                continue;
            }
            // At a random point of a call, sometimes in a transaction.
            signal(pid, Signal::STOP);
            while !is_stopped(pid) {}
            if holds_lock(pid, index) {
                held += 1;
                let begun = Instant::now();
                other.serves(id);
                assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
                assert!(!is_stopped(pid), "it had to go on to let the lock go");
            }
            signal(pid, Signal::CONT);
        }
    }
    busy.ends_quietly(0);
    other.ends_quietly(0);
}

fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().starts_with(" T")
}

/// True if the process holds the writers' lock (<https://sqlite.org/walformat.html#wal_locks>).
fn holds_lock(pid: u32, index: u64) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let lock = format!(":{index} 120 120");
    locks.lines().any(|line| {
        line.contains(&format!(" WRITE {pid} ")) && line.ends_with(&lock) && !line.contains("->")
    })
}

/// contract S2, W10: nothing is opened before it is needed, and only the owner can read the files.
#[test]
fn the_first_limited_call_creates_the_state() {
    let home = temp_dir();
    let state = home.path().join("a/b");
    let policy = policy(1).replace(r#""tools":{"#, r#""tools":{"free":{},"#);
    let gate = Wrap::new(policy).counting_in(&state).serve(&json!(["echo"]));
    gate.ask(call(1).replace(r#""t""#, r#""free""#));
    assert!(!state.join("state.db").exists());
    gate.serves(2);
    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(mode(&state), 0o700);
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        assert_eq!(mode(&state.join(file)), 0o600, "{file}");
    }
    gate.ends_quietly(0);
}

/// The write-ahead log of the counters stays short under a constant load.
#[test]
fn the_write_ahead_log_stays_short() {
    const CALLS: usize = 8000;
    let state = temp_dir();
    let gates: Vec<Gate> = (0..2).map(|_| start(1_000_000, state.path())).collect();
    let longest = |file: &str| fs::metadata(state.path().join(file)).map_or(0, |file| file.len());
    let gates = in_threads(gates, |gate| {
        gate.send_raw((0..CALLS).map(|id| call(id) + "\n").collect::<String>());
        (0..CALLS).for_each(|_| drop(gate.recv()));
    });
    let (log, database) = (longest("state.db-wal"), longest("state.db"));
    // Two pages of 1 KiB for each call would be 32 MiB.
    assert!(log < 12 << 20, "{log} bytes");
    assert!(database < 64 << 10, "{database} bytes");
    gates.into_iter().for_each(|gate| gate.ends_quietly(0));
}
