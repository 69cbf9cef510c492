//! A session whose answers show which version of the policy is in force.

use super::gate::{Gate, RESULT, Wrap, ok};
use super::process::End;
use super::ways::{self, POLICY};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The time limit for a change on a busy machine. contract W7 says 1 s, usually 150 ms.
pub(crate) const SOON: Duration = Duration::from_secs(3);

/// The interval between a session's checks of its policy.
const PACE: Duration = Duration::from_millis(10);

/// The first id of calls that query the version; the tests' own ids are smaller, or far greater.
const FIRST_ID: u64 = 1000;

/// A version of the policy. Each states its number in the denial of `which`, allows `always` and denies `never`; even
/// versions allow `flips`. `mixed` needs two arguments that belong to the version.
pub(crate) fn version(number: u32) -> Value {
    let kind = kind(number);
    let all = |argument: &str| json!({ "conditions": [ { "path": argument, "op": "eq", "value": kind } ] });
    json!({
        "version": "1",
        "default": "deny",
        "tools": {
            "always": {},
            "which": { "action": "deny", "reason": format!("version {number:06}") },
            (if number.is_multiple_of(2) { "flips" } else { "flops" }): {},
            "mixed": { "require": [all("args.a"), all("args.b")] }
        }
    })
}

/// The text of a version; all have the same length.
pub(crate) fn text(number: u32) -> String {
    format!("{}\n", version(number))
}

/// The arguments of `mixed` for this version.
pub(crate) fn kind(number: u32) -> &'static str {
    if number.is_multiple_of(2) { "even" } else { "odd." }
}

/// A call of a tool.
pub(crate) fn call_of(tool: &str, id: impl Display) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}"}}}}"#)
}

/// The version that a denial of `which` states.
pub(crate) fn version_in(denial: &str) -> u32 {
    let (_, number) =
        denial.split_once("[POLICY DENIED] version ").unwrap_or_else(|| panic!("{denial}"));
    number[..6].parse().unwrap()
}

/// The message on stderr when a new version takes effect.
pub(crate) fn reloaded(policy: impl Display) -> String {
    format!("callgate: policy `{policy}` reloaded")
}

/// A session with an echoing server.
pub(crate) struct Session {
    pub(crate) gate: Gate,
    next_id: u64,
    /// The ids of the calls that were allowed.
    allowed: BTreeSet<u64>,
    /// The lines from stderr.
    pub(crate) said: Vec<String>,
    /// The lines to the client that were not answers.
    pub(crate) announced: Vec<String>,
}

impl Session {
    /// With the policy in `dir`.
    pub(crate) fn start(dir: TempDir) -> Self {
        let file = dir.path().join(POLICY);
        Self::of(Wrap::behind(dir, file))
    }

    /// With the options of `wrap`.
    pub(crate) fn of(wrap: Wrap) -> Self {
        Self::before(wrap, &[])
    }

    /// With the options of `wrap`, and a server that plays these steps after its first call. This function makes that
    /// call, so any later change is a reload.
    pub(crate) fn before(wrap: Wrap, steps: &[Value]) -> Self {
        let first = [json!({ "recv": 1 }), json!({ "answer": RESULT })];
        let script = first.iter().chain(steps).cloned().chain([json!("echo")]).collect();
        let mut session = Session {
            gate: wrap.serve(&script),
            next_id: FIRST_ID,
            allowed: BTreeSet::new(),
            said: Vec::new(),
            announced: Vec::new(),
        };
        session.current();
        session
    }

    /// The version in force. Checks on the way that every call is decided by the version that its answer implies.
    pub(crate) fn current(&mut self) -> u32 {
        let first = self.next_id;
        let tools = ["which", "always", "flips", "never", "which"];
        let ids = first..first + tools.len() as u64;
        self.next_id = ids.end;
        let calls: String =
            ids.clone().zip(tools).map(|(id, tool)| call_of(tool, id) + "\n").collect();
        self.gate.send_raw(calls);
        let answers = self.answers(ids);
        let is_ok = |nth: u64| answers[&(first + nth)] == ok(first + nth);
        assert!(is_ok(1), "`always` is refused: {}", answers[&(first + 1)]);
        assert!(!is_ok(3), "`never` has passed");
        self.allowed.extend((0..5).filter(|nth| is_ok(*nth)).map(|nth| first + nth));
        let [before, now] = [0, 4].map(|nth| version_in(&answers[&(first + nth)]));
        if before == now {
            assert_eq!(is_ok(2), now.is_multiple_of(2), "`flips` under version {now}");
        }
        now
    }

    /// The answers to the requests with these ids, in any order, because denials may overtake.
    pub(crate) fn answers(&mut self, ids: impl Iterator<Item = u64>) -> BTreeMap<u64, String> {
        let mut missing: BTreeSet<u64> = ids.collect();
        let mut answers = BTreeMap::new();
        while !missing.is_empty() {
            let line = self.gate.recv();
            match id_of(&line) {
                Some(id) if missing.remove(&id) => {
                    answers.insert(id, line);
                }
                Some(id) => panic!("{id} is answered, though it was not asked: {line}"),
                None => self.announced.push(line),
            }
        }
        answers
    }

    /// Makes calls until `number` is in force, within the time limit; until then only the previous version may be.
    pub(crate) fn becomes(&mut self, number: u32) {
        let before = self.current();
        self.calls_until(number, |now| now == before);
    }

    /// Makes calls until `number` is in force, within the time limit; until then earlier versions may be.
    pub(crate) fn reaches(&mut self, number: u32) {
        self.calls_until(number, |now| now < number);
    }

    fn calls_until(&mut self, number: u32, may_decide: impl Fn(u32) -> bool) {
        let deadline = Instant::now() + SOON;
        loop {
            let now = self.current();
            if now == number {
                return;
            }
            assert!(may_decide(now), "{now} decides on the way to {number}");
            let is_late = Instant::now() > deadline;
            assert!(!is_late, "still {now}, not {number}, after {SOON:?}; {:?}", self.said);
            self.listen();
        }
    }

    /// Makes calls for some time, during which the version must not change.
    pub(crate) fn stays(&mut self, number: u32, time: Duration) {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            assert_eq!(self.current(), number);
            self.listen();
        }
    }

    /// Makes calls until stderr ends with these lines; the version must not change.
    pub(crate) fn says(&mut self, lines: &[String], number: u32) {
        let deadline = Instant::now() + SOON;
        while !self.said.ends_with(lines) {
            assert!(Instant::now() < deadline, "no {lines:?} after {SOON:?}, but {:?}", self.said);
            assert_eq!(self.current(), number);
            self.listen();
        }
    }

    /// Waits, without calls, until stderr has announced this many new versions.
    pub(crate) fn tells_of_versions(&mut self, times: usize) {
        while self.said.iter().filter(|line| line.ends_with("` reloaded")).count() < times {
            let next = self.gate.error_line_within(SOON);
            assert!(next.is_some(), "no {times} versions after {SOON:?}, but {:?}", self.said);
            self.said.extend(next);
        }
    }

    /// Waits a moment, and collects lines from stderr.
    pub(crate) fn listen(&mut self) {
        let line = self.gate.error_line_within(PACE);
        self.said.extend(line);
    }

    /// Waits, without calls, and collects lines from stderr.
    pub(crate) fn listen_until(&mut self, deadline: Instant) {
        while Instant::now() < deadline {
            self.listen();
        }
    }

    /// Replaces the policy in one step.
    pub(crate) fn replace(&self, policy: impl Display) {
        ways::replace(self.gate.dir(), policy.to_string());
    }

    /// Checks the message on stderr about a new version.
    pub(crate) fn reloaded(&self) -> String {
        reloaded(self.gate.policy_file().display())
    }

    /// Ends the session: the server received exactly the calls answered as allowed, and nothing is left to read.
    /// Returns all lines from stderr.
    pub(crate) fn end(mut self) -> Vec<String> {
        let End { code, stdout, stderr } = self.gate.end();
        assert_eq!((code, stdout.as_str()), (Some(0), ""));
        let received = self.gate.received();
        let own = FIRST_ID..self.next_id;
        let calls = received.iter().filter_map(|line| id_of(line)).filter(|id| own.contains(id));
        let calls: Vec<u64> = calls.collect();
        assert_eq!(calls, Vec::from_iter(self.allowed), "what reached the server");
        self.said.extend(stderr.lines().map(str::to_owned));
        self.said
    }
}

/// The id of a message.
pub(crate) fn id_of(line: &str) -> Option<u64> {
    let message: Value = serde_json::from_str(line).unwrap();
    message["id"].as_u64()
}
