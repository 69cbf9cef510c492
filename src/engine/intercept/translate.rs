//! Translates a policy of Intercept to one that decides alike, or reports what has no exact translation.
//!
//! All rules of a tool must let a call pass, those of `*` too. So the conditions of each become an entry of `require`,
//! and what it counts a limit; nothing depends on their order but which message an agent sees.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use super::document::{
    Cost, Intercept, InterceptAction, InterceptCondition, InterceptRule, InterceptState, Reading,
    Tool,
};
use super::draft::{
    DraftClause, DraftCondition, DraftLimit, DraftPolicy, DraftRule, DraftValue, Name,
};
use super::problems::{YamlPlace, YamlProblems};
use crate::engine::compile::fields::name_for_problem;
use crate::engine::limits::Scope;
use crate::engine::policy::condition::Operator;
use crate::engine::policy::{ActionKind, Effect};

/// The most entries that one rule that asks may become.
const MAX_ENTRIES: usize = 16;

/// A difference between callgate and Intercept: callgate is stricter, except for [`Note::Servers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// contract P8
    Types,
    /// contract P12
    FailedCalls,
    /// contract P10
    Amounts,
    /// contract P11
    Servers,
    /// contract P4
    Names,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Note::Types => "values compare by their type, and what cannot be compared goes against the call: to Intercept `5` and `\"5\"` are equal",
            Note::FailedCalls => "a call that the server answers with an error stays counted: Intercept gives its quota back",
            Note::Amounts => "amounts count with what stands behind the point, which Intercept drops, and a negative one denies the call",
            Note::Servers => "each server has counters of its own: Intercept keeps those of all servers together, unless `--state-prefix` parts them",
            Note::Names => "a tool whose name can be mistaken for one of this policy's is denied",
        })
    }
}

/// Translates a policy. The result is valid only if no problem was added.
pub(crate) fn translate(
    policy: Intercept,
    problems: &mut YamlProblems,
) -> (DraftPolicy, BTreeSet<Note>) {
    let is_whole = problems.is_empty();
    let mut translator = Translator {
        counters: counters(&policy.tools, problems),
        is_whole,
        notes: BTreeSet::new(),
        problems,
    };
    let Intercept { description, default, hide, tools } = policy;
    if default == Effect::Allow && !(hide.is_empty() && tools.iter().all(Tool::is_all)) {
        translator.notes.insert(Note::Names);
    }
    let mut document = DraftPolicy {
        version: "1",
        description,
        default: default.word(),
        hide,
        all_tools: None,
        tools: Vec::new(),
    };
    for tool in tools {
        let rule = translator.tool(&tool);
        if tool.is_all() {
            document.all_tools = Some(rule).filter(|_| !tool.rules.is_empty());
        } else {
            document.tools.push((tool.name, rule));
        }
    }
    (document, translator.notes)
}

/// A counter that a rule counts with.
struct StateCounter {
    /// The tool whose calls it counts.
    tool: String,
    window: &'static str,
    cost: Cost,
}

/// The counters of all tools. A counter that Intercept would not count is a problem.
fn counters(tools: &[Tool], problems: &mut YamlProblems) -> HashMap<String, StateCounter> {
    let is_whole = problems.is_empty();
    let mut counters: HashMap<String, StateCounter> = HashMap::new();
    for tool in tools {
        for rule in &tool.rules {
            let Some(InterceptState { counter, window, cost, place }) = &rule.state else {
                continue;
            };
            let name = name_for_problem(counter);
            if counters.contains_key(counter) {
                let message = format!("another rule counts with `{name}` already");
                let help = "give this counter another name, or the `rate_limit` another window";
                problems.add(place, message, Some(help));
                continue;
            }
            let mut own = rule.readings.iter().filter(|reading| reading.counter == *counter);
            if own.next().is_none() && is_whole {
                let message = format!(
                    "nothing limits what is counted here: no condition of this rule reads `state.{name}`"
                );
                let help = "put the condition and the `state` into one rule; without that, Intercept counts nothing";
                problems.add(place, message, Some(help));
            }
            if let Some(second) = own.next() {
                let message = format!("a second condition reads `state.{name}`");
                problems.add(&second.place, message, Some("leave one of them out"));
            }
            let (tool, cost) = (tool.name.text.clone(), cost.clone());
            counters.insert(counter.clone(), StateCounter { tool, window, cost });
        }
    }
    counters
}

struct Translator<'p> {
    counters: HashMap<String, StateCounter>,
    /// False if something could not be read, so that what seems missing may be there.
    is_whole: bool,
    notes: BTreeSet<Note>,
    problems: &'p mut YamlProblems,
}

impl Translator<'_> {
    fn tool(&mut self, tool: &Tool) -> DraftRule {
        let names: Vec<&str> = tool.rules.iter().filter_map(|rule| rule.name.as_deref()).collect();
        let description = Some(names.join("; ")).filter(|text| !text.is_empty());
        let mut draft = DraftRule { description, ..DraftRule::default() };
        for rule in &tool.rules {
            match rule.action {
                InterceptAction::Deny => deny(rule, &mut draft),
                InterceptAction::Evaluate => self.evaluate(rule, tool, &mut draft),
                InterceptAction::Ask => self.ask(rule, &mut draft),
                InterceptAction::Allow => {}
            }
        }
        if let [only] = draft.approval_if.as_slice()
            && only.conditions.is_empty()
            && draft.action.is_none()
        {
            draft.action = Some(ActionKind::RequireApproval.word());
            draft.reason.clone_from(&only.reason);
            draft.approval_if.clear();
        }
        draft
    }

    fn evaluate(&mut self, rule: &InterceptRule, tool: &Tool, draft: &mut DraftRule) {
        let on_deny = rule.on_deny.clone().or_else(|| denied_by(rule));
        let mut conditions = Vec::new();
        for wanted in &rule.conditions {
            self.notes.insert(Note::Types);
            match wanted {
                InterceptCondition::Holds(condition) => conditions.push(condition.clone()),
                // What is there and not null.
                InterceptCondition::Absent(path, place) => {
                    let conditions = is_there(path, place);
                    draft.deny_if.push(DraftClause {
                        conditions,
                        on_deny: on_deny.clone(),
                        reason: None,
                    });
                }
            }
        }
        if !conditions.is_empty() {
            draft.require.push(DraftClause { conditions, on_deny, reason: None });
        }
        for reading in &rule.readings {
            if let Some(limit) = self.limit(rule, reading, &tool.name) {
                draft.limits.push(limit);
            }
        }
    }

    /// The limit that holds where a condition over a counter does.
    fn limit(
        &mut self,
        rule: &InterceptRule,
        reading: &Reading,
        tool: &Name,
    ) -> Option<DraftLimit> {
        let Reading { counter: name, most, place } = reading;
        let Some(counter) = self.counters.get(name) else {
            if !self.is_whole {
                return None;
            }
            let message = format!("no rule counts with `{}`", name_for_problem(name));
            let help = "counters are known as `state.TOOL.COUNTER`, those of `*` as `state._global.COUNTER`";
            self.problems.add(place, message, Some(help));
            return None;
        };
        let is_own = rule.state.as_ref().is_some_and(|state| state.counter == *name);
        let (max, increment) = if is_own {
            match counter.cost {
                Cost::Fixed(1) | Cost::From(_) => (*most, None),
                Cost::Fixed(cost) => (*most, Some(cost)),
            }
        } else {
            // Intercept looks at such a counter before the call is charged to it, and callgate looks at it after.
            match charged(counter, &tool.text) {
                Charged::Never => (*most, Some(0)),
                Charged::Always(cost) => (most.saturating_add(cost), Some(0)),
                Charged::Variably => {
                    let message = format!(
                        "this looks at `{}` before a call that may count there",
                        name_for_problem(name)
                    );
                    let help = "a limit of callgate looks at what a counter comes to with the call; say so in the rule that counts";
                    self.problems.add(place, message, Some(help));
                    return None;
                }
            }
        };
        let increment_from = match &counter.cost {
            Cost::From(path) if is_own => Some(path.clone()),
            Cost::From(_) | Cost::Fixed(_) => None,
        };
        self.notes.extend([Note::FailedCalls, Note::Servers]);
        if increment_from.is_some() {
            self.notes.insert(Note::Amounts);
        }
        Some(DraftLimit {
            counter: name.clone(),
            window: counter.window,
            align: "calendar",
            max,
            scope: Scope::Server.word(),
            increment,
            increment_from,
            on_deny: rule.on_deny.clone(),
            place: place.clone(),
        })
    }

    /// Translates a rule that asks. A condition for absent or null takes two entries.
    fn ask(&mut self, rule: &InterceptRule, draft: &mut DraftRule) {
        let mut entries: Vec<Vec<DraftCondition>> = vec![Vec::new()];
        for wanted in &rule.conditions {
            self.notes.insert(Note::Types);
            match wanted {
                InterceptCondition::Holds(condition) => {
                    entries.iter_mut().for_each(|entry| entry.push(condition.clone()));
                }
                InterceptCondition::Absent(path, place) => {
                    if entries.len() >= MAX_ENTRIES {
                        let message = "too many arguments that may be absent in one rule that asks";
                        self.problems.add(place, message, Some("make it several rules"));
                        return;
                    }
                    let ways = [
                        (Operator::Exists, DraftValue::Bool(false)),
                        (Operator::Eq, DraftValue::Null),
                    ];
                    let longer = entries.iter().flat_map(|entry| {
                        ways.iter().map(|(op, value)| {
                            let mut entry = entry.clone();
                            entry.push(condition(path, *op, value.clone(), place));
                            entry
                        })
                    });
                    entries = longer.collect();
                }
            }
        }
        let reason = rule.on_deny.clone().or_else(|| {
            rule.name.as_ref().map(|name| format!("The rule `{name}` asks for a human's approval."))
        });
        let entries = entries.into_iter();
        draft.approval_if.extend(entries.map(|conditions| DraftClause {
            conditions,
            on_deny: None,
            reason: reason.clone(),
        }));
    }
}

fn deny(rule: &InterceptRule, draft: &mut DraftRule) {
    let message = rule.on_deny.clone().or_else(|| denied_by(rule));
    if draft.action.is_none() {
        draft.action = Some(ActionKind::Deny.word());
        draft.reason = message;
    } else {
        draft.deny_if.push(DraftClause { on_deny: message, ..DraftClause::default() });
    }
}

/// The default message.
fn denied_by(rule: &InterceptRule) -> Option<String> {
    rule.name.as_ref().map(|name| format!("Denied by the rule `{name}`."))
}

fn condition(path: &str, op: Operator, value: DraftValue, place: &YamlPlace) -> DraftCondition {
    DraftCondition { path: path.to_owned(), op, value, place: place.clone() }
}

/// Conditions for a value that is not null.
fn is_there(path: &str, place: &YamlPlace) -> Vec<DraftCondition> {
    vec![
        condition(path, Operator::Exists, DraftValue::Bool(true), place),
        condition(path, Operator::Neq, DraftValue::Null, place),
    ]
}

/// The charge of a tool's calls to a counter of another rule.
enum Charged {
    Never,
    Always(u64),
    Variably,
}

fn charged(counter: &StateCounter, tool: &str) -> Charged {
    match &counter.cost {
        _ if counter.tool != tool && counter.tool != "*" && tool != "*" => Charged::Never,
        Cost::Fixed(cost) if counter.tool == tool || counter.tool == "*" => Charged::Always(*cost),
        _ => Charged::Variably,
    }
}
