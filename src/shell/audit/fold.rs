//! Folds repeated records (contract S3): the first denial by a rule, refused line or dropped line is written whole; those
//! like it are counted for a second and written as one line.
//!
//! The table is bounded: it holds a few tools, methods and reasons at a time. When it is full, records are distinguished
//! by their rule only, and then by their kind only.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use super::event::EventKind;
use crate::engine::session::audit_record::Record;
use crate::engine::wire::line::Side;
use crate::shell::os::clock::rfc3339;

/// How long like records are counted.
const SPAN: Duration = Duration::from_secs(1);
/// So many entries are distinguished by all fields …
const FINE: usize = 16;
/// … and so many by their rule or reason.
const COARSE: usize = 8;

/// The recent records, and how often each occurred.
#[derive(Debug, Default)]
pub(super) struct Folds {
    hasher: RandomState,
    folds: Vec<Fold>,
}

/// A record that repeats.
#[derive(Debug)]
struct Fold {
    key: u64,
    level: usize,
    /// When the count is written.
    until: Instant,
    /// How often it occurred since its last line was written.
    count: u64,
    since_ms: u64,
    last_ms: u64,
    /// The members of one of these events, as JSON without braces.
    sample: String,
    /// The fields in which they differ.
    various: &'static [&'static str],
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is written whole.
    Whole,
    /// It is counted. The members of the first one are kept at this index.
    Counted { place: usize, count: u64 },
}

/// Several events written as one line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Folded {
    /// The members of the line, as JSON without braces.
    pub(super) members: String,
    /// When the last of them happened.
    pub(super) last_ms: u64,
    /// How many they are.
    pub(super) count: u64,
}

/// What two records must share to be folded.
#[derive(Hash, Clone, Copy)]
struct Likeness<'r> {
    kind: EventKind,
    /// Who sent it, or what was decided.
    who: &'r str,
    enforced: bool,
    /// The rule or the reason …
    why: &'r str,
    /// … what stands behind it, such as why a value could not be decided …
    cause: &'r str,
    /// … and what it was about.
    what: &'r str,
}

/// The fields in which folded events may differ, by kind and level.
const DIFFERING: [(EventKind, [&[&str]; 3]); 5] = [
    (EventKind::Call, [&[], &["tool"], &["rule", "tool"]]),
    (EventKind::MethodDenied, [&[], &["method"], &["rule", "method"]]),
    (EventKind::FrameRefused, [&[], &[], &["reason"]]),
    (EventKind::FrameDropped, [&[], &[], &["reason"]]),
    (EventKind::ToolsChanged, [&[], &[], &[]]),
];

impl<'r> Likeness<'r> {
    /// None for a record that is never folded: a call that went out, and its answer.
    fn of(record: &'r Record) -> Option<Self> {
        let side = |side: &Side| side.word();
        let cause = match record {
            Record::Call(call) => call.verdict.cause.as_deref().unwrap_or_default(),
            _ => "",
        };
        let (kind, who, enforced, why, what) = match record {
            Record::Call(call) if call.verdict.outcome.is_allowed() => return None,
            Record::Answer { .. } => return None,
            Record::Call(call) => (
                EventKind::Call,
                call.verdict.outcome.word(),
                true,
                call.verdict.rule.as_str(),
                call.tool.as_str(),
            ),
            Record::Method { from, method, rule, enforced, .. } => {
                (EventKind::MethodDenied, side(from), *enforced, rule.as_str(), method.as_str())
            }
            Record::FrameRefused { from, reason, .. } => {
                (EventKind::FrameRefused, side(from), true, reason.as_str(), "")
            }
            Record::Dropped { from, reason, .. } => {
                (EventKind::FrameDropped, side(from), true, *reason, "")
            }
            Record::ToolsChanged { by_policy } => (EventKind::ToolsChanged, "", *by_policy, "", ""),
        };
        Some(Likeness { kind, who, enforced, why, cause, what })
    }

    /// The likeness at a coarser level.
    fn at(self, level: usize) -> Self {
        match level {
            0 => self,
            1 => Likeness { what: "", ..self },
            _ => Likeness { why: "", cause: "", what: "", ..self },
        }
    }

    fn differing(self, level: usize) -> &'static [&'static str] {
        let row = DIFFERING.iter().find(|(kind, _)| *kind == self.kind);
        row.and_then(|(_, fields)| fields.get(level)).copied().unwrap_or_default()
    }
}

impl Folds {
    /// Decides whether to write a record, or to count it with one that was written less than a second ago.
    pub(super) fn admit(&mut self, record: &Record, now: Instant, wall_ms: u64) -> Fate {
        let Some(likeness) = Likeness::of(record) else { return Fate::Whole };
        self.folds.retain(|fold| fold.count > 0 || fold.until > now);
        for (level, room) in [FINE, COARSE, usize::MAX].into_iter().enumerate() {
            let key = self.hasher.hash_one((level, likeness.at(level)));
            if let Some(place) = self.folds.iter().position(|fold| fold.key == key)
                && let Some(fold) = self.folds.get_mut(place)
            {
                if fold.count == 0 {
                    fold.since_ms = wall_ms;
                }
                fold.count = fold.count.saturating_add(1);
                fold.last_ms = wall_ms;
                return Fate::Counted { place, count: fold.count };
            }
            if self.folds.iter().filter(|fold| fold.level == level).count() < room {
                self.folds.push(Fold {
                    key,
                    level,
                    until: now.checked_add(SPAN).unwrap_or(now),
                    count: 0,
                    since_ms: wall_ms,
                    last_ms: wall_ms,
                    sample: String::new(),
                    various: likeness.differing(level),
                });
                return Fate::Whole;
            }
        }
        // The last level has room for everything.
        Fate::Whole
    }

    /// The members of one of the events counted at `place`.
    pub(super) fn sample(&mut self, place: usize) -> Option<&mut String> {
        self.folds.get_mut(place).map(|fold| &mut fold.sample)
    }

    /// When [`Folds::take`] next returns something.
    pub(super) fn due(&self) -> Option<Instant> {
        self.folds.iter().filter(|fold| fold.count > 0).map(|fold| fold.until).min()
    }

    /// Takes what was counted for long enough; at the end of a session, everything.
    pub(super) fn take(&mut self, now: Instant, is_end: bool) -> Vec<Folded> {
        let mut taken = Vec::new();
        for fold in &mut self.folds {
            if fold.count == 0 || fold.until > now && !is_end {
                continue;
            }
            let count = std::mem::take(&mut fold.count);
            fold.until = now.checked_add(SPAN).unwrap_or(now);
            let mut members = std::mem::take(&mut fold.sample);
            if count > 1 {
                let since = rfc3339(fold.since_ms);
                // A string has no way to fail.
                let _ = write!(members, r#","count":{count},"since":"{since}""#);
                if !fold.various.is_empty() {
                    let _ = write!(members, r#","various":{:?}"#, fold.various);
                }
            }
            taken.push(Folded { members, last_ms: fold.last_ms, count });
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{COARSE, FINE, Fate, Folded, Folds};
    use crate::engine::outcome::Outcome;
    use crate::engine::session::audit_record::{ArgumentsRecord, CallRecord, Record, Verdict};
    use crate::engine::wire::line::Side;

    fn call(tool: &str, rule: &str, outcome: Outcome) -> Record {
        let (message, cause) = (String::new(), None);
        Record::Call(Box::new(CallRecord {
            id: "1".into(),
            tool: tool.into(),
            verdict: Verdict { outcome, rule: rule.into(), message, cause },
            shadowed: None,
            arguments: ArgumentsRecord::default(),
            modern: false,
            task: false,
        }))
    }

    /// contract S3: a call that went out is never folded; of all else the first is whole.
    #[test]
    fn what_is_alike_is_counted_for_a_second() {
        let mut folds = Folds::default();
        let begun = Instant::now();
        let second = Duration::from_secs(1);
        let denied = call("t", "/r", Outcome::Denied);
        for _ in 0..3 {
            assert_eq!(folds.admit(&call("t", "/r", Outcome::Allowed), begun, 0), Fate::Whole);
        }
        assert_eq!(folds.admit(&denied, begun, 0), Fate::Whole);
        assert_eq!(folds.due(), None);
        for count in 1..=5 {
            assert_eq!(folds.admit(&denied, begun, count), Fate::Counted { place: 0, count });
        }
        assert_eq!(folds.admit(&call("u", "/r", Outcome::Denied), begun, 0), Fate::Whole);
        assert_eq!(folds.due(), Some(begun + second));
        assert_eq!(folds.take(begun, false), []);
        folds.sample(0).unwrap().push_str(r#""event":"call""#);
        let since = r#","count":5,"since":"1970-01-01T00:00:00.001Z""#;
        let members = format!(r#""event":"call"{since}"#);
        assert_eq!(folds.take(begun + second, false), [Folded { members, last_ms: 5, count: 5 }]);
        // It goes on: one line a second. Once it pauses, the next one is whole.
        assert!(matches!(folds.admit(&denied, begun + second, 0), Fate::Counted { .. }));
        assert_eq!(folds.take(begun + 2 * second, false).len(), 1);
        assert_eq!(folds.admit(&denied, begun + 4 * second, 0), Fate::Whole);
    }

    /// A denial that says why a value could not be decided is not counted as one that says nothing of the kind.
    #[test]
    fn a_denial_with_another_cause_is_another() {
        let mut folds = Folds::default();
        let now = Instant::now();
        let because = |cause: Option<&str>| {
            let mut record = call("t", "/r", Outcome::Denied);
            let Record::Call(call) = &mut record else { unreachable!("a call") };
            call.verdict.cause = cause.map(str::to_owned);
            record
        };
        for cause in [None, Some("a list where text is wanted"), Some("it is absent")] {
            assert_eq!(folds.admit(&because(cause), now, 0), Fate::Whole, "{cause:?}");
            let again = folds.admit(&because(cause), now, 0);
            assert!(matches!(again, Fate::Counted { count: 1, .. }), "{cause:?}: {again:?}");
        }
    }

    /// Nobody fills the table, and nothing is lost from the counts.
    #[test]
    fn the_table_is_bounded() {
        let mut folds = Folds::default();
        let now = Instant::now();
        let mut whole = 0;
        for nth in 0..10_000_u64 {
            let record = match nth % 3 {
                0 => call(&format!("tool{nth}"), &format!("/r{nth}"), Outcome::Denied),
                1 => call(&format!("tool{nth}"), "(default deny)", Outcome::Denied),
                _ => Record::FrameRefused {
                    from: Side::Client,
                    id: None,
                    reason: format!("bad {nth}"),
                },
            };
            whole += u64::from(folds.admit(&record, now, 0) == Fate::Whole);
        }
        assert!(whole <= (FINE + COARSE + 12) as u64, "{whole} lines");
        let taken = folds.take(now, true);
        assert_eq!(taken.iter().map(|folded| folded.count).sum::<u64>() + whole, 10_000);
        let any_tool = r#""various":["rule", "tool"]"#;
        assert!(taken.iter().any(|folded| folded.members.contains(any_tool)), "{taken:?}");
    }
}
