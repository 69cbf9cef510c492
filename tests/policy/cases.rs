//! Every case, decided by the engine.

use std::sync::Arc;

use callgate::engine::compile::compile;
use callgate::engine::limits::{MemoryLedger, Now};
use callgate::engine::outcome::Outcome;
use callgate::engine::session::audit_record::{CallRecord, Record};
use callgate::engine::session::{Answer, RecordDetail, Session, SessionOptions, Step};
use callgate::engine::wire::line::Side;
use jiff::Timestamp;
use serde_json::Value;

use super::case::{Call, Case, Expect, Retry, read_all};

/// A session with its ledger.
struct Engine {
    session: Session,
    ledger: MemoryLedger,
    ids: usize,
}

impl Engine {
    fn new(case: &Case) -> Result<Self, String> {
        let policy = compile(case.policy.get().as_bytes()).map_err(|found| format!("{found:?}"))?;
        let (shadow, records) = (case.shadow, RecordDetail::Values);
        let options = SessionOptions { shadow, records, ..SessionOptions::default() };
        let session = Session::new(Arc::new(policy), options);
        Ok(Engine { session, ledger: MemoryLedger::default(), ids: 0 })
    }

    fn call(&mut self, call: &Call, at: Timestamp) -> Step {
        self.ids += 1;
        let wall_ms = u64::try_from(at.as_millisecond()).expect("a time after 1970");
        let now = Now { wall_ms, monotonic_ms: wall_ms };
        let line = call.line(self.ids);
        self.session.handle_with(&mut self.ledger, Side::Client, line.as_bytes(), now)
    }
}

#[test]
fn every_case_is_decided_as_written() {
    let cases = read_all::<Case>("cases");
    assert!(cases.len() >= 200, "only {} cases found", cases.len());
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|(name, case)| {
            run(case).err().map(|error| format!("{name} {}: {error}", case.why))
        })
        .collect();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

pub(super) fn run(case: &Case) -> Result<(), String> {
    let mut engine = Engine::new(case)?;
    let mut at: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    for (nth, call) in case.calls.iter().enumerate() {
        let next = call.at.unwrap_or(at);
        if next < at {
            return Err(format!("call {nth} goes back in time"));
        }
        at = next;
        for time in 1..=call.times {
            let step = engine.call(call, at);
            check(call, step).map_err(|error| format!("call {nth}, time {time}: {error}"))?;
        }
    }
    Ok(())
}

fn check(call: &Call, step: Step) -> Result<(), String> {
    let allowed = step.is_forward();
    let answer = match &step {
        Step::Answer(Answer { bytes, .. }) => bytes.clone(),
        _ => Vec::new(),
    };
    let record = step.into_records().into_iter().next();
    let Some(Record::Call(record)) = record else {
        return Err(format!("not recorded as a call: {record:?}"));
    };
    let CallRecord { verdict, shadowed, .. } = *record;
    let outcome = match (verdict.outcome, verdict.rule.as_str()) {
        (Outcome::Allowed, _) => Expect::Allow,
        (Outcome::ApprovalRequired, _) => Expect::Ask,
        (Outcome::Denied, "(hidden)") => Expect::Hide,
        (Outcome::Denied, _) => Expect::Deny,
    };
    expect("verdict", &call.expect, &outcome)?;
    expect("forwarded", &(call.expect == Expect::Allow), &allowed)?;
    if let Some(rule) = &call.rule {
        expect("rule", rule, &verdict.rule)?;
    }
    let shadowed = shadowed.map(|verdict| verdict.rule);
    if allowed || call.shadow_rule.is_some() {
        expect("shadowed rule", &call.shadow_rule, &shadowed)?;
    }
    if let Some(message) = &call.message {
        expect("message", message, &verdict.message)?;
    }
    if let (Retry::Never | Retry::After(_), false) = (call.retry_after_ms, allowed) {
        let answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        let found = answer["result"]["_meta"]["callgate/decision"]["retry_after_ms"].as_u64();
        expect("retry_after_ms", &call.retry_after_ms, &Retry::from(found))?;
    }
    Ok(())
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, wanted: &T, found: &T) -> Result<(), String> {
    if wanted == found { Ok(()) } else { Err(format!("{what} should be {wanted:?}, is {found:?}")) }
}
