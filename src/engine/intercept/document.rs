//! Reads a policy of Intercept, and reports what is wrong with it.
//!
//! Sources: POLICY.md and the packages `internal/config`, `internal/engine`, `internal/proxy` and `internal/state` of
//! Intercept; for `require_approval`, its pull request 3. Where the page is silent, the program decides:
//! counters are known as `TOOL.COUNTER`, those of `*` as `_global.COUNTER`; null does not exist; `rate_limit: 5/hour`
//! is a counter `_rate_hour` that may come to 5.

use std::collections::HashSet;

use super::draft::{DraftCondition, DraftValue, Name};
use super::fields::{Foreign, PlacedNode, YamlFields, YamlMember};
use super::problems::{YamlPlace, YamlProblems};
use super::scalar::{self, ScalarKind};
use super::{path, pattern};
use crate::engine::compile::fields::{MAX_NAME_BYTES, name_for_problem};
use crate::engine::compile::hints;
use crate::engine::limits::Amount;
use crate::engine::policy::Effect;
use crate::engine::policy::condition::Operator;

/// What a path looks like, for messages.
const A_PATH: &str = "a path such as `args.amount`, or `state.TOOL.COUNTER`";

const DOCUMENT: [&str; 5] = ["version", "description", "default", "hide", "tools"];
const RULE: [&str; 7] =
    ["name", "action", "conditions", "rate_limit", "on_deny", "reason", "state"];
const STATE: [&str; 4] = ["counter", "window", "increment", "increment_from"];
const WINDOWS: [(&str, &str); 3] = [("minute", "minute"), ("hour", "hour"), ("day", "day")];
const ACTIONS: [(&str, InterceptAction); 4] = [
    ("evaluate", InterceptAction::Evaluate),
    ("deny", InterceptAction::Deny),
    ("require_approval", InterceptAction::Ask),
    ("allow", InterceptAction::Allow),
];

const FOREIGN: [Foreign; 1] = [(
    "approvals",
    "who is told of approvals, and how long they last, is nothing that a policy of callgate says",
    "leave it out",
)];
const FOREIGN_IN_RULES: [Foreign; 2] = [
    (
        "approval_timeout",
        "how long an approval lasts is nothing that a policy of callgate says",
        "leave it out",
    ),
    (
        "spend",
        "callgate does not read the price that a server asks for",
        "if you know what a call costs, a `state` with `increment` counts it",
    ),
];

/// The document.
#[derive(Debug)]
pub(crate) struct Intercept {
    /// For people.
    pub(crate) description: Option<String>,
    /// What happens to a tool that is not named.
    pub(crate) default: Effect,
    /// Names, or `*` for all.
    pub(crate) hide: Vec<Name>,
    /// Tools, and `*` for all of them.
    pub(crate) tools: Vec<Tool>,
}

/// An entry of `tools`.
#[derive(Debug)]
pub(crate) struct Tool {
    /// The tool's name, or `*`.
    pub(crate) name: Name,
    /// Rules that must all let a call pass.
    pub(crate) rules: Vec<InterceptRule>,
}

/// A rule of a tool.
#[derive(Debug)]
pub(crate) struct InterceptRule {
    /// Its name, which decides nothing.
    pub(crate) name: Option<String>,
    /// What it does.
    pub(crate) action: InterceptAction,
    /// What the agent is told.
    pub(crate) on_deny: Option<String>,
    /// The conditions to hold, or for [`InterceptAction::Ask`] the conditions to ask.
    pub(crate) conditions: Vec<InterceptCondition>,
    /// The bounds of counters.
    pub(crate) readings: Vec<Reading>,
    /// What the rule counts.
    pub(crate) state: Option<InterceptState>,
    /// Where the rule stands.
    pub(crate) place: YamlPlace,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InterceptAction {
    /// Denies the call unless all its conditions hold.
    Evaluate,
    /// Denies the call.
    Deny,
    /// Asks a human if all its conditions hold.
    Ask,
    /// Nothing.
    Allow,
}

/// A condition over arguments.
#[derive(Debug)]
pub(crate) enum InterceptCondition {
    /// A condition that callgate has as well.
    Holds(DraftCondition),
    /// The path is absent, or its value is null.
    Absent(String, YamlPlace),
}

/// A condition over a counter.
#[derive(Debug)]
pub(crate) struct Reading {
    /// `TOOL.COUNTER`
    pub(crate) counter: String,
    /// The largest value with which it holds.
    pub(crate) most: u64,
    /// Where it stands.
    pub(crate) place: YamlPlace,
}

/// `state`
#[derive(Debug)]
pub(crate) struct InterceptState {
    /// `TOOL.COUNTER`
    pub(crate) counter: String,
    /// The UTC minute, hour or day that it counts in.
    pub(crate) window: &'static str,
    /// What a call costs.
    pub(crate) cost: Cost,
    /// Where its counter is named.
    pub(crate) place: YamlPlace,
}

/// What a call costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cost {
    /// This much.
    Fixed(u64),
    /// The value at this path in its arguments.
    From(String),
}

impl Tool {
    /// True for the entry for all tools.
    #[must_use]
    pub(crate) fn is_all(&self) -> bool {
        self.name.text == "*"
    }

    /// The prefix of its counters.
    fn scope(name: &str) -> &str {
        if name == "*" { "_global" } else { name }
    }
}

impl Intercept {
    /// Reads the document; `None` means that a problem has been added, and may do so in any other case.
    pub(crate) fn read(root: &PlacedNode<'_>, problems: &mut YamlProblems) -> Option<Self> {
        let fields = YamlFields::open(root, &DOCUMENT, &FOREIGN, problems)?;
        if let Some(version) = fields.require("version", "Intercept's is `\"1\"`", problems) {
            version.word(&[("1", ())], hints::VERSIONS, problems);
        }
        let description = fields.text("description", problems);
        let default = fields.get("default");
        let default = default.map(|default| default.word(Effect::WORDS, hints::EFFECTS, problems));
        let hide = fields.get("hide").map(|list| hidden(list, problems));
        let tools = fields.get("tools").map(|tools| tools.members(problems)).unwrap_or_default();
        let tools = tools.iter().map(|member| tool(member, problems)).collect();
        Some(Intercept {
            description,
            default: default.flatten().unwrap_or(Effect::Allow),
            hide: hide.unwrap_or_default(),
            tools,
        })
    }
}

fn hidden(list: &PlacedNode<'_>, problems: &mut YamlProblems) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    let mut seen = HashSet::new();
    for found in list.elements(problems) {
        let Some(name) = found.name(problems).map(|text| Name { text, place: found.place }) else {
            continue;
        };
        if !seen.insert(name.text.clone()) {
            let message = format!("`{}` stands in the list already", name_for_problem(&name.text));
            problems.add(&name.place, message, Some("leave it out"));
            continue;
        }
        literal(&name, problems);
        names.push(name);
    }
    names
}

/// A name that callgate would take for a pattern, or not at all, is a problem.
fn literal(name: &Name, problems: &mut YamlProblems) {
    if name.text.len() > MAX_NAME_BYTES {
        let message = format!("a name is at most {MAX_NAME_BYTES} bytes long");
        problems.add(&name.place, message, None);
    }
    if name.text != "*" && name.text.contains(['*', '?']) {
        let message = format!(
            "Intercept takes `{}` for a name, and callgate for a pattern",
            name_for_problem(&name.text)
        );
        problems.add(&name.place, message, Some("name the tools one by one"));
    }
}

fn tool(member: &YamlMember<'_>, problems: &mut YamlProblems) -> Tool {
    let name = Name { text: member.name.to_owned(), place: member.key.clone() };
    literal(&name, problems);
    let fields = Some(&member.value).filter(|value| !value.node.is_null());
    let fields = fields.and_then(|value| YamlFields::open(value, &["rules"], &[], problems));
    let list = fields.as_ref().and_then(|fields| fields.get("rules"));
    let list = list.map(|list| list.elements(problems)).unwrap_or_default();
    let rules: Vec<InterceptRule> =
        list.iter().filter_map(|found| rule(found, Tool::scope(&name.text), problems)).collect();
    if rules.len() > 1 {
        for rule in rules.iter().filter(|rule| rule.action == InterceptAction::Allow) {
            let message = "beside other rules, `allow` could mean that they go for nothing";
            problems.add(
                &rule.place,
                message,
                Some("leave this rule out: the others let pass what they do not deny"),
            );
        }
    }
    Tool { name, rules }
}

fn rule(found: &PlacedNode<'_>, scope: &str, problems: &mut YamlProblems) -> Option<InterceptRule> {
    let fields = YamlFields::open(found, &RULE, &FOREIGN_IN_RULES, problems)?;
    let name = fields.text("name", problems);
    let action = fields.get("action");
    let action = action.map(|action| action.word_or(&ACTIONS, hints::intercept_action, problems));
    let on_deny = fields.text("on_deny", problems);
    let reason = fields.text("reason", problems);
    if let (Some(_), Some(_), Some(key)) = (&on_deny, &reason, fields.key("reason")) {
        problems.add(key, "a rule has one message, `on_deny`", Some("leave `reason` out"));
    }
    let mut rule = InterceptRule {
        name,
        action: action
            .unwrap_or(Some(InterceptAction::Evaluate))
            .unwrap_or(InterceptAction::Evaluate),
        on_deny: on_deny.or(reason).filter(|text| !text.is_empty()),
        conditions: Vec::new(),
        readings: Vec::new(),
        state: None,
        place: found.place.clone(),
    };
    // An unknown action suits nothing; the fields beside it are checked all the same.
    let suits = action == Some(None) || suits(rule.action, &fields, problems);
    let list = fields.get("conditions").map(|list| list.elements(problems)).unwrap_or_default();
    for found in &list {
        condition(found, &mut rule, problems);
    }
    rule.state = fields.get("state").and_then(|state| self::state(state, scope, problems));
    if let Some(rate) = fields.get("rate_limit") {
        rate_limit(rate, scope, &mut rule, problems);
    }
    Some(rule).filter(|_| suits)
}

/// False, with a problem, if a rule has fields that make no sense with its action or beside each other.
fn suits(action: InterceptAction, fields: &YamlFields<'_>, problems: &mut YamlProblems) -> bool {
    let has = |name: &str| fields.get(name).is_some();
    let (no_place_for, message): (&[&str], &str) = match action {
        InterceptAction::Deny => (
            &["conditions", "rate_limit", "state"],
            "a rule that denies each call has nothing to look at",
        ),
        InterceptAction::Ask => {
            (&["rate_limit", "state"], "a rule that asks a human counts nothing in Intercept")
        }
        InterceptAction::Allow => {
            (&["conditions", "rate_limit", "state"], "what else an `allow` rule says has no effect")
        }
        InterceptAction::Evaluate if has("rate_limit") => (
            &["conditions", "state"],
            "beside `rate_limit`, a rule has no `conditions` and no `state`",
        ),
        InterceptAction::Evaluate => (&[], ""),
    };
    let help = match action {
        InterceptAction::Deny => {
            "leave it out, or leave `action` out: what does not meet the `conditions` of a rule is denied"
        }
        _ => "make it a rule of its own",
    };
    let wrong: Vec<&YamlPlace> =
        no_place_for.iter().filter(|name| has(name)).filter_map(|name| fields.key(name)).collect();
    if !wrong.is_empty() {
        wrong.into_iter().for_each(|key| problems.add(key, message, Some(help)));
        return false;
    }
    let list = fields.get("conditions");
    let is_empty = list.is_none_or(|list| list.node.is_empty_list());
    if action == InterceptAction::Evaluate && is_empty && !has("rate_limit") && fields.are_known {
        let help = "at least one of `conditions`, a `rate_limit`, or `action: deny`";
        problems.add(&fields.place, "this rule evaluates nothing", Some(help));
        return false;
    }
    true
}

fn rate_limit(
    rate: &PlacedNode<'_>,
    scope: &str,
    rule: &mut InterceptRule,
    problems: &mut YamlProblems,
) {
    let parts = rate.node.text().and_then(|text| text.split_once('/'));
    let parts = parts.and_then(|(count, window)| {
        let window = WINDOWS.iter().find(|(name, _)| *name == window)?.1;
        let is_count = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        let count =
            count.parse().ok().filter(|count| is_count && (1..=Amount::MAX_WHOLE).contains(count));
        Some((count?, window))
    });
    let Some((most, window)) = parts else {
        let expected = "a number from 1, `/`, and `minute`, `hour` or `day`";
        let hint = rate.node.text().and_then(hints::intercept_rate);
        problems.wrong_type(rate, expected, Some(hint.as_deref().unwrap_or("such as `5/hour`")));
        return;
    };
    let counter = format!("{scope}._rate_{window}");
    let place = rate.place.clone();
    rule.readings.push(Reading { counter: counter.clone(), most, place: place.clone() });
    rule.state = Some(InterceptState { counter, window, cost: Cost::Fixed(1), place });
}

fn state(
    found: &PlacedNode<'_>,
    scope: &str,
    problems: &mut YamlProblems,
) -> Option<InterceptState> {
    let fields = YamlFields::open(found, &STATE, &[], problems)?;
    let counter = fields.require("counter", "the counter's name", problems);
    let counter = counter.and_then(|found| Some((found.name(problems)?, found.place.clone())));
    let window = fields.require("window", "`minute`, `hour` or `day`", problems);
    let window =
        window.and_then(|found| found.word_or(&WINDOWS, hints::intercept_window, problems));
    let from = fields.get("increment_from");
    let increment = fields.get("increment");
    if let (Some(_), Some(increment)) = (from, increment) {
        let help = "leave one of them out";
        problems.add(&increment.place, "this has no effect beside `increment_from`", Some(help));
        whole(increment, problems);
    }
    let cost = match (from, increment) {
        (Some(from), _) => {
            let help = "a path such as `args.amount`";
            let path = argument(from, problems, help);
            path.map(Cost::From)
        }
        (None, Some(increment)) => {
            let cost = whole(increment, problems);
            if cost == Some(0) {
                let help = "leave it out: a call costs 1";
                problems.add(&increment.place, "Intercept takes 0 for 1", Some(help));
            }
            cost.map(Cost::Fixed)
        }
        (None, None) => Some(Cost::Fixed(1)),
    };
    let (counter, place) = counter?;
    Some(InterceptState {
        counter: format!("{scope}.{counter}"),
        window: window?,
        cost: cost?,
        place,
    })
}

/// The path of an argument; a problem for anything else.
fn argument(found: &PlacedNode<'_>, problems: &mut YamlProblems, help: &str) -> Option<String> {
    let text = found.text(problems)?;
    let path = path::of_argument(&text);
    if path.is_none() {
        let meant = hints::path(&text);
        let help = meant.map_or(help.to_owned(), |path| format!("{help}; did you mean `{path}`?"));
        problems.wrong_type(found, "`args.` and a name", Some(&help));
    }
    path
}

fn condition(found: &PlacedNode<'_>, rule: &mut InterceptRule, problems: &mut YamlProblems) {
    let Some(fields) = YamlFields::open(found, &["path", "op", "value"], &[], problems) else {
        return;
    };
    let path = fields.require("path", "where to look, such as `args.amount`", problems);
    let op = fields.require("op", "an operator such as `eq`", problems);
    let value = fields.written("value").filter(|value| !value.node.span.is_empty());
    let text = value.and_then(|value| value.node.text());
    let hint = |op: &str| {
        let known = hints::operator(op).map(str::to_owned);
        known.or_else(|| hints::intercept_no_operator(op, text))
    };
    let op = op.and_then(|found| found.word_or(Operator::WORDS, hint, problems));
    if value.is_none() {
        let place = fields.key("value").unwrap_or(&fields.place);
        problems.add(
            place,
            "missing field `value`",
            Some("what to compare with; `null` is a value"),
        );
    }
    let Some(path) = path else { return };
    let is_counter = path.node.text().is_some_and(|text| text.starts_with("state."));
    let (Some(op), Some(value)) = (op, value) else {
        if !is_counter {
            argument(path, problems, A_PATH);
        }
        return;
    };
    if let Some(counter) = path.node.text().and_then(|text| text.strip_prefix("state.")) {
        if let Some(most) = bound(op, &fields, rule.action, value, problems) {
            let counter = counter.to_owned();
            rule.readings.push(Reading { counter, most, place: path.place.clone() });
        }
        return;
    }
    let path = argument(path, problems, A_PATH);
    let read = comparand(op, value, problems);
    let (Some(path), Some(read)) = (path, read) else { return };
    let place = value.place.clone();
    let holds = |op, value| {
        InterceptCondition::Holds(DraftCondition {
            path: path.clone(),
            op,
            value,
            place: place.clone(),
        })
    };
    match read {
        // To Intercept, null does not exist.
        Comparand::Exists(true) => {
            rule.conditions.push(holds(Operator::Exists, DraftValue::Bool(true)));
            rule.conditions.push(holds(Operator::Neq, DraftValue::Null));
        }
        Comparand::Exists(false) => rule.conditions.push(InterceptCondition::Absent(path, place)),
        Comparand::Value(value) => {
            if op == Operator::Contains
                && rule.action == InterceptAction::Ask
                && scalar::has_twin(&value)
            {
                let message = "in a list, this could be there as text or as a value: Intercept would ask for both";
                problems.add(
                    &place,
                    message,
                    Some("text that looks like no value is asked for alike"),
                );
            }
            rule.conditions.push(holds(op, value));
        }
    }
}

/// The largest value with which a condition over a counter holds.
fn bound(
    op: Operator,
    fields: &YamlFields<'_>,
    action: InterceptAction,
    value: &PlacedNode<'_>,
    problems: &mut YamlProblems,
) -> Option<u64> {
    if action == InterceptAction::Ask {
        let help = "a rule that asks a human looks at arguments only";
        problems.add(&fields.place, "callgate asks no human because of a counter", Some(help));
        return None;
    }
    let (Operator::Lt | Operator::Lte) = op else {
        let place = fields.get("op").map_or(&fields.place, |op| &op.place);
        let message = format!("a limit cannot say `{}` of a counter", op.word());
        problems.add(place, message, Some("`lt` and `lte` say how far a counter may go"));
        whole(value, problems);
        return None;
    };
    let bound = whole(value, problems)?;
    let most = if op == Operator::Lt { bound.checked_sub(1) } else { Some(bound) };
    if most.is_none() {
        let help = "`action: deny` says that no call may pass";
        problems.add(&value.place, "no counter is ever below 0", Some(help));
    }
    most
}

/// A whole number that a counter can hold; a problem for anything else.
fn whole(found: &PlacedNode<'_>, problems: &mut YamlProblems) -> Option<u64> {
    let text = match scalar::kind(found.node) {
        Some(ScalarKind::Number(text)) => Some(text),
        _ => None,
    };
    let number =
        text.and_then(|text| text.parse().ok()).filter(|number| *number <= Amount::MAX_WHOLE);
    if number.is_none() {
        problems.wrong_type(found, "a whole number from 0 to 10^15", None);
    }
    number
}

/// What an operator compares with.
enum Comparand {
    Exists(bool),
    Value(DraftValue),
}

fn comparand(
    op: Operator,
    value: &PlacedNode<'_>,
    problems: &mut YamlProblems,
) -> Option<Comparand> {
    let read = match op {
        Operator::Eq | Operator::Neq | Operator::Contains => scalar::value(value, problems)?,
        Operator::Lt | Operator::Lte | Operator::Gt | Operator::Gte => {
            scalar::number(value, problems)?
        }
        Operator::In | Operator::NotIn => scalar::list(value, problems)?,
        Operator::Exists => {
            let Some(ScalarKind::Bool(wanted)) = scalar::kind(value.node) else {
                problems.wrong_type(value, "`true` or `false`", None);
                return None;
            };
            return Some(Comparand::Exists(wanted));
        }
        Operator::Regex => {
            let DraftValue::String(text) = scalar::value(value, problems)? else {
                problems.wrong_type(value, "a pattern", Some("put it in quotes"));
                return None;
            };
            match pattern::from_go(&text) {
                Ok(pattern) => DraftValue::String(pattern),
                Err(error) => {
                    let help = "callgate's syntax is that of Rust's regex, which is nearly Go's";
                    problems.add(&value.place, error, Some(help));
                    return None;
                }
            }
        }
    };
    Some(Comparand::Value(read))
}
