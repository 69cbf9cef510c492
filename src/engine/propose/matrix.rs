//! What a policy does with the tools of a server, before any call is made.

use super::lexicon::says_what;
use crate::engine::decide::{is_closed, never_passes_within};
use crate::engine::policy::{ActionKind, BuiltIn, Mode, Policy, Rule};
use crate::engine::text::name::{NamePattern, same_but_for_case, without_client_prefix};
use crate::engine::text::words::words;
use crate::engine::work::{TooCostly, Work, steps};

/// What becomes of the calls of one tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
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

words!(Disposition {
    Allow => "allow",
    Conditional => "conditional",
    Limited => "limited",
    Ask => "ask",
    Deny => "deny",
    Hidden => "hidden",
});

/// A tool of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatrixRow {
    /// Its name.
    pub tool: String,
    /// What becomes of its calls.
    pub disposition: Disposition,
    /// What matches it: the pointers of `/hide` and of entries of `tools`, or `(confusable name)`. If there are none, the
    /// default decides.
    pub entries: Vec<String>,
}

/// A name or pattern of the policy that matches no tool of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// As the policy writes it.
    pub name: String,
    /// Where it stands: an entry of `tools`, or `/hide`.
    pub pointer: String,
    /// The tool, or the pattern, that may have been meant.
    pub did_you_mean: Option<String>,
    /// It is what is left without the prefix that a client puts before the names of tools.
    pub is_prefixed: bool,
}

/// A policy compared with a server's tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// The server's tools, in its order.
    pub rows: Vec<MatrixRow>,
    /// What the policy names and the server lacks.
    pub strays: Vec<Stray>,
}

impl Matrix {
    /// Puts the policy beside the names of a server's tools. For what would take more work than tests may, a tool
    /// is denied, and a name of the policy is taken to mean one.
    #[must_use]
    pub fn of(policy: &Policy, tools: &[String]) -> Self {
        let mut work = Work::of(Work::TESTS);
        let rows = tools.iter().map(|tool| MatrixRow::of(policy, tool, &mut work)).collect();
        let mut strays = Vec::new();
        for (name, rule) in policy.tools.in_file_order() {
            strays.extend(Stray::of(&name, &rule.pointer, tools, &mut work));
        }
        let mut hidden: Vec<&str> = policy.hide.iter().collect();
        hidden.sort_unstable();
        for name in hidden {
            let name = NamePattern::new(name);
            strays.extend(Stray::of(&name, "/hide", tools, &mut work));
        }
        Matrix { rows, strays }
    }
}

impl MatrixRow {
    fn of(policy: &Policy, tool: &str, work: &mut Work) -> Self {
        MatrixRow::within(policy, tool, work).unwrap_or_else(|TooCostly| MatrixRow {
            tool: tool.to_owned(),
            disposition: Disposition::Deny,
            entries: vec![BuiltIn::TooCostly.word().to_owned()],
        })
    }

    fn within(policy: &Policy, tool: &str, work: &mut Work) -> Result<Self, TooCostly> {
        let matching = policy.tools.matching_within(tool, work)?;
        let hide = policy.hide.matches_within(tool, work)?.then(|| "/hide".to_owned());
        let confusable = policy.is_confusable_within(tool, &matching, work)?;
        let confusable = confusable.then(|| BuiltIn::ConfusableName.word().to_owned());
        let rules = matching.rules.iter().map(|rule| rule.pointer.to_string());
        let entries = hide.into_iter().chain(confusable).chain(rules).collect();
        let disposition = disposition_within(policy, tool, work)?;
        Ok(MatrixRow { tool: tool.to_owned(), disposition, entries })
    }
}

impl Stray {
    fn of(name: &NamePattern, pointer: &str, tools: &[String], work: &mut Work) -> Option<Self> {
        if tools.iter().any(|tool| name.matches_within(tool, work).unwrap_or(true)) {
            return None;
        }
        let own = without_prefix(name, tools);
        let is_prefixed = own.is_some();
        Some(Stray {
            name: name.as_str().to_owned(),
            pointer: pointer.to_owned(),
            did_you_mean: own.or_else(|| {
                let near = if name.is_wild() { None } else { nearest(name.as_str(), tools, work) };
                near.cloned()
            }),
            is_prefixed,
        })
    }
}

/// The tool, or the pattern for tools of the server, that is left without a client's prefix: `mcp__SERVER__`,
/// `SERVER_`. Clients write `_` for what is no letter or digit.
fn without_prefix(name: &NamePattern, tools: &[String]) -> Option<String> {
    let text = name.as_str();
    let meant = |rest: &str| {
        if name.is_wild() {
            let pattern = NamePattern::new(rest);
            return tools.iter().any(|tool| pattern.matches(tool)).then(|| rest.to_owned());
        }
        let plain = |c: char| if c.is_alphanumeric() { c } else { '_' };
        let alike = |tool: &&String| tool.chars().map(plain).eq(rest.chars().map(plain));
        tools.iter().find(|tool| *tool == rest).or_else(|| tools.iter().find(alike)).cloned()
    };
    if let Some(found) = without_client_prefix(text).and_then(meant) {
        return Some(found);
    }
    let is_mark = |c: char| matches!(c, '_' | '-' | '.' | '/' | ':');
    let marks = text.char_indices().filter(|(_, c)| is_mark(*c)).take(MAX_PREFIX_MARKS);
    marks.into_iter().find_map(|(at, mark)| {
        let (server, rest) = text.split_at_checked(at)?;
        let rest = rest.get(mark.len_utf8()..)?;
        // What says what a tool does is no server's name: `delete_user` is not `user`. Nor is `*` an answer.
        let is_server = !server.is_empty() && !server.contains(['*', '?']) && !says_what(server);
        let is_tool = rest.chars().any(char::is_alphanumeric);
        meant(rest).filter(|_| is_server && is_tool)
    })
}

/// So many marks of a name are taken for the end of a prefix, at most.
const MAX_PREFIX_MARKS: usize = 16;

/// The tool whose name is the same but for case or a slip of the keys in every five letters, if there is one.
fn nearest<'t>(name: &str, tools: &'t [String], work: &mut Work) -> Option<&'t String> {
    /// Steps for a pair of letters.
    const PAIR: u64 = 16;
    let slips = name.len().div_ceil(5);
    let apart = |tool: &str| {
        if same_but_for_case(tool, name) { 0 } else { strsim::osa_distance(tool, name) }
    };
    let mut affords = |tool: &String| {
        let pairs = steps(tool.len()).saturating_mul(steps(name.len()));
        work.take(pairs.saturating_mul(PAIR)).is_ok()
    };
    let near = tools.iter().filter(|tool| affords(tool)).map(|tool| (apart(tool), tool));
    let near = near.filter(|(apart, _)| *apart <= slips);
    near.min_by_key(|(apart, _)| *apart).map(|(_, tool)| tool)
}

/// What becomes of the calls of a tool.
#[must_use]
pub fn disposition(policy: &Policy, tool: &str) -> Disposition {
    disposition_within(policy, tool, &mut Work::of(Work::TESTS)).unwrap_or(Disposition::Deny)
}

fn disposition_within(
    policy: &Policy,
    tool: &str,
    work: &mut Work,
) -> Result<Disposition, TooCostly> {
    let enforced = policy.document_mode(None) == Mode::Enforce;
    if enforced && policy.hide.matches_within(tool, work)? {
        return Ok(Disposition::Hidden);
    }
    if enforced && never_passes_within(policy, tool, work)? {
        return Ok(Disposition::Deny);
    }
    let matching = policy.tools.matching_within(tool, work)?.rules;
    let matching = matching.into_iter().chain(&policy.all_tools);
    let rules: Vec<&Rule> =
        matching.filter(|rule| policy.mode_of(rule, None) == Mode::Enforce).collect();
    let any = |of: fn(&Rule) -> bool| rules.iter().any(|rule| of(rule));
    Ok(if rules.iter().any(|rule| is_closed(policy, rule)) {
        Disposition::Deny
    } else if any(always_asks) {
        Disposition::Ask
    } else if any(is_conditional) {
        Disposition::Conditional
    } else if any(|rule| !rule.limits.is_empty()) {
        Disposition::Limited
    } else {
        Disposition::Allow
    })
}

fn always_asks(rule: &Rule) -> bool {
    let action = rule.action.as_ref();
    action.is_some_and(|action| action.kind == ActionKind::RequireApproval)
        || rule.approval_if.iter().any(|clause| clause.conditions.is_empty())
}

fn is_conditional(rule: &Rule) -> bool {
    rule.clauses().any(|clause| !clause.conditions.is_empty())
}
