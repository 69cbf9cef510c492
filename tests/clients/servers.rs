//! Real servers for Node.js and Python behind callgate: permitted answers are the same as without it.

use crate::harness::gate::{Gate, Wrap, temp_dir};
use crate::harness::process::Process;
use crate::wire::sessions::as_relayed;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

/// The directory of the installed servers and clients; the first test that needs it installs them.
pub(crate) fn peers() -> &'static Path {
    static PEERS: OnceLock<PathBuf> = OnceLock::new();
    PEERS.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = root.join("target/real-peers");
        fs::create_dir_all(&dir).unwrap();
        // Another test run may be installing: the kernel releases the lock when its holder ends.
        let lock = File::create(dir.join("lock")).unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let mut install = Command::new(root.join("tests/data/peers/install"));
        let end = Process::spawn(install.arg(&dir)).with_patience(20).end();
        assert_eq!(
            end.code,
            Some(0),
            "the real servers and clients could not be installed: {}",
            end.stderr
        );
        dir
    })
}

/// A real server, with a call that the strict policy allows and one that it denies.
struct Server {
    command: Vec<OsString>,
    allowed: (&'static str, Value),
    denied: (&'static str, Value),
}

fn everything() -> Server {
    Server {
        command: vec![peers().join("node_modules/.bin/mcp-server-everything").into()],
        allowed: ("echo", json!({ "message": "hello, gate" })),
        denied: ("get-sum", json!({ "a": 1, "b": 2 })),
    }
}

fn filesystem(dir: &Path) -> Server {
    let binary = peers().join("node_modules/.bin/mcp-server-filesystem");
    Server {
        command: vec![binary.into(), dir.into()],
        allowed: ("read_text_file", json!({ "path": dir.join("note") })),
        denied: ("write_file", json!({ "path": dir.join("written"), "content": "x" })),
    }
}

fn time() -> Server {
    let words = ["--local-timezone", "UTC"].map(OsString::from);
    let binary = peers().join("venv/bin/mcp-server-time");
    let conversion =
        json!({ "source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo" });
    Server {
        command: [vec![binary.into()], words.to_vec()].concat(),
        allowed: ("convert_time", conversion),
        denied: ("get_current_time", json!({ "timezone": "No/Where" })),
    }
}

fn call(id: u32, (tool, arguments): &(&str, Value)) -> String {
    let params = json!({ "name": tool, "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string()
}

/// The answers of a session: to `initialize`, to `tools/list`, and to the two calls.
fn session(server: &Server, send: impl Fn(String), recv: impl Fn() -> String) -> [String; 4] {
    let answer_to = |id: u32| {
        loop {
            let line = recv();
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == id && message.get("method").is_none() {
                return line;
            }
        }
    };
    let ask = |id, line: String| {
        send(line);
        answer_to(id)
    };
    let initialized = ask(0, INITIALIZE.to_owned());
    send(INITIALIZED.to_owned());
    let list = ask(1, LIST.to_owned());
    [initialized, list, ask(2, call(2, &server.allowed)), ask(3, call(3, &server.denied))]
}

/// The session without callgate.
fn direct(server: &Server) -> [String; 4] {
    let mut process = Process::spawn(Command::new(&server.command[0]).args(&server.command[1..]));
    let answers = session(
        server,
        |line| process.write((line + "\n").into()),
        || String::from_utf8(process.line().unwrap()).unwrap(),
    );
    assert_eq!(process.end().code, Some(0));
    answers
}

/// The session behind a policy.
fn wrapped(server: &Server, wrap: Wrap) -> [String; 4] {
    let mut gate: Gate = wrap.run(&server.command);
    let answers = session(server, |line| gate.send(line), || gate.recv());
    let end = gate.end();
    assert_eq!((end.code, end.stdout.contains("\"id\"")), (Some(0), false), "{end:?}");
    answers
}

/// contract W1: behind an allow-all policy a real server's answers are `said`, those without callgate.
fn is_transparent(server: &Server, said: &[String; 4]) {
    let mut expected = said.clone();
    expected[0] = as_relayed(&expected[0]);
    assert_eq!(wrapped(server, Wrap::allow_all()), expected);
}

/// contract W1, W2: behind a policy with one tool, only that tool is listed and served.
fn is_gated(server: &Server, said: &[String; 4]) {
    let (allowed, denied) = (server.allowed.0, server.denied.0);
    let policy = json!({
        "version": "1", "default": "deny", "hide_denied": true, "tools": { allowed: {} }
    });
    let [_, list, answer, denial] = wrapped(server, Wrap::new(policy));
    let list: Value = serde_json::from_str(&list).unwrap();
    let tools = list["result"]["tools"].as_array().unwrap();
    assert!(tools.iter().map(|tool| &tool["name"]).eq([allowed]), "{tools:?}");
    assert_eq!(answer, said[2]);
    let why = format!("[POLICY DENIED] Tool `{denied}` is not permitted by policy.");
    assert!(denial.contains(&why), "{denial}");
}

/// `@modelcontextprotocol/server-everything` on Node.js.
#[test]
fn server_everything_is_wrapped() {
    let server = everything();
    let said = direct(&server);
    is_transparent(&server, &said);
    is_gated(&server, &said);
}

/// `@modelcontextprotocol/server-filesystem` on Node.js.
#[test]
fn server_filesystem_is_wrapped() {
    let dir = temp_dir();
    fs::write(dir.path().join("note"), "read me").unwrap();
    let written = dir.path().join("written");
    let server = filesystem(dir.path());
    let said = direct(&server);
    fs::remove_file(&written).unwrap();
    is_transparent(&server, &said);
    fs::remove_file(&written).unwrap();
    is_gated(&server, &said);
    assert!(!written.exists(), "what is denied is not done");
}

/// `mcp-server-time` for Python.
#[test]
fn mcp_server_time_is_wrapped() {
    let server = time();
    let said = direct(&server);
    is_transparent(&server, &said);
    is_gated(&server, &said);
}

/// contract W1, W2: each request has its own era; no handshake is needed.
#[test]
fn a_modern_call_needs_no_handshake() {
    let server = time();
    let modern = |id: u32, (tool, arguments): &(&str, Value)| {
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": tool, "arguments": arguments, "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {}
            }
        } })
    };
    let mut process = Process::spawn(Command::new(&server.command[0]).args(&server.command[1..]));
    process.write(format!("{}\n", modern(1, &server.allowed)).into());
    let said = String::from_utf8(process.line().unwrap()).unwrap();
    assert!(said.contains(r#""resultType":"complete""#), "{said}");
    assert_eq!(process.end().code, Some(0));

    let policy = json!({ "version": "1", "default": "deny", "tools": { server.allowed.0: {} } });
    let mut gate = Wrap::new(policy).run(&server.command);
    assert_eq!(gate.ask(modern(1, &server.allowed)), said);
    let denial = gate.ask(modern(2, &server.denied));
    let complete = r#"{"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","content":"#;
    assert!(denial.starts_with(complete), "{denial}");
    assert_eq!(gate.end().code, Some(0));
}
