//! The use of tools in recorded sessions. Memory grows with the number of tools, not of calls.

use std::collections::HashMap;

use super::class::Class;
use super::classify::Classification;
use super::proposal::{Cap, Proposal, Treatment};
use crate::engine::limits::{Amount, Counter, Window};

/// The tightest limit for a minute: a tighter one would hinder more than it protects.
const LEAST_A_MINUTE: u64 = 10;
/// The tightest limit for a day.
const LEAST_A_DAY: u64 = 100;

const MINUTE: u32 = 60;
const DAY: u32 = 86_400;

/// The most calls in a window, as limits count them.
#[derive(Debug)]
struct Peak {
    counter: Counter,
    highest: u64,
}

impl Peak {
    fn new(seconds: u32) -> Self {
        Peak { counter: Counter::new(Window::Sliding(seconds)), highest: 0 }
    }

    fn count(&mut self, at_ms: u64) {
        self.counter.charge(Amount::ONE, at_ms);
        let used = self.counter.used(at_ms).checked_div(Amount::ONE.nanos()).unwrap_or_default();
        self.highest = self.highest.max(u64::try_from(used).unwrap_or(u64::MAX));
    }
}

/// The use of one tool.
#[derive(Debug)]
struct ToolUse {
    tool: String,
    calls: u64,
    sessions: u64,
    minute: Peak,
    day: Peak,
    /// Calls of the recording at hand whose time is not known.
    untimed: u64,
    /// There were such calls.
    is_untimed: bool,
}

/// The handle of a tool that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolId(usize);

/// The use of all tools.
#[derive(Debug, Default)]
pub struct ToolUses {
    /// In the order of their first calls.
    tools: Vec<ToolUse>,
    places: HashMap<String, usize>,
}

impl ToolUses {
    /// Takes note that a tool was called.
    pub fn call(&mut self, tool: &str) -> ToolId {
        let place = self.places.get(tool).copied().unwrap_or_else(|| {
            let place = self.tools.len();
            self.places.insert(tool.to_owned(), place);
            self.tools.push(ToolUse {
                tool: tool.to_owned(),
                calls: 0,
                sessions: 0,
                minute: Peak::new(MINUTE),
                day: Peak::new(DAY),
                untimed: 0,
                is_untimed: false,
            });
            place
        });
        self.edit(ToolId(place), |observed| observed.calls = observed.calls.saturating_add(1));
        ToolId(place)
    }

    /// Takes note that the call was the first in its session.
    pub fn session(&mut self, seen: ToolId) {
        self.edit(seen, |observed| observed.sessions = observed.sessions.saturating_add(1));
    }

    /// Takes note of the time of the call, by the clock of limits. Times never go back.
    pub fn time(&mut self, seen: ToolId, at_ms: u64) {
        self.edit(seen, |observed| {
            observed.minute.count(at_ms);
            observed.day.count(at_ms);
        });
    }

    /// Takes note that the time of the call is unknown.
    pub fn untimed(&mut self, seen: ToolId) {
        self.edit(seen, |observed| {
            observed.untimed = observed.untimed.saturating_add(1);
            observed.is_untimed = true;
        });
    }

    /// The end of a recording without times: its calls may all have been made in one minute.
    pub fn end_untimed(&mut self) {
        for observed in &mut self.tools {
            let calls = std::mem::take(&mut observed.untimed);
            for peak in [&mut observed.minute, &mut observed.day] {
                peak.highest = peak.highest.max(calls);
            }
        }
    }

    /// A policy's entry for each tool in the order of their first calls, with what was seen as evidence.
    pub fn proposals(
        &self,
        judge: impl Fn(&str) -> Classification,
    ) -> impl Iterator<Item = Proposal> {
        self.tools.iter().map(move |observed| observed.proposal(judge(&observed.tool)))
    }

    fn edit(&mut self, ToolId(place): ToolId, edit: impl FnOnce(&mut ToolUse)) {
        if let Some(observed) = self.tools.get_mut(place) {
            edit(observed);
        }
    }
}

impl ToolUse {
    fn proposal(&self, verdict: Classification) -> Proposal {
        let ToolUse { tool, calls, sessions, minute, day, is_untimed, untimed: _ } = self;
        let (minute, day) = (minute.highest, day.highest);
        let plural =
            |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let evidence = format!(
            "Seen {} in {}, at most {minute} in a minute and {day} in a day{}.",
            plural(*calls, "call"),
            plural(*sessions, "session"),
            if *is_untimed { ", as far as times are recorded" } else { "" },
        );
        let is_grave = verdict.class >= Class::Financial;
        let (least_a_minute, least_a_day) =
            if is_grave { (1, 1) } else { (LEAST_A_MINUTE, LEAST_A_DAY) };
        let a_minute = with_room(minute).max(least_a_minute);
        let a_day = with_room(day).max(least_a_day);
        let cap =
            |window, suffix: &str, max| Cap { counter: format!("{tool}_{suffix}"), window, max };
        let mut caps = vec![cap("minute", "rate", a_minute), cap("day", "day", a_day)];
        // As many a minute as a day: the day says it all.
        caps.retain(|cap| cap.window == "day" || a_minute < a_day);
        Proposal {
            tool: tool.clone(),
            verdict,
            treatment: Treatment::Limit(caps),
            evidence: Some(evidence),
        }
    }
}

/// Twice as much, rounded up to 1, 2, 3 or 5 times a power of ten.
fn with_room(peak: u64) -> u64 {
    let wanted = peak.saturating_mul(2).clamp(1, Amount::MAX_WHOLE);
    let powers = std::iter::successors(Some(1_u64), |power| power.checked_mul(10));
    let round = powers.flat_map(|power| [1, 2, 3, 5].map(|times| power.saturating_mul(times)));
    round.into_iter().find(|round| *round >= wanted).unwrap_or(Amount::MAX_WHOLE)
}

#[cfg(test)]
mod tests {
    use super::with_room;

    #[test]
    fn proposed_limits_leave_room_and_are_round() {
        let rows = [(0, 1), (1, 2), (2, 5), (3, 10), (6, 20), (14, 30), (17, 50), (50, 100)];
        for (peak, limit) in rows {
            assert_eq!(with_room(peak), limit, "{peak}");
        }
        assert_eq!(with_room(u64::MAX), 1_000_000_000_000_000);
    }
}
