//! Real clients with real servers: an SDK's user sees the same with and without callgate, except for what the policy
//! denies.

use super::servers::peers;
use crate::harness::gate::{callgate, temp_dir};
use crate::harness::process::Process;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The newest revision that starts with `initialize`, and the first without it.
const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

/// How much later than a bare server a server behind callgate may be gone after its client has closed the session.
/// Together with the server's own time this stays within the 2 s of contract W9, after which the SDKs send signals.
const GOODBYE: Duration = Duration::from_millis(1500);

/// A client of `tests/data/peers`, and how it finds out the revision.
#[derive(Clone, Copy, Debug)]
struct Client {
    sdk: Sdk,
    mode: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sdk {
    TypeScript1,
    TypeScript2,
    Python,
}

/// What the client's user sees of a session, one element for each step, and how long its end takes.
struct Session {
    seen: Vec<Value>,
    goodbye: Duration,
}

/// A server, the strict policy's `tools` for it, and the client's calls: an element of `tests/data/peers/scripts.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    server: String,
    /// True if the server supports the modern revision.
    #[serde(default)]
    modern: bool,
    command: Vec<String>,
    /// The initial content of its directory.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// True if its directory is a Git repository with those files committed.
    #[serde(default)]
    repository: bool,
    tools: Value,
    calls: Vec<Call>,
    /// The content of its directory at the end, under the strict policy.
    #[serde(default)]
    kept: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    tool: String,
    arguments: Value,
    denied: Option<Denied>,
}

/// The strict policy's denial of a call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Denied {
    rule: String,
    message: String,
}

/// The place where clients meet servers: one temporary directory for everything, which is also HOME of all processes.
struct Bench {
    home: TempDir,
    scripts: Vec<Script>,
}

impl Bench {
    fn new() -> Self {
        let home = temp_dir();
        let scripts = fs::read_to_string(real("scripts.json")).unwrap();
        let scripts = scripts
            .replace("{peers}", peers().to_str().unwrap())
            .replace("{dir}", home.path().join("work").to_str().unwrap());
        let scripts: Vec<Script> = serde_json::from_str(&scripts).unwrap();
        assert_eq!(scripts.len(), 5);
        Self { home, scripts }
    }

    fn work(&self) -> PathBuf {
        self.home.path().join("work")
    }

    /// Resets the server's directory to its initial content.
    fn prepare(&self, script: &Script) {
        let work = self.work();
        let _ = fs::remove_dir_all(&work);
        fs::create_dir(&work).unwrap();
        for (name, text) in &script.files {
            let file = work.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        if script.repository {
            self.git(&["init", "--quiet", "--initial-branch=main"]);
            self.git(&["add", "."]);
            self.git(&["commit", "--quiet", "--message=first"]);
            fs::write(work.join("note"), "changed since\n").unwrap();
        }
    }

    fn git(&self, words: &[&str]) {
        let mut git = Command::new("git");
        git.args(words).current_dir(self.work()).env("HOME", self.home.path());
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "Ann")
                .env(format!("GIT_{who}_EMAIL"), "ann@example.org")
                .env(format!("GIT_{who}_DATE"), "2026-01-02T03:04:05Z");
        }
        let end = Process::spawn(&mut git).end();
        assert_eq!(end.code, Some(0), "git {words:?}: {}", end.stderr);
    }

    /// The server's command line, behind a policy if there is one.
    fn server(&self, script: &Script, policy: Option<&Value>) -> Vec<String> {
        let Some(policy) = policy else { return script.command.clone() };
        let file = self.home.path().join("policy.json");
        fs::write(&file, policy.to_string()).unwrap();
        let gate = callgate(self.home.path());
        let words = [gate.get_program(), "wrap".as_ref(), "--policy".as_ref(), file.as_ref()];
        let words = words.into_iter().chain(["--state", "memory", "--"].map(OsStr::new));
        let words = words.map(|word| word.to_str().unwrap().to_owned());
        words.chain(script.command.iter().cloned()).collect()
    }

    /// A command in the directory of the installed packages, without the developer's environment.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(peers()).env_clear().env("HOME", self.home.path());
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command
    }

    /// Checks that no process with this bench's HOME is left.
    fn is_deserted(&self, who: &str) {
        let home = format!("HOME={}\0", self.home.path().display());
        let left: Vec<String> = fs::read_dir("/proc")
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|process| {
                let environment = fs::read(process.join("environ")).unwrap_or_default();
                environment.windows(home.len()).any(|window| window == home.as_bytes())
            })
            .map(|process| fs::read_to_string(process.join("cmdline")).unwrap_or_default())
            .collect();
        assert!(left.is_empty(), "{who} left behind: {left:?}");
    }
}

impl Client {
    /// The command line of its driver, to be followed by a mode, the calls and the server's command.
    fn driver(self) -> [PathBuf; 2] {
        match self.sdk {
            Sdk::TypeScript1 => ["node".into(), real("client_v1.mjs")],
            Sdk::TypeScript2 => ["node".into(), real("client_v2.mjs")],
            Sdk::Python => [peers().join("venv/bin/python"), real("client.py")],
        }
    }

    /// A session with a server. It ends once all holders of the server's stderr are gone.
    fn meets(self, bench: &Bench, script: &Script, policy: Option<&Value>) -> Session {
        let who = format!("{self:?} before {}", script.server);
        bench.prepare(script);
        let [program, driver] = self.driver();
        let mut command = bench.command(program);
        command.arg(driver).args([self.mode, &script.calls_to_make()]);
        let mut process = Process::spawn(command.args(bench.server(script, policy)));
        let mut seen: Vec<Value> = Vec::new();
        while seen.last().is_none_or(|last| last.get("closing").is_none()) {
            let line = process.line().unwrap_or_else(|why| panic!("{who}: {why}"));
            seen.push(serde_json::from_slice(&line).unwrap());
        }
        let begun = Instant::now();
        let end = process.end();
        let goodbye = begun.elapsed();
        assert_eq!(end.code, Some(0), "{who}: {end:?}");
        bench.is_deserted(&who);
        seen.push(serde_json::from_str(&end.stdout).unwrap());
        Session { seen, goodbye }
    }

    /// The revision that the client and the server of a script share, if there is one.
    fn revision(self, script: &Script) -> Option<&'static str> {
        match (self.mode, script.modern) {
            ("legacy", _) | ("auto", false) => Some(LEGACY),
            (_, true) => Some(MODERN),
            (_, false) => None,
        }
    }

    /// contract W1, W2: with every server, without callgate, behind an allow-all policy, and behind a strict one.
    fn is_served(self) {
        let bench = Bench::new();
        for script in &bench.scripts {
            let who = format!("{self:?} before {}", script.server);
            let revision = self.revision(script);
            let Session { seen: mut said, goodbye } = self.meets(&bench, script, None);
            script.is_played(&said, revision, &who);
            let meets_behind = |policy: &Value, expected: &[Value]| {
                let session = self.meets(&bench, script, Some(policy));
                let who = format!("{who} behind {policy}");
                is_the_same(&session.seen, expected, &who);
                let mut late = session.goodbye.saturating_sub(goodbye);
                // A busy machine delays some of the runs; callgate's own delay appears in all of them.
                for _ in 0..2 {
                    if late < GOODBYE {
                        break;
                    }
                    let direct = self.meets(&bench, script, None).goodbye;
                    let again = self.meets(&bench, script, Some(policy)).goodbye;
                    late = late.min(again.saturating_sub(direct));
                }
                assert!(late < GOODBYE, "{who}: gone {late:?} later than without callgate");
            };
            if revision == Some(LEGACY) {
                said[0]["connected"]["capabilities"]["tools"]["listChanged"] = true.into();
            }
            meets_behind(&json!({ "version": "1", "default": "allow" }), &said);
            if revision.is_none() {
                continue;
            }
            // Of the three SDKs, only Python's shows the type of a result.
            script.deny(&mut said, self.sdk == Sdk::Python && revision == Some(MODERN));
            meets_behind(&script.policy(), &said);
            assert_eq!(names_in(&bench.work()), script.kept, "{who}");
        }
    }
}

impl Script {
    /// The strict policy.
    fn policy(&self) -> Value {
        json!({ "version": "1", "default": "deny", "hide_denied": true, "tools": self.tools })
    }

    /// The calls in the drivers' format.
    fn calls_to_make(&self) -> String {
        let calls = self.calls.iter();
        let calls = calls.map(|call| json!({ "tool": call.tool, "arguments": call.arguments }));
        calls.collect::<Value>().to_string()
    }

    /// Checks that the whole script ran in this revision, or that client and server share none.
    fn is_played(&self, said: &[Value], revision: Option<&str>, who: &str) {
        let names = said.iter().flat_map(|seen| seen.as_object().unwrap().keys());
        let tools = self.calls.iter().map(|call| call.tool.as_str());
        let expected: Vec<&str> = match revision {
            Some(_) => ["connected", "tools"].into_iter().chain(tools).collect(),
            None => vec!["failed"],
        };
        assert!(names.eq(expected.iter().chain(&["closing", "closed"])), "{who}: {said:#?}");
        if let Some(version) = said[0].pointer("/connected/version") {
            assert_eq!(version.as_str(), revision, "{who}");
        }
    }

    /// Converts what a user sees without a policy to what a user sees behind the strict one, for a client that shows a
    /// result's type or not.
    fn deny(&self, said: &mut [Value], shows_type: bool) {
        let denials = self.calls.iter().filter(|call| call.denied.is_some()).count();
        assert!((1..self.calls.len()).contains(&denials), "{}: {denials} denials", self.server);
        self.hide(&mut said[1]["tools"]);
        for (call, seen) in self.calls.iter().zip(&mut said[2..]) {
            if let Some(denied) = &call.denied {
                *seen = json!({ &call.tool: denied.result() });
                if shows_type {
                    seen[&call.tool]["resultType"] = "complete".into();
                }
            }
        }
    }

    /// Removes the tools that no call could reach from the list.
    fn hide(&self, list: &mut Value) {
        let tools = list.as_array_mut().unwrap();
        let all = tools.len();
        tools.retain(|tool| {
            let rule = self.tools.get(tool["name"].as_str().unwrap());
            rule.is_some_and(|rule| rule["action"] != "deny")
        });
        assert!((1..all).contains(&tools.len()), "{}: {tools:?}", self.server);
    }
}

impl Denied {
    /// The result that the caller sees.
    fn result(&self) -> Value {
        json!({
            "content": [{ "type": "text", "text": format!("[POLICY DENIED] {}", self.message) }],
            "isError": true,
            "_meta": { "callgate/decision": { "outcome": "denied", "rule": self.rule } },
        })
    }
}

/// Checks the observations one by one.
fn is_the_same(seen: &[Value], expected: &[Value], who: &str) {
    for (seen, expected) in seen.iter().zip(expected) {
        assert_eq!(seen, expected, "{who}");
    }
    assert_eq!(seen.len(), expected.len(), "{who}: {seen:#?}");
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// A file of `tests/data/peers`.
fn real(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/peers").join(name)
}

/// `@modelcontextprotocol/inspector --cli` with server-everything: its output for the list, an allowed call and a
/// denied call. It swallows the `--` before the server's command (contract C4).
#[test]
fn the_inspector_is_served() {
    let bench = Bench::new();
    let script = &bench.scripts[0];
    let [allowed, denied, ..] = &script.calls[..] else { panic!("two calls at least") };
    let prints = |policy: Option<&Value>| -> [Value; 3] {
        let call = |call: &Call| {
            let mut words = vec!["tools/call".to_owned(), "--tool-name".into(), call.tool.clone()];
            for (name, value) in call.arguments.as_object().unwrap() {
                words.extend(["--tool-arg".into(), format!("{name}={}", value.as_str().unwrap())]);
            }
            words
        };
        [vec!["tools/list".to_owned()], call(allowed), call(denied)].map(|method| {
            let mut command = bench.command("node_modules/.bin/mcp-inspector");
            command.arg("--cli").args(bench.server(script, policy)).arg("--method").args(method);
            let end = Process::spawn(&mut command).end();
            assert_eq!(end.code, Some(0), "{end:?}");
            bench.is_deserted("the inspector");
            serde_json::from_str(&end.stdout).unwrap_or_else(|error| panic!("{error}: {end:?}"))
        })
    };
    let mut said = prints(None);
    let allow = json!({ "version": "1", "default": "allow" });
    is_the_same(&prints(Some(&allow)), &said, "the inspector, allowed all");
    script.hide(&mut said[0]["tools"]);
    said[2] = denied.denied.as_ref().unwrap().result();
    is_the_same(&prints(Some(&script.policy())), &said, "the inspector, gated");
}

/// `@modelcontextprotocol/sdk`.
#[test]
fn typescript_v1_is_served() {
    Client { sdk: Sdk::TypeScript1, mode: "legacy" }.is_served();
}

/// `@modelcontextprotocol/client` with its defaults.
#[test]
fn typescript_v2_is_served() {
    Client { sdk: Sdk::TypeScript2, mode: "legacy" }.is_served();
}

/// `@modelcontextprotocol/client` when it first starts another server, only to find out the revision.
#[test]
fn typescript_v2_with_a_probe_is_served() {
    Client { sdk: Sdk::TypeScript2, mode: "auto" }.is_served();
}

/// `@modelcontextprotocol/client` when it requires the modern revision.
#[test]
fn typescript_v2_modern_is_served() {
    Client { sdk: Sdk::TypeScript2, mode: MODERN }.is_served();
}

/// `mcp` for Python with the handshake.
#[test]
fn python_is_served() {
    Client { sdk: Sdk::Python, mode: "legacy" }.is_served();
}

/// `mcp` for Python with its defaults: it finds out the revision on the session's pipe.
#[test]
fn python_with_a_probe_is_served() {
    Client { sdk: Sdk::Python, mode: "auto" }.is_served();
}
