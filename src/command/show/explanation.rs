//! Explanations as JSON.

use serde_json::{Value, json};

use crate::engine::decide::explain::{ClauseTrace, Explanation, Ruling, TraceEntry};
use crate::engine::policy::condition::Truth;

/// A ruling as JSON.
#[must_use]
pub fn ruling_json(ruling: &Ruling) -> Value {
    let mut json = json!({ "outcome": ruling.outcome.word(), "rule": ruling.rule.as_str() });
    if let (Some(json), Some(message)) = (json.as_object_mut(), &ruling.message) {
        json.insert("message".to_owned(), message.as_str().into());
        if let Some(ms) = ruling.retry_after_ms {
            json.insert("retry_after_ms".to_owned(), ms.into());
        }
    }
    json
}

/// The steps of a decision, as JSON.
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
