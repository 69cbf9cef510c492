//! An explanation as people read it, and as programs do.

use serde_json::{Value, json};

use crate::engine::decide::ClauseList;
use crate::engine::decide::explain::{
    ClauseLook, ConditionLook, Explanation, LimitLook, Look, Ruling, Sighting,
};
use crate::engine::policy::condition::Truth;
use crate::engine::policy::{ActionKind, Effect};
use crate::engine::text::escape::escape_line;

/// What was looked at, line by line; conditions stand below their entry.
#[must_use]
pub fn lines(explanation: &Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    let mut looks = explanation.trace.iter().peekable();
    while let Some(look) = looks.next() {
        let goes_on = looks.next_if(|next| matches!(next, Look::Shadowed(_))).is_some();
        let verdict = match verdict_of(look, &explanation.ruling) {
            Some(_) if goes_on => ": no more than noted, in shadow mode",
            Some(StepVerdict::Denies) => ": the call is denied",
            Some(StepVerdict::Asks) => ": a human must approve the call",
            None => "",
        };
        match look {
            Look::Hide(true) => lines.push(format!("/hide: names the tool{verdict}")),
            Look::Confusable(true) => {
                lines.push(format!("the tool's name can be mistaken for another one{verdict}"));
            }
            Look::Hide(false) | Look::Confusable(false) | Look::Shadowed(_) => {}
            Look::Entry(pointer) if &**pointer == "/all_tools" => {
                lines.push(format!("{pointer}: applies to every tool"));
            }
            Look::Entry(pointer) => lines.push(format!("{pointer}: matches the tool")),
            Look::Default(effect) => {
                let effect = if *effect == Effect::Allow { "allow" } else { "deny" };
                lines.push(format!("/default: no entry matches, so `{effect}` holds{verdict}"));
            }
            Look::Action(pointer, kind) => {
                lines.push(format!("{pointer}: `{}`{verdict}", action_word(*kind)));
            }
            Look::Clause(clause) => {
                let holds = if clause.holds { "holds" } else { "does not hold" };
                let why = if clause.conditions.is_empty() { ", without conditions" } else { "" };
                lines.push(format!("{}: {holds}{why}{verdict}", clause.pointer));
                lines.extend(clause.conditions.iter().flat_map(condition_lines));
            }
            Look::Limit(limit) => lines.push(format!("{}{verdict}", limit_line(limit))),
        }
    }
    lines.iter().map(|line| escape_line(line).into_owned()).collect()
}

/// What a look can say against a call.
enum StepVerdict {
    Denies,
    Asks,
}

fn verdict_of(look: &Look, ruling: &Ruling) -> Option<StepVerdict> {
    match look {
        Look::Hide(against) | Look::Confusable(against) => against.then_some(StepVerdict::Denies),
        Look::Default(effect) => (*effect == Effect::Deny).then_some(StepVerdict::Denies),
        Look::Action(_, ActionKind::Deny) => Some(StepVerdict::Denies),
        Look::Action(_, ActionKind::RequireApproval) => Some(StepVerdict::Asks),
        Look::Clause(clause) => match clause.list {
            ClauseList::Require => (!clause.holds).then_some(StepVerdict::Denies),
            ClauseList::DenyIf => clause.holds.then_some(StepVerdict::Denies),
            ClauseList::ApprovalIf => clause.holds.then_some(StepVerdict::Asks),
        },
        Look::Limit(limit) => {
            (*limit.pointer == *ruling.rule.as_str()).then_some(StepVerdict::Denies)
        }
        Look::Entry(_) | Look::Shadowed(_) => None,
    }
}

fn action_word(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Deny => "deny",
        ActionKind::RequireApproval => "require_approval",
    }
}

fn limit_line(limit: &LimitLook) -> String {
    let LimitLook { pointer, what, cost, used, .. } = limit;
    match cost {
        Some(cost) => format!("{pointer}: {what}: {used} used, the call costs {cost}"),
        None => format!("{pointer}: {what}: the call's amount cannot be counted"),
    }
}

fn condition_lines(look: &ConditionLook) -> Vec<String> {
    let ConditionLook { condition, sightings, unseen } = look;
    let mut lines: Vec<String> = sightings
        .iter()
        .map(|sighting| format!("  {condition}: {}", sighting_line(sighting)))
        .collect();
    if *unseen > 0 {
        let last = lines.len().saturating_sub(1);
        lines.insert(last, format!("  {condition}: {unseen} more values"));
    }
    lines
}

fn sighting_line(sighting: &Sighting) -> String {
    let Sighting { value, doubtful, why, truth } = sighting;
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
    let mut json = json!({ "outcome": ruling.outcome.as_str(), "rule": ruling.rule.as_str() });
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

fn look_json(look: &Look) -> Value {
    match look {
        Look::Hide(met) => json!({ "look": "hide", "holds": met }),
        Look::Confusable(met) => json!({ "look": "confusable", "holds": met }),
        Look::Entry(pointer) => json!({ "look": "entry", "at": &**pointer }),
        Look::Default(effect) => {
            let effect = if *effect == Effect::Allow { "allow" } else { "deny" };
            json!({ "look": "default", "at": "/default", "effect": effect })
        }
        Look::Action(pointer, kind) => {
            json!({ "look": "action", "at": &**pointer, "action": action_word(*kind) })
        }
        Look::Clause(clause) => clause_json(clause),
        Look::Limit(limit) => json!({
            "look": "limit",
            "at": &*limit.pointer,
            "counter": &*limit.counter.name,
            "used": limit.used.to_string(),
            "cost": limit.cost.map(|cost| cost.to_string()),
            "max": limit.max.to_string(),
        }),
        Look::Shadowed(rule) => json!({ "look": "shadowed", "at": rule.as_str() }),
    }
}

fn clause_json(clause: &ClauseLook) -> Value {
    let list = match clause.list {
        ClauseList::Require => "require",
        ClauseList::DenyIf => "deny_if",
        ClauseList::ApprovalIf => "approval_if",
    };
    let conditions = clause.conditions.iter().map(|look| {
        let sightings = look.sightings.iter().map(|sighting| {
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
            "values": sightings.collect::<Vec<_>>(),
            "more_values": look.unseen,
        })
    });
    json!({
        "look": list,
        "at": &*clause.pointer,
        "holds": clause.holds,
        "conditions": conditions.collect::<Vec<_>>(),
    })
}
