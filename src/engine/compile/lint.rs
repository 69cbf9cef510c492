//! What is legal in a policy and likely not meant.

use std::collections::{HashMap, HashSet};

use super::contradiction::{self, Doubt};
use super::fields::{MAX_PROBLEMS, Problem, find, name_for_problem};
use crate::engine::decide::is_closed;
use crate::engine::json::reader::{KeyRule, MAX_DEPTH, Reader, Scratch};
use crate::engine::json::value::{Kind, Str, Value};
use crate::engine::limits::Amount;
use crate::engine::policy::condition::{Condition, Scalar, Test};
use crate::engine::policy::path::ArgPath;
use crate::engine::policy::{ActionKind, Clause, Effect, Mode, Policy, Rule};
use crate::engine::text::name::{NamePattern, without_client_prefix};
use crate::engine::work::Work;

/// Something that is likely not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What kind it is, for programs.
    pub code: &'static str,
    /// What and where.
    pub problem: Problem,
}

/// How much work goes into comparing names with patterns and conditions with each other, in small steps. What is
/// beyond is not warned of: a check has to end.
const BUDGET: usize = 4_000_000;

/// Fields of a rule that do nothing beside `"action": "deny"`.
const DEAD_BESIDE_DENY: [&str; 5] = ["require", "deny_if", "approval_if", "limits", "rate_limit"];

/// Looks for what is likely not meant in a file that has been compiled to `policy`; in file order.
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
    let entries: Vec<Entry<'_>> = policy
        .tools
        .in_file_order()
        .into_iter()
        .zip(rules)
        .enumerate()
        .map(|(place, ((name, rule), member))| Entry { place, name, rule, value: member.value })
        .collect();
    let wild: Vec<&Entry<'_>> = entries.iter().filter(|entry| entry.name.is_wild()).collect();
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
struct Entry<'l> {
    /// Which one, from 0.
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
    /// The same for trying values on conditions.
    work: Work,
    found: Vec<Warning>,
}

/// Which token of a member a warning marks.
#[derive(Debug, Clone, Copy)]
enum Token {
    Key,
    Value,
}

impl Entry<'_> {
    /// True if the rule says `"action": "allow"` in so many words.
    fn says_allow(&self) -> bool {
        self.rule.action.is_none() && self.value.member("action").is_some()
    }
}

impl Linter<'_> {
    fn warn(
        &mut self,
        code: &'static str,
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
        self.found.push(Warning { code, problem: Problem { at, pointer, message, help } });
    }

    /// True if there is still time for so much work.
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
                "nothing_allowed",
                Token::Value,
                "/default".to_owned(),
                message.to_owned(),
                help,
            );
        } else if policy.all_tools.as_ref().is_some_and(|rule| is_closed(policy, rule)) {
            let help = "`all_tools` goes for each tool that `tools` or `default` permits";
            let message = "this denies every call of every tool".to_owned();
            self.warn("nothing_allowed", Token::Key, "/all_tools".to_owned(), message, help);
        }
    }

    /// Names in `hide` that another one there covers.
    fn hidden_names(&mut self) {
        let list = find(self.root, "/hide").map(|target| target.value);
        let elements = list.into_iter().flat_map(Value::elements);
        let names: Vec<NamePattern> = elements
            .filter_map(|element| Some(NamePattern::new(&element.as_str()?.decode()?)))
            .collect();
        let wild: Vec<(usize, &NamePattern)> =
            names.iter().enumerate().filter(|(_, name)| name.is_wild()).collect();
        let mut seen = HashSet::new();
        for (place, name) in names.iter().enumerate() {
            self.prefixed(name.as_str(), Token::Value, format!("/hide/{place}"));
            if !seen.insert(name.as_str()) {
                let message = "this stands in the list already".to_owned();
                let pointer = format!("/hide/{place}");
                self.warn("pointless_entry", Token::Value, pointer, message, "leave it out");
                continue;
            }
            if !self.affords(wild.len()) {
                return;
            }
            let mut wider = wild.iter().filter(|(other, _)| *other != place);
            let cover = wider.find(|(other, wide)| {
                self.covers(wide, name) && (*other < place || !self.covers(name, wide))
            });
            if let Some((_, wide)) = cover {
                let message = format!("`{}` hides this already", wide.as_str());
                let pointer = format!("/hide/{place}");
                self.warn("pointless_entry", Token::Value, pointer, message, "leave it out");
            }
        }
    }

    /// Tools that `tests` name.
    fn tested_names(&mut self) {
        let list = find(self.root, "/tests").map(|target| target.value);
        for (place, test) in list.into_iter().flat_map(Value::elements).enumerate() {
            let tool = test.member("tool").and_then(Value::as_str).and_then(Str::decode);
            self.prefixed(&tool.unwrap_or_default(), Token::Value, format!("/tests/{place}/tool"));
        }
    }

    /// A name as a client shows it, which no server has.
    fn prefixed(&mut self, name: &str, token: Token, pointer: String) {
        let Some(own) = without_client_prefix(name) else { return };
        let message = format!(
            "`{}` is what a client calls the tool; no server does, so this matches nothing",
            name_for_problem(name)
        );
        let help = format!(
            "write `{}`: some clients put `mcp__SERVER__` before the names of tools",
            name_for_problem(own)
        );
        self.warn("client_prefix", token, pointer, message, &help);
    }

    /// An entry of `tools` among the patterns there.
    fn entry(&mut self, entry: &Entry<'_>, wild: &[&Entry<'_>], plain: bool) {
        let Entry { place, name, rule, .. } = entry;
        let pointer = rule.pointer.to_string();
        let text = name.as_str();
        self.prefixed(text, Token::Key, pointer.clone());
        if !self.affords(wild.len().saturating_add(self.hidden.len())) {
            return;
        }
        let is_hidden = if name.is_wild() {
            let hidden = std::mem::take(&mut self.hidden);
            let covered = hidden.iter().any(|hide| self.covers(hide, name));
            self.hidden = hidden;
            covered
        } else {
            self.policy.hide.matches(text)
        };
        if is_hidden {
            let message = format!("`{text}` is hidden, so this rule never decides");
            let help = "leave it out, here or in `hide`";
            self.warn("hidden_and_ruled", Token::Key, pointer, message, help);
            return;
        }
        if plain && name.is_wild() {
            let message =
                format!("`{text}` is a pattern here, and PolicyLayer would read it literally");
            let help =
                "a `description` or `$schema` in the document says that it is written for callgate";
            self.warn("literal_wildcard", Token::Key, pointer, message, help);
        }
        let wider = wild.iter().find(|wide| {
            wide.place != *place
                && self.leaves_nothing(wide.rule, entry)
                && self.covers(&wide.name, name)
                && (wide.place < *place || !name.is_wild() || !self.covers(name, &wide.name))
        });
        if let Some(wide) = wider {
            self.beside(entry, wide);
        }
    }

    /// True if a wider entry with the rule `wide` leaves nothing to say to another one, or is at odds with it.
    fn leaves_nothing(&self, wide: &Rule, entry: &Entry<'_>) -> bool {
        let Entry { rule, .. } = entry;
        if self.policy.mode_of(wide, None) == Mode::Shadow {
            return false;
        }
        match kind(wide) {
            Some(ActionKind::Deny) => {
                kind(rule) != Some(ActionKind::Deny) || reason(rule).is_none()
            }
            Some(ActionKind::RequireApproval) => entry.says_allow() || is_bare(rule),
            None => is_bare(rule),
        }
    }

    fn beside(&mut self, entry: &Entry<'_>, wide: &Entry<'_>) {
        const HELP: &str = "every entry that matches a tool applies, and the strictest wins: an exact name makes no exception from a pattern";
        let pointer = entry.rule.pointer.to_string();
        let (name, pattern) = (entry.name.as_str(), wide.name.as_str());
        let over = kind(wide.rule);
        let other = entry.says_allow() || kind(entry.rule) == Some(ActionKind::RequireApproval);
        if let (Some(over), true) = (over, other) {
            let does = match over {
                ActionKind::Deny => "denies it",
                ActionKind::RequireApproval => "asks a human",
            };
            let message = format!("this is at odds with `{pattern}`, which {does}");
            let at = format!("{pointer}/action");
            self.warn("conflicting_actions", Token::Value, at, message, HELP);
            return;
        }
        let (message, help) = if over == Some(ActionKind::Deny) {
            (format!("`{pattern}` denies it before this entry is asked"), HELP)
        } else if is_bare(wide.rule) {
            (format!("`{pattern}` permits `{name}` already"), "leave it out")
        } else {
            let message =
                format!("`{pattern}` goes for `{name}` as well, so this entry changes nothing");
            (message, HELP)
        };
        self.warn("pointless_entry", Token::Key, pointer, message, help);
    }

    /// A rule, and how it is written.
    fn rule(&mut self, rule: &Rule, value: Value<'_>, name: Option<&NamePattern>) {
        self.action(rule, value);
        self.limits(rule);
        let lists = [
            ("require", &rule.require, Doubt::Fails),
            ("deny_if", &rule.deny_if, Doubt::Holds),
            ("approval_if", &rule.approval_if, Doubt::Holds),
        ];
        for (list, clauses, doubt) in lists {
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

    /// `action` and what stands beside it.
    fn action(&mut self, rule: &Rule, value: Value<'_>) {
        let pointer = &rule.pointer;
        if kind(rule) == Some(ActionKind::Deny) {
            let dead = DEAD_BESIDE_DENY.into_iter().find(|field| value.member(field).is_some());
            if let Some(field) = dead {
                let field = format!("{pointer}/{field}");
                let message = "this is never looked at beside `\"action\": \"deny\"`".to_owned();
                let help = "leave out one of them; without `action` the rule denies by its conditions only";
                self.warn("conflicting_actions", Token::Key, field, message, help);
            }
        }
        if rule.action.is_none() && value.member("reason").is_some() {
            let unused = format!("{pointer}/reason");
            let message = "nobody ever reads this `reason`".to_owned();
            let help = "it is the message of `\"action\": \"deny\"` and `\"require_approval\"`; the messages of conditions and limits are their own `on_deny`";
            self.warn("unused_reason", Token::Key, unused, message, help);
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
                self.warn("max_zero", Token::Value, max, message, help);
            } else if limit.increment_from.is_none() && limit.increment > limit.max {
                let message =
                    format!("a call costs {}, so this `max` lets none through", limit.increment);
                self.warn(
                    "max_zero",
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
                    self.warn("counter_twice", Token::Key, pointer.to_string(), message, help);
                } else {
                    self.warn("counter_twice", Token::Value, named, message, help);
                }
            }
        }
    }

    /// Conditions that cannot hold, by themselves or beside those before them.
    fn conditions(&mut self, list: &str, clause: &Clause, doubt: Doubt) {
        // What cannot be decided counts as holding in the last two (contract P8).
        let (never, so) = match list {
            "require" => ("can never hold", "so every call is denied"),
            "deny_if" => ("holds in doubt only", "so no clear call is denied by this entry"),
            _ => ("holds in doubt only", "so no clear call is held by this entry"),
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
                self.warn("never_holds", Token::Value, format!("{pointer}/path"), message, help);
                continue;
            }
            if let Some(why) = contradiction::alone(&condition.test) {
                let message = format!("this condition {never}, {so}: {why}");
                self.warn(
                    "never_holds",
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
                self.warn("never_holds", Token::Value, format!("{pointer}/value"), message, help);
            }
        }
    }

    /// An entry of `require`.
    fn required(&mut self, clause: &Clause) {
        if clause.conditions.is_empty() {
            let message = "no conditions: this always holds, and requires nothing".to_owned();
            let help = "name a condition, or leave the entry out";
            self.warn(
                "empty_require",
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
                self.warn("requires_the_forbidden", Token::Value, pointer, message, help);
            }
            let Test::Regex(regex) = &condition.test else { continue };
            let Some(missing) = contradiction::missing_anchor(regex.as_str()) else { continue };
            let pointer = format!("{}/conditions/{nth}/value", clause.pointer);
            let message =
                format!("this pattern is not held to the whole text: it has no {missing}");
            let help = "`^` and `$` hold it to the whole text; `(?s:.*)` stands for anything before or behind";
            self.warn("unanchored_regex", Token::Value, pointer, message, help);
        }
    }

    /// `told` are the paths that this rule has been warned of, or says itself that they may be absent.
    fn absent_passes(
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
            // Those beside it, and in `require`, have to be looked through.
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
            self.warn("absent_passes", Token::Value, pointer, message, &help);
        }
    }

    /// Patterns that by themselves take the work of a decision (contract 3.5), each told once.
    fn patterns(&mut self, entries: &[Entry<'_>]) {
        /// A call of this size, in bytes, is nothing unusual.
        const CALL_BYTES: usize = 64 * 1024;
        let mut told = HashSet::new();
        let common: Vec<&Rule> = self.policy.all_tools.iter().collect();
        let alone = std::iter::once(common.clone());
        let rules = entries.iter().map(|entry| [vec![entry.rule], common.clone()].concat());
        for rules in alone.chain(rules) {
            // At one path there is one text; a call is as long as all of them together.
            let mut by_path: HashMap<&ArgPath, u64> = HashMap::new();
            for clause in rules
                .iter()
                .flat_map(|rule| rule.require.iter().chain(&rule.deny_if).chain(&rule.approval_if))
            {
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
                    self.warn("costly_pattern", Token::Value, pointer, message, help);
                }
            }
        }
    }

    /// True if no call passes without something at the path of `condition`.
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

fn kind(rule: &Rule) -> Option<ActionKind> {
    rule.action.as_ref().map(|action| action.kind)
}

fn reason(rule: &Rule) -> Option<&String> {
    rule.action.as_ref()?.reason.as_ref()
}

/// True if a rule does nothing but permit.
fn is_bare(rule: &Rule) -> bool {
    let Rule { pointer: _, mode: _, action, require, deny_if, approval_if, limits } = rule;
    action.is_none()
        && require.is_empty()
        && deny_if.is_empty()
        && approval_if.is_empty()
        && limits.is_empty()
}

/// A condition in a message.
fn short(condition: &Condition) -> String {
    name_for_problem(&condition.to_string())
}

/// True if nothing in a document is an addition of callgate's: it may have been written for `PolicyLayer`.
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
