//! A policy that changes while it is in force (contract W7).

use crate::harness::gate::{Wrap, callgate, temp_dir};
use crate::harness::process::Process;
use crate::harness::versions::{Session, text};
use crate::harness::ways::{
    FAULTS, Fault, MAX_BYTES, POLICY, WAYS, Way, clear_fault, padded, replace,
};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// contract W7: the new policy decides every call that comes later than this after the write.
const SECOND: Duration = Duration::from_secs(1);

/// A directory that holds version 1.
pub(crate) fn dir() -> TempDir {
    let dir = temp_dir();
    replace(dir.path(), text(1));
    dir
}

/// A session under version 1, which was put in place by `way`.
fn started(way: &Way) -> Session {
    let dir = temp_dir();
    way.write(dir.path(), &text(1));
    Session::start(dir)
}

/// Ends a session and checks that stderr reports this many new versions, and otherwise only moments without a good one.
fn told_of(session: Session, versions: usize, why: &str) {
    let reloaded = session.reloaded();
    let said = session.end();
    let (news, complaints): (Vec<_>, Vec<_>) = said.iter().partition(|line| **line == reloaded);
    assert_eq!(news.len(), versions, "{why}: {said:?}");
    assert!(said.last() == Some(&reloaded), "{why}: {said:?}");
    assert!(complaints.iter().all(|line| line.starts_with("callgate:")), "{why}: {said:?}");
}

/// The end of the diagnostics of a rejected version.
const HOLDS: &str = "callgate: the last good policy stays in force";

/// The messages about the policy at `root`: those of a start, but with each line marked.
pub(crate) fn diagnostics(root: &Path) -> Vec<String> {
    let mut command = callgate(root);
    command.arg("wrap").arg("--policy").arg(root.join(POLICY)).args(["--", "true"]);
    let end = Process::spawn(&mut command).end();
    assert_eq!((end.code, end.stdout.as_str()), (Some(2), ""), "{end:?}");
    let diagnostics = end.stderr.strip_prefix("error: ").expect("an error");
    let marked = diagnostics.lines().map(|line| format!("callgate: {line}").trim_end().to_owned());
    marked.chain([HOLDS.to_owned()]).collect()
}

/// contract W7: a change in the policy's directory is noticed at once, and then decides calls.
#[test]
fn a_change_is_seen_without_a_call() {
    for way in WAYS.iter().filter(|way| way.is_seen) {
        let mut session = started(way);
        way.write(session.gate.dir(), &text(2));
        session.tells_of_versions(1);
        assert_eq!(session.current(), 2, "{}", way.why);
        way.write(session.gate.dir(), &text(3));
        session.becomes(3);
        told_of(session, 2, way.why);
    }
}

/// contract W7: a change that the directory does not show is found at the next calls, again and again.
#[test]
fn a_change_that_is_not_seen_is_found_by_calls() {
    for way in WAYS.iter().filter(|way| !way.is_seen) {
        let mut session = started(way);
        for number in 2..5 {
            way.write(session.gate.dir(), &text(number));
            session.becomes(number);
        }
        told_of(session, 3, way.why);
    }
}

/// contract W7: a second after the write, the very first call is decided by the new policy, however it was written.
#[test]
fn the_first_call_after_a_second_is_decided_by_the_new_policy() {
    let mut sessions = WAYS.map(|way| (way, started(&way)));
    for number in 2..4 {
        for (way, session) in &sessions {
            way.write(session.gate.dir(), &text(number));
        }
        let written = Instant::now();
        for (_, session) in &mut sessions {
            session.listen_until(written + SECOND + SECOND / 10);
        }
        for (way, session) in &mut sessions {
            assert_eq!(session.current(), number, "{}", way.why);
        }
    }
    for (way, session) in sessions {
        told_of(session, 2, way.why);
    }
}

/// contract W7: a policy that is rewritten constantly is never more than a second behind.
#[test]
fn a_constantly_changing_policy_is_never_a_second_old() {
    let dir = dir();
    let root = dir.path().to_owned();
    let mut session = Session::start(dir);
    let (stop, stopped) = mpsc::channel::<()>();
    let writer = thread::spawn(move || {
        let mut written = vec![Instant::now(); 2];
        for number in 2.. {
            replace(&root, text(number));
            written.push(Instant::now());
            let pause = stopped.recv_timeout(Duration::from_millis(7));
            if pause != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
        written
    });
    let mut calls = Vec::new();
    let end = Instant::now() + 3 * SECOND;
    while Instant::now() < end {
        let sent = Instant::now();
        calls.push((sent, session.current()));
        session.listen();
    }
    drop(stop);
    let written = writer.join().unwrap();
    for (sent, version) in &calls {
        let Some(next) = written.get(*version as usize + 1) else { continue };
        let late = sent.saturating_duration_since(*next);
        assert!(late <= SECOND, "version {version} decides {late:?} after it was replaced");
    }
    assert!(calls.is_sorted_by_key(|(_, version)| *version), "an older version came back");
    let last = u32::try_from(written.len() - 1).unwrap();
    session.reaches(last);
    session.end();
}

/// contract W7: of two quick changes of equal length, the last is in force.
#[test]
fn the_last_of_two_quick_changes_is_in_force() {
    for why in ["rewritten in place", "renamed over", "written through another hard link"] {
        let way = WAYS.iter().find(|way| way.why == why).unwrap();
        let mut session = started(way);
        for number in (2..8).step_by(2) {
            way.write(session.gate.dir(), &text(number));
            way.write(session.gate.dir(), &text(number + 1));
            session.reaches(number + 1);
        }
        session.stays(7, SECOND / 2);
        session.end();
    }
}

/// contract W7: a change right after the one before it took effect is not lost.
#[test]
fn a_change_right_after_another_takes_effect() {
    let mut session = started(&WAYS[0]);
    for number in 2..12 {
        fs::write(session.gate.policy_file(), text(number)).unwrap();
        session.becomes(number);
    }
    told_of(session, 10, WAYS[0].why);
}

/// contract W7: while a version is being written, the one before it stays in force.
#[test]
fn a_torn_write_changes_nothing_until_it_is_whole() {
    let mut session = Session::start(dir());
    let text = text(2);
    let (first, rest) = text.split_at(text.len() / 2);
    let mut file = File::create(session.gate.policy_file()).unwrap();
    session.stays(1, SECOND / 4);
    file.write_all(first.as_bytes()).unwrap();
    session.stays(1, SECOND / 4);
    file.write_all(rest.as_bytes()).unwrap();
    session.becomes(2);
    told_of(session, 1, "torn");
}

/// Checks that the last good version stays in force while there is no good one, that the fault is reported once and as
/// at a start, and that the next good version takes effect.
fn is_survived(fault: &Fault) {
    let mut session = Session::start(dir());
    let root = session.gate.dir().to_owned();
    (fault.make)(&root, &text(2));
    let diagnostics = diagnostics(&root);
    session.says(&diagnostics, 1);
    session.stays(1, SECOND / 5);
    clear_fault(&root);
    replace(&root, text(3));
    session.becomes(3);
    let reloaded = session.reloaded();
    session.says(std::slice::from_ref(&reloaded), 3);
    let why = fault.why;
    let said = session.end();
    // A fault that cannot be put in place atomically leaves the file missing for a moment, before and after.
    let missing =
        format!("callgate: failed to read policy `{}`: No such", root.join(POLICY).display());
    let is_gap = |told: &[String]| told != diagnostics && told[0].starts_with(&missing);
    let told = said.split_inclusive(|line| line == HOLDS).filter(|told| !is_gap(told));
    assert_eq!(told.collect::<Vec<_>>(), [&diagnostics[..], &[reloaded]], "{why}");
}

/// contract W7: an invalid policy changes nothing.
#[test]
fn an_invalid_version_changes_nothing() {
    FAULTS[..6].iter().for_each(is_survived);
}

/// contract W7: nor does a missing file, or one that is not regular.
#[test]
fn a_policy_that_is_not_a_regular_file_changes_nothing() {
    FAULTS[6..].iter().for_each(is_survived);
}

/// contract W7: a policy of 16 MiB is accepted.
#[test]
fn a_policy_of_16_mib_is_accepted() {
    let mut session = Session::start(dir());
    session.replace(padded(&text(2), MAX_BYTES));
    session.becomes(2);
    told_of(session, 1, "16 MiB");
}

/// contract W7: the policy is watched under any file name.
#[test]
fn the_policy_may_have_any_file_name() {
    let odd = OsStr::from_bytes(b"conf/\xff \n`.json");
    for name in
        ["policy.json", "./policy.json", "conf/../policy.json", "conf/deep/../../policy.json"]
            .map(OsStr::new)
            .into_iter()
            .chain([odd])
    {
        let dir = temp_dir();
        fs::create_dir_all(dir.path().join("conf/deep")).unwrap();
        fs::write(dir.path().join(name), text(1)).unwrap();
        let mut session = Session::of(Wrap::behind(dir, name));
        fs::write(session.gate.policy_file(), text(2)).unwrap();
        session.becomes(2);
        fs::remove_file(session.gate.policy_file()).unwrap();
        fs::write(session.gate.policy_file(), text(3)).unwrap();
        session.tells_of_versions(2);
        assert_eq!(session.current(), 3);
        session.end();
    }
}
