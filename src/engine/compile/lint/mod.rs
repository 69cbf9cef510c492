//! Lints: what is valid in a policy and probably not meant.

mod conditions;
mod names;

use std::collections::HashSet;

use super::contradiction::Doubt;
use super::fields::{MAX_PROBLEMS, Problem, find};
use crate::engine::decide::is_closed;
use crate::engine::json::reader::{KeyRule, MAX_DEPTH, Reader, Scratch};
use crate::engine::json::value::{Kind, Value};
use crate::engine::limits::Amount;
use crate::engine::policy::{ActionKind, ClauseList, Effect, Policy, Rule};
use crate::engine::text::name::NamePattern;
use crate::engine::text::words::words;
use crate::engine::work::Work;

/// Something that is probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Its kind.
    pub kind: WarningKind,
    /// The warning and its place.
    pub problem: Problem,
}

/// The kinds of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningKind {
    /// The policy denies every call.
    NothingAllowed,
    /// A rule for a tool that `hide` hides.
    HiddenAndRuled,
    /// A name or pattern that another entry covers.
    PointlessEntry,
    /// An `action` that a wider entry overrules, or fields that have no effect beside it.
    ConflictingActions,
    /// A `reason` without an `action` to give it.
    UnusedReason,
    /// An entry of `require` without conditions.
    EmptyRequire,
    /// A pattern in `require` that matches parts of a text.
    UnanchoredRegex,
    /// A `require` that demands what its message forbids.
    RequiresTheForbidden,
    /// Patterns that use up the work of a decision.
    CostlyPattern,
    /// A name with the prefix of a client.
    ClientPrefix,
    /// A denial that a call escapes by leaving the argument out.
    AbsentPasses,
    /// A condition that cannot hold.
    NeverHolds,
    /// Two limits of one rule on one counter.
    CounterTwice,
    /// A limit that lets no call through.
    MaxZero,
    /// A pattern that `PolicyLayer` would take literally.
    LiteralWildcard,
}

words!(WarningKind {
    NothingAllowed => "nothing_allowed",
    HiddenAndRuled => "hidden_and_ruled",
    PointlessEntry => "pointless_entry",
    ConflictingActions => "conflicting_actions",
    UnusedReason => "unused_reason",
    EmptyRequire => "empty_require",
    UnanchoredRegex => "unanchored_regex",
    RequiresTheForbidden => "requires_the_forbidden",
    CostlyPattern => "costly_pattern",
    ClientPrefix => "client_prefix",
    AbsentPasses => "absent_passes",
    NeverHolds => "never_holds",
    CounterTwice => "counter_twice",
    MaxZero => "max_zero",
    LiteralWildcard => "literal_wildcard",
});

/// Steps for comparing names with patterns and conditions with each other. Once they are used up, no further warnings
/// are found.
const BUDGET: usize = 4_000_000;

/// Fields of a rule that do nothing beside `"action": "deny"`.
const DEAD_BESIDE_DENY: [&str; 5] = ["require", "deny_if", "approval_if", "limits", "rate_limit"];

/// Finds what is probably not meant in a file that has been compiled to `policy`, in file order.
#[must_use]
pub fn lint(file: &str, policy: &Policy) -> Vec<Warning> {
    let mut scratch = Scratch::default();
    let Ok(root) = Reader::new(file, MAX_DEPTH, &mut scratch).document(KeyRule::Any) else {
        return Vec::new();
    };
    let hidden = policy.hide.iter().map(NamePattern::new).filter(NamePattern::is_wild).collect();
    let work = Work::of(Work::DECISION);
    let mut linter = Linter { policy, root, hidden, budget: BUDGET, work, found: Vec::new() };
    linter.document();
    linter.hidden_names();
    linter.tested_names();
    let rules = root.member("tools").into_iter().flat_map(Value::members);
    let entries: Vec<ToolEntry<'_>> = policy
        .tools
        .in_file_order()
        .into_iter()
        .zip(rules)
        .enumerate()
        .map(|(place, ((name, rule), member))| ToolEntry { place, name, rule, value: member.value })
        .collect();
    let wild: Vec<&ToolEntry<'_>> = entries.iter().filter(|entry| entry.name.is_wild()).collect();
    let plain = is_plain_policylayer(root);
    for entry in &entries {
        if linter.found.len() >= MAX_PROBLEMS {
            break;
        }
        linter.entry(entry, &wild, plain);
        linter.rule(entry.rule, entry.value, Some(&entry.name));
    }
    if let (Some(rule), Some(value)) = (&policy.all_tools, root.member("all_tools")) {
        linter.rule(rule, value, None);
    }
    linter.patterns(&entries);
    linter.found.sort_by_key(|warning| warning.problem.at);
    linter.found
}

/// An entry of `tools`.
struct ToolEntry<'l> {
    /// Its index, in file order.
    place: usize,
    name: NamePattern,
    rule: &'l Rule,
    /// The rule as it is written.
    value: Value<'l>,
}

struct Linter<'l> {
    policy: &'l Policy,
    root: Value<'l>,
    /// Patterns of `hide`.
    hidden: Vec<NamePattern>,
    /// What is left of [`BUDGET`].
    budget: usize,
    /// What is left for trying values on conditions.
    work: Work,
    found: Vec<Warning>,
}

/// Which token of a member a warning marks.
#[derive(Debug, Clone, Copy)]
enum Token {
    Key,
    Value,
}

impl ToolEntry<'_> {
    /// True if the rule spells out `"action": "allow"`.
    fn says_allow(&self) -> bool {
        self.rule.action.is_none() && self.value.member("action").is_some()
    }
}

impl Linter<'_> {
    fn warn(
        &mut self,
        kind: WarningKind,
        token: Token,
        pointer: String,
        message: String,
        help: &str,
    ) {
        if self.found.len() >= MAX_PROBLEMS {
            return;
        }
        let Some(target) = find(self.root, &pointer) else { return };
        let at = match token {
            Token::Key => target.key_at,
            Token::Value => target.value.start(),
        };
        let help = Some(help.to_owned());
        self.found.push(Warning { kind, problem: Problem { at, pointer, message, help } });
    }

    /// Takes work from the budget; false if it is used up.
    fn affords(&mut self, work: usize) -> bool {
        let left = self.budget.checked_sub(work);
        self.budget = left.unwrap_or_default();
        left.is_some()
    }

    /// True if `wide`, which is a pattern, covers `narrow`.
    fn covers(&mut self, wide: &NamePattern, narrow: &NamePattern) -> bool {
        let work = wide.as_str().len().saturating_mul(narrow.as_str().len());
        self.affords(work) && wide.covers(narrow)
    }

    fn document(&mut self) {
        let policy = self.policy;
        let mut rules = policy.tools.iter();
        if policy.default == Effect::Deny && rules.all(|(_, rule)| is_closed(policy, rule)) {
            let help = r#"name the tools that may be called: `"tools": { "search": {} }`"#;
            let message = "this policy denies every call: no entry of `tools` permits a tool";
            self.warn(
                WarningKind::NothingAllowed,
                Token::Value,
                "/default".to_owned(),
                message.to_owned(),
                help,
            );
        } else if policy.all_tools.as_ref().is_some_and(|rule| is_closed(policy, rule)) {
            let help = "`all_tools` goes for each tool that `tools` or `default` permits";
            let message = "this denies every call of every tool".to_owned();
            self.warn(
                WarningKind::NothingAllowed,
                Token::Key,
                "/all_tools".to_owned(),
                message,
                help,
            );
        }
    }

    /// Looks at a rule; `value` is its text.
    fn rule(&mut self, rule: &Rule, value: Value<'_>, name: Option<&NamePattern>) {
        self.action(rule, value);
        self.limits(rule);
        for (list, clauses) in rule.lists() {
            let doubt = match list {
                ClauseList::Require => Doubt::Fails,
                ClauseList::DenyIf | ClauseList::ApprovalIf => Doubt::Holds,
            };
            for clause in clauses {
                self.conditions(list, clause, doubt);
            }
        }
        for clause in &rule.require {
            self.required(clause);
        }
        if is_closed(self.policy, rule) {
            return;
        }
        let mut told = HashSet::new();
        for clause in &rule.deny_if {
            self.absent_passes(rule, name, clause, &mut told);
        }
    }

    /// Looks at `action` and the fields beside it.
    fn action(&mut self, rule: &Rule, value: Value<'_>) {
        let pointer = &rule.pointer;
        if kind(rule) == Some(ActionKind::Deny) {
            let dead = DEAD_BESIDE_DENY.into_iter().find(|field| value.member(field).is_some());
            if let Some(field) = dead {
                let field = format!("{pointer}/{field}");
                let message = "this is never looked at beside `\"action\": \"deny\"`".to_owned();
                let help = "leave out one of them; without `action` the rule denies by its conditions only";
                self.warn(WarningKind::ConflictingActions, Token::Key, field, message, help);
            }
        }
        if rule.action.is_none() && value.member("reason").is_some() {
            let unused = format!("{pointer}/reason");
            let message = "nobody ever reads this `reason`".to_owned();
            let help = "it is the message of `\"action\": \"deny\"` and `\"require_approval\"`; the messages of conditions and limits are their own `on_deny`";
            self.warn(WarningKind::UnusedReason, Token::Key, unused, message, help);
        }
    }

    fn limits(&mut self, rule: &Rule) {
        let mut counters = HashSet::new();
        for limit in &rule.limits {
            let pointer = &limit.pointer;
            let max = format!("{pointer}/max");
            if limit.max == Amount::default() {
                let message = "a `max` of 0 lets no call through".to_owned();
                let help = "`\"action\": \"deny\"` says so in plain words";
                self.warn(WarningKind::MaxZero, Token::Value, max, message, help);
            } else if limit.increment_from.is_none() && limit.increment > limit.max {
                let message =
                    format!("a call costs {}, so this `max` lets none through", limit.increment);
                self.warn(
                    WarningKind::MaxZero,
                    Token::Value,
                    max,
                    message,
                    "a `max` is at least one `increment`",
                );
            }
            if !counters.insert(&limit.counter) {
                let message =
                    format!("a limit of this rule counts with `{}` already", limit.counter.name);
                let help = "a call charges a counter once, by the largest cost; another `counter` name counts apart";
                let named = format!("{pointer}/counter");
                if pointer.ends_with("/rate_limit") {
                    self.warn(
                        WarningKind::CounterTwice,
                        Token::Key,
                        pointer.to_string(),
                        message,
                        help,
                    );
                } else {
                    self.warn(WarningKind::CounterTwice, Token::Value, named, message, help);
                }
            }
        }
    }
}

fn kind(rule: &Rule) -> Option<ActionKind> {
    rule.action.as_ref().map(|action| action.kind)
}

/// True if a document uses none of callgate's additions, so that it may have been written for `PolicyLayer`.
fn is_plain_policylayer(root: Value<'_>) -> bool {
    const OWN: [&str; 6] = ["$schema", "description", "mode", "hide_denied", "methods", "tests"];
    const OWN_OF_RULES: [&str; 3] = ["description", "mode", "approval_if"];
    const OWN_OF_LIMITS: [&str; 2] = ["increment_from", "align"];
    let has = |value: Value<'_>, names: &[&str]| {
        value.members().any(|member| names.iter().any(|name| member.key.is(name)))
    };
    let is_foreign_limit = |limit: Value<'_>| {
        let window = limit.member("window");
        let scope = limit.member("scope").and_then(Value::as_str);
        has(limit, &OWN_OF_LIMITS)
            || window.is_some_and(|window| matches!(window.kind(), Kind::Number(_)))
            || scope.is_some_and(|scope| !scope.is("grant"))
    };
    let is_foreign_rule = |rule: Value<'_>| {
        has(rule, &OWN_OF_RULES)
            || rule.member("limits").is_some_and(|list| list.elements().any(is_foreign_limit))
    };
    let all_tools = root.member("all_tools");
    !has(root, &OWN)
        && !all_tools.is_some_and(|rule| rule.members().any(|member| !member.key.is("limits")))
        && !all_tools.is_some_and(is_foreign_rule)
        && !root
            .member("tools")
            .is_some_and(|tools| tools.members().any(|member| is_foreign_rule(member.value)))
}
