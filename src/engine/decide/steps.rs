//! The order of a decision, and the judge that follows it.

use std::sync::Arc;

use super::denial::{Cause, Denial};
use super::{Observation, Observer, Permit};
use crate::engine::json::undecidable::Undecidable;
use crate::engine::limits::Demand;
use crate::engine::policy::condition::Condition;
use crate::engine::policy::limit::NoAmount;
use crate::engine::policy::{
    ActionKind, BuiltIn, Clause, ClauseList, Effect, Matching, Mode, Policy, Rule, RuleId,
};
use crate::engine::text::words::words;
use crate::engine::wire::mcp::ToolCall;
use crate::engine::work::{TooCostly, Work, steps};

/// One step of a decision: it denies the call, or lets it go on to the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecisionStep {
    /// Denies a tool that `hide` names.
    Hidden,
    /// Denies a name that can be mistaken for another one (contract P4).
    ConfusableName,
    /// Denies a tool that no entry of `tools` matches, if `default` is `deny`.
    NotListed,
    /// `action: deny`
    Action,
    /// `require`
    Require,
    /// `deny_if`
    DenyIf,
    /// `limits`: works out what the call costs. The ledger charges it after the last step.
    Limits,
    /// `action: require_approval` and `approval_if`: notes the first that asks.
    Approval,
}

words!(DecisionStep {
    Hidden => "hidden",
    ConfusableName => "confusable name",
    NotListed => "not listed under `default: deny`",
    Action => "`action: deny`",
    Require => "`require`",
    DenyIf => "`deny_if`",
    Limits => "limits (looked at)",
    Approval => "approval",
});

/// The order of a decision (contract 3.5): the first step that denies ends it. Each step goes through the entries of
/// `tools` that match, in file order, and then `all_tools`.
///
/// A new kind of rule is a row here, a method of `Judge`, a type in `policy/` and a reader in `compile/`; the
/// architecture page of the manual shows how.
pub const STEPS: [DecisionStep; 8] = [
    DecisionStep::Hidden,
    DecisionStep::ConfusableName,
    DecisionStep::NotListed,
    DecisionStep::Action,
    DecisionStep::Require,
    DecisionStep::DenyIf,
    DecisionStep::Limits,
    DecisionStep::Approval,
];

/// Why a decision ends before its last step.
pub(super) enum Halt {
    Denied(Box<Denial>),
    TooCostly,
}

impl From<TooCostly> for Halt {
    fn from(_: TooCostly) -> Self {
        Halt::TooCostly
    }
}

/// Takes the steps for one call.
pub(super) struct Judge<'p, 'c, 'o, O> {
    pub(super) policy: &'p Policy,
    pub(super) call: &'p ToolCall<'c>,
    /// The mode that is forced on every rule, if one is.
    pub(super) forced: Option<Mode>,
    /// The first denial in shadow mode.
    pub(super) shadowed: Option<Denial>,
    pub(super) work: &'o mut Work,
    pub(super) observer: &'o mut O,
}

impl<'p, O: Observer> Judge<'p, '_, '_, O> {
    /// Takes all steps. `permit` becomes the terms on which the call may go out.
    pub(super) fn judge(&mut self, permit: &mut Permit) -> Result<(), Halt> {
        self.work.take(recording_work(self.call))?;
        let mut matching = self.policy.tools.matching_within(&self.call.name, self.work)?;
        for step in STEPS {
            self.take(step, &mut matching, permit)?;
        }
        Ok(())
    }

    #[inline]
    fn take(
        &mut self,
        step: DecisionStep,
        matching: &mut Matching<'p>,
        permit: &mut Permit,
    ) -> Result<(), Halt> {
        match step {
            DecisionStep::Hidden => self.hidden(),
            DecisionStep::ConfusableName => self.confusable_name(matching),
            DecisionStep::NotListed => self.not_listed(matching, permit),
            DecisionStep::Action => each(matching, |rule| self.action(rule)),
            DecisionStep::Require => each(matching, |rule| self.require(rule)),
            DecisionStep::DenyIf => each(matching, |rule| self.deny_if(rule)),
            DecisionStep::Limits => each(matching, |rule| self.limits(rule, permit)),
            DecisionStep::Approval => each(matching, |rule| {
                if permit.approval.is_none() {
                    permit.approval = self.approval(rule)?.map(Box::new);
                }
                Ok(())
            }),
        }
    }

    /// Denies a call whose decision takes too much work: the rules that were not looked at might deny it. If the whole
    /// policy is in shadow mode, the denial is only noted.
    pub(super) fn too_costly(&mut self) -> Result<(), Denial> {
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

    fn hidden(&mut self) -> Result<(), Halt> {
        let is_hidden = self.policy.hide.matches_within(&self.call.name, self.work)?;
        self.observer.see(Observation::Hide(is_hidden));
        if is_hidden { self.deny_built_in(BuiltIn::Hidden, Cause::Hidden) } else { Ok(()) }
    }

    fn confusable_name(&mut self, matching: &Matching<'_>) -> Result<(), Halt> {
        let is_confusable =
            self.policy.is_confusable_within(&self.call.name, matching, self.work)?;
        self.observer.see(Observation::Confusable(is_confusable));
        if is_confusable {
            self.deny_built_in(BuiltIn::ConfusableName, Cause::Confusable)
        } else {
            Ok(())
        }
    }

    /// Finds the entry that permits the tool. The later steps go through `all_tools` as well.
    fn not_listed(&mut self, matching: &mut Matching<'p>, permit: &mut Permit) -> Result<(), Halt> {
        self.observer.see(Observation::Entries(&matching.rules));
        if let Some(rule) = matching.rules.first() {
            permit.rule = RuleId::At(Arc::clone(&rule.pointer));
        } else if self.policy.default == Effect::Deny {
            self.deny_built_in(BuiltIn::DefaultDeny, Cause::NotListed)?;
        }
        matching.rules.extend(&self.policy.all_tools);
        Ok(())
    }

    fn action(&mut self, rule: &Rule) -> Result<(), Halt> {
        let Some(action) = rule.action.as_ref().filter(|action| action.kind == ActionKind::Deny)
        else {
            return Ok(());
        };
        self.observer.see(Observation::Action(action));
        let denial = Denial {
            rule: RuleId::At(Arc::clone(&action.pointer)),
            words: action.reason.clone(),
            cause: Cause::Rule,
            doubt: None,
        };
        self.end(self.policy.mode_of(rule, self.forced), denial)
    }

    fn require(&mut self, rule: &Rule) -> Result<(), Halt> {
        let Judge { call, work, observer, .. } = self;
        for clause in &rule.require {
            work.take(CLAUSE)?;
            let mut broken = None;
            for condition in &clause.conditions {
                observer.see(Observation::Trial(condition));
                let trial = condition.surely_holds(&call.arguments, work, |found, truth| {
                    observer.see(Observation::Value(condition, found, truth));
                })?;
                if !trial.holds {
                    broken = Some(trial.doubt.map(|doubt| words(doubt, condition)));
                    break;
                }
            }
            observer.see(Observation::Clause(ClauseList::Require, clause, broken.is_none()));
            if let Some(doubt) = broken {
                // Shadow mode, too, stops at the first entry that fails.
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
            // A ledger compares each limit with every other one.
            self.work.take(LIMIT.saturating_mul(steps(permit.demands.len()).saturating_add(10)))?;
            let cost = limit.cost(&self.call.arguments, self.work)?;
            self.observer.see(Observation::Limit(limit, cost.ok()));
            let cost = match cost {
                Ok(cost) => cost,
                Err(NoAmount(doubt)) => {
                    let from = limit.increment_from.as_ref();
                    let doubt = doubt.zip(from).map(|(doubt, path)| path.words(doubt));
                    let denial = Denial {
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
            self.observer.see(Observation::Action(action));
            (&action.pointer, action.reason.clone(), None)
        } else {
            match self.first_met(ClauseList::ApprovalIf, &rule.approval_if)? {
                Some((clause, doubt)) => (&clause.pointer, clause.message.clone(), doubt),
                None => return Ok(None),
            }
        };
        let denial =
            Denial { rule: RuleId::At(Arc::clone(pointer)), words, cause: Cause::Approval, doubt };
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
                observer.see(Observation::Trial(condition));
                let trial = condition.may_hold(&call.arguments, work, |found, truth| {
                    observer.see(Observation::Value(condition, found, truth));
                })?;
                holds = trial.holds;
                if !holds {
                    break;
                }
                if let (None, Some(why)) = (doubt, trial.doubt) {
                    doubt = Some((why, condition));
                }
            }
            observer.see(Observation::Clause(list, clause, holds));
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
            rule: RuleId::At(Arc::clone(&clause.pointer)),
            words: clause.message.clone(),
            cause: Cause::Rule,
            doubt,
        };
        self.end(self.policy.mode_of(rule, self.forced), denial)
    }

    /// Denies the call by a rule that every policy has; the document's mode decides whether that is enforced.
    fn deny_built_in(&mut self, rule: BuiltIn, cause: Cause) -> Result<(), Halt> {
        let mode = self.policy.document_mode(self.forced);
        let rule = rule.into();
        self.end(mode, Denial { rule, words: None, cause, doubt: None })
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
        self.observer.see(Observation::Shadowed(&denial));
        self.shadowed.get_or_insert(denial);
    }
}

/// Goes through the rules that apply, until one of them ends the decision.
#[inline]
fn each<'p>(
    matching: &Matching<'p>,
    look: impl FnMut(&'p Rule) -> Result<(), Halt>,
) -> Result<(), Halt> {
    matching.rules.iter().copied().try_for_each(look)
}

/// An entry that holds, and why one of its conditions cannot be decided, if one cannot.
type Met<'r> = (&'r Clause, Option<Box<str>>);

/// Steps for what else is done with a call's arguments: their names are recorded, and those of a modern call are hashed
/// so that its retry is recognised.
fn recording_work(call: &ToolCall<'_>) -> u64 {
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
