//! Compiled policies. One that exists is sound: only [`crate::engine::compile`] makes it.

pub mod condition;
pub mod limit;
pub mod one_of;
pub mod path;
pub mod pattern;
pub mod rule_id;
pub mod scalar;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use self::condition::Condition;
use self::path::ArgPath;
use crate::engine::text::name::{self, NamePattern};
use crate::engine::text::words::words;
use crate::engine::work::{TooCostly, Work, steps};

pub use self::limit::{Limit, amount_of};
pub use self::rule_id::{BuiltIn, RuleId};

/// A whole policy document (contract 3.1).
#[derive(Debug)]
pub struct Policy {
    /// What happens to a tool that no entry of `tools` matches.
    pub default: Effect,
    /// `mode` of the document.
    pub mode: Mode,
    /// `hide`.
    pub hide: NameSet,
    /// `hide_denied`.
    pub hide_denied: bool,
    /// `tools`, in file order.
    pub tools: Tools,
    /// `all_tools`.
    pub all_tools: Option<Rule>,
    /// `methods`.
    pub methods: Methods,
}

/// Whether something may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Let it through.
    Allow,
    /// Refuse it.
    Deny,
}

words!(Effect { Allow => "allow", Deny => "deny" });

/// Whether denials are enforced (contract P14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// A denial blocks.
    #[default]
    Enforce,
    /// A denial is only recorded.
    Shadow,
}

words!(Mode { Enforce => "enforce", Shadow => "shadow" });

impl Mode {
    /// The mode that `--shadow` forces, if it is given.
    #[must_use]
    pub fn forced_by(shadow: bool) -> Option<Self> {
        shadow.then_some(Mode::Shadow)
    }
}

/// The rule of one entry of `tools`, or of `all_tools` (contract 3.2).
#[derive(Debug)]
pub struct Rule {
    /// Where the rule stands.
    pub pointer: Arc<str>,
    /// The rule's own `mode`, if it has one.
    pub mode: Option<Mode>,
    /// `action`, unless it is `allow`.
    pub action: Option<RuleAction>,
    /// `require`: each must hold.
    pub require: Vec<Clause>,
    /// `deny_if`: none may hold.
    pub deny_if: Vec<Clause>,
    /// `approval_if`: if any holds a human must approve.
    pub approval_if: Vec<Clause>,
    /// `limits`, and `rate_limit` behind them.
    pub limits: Vec<Arc<Limit>>,
}

/// A list of conditions in a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClauseList {
    /// Each entry must hold, or the call is denied.
    Require,
    /// The call is denied if an entry holds.
    DenyIf,
    /// A human must approve the call if an entry holds.
    ApprovalIf,
}

words!(ClauseList { Require => "require", DenyIf => "deny_if", ApprovalIf => "approval_if" });

impl Rule {
    /// Its lists of conditions.
    #[must_use]
    pub fn lists(&self) -> [(ClauseList, &[Clause]); 3] {
        let Rule { require, deny_if, approval_if, .. } = self;
        [
            (ClauseList::Require, require),
            (ClauseList::DenyIf, deny_if),
            (ClauseList::ApprovalIf, approval_if),
        ]
    }

    /// The entries of its lists of conditions.
    pub fn clauses(&self) -> impl Iterator<Item = &Clause> {
        self.lists().into_iter().flat_map(|(_, clauses)| clauses)
    }

    /// The paths that its conditions and limits look at.
    pub fn paths(&self) -> impl Iterator<Item = &ArgPath> {
        let conditions = self.clauses().flat_map(|clause| &clause.conditions);
        let amounts = self.limits.iter().filter_map(|limit| limit.increment_from.as_ref());
        conditions.map(|condition| &condition.path).chain(amounts)
    }
}

/// `action` of a rule, unless it is `allow`.
#[derive(Debug)]
pub struct RuleAction {
    /// What it does.
    pub kind: ActionKind,
    /// Where it stands.
    pub pointer: Arc<str>,
    /// `reason`.
    pub reason: Option<String>,
}

/// What an `action` does to every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    /// Denies it.
    Deny,
    /// Has a human approve it.
    RequireApproval,
}

words!(ActionKind { Deny => "deny", RequireApproval => "require_approval" });

/// An entry of `require`, `deny_if` or `approval_if`.
#[derive(Debug)]
pub struct Clause {
    /// Where it stands.
    pub pointer: Arc<str>,
    /// All must hold (AND); an empty list always holds (contract P3, P5).
    pub conditions: Vec<Condition>,
    /// `on_deny` or `reason`.
    pub message: Option<String>,
}

impl Policy {
    /// The mode of a rule: `forced` (as `--shadow` does) before the rule's own before the document's.
    #[must_use]
    pub fn mode_of(&self, rule: &Rule, forced: Option<Mode>) -> Mode {
        forced.or(rule.mode).unwrap_or(self.mode)
    }

    /// The mode of what belongs to no rule: `hide`, confusable names, the default and methods.
    #[must_use]
    pub fn document_mode(&self, forced: Option<Mode>) -> Mode {
        forced.unwrap_or(self.mode)
    }

    /// True if `name` can be mistaken for an entry of `hide` or `tools` and no exact entry of `tools` names it (contract
    /// P4). `matching` are the entries that match it.
    #[must_use]
    pub fn is_confusable(&self, name: &str, matching: &Matching<'_>) -> bool {
        // This much work always suffices.
        self.is_confusable_within(name, matching, &mut Work::of(u64::MAX)).unwrap_or(true)
    }

    /// The same, within the work that is left.
    ///
    /// # Errors
    /// The work does not suffice.
    pub fn is_confusable_within(
        &self,
        name: &str,
        matching: &Matching<'_>,
        work: &mut Work,
    ) -> Result<bool, TooCostly> {
        if matching.is_exact {
            return Ok(false);
        }
        if self.tools.look_alikes.is_empty() && self.hide.look_alikes.is_empty() {
            return Ok(false);
        }
        work.take(name::folding_work(name))?;
        if name::is_beyond_folding(name) {
            return Ok(true);
        }
        let fold = name::fold(name);
        Ok(self.tools.look_alikes.any_but(name, &fold, work)?
            || self.hide.look_alikes.any_but(name, &fold, work)?)
    }
}

/// A set of names and patterns.
#[derive(Debug, Default)]
pub struct NameSet {
    exact: HashSet<String, RandomState>,
    wild: Vec<NamePattern>,
    look_alikes: LookAlikes,
}

impl NameSet {
    /// Collects names and patterns.
    pub fn new(names: impl IntoIterator<Item = NamePattern>) -> Self {
        let mut set = NameSet::default();
        for name in names {
            set.look_alikes.add(&name);
            match name {
                NamePattern::Exact(text) => {
                    set.exact.insert(text);
                }
                NamePattern::Wild(_) => set.wild.push(name),
            }
        }
        set
    }

    /// The number of patterns that a name is compared with.
    #[must_use]
    pub fn patterns(&self) -> usize {
        self.wild.len()
    }

    /// True if one of them matches `name`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        // This much work always suffices.
        self.matches_within(name, &mut Work::of(u64::MAX)).unwrap_or(true)
    }

    /// The same, within the work that is left.
    ///
    /// # Errors
    /// The work does not suffice.
    pub fn matches_within(&self, name: &str, work: &mut Work) -> Result<bool, TooCostly> {
        work.take(steps(name.len()))?;
        if self.exact.contains(name) {
            return Ok(true);
        }
        for pattern in &self.wild {
            if pattern.matches_within(name, work)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True if both hold the same names and patterns.
    #[must_use]
    pub fn are(&self, others: &NameSet) -> bool {
        let wild = |names: &Self| {
            names.wild.iter().map(|name| name.as_str().to_owned()).collect::<HashSet<_>>()
        };
        self.exact == others.exact && wild(self) == wild(others)
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wild.is_empty()
    }

    /// All of them, as written.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.exact.iter().map(String::as_str).chain(self.wild.iter().map(NamePattern::as_str))
    }
}

/// `tools`. The time of a look-up does not depend on the number of exact names.
#[derive(Debug, Default)]
pub struct Tools {
    rules: Vec<Rule>,
    exact: HashMap<String, usize, RandomState>,
    /// Patterns with the places of their rules, in file order.
    wild: Vec<(NamePattern, usize)>,
    look_alikes: LookAlikes,
}

impl Tools {
    /// Collects entries in file order.
    pub fn new(entries: impl IntoIterator<Item = (NamePattern, Rule)>) -> Self {
        let mut tools = Tools::default();
        for (name, rule) in entries {
            let place = tools.rules.len();
            tools.rules.push(rule);
            tools.look_alikes.add(&name);
            match name {
                NamePattern::Exact(text) => {
                    tools.exact.insert(text, place);
                }
                NamePattern::Wild(_) => tools.wild.push((name, place)),
            }
        }
        tools
    }

    /// The number of patterns that a name is compared with.
    #[must_use]
    pub fn patterns(&self) -> usize {
        self.wild.len()
    }

    /// The rules of all entries that match, in file order.
    #[must_use]
    pub fn matching(&self, name: &str) -> Matching<'_> {
        // This much work always suffices.
        self.matching_within(name, &mut Work::of(u64::MAX)).unwrap_or_default()
    }

    /// The same, within the work that is left.
    ///
    /// # Errors
    /// The work does not suffice.
    pub fn matching_within(&self, name: &str, work: &mut Work) -> Result<Matching<'_>, TooCostly> {
        /// Steps for an entry that matches: several steps of the decision look at its rule.
        const ENTRY: u64 = 40;
        work.take(steps(name.len()))?;
        let exact = self.exact.get(name).copied();
        let mut places: SmallVec<[usize; 4]> = SmallVec::new();
        for (pattern, place) in &self.wild {
            if pattern.matches_within(name, work)? {
                places.push(*place);
            }
        }
        if let Some(exact) = exact {
            places.insert(places.partition_point(|&place| place < exact), exact);
        }
        work.take(steps(places.len()).saturating_mul(ENTRY))?;
        let rules = places.iter().filter_map(|&place| self.rules.get(place)).collect();
        Ok(Matching { rules, is_exact: exact.is_some() })
    }

    /// The rules, in file order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// All entries in file order: each name or pattern, with its rule.
    #[must_use]
    pub fn in_file_order(&self) -> Vec<(NamePattern, &Rule)> {
        let exact = self.exact.iter().map(|(name, &place)| (place, NamePattern::new(name)));
        let wild = self.wild.iter().map(|(pattern, place)| (*place, pattern.clone()));
        let mut entries: Vec<(usize, NamePattern)> = exact.chain(wild).collect();
        entries.sort_unstable_by_key(|&(place, _)| place);
        let rules = entries.into_iter().zip(&self.rules);
        rules.map(|((_, name), rule)| (name, rule)).collect()
    }

    /// All entries: each name or pattern as written, with its rule.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Rule)> {
        let exact = self.exact.iter().map(|(name, place)| (name.as_str(), place));
        let wild = self.wild.iter().map(|(pattern, place)| (pattern.as_str(), place));
        exact.chain(wild).filter_map(|(name, &place)| Some((name, self.rules.get(place)?)))
    }
}

/// The entries of `tools` that match a name.
#[derive(Debug, Default)]
pub struct Matching<'p> {
    /// Their rules, in file order.
    pub rules: SmallVec<[&'p Rule; 4]>,
    /// True if one of them is the exact name.
    pub is_exact: bool,
}

/// Names and patterns by their folds (contract P4).
#[derive(Debug, Default)]
struct LookAlikes {
    /// For each fold its names, two at most: any name differs from one of them.
    exact: HashMap<String, SmallVec<[String; 1]>, RandomState>,
    /// A pattern beside its fold.
    wild: Vec<(NamePattern, NamePattern)>,
}

impl LookAlikes {
    fn add(&mut self, name: &NamePattern) {
        let fold = name::fold(name.as_str()).into_owned();
        match name {
            NamePattern::Exact(text) => {
                let alike = self.exact.entry(fold).or_default();
                if alike.len() < 2 && !alike.contains(text) {
                    alike.push(text.clone());
                }
            }
            NamePattern::Wild(_) => self.wild.push((name.clone(), NamePattern::new(&fold))),
        }
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wild.is_empty()
    }

    /// True if an entry matches `fold` by its own fold, but does not match `name` itself.
    fn any_but(&self, name: &str, fold: &str, work: &mut Work) -> Result<bool, TooCostly> {
        work.take(steps(name.len().saturating_add(fold.len())).saturating_mul(2))?;
        if self.exact.get(fold).is_some_and(|names| names.iter().any(|other| other != name)) {
            return Ok(true);
        }
        for (own, folded) in &self.wild {
            if folded.matches_within(fold, work)? && !own.matches_within(name, work)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// `methods` (contract P15).
#[derive(Debug, Default)]
pub struct Methods {
    exact: HashMap<String, MethodRule, RandomState>,
    /// Longest first, then deny before allow: the first match decides.
    wild: Vec<(NamePattern, MethodRule)>,
}

/// One entry of `methods`.
#[derive(Debug, Clone)]
pub struct MethodRule {
    /// Whether the method may pass.
    pub effect: Effect,
    /// `/methods/<name>`
    pub pointer: Arc<str>,
}

impl Methods {
    /// Methods that no policy can name.
    pub const UNTOUCHABLE: [&str; 4] =
        ["tools/call", "initialize", "server/discover", "notifications/cancelled"];

    /// Collects entries in file order.
    pub fn new(entries: impl IntoIterator<Item = (NamePattern, MethodRule)>) -> Self {
        let mut methods = Methods::default();
        for (name, rule) in entries {
            match name {
                NamePattern::Exact(text) => {
                    methods.exact.insert(text, rule);
                }
                NamePattern::Wild(_) => methods.wild.push((name, rule)),
            }
        }
        methods.wild.sort_by_key(|(name, rule)| {
            let length = name.as_str().chars().count();
            (std::cmp::Reverse(length), rule.effect == Effect::Allow)
        });
        methods
    }

    /// True if no method is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wild.is_empty()
    }

    /// True if patterns can match `method`; otherwise only its exact name does.
    #[must_use]
    pub fn is_open_to_patterns(method: &str) -> bool {
        !Self::UNTOUCHABLE.contains(&method)
            && !matches!(method, "ping" | "tools/list")
            && !method.starts_with("notifications/")
    }

    /// The entry that denies `method`, if one does. A method that is not named is allowed.
    #[must_use]
    pub fn denial(&self, method: &str) -> Option<&MethodRule> {
        if self.is_empty() {
            return None;
        }
        let by_pattern = || {
            if !Self::is_open_to_patterns(method) {
                return None;
            }
            let mut work = Work::of_decision();
            // What would take too much work is denied by a pattern that could match.
            let found = self.wild.iter().find(|(name, rule)| {
                let found = name.matches_within(method, &mut work);
                found.unwrap_or(rule.effect == Effect::Deny)
            });
            found.map(|(_, rule)| rule)
        };
        self.exact.get(method).or_else(by_pattern).filter(|rule| rule.effect == Effect::Deny)
    }
}

#[cfg(test)]
mod tests {
    use super::{Effect, MethodRule, Methods};
    use crate::engine::text::name::NamePattern;

    fn denies(rules: &[(&str, Effect)], method: &str) -> bool {
        let entries = rules.iter().map(|&(name, effect)| {
            (NamePattern::new(name), MethodRule { effect, pointer: name.into() })
        });
        Methods::new(entries).denial(method).is_some()
    }

    /// contract P15
    #[test]
    fn the_most_exact_method_entry_decides() {
        let rules = [
            ("*", Effect::Deny),
            ("resources/*", Effect::Allow),
            ("resources/su*", Effect::Deny),
            ("resources/subscribe", Effect::Allow),
            ("a?", Effect::Allow),
            ("?b", Effect::Deny),
        ];
        for (method, denied) in [
            ("prompts/get", true),
            ("resources/read", false),
            ("resources/sub", true),
            ("resources/subscribe", false),
            ("ab", true),
            ("ac", false),
        ] {
            assert_eq!(denies(&rules, method), denied, "{method}");
        }
    }

    /// contract P15
    #[test]
    fn patterns_match_no_method_that_a_session_needs() {
        let all = [("*", Effect::Deny)];
        for method in
            Methods::UNTOUCHABLE.into_iter().chain(["ping", "tools/list", "notifications/x"])
        {
            assert!(!denies(&all, method), "{method}");
        }
        for method in ["ping", "tools/list", "notifications/x"] {
            assert!(denies(&[(method, Effect::Deny)], method), "{method}");
        }
    }
}
