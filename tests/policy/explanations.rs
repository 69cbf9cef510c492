//! An explanation of a call agrees with the session's decision (contract 3.5): both use one engine.

use std::sync::Arc;

use callgate::engine::compile::compile;
use callgate::engine::decide::explain::{TraceEntry, explain};
use callgate::engine::json::arguments::Arguments;
use callgate::engine::limits::{MemoryLedger, Now};
use callgate::engine::outcome::Outcome;
use callgate::engine::policy::Mode;
use callgate::engine::session::audit_record::Record;
use callgate::engine::session::{RecordDetail, Session, SessionOptions};
use callgate::engine::wire::line::Side;
use callgate::engine::wire::mcp::ToolCall;
use jiff::Timestamp;

use super::case::{Call, Case, read_all};

#[test]
fn an_explanation_agrees_with_the_session() {
    let cases = read_all::<Case>("cases");
    let mut count = 0;
    for (name, case) in &cases {
        count += compare(case).unwrap_or_else(|error| panic!("{name} {}: {error}", case.why));
    }
    assert!(count >= 500, "only {count} calls");
}

/// Plays a case twice, and returns how many calls were compared.
fn compare(case: &Case) -> Result<usize, String> {
    let policy = Arc::new(compile(case.policy.get().as_bytes()).map_err(|e| format!("{e:?}"))?);
    let (shadow, records) = (case.shadow, RecordDetail::Names);
    let options = SessionOptions { shadow, records, ..SessionOptions::default() };
    let mut session = Session::new(Arc::clone(&policy), options);
    let (mut of_session, mut of_explanation) = (MemoryLedger::default(), MemoryLedger::default());
    let mut at: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let mut ids = 0;
    for call in &case.calls {
        at = call.at.unwrap_or(at);
        let ms = u64::try_from(at.as_millisecond()).expect("a time after 1970");
        let now = Now { wall_ms: ms, monotonic_ms: ms };
        for _ in 0..call.times {
            ids += 1;
            let done = play(&mut session, &mut of_session, &call.line(ids), now)?;
            let tool = tool(call);
            let text = call.arguments.as_ref().map_or("{}", |text| text.get());
            let arguments = Arguments::parse(text).map_err(|error| format!("{error:?}"))?;
            let call = ToolCall::of(&tool, arguments);
            let forced = Mode::forced_by(case.shadow);
            let explanation = explain(&policy, &call, forced, &mut of_explanation, now);
            let ruling = &explanation.ruling;
            let said = (ruling.outcome, ruling.rule.as_str());
            if said != (done.0, done.1.as_str()) {
                return Err(format!("explained as {said:?}, done as {done:?}"));
            }
            let traced = explanation.trace.iter().any(|look| says(look, ruling.rule.as_str()));
            if !ruling.outcome.is_allowed() && !traced {
                return Err(format!("{} is not in {:?}", ruling.rule.as_str(), explanation.trace));
            }
        }
    }
    Ok(ids)
}

fn tool(call: &Call) -> String {
    serde_json::from_str(call.tool.get()).expect("a name")
}

/// The session's decision: the outcome and its rule.
fn play(
    session: &mut Session,
    ledger: &mut MemoryLedger,
    line: &str,
    now: Now,
) -> Result<(Outcome, String), String> {
    let step = session.handle_with(ledger, Side::Client, line.as_bytes(), now);
    match step.into_records().into_iter().next() {
        Some(Record::Call(call)) => Ok((call.verdict.outcome, call.verdict.rule)),
        other => Err(format!("{line}: {other:?}")),
    }
}

/// True if the explanation shows this rule being checked.
fn says(look: &TraceEntry, rule: &str) -> bool {
    match look {
        TraceEntry::Hide(met) => *met && rule == "(hidden)",
        TraceEntry::Confusable(met) => *met && rule == "(confusable name)",
        TraceEntry::Default(_) => rule == "(default deny)",
        TraceEntry::Entry(_) | TraceEntry::Shadowed(_) => false,
        TraceEntry::Action(pointer, _) => **pointer == *rule,
        TraceEntry::Clause(clause) => *clause.pointer == *rule,
        TraceEntry::Limit(limit) => *limit.pointer == *rule,
    }
}
