//! Explains a decision: records the judge's steps while it takes them. Nothing here decides.

use std::sync::Arc;

use super::{Denial, Observation, Observer, Permit, decide_observed};
use crate::engine::json::arguments::Found;
use crate::engine::limits::{Amount, CounterKey, Ledger as _, MemoryLedger, Now, Reservation};
use crate::engine::outcome::Outcome;
use crate::engine::policy::condition::{Condition, Truth};
use crate::engine::policy::{ActionKind, ClauseList, Effect, Mode, Policy, RuleId};
use crate::engine::text::shorten::excerpt;
use crate::engine::wire::mcp::ToolCall;
use crate::engine::work::Work;

/// Values that are kept for each condition; further ones are only counted.
const MAX_VALUES: usize = 8;

/// Characters that are kept of a value.
const MAX_VALUE_CHARS: usize = 60;

/// A decision and its reasons.
#[derive(Debug)]
pub struct Explanation {
    /// The decision that is enforced.
    pub ruling: Ruling,
    /// The decision if shadow mode were enforced (contract P14).
    pub shadowed: Option<Ruling>,
    /// What the judge looked at, in order.
    pub trace: Vec<TraceEntry>,
}

/// The decision about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// The result of the decision.
    pub outcome: Outcome,
    /// The rule that decides.
    pub rule: RuleId,
    /// The message that the agent gets, with its mark; `None` if the call goes out.
    pub message: Option<String>,
    /// Milliseconds until the limits have room for the call, if a limit denied it and that time ever comes.
    pub retry_after_ms: Option<u64>,
}

/// One thing that the judge looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceEntry {
    /// True if `hide` names the tool.
    Hide(bool),
    /// True if the name can be mistaken for another one.
    Confusable(bool),
    /// The pointer of an entry of `tools` that matches, or of `all_tools`.
    Entry(Arc<str>),
    /// The default, because no entry of `tools` matches.
    Default(Effect),
    /// A rule's `action`, with its pointer.
    Action(Arc<str>, ActionKind),
    /// An entry of `require`, `deny_if` or `approval_if`.
    Clause(ClauseTrace),
    /// An entry of `limits`, or a `rate_limit`.
    Limit(LimitTrace),
    /// A rule in shadow mode that denies the call.
    Shadowed(RuleId),
}

/// The result of an entry of `require`, `deny_if` or `approval_if`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClauseTrace {
    /// The list that it is in.
    pub list: ClauseList,
    /// Where it stands.
    pub pointer: Arc<str>,
    /// Its conditions, as far as they were tried.
    pub conditions: Vec<ConditionTrace>,
    /// True if it holds; in doubt, whatever goes against the call.
    pub holds: bool,
}

/// A condition and the values that it was tried on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionTrace {
    /// `args.width gt 2048`
    pub condition: String,
    /// The values and their results. A path with `[*]` can have many.
    pub values: Vec<TriedValue>,
    /// The number of values left out before the last one.
    pub unseen: usize,
}

/// One value that a condition was tried on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriedValue {
    /// The value as the call spells it, cut if it is long; `None` if nothing is there.
    pub value: Option<String>,
    /// True if servers may read something on the path differently (contract P8).
    pub doubtful: bool,
    /// Why it cannot be decided, if it cannot.
    pub why: Option<String>,
    /// The result.
    pub truth: Truth,
}

/// The state of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitTrace {
    /// Where it stands.
    pub pointer: Arc<str>,
    /// `30 per minute (images)`
    pub what: Arc<str>,
    /// Its counter.
    pub counter: CounterKey,
    /// What the call costs, if that can be told.
    pub cost: Option<Amount>,
    /// What its counter held before the call.
    pub used: Amount,
    /// The most that its counter may hold.
    pub max: Amount,
}

/// Decides a call as a session does, charges the ledger for it, and explains the decision. `forced` overrides the mode of
/// every rule.
pub fn explain(
    policy: &Policy,
    call: &ToolCall<'_>,
    forced: Option<Mode>,
    ledger: &mut MemoryLedger,
    now: Now,
) -> Explanation {
    let mut trace = Tracer { policy, entries: Vec::new(), tried: Vec::new() };
    let decided = decide_observed(policy, call, forced, &mut Work::of_decision(), &mut trace);
    trace.read_counters(ledger, now);
    let Ruled { ruling, shadowed, .. } = settle(decided, call, ledger, now);
    Explanation { ruling, shadowed, trace: trace.entries }
}

/// A decision, and the charge for it.
#[derive(Debug)]
pub struct Ruled {
    /// The decision that is enforced.
    pub ruling: Ruling,
    /// The decision if shadow mode were enforced (contract P14).
    pub shadowed: Option<Ruling>,
    /// The charge, if the call goes out.
    pub reservation: Option<Reservation>,
}

/// Decides a call and charges the ledger for it as [`explain()`] does, without an explanation.
pub fn rule(
    policy: &Policy,
    call: &ToolCall<'_>,
    forced: Option<Mode>,
    work: &mut Work,
    ledger: &mut MemoryLedger,
    now: Now,
) -> Ruled {
    settle(decide_observed(policy, call, forced, work, &mut ()), call, ledger, now)
}

fn settle(
    decided: Result<Permit, Denial>,
    call: &ToolCall<'_>,
    ledger: &mut MemoryLedger,
    now: Now,
) -> Ruled {
    let mut permit = match decided {
        Err(denial) => {
            let ruling = Ruling::of(&denial, &call.name);
            return Ruled { ruling, shadowed: None, reservation: None };
        }
        Ok(permit) => permit,
    };
    let (denial, mut reservation) = permit.settle(ledger.reserve(&permit.demands, now));
    if denial.is_some()
        && let Some(reservation) = reservation.take()
    {
        ledger.release(reservation);
    }
    let shadowed = permit.shadowed.as_deref().map(|denial| Ruling::of(denial, &call.name));
    let ruling = denial.map(|denial| Ruling::of(&denial, &call.name));
    let ruling = ruling.unwrap_or_else(|| Ruling::allowed(&permit));
    Ruled { ruling, shadowed, reservation }
}

impl Ruling {
    fn allowed(permit: &Permit) -> Self {
        let rule = permit.rule.clone();
        Ruling { outcome: Outcome::Allowed, rule, message: None, retry_after_ms: None }
    }

    fn of(denial: &Denial, tool: &str) -> Self {
        Ruling {
            outcome: denial.outcome(),
            rule: denial.rule.clone(),
            message: Some(denial.marked_message(tool)),
            retry_after_ms: denial.retry_after_ms(),
        }
    }
}

/// Records what it observes.
struct Tracer<'p> {
    policy: &'p Policy,
    entries: Vec<TraceEntry>,
    /// The conditions of the clause so far.
    tried: Vec<ConditionTrace>,
}

impl Observer for Tracer<'_> {
    fn see(&mut self, observation: Observation<'_>) {
        match observation {
            Observation::Hide(met) => self.entries.push(TraceEntry::Hide(met)),
            Observation::Confusable(met) => self.entries.push(TraceEntry::Confusable(met)),
            Observation::Entries(rules) => {
                if rules.is_empty() {
                    self.entries.push(TraceEntry::Default(self.policy.default));
                    return;
                }
                let rules = rules.iter().copied().chain(&self.policy.all_tools);
                self.entries.extend(rules.map(|rule| TraceEntry::Entry(Arc::clone(&rule.pointer))));
            }
            Observation::Action(action) => {
                self.entries.push(TraceEntry::Action(Arc::clone(&action.pointer), action.kind));
            }
            Observation::Trial(condition) => self.tried.push(ConditionTrace {
                condition: condition.shown(),
                values: Vec::new(),
                unseen: 0,
            }),
            Observation::Value(condition, found, truth) => {
                if let Some(look) = self.tried.last_mut() {
                    look.note(condition, found, truth);
                }
            }
            Observation::Clause(list, clause, holds) => {
                self.entries.push(TraceEntry::Clause(ClauseTrace {
                    list,
                    pointer: Arc::clone(&clause.pointer),
                    conditions: std::mem::take(&mut self.tried),
                    holds,
                }));
            }
            Observation::Limit(limit, cost) => self.entries.push(TraceEntry::Limit(LimitTrace {
                pointer: Arc::clone(&limit.pointer),
                what: Arc::clone(&limit.what),
                counter: limit.counter.clone(),
                cost,
                used: Amount::default(),
                max: limit.max,
            })),
            Observation::Shadowed(denial) => {
                self.entries.push(TraceEntry::Shadowed(denial.rule.clone()));
            }
        }
    }
}

impl Tracer<'_> {
    /// Fills in what the counters hold before the call is charged.
    fn read_counters(&mut self, ledger: &MemoryLedger, now: Now) {
        for look in &mut self.entries {
            if let TraceEntry::Limit(limit) = look {
                limit.used = ledger.used(&limit.counter, now);
            }
        }
    }
}

impl ConditionTrace {
    /// Keeps the last value in any case, because it decided.
    fn note(&mut self, condition: &Condition, found: Found<'_>, truth: Truth) {
        if self.values.len() >= MAX_VALUES {
            self.values.pop();
            self.unseen = self.unseen.saturating_add(1);
        }
        let value = match found {
            Found::Value(value) => Some(excerpt(value.text(), MAX_VALUE_CHARS)),
            Found::Absent | Found::Doubtful(_) => None,
        };
        let doubtful = matches!(found, Found::Doubtful(_));
        let why = truth.doubt().map(|doubt| condition.path.words(doubt));
        self.values.push(TriedValue { value, doubtful, why, truth });
    }
}
