//! Decides one call by one policy (contract 3.5): it is denied, or permitted on terms that a ledger has to meet.

pub mod denial;
pub mod explain;
pub mod list_cuts;
pub mod narrate;
pub mod steps;

use std::sync::Arc;

use self::steps::{Halt, Judge};
use crate::engine::json::arguments::Found;
use crate::engine::limits::{Amount, Demand, Few, Reservation, Settlement, StateUnavailable};
use crate::engine::policy::condition::{Condition, Truth};
use crate::engine::policy::{
    BuiltIn, Clause, ClauseList, Limit, Mode, Policy, Rule, RuleAction, RuleId,
};
use crate::engine::wire::mcp::ToolCall;
use crate::engine::work::Work;

pub use self::denial::{Cause, Denial, LimitReached};
pub use self::list_cuts::{is_closed, is_cut, lists_differ, never_passes, never_passes_within};

/// A call that no step denies, and the terms on which it goes out.
#[derive(Debug, Clone)]
#[must_use = "a permit has terms: its demands, and a human's approval"]
pub struct Permit {
    /// The entry that allows it.
    pub rule: RuleId,
    /// The charges that the ledger has to make first.
    pub demands: Few<Demand>,
    /// The limit of each demand.
    limits: Few<Arc<Limit>>,
    /// Why a human must approve the call, if one must.
    pub approval: Option<Box<Denial>>,
    /// The first denial in shadow mode, which is recorded and not enforced (contract P14).
    pub shadowed: Option<Box<Denial>>,
}

impl Permit {
    /// The denial for a demand that has no room.
    fn exhausted(&self, demand: usize, retry_after_ms: Option<u64>) -> Denial {
        // No ledger names a demand that it was not given.
        let Some(limit) = self.limits.get(demand) else {
            return Denial::state_unavailable(
                "the ledger has answered another question".to_owned(),
            );
        };
        let what = Arc::clone(&limit.what);
        let costs_too_much =
            self.demands.get(demand).is_some_and(|demand| demand.cost > demand.max);
        Denial {
            rule: RuleId::At(Arc::clone(&limit.pointer)),
            words: limit.on_deny.clone(),
            cause: Cause::Limit(LimitReached { what, retry_after_ms, costs_too_much }),
            doubt: None,
        }
    }

    /// Turns the ledger's answer to the demands into a denial, if the call does not go out, and the reservation, if
    /// anything was charged. If there are both, the caller releases the reservation.
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
                // Limits in shadow mode stop nothing.
                let enforced = self.demands.iter().any(|demand| demand.enforced);
                (enforced.then(|| Box::new(Denial::state_unavailable(reason))), None)
            }
        }
    }

    /// Notes the first of the demands in shadow mode that had no room.
    fn note_missed(&mut self, missed: &[usize]) {
        if let (Some(&demand), None) = (missed.first(), &self.shadowed) {
            self.shadowed = Some(Box::new(self.exhausted(demand, None)));
        }
    }
}

/// What an observer sees during a decision, in order.
#[derive(Debug, Clone, Copy)]
pub enum Observation<'e> {
    /// True if `hide` names the tool.
    Hide(bool),
    /// True if the name can be mistaken for another one (contract P4).
    Confusable(bool),
    /// The entries of `tools` that match, in file order. If there are none, the default decides.
    Entries(&'e [&'e Rule]),
    /// A rule has an `action`.
    Action(&'e RuleAction),
    /// A condition is tried on the values at its path.
    Trial(&'e Condition),
    /// One value that the condition was tried on, and the result. A path with `[*]` has many.
    Value(&'e Condition, Found<'e>, Truth),
    /// An entry of a list, after its conditions: true if it holds.
    Clause(ClauseList, &'e Clause, bool),
    /// A limit, and what the call costs by it, if that can be told.
    Limit(&'e Limit, Option<Amount>),
    /// A denial in shadow mode: the decision goes on (contract P14).
    Shadowed(&'e Denial),
}

/// Watches a decision. Live sessions pass `()`, which costs nothing.
pub trait Observer {
    /// Takes note of the next observation.
    fn see(&mut self, observation: Observation<'_>);
}

impl Observer for () {
    #[inline]
    fn see(&mut self, _: Observation<'_>) {}
}

/// Decides one call. Nothing is charged yet: [`Permit::demands`] says what has to be.
///
/// # Errors
/// The denial that is enforced.
pub fn decide(policy: &Policy, call: &ToolCall<'_>, shadow: bool) -> Result<Permit, Denial> {
    let work = &mut Work::of_decision();
    decide_observed(policy, call, Mode::forced_by(shadow), work, &mut ())
}

/// [`decide`] within the work that is left, with a mode that may be forced on every rule, and an observer.
///
/// # Errors
/// The denial that is enforced.
pub fn decide_observed(
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
