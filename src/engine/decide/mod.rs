//! One call against one policy (contract 3.5): denied, or permitted on terms that the ledger has to meet.

pub mod denial;
pub mod explain;

use std::sync::Arc;

use crate::engine::json::arguments::Found;
use crate::engine::json::decimal::Decimal;
use crate::engine::json::undecidable::{Types, Undecidable};
use crate::engine::json::value::{Kind, Type};
use crate::engine::limits::{
    AMOUNT_PLACES, Amount, Demand, Few, Reservation, Settlement, StateUnavailable,
};
use crate::engine::policy::condition::{Condition, Truth};
use crate::engine::policy::{
    Action, ActionKind, BuiltIn, Clause, Effect, Limit, Matching, Mode, Names, Policy, Rule, RuleId,
};
use crate::engine::text::words::words;
use crate::engine::wire::mcp::ToolCall;
use crate::engine::work::{TooCostly, Work, steps};

pub use self::denial::{Cause, Denial, LimitReached, Outcome};

/// A call that no condition stops.
#[derive(Debug, Clone)]
#[must_use = "a permit has terms: its demands, and a human's approval"]
pub struct Permit {
    /// The entry that allows it.
    pub rule: RuleId,
    /// What has to be charged before it goes out.
    pub demands: Few<Demand>,
    /// The limits that the demands come from, place by place.
    limits: Few<Arc<Limit>>,
    /// Set if a human must approve the call.
    pub approval: Option<Box<Denial>>,
    /// The first denial in shadow mode: recorded, not enforced (contract P14).
    pub shadowed: Option<Box<Denial>>,
}

impl Permit {
    /// What a ledger's refusal means for the call.
    fn exhausted(&self, demand: usize, retry_after_ms: Option<u64>) -> Denial {
        // A ledger that names a demand which it was not given has lost its mind.
        let Some(limit) = self.limits.get(demand) else {
            return Denial::state_unavailable(
                "the ledger has answered another question".to_owned(),
            );
        };
        let what = Arc::clone(&limit.what);
        let costs_too_much =
            self.demands.get(demand).is_some_and(|demand| demand.cost > demand.max);
        Denial {
            outcome: Outcome::Denied,
            rule: RuleId::At(Arc::clone(&limit.pointer)),
            words: limit.on_deny.clone(),
            cause: Cause::Limit(LimitReached { what, retry_after_ms, costs_too_much }),
            doubt: None,
        }
    }

    /// What the ledger's answer to the demands comes to: a denial, if the call does not go out, and what was charged.
    /// The ledger is to have a charge back if there is a denial as well.
    #[must_use = "what was charged is kept or given back"]
    pub fn settle(
        &mut self,
        settled: Result<Settlement, StateUnavailable>,
    ) -> (Option<Box<Denial>>, Option<Reservation>) {
        match settled {
            Ok(Settlement::Charged { reservation, missed }) => {
                self.note_missed(&missed);
                (self.approval.take(), Some(reservation))
            }
            Ok(Settlement::Exhausted { demand, retry_after_ms }) => {
                (Some(Box::new(self.exhausted(demand, retry_after_ms))), None)
            }
            Err(StateUnavailable { reason }) => {
                // Limits in shadow mode alone stop nothing.
                let enforced = self.demands.iter().any(|demand| demand.enforced);
                (enforced.then(|| Box::new(Denial::state_unavailable(reason))), None)
            }
        }
    }

    /// Notes demands in shadow mode that had no room, by their places.
    fn note_missed(&mut self, missed: &[usize]) {
        if let (Some(&demand), None) = (missed.first(), &self.shadowed) {
            self.shadowed = Some(Box::new(self.exhausted(demand, None)));
        }
    }
}

/// What there is to see while a call is decided, in the order in which it is looked at.
#[derive(Debug, Clone, Copy)]
pub enum Event<'e> {
    /// `hide` was asked for the tool's name: true if it is there.
    Hide(bool),
    /// True if the name can be mistaken for another one (contract P4).
    Confusable(bool),
    /// These entries of `tools` match, in file order. If there is none, the default decides.
    Entries(&'e [&'e Rule]),
    /// A rule has an `action` of its own.
    Action(&'e Action),
    /// A condition is tried on what stands at its path.
    Trial(&'e Condition),
    /// What it was tried on, and what came of it: once, or once for each value of a path with `[*]`.
    Sighting(&'e Condition, Found<'e>, Truth),
    /// An entry of such a list has been gone through, its conditions before it: true if it holds.
    Clause(ClauseList, &'e Clause, bool),
    /// A limit, and what the call costs by it, if that can be said.
    Limit(&'e Limit, Option<Amount>),
    /// A denial that is not enforced: the decision goes on (contract P14).
    Shadowed(&'e Denial),
}

/// The lists of conditions in a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClauseList {
    /// `require`
    Require,
    /// `deny_if`
    DenyIf,
    /// `approval_if`
    ApprovalIf,
}

words!(ClauseList { Require => "require", DenyIf => "deny_if", ApprovalIf => "approval_if" });

/// Someone who watches a decision being made. Nobody does in a live session, which is told by `()` and costs nothing.
pub trait Observer {
    /// Sees the next event.
    fn see(&mut self, event: Event<'_>);
}

impl Observer for () {
    #[inline]
    fn see(&mut self, _: Event<'_>) {}
}

/// Decides one call. Nothing is charged yet: that is what [`Permit::demands`] asks for.
///
/// # Errors
/// The denial that is enforced.
pub fn decide(policy: &Policy, call: &ToolCall<'_>, shadow: bool) -> Result<Permit, Denial> {
    let work = &mut Work::of_decision();
    decide_before(policy, call, Mode::forced_by(shadow), work, &mut ())
}

/// The same before an observer, in a mode that may be forced on every rule, with the work that is left.
///
/// # Errors
/// The denial that is enforced.
pub fn decide_before(
    policy: &Policy,
    call: &ToolCall<'_>,
    forced: Option<Mode>,
    work: &mut Work,
    observer: &mut impl Observer,
) -> Result<Permit, Denial> {
    let mut permit = Permit {
        rule: BuiltIn::DefaultAllow.into(),
        demands: Few::new(),
        limits: Few::new(),
        approval: None,
        shadowed: None,
    };
    let mut judge = Judge { policy, call, forced, shadowed: None, work, observer };
    match judge.judge(&mut permit) {
        Ok(()) => {}
        Err(Halt::Denied(denial)) => return Err(*denial),
        Err(Halt::TooCostly) => judge.too_costly()?,
    }
    permit.shadowed = judge.shadowed.map(Box::new);
    Ok(permit)
}

/// Why a decision ends before its last step.
enum Halt {
    Denied(Box<Denial>),
    TooCostly,
}

impl From<TooCostly> for Halt {
    fn from(_: TooCostly) -> Self {
        Halt::TooCostly
    }
}

/// True if a tool is to leave lists (contract 3.1), or more work than is left would show whether it is.
#[must_use]
pub fn is_cut(policy: &Policy, tool: &str, work: &mut Work) -> bool {
    let is_cut = |work: &mut Work| {
        Ok::<_, TooCostly>(
            policy.hide.matches_within(tool, work)?
                || policy.hide_denied && never_passes_within(policy, tool, work)?,
        )
    };
    is_cut(work).unwrap_or(true)
}

/// True if no call of a tool could ever pass an enforced policy, whatever its arguments (contract 3.1,
/// `hide_denied`).
#[must_use]
pub fn never_passes(policy: &Policy, tool: &str) -> bool {
    // With so much work it comes to an end.
    never_passes_within(policy, tool, &mut Work::of(u64::MAX)).unwrap_or(true)
}

/// The same, if no more work is left than it takes.
///
/// # Errors
/// Less is left.
pub fn never_passes_within(
    policy: &Policy,
    tool: &str,
    work: &mut Work,
) -> Result<bool, TooCostly> {
    let matching = policy.tools.matching_within(tool, work)?;
    let listed = policy.default == Effect::Allow || !matching.rules.is_empty();
    Ok(!listed
        || policy.is_confusable_within(tool, &matching, work)?
        || matching.rules.into_iter().chain(&policy.all_tools).any(|rule| is_closed(policy, rule)))
}

/// True if no call passes a rule.
#[must_use]
pub fn is_closed(policy: &Policy, rule: &Rule) -> bool {
    policy.mode_of(rule, None) == Mode::Enforce
        && (rule.action.as_ref().is_some_and(|action| action.kind == ActionKind::Deny)
            || rule.deny_if.iter().any(|clause| clause.conditions.is_empty()))
}

/// True if two policies may cut different tools from lists (contract W5).
#[must_use]
pub fn lists_differ(one: &Policy, other: &Policy, shadow: bool) -> bool {
    Cuts::of(one, shadow) != Cuts::of(other, shadow)
}

/// What a policy cuts from lists, told by what decides it.
enum Cuts<'p> {
    Nothing,
    Hidden(&'p Names),
    /// `hide_denied`, and no call at all passes.
    All,
    /// `hide_denied`: beside what is hidden it is the default and which entries are closed. Each entry counts, as
    /// names that can be mistaken for it are cut as well.
    Denied(&'p Policy),
}

impl<'p> Cuts<'p> {
    fn of(policy: &'p Policy, shadow: bool) -> Self {
        if policy.document_mode(Mode::forced_by(shadow)) == Mode::Shadow {
            return Cuts::Nothing;
        }
        if !policy.hide_denied {
            return if policy.hide.is_empty() { Cuts::Nothing } else { Cuts::Hidden(&policy.hide) };
        }
        if policy.all_tools.as_ref().is_some_and(|rule| is_closed(policy, rule)) {
            return Cuts::All;
        }
        Cuts::Denied(policy)
    }
}

impl PartialEq for Cuts<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Cuts::Nothing, Cuts::Nothing) | (Cuts::All, Cuts::All) => true,
            (Cuts::Hidden(one), Cuts::Hidden(other)) => one.are(other),
            (Cuts::Denied(one), Cuts::Denied(other)) => {
                one.default == other.default
                    && one.hide.are(&other.hide)
                    && one.tools.rules().len() == other.tools.rules().len()
                    && closed(one).eq(closed(other))
            }
            _ => false,
        }
    }
}

/// Each entry of `tools` and whether it is closed, by name.
fn closed(policy: &Policy) -> impl Iterator<Item = (&str, bool)> {
    let entries = policy.tools.iter().map(|(name, rule)| (name, is_closed(policy, rule)));
    let mut entries: Vec<(&str, bool)> = entries.collect();
    entries.sort_unstable();
    entries.into_iter()
}

/// The steps of one decision, in their order.
struct Judge<'p, 'c, 'o, O> {
    policy: &'p Policy,
    call: &'p ToolCall<'c>,
    forced: Option<Mode>,
    shadowed: Option<Denial>,
    work: &'o mut Work,
    observer: &'o mut O,
}

impl<O: Observer> Judge<'_, '_, '_, O> {
    fn judge(&mut self, permit: &mut Permit) -> Result<(), Halt> {
        let policy = self.policy;
        self.work.take(passes_work(self.call))?;
        let mut matching = policy.tools.matching_within(&self.call.name, self.work)?;
        permit.rule = self.name(&matching)?;
        matching.rules.extend(&policy.all_tools);
        let rules = matching.rules;
        for rule in &rules {
            self.action(rule)?;
        }
        for rule in &rules {
            self.require(rule)?;
        }
        for rule in &rules {
            self.deny_if(rule)?;
        }
        for rule in &rules {
            self.limits(rule, permit)?;
        }
        for rule in &rules {
            if permit.approval.is_none() {
                permit.approval = self.approval(rule)?.map(Box::new);
            }
        }
        Ok(())
    }

    /// The work does not suffice. What no rule enforces is only noted; else the call is denied, as nobody can say
    /// what the rules that are left would say of it.
    fn too_costly(&mut self) -> Result<(), Denial> {
        let policy = self.policy;
        let rules = policy.tools.rules().iter().chain(&policy.all_tools);
        let mut modes = rules.map(|rule| policy.mode_of(rule, self.forced));
        let denial = Denial::too_costly();
        if policy.document_mode(self.forced) == Mode::Enforce
            || modes.any(|mode| mode == Mode::Enforce)
        {
            return Err(denial);
        }
        self.go_on(denial);
        Ok(())
    }

    /// hidden → confusable → not listed. Returns the entry that allows the tool.
    fn name(&mut self, matching: &Matching<'_>) -> Result<RuleId, Halt> {
        let mode = self.policy.document_mode(self.forced);
        let name = &self.call.name;
        let is_hidden = self.policy.hide.matches_within(name, self.work)?;
        self.observer.see(Event::Hide(is_hidden));
        if is_hidden {
            self.deny(mode, BuiltIn::Hidden.into(), None, Cause::Hidden)?;
        }
        let is_confusable = self.policy.is_confusable_within(name, matching, self.work)?;
        self.observer.see(Event::Confusable(is_confusable));
        if is_confusable {
            self.deny(mode, BuiltIn::ConfusableName.into(), None, Cause::Confusable)?;
        }
        self.observer.see(Event::Entries(&matching.rules));
        if let Some(rule) = matching.rules.first() {
            return Ok(RuleId::At(Arc::clone(&rule.pointer)));
        }
        if self.policy.default == Effect::Deny {
            self.deny(mode, BuiltIn::DefaultDeny.into(), None, Cause::NotListed)?;
        }
        Ok(BuiltIn::DefaultAllow.into())
    }

    fn action(&mut self, rule: &Rule) -> Result<(), Halt> {
        match &rule.action {
            Some(action) if action.kind == ActionKind::Deny => {
                self.observer.see(Event::Action(action));
                self.deny(
                    self.policy.mode_of(rule, self.forced),
                    RuleId::At(Arc::clone(&action.pointer)),
                    action.reason.as_ref(),
                    Cause::Rule,
                )
            }
            _ => Ok(()),
        }
    }

    fn require(&mut self, rule: &Rule) -> Result<(), Halt> {
        let Judge { call, work, observer, .. } = self;
        for clause in &rule.require {
            work.take(CLAUSE)?;
            let mut broken = None;
            for condition in &clause.conditions {
                observer.see(Event::Trial(condition));
                let trial = condition.surely_holds(&call.arguments, work, |found, truth| {
                    observer.see(Event::Sighting(condition, found, truth));
                })?;
                if !trial.holds {
                    broken = Some(trial.doubt.map(|doubt| words(doubt, condition)));
                    break;
                }
            }
            observer.see(Event::Clause(ClauseList::Require, clause, broken.is_none()));
            if let Some(doubt) = broken {
                // In shadow mode the entries behind the first that is broken are not looked at either.
                return self.deny_by(rule, clause, doubt);
            }
        }
        Ok(())
    }

    fn deny_if(&mut self, rule: &Rule) -> Result<(), Halt> {
        match self.first_met(ClauseList::DenyIf, &rule.deny_if)? {
            Some((clause, doubt)) => self.deny_by(rule, clause, doubt),
            None => Ok(()),
        }
    }

    fn limits(&mut self, rule: &Rule, permit: &mut Permit) -> Result<(), Halt> {
        let mode = self.policy.mode_of(rule, self.forced);
        for limit in &rule.limits {
            // A ledger compares each with each.
            self.work.take(LIMIT.saturating_mul(steps(permit.demands.len()).saturating_add(10)))?;
            let cost = self.cost(limit)?;
            self.observer.see(Event::Limit(limit, cost.ok()));
            let cost = match cost {
                Ok(cost) => cost,
                Err(doubt) => {
                    let from = limit.increment_from.as_ref();
                    let doubt = doubt.zip(from).map(|(doubt, path)| path.words(doubt));
                    let denial = Denial {
                        outcome: Outcome::Denied,
                        rule: RuleId::At(Arc::clone(&limit.pointer)),
                        words: limit.on_deny.clone(),
                        cause: from
                            .map_or(Cause::Rule, |path| Cause::Amount(path.to_string().into())),
                        doubt: doubt.map(String::into_boxed_str),
                    };
                    self.end(mode, denial)?;
                    continue;
                }
            };
            permit.demands.push(Demand {
                counter: limit.counter.clone(),
                cost,
                max: limit.max,
                enforced: mode == Mode::Enforce,
            });
            permit.limits.push(Arc::clone(limit));
        }
        Ok(())
    }

    /// The first reason of `rule` for asking a human, if it is enforced.
    fn approval(&mut self, rule: &Rule) -> Result<Option<Denial>, TooCostly> {
        let action =
            rule.action.as_ref().filter(|action| action.kind == ActionKind::RequireApproval);
        let (pointer, words, doubt) = if let Some(action) = action {
            self.observer.see(Event::Action(action));
            (&action.pointer, action.reason.clone(), None)
        } else {
            match self.first_met(ClauseList::ApprovalIf, &rule.approval_if)? {
                Some((clause, doubt)) => (&clause.pointer, clause.message.clone(), doubt),
                None => return Ok(None),
            }
        };
        let denial = Denial {
            outcome: Outcome::ApprovalRequired,
            rule: RuleId::At(Arc::clone(pointer)),
            words,
            cause: Cause::Approval,
            doubt,
        };
        match self.policy.mode_of(rule, self.forced) {
            Mode::Enforce => Ok(Some(denial)),
            Mode::Shadow => {
                self.go_on(denial);
                Ok(None)
            }
        }
    }

    /// The first entry of which every condition may hold, and why one of them could not be decided.
    fn first_met<'r>(
        &mut self,
        list: ClauseList,
        clauses: &'r [Clause],
    ) -> Result<Option<Met<'r>>, TooCostly> {
        let Judge { call, work, observer, .. } = self;
        for clause in clauses {
            work.take(CLAUSE)?;
            let mut holds = true;
            let mut doubt = None;
            for condition in &clause.conditions {
                observer.see(Event::Trial(condition));
                let trial = condition.may_hold(&call.arguments, work, |found, truth| {
                    observer.see(Event::Sighting(condition, found, truth));
                })?;
                holds = trial.holds;
                if !holds {
                    break;
                }
                if let (None, Some(why)) = (doubt, trial.doubt) {
                    doubt = Some((why, condition));
                }
            }
            observer.see(Event::Clause(list, clause, holds));
            if holds {
                return Ok(Some((clause, doubt.map(|(why, condition)| words(why, condition)))));
            }
        }
        Ok(None)
    }

    fn deny_by(
        &mut self,
        rule: &Rule,
        clause: &Clause,
        doubt: Option<Box<str>>,
    ) -> Result<(), Halt> {
        let denial = Denial {
            outcome: Outcome::Denied,
            rule: RuleId::At(Arc::clone(&clause.pointer)),
            words: clause.message.clone(),
            cause: Cause::Rule,
            doubt,
        };
        self.end(self.policy.mode_of(rule, self.forced), denial)
    }

    fn deny(
        &mut self,
        mode: Mode,
        rule: RuleId,
        words: Option<&String>,
        cause: Cause,
    ) -> Result<(), Halt> {
        let words = words.cloned();
        self.end(mode, Denial { outcome: Outcome::Denied, rule, words, cause, doubt: None })
    }

    /// Ends the decision, or in shadow mode notes what would have ended it.
    fn end(&mut self, mode: Mode, denial: Denial) -> Result<(), Halt> {
        match mode {
            Mode::Enforce => Err(Halt::Denied(Box::new(denial))),
            Mode::Shadow => {
                self.go_on(denial);
                Ok(())
            }
        }
    }

    /// Notes the first denial that is not enforced.
    fn go_on(&mut self, denial: Denial) {
        self.observer.see(Event::Shadowed(&denial));
        self.shadowed.get_or_insert(denial);
    }

    /// What the call costs by `limit`; an error if its amount is absent, undecidable, negative or out of range
    /// (contract P10), with what stands in the way of reading it.
    fn cost(&mut self, limit: &Limit) -> Result<Result<Amount, Option<Undecidable>>, TooCostly> {
        let Some(path) = &limit.increment_from else { return Ok(Ok(limit.increment)) };
        let value = match path.find(&self.call.arguments, self.work)? {
            Found::Value(value) => value,
            Found::Absent => return Ok(Err(None)),
            Found::Doubtful(doubt) => return Ok(Err(Some(doubt))),
        };
        let found = value.of_type();
        if found != Type::Number {
            let wanted = Types::of(&[Type::Number]);
            return Ok(Err(Some(Undecidable::Type { found, wanted })));
        }
        self.work.take(steps(value.text().len()).saturating_mul(8))?;
        let Kind::Number(number) = value.kind() else { return Ok(Err(None)) };
        if number.is_beyond_double() {
            return Ok(Err(Some(Undecidable::BeyondDouble)));
        }
        let cost = amount_of(number).and_then(|amount| amount.times(limit.increment));
        Ok(cost.ok_or(None))
    }
}

/// An entry that holds, and why one of its conditions cannot be decided, if one cannot.
type Met<'r> = (&'r Clause, Option<Box<str>>);

/// Steps for what is done with a call's arguments beside the decision: their names go on record, and a call of
/// 2026-07-28 is hashed, so that its retry is known.
fn passes_work(call: &ToolCall<'_>) -> u64 {
    let hashes = match (call.modern, call.request_state.is_some()) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => 3,
    };
    let hashing = steps(call.arguments.text().len()).saturating_mul(hashes);
    hashing.saturating_add(call.arguments.names_work())
}

/// Steps for an entry of `require`, `deny_if` or `approval_if`, beside its conditions.
const CLAUSE: u64 = 10;

/// Steps for a limit, and for each limit before it.
const LIMIT: u64 = 8;

/// Why a condition cannot be decided, for people.
fn words(doubt: Undecidable, condition: &Condition) -> Box<str> {
    condition.path.words(doubt).into()
}

/// A number as an amount, if it is one: not negative, not above 10^15, at most 9 digits after the point.
#[must_use]
pub fn amount_of(number: Decimal<'_>) -> Option<Amount> {
    if number.is_negative() || number.is_beyond_double() {
        return None;
    }
    number.scaled(AMOUNT_PLACES).and_then(Amount::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::lists_differ;
    use crate::engine::compile::compile;

    /// contract W5
    #[test]
    fn policies_are_told_apart_by_what_they_cut_from_lists() {
        const ALLOW: &str = r#""default":"allow""#;
        const DENY: &str = r#""default":"deny","hide_denied":true"#;
        let rows = [
            ("", "", false),
            ("", r#","hide":[]"#, false),
            ("", r#","hide":["a"]"#, true),
            (r#","hide":["a","b*"]"#, r#","hide":["b*","a"]"#, false),
            (r#","hide":["a"]"#, r#","hide":["b"]"#, true),
            (r#","hide":["a"]"#, r#","hide":["a"],"tools":{"b":{"action":"deny"}}"#, false),
            ("", r#","hide_denied":true"#, true),
            ("", r#","tools":{"a":{"rate_limit":{"max":1,"window":60}}}"#, false),
            (r#","hide":["a"]"#, r#","hide":["a"],"mode":"shadow""#, true),
        ];
        for (before, after, differ) in rows {
            assert_eq!(differ_as(ALLOW, before, after), differ, "{before} and {after}");
        }
        let rows = [
            ("", r#","tools":{"a":{}}"#, true),
            (r#","tools":{"a":{}}"#, r#","tools":{"a":{"action":"deny"}}"#, true),
            (r#","tools":{"a":{}}"#, r#","tools":{"a":{"action":"require_approval"}}"#, false),
            (r#","tools":{"a":{}}"#, r#","tools":{"a":{"deny_if":[{"conditions":[]}]}}"#, true),
            (r#","tools":{"a":{}}"#, r#","tools":{"a":{},"b":{}}"#, true),
            (
                r#","all_tools":{"action":"deny"}"#,
                r#","all_tools":{"action":"deny"},"tools":{"a":{}}"#,
                false,
            ),
            ("", r#","all_tools":{"action":"deny"}"#, true),
        ];
        for (before, after, differ) in rows {
            assert_eq!(differ_as(DENY, before, after), differ, "{before} and {after}");
        }
    }

    fn differ_as(head: &str, before: &str, after: &str) -> bool {
        let policy = |rest: &str| {
            let text = format!(r#"{{"version":"1",{head}{rest}}}"#);
            compile(text.as_bytes()).unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
        };
        let (before, after) = (policy(before), policy(after));
        assert!(!lists_differ(&before, &after, true), "nothing is cut in shadow mode");
        lists_differ(&before, &after, false)
    }
}
