//! A policy file → a [`Policy`], or everything that is wrong with it, each problem with its place (contract P1).

mod contradiction;
pub mod diagnostic;
pub mod fields;
pub mod hints;
pub mod lint;
pub mod policy_test;
pub mod shape;

use std::collections::HashMap;
use std::sync::Arc;

use self::policy_test::{Example, Expect};
use crate::engine::decide::amount_of;
use crate::engine::policy::condition::{Bound, Condition, Scalar, Test};

use self::fields::{
    Entry, Fields, Node, Place, Problem, Problems, boolean, elements, entries, name,
    name_for_problem, open_bracket, pointer_of_key, string, word, word_or,
};
use self::shape::{ASKING, CLAUSE, CONDITION, DOCUMENT, LIMIT, RATE_LIMIT, RULE, Shape, TEST};
use crate::engine::json::reader::{Fault, JsonError, KeyRule, MAX_DEPTH, Reader, Scratch};
use crate::engine::json::value::{Kind, Str};
use crate::engine::limits::{Amount, CounterKey, NAMED_WINDOWS, Scope, Window};
use crate::engine::policy::one_of::OneOf;
use crate::engine::policy::path::ArgPath;
use crate::engine::policy::pattern::{Allowance, Pattern, PatternError};
use crate::engine::policy::{
    Action, ActionKind, Clause, Effect, Limit, MethodRule, Methods, Mode, Names, Policy, Rule,
    Tools,
};
use crate::engine::text::name::NamePattern;
use jiff::Timestamp;

/// The longest window in seconds: a leap year.
const MAX_WINDOW_SECONDS: u32 = 31_622_400;

const EFFECTS: [(&str, Effect); 2] = [("allow", Effect::Allow), ("deny", Effect::Deny)];
const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];
const SCOPES: [(&str, Scope); 3] =
    [("grant", Scope::Grant), ("session", Scope::Session), ("server", Scope::Server)];
const ACTIONS: [(&str, Option<ActionKind>); 3] = [
    ("allow", None),
    ("deny", Some(ActionKind::Deny)),
    ("require_approval", Some(ActionKind::RequireApproval)),
];

/// Compiles the bytes of a policy file. Its tests are read, but not run.
///
/// # Errors
/// Every problem of the file, in file order.
pub fn compile(file: &[u8]) -> Result<Policy, Vec<Problem>> {
    compile_with_tests(file).map(|(policy, _)| policy)
}

/// Compiles the bytes of a policy file, and its tests with it.
///
/// # Errors
/// Every problem of the file, in file order.
pub fn compile_with_tests(file: &[u8]) -> Result<(Policy, Vec<Example>), Vec<Problem>> {
    compile_unless(file, &|| false)
}

/// The same, unless somebody says on the way that the file is stale: `is_stale` is asked now and then.
///
/// # Errors
/// Every problem of the file, in file order; any or none if it is stale.
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

fn unreadable(at: usize, message: String, help: Option<String>) -> Problem {
    Problem { at, pointer: String::new(), message, help }
}

fn syntax_problem(text: &str, error: JsonError) -> Problem {
    if text.starts_with('\u{FEFF}') {
        let help = Some("save the file as UTF-8 without BOM".to_owned());
        return unreadable(0, "a byte order mark at the start".to_owned(), help);
    }
    if text.trim().is_empty() {
        let help = Some(r#"the least policy is `{"version":"1","default":"deny"}`"#.to_owned());
        return unreadable(error.at, "the file is empty".to_owned(), help);
    }
    let rest = text.get(error.at..).unwrap_or_default();
    let help = match rest.chars().next() {
        Some('/' | '#') => Some("JSON has no comments; use `description`"),
        Some('}' | ']') => Some("no comma stands before a closing bracket"),
        Some('\'') => Some("strings stand in double quotes"),
        Some('"') => Some("a comma or colon is missing before this"),
        _ => None,
    };
    let unclosed = || {
        let (at, bracket) = open_bracket(text).filter(|_| rest.is_empty())?;
        Some(format!("the `{bracket}` at {} is not closed", Place::of(at, text.as_bytes())))
    };
    let message = match (error.fault, rest.chars().next()) {
        (Fault::TooDeep | Fault::TooManyKeys | Fault::Interrupted, _) => error.fault.to_string(),
        (fault, None) => format!("{fault}, found the end of the file"),
        (fault, Some(found)) if found.is_control() => {
            format!("{fault}, found `{}`", found.escape_debug())
        }
        (fault, Some(found)) => format!("{fault}, found `{found}`"),
    };
    unreadable(error.at, message, help.map(str::to_owned).or_else(unclosed))
}

struct Compiler<'s> {
    /// See [`compile_unless`].
    is_stale: &'s dyn Fn() -> bool,
    /// It has said so.
    is_over: bool,
    problems: Problems,
    /// Patterns by their text: policies repeat them.
    patterns: HashMap<String, Pattern>,
    /// What is left for them together.
    allowance: Allowance,
    /// They take more.
    has_too_many: bool,
    /// When the last test is, in milliseconds since the epoch.
    clock_ms: Option<u64>,
    /// How many calls the tests make.
    calls: u32,
}

/// `None` means that a problem has been added, or that nobody waits for the policy any more.
impl<'s> Compiler<'s> {
    fn new(is_stale: &'s dyn Fn() -> bool) -> Self {
        Compiler {
            is_stale,
            is_over: false,
            problems: Problems::default(),
            patterns: HashMap::new(),
            allowance: Allowance::default(),
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
            .and_then(|node| word(&node, &EFFECTS, hints::EFFECTS, &mut self.problems));
        let mode = self.optional(&fields, "mode", |this, node| {
            word(node, &MODES, hints::MODES, &mut this.problems)
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

    /// An entry of `tests` (contract P16).
    fn example(&mut self, node: &Node<'_>) -> Option<Example> {
        let fields = Fields::open(node, TEST, &mut self.problems)?;
        let text = |this: &mut Self, name: &str, help: &str| {
            let node = fields.require(name, help, &mut this.problems);
            node.and_then(|node| string(&node, &mut this.problems))
        };
        let name = text(self, "name", "what the test shows, for people");
        let tool = text(self, "tool", "the tool that is called");
        let arguments = self.optional(&fields, "arguments", |this, node| {
            if !node.value.is_object() {
                this.problems.wrong_type(node, "an object");
            }
            Some(node.value.text().to_owned())
        });
        let at_ms = self.optional(&fields, "at", Self::time);
        let at_ms = at_ms.or(self.clock_ms).unwrap_or(policy_test::START_MS);
        self.clock_ms = Some(at_ms);
        let times = self.optional(&fields, "times", Self::times).unwrap_or(1);
        self.count_calls(node, times);
        let help = "`allow`, `deny`, `ask` or `hide`";
        let expect_node = fields.require("expect", help, &mut self.problems);
        let expect_at = expect_node.as_ref().map(|node| node.value.start());
        let expect = expect_node
            .and_then(|node| word(&node, &Expect::WORDS, hints::EXPECTS, &mut self.problems));
        let rule = self.optional(&fields, "rule", |this, node| {
            string(node, &mut this.problems).map(|rule| (rule, node.value.start()))
        });
        let (rule, rule_at) = rule.map_or((None, 0), |(rule, at)| (Some(rule), at));
        Some(Example {
            name: name?,
            tool: tool?,
            arguments: arguments.unwrap_or_else(|| "{}".to_owned()),
            at_ms,
            times,
            expect: expect?,
            rule,
            pointer: node.pointer.clone(),
            expect_at: expect_at?,
            rule_at,
        })
    }

    /// A time that is not earlier than that of the test before, in milliseconds since the epoch.
    fn time(&mut self, node: &Node<'_>) -> Option<u64> {
        let text = node.value.as_str().and_then(Str::decode).unwrap_or_default();
        let time = text.parse::<Timestamp>().ok().filter(|_| is_rfc_3339(&text));
        let Some(at_ms) = time.and_then(|time| u64::try_from(time.as_millisecond()).ok()) else {
            self.problems.wrong_type(node, "a time from 1970 on, such as `2026-01-01T09:00:00Z`");
            return None;
        };
        if self.clock_ms.is_some_and(|clock_ms| at_ms < clock_ms) {
            let help = "tests run in file order, on one set of counters".to_owned();
            self.problems.add(node, "this is earlier than the test before", Some(help));
        }
        Some(at_ms)
    }

    fn times(&mut self, node: &Node<'_>) -> Option<u32> {
        let number = match node.value.kind() {
            Kind::Number(number) if !number.is_negative() => number.scaled(0),
            _ => None,
        };
        let times = number.and_then(|times| u32::try_from(times).ok());
        let times = times.filter(|times| (1..=policy_test::MAX_CALLS).contains(times));
        let Some(times) = times else {
            let expected = format!("a whole number from 1 to {}", policy_test::MAX_CALLS);
            self.problems.wrong_type(node, &expected);
            return None;
        };
        Some(times)
    }

    fn count_calls(&mut self, node: &Node<'_>, times: u32) {
        let before = self.calls;
        self.calls = before.saturating_add(times);
        if before <= policy_test::MAX_CALLS && self.calls > policy_test::MAX_CALLS {
            let message =
                format!("up to here, the tests make more than {} calls", policy_test::MAX_CALLS);
            self.problems.add(node, message, None);
        }
    }

    fn names(&mut self, list: &Node<'_>) -> Names {
        let nodes = elements(list, &mut self.problems);
        let names = nodes.iter().filter_map(|node| name(node, &mut self.problems));
        Names::new(names.map(|name| NamePattern::new(&name)))
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
        for Entry { name, name_at, node } in entries(node, example, &mut self.problems) {
            let effect = word(&node, &EFFECTS, hints::EFFECTS, &mut self.problems);
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

    /// `key` is the rule's name as written: a `rate_limit` counts under it.
    fn rule(&mut self, node: &Node<'_>, key: &str) -> Option<Rule> {
        let fields = Fields::open(node, RULE, &mut self.problems)?;
        fields.get("description").and_then(|node| string(&node, &mut self.problems));
        let mode = self.optional(&fields, "mode", |this, node| {
            word(node, &MODES, hints::MODES, &mut this.problems)
        });
        let reason =
            self.optional(&fields, "reason", |this, node| string(node, &mut this.problems));
        let action = self.optional(&fields, "action", |this, node| {
            let kind = word(node, &ACTIONS, hints::ACTIONS, &mut this.problems)??;
            Some(Action { kind, pointer: node.pointer.as_str().into(), reason: reason.clone() })
        });
        let require = self.clauses(&fields, "require", CLAUSE);
        let deny_if = self.clauses(&fields, "deny_if", CLAUSE);
        let approval_if = self.clauses(&fields, "approval_if", ASKING);
        let mut limits = self.list(&fields, "limits", Self::limit);
        limits.extend(fields.get("rate_limit").and_then(|node| self.rate_limit(&node, key)));
        let limits = limits.into_iter().map(Arc::new).collect();
        let pointer = node.pointer.as_str().into();
        Some(Rule { pointer, mode, action, require, deny_if, approval_if, limits })
    }

    fn clauses(&mut self, fields: &Fields<'_>, name: &str, shape: Shape) -> Vec<Clause> {
        self.list(fields, name, |this, node| this.clause(node, shape))
    }

    fn clause(&mut self, node: &Node<'_>, shape: Shape) -> Option<Clause> {
        self.is_over = self.is_over || (self.is_stale)();
        if self.is_over {
            return None;
        }
        let fields = Fields::open(node, shape, &mut self.problems)?;
        let [_, message] = shape.fields else { return None };
        let words = self.optional(&fields, message, |this, node| string(node, &mut this.problems));
        let help = "a list of `{\"path\", \"op\", \"value\"}`";
        let list = fields.require("conditions", help, &mut self.problems)?;
        let nodes = elements(&list, &mut self.problems);
        let conditions = nodes.iter().filter_map(|node| self.condition(node)).collect();
        Some(Clause { pointer: node.pointer.as_str().into(), conditions, message: words })
    }

    fn condition(&mut self, node: &Node<'_>) -> Option<Condition> {
        let fields = Fields::open(node, CONDITION, &mut self.problems)?;
        let help = "where to look, such as `args.width`";
        let path = fields.require("path", help, &mut self.problems);
        let path = path.and_then(|node| self.path(&node));
        let op = fields.require("op", "an operator such as `eq`", &mut self.problems);
        let value = fields.require("value", "what to compare with", &mut self.problems);
        let text = value.as_ref().and_then(|node| node.value.as_str()).and_then(Str::decode);
        let hint = |op: &str| {
            hints::operator(op)
                .map(str::to_owned)
                .or_else(|| hints::no_operator(op, text.as_deref()))
        };
        let op = op.and_then(|node| word_or(&node, &OPERATORS, hint, &mut self.problems))?;
        let test = value.and_then(|node| self.test(op, &node))?;
        Some(Condition { path: path?, test })
    }

    fn path(&mut self, node: &Node<'_>) -> Option<ArgPath> {
        let text = string(node, &mut self.problems)?;
        let parsed = ArgPath::parse(&text);
        let help = || Some(format!("did you mean `{}`?", hints::path(&text)?));
        parsed.map_err(|error| self.problems.add(node, error.message, help())).ok()
    }

    fn test(&mut self, op: Operator, node: &Node<'_>) -> Option<Test> {
        Some(match op {
            Operator::Eq => Test::Equal(self.scalar(node)?),
            Operator::Neq => Test::NotEqual(self.scalar(node)?),
            Operator::Contains => Test::Contains(self.scalar(node)?),
            Operator::Lt => Test::Less(self.bound(node)?),
            Operator::Lte => Test::AtMost(self.bound(node)?),
            Operator::Gt => Test::Greater(self.bound(node)?),
            Operator::Gte => Test::AtLeast(self.bound(node)?),
            Operator::In => Test::In(OneOf::new(self.scalars(node)?)),
            Operator::NotIn => Test::NotIn(OneOf::new(self.scalars(node)?)),
            Operator::Exists => Test::Exists(boolean(node, &mut self.problems)?),
            Operator::Regex => Test::Regex(self.pattern(node)?),
        })
    }

    fn pattern(&mut self, node: &Node<'_>) -> Option<Pattern> {
        let text = string(node, &mut self.problems)?;
        if let Some(pattern) = self.patterns.get(&text) {
            return Some(pattern.clone());
        }
        let error = match Pattern::new(&text, &mut self.allowance) {
            Ok(pattern) => {
                self.patterns.insert(text, pattern.clone());
                return Some(pattern);
            }
            Err(error) => error,
        };
        let (message, help) = match error {
            PatternError::Syntax(error) => {
                // The last line says what is wrong; those before it draw the pattern.
                let cause = error.lines().last().unwrap_or_default();
                let message = format!("bad pattern: {}", cause.trim_start_matches("error: "));
                let help = "the syntax is that of Rust's regex: no look-around, no back-references";
                (message, Some(help))
            }
            PatternError::TooLarge => {
                let help = "a repetition such as `.{1000}` counts for each time, and `\\w` for all its letters";
                ("bad pattern: it takes more than 8 MiB when compiled".to_owned(), Some(help))
            }
            // Said once: each further pattern would say it again.
            PatternError::TooMany if self.has_too_many => return None,
            PatternError::TooMany => {
                self.has_too_many = true;
                ("the patterns of this policy take too much memory together".to_owned(), None)
            }
        };
        self.problems.add(node, message, help.map(str::to_owned));
        None
    }

    fn scalars(&mut self, node: &Node<'_>) -> Option<Vec<Scalar>> {
        let nodes = elements(node, &mut self.problems);
        if nodes.is_empty() {
            if matches!(node.value.kind(), Kind::Array) {
                self.problems.add(node, "an empty list matches nothing", None);
            }
            return None;
        }
        let scalars: Vec<_> = nodes.iter().map(|node| self.scalar(node)).collect();
        scalars.into_iter().collect()
    }

    fn scalar(&mut self, node: &Node<'_>) -> Option<Scalar> {
        match node.value.kind() {
            Kind::Null => Some(Scalar::Null),
            Kind::Bool(value) => Some(Scalar::Bool(value)),
            Kind::Number(number) => Some(Scalar::Number(number.text().to_owned())),
            Kind::String(_) => string(node, &mut self.problems).map(Scalar::String),
            Kind::Array | Kind::Object => {
                let is_list = matches!(node.value.kind(), Kind::Array);
                let help = is_list.then(|| "`in` and `not_in` compare with a list".to_owned());
                let expected = "a string, a number, `true`, `false` or `null`";
                self.problems.wrong_type_with(node, expected, help);
                None
            }
        }
    }

    fn bound(&mut self, node: &Node<'_>) -> Option<Bound> {
        match node.value.kind() {
            Kind::Number(number) => Some(Bound::Number(number.text().to_owned())),
            Kind::String(_) => string(node, &mut self.problems).map(Bound::String),
            Kind::Null | Kind::Bool(_) | Kind::Array | Kind::Object => {
                self.problems.wrong_type(node, "a number or a string");
                None
            }
        }
    }

    fn limit(&mut self, node: &Node<'_>) -> Option<Limit> {
        let fields = Fields::open(node, LIMIT, &mut self.problems)?;
        let name = fields.require("counter", "the counter's name", &mut self.problems);
        let name = name.and_then(|node| self.counter_name(&node));
        let window = self.window_field(&fields);
        let max = fields.require("max", "how much a window lets through", &mut self.problems);
        let max = max.and_then(|node| self.amount(&node));
        let calendar = self.optional(&fields, "align", |this, node| {
            word(node, &[("calendar", ())], hints::ALIGNS, &mut this.problems)
        });
        let scope = self.scope(&fields, window);
        let increment = self.optional(&fields, "increment", Self::amount);
        let increment_from = self.optional(&fields, "increment_from", Self::single_path);
        let on_deny =
            self.optional(&fields, "on_deny", |this, node| string(node, &mut this.problems));
        let window = match (calendar, window?) {
            (None, window) => window,
            (Some(()), Window::Sliding(seconds)) if is_named(&fields) => Window::Calendar(seconds),
            (Some(()), _) => {
                let help = "the calendar has `minute`, `hour`, `day` and `week`".to_owned();
                let align = fields.get("align").unwrap_or_else(|| fields.node().clone());
                self.problems.add(&align, "`align` needs a named window", Some(help));
                return None;
            }
        };
        let counter = CounterKey { scope: scope?, name: name?, window };
        let increment = increment.unwrap_or(Amount::ONE);
        let max = max?;
        let pointer = node.pointer.as_str().into();
        let what = what(max, &counter);
        Some(Limit { pointer, what, counter, max, increment, increment_from, on_deny })
    }

    fn rate_limit(&mut self, node: &Node<'_>, key: &str) -> Option<Limit> {
        if !node.value.is_object() {
            let text = node.value.as_str().and_then(Str::decode).unwrap_or_default();
            let number = matches!(node.value.kind(), Kind::Number(_));
            let text =
                if number { format!("{}/minute", node.value.text()) } else { text.into_owned() };
            self.problems.wrong_type_with(node, "an object", Some(hints::rate(&text)));
            return None;
        }
        let fields = Fields::open(node, RATE_LIMIT, &mut self.problems)?;
        let max = fields.require("max", "how many calls a window lets through", &mut self.problems);
        let max = max.and_then(|node| self.amount(&node));
        let window = self.window_field(&fields)?;
        let scope = if window == Window::Session { Scope::Session } else { Scope::Grant };
        let counter = CounterKey { scope, name: format!("{key}_rate").into(), window };
        let max = max?;
        Some(Limit {
            pointer: node.pointer.as_str().into(),
            what: what(max, &counter),
            counter,
            max,
            increment: Amount::ONE,
            increment_from: None,
            on_deny: None,
        })
    }

    fn counter_name(&mut self, node: &Node<'_>) -> Option<Arc<str>> {
        let name = string(node, &mut self.problems)?;
        if name.is_empty() {
            self.problems.add(node, "a counter needs a name", None);
            return None;
        }
        Some(name.into())
    }

    /// The scope of a limit; a session window has no other than `session` (contract P9).
    fn scope(&mut self, fields: &Fields<'_>, window: Option<Window>) -> Option<Scope> {
        let session = window == Some(Window::Session);
        let Some(node) = fields.get("scope") else {
            return Some(if session { Scope::Session } else { Scope::Grant });
        };
        let scope = word(&node, &SCOPES, hints::SCOPES, &mut self.problems)?;
        if session && scope != Scope::Session {
            let help = "leave `scope` out, or say `session`".to_owned();
            self.problems.add(&node, "a limit per session has no other scope", Some(help));
            return None;
        }
        Some(scope)
    }

    fn window_field(&mut self, fields: &Fields<'_>) -> Option<Window> {
        let help = "`minute`, `hour`, `day`, `week`, `session`, or a number of seconds";
        let node = fields.require("window", help, &mut self.problems)?;
        match node.value.kind() {
            Kind::String(_) => {
                let named = NAMED_WINDOWS.map(|(name, seconds)| (name, Window::Sliding(seconds)));
                let [minute, hour, day, week] = named;
                let words = [minute, hour, day, week, ("session", Window::Session)];
                word_or(&node, &words, hints::window, &mut self.problems)
            }
            Kind::Number(number) => {
                let seconds = number.scaled(0).filter(|_| !number.is_negative());
                let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok());
                let in_range = seconds.filter(|seconds| (1..=MAX_WINDOW_SECONDS).contains(seconds));
                if in_range.is_none() {
                    let expected = "a whole number of seconds from 1 to 31622400";
                    self.problems.wrong_type(&node, expected);
                }
                in_range.map(Window::Sliding)
            }
            _ => {
                let expected = "`minute`, `hour`, `day`, `week`, `session` or a number of seconds";
                self.problems.wrong_type(&node, expected);
                None
            }
        }
    }

    fn amount(&mut self, node: &Node<'_>) -> Option<Amount> {
        let amount = match node.value.kind() {
            Kind::Number(number) => amount_of(number),
            _ => None,
        };
        if amount.is_none() {
            let expected = "a number from 0 to 10^15 with at most 9 digits after the point";
            let text = node.value.as_str().and_then(Str::decode);
            self.problems.wrong_type_with(
                node,
                expected,
                text.and_then(|text| hints::number(&text)),
            );
        }
        amount
    }

    /// A path that stands for one value at most.
    fn single_path(&mut self, node: &Node<'_>) -> Option<ArgPath> {
        let path = self.path(node)?;
        if path.is_many() {
            self.problems.add(node, "an amount is one value; `[*]` stands for many", None);
            return None;
        }
        Some(path)
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

/// True if a text has the form of a time in RFC 3339: `2026-01-01T09:00:00.5+01:00`.
fn is_rfc_3339(text: &str) -> bool {
    let form: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let form = form.to_ascii_uppercase();
    let Some(rest) = form.strip_prefix("0000-00-00T00:00:00") else { return false };
    let zone = if rest.starts_with(".0") {
        rest.trim_start_matches('.').trim_start_matches('0')
    } else {
        rest
    };
    matches!(zone, "Z" | "+00:00" | "-00:00")
}

/// A limit in words: `30 per minute (images)`.
fn what(max: Amount, counter: &CounterKey) -> Arc<str> {
    format!("{max} per {} ({})", counter.window, counter.name).into()
}

/// True if a limit's window is a name and not a number.
fn is_named(fields: &Fields<'_>) -> bool {
    fields.get("window").is_some_and(|node| node.value.as_str().is_some())
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    Eq,
    Neq,
    Lt,
    Lte,
    Gt,
    Gte,
    In,
    NotIn,
    Exists,
    Regex,
    Contains,
}

const OPERATORS: [(&str, Operator); 11] = [
    ("eq", Operator::Eq),
    ("neq", Operator::Neq),
    ("lt", Operator::Lt),
    ("lte", Operator::Lte),
    ("gt", Operator::Gt),
    ("gte", Operator::Gte),
    ("in", Operator::In),
    ("not_in", Operator::NotIn),
    ("exists", Operator::Exists),
    ("regex", Operator::Regex),
    ("contains", Operator::Contains),
];
