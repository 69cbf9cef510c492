//! The changes that callgate makes to a server's answers, row by row, and that it makes no others (contract W1).

use crate::harness::gate::Wrap;
use crate::harness::process::End;
use crate::harness::rows;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    why: String,
    /// If absent, the policy allows everything.
    #[serde(default = "allow_all")]
    policy: Value,
    ask: String,
    answer: String,
    /// The client's line; if absent, the server's answer unchanged.
    relayed: Option<String>,
}

fn allow_all() -> Value {
    json!({ "version": "1", "default": "allow" })
}

/// contract W1, hide (3.1), `hide_denied`, P14: the cuts in `tools/list` and the settings in `initialize`.
#[test]
fn answers_keep_all_bytes_except_cuts_and_settings() {
    let mut complaints = Vec::new();
    for group in rows::read::<Row>("answers.json", 50) {
        for row in &group.rows {
            if let Err(complaint) = judge(row) {
                complaints.push(format!("{}: {}: {complaint}", group.rule, row.why));
            }
        }
    }
    rows::report(&complaints);
}

fn judge(row: &Row) -> Result<(), String> {
    let mut gate = Wrap::new(&row.policy).serve(&json!([{ "recv": 1 }, { "send": row.answer }]));
    gate.send(&row.ask);
    let relayed = gate.try_recv()?;
    let expected = row.relayed.as_ref().unwrap_or(&row.answer);
    if relayed != *expected {
        return Err(format!("\n  expected {expected}\n  got      {relayed}"));
    }
    let end = gate.end();
    if end == End::quiet(0) { Ok(()) } else { Err(format!("it ended with {end:?}")) }
}
