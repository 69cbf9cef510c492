//! Notifications to the client when a reload changes the list of tools (contract W5).

use crate::harness::gate::{Wrap, ok, temp_dir};
use crate::harness::streams::Streams;
use crate::harness::versions::{Session, call_of, reloaded, version};
use crate::harness::ways::{POLICY, replace};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;

/// Longer than a notification is delayed so that others can join it (contract W5: 1 s).
const A_WHILE: Duration = Duration::from_millis(1800);

/// A version with more members; those of `tools` are added to its own.
fn with(number: u32, members: &Value) -> Value {
    let mut policy = version(number);
    for (key, value) in members.as_object().unwrap() {
        match (key.as_str(), value) {
            ("tools", Value::Object(tools)) => {
                policy["tools"].as_object_mut().unwrap().extend(tools.clone());
            }
            _ => policy[key] = value.clone(),
        }
    }
    policy
}

/// A directory with this policy in it.
fn dir(policy: &Value) -> TempDir {
    let dir = temp_dir();
    replace(dir.path(), policy.to_string());
    dir
}

fn wrap(dir: TempDir) -> Wrap {
    let file = dir.path().join(POLICY);
    Wrap::behind(dir, file)
}

/// A session before a reload.
struct Row {
    why: &'static str,
    session: Session,
    /// The next policy: version 3, because every session begins with version 1, so `flips` stays as it is.
    next: Value,
    /// The lines, other than answers, that the client must have received a while after the reload.
    announced: Vec<String>,
}

/// Reloads all policies at once, and checks what each client has received after a while.
fn judge(mut rows: Vec<Row>) {
    for row in &rows {
        row.session.replace(&row.next);
    }
    for row in &mut rows {
        row.session.becomes(3);
    }
    let deadline = Instant::now() + A_WHILE;
    for Row { why, mut session, mut announced, .. } in rows {
        session.listen_until(deadline);
        assert_eq!(session.current(), 3);
        // The notifications to several streams may come in any order.
        session.announced.sort();
        announced.sort();
        assert_eq!(session.announced, announced, "{why}");
        session.end();
    }
}

/// contract W5: which changes are announced to an initialized client, and which are not.
#[test]
fn a_change_of_the_list_is_announced_once() {
    let denied = json!({ "action": "deny" });
    let limited = json!({ "limits": [ { "counter": "c", "window": "day", "max": 9 } ] });
    let picky = json!({ "deny_if": [ { "conditions": [ { "path": "args.x", "op": "exists", "value": true } ] } ] });
    let closed = json!({ "deny_if": [ { "conditions": [] } ] });
    let hides_denied = |rule: &Value| json!({ "hide_denied": true, "tools": { "a": rule } });
    let shows_denied = |rule: &Value| json!({ "tools": { "a": rule } });
    let open = json!({});
    let rows = [
        ("a tool is hidden", json!({}), json!({ "hide": ["a"] }), true),
        ("a tool is shown again", json!({ "hide": ["a"] }), json!({}), true),
        ("a pattern is another", json!({ "hide": ["x*"] }), json!({ "hide": ["y*"] }), true),
        (
            "as much is hidden",
            json!({ "hide": ["a"] }),
            json!({ "hide": ["a"], "description": "new" }),
            false,
        ),
        ("what is denied is hidden", json!({}), json!({ "hide_denied": true }), true),
        ("what is denied is shown", json!({ "hide_denied": true }), json!({}), true),
        ("an open tool is denied, and so hidden", hides_denied(&open), hides_denied(&denied), true),
        ("a denied tool is opened, and so shown", hides_denied(&denied), hides_denied(&open), true),
        ("a tool is closed to every call", hides_denied(&open), hides_denied(&closed), true),
        (
            "a tool is new in a list of some",
            json!({ "hide_denied": true }),
            hides_denied(&open),
            true,
        ),
        ("a tool is limited", hides_denied(&open), hides_denied(&limited), false),
        ("a tool is closed to some calls", hides_denied(&open), hides_denied(&picky), false),
        ("an open tool is denied, and shown", shows_denied(&open), shows_denied(&denied), false),
        ("a tool is limited, and shown", shows_denied(&open), shows_denied(&limited), false),
    ];
    let rows = rows.map(|(why, before, after, is_announced)| {
        let session = Session::of(wrap(dir(&with(1, &before))));
        session.gate.send(INITIALIZED);
        let announced = is_announced.then(|| CHANGED.to_owned()).into_iter().collect();
        Row { why, session, next: with(3, &after), announced }
    });
    judge(rows.into());
}

/// contract W5: nothing is announced to a client before its `initialized` notification; afterwards changes are.
#[test]
fn nothing_is_announced_before_the_client_is_initialized() {
    let mut session = Session::of(wrap(dir(&version(1))));
    session.replace(with(2, &json!({ "hide": ["a"] })));
    session.becomes(2);
    session.listen_until(Instant::now() + A_WHILE);
    session.current();
    assert_eq!(session.announced, [""; 0]);
    session.gate.send(INITIALIZED);
    session.current();
    let announced = vec![CHANGED.to_owned()];
    judge(vec![Row { why: "initialized", session, next: version(3), announced }]);
}

/// contract W5: several reloads within a second cause one notification, after the last of them.
#[test]
fn several_reloads_within_a_second_make_one() {
    let mut session = Session::of(wrap(dir(&version(1))));
    session.gate.send(INITIALIZED);
    // On a busy machine three reloads may take longer; the test then tries three more.
    for first in (2..20).step_by(3) {
        let start = Instant::now();
        for number in first..first + 3 {
            session.replace(with(number, &json!({ "hide": [format!("tool {number}")] })));
            session.becomes(number);
        }
        let are_close = start.elapsed() < Duration::from_millis(900);
        let early = session.announced.len();
        session.listen_until(Instant::now() + A_WHILE);
        session.current();
        let all = std::mem::take(&mut session.announced);
        assert!(all.iter().all(|line| line == CHANGED), "{all:?}");
        assert!(all.len() > early, "the last change is not announced");
        if are_close {
            assert_eq!(all.len(), 1);
            session.end();
            return;
        }
    }
    panic!("no three reloads within a second");
}

/// A request that opens a stream.
fn listen(id: &str, notifications: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"subscriptions/listen","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}},"notifications":{notifications}}}}}"#
    )
}

/// A notification on the stream with this id, with more `params`.
fn on_stream(id: &str, method: &str, params: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/{method}","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}{params}}}}}"#
    )
}

fn acknowledged(id: &str, notifications: &str) -> String {
    on_stream(id, "subscriptions/acknowledged", &format!(r#","notifications":{notifications}"#))
}

const TOOLS: &str = r#"{"toolsListChanged":true}"#;

/// A session whose client opens a stream that the server acknowledges.
fn listening(id: &str, notifications: &str, steps: &[Value]) -> Session {
    let acknowledges = [json!({ "recv": 1 }), json!({ "send": acknowledged(id, notifications) })];
    let steps: Vec<Value> = acknowledges.iter().chain(steps).cloned().collect();
    let session = Session::before(wrap(dir(&version(1))), &steps);
    session.gate.send(listen(id, notifications));
    session
}

/// contract W5: modern clients are notified on their open streams only, with the id as they spelt it.
#[test]
fn open_streams_are_notified_of_a_changed_list() {
    let mut rows = Vec::new();
    for id in ["7", "0", "1.50e1", r#""a""#, r#""\u0061\/é""#, "12345678901234567890123"] {
        let announced = vec![acknowledged(id, TOOLS), on_stream(id, "tools/list_changed", "")];
        rows.push(("an open stream", listening(id, TOOLS, &[]), announced));
    }
    for asked in [
        r#"{"toolsListChanged":false}"#,
        r#"{"promptsListChanged":true}"#,
        r#"{"resourceSubscriptions":["a:b"]}"#,
        "{}",
    ] {
        let announced = vec![acknowledged("7", asked)];
        rows.push(("a stream of something else", listening("7", asked, &[]), announced));
    }
    let two = [json!({ "recv": 1 }), json!({ "send": acknowledged("8", TOOLS) })];
    let session = listening("7", TOOLS, &two);
    session.gate.send(listen("8", TOOLS));
    let announced = vec![
        acknowledged("7", TOOLS),
        acknowledged("8", TOOLS),
        on_stream("7", "tools/list_changed", ""),
        on_stream("8", "tools/list_changed", ""),
    ];
    rows.push(("two streams", session, announced));
    let modern = Session::of(wrap(dir(&version(1))));
    rows.push(("no stream", modern, vec![]));
    judge_hiding(rows);
}

/// contract W5, W4: a closed stream gets no notification, whichever side closed it.
#[test]
fn closed_streams_get_no_notification() {
    let cancelled =
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    let complete =
        r#"{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":7}}"#;
    let unknown =
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"Method not found"}}"#;
    let acknowledged = acknowledged("7", TOOLS);
    let session = listening("7", TOOLS, &[]);
    session.gate.send(cancelled);
    let mut rows = vec![("cancelled by the client", session, vec![acknowledged.clone()])];
    let session = listening("7", TOOLS, &[json!({ "send": cancelled })]);
    rows.push((
        "cancelled by the server",
        session,
        vec![acknowledged.clone(), cancelled.to_owned()],
    ));
    for (why, step) in
        [("completed", json!({ "answer": complete })), ("refused", json!({ "send": unknown }))]
    {
        let mut session = listening("7", TOOLS, &[step]);
        session.answers(7..8);
        rows.push((why, session, vec![acknowledged.clone()]));
    }
    judge_hiding(rows);
}

/// Hides a tool in every session.
fn judge_hiding(rows: Vec<(&'static str, Session, Vec<String>)>) {
    let next = with(3, &json!({ "hide": ["a"] }));
    let row = |(why, mut session, announced): (_, Session, _)| {
        // Everything sent so far has taken effect.
        session.current();
        Row { why, session, next: next.clone(), announced }
    };
    judge(rows.into_iter().map(row).collect());
}

/// contract P14, W5: shadow mode cuts nothing, so it announces nothing.
#[test]
fn shadow_announces_nothing() {
    let shadow = |number, hide: &str| with(number, &json!({ "mode": "shadow", "hide": [hide] }));
    let hide = |number, hide: &str| with(number, &json!({ "hide": [hide] }));
    let rows = [
        (wrap(dir(&shadow(1, "a"))), shadow(2, "b")),
        (wrap(dir(&hide(1, "a"))).option(["--shadow"]), hide(2, "b")),
    ];
    let gates = rows.map(|(wrap, next)| {
        let gate = wrap.serve(&json!(["echo"]));
        gate.send(INITIALIZED);
        assert_eq!(gate.ask(call_of("never", 1)), ok(1));
        replace(gate.dir(), next.to_string());
        assert_eq!(gate.error_line(), reloaded(gate.policy_file().display()));
        gate
    });
    for gate in gates {
        assert_eq!(gate.error_line_within(A_WHILE), None);
        assert_eq!(gate.ask(call_of("always", 2)), ok(2));
        gate.ends_quietly(0);
    }
}

/// contract W5: a list that is answered after a reload is cut by the new policy.
#[test]
fn a_list_in_flight_is_cut_by_the_new_policy() {
    let list =
        |tools: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tools}]}}}}"#);
    let (a, b) = (r#"{"name":"a"}"#, r#"{"name":"b"}"#);
    let steps = [
        json!({ "recv": 2 }),
        json!({ "send": list(&format!("{a},{b}")) }),
        json!({ "answer": "{}" }),
    ];
    let gate = wrap(dir(&with(1, &json!({ "hide": ["a"] })))).serve(&json!(steps));
    gate.send(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    assert!(gate.ask(call_of("never", 2)).contains("[POLICY DENIED]"));
    replace(gate.dir(), with(2, &json!({ "hide": ["b"] })).to_string());
    assert_eq!(gate.error_line(), reloaded(gate.policy_file().display()));
    assert_eq!(gate.ask(call_of("always", 3)), list(a));
    assert_eq!(gate.recv(), r#"{"jsonrpc":"2.0","id":3,"result":{}}"#);
    gate.ends_quietly(0);
}

/// contract W5, W8: notifications do not accumulate for a client that does not read.
#[test]
fn unread_notifications_do_not_accumulate() {
    let (streams, read_on) = Streams::pipes().unread();
    let gate = wrap(dir(&version(1))).on(streams).serve(&json!(["echo"]));
    gate.send(INITIALIZED);
    let calls = 5000;
    let denied: String = (0..calls).map(|id| call_of("never", id) + "\n").collect();
    assert!(!gate.flood(denied), "callgate reads on though its answers are not read");
    for number in 2..5 {
        replace(
            gate.dir(),
            with(number, &json!({ "hide": [format!("tool {number}")] })).to_string(),
        );
        assert_eq!(gate.error_line(), reloaded(gate.policy_file().display()));
        assert_eq!(gate.error_line_within(Duration::from_millis(1200)), None);
    }
    read_on.send(4096).unwrap();
    let lines: Vec<String> = (0..=calls).map(|_| gate.recv()).collect();
    assert_eq!(lines.iter().filter(|line| *line == CHANGED).count(), 1);
    assert_eq!(gate.ask(call_of("always", calls)), ok(calls));
    gate.ends_quietly(0);
}
