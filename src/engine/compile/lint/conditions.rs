//! Warnings about conditions: those that cannot hold, that let absent arguments pass, or that cost too much.

use std::collections::{HashMap, HashSet};

use super::super::contradiction::{self, Doubt};
use super::super::fields::name_for_problem;
use super::{Linter, Token, ToolEntry, WarningKind};
use crate::engine::policy::condition::{Condition, Scalar, Test};
use crate::engine::policy::path::ArgPath;
use crate::engine::policy::{Clause, ClauseList, Rule};
use crate::engine::text::name::NamePattern;
use crate::engine::work::Work;

impl Linter<'_> {
    /// Warns of conditions that cannot hold, alone or together with an earlier one.
    pub(super) fn conditions(&mut self, list: ClauseList, clause: &Clause, doubt: Doubt) {
        // In the last two, what cannot be decided counts as holding (contract P8).
        let (never, so) = match list {
            ClauseList::Require => ("can never hold", "so every call is denied"),
            ClauseList::DenyIf => {
                ("holds in doubt only", "so no clear call is denied by this entry")
            }
            ClauseList::ApprovalIf => {
                ("holds in doubt only", "so no clear call is held by this entry")
            }
        };
        for (nth, condition) in clause.conditions.iter().enumerate() {
            let pointer = format!("{}/conditions/{nth}", clause.pointer);
            let path = &condition.path;
            if path.is_root() && !matches!(condition.test, Test::Exists(true))
                || path.begins_with_index()
            {
                let message = match condition.test {
                    Test::Exists(_) if path.is_root() => {
                        "`args` is always there, if empty".to_owned()
                    }
                    _ => format!(
                        "`args` is an object, which `{path} {}` cannot judge",
                        condition.test.operator().word()
                    ),
                };
                let help = "name an argument: `args.width`, or `args[*]` for each of them";
                self.warn(
                    WarningKind::NeverHolds,
                    Token::Value,
                    format!("{pointer}/path"),
                    message,
                    help,
                );
                continue;
            }
            if let Some(why) = contradiction::alone(&condition.test) {
                let message = format!("this condition {never}, {so}: {why}");
                self.warn(
                    WarningKind::NeverHolds,
                    Token::Value,
                    format!("{pointer}/value"),
                    message,
                    "check the value",
                );
                continue;
            }
            if !self.affords(nth) {
                return;
            }
            let work = &mut self.work;
            let earlier = clause.conditions.iter().take(nth).find(|earlier| {
                earlier.path == *path
                    && (doubt == Doubt::Fails || !path.is_many())
                    && contradiction::between(&earlier.test, &condition.test, doubt, work)
            });
            if let Some(earlier) = earlier {
                let message = format!("this {never} beside `{}`, {so}", short(earlier));
                let help = "all conditions of one entry must hold; entries of `deny_if` stand side by side";
                self.warn(
                    WarningKind::NeverHolds,
                    Token::Value,
                    format!("{pointer}/value"),
                    message,
                    help,
                );
            }
        }
    }

    /// Warns of entries of `require` that require nothing, or the wrong thing.
    pub(super) fn required(&mut self, clause: &Clause) {
        if clause.conditions.is_empty() {
            let message = "no conditions: this always holds, and requires nothing".to_owned();
            let help = "name a condition, or leave the entry out";
            self.warn(
                WarningKind::EmptyRequire,
                Token::Value,
                format!("{}/conditions", clause.pointer),
                message,
                help,
            );
        }
        let forbids = clause.message.as_deref().is_some_and(forbids);
        for (nth, condition) in clause.conditions.iter().enumerate() {
            if let (true, Test::Contains(scalar @ Scalar::String(_))) = (forbids, &condition.test) {
                let pointer = format!("{}/conditions/{nth}/op", clause.pointer);
                let message = format!(
                    "`require` lets only calls through that contain {}, which the message forbids",
                    name_for_problem(&scalar.to_string())
                );
                let help = "`deny_if` denies the calls that contain it";
                self.warn(WarningKind::RequiresTheForbidden, Token::Value, pointer, message, help);
            }
            let Test::Regex(regex) = &condition.test else { continue };
            let Some(missing) = contradiction::missing_anchor(regex.as_str()) else { continue };
            let pointer = format!("{}/conditions/{nth}/value", clause.pointer);
            let message =
                format!("this pattern is not held to the whole text: it has no {missing}");
            let help = "`^` and `$` hold it to the whole text; `(?s:.*)` stands for anything before or behind";
            self.warn(WarningKind::UnanchoredRegex, Token::Value, pointer, message, help);
        }
    }

    /// Warns of denials that a call escapes by leaving the argument out. `told` are the paths that have had this warning,
    /// or that the rule says may be absent.
    pub(super) fn absent_passes(
        &mut self,
        rule: &Rule,
        name: Option<&NamePattern>,
        clause: &Clause,
        told: &mut HashSet<String>,
    ) {
        for (nth, condition) in clause.conditions.iter().enumerate() {
            let path = &condition.path;
            let absent_fails =
                !matches!(condition.test, Test::Exists(_) | Test::NotEqual(_) | Test::NotIn(_));
            // This searches the conditions of the entry and of `require`.
            let others = clause.conditions.len().saturating_add(rule.require.len());
            if !self.affords(others) {
                return;
            }
            let says_optional = clause.conditions.iter().any(|other| {
                matches!(other.test, Test::Exists(true)) && other.path.is_within(path)
            });
            let text = path.to_string();
            if says_optional {
                told.insert(text);
                continue;
            }
            if path.is_root()
                || !absent_fails
                || told.contains(&text)
                || self.is_required(rule, name, condition)
            {
                continue;
            }
            let message = format!("a call without `{text}` passes this: nothing requires it");
            let help = format!(
                "`require` it, or say beside it that it may be absent: `{{ \"path\": {}, \"op\": \"exists\", \"value\": true }}`",
                serde_json::to_string(&text).unwrap_or_default()
            );
            told.insert(text);
            let pointer = format!("{}/conditions/{nth}/path", clause.pointer);
            self.warn(WarningKind::AbsentPasses, Token::Value, pointer, message, &help);
        }
    }

    /// Warns once of each pattern that uses up the work of a decision by itself (contract 3.5).
    pub(super) fn patterns(&mut self, entries: &[ToolEntry<'_>]) {
        /// The size of a large but usual call, in bytes.
        const CALL_BYTES: usize = 64 * 1024;
        let mut told = HashSet::new();
        let common: Vec<&Rule> = self.policy.all_tools.iter().collect();
        let alone = std::iter::once(common.clone());
        let rules = entries.iter().map(|entry| [vec![entry.rule], common.clone()].concat());
        for rules in alone.chain(rules) {
            // Each path has one text, and the call is as long as all of them together.
            let mut by_path: HashMap<&ArgPath, u64> = HashMap::new();
            for clause in rules.iter().flat_map(|rule| rule.clauses()) {
                for (nth, condition) in clause.conditions.iter().enumerate() {
                    if !self.affords(1) {
                        return;
                    }
                    let Test::Regex(pattern) = &condition.test else { continue };
                    let cost = by_path.entry(&condition.path).or_default();
                    *cost = cost.saturating_add(pattern.cost(CALL_BYTES));
                    let pointer = format!("{}/conditions/{nth}/value", clause.pointer);
                    if *cost <= Work::DECISION || told.contains(&pointer) {
                        continue;
                    }
                    *cost = 0;
                    told.insert(pointer.clone());
                    let message =
                        "a call of 64 KiB would be denied as too costly by the patterns up to here"
                            .to_owned();
                    let help = "repetitions of repetitions such as `[01]*1[01]{40}` make many places to look at for each byte; `[a-z]` is smaller than `\\w`";
                    self.warn(WarningKind::CostlyPattern, Token::Value, pointer, message, help);
                }
            }
        }
    }

    /// True if every call that passes has a value at the path of `condition`.
    fn is_required(&self, rule: &Rule, name: Option<&NamePattern>, condition: &Condition) -> bool {
        let requires = |rule: &Rule| {
            let mut required = rule.require.iter().flat_map(|clause| &clause.conditions);
            required.any(|other| {
                !matches!(other.test, Test::Exists(false)) && other.path.is_within(&condition.path)
            }) || rule.deny_if.iter().any(|clause| match clause.conditions.as_slice() {
                [only] => {
                    matches!(only.test, Test::Exists(false)) && only.path.is_within(&condition.path)
                }
                _ => false,
            })
        };
        let mut others = self.policy.all_tools.iter().collect::<Vec<_>>();
        if let Some(NamePattern::Exact(name)) = name {
            others.extend(self.policy.tools.matching(name).rules);
        }
        requires(rule) || others.into_iter().any(requires)
    }
}

/// True if a message says that something is forbidden: it begins with No, Not, Never or Do not.
fn forbids(message: &str) -> bool {
    let mut words = message
        .split(|c: char| !c.is_alphanumeric() && !matches!(c, '\'' | '’'))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase);
    match words.next().as_deref() {
        Some("no" | "not" | "never" | "don't" | "don’t") => true,
        Some("do") => words.next().as_deref() == Some("not"),
        _ => false,
    }
}

/// A condition in a message.
fn short(condition: &Condition) -> String {
    name_for_problem(&condition.to_string())
}
