//! Explanations as lines of text.

use super::explain::{ConditionTrace, Explanation, LimitTrace, Ruling, TraceEntry, TriedValue};
use crate::engine::policy::condition::Truth;
use crate::engine::policy::{ActionKind, ClauseList, Effect};
use crate::engine::text::escape::escape_line;

/// What the judge looked at, line by line; conditions stand below their entry. The lines are escaped.
#[must_use]
pub fn lines(explanation: &Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    let mut looks = explanation.trace.iter().peekable();
    while let Some(look) = looks.next() {
        let goes_on = looks.next_if(|next| matches!(next, TraceEntry::Shadowed(_))).is_some();
        let verdict = match verdict_of(look, &explanation.ruling) {
            Some(_) if goes_on => ": no more than noted, in shadow mode",
            Some(Against::Denies) => ": the call is denied",
            Some(Against::Asks) => ": a human must approve the call",
            None => "",
        };
        match look {
            TraceEntry::Hide(true) => lines.push(format!("/hide: names the tool{verdict}")),
            TraceEntry::Confusable(true) => {
                lines.push(format!("the tool's name can be mistaken for another one{verdict}"));
            }
            TraceEntry::Hide(false) | TraceEntry::Confusable(false) | TraceEntry::Shadowed(_) => {}
            TraceEntry::Entry(pointer) if &**pointer == "/all_tools" => {
                lines.push(format!("{pointer}: applies to every tool"));
            }
            TraceEntry::Entry(pointer) => lines.push(format!("{pointer}: matches the tool")),
            TraceEntry::Default(effect) => {
                let effect = effect.word();
                lines.push(format!("/default: no entry matches, so `{effect}` holds{verdict}"));
            }
            TraceEntry::Action(pointer, kind) => {
                lines.push(format!("{pointer}: `{}`{verdict}", kind.word()));
            }
            TraceEntry::Clause(clause) => {
                let holds = if clause.holds { "holds" } else { "does not hold" };
                let why = if clause.conditions.is_empty() { ", without conditions" } else { "" };
                lines.push(format!("{}: {holds}{why}{verdict}", clause.pointer));
                lines.extend(clause.conditions.iter().flat_map(condition_lines));
            }
            TraceEntry::Limit(limit) => lines.push(format!("{}{verdict}", limit_line(limit))),
        }
    }
    lines.iter().map(|line| escape_line(line).into_owned()).collect()
}

/// What an entry of the trace does to the call.
enum Against {
    Denies,
    Asks,
}

fn verdict_of(look: &TraceEntry, ruling: &Ruling) -> Option<Against> {
    match look {
        TraceEntry::Hide(against) | TraceEntry::Confusable(against) => {
            against.then_some(Against::Denies)
        }
        TraceEntry::Default(effect) => (*effect == Effect::Deny).then_some(Against::Denies),
        TraceEntry::Action(_, ActionKind::Deny) => Some(Against::Denies),
        TraceEntry::Action(_, ActionKind::RequireApproval) => Some(Against::Asks),
        TraceEntry::Clause(clause) => match clause.list {
            ClauseList::Require => (!clause.holds).then_some(Against::Denies),
            ClauseList::DenyIf => clause.holds.then_some(Against::Denies),
            ClauseList::ApprovalIf => clause.holds.then_some(Against::Asks),
        },
        TraceEntry::Limit(limit) => {
            (*limit.pointer == *ruling.rule.as_str()).then_some(Against::Denies)
        }
        TraceEntry::Entry(_) | TraceEntry::Shadowed(_) => None,
    }
}

fn limit_line(limit: &LimitTrace) -> String {
    let LimitTrace { pointer, what, cost, used, .. } = limit;
    match cost {
        Some(cost) => format!("{pointer}: {what}: {used} used, the call costs {cost}"),
        None => format!("{pointer}: {what}: the call's amount cannot be counted"),
    }
}

fn condition_lines(look: &ConditionTrace) -> Vec<String> {
    let ConditionTrace { condition, values, unseen } = look;
    let mut lines: Vec<String> =
        values.iter().map(|sighting| format!("  {condition}: {}", value_line(sighting))).collect();
    if *unseen > 0 {
        let last = lines.len().saturating_sub(1);
        lines.insert(last, format!("  {condition}: {unseen} more values"));
    }
    lines
}

fn value_line(sighting: &TriedValue) -> String {
    let TriedValue { value, doubtful, why, truth } = sighting;
    let found = match value {
        Some(value) => format!("found `{value}`, "),
        None if *doubtful => String::new(),
        None => "found nothing, ".to_owned(),
    };
    let truth = match truth {
        Truth::Holds => "holds",
        Truth::Fails => "does not hold",
        Truth::Absent | Truth::Unknown(_) => "cannot be decided, which goes against the call",
    };
    let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    [&found, truth, &why].concat()
}
