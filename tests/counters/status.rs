//! `callgate status` beside running sessions (contract S2, S3): the sessions listed, the counters shown, the quota
//! reset.

use crate::harness::gate::{Gate, Wrap, call, callgate, launched, ok, shell};
use crate::harness::process::{End, Process};
use crate::harness::streams::Streams;
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A policy with one call of `t` a day, and two calls of all tools a run.
const ONE_A_DAY: &str = r#"{"version":"1","default":"deny",
    "all_tools":{"limits":[{"counter":"runs","window":"session","max":9}]},
    "tools":{"t":{"limits":[{"counter":"daily","window":"day","max":1,"increment":0.75}]}}}"#;

/// A session that keeps its state in `state` of its directory.
fn session(policy: &str) -> Wrap {
    let wrap = Wrap::new(policy);
    let state = wrap.dir().join("state");
    wrap.keeping_in(state).option(["--server", "echo", "--grant", "alice"])
}

/// Runs callgate beside a session.
fn beside(dir: &Path, words: &[&str]) -> End {
    let mut command = callgate(dir);
    Process::spawn(command.current_dir(dir).args(words).args(["--state", "state"])).end()
}

/// The output of `status --format json`.
fn status(dir: &Path) -> Value {
    let End { code, stdout, stderr } = beside(dir, &["status", "--format", "json"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    serde_json::from_str(&stdout).unwrap()
}

/// The process ids of the listed sessions.
fn pids(dir: &Path) -> Vec<u64> {
    let status = status(dir);
    let grants = status["grants"].as_array().unwrap().iter();
    let sessions = grants.flat_map(|grant| grant["sessions"].as_array().unwrap());
    sessions.map(|session| session["pid"].as_u64().unwrap()).collect()
}

fn session_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("state/sessions")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The account of one grant, or of all of them.
fn account<'s>(status: &'s Value, grant: &Value) -> &'s Value {
    let grants = status["grants"].as_array().unwrap();
    grants.iter().find(|found| found["grant"] == *grant).unwrap_or_else(|| panic!("{status:#}"))
}

/// Repeats until the condition holds, or fails at the time limit.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "not in time: {what}");
    }
}

fn pid(gate: &Gate) -> u64 {
    gate.pid().into()
}

#[test]
fn a_session_is_listed_while_it_runs() {
    let gate = session(ONE_A_DAY).serve(&json!(["echo"]));
    gate.serves(1);
    let dir = gate.dir().to_owned();
    let said = status(&dir);
    let alice = account(&said, &json!("alice"));
    let listed = &alice["sessions"][0];
    assert_eq!(listed["pid"], pid(&gate));
    assert_eq!((&listed["server"], &listed["grant"]), (&json!("echo"), &json!("alice")));
    assert_eq!(listed["policy"], json!(gate.policy_file()));
    assert_eq!(listed["policy_loaded"], listed["since"]);
    assert_eq!(listed["state"], said["state"]);
    assert_eq!(listed["version"], env!("CARGO_PKG_VERSION"));
    let files = session_files(&dir);
    assert_eq!(files.len(), 1, "{files:?}");
    let mode = |path: &Path| {
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777
    };
    assert_eq!((mode(&files[0]), mode(files[0].parent().unwrap())), (0o600, 0o700));
    let mut gate = gate;
    assert_eq!(gate.end(), End::quiet(0));
    assert_eq!(session_files(&dir), [""; 0].map(PathBuf::from));
}

#[test]
fn two_sessions_are_listed_and_end_separately() {
    let first = session(ONE_A_DAY).serve(&json!(["echo"]));
    first.serves(1);
    let state = first.dir().join("state");
    let mut second = Wrap::new(ONE_A_DAY)
        .keeping_in(state)
        .option(["--server", "echo", "--grant", "bob"])
        .serve(&json!(["echo"]));
    second.serves(1);
    let mut both = [pid(&first), pid(&second)];
    both.sort_unstable();
    let mut listed = pids(first.dir());
    listed.sort_unstable();
    assert_eq!(listed, both);
    assert_eq!(second.end().code, Some(0));
    assert_eq!(pids(first.dir()), [pid(&first)]);
    let only = beside(first.dir(), &["status", "--format", "json", "--grant", "bob"]);
    let only: Value = serde_json::from_str(&only.stdout).unwrap();
    let grants = only["grants"].as_array().unwrap();
    assert!(grants.iter().all(|grant| grant["grant"] != "alice"), "{only:#}");
    assert_eq!(account(&only, &json!("bob"))["counters"][0]["counter"], "daily");
}

/// The lock ends with the process, and the next command or session removes its file.
#[test]
fn a_killed_session_is_not_listed() {
    let mut gate = session(ONE_A_DAY).serve(&json!(["echo"]));
    gate.serves(1);
    let dir = gate.dir().to_owned();
    gate.signal(Signal::KILL);
    assert_eq!(gate.exit_code(), None);
    assert_eq!(session_files(&dir).len(), 1);
    assert_eq!(pids(&dir), [0; 0]);
    assert_eq!(session_files(&dir).len(), 0);
}

/// A process id proves nothing: here it belongs to another live process.
#[test]
fn another_process_with_the_same_id_is_not_the_session() {
    let mut gate = session(ONE_A_DAY).serve(&json!(["echo"]));
    gate.serves(1);
    let dir = gate.dir().to_owned();
    let told = fs::read_to_string(&session_files(&dir)[0]).unwrap();
    let left = told
        .replace(&format!("\"pid\":{}", pid(&gate)), &format!("\"pid\":{}", std::process::id()));
    assert_ne!(left, told);
    let stale = dir.join("state/sessions/0123456789abcdef.json");
    fs::write(&stale, &left).unwrap();
    assert_eq!(pids(&dir), [pid(&gate)]);
    assert!(!stale.exists());
    // A starting session removes the file as well.
    fs::write(&stale, left).unwrap();
    assert_eq!(gate.end().code, Some(0));
    let state = dir.join("state");
    let next = Wrap::new(ONE_A_DAY).keeping_in(state).serve(&json!(["echo"]));
    next.serves(1);
    assert!(!stale.exists());
    next.ends_quietly(0);
}

#[test]
fn a_reload_is_shown() {
    let gate = session(ONE_A_DAY).serve(&json!(["echo"]));
    gate.serves(1);
    let session = |dir: &Path| account(&status(dir), &json!("alice"))["sessions"][0].clone();
    let before = session(gate.dir());
    fs::write(gate.policy_file(), "{").unwrap();
    until("the rejection is told", || !session(gate.dir())["policy_rejected"].is_null());
    assert_eq!(session(gate.dir())["policy_loaded"], before["policy_loaded"]);
    fs::write(gate.policy_file(), r#"{"version":"1","default":"allow"}"#).unwrap();
    until("the new version is told", || {
        session(gate.dir())["policy_loaded"] != before["policy_loaded"]
    });
    let after = session(gate.dir());
    assert!(after["policy_rejected"].is_null(), "{after}");
    assert_eq!((&after["since"], &after["run"]), (&before["since"], &before["run"]));
    assert_eq!(session_files(gate.dir()).len(), 1);
}

#[test]
fn counters_and_denials_are_shown() {
    let gate = session(ONE_A_DAY).serve(&json!(["echo"]));
    gate.serves(1);
    for id in 2..4 {
        assert!(gate.ask(call(id)).contains("Limit reached"));
    }
    assert!(gate.ask(call(4).replace("\"t\"", "\"other\"")).contains("not permitted"));
    until("the last line is logged", || {
        account(&status(gate.dir()), &json!("alice"))["last_day"]["calls"] == 4
    });
    let said = status(gate.dir());
    let alice = account(&said, &json!("alice"));
    let counts = json!({ "calls": 4, "denied": 3, "shadowed": 0, "refused": 0, "dropped": 0 });
    assert_eq!((&alice["last_hour"], &alice["last_day"]), (&counts, &counts));
    let rules = json!([
        { "rule": "/tools/t/limits/0", "denials": 2 }, { "rule": "(default deny)", "denials": 1 }
    ]);
    assert_eq!(alice["denying_rules"], rules);
    // All of them may have the same millisecond.
    let last = alice["last_denials"].as_array().unwrap().iter();
    let mut what: Vec<_> = last.map(|denial| denial["what"].as_str().unwrap()).collect();
    what.sort_unstable();
    assert_eq!(what, ["other", "t", "t"]);
    let daily = &alice["counters"][0];
    let [used, max] = ["used", "max"].map(|field| daily[field].to_string());
    assert_eq!([&used, &max], ["0.75", "1"]);
    assert!(daily["frees_at"].is_string(), "{daily}");
    let runs = &alice["counters"][1];
    assert_eq!((&runs["counter"], &runs["pid"]), (&json!("runs"), &json!(pid(&gate))));
    assert!(runs["frees_at"].is_null(), "{runs}");
}

/// The names of a call's arguments do not change what is counted.
#[test]
fn no_argument_makes_a_call_look_like_an_answer() {
    let gate = session(ONE_A_DAY).option(["--audit-args"]).serve(&json!(["echo"]));
    let params = json!({"name": "t", "arguments": {"event": "answer"}});
    let line = |id| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
    assert!(!gate.ask(line(1)).contains("DENIED"));
    assert!(gate.ask(line(2)).contains("DENIED"));
    let status = status(gate.dir());
    let day = &account(&status, &json!("alice"))["last_day"];
    assert_eq!((&day["calls"], &day["denied"]), (&json!(2), &json!(1)), "{day}");
}

#[test]
fn reset_quota_is_available_to_the_next_call() {
    let gate = session(ONE_A_DAY).serve(&json!(["echo"]));
    gate.serves(1);
    assert!(gate.ask(call(2)).contains("Limit reached"));
    // Resetting another grant's counter does not help.
    let End { code, stderr, .. } =
        beside(gate.dir(), &["status", "reset", "daily", "--grant", "bob"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(gate.ask(call(3)).contains("Limit reached"));
    let End { code, stdout, stderr } =
        beside(gate.dir(), &["status", "reset", "daily", "--grant", "alice", "--server", "echo"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(
        stdout,
        "reset `daily` of server `echo`, grant `alice`: 0.75 of 1 per day were used\n"
    );
    assert_eq!(gate.ask(call(4)), ok(4));
    assert!(gate.ask(call(5)).contains("Limit reached"));
    let log = fs::read_to_string(gate.dir().join("state/audit/echo.jsonl")).unwrap();
    let resets: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["event"] == "counter_reset")
        .collect();
    assert_eq!(resets.len(), 1, "{log}");
    let [counter, grant, counters] = ["counter", "grant", "counters"].map(|name| &resets[0][name]);
    assert_eq!((counter, grant, counters), (&json!("daily"), &json!("alice"), &json!(1)));
    let verified = beside(gate.dir(), &["log", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

/// contract S2: a damaged counter is not used, hides no other counter, and can be reset.
#[test]
fn a_damaged_counter_is_reported_beside_the_others_and_can_be_reset() {
    let gate = session(ONE_A_DAY).serve(&json!(["echo"]));
    gate.serves(1);
    let connection = Connection::open(gate.dir().join("state/state.db")).unwrap();
    let damage =
        "UPDATE charged SET row = x'00' WHERE id = (SELECT id FROM counter WHERE name = 'daily')";
    assert_eq!(connection.execute(damage, []).unwrap(), 1);
    assert!(gate.ask(call(2)).contains("(state unavailable)"));
    let End { code, stdout, .. } = beside(gate.dir(), &["status"]);
    assert_eq!(code, Some(2));
    assert!(stdout.contains("\n  runs  session  "), "{stdout}");
    let told = "problem: what is kept of counter `daily` of server `echo` is damaged;";
    assert!(stdout.contains(told), "{stdout}");
    let policy = gate.policy_file().to_str().unwrap();
    let words = ["explain", "--policy", policy, "--grant", "alice", "t"];
    let End { code, stderr, .. } = beside(gate.dir(), &words);
    assert_eq!(code, Some(2));
    assert_eq!(stderr, "error: failed to read counter `daily`: its stored value is damaged\n");
    let End { code, stdout, .. } = beside(gate.dir(), &["status", "reset", "daily"]);
    assert_eq!(code, Some(0));
    assert_eq!(
        stdout,
        "reset `daily` of server `echo`, grant `alice`: what was kept of it was damaged\n"
    );
    assert_eq!(gate.ask(call(3)), ok(3));
    assert!(gate.ask(call(4)).contains("Limit reached"));
}

/// A reset that cannot be logged does not happen.
#[test]
fn no_counter_is_reset_without_a_record() {
    let gate = session(ONE_A_DAY).option(["--no-audit"]).serve(&json!(["echo"]));
    gate.serves(1);
    fs::create_dir_all(gate.dir().join("state/audit/echo.jsonl")).unwrap();
    let End { code, stdout, stderr } = beside(gate.dir(), &["status", "reset", "daily"]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("no counter was reset"), "{stderr}");
    assert!(gate.ask(call(2)).contains("Limit reached"));
}

/// With `--state memory --no-audit`, nothing is stored.
#[test]
fn a_session_without_state_and_log_leaves_no_file() {
    let gate = Wrap::allow_all().option(["--no-audit"]).serve(&json!(["echo"]));
    gate.serves(1);
    let entries = fs::read_dir(gate.dir()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["log", "policy.json", "script.json"]);
    gate.ends_quietly(0);
}

/// The list is for people: no session depends on it.
#[test]
fn a_session_that_cannot_be_listed_runs_all_the_same() {
    let wrap = session(ONE_A_DAY).option(["-v"]);
    fs::create_dir(wrap.dir().join("state")).unwrap();
    fs::write(wrap.dir().join("state/sessions"), "").unwrap();
    let gate = wrap.serve(&json!(["echo"]));
    gate.serves(1);
    until("it is said", || gate.error_line().contains("will not show this session"));
    let End { code, stdout, .. } = beside(gate.dir(), &["status"]);
    assert_eq!(code, Some(2));
    assert!(stdout.contains("problem: failed to read directory"), "{stdout}");
    assert!(stdout.contains("echo, grant alice"), "the rest is shown: {stdout}");
}

/// A watch without a reader ends at once, and so does an interrupted one.
#[test]
fn a_watch_ends_quietly() {
    let gate = session(ONE_A_DAY).serve(&json!(["echo"]));
    gate.serves(1);
    let watch = |streams, words: &[&str]| {
        let mut command = callgate(gate.dir());
        command.current_dir(gate.dir()).args(["status", "--watch", "--state", "state"]).args(words);
        // It would ignore the interrupt if the tests themselves run in the background of a script.
        let mut command = launched(command, &["env", "--default-signal"].map(Into::into));
        Process::spawn_on(&mut command, streams, Stdio::piped())
    };
    let mut read = watch(Streams::pipes(), &["--format", "json"]);
    for _ in 0..2 {
        let line: Value = serde_json::from_slice(&read.line().unwrap()).unwrap();
        assert_eq!(account(&line, &json!("alice"))["sessions"][0]["pid"], pid(&gate));
    }
    read.signal(Signal::INT);
    let end = read.wait();
    assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""));
    let script = "{ callgate status --watch --state state; echo $? >&2; } | head -n 1";
    let mut shell = shell(gate.dir(), script);
    let End { code, stdout, stderr } = Process::spawn(shell.current_dir(gate.dir())).end();
    assert_eq!((code, stderr.as_str()), (Some(0), "0\n"), "{stdout}");
    assert_eq!(stdout.lines().count(), 1);
}

/// The watch redraws a terminal, and restores it at the end.
#[cfg(target_os = "linux")]
#[test]
fn a_watch_restores_the_terminal() {
    let gate = session(ONE_A_DAY).serve(&json!(["echo"]));
    gate.serves(1);
    let script = "trap : INT; callgate status --watch --state state; echo \"ended: $?\"";
    let launcher = ["setsid", "-c", "env", "--default-signal"].map(OsString::from);
    let mut command = launched(shell(gate.dir(), script), &launcher);
    command.current_dir(gate.dir()).env("TERM", "xterm").env("NO_COLOR", "1");
    let terminal = Streams::terminal().showing_all();
    let mut watch = Process::spawn_on(&mut command, terminal, Stdio::piped());
    let mut seen = String::new();
    while seen.matches("\x1b[H").count() < 2 {
        seen += &String::from_utf8(watch.line().unwrap()).unwrap();
    }
    watch.write(b"\x03".to_vec());
    let end = watch.wait();
    assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""));
    let shown = seen + &end.stdout;
    assert!(shown.starts_with("\x1b[?1049h\x1b[?25l\x1b[H20"), "{shown:?}");
    assert!(shown.ends_with("\x1b[?25h\x1b[?1049lended: 0\n"), "{shown:?}");
    assert!(
        !shown.contains("\x1b[2J") && !shown.contains("\x1b[3"),
        "no flicker, no colour: {shown:?}"
    );
    assert!(shown.contains(&format!("pid {}", pid(&gate))), "{shown:?}");
}

/// The next session and `status` remove at once what a killed session was creating, but not what a live session is
/// creating.
#[test]
fn half_made_files_of_killed_sessions_are_removed() {
    let gate = session(ONE_A_DAY).in_own_dir().serve(&json!(["echo"]));
    gate.serves(1);
    let (dir, sessions) = (gate.dir(), gate.dir().join("state/sessions"));
    let [left, made] =
        [".0123456789abcdef.new", ".fedcba9876543210.new"].map(|name| sessions.join(name));
    let file = fs::File::create(&made).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    fs::write(&left, "{").unwrap();
    assert_eq!(pids(dir), [u64::from(gate.pid())]);
    assert!(!left.exists() && made.exists(), "{:?}", session_files(dir));
    fs::write(&left, "{").unwrap();
    let other = Wrap::new(ONE_A_DAY).keeping_in(dir.join("state")).option(["--server", "echo"]);
    let other = other.serve(&json!(["echo"]));
    other.ask(call(1));
    assert!(!left.exists() && made.exists(), "{:?}", session_files(dir));
    drop(file);
    assert_eq!(pids(dir).len(), 2);
    assert!(!made.exists(), "{:?}", session_files(dir));
    other.ends_quietly(0);
    gate.ends_quietly(0);
}

/// However many files killed sessions have left, `status` shows the live ones, and a start is not delayed.
#[test]
fn files_of_many_dead_sessions_are_removed() {
    const DEAD: usize = 5000;
    let wrap = session(ONE_A_DAY).in_own_dir();
    let sessions = wrap.dir().join("state/sessions");
    fs::create_dir_all(&sessions).unwrap();
    for nth in 0..DEAD {
        fs::write(sessions.join(format!("{nth:016x}.json")), "").unwrap();
    }
    let gate = wrap.serve(&json!(["echo"]));
    gate.serves(1);
    let left = session_files(gate.dir()).len();
    assert!(left < DEAD && left > DEAD / 2, "a start looks at some of them: {left} are left");
    assert_eq!(pids(gate.dir()), [u64::from(gate.pid())]);
    assert_eq!(session_files(gate.dir()).len(), 1);
    gate.ends_quietly(0);
}
