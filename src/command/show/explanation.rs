//! An explanation as people read it, and as programs do.

use serde_json::{Value, json};

use crate::engine::decide::explain::{
    ClauseTrace, ConditionTrace, Explanation, LimitTrace, Ruling, TraceEntry, TriedValue,
};
use crate::engine::policy::condition::Truth;
use crate::engine::policy::{ActionKind, ClauseList, Effect};
use crate::engine::text::escape::escape_line;

/// What was looked at, line by line; conditions stand below their entry.
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

/// What a look can say against a call.
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

/// A ruling for programs.
#[must_use]
pub fn ruling_json(ruling: &Ruling) -> Value {
    let mut json = json!({ "outcome": ruling.word(), "rule": ruling.rule.as_str() });
    if let (Some(json), Some(message)) = (json.as_object_mut(), &ruling.message) {
        json.insert("message".to_owned(), message.as_str().into());
        if let Some(ms) = ruling.retry_after_ms {
            json.insert("retry_after_ms".to_owned(), ms.into());
        }
    }
    json
}

/// What was looked at, for programs.
#[must_use]
pub fn json(explanation: &Explanation) -> Vec<Value> {
    explanation.trace.iter().map(look_json).collect()
}

fn look_json(look: &TraceEntry) -> Value {
    match look {
        TraceEntry::Hide(met) => json!({ "look": "hide", "holds": met }),
        TraceEntry::Confusable(met) => json!({ "look": "confusable", "holds": met }),
        TraceEntry::Entry(pointer) => json!({ "look": "entry", "at": &**pointer }),
        TraceEntry::Default(effect) => {
            json!({ "look": "default", "at": "/default", "effect": effect.word() })
        }
        TraceEntry::Action(pointer, kind) => {
            json!({ "look": "action", "at": &**pointer, "action": kind.word() })
        }
        TraceEntry::Clause(clause) => clause_json(clause),
        TraceEntry::Limit(limit) => json!({
            "look": "limit",
            "at": &*limit.pointer,
            "counter": &*limit.counter.name,
            "used": limit.used.to_string(),
            "cost": limit.cost.map(|cost| cost.to_string()),
            "max": limit.max.to_string(),
        }),
        TraceEntry::Shadowed(rule) => json!({ "look": "shadowed", "at": rule.as_str() }),
    }
}

fn clause_json(clause: &ClauseTrace) -> Value {
    let conditions = clause.conditions.iter().map(|look| {
        let values = look.values.iter().map(|sighting| {
            let came_to = match sighting.truth {
                Truth::Holds => "holds",
                Truth::Fails => "fails",
                Truth::Absent | Truth::Unknown(_) => "unknown",
            };
            let mut json =
                json!({ "found": sighting.value, "doubtful": sighting.doubtful, "came_to": came_to });
            if let (Some(json), Some(why)) = (json.as_object_mut(), &sighting.why) {
                json.insert("why".to_owned(), why.as_str().into());
            }
            json
        });
        json!({
            "condition": look.condition,
            "values": values.collect::<Vec<_>>(),
            "more_values": look.unseen,
        })
    });
    json!({
        "look": clause.list.word(),
        "at": &*clause.pointer,
        "holds": clause.holds,
        "conditions": conditions.collect::<Vec<_>>(),
    })
}
