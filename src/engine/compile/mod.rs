//! Compiles a policy file to a [`Policy`], or reports every problem with its place (contract P1).

mod condition;
mod contradiction;
pub mod diagnostic;
pub mod fields;
pub mod hints;
mod limit;
pub mod lint;
pub mod policy_test;
pub mod review;
pub mod shape;
mod syntax;

use std::collections::HashMap;

use self::fields::{
    Fields, NamedEntry, Node, Problem, Problems, boolean, elements, entries, name,
    name_for_problem, pointer_of_key, string, word,
};
use self::policy_test::Example;
use self::shape::{ASKING, CLAUSE, DOCUMENT, RULE};
use self::syntax::{syntax_problem, unreadable};
use crate::engine::json::reader::{KeyRule, MAX_DEPTH, Reader, Scratch};
use crate::engine::policy::pattern::{Pattern, PatternAllowance};
use crate::engine::policy::{
    ActionKind, ClauseList, Effect, MethodRule, Methods, Mode, NameSet, Policy, Rule, RuleAction,
    Tools,
};
use crate::engine::text::name::NamePattern;

const ACTIONS: [(&str, Option<ActionKind>); 3] = [
    ("allow", None),
    (ActionKind::Deny.word(), Some(ActionKind::Deny)),
    (ActionKind::RequireApproval.word(), Some(ActionKind::RequireApproval)),
];

/// Compiles a policy file. Reads its tests without running them.
///
/// # Errors
/// Every problem of the file, in file order.
pub fn compile(file: &[u8]) -> Result<Policy, Vec<Problem>> {
    compile_with_tests(file).map(|(policy, _)| policy)
}

/// Compiles a policy file and its tests.
///
/// # Errors
/// Every problem of the file, in file order.
pub fn compile_with_tests(file: &[u8]) -> Result<(Policy, Vec<Example>), Vec<Problem>> {
    compile_unless(file, &|| false)
}

/// [`compile_with_tests`] that stops early if the file is stale: it calls `is_stale` now and then.
///
/// # Errors
/// Every problem of the file, in file order; some or none if the file is stale.
pub fn compile_unless(
    file: &[u8],
    is_stale: &dyn Fn() -> bool,
) -> Result<(Policy, Vec<Example>), Vec<Problem>> {
    let text = std::str::from_utf8(file)
        .map_err(|error| vec![unreadable(error.valid_up_to(), "not UTF-8".to_owned(), None)])?;
    let mut scratch = Scratch::default();
    let root = Reader::new(text, MAX_DEPTH, &mut scratch)
        .document(KeyRule::Unique)
        .map_err(|error| vec![syntax_problem(text, error)])?;
    let mut compiler = Compiler::new(is_stale);
    for &at in scratch.duplicates() {
        let pointer = pointer_of_key(text, at);
        let key =
            pointer.rsplit('/').next().unwrap_or_default().replace("~1", "/").replace("~0", "~");
        let message = format!("duplicate key `{}`", name_for_problem(&key));
        let help = Some("each key stands once in an object".to_owned());
        compiler.problems.add_at(at, pointer, message, help);
    }
    let compiled = compiler.document(&Node { value: root, pointer: String::new() });
    match compiled {
        Some(compiled) if compiler.problems.is_empty() && !compiler.is_over => Ok(compiled),
        _ => Err(compiler.problems.into_sorted()),
    }
}

struct Compiler<'s> {
    /// See [`compile_unless`].
    is_stale: &'s dyn Fn() -> bool,
    /// It has returned true.
    is_over: bool,
    problems: Problems,
    /// Compiled patterns by their text, as policies repeat them.
    patterns: HashMap<String, Pattern>,
    /// The memory and work left for patterns.
    allowance: PatternAllowance,
    /// The patterns take more than that.
    has_too_many: bool,
    /// The time of the last test, in milliseconds since the epoch.
    clock_ms: Option<u64>,
    /// The number of calls that the tests make.
    calls: u32,
}

/// The readers return `None` if they added a problem, or if the file is stale.
impl<'s> Compiler<'s> {
    fn new(is_stale: &'s dyn Fn() -> bool) -> Self {
        Compiler {
            is_stale,
            is_over: false,
            problems: Problems::default(),
            patterns: HashMap::new(),
            allowance: PatternAllowance::default(),
            has_too_many: false,
            clock_ms: None,
            calls: 0,
        }
    }

    fn document(&mut self, root: &Node<'_>) -> Option<(Policy, Vec<Example>)> {
        let fields = Fields::open(root, DOCUMENT, &mut self.problems)?;
        for text in ["$schema", "description"] {
            fields.get(text).and_then(|node| string(&node, &mut self.problems));
        }
        let help = "callgate reads version `\"1\"`";
        if let Some(version) = fields.require("version", help, &mut self.problems) {
            word(&version, &[("1", ())], hints::VERSIONS, &mut self.problems);
        }
        let help =
            "`\"deny\"` or `\"allow\"`: what happens to a tool that no entry of `tools` matches";
        let default = fields
            .require("default", help, &mut self.problems)
            .and_then(|node| word(&node, Effect::WORDS, hints::EFFECTS, &mut self.problems));
        let mode = self.optional(&fields, "mode", |this, node| {
            word(node, Mode::WORDS, hints::MODES, &mut this.problems)
        });
        let hide = fields.get("hide").map(|node| self.names(&node)).unwrap_or_default();
        let hide_denied =
            self.optional(&fields, "hide_denied", |this, node| boolean(node, &mut this.problems));
        let all_tools = fields.get("all_tools").and_then(|node| self.rule(&node, "all_tools"));
        let tools = fields.get("tools").map(|node| self.tools(&node)).unwrap_or_default();
        let methods = fields.get("methods").map(|node| self.methods(&node)).unwrap_or_default();
        let tests = self.list(&fields, "tests", Self::example);
        let policy = Policy {
            default: default?,
            mode: mode.unwrap_or_default(),
            hide,
            hide_denied: hide_denied.unwrap_or_default(),
            tools,
            all_tools,
            methods,
        };
        Some((policy, tests))
    }

    fn names(&mut self, list: &Node<'_>) -> NameSet {
        let nodes = elements(list, &mut self.problems);
        let names = nodes.iter().filter_map(|node| name(node, &mut self.problems));
        NameSet::new(names.map(|name| NamePattern::new(&name)))
    }

    fn tools(&mut self, node: &Node<'_>) -> Tools {
        let example = r#"{ "search": {}, "delete_*": { "action": "deny" } }"#;
        let entries = entries(node, example, &mut self.problems);
        let rules = entries.iter().filter_map(|entry| {
            Some((NamePattern::new(&entry.name), self.rule(&entry.node, &entry.name)?))
        });
        Tools::new(rules)
    }

    fn methods(&mut self, node: &Node<'_>) -> Methods {
        let mut rules = Vec::new();
        let example = r#"{ "sampling/createMessage": "deny" }"#;
        for NamedEntry { name, name_at, node } in entries(node, example, &mut self.problems) {
            let effect = word(&node, Effect::WORDS, hints::EFFECTS, &mut self.problems);
            let pattern = NamePattern::new(&name);
            let unreachable = match &pattern {
                NamePattern::Exact(name) => Methods::UNTOUCHABLE.contains(&name.as_str()),
                NamePattern::Wild(text) => text.starts_with("notifications/"),
            };
            if unreachable {
                let (message, help) = match &pattern {
                    NamePattern::Exact(name) => (
                        format!("the method `{name}` cannot be named here"),
                        "callgate needs it; tools are ruled in `tools`".to_owned(),
                    ),
                    NamePattern::Wild(text) => (
                        format!("the pattern `{}` reaches no method", name_for_problem(text)),
                        "name notifications one by one".to_owned(),
                    ),
                };
                self.problems.add_at(name_at, node.pointer, message, Some(help));
                continue;
            }
            if let Some(effect) = effect {
                rules.push((pattern, MethodRule { effect, pointer: node.pointer.into() }));
            }
        }
        Methods::new(rules)
    }

    /// Reads a rule. `key` is its name as written, which names the counter of a `rate_limit`.
    fn rule(&mut self, node: &Node<'_>, key: &str) -> Option<Rule> {
        let fields = Fields::open(node, RULE, &mut self.problems)?;
        fields.get("description").and_then(|node| string(&node, &mut self.problems));
        let mode = self.optional(&fields, "mode", |this, node| {
            word(node, Mode::WORDS, hints::MODES, &mut this.problems)
        });
        let reason =
            self.optional(&fields, "reason", |this, node| string(node, &mut this.problems));
        let action = self.optional(&fields, "action", |this, node| {
            let kind = word(node, &ACTIONS, hints::ACTIONS, &mut this.problems)??;
            Some(RuleAction { kind, pointer: node.pointer.as_str().into(), reason: reason.clone() })
        });
        let require = self.clauses(&fields, ClauseList::Require, CLAUSE);
        let deny_if = self.clauses(&fields, ClauseList::DenyIf, CLAUSE);
        let approval_if = self.clauses(&fields, ClauseList::ApprovalIf, ASKING);
        let mut limits = self.list(&fields, "limits", Self::limit);
        limits.extend(fields.get("rate_limit").and_then(|node| self.rate_limit(&node, key)));
        let limits = limits.into_iter().map(std::sync::Arc::new).collect();
        let pointer = node.pointer.as_str().into();
        Some(Rule { pointer, mode, action, require, deny_if, approval_if, limits })
    }

    /// A field that may be left out.
    fn optional<'a, T>(
        &mut self,
        fields: &Fields<'a>,
        name: &str,
        read: impl FnOnce(&mut Self, &Node<'a>) -> Option<T>,
    ) -> Option<T> {
        fields.get(name).and_then(|node| read(self, &node))
    }

    /// A list that may be left out.
    fn list<'a, T>(
        &mut self,
        fields: &Fields<'a>,
        name: &str,
        mut read: impl FnMut(&mut Self, &Node<'a>) -> Option<T>,
    ) -> Vec<T> {
        let nodes = fields.get(name).map(|node| elements(&node, &mut self.problems));
        nodes.unwrap_or_default().iter().filter_map(|node| read(self, node)).collect()
    }
}
