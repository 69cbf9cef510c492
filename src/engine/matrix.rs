//! How a policy stands to the tools of a server, before any call is made.

use super::decide::{is_closed, never_passes};
use super::name::{NamePattern, same_but_for_case};
use super::policy::{ActionKind, Mode, Policy, Rule};

/// What becomes of the calls of one tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They go out.
    Allow,
    /// Their arguments decide.
    Conditional,
    /// They go out while the limits have room.
    Limited,
    /// A human must approve each.
    Ask,
    /// None goes out.
    Deny,
    /// None goes out, and the tool leaves the list.
    Hidden,
}

impl Standing {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Standing::Allow => "allow",
            Standing::Conditional => "conditional",
            Standing::Limited => "limited",
            Standing::Ask => "ask",
            Standing::Deny => "deny",
            Standing::Hidden => "hidden",
        }
    }
}

/// A tool of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub tool: String,
    /// What becomes of its calls.
    pub standing: Standing,
    /// What names it: pointers of `/hide` and entries of `tools`, or `(confusable name)` if it looks like what they
    /// name. If there is none, the default decides.
    pub entries: Vec<String>,
}

/// A name or pattern of the policy that means no tool of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// As the policy writes it.
    pub name: String,
    /// Where it stands: an entry of `tools`, or `/hide`.
    pub pointer: String,
    /// The tool that may have been meant.
    pub did_you_mean: Option<String>,
}

/// A policy beside a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// The server's tools, in its order.
    pub rows: Vec<Row>,
    /// What the policy names and the server does not have.
    pub strays: Vec<Stray>,
}

impl Matrix {
    /// Puts the policy beside the names of a server's tools.
    #[must_use]
    pub fn of(policy: &Policy, tools: &[String]) -> Self {
        let rows = tools.iter().map(|tool| Row::of(policy, tool)).collect();
        let mut strays = Vec::new();
        for (name, rule) in policy.tools.in_file_order() {
            strays.extend(Stray::of(&name, &rule.pointer, tools));
        }
        let mut hidden: Vec<&str> = policy.hide.iter().collect();
        hidden.sort_unstable();
        for name in hidden {
            strays.extend(Stray::of(&NamePattern::new(name), "/hide", tools));
        }
        Matrix { rows, strays }
    }
}

impl Row {
    fn of(policy: &Policy, tool: &str) -> Self {
        let matching = policy.tools.matching(tool);
        let hide = policy.hide.matches(tool).then(|| "/hide".to_owned());
        let confusable = policy.is_confusable(tool, &matching);
        let confusable = confusable.then(|| "(confusable name)".to_owned());
        let rules = matching.rules.iter().map(|rule| rule.pointer.to_string());
        let entries = hide.into_iter().chain(confusable).chain(rules).collect();
        Row { tool: tool.to_owned(), standing: standing(policy, tool), entries }
    }
}

impl Stray {
    fn of(name: &NamePattern, pointer: &str, tools: &[String]) -> Option<Self> {
        if tools.iter().any(|tool| name.matches(tool)) {
            return None;
        }
        let near = if name.is_wild() { None } else { nearest(name.as_str(), tools) };
        Some(Stray {
            name: name.as_str().to_owned(),
            pointer: pointer.to_owned(),
            did_you_mean: near.cloned(),
        })
    }
}

/// The tool whose name is the same but for case or a slip of the keys in every five letters, if there is one.
fn nearest<'t>(name: &str, tools: &'t [String]) -> Option<&'t String> {
    let slips = name.len().div_ceil(5);
    let apart = |tool: &str| {
        if same_but_for_case(tool, name) { 0 } else { strsim::osa_distance(tool, name) }
    };
    let near = tools.iter().map(|tool| (apart(tool), tool)).filter(|(apart, _)| *apart <= slips);
    near.min_by_key(|(apart, _)| *apart).map(|(_, tool)| tool)
}

/// What becomes of the calls of a tool.
#[must_use]
pub fn standing(policy: &Policy, tool: &str) -> Standing {
    let enforced = policy.document_mode(None) == Mode::Enforce;
    if enforced && policy.hide.matches(tool) {
        return Standing::Hidden;
    }
    if enforced && never_passes(policy, tool) {
        return Standing::Deny;
    }
    let matching = policy.tools.matching(tool).rules.into_iter().chain(&policy.all_tools);
    let rules: Vec<&Rule> =
        matching.filter(|rule| policy.mode_of(rule, None) == Mode::Enforce).collect();
    let any = |of: fn(&Rule) -> bool| rules.iter().any(|rule| of(rule));
    if rules.iter().any(|rule| is_closed(policy, rule)) {
        Standing::Deny
    } else if any(always_asks) {
        Standing::Ask
    } else if any(is_conditional) {
        Standing::Conditional
    } else if any(|rule| !rule.limits.is_empty()) {
        Standing::Limited
    } else {
        Standing::Allow
    }
}

fn always_asks(rule: &Rule) -> bool {
    let action = rule.action.as_ref();
    action.is_some_and(|action| action.kind == ActionKind::RequireApproval)
        || rule.approval_if.iter().any(|clause| clause.conditions.is_empty())
}

fn is_conditional(rule: &Rule) -> bool {
    let mut clauses = rule.require.iter().chain(&rule.deny_if).chain(&rule.approval_if);
    clauses.any(|clause| !clause.conditions.is_empty())
}
