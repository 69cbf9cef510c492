//! `callgate wrap --state redis://…`, as a client sees it.

use rustix::process::Signal;
use serde_json::json;

use super::server::Server;
use crate::harness::gate::{Gate, Wrap, call, ok};
use crate::harness::process::End;

const POLICY: &str = r#"{"version":"1","default":"allow","tools":{
    "t":{"limits":[{"counter":"calls","window":"day","max":30}]}}}"#;
const FREE: &str =
    r#"{"jsonrpc":"2.0","id":"free","method":"tools/call","params":{"name":"free"}}"#;

fn wrap(url: &str) -> Gate {
    Wrap::new(POLICY)
        .option(["--state", url, "--server", "files", "--no-audit"])
        .serve(&json!(["echo"]))
}

fn is_let_through(gate: &Gate, id: u32) -> bool {
    let answer = gate.ask(call(id));
    assert!(answer == ok(id) || answer.contains("Limit reached: 30 per day (calls)"), "{answer}");
    answer == ok(id)
}

/// contract P13
#[test]
fn wrappers_share_a_limit() {
    let server = Server::start();
    let gates: Vec<Gate> = (0..4).map(|_| wrap(&server.url())).collect();
    for id in 0..15 {
        gates.iter().for_each(|gate| gate.send(call(id)));
    }
    let answers = gates.iter().map(|gate| (0..15).map(|_| gate.recv()).collect::<Vec<_>>());
    let through = answers.flatten().filter(|answer| answer.contains("\"ok\"")).count();
    assert_eq!(through, 30);
    gates.into_iter().for_each(|gate| gate.ends_quietly(0));
}

/// contract S2
#[test]
fn a_lost_server_denies_limited_calls_until_it_is_back() {
    let options = |_: &std::path::Path| {
        ["--requirepass", "hush", "--appendonly", "yes"].map(str::to_owned).to_vec()
    };
    let mut server = Server::with(options);
    let mut gate = wrap(&format!("redis://:hush@127.0.0.1:{}/2", server.port()));
    assert!(is_let_through(&gate, 1));
    server.kill();
    let denied = gate.ask(call(2));
    assert!(denied.contains("(state unavailable)") && !denied.contains("hush"), "{denied}");
    let place = format!("redis://127.0.0.1:{}/2", server.port());
    let told = format!("callgate: failed to use state `{place}`: Connection refused");
    assert_eq!(gate.error_line(), told);
    assert!(gate.ask(FREE).contains("\"ok\""));
    server.restart();
    for id in 3..=31 {
        assert!(is_let_through(&gate, id), "{id}");
    }
    assert!(!is_let_through(&gate, 32));
    assert_eq!(gate.end(), End::quiet(0));
}

/// contract S2: the server's direction continues, and the session can end.
#[test]
fn a_stopped_server_delays_only_the_calls_that_need_it() {
    let server = Server::start();
    let gate = wrap(&server.url());
    assert!(is_let_through(&gate, 1));
    server.signal(Signal::STOP);
    assert!(gate.ask(call(2)).contains("(state unavailable)"));
    assert!(gate.error_line().ends_with("no answer within a second"));
    assert!(gate.ask(FREE).contains("\"ok\""));
    server.signal(Signal::CONT);
    assert!(is_let_through(&gate, 3));
    gate.ends_quietly(0);
}

#[test]
fn a_bad_url_is_fatal_and_its_secret_is_not_shown() {
    let mut gate = wrap("redis://:hush@host/hush");
    let End { code, stdout, stderr } = gate.wait();
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    let expected = "error: state is not the URL of a Redis server: Invalid database number\n";
    assert_eq!(stderr, expected);
}
