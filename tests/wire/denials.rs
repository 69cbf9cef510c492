//! Answers to denied calls (contract W2), which the server never sees.

use crate::harness::gate::{Gate, Wrap};
use regex::Regex;
use serde_json::json;

/// A tool for each kind of denial, and one that is allowed.
fn gate() -> Gate {
    let policy = json!({
        "version": "1",
        "default": "deny",
        "hide": ["secret"],
        "tools": {
            "t": {},
            "closed": { "action": "deny" },
            "reasoned": { "action": "deny", "reason": "Not \"for\" agents." },
            "picky": { "require": [ {
                "conditions": [ { "path": "args.reason", "op": "exists", "value": true } ],
                "on_deny": "State a reason."
            } ] },
            "asked": { "action": "require_approval", "reason": "A human decides." },
            "once": { "limits": [ { "counter": "once", "window": "session", "max": 1 } ] },
            "often": { "limits": [ { "counter": "often", "window": "minute", "max": 1 } ] },
            "dear": { "limits": [ {
                "counter": "spend", "window": "day", "max": 1, "increment": 2, "on_deny": "Too dear."
            } ] },
            "spent": { "limits": [ {
                "counter": "spent", "window": "hour", "max": 1, "on_deny": "The budget is spent."
            } ] }
        }
    });
    Wrap::new(policy).serve(&json!(["echo"]))
}

fn legacy(id: &str, tool: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}"}}}}"#)
}

fn modern(id: &str, tool: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}},"name":"{tool}"}}}}"#
    )
}

fn task(id: &str, tool: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","task":{{"ttl":60000}}}}}}"#
    )
}

/// The tool result that contract W2 prescribes, with this text and with `decision` as raw JSON members.
fn result(id: &str, first: &str, text: &str, decision: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{{first}"content":[{{"type":"text","text":"{text}"}}],"isError":true,"_meta":{{"callgate/decision":{{{decision}}}}}}}}}"#
    )
}

/// The JSON-RPC error that denies a call with `params.task`.
fn error(id: &str, code: i32, message: &str, decision: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}","data":{{"callgate/decision":{{{decision}}}}}}}}}"#
    )
}

/// Each kind of denial: the tool, the text and the decision.
const DENIALS: [(&str, &str, &str); 6] = [
    (
        "secret",
        "[POLICY DENIED] Tool `secret` is hidden by policy.",
        r#""outcome":"denied","rule":"(hidden)""#,
    ),
    (
        "other",
        "[POLICY DENIED] Tool `other` is not permitted by policy.",
        r#""outcome":"denied","rule":"(default deny)""#,
    ),
    (
        "closed",
        "[POLICY DENIED] Tool `closed` is denied by policy.",
        r#""outcome":"denied","rule":"/tools/closed/action""#,
    ),
    (
        "reasoned",
        r#"[POLICY DENIED] Not \"for\" agents."#,
        r#""outcome":"denied","rule":"/tools/reasoned/action""#,
    ),
    (
        "picky",
        "[POLICY DENIED] State a reason.",
        r#""outcome":"denied","rule":"/tools/picky/require/0""#,
    ),
    (
        "asked",
        "[APPROVAL REQUIRED] A human decides.",
        r#""outcome":"approval_required","rule":"/tools/asked/action""#,
    ),
];

/// contract W2: a legacy call is denied by a tool result.
#[test]
fn a_legacy_call_is_denied_by_a_tool_result() {
    let gate = gate();
    for (tool, text, decision) in DENIALS {
        assert_eq!(gate.ask(legacy("1", tool)), result("1", "", text, decision));
    }
    gate.serves(2);
    assert_eq!(gate.received().len(), 1, "only the allowed call reached the server");
    gate.ends_quietly(0);
}

/// contract W2: a modern denial is a complete result.
#[test]
fn a_modern_call_is_denied_by_a_complete_result() {
    let gate = gate();
    for (tool, text, decision) in DENIALS {
        let complete = r#""resultType":"complete","#;
        assert_eq!(gate.ask(modern("1", tool)), result("1", complete, text, decision));
    }
    gate.serves(2);
    assert_eq!(gate.received().len(), 1, "only the allowed call reached the server");
    gate.ends_quietly(0);
}

/// contract W2: a call whose client expects a task is denied by an error.
#[test]
fn a_call_that_asks_for_a_task_is_denied_by_an_error() {
    let gate = gate();
    for (tool, text, decision) in DENIALS {
        assert_eq!(gate.ask(task("1", tool)), error("1", 403, text, decision));
    }
    assert!(gate.ask(task("2", "once")).contains(r#""text":"ok""#));
    let limited = gate.ask(task("3", "once"));
    assert!(limited.starts_with(r#"{"jsonrpc":"2.0","id":3,"error":{"code":429,"message":"[POLICY DENIED] Limit reached: 1 per session (once)."#), "{limited}");
    assert_eq!(gate.received().len(), 1, "only the allowed call reached the server");
    gate.ends_quietly(0);
}

/// contract W2: the id is the client's, byte for byte.
#[test]
fn a_denial_echoes_the_id_byte_for_byte() {
    let gate = gate();
    let (tool, text, decision) = DENIALS[2];
    for id in [
        "0",
        "-0",
        "1.0",
        "1e2",
        "1E+2",
        "12345678901234567890123",
        r#""""#,
        r#""1""#,
        r#""\u0061\/é""#,
    ] {
        assert_eq!(gate.ask(legacy(id, tool)), result(id, "", text, decision));
    }
    gate.ends_quietly(0);
}

/// contract W2: a limit says when to retry, in the message and in machine-readable form.
#[test]
fn a_limit_says_when_to_try_again() {
    let gate = gate();
    for (tool, message, rule) in [
        ("often", r"Limit reached: 1 per minute \(often\)\.", "/tools/often/limits/0"),
        ("spent", r"The budget is spent\.", "/tools/spent/limits/0"),
    ] {
        assert!(gate.ask(legacy("1", tool)).contains(r#""text":"ok""#));
        let denial = gate.ask(legacy("2", tool));
        let shape = result(
            "2",
            "",
            &format!(r"\[POLICY DENIED\] {message} Try again in ([^.]*)\."),
            &format!(r#""outcome":"denied","rule":"{rule}","retry_after_ms":(\d+)"#),
        );
        let shape = shape
            .replace('{', r"\{")
            .replace('}', r"\}")
            .replace(":[", r":\[")
            .replace("}]", r"}\]");
        let found = Regex::new(&format!("^{shape}$")).unwrap().captures(&denial);
        let found = found.unwrap_or_else(|| panic!("{denial}"));
        let ms: u64 = found[2].parse().unwrap();
        assert!((1..=3_661_000).contains(&ms), "{denial}");
    }
    gate.ends_quietly(0);
}

/// contract W2: a denial that waiting does not change names no time.
#[test]
fn a_limit_that_waiting_does_not_help_names_no_time() {
    let gate = gate();
    assert!(gate.ask(legacy("1", "once")).contains(r#""text":"ok""#));
    for tool in ["once", "dear"] {
        let denial = gate.ask(legacy("2", tool));
        assert!(denial.contains(&format!(r#""rule":"/tools/{tool}/limits/0"}}}}"#)), "{denial}");
        assert!(denial.contains("[POLICY DENIED]") && !denial.contains("Try again in"), "{denial}");
    }
    gate.ends_quietly(0);
}

/// contract W2: names over 128 bytes are shortened in messages.
#[test]
fn a_long_name_is_shortened_in_the_message() {
    let gate = gate();
    let name = "n".repeat(128);
    let denial = gate.ask(legacy("1", &name));
    assert!(denial.contains(&format!("Tool `{name}` is not permitted")), "{denial}");
    let denial = gate.ask(legacy("1", &(name.clone() + "nn")));
    assert!(denial.contains(&name[..100]) && !denial.contains(&(name + "n")), "{denial}");
    gate.ends_quietly(0);
}

/// contract P14: shadow mode decides but blocks nothing, whether it is set in the policy or on the command line.
#[test]
fn shadow_blocks_nothing() {
    let deny = r#"{"version":"1","default":"deny"}"#;
    let shadow = r#"{"version":"1","default":"deny","mode":"shadow"}"#;
    for wrap in [Wrap::new(deny).option(["--shadow"]), Wrap::new(shadow)] {
        let gate = wrap.serve(&json!(["echo"]));
        gate.serves(1);
        let refused = gate.ask("[]");
        assert!(refused.contains("-32600"), "W3 stays: {refused}");
        gate.ends_quietly(0);
    }
}

/// contract P14: shadow mode cuts nothing out of lists.
#[test]
fn shadow_cuts_nothing() {
    let policy = r#"{"version":"1","default":"deny","hide":["a"],"hide_denied":true}"#;
    let list = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"},{"name":"b"},null]}}"#;
    let gate =
        Wrap::new(policy).option(["--shadow"]).serve(&json!([{ "recv": 1 }, { "send": list }]));
    assert_eq!(gate.ask(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#), list);
    gate.ends_quietly(0);
}
