//! Proposes rules for tools that a policy does not name yet, by their classes or their use, and writes them as text.

use std::collections::{HashMap, HashSet};

use super::class::Class;
use super::classify::{Classification, classify};
use super::listed_tool::ListedTool;
use crate::engine::policy::Policy;
use crate::engine::text::escape::{is_hidden, json_string};
use crate::engine::text::name;

/// The longest name that a policy can hold, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// The denial of a tool that moves money.
const ASK_REASON: &str = "This may move money: a human must approve it.";

/// The denial of a tool of unknown effect.
const ASK_UNKNOWN: &str = "What this does is not known: a human must approve it.";

/// What a policy does with the calls of one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Treatment {
    /// They pass.
    Permit,
    /// They pass while these limits have room.
    Limit(Vec<Cap>),
    /// A human must approve each.
    Ask,
    /// None passes, and the tool leaves the list.
    Hide,
}

/// A limit on the number of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cap {
    /// The counter's name.
    pub counter: String,
    /// The name of its window.
    pub window: &'static str,
    /// The most calls.
    pub max: u64,
}

/// The rule proposed for one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Its name.
    pub tool: String,
    /// Its class.
    pub verdict: Classification,
    /// What the policy does with its calls.
    pub treatment: Treatment,
    /// Its recorded use, for the rule's `description`.
    pub evidence: Option<String>,
}

/// Why nothing is proposed for a tool, which is left to the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unnamed {
    /// It has no name.
    Empty,
    /// A policy would take its name for a pattern.
    Pattern,
    /// Its name is longer than any in a policy.
    TooLong,
    /// Its name has hidden characters.
    Invisible,
    /// Its name can be mistaken for that of an earlier tool, or for one in the policy.
    Confusable,
}

impl Unnamed {
    /// The reason, for people.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Unnamed::Empty => "its name is empty",
            Unnamed::Pattern => "a policy takes `*` and `?` for a pattern",
            Unnamed::TooLong => "its name has more than 256 bytes",
            Unnamed::Invisible => "something in its name cannot be seen",
            Unnamed::Confusable => "its name can be mistaken for another one",
        }
    }
}

/// Proposals for the tools of a server, or for those that were called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proposals {
    /// In the order of the list.
    pub entries: Vec<Proposal>,
    /// Tools that cannot be named exactly.
    pub unnamed: Vec<(String, Unnamed)>,
    /// The number of tools that the policy names already.
    pub known: usize,
}

impl Treatment {
    /// The treatment that `PolicyLayer` publishes for a class; a human decides about unknown tools.
    #[must_use]
    pub fn of(class: Class, tool: &str) -> Self {
        let limited = |max| {
            let counter = format!("{tool}_rate");
            Treatment::Limit(vec![Cap { counter, window: "minute", max }])
        };
        match class {
            Class::Read => Treatment::Permit,
            Class::Write => limited(30),
            Class::Execute => limited(10),
            Class::Unknown | Class::Financial => Treatment::Ask,
            Class::Destructive => Treatment::Hide,
        }
    }

    /// A short description.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Treatment::Permit => "free".to_owned(),
            Treatment::Limit(caps) => {
                let caps = caps.iter().map(|cap| format!("{} a {}", cap.max, cap.window));
                caps.collect::<Vec<_>>().join(", ")
            }
            Treatment::Ask => "approval".to_owned(),
            Treatment::Hide => "hidden".to_owned(),
        }
    }
}

impl Proposals {
    /// Proposes a treatment for each tool of a list that `policy` does not name yet.
    #[must_use]
    pub fn for_list(tools: &[ListedTool], policy: Option<&Policy>) -> Self {
        let mut order = Vec::new();
        let mut judged: HashMap<&str, Classification> = HashMap::new();
        for tool in tools {
            let verdict = classify(tool);
            let strict = |verdict: &Classification| (verdict.class, verdict.risk);
            let before = judged.get(tool.name.as_str()).map(strict);
            if before.is_none() {
                order.push(tool.name.as_str());
            }
            // A tool that is listed twice gets the stricter class.
            if before.is_none_or(|before| before < strict(&verdict)) {
                judged.insert(&tool.name, verdict);
            }
        }
        let entries = order.into_iter().filter_map(|tool| Some((tool, judged.remove(tool)?)));
        let entries = entries.map(|(tool, verdict)| {
            let treatment = Treatment::of(verdict.class, tool);
            Proposal { tool: tool.to_owned(), verdict, treatment, evidence: None }
        });
        Self::sift(entries, policy)
    }

    /// Keeps the tools that can be named exactly and that `policy` does not name yet.
    #[must_use]
    pub fn sift(proposed: impl IntoIterator<Item = Proposal>, policy: Option<&Policy>) -> Self {
        let mut proposals = Proposals::default();
        let mut folds = HashSet::new();
        let counters: HashSet<String> = policy.map(counters_of).unwrap_or_default();
        for mut proposal in proposed {
            let tool = &proposal.tool;
            let matching = policy.map(|policy| (policy, policy.tools.matching(tool)));
            let is_named = matching.as_ref().is_some_and(|(policy, matching)| {
                policy.hide.matches(tool) || !matching.rules.is_empty()
            });
            let is_confusable =
                matching.is_some_and(|(policy, matching)| policy.is_confusable(tool, &matching));
            if is_named {
                proposals.known = proposals.known.saturating_add(1);
            } else if let Some(why) = unnamed(tool) {
                proposals.unnamed.push((proposal.tool, why));
            } else if !folds.insert(name::fold(tool).into_owned()) || is_confusable {
                proposals.unnamed.push((proposal.tool, Unnamed::Confusable));
            } else {
                if let Treatment::Limit(caps) = &mut proposal.treatment {
                    for cap in caps {
                        make_own(&mut cap.counter, &counters);
                    }
                }
                proposals.entries.push(proposal);
            }
        }
        proposals
    }

    /// A whole policy, as text. It denies what is not proposed.
    #[must_use]
    pub fn document(&self, description: &str) -> String {
        let layout = JsonLayout::default();
        let mut hidden = Vec::new();
        let mut ruled = Vec::new();
        for proposal in &self.entries {
            match proposal.treatment {
                Treatment::Hide => hidden.push(format!("\n    {}", string(&proposal.tool))),
                Treatment::Permit | Treatment::Limit(_) | Treatment::Ask => {
                    ruled.push(format!("\n    {}", proposal.entry(&layout, "    ")));
                }
            }
        }
        let list = |items: Vec<String>, [open, close]: [&str; 2]| match items.as_slice() {
            [] => format!("{open}{close}"),
            items => format!("{open}{}\n  {close}", items.join(",")),
        };
        let hide = if hidden.is_empty() {
            String::new()
        } else {
            format!("\n  \"hide\": {},", list(hidden, ["[", "]"]))
        };
        format!(
            "{{\n  \"version\": \"1\",\n  \"description\": {},\n  \"default\": \"deny\",{hide}\n  \"tools\": {}\n}}\n",
            string(description),
            list(ruled, ["{", "}"]),
        )
    }
}

impl Proposal {
    /// The entry of `tools`: the key with its rule. `indent` is what stands before the key.
    #[must_use]
    pub fn entry(&self, layout: &JsonLayout<'_>, indent: &str) -> String {
        let mut fields = Vec::new();
        if let Some(evidence) = &self.evidence {
            fields.push(format!("\"description\": {}", string(evidence)));
        }
        match &self.treatment {
            Treatment::Permit | Treatment::Hide => {}
            Treatment::Ask => {
                fields.push("\"action\": \"require_approval\"".to_owned());
                let is_unknown = self.verdict.class == Class::Unknown;
                let reason = if is_unknown { ASK_UNKNOWN } else { ASK_REASON };
                fields.push(format!("\"reason\": {}", string(reason)));
            }
            Treatment::Limit(caps) => {
                let inner = [indent, layout.unit].concat();
                let caps = caps.iter().map(Cap::text);
                fields.push(format!("\"limits\": {}", layout.list(caps, ["[", "]"], &inner)));
            }
        }
        format!("{}: {}", string(&self.tool), layout.list(fields, ["{", "}"], indent))
    }
}

impl Cap {
    fn text(&self) -> String {
        let Cap { counter, window, max } = self;
        let counter = string(counter);
        format!(
            "{{ \"counter\": {counter}, \"window\": \"{window}\", \"max\": {max}, \"scope\": \"grant\" }}"
        )
    }
}

/// How text is laid out.
#[derive(Debug, Clone, Copy)]
pub struct JsonLayout<'l> {
    /// The end of a line; `None` puts everything on one line.
    pub newline: Option<&'l str>,
    /// The indentation of one level.
    pub unit: &'l str,
}

impl Default for JsonLayout<'_> {
    fn default() -> Self {
        JsonLayout { newline: Some("\n"), unit: "  " }
    }
}

impl JsonLayout<'_> {
    /// Items between brackets; `indent` is the indentation of the line with the opening one.
    #[must_use]
    pub fn list(
        &self,
        items: impl IntoIterator<Item = String>,
        [open, close]: [&str; 2],
        indent: &str,
    ) -> String {
        let items: Vec<String> = items.into_iter().collect();
        if items.is_empty() {
            return [open, close].concat();
        }
        let Some(newline) = self.newline else {
            return format!("{open} {} {close}", items.join(", "));
        };
        let inner = [newline, indent, self.unit].concat();
        let lines = items.join(&format!(",{inner}"));
        format!("{open}{inner}{lines}{newline}{indent}{close}")
    }
}

/// A text as JSON.
#[must_use]
pub fn string(text: &str) -> String {
    json_string(text)
}

/// Why a policy cannot name a tool, or why people could not read the name there.
fn unnamed(tool: &str) -> Option<Unnamed> {
    if tool.is_empty() {
        Some(Unnamed::Empty)
    } else if tool.len() > MAX_NAME_BYTES {
        Some(Unnamed::TooLong)
    } else if tool.contains(is_hidden) || tool.trim() != tool {
        Some(Unnamed::Invisible)
    } else if tool.contains(['*', '?']) {
        Some(Unnamed::Pattern)
    } else {
        None
    }
}

/// The counters of a policy.
fn counters_of(policy: &Policy) -> HashSet<String> {
    let rules = policy.tools.iter().map(|(_, rule)| rule).chain(&policy.all_tools);
    rules.flat_map(|rule| &rule.limits).map(|limit| limit.counter.name.to_string()).collect()
}

/// Gives a counter a name of its own: a shared counter would change an existing rule.
fn make_own(counter: &mut String, taken: &HashSet<String>) {
    while taken.contains(counter) {
        counter.push('_');
    }
}
