//! Reads and runs `tests` of a policy: calls that it must decide as written (contract P16).

use jiff::Timestamp;

use super::Compiler;
use super::fields::{Fields, Node, string, word};
use super::hints;
use super::shape::TEST;
use crate::engine::decide::explain::{Explanation, Ruled, Ruling, explain, rule};
use crate::engine::json::arguments::Arguments;
use crate::engine::json::value::{Kind, Str};
use crate::engine::limits::{Ledger as _, MemoryLedger, Now};
use crate::engine::outcome::Outcome;
use crate::engine::policy::{BuiltIn, Mode, Policy};
use crate::engine::text::words::words;
use crate::engine::wire::mcp::ToolCall;
use crate::engine::work::{TooCostly, Work, steps};

/// The most calls that the tests of one policy may make together.
pub const MAX_CALLS: u32 = 10_000;

/// The default time of the first test: 2026-01-01T00:00:00Z, in milliseconds since the epoch.
pub const START_MS: u64 = 1_767_225_600_000;

/// An entry of `tests`.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its name.
    pub name: String,
    /// The tool that is called.
    pub tool: String,
    /// Its arguments, as the policy spells them: an object.
    pub arguments: String,
    /// The time of the calls, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The number of calls.
    pub times: u32,
    /// The expected decision of each call.
    pub expect: Expect,
    /// The rule that must decide them.
    pub rule: Option<String>,
    /// Where it stands in the document: RFC 6901.
    pub pointer: String,
    /// Where the value of `expect` begins, in bytes from the start of the file.
    pub expect_at: usize,
    /// The same for `rule`.
    pub rule_at: usize,
}

/// What a test expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The call goes out.
    Allow,
    /// It is denied, but not because the tool is hidden.
    Deny,
    /// A human has to approve it.
    Ask,
    /// It is denied because the tool is hidden.
    Hide,
}

words!(Expect { Allow => "allow", Deny => "deny", Ask => "ask", Hide => "hide" });

impl Expect {
    /// What a test must expect for this decision.
    #[must_use]
    pub fn of(ruling: &Ruling) -> Self {
        match ruling.outcome {
            Outcome::Allowed => Expect::Allow,
            Outcome::ApprovalRequired => Expect::Ask,
            Outcome::Denied if ruling.rule == BuiltIn::Hidden => Expect::Hide,
            Outcome::Denied => Expect::Deny,
        }
    }
}

/// A test that failed.
#[derive(Debug)]
pub struct TestFailure<'e> {
    /// The test.
    pub example: &'e Example,
    /// The number of the call, from 1.
    pub call: u32,
    /// The decision.
    pub explanation: Explanation,
}

impl TestFailure<'_> {
    /// What is wrong, for people.
    #[must_use]
    pub fn message(&self) -> String {
        let Example { name, expect, times, .. } = self.example;
        let which =
            if *times > 1 { format!(" at call {} of {times}", self.call) } else { String::new() };
        let found = Expect::of(&self.explanation.ruling);
        let (expected, found) = if found == *expect {
            (
                self.example.rule.as_deref().unwrap_or_default(),
                self.explanation.ruling.rule.as_str(),
            )
        } else {
            (expect.word(), found.word())
        };
        format!("test `{name}` fails{which}: expected `{expected}`, found `{found}`")
    }

    /// Where the expectation that was not met begins, in bytes from the start of the file, and its field.
    #[must_use]
    pub fn place(&self) -> (usize, &'static str) {
        if Expect::of(&self.explanation.ruling) == self.example.expect {
            (self.example.rule_at, "rule")
        } else {
            (self.example.expect_at, "expect")
        }
    }
}

/// The results of a policy's tests.
#[derive(Debug)]
pub struct TestResults<'e> {
    /// The first failures, explained.
    pub failures: Vec<TestFailure<'e>>,
    /// The number of failures.
    pub failed: usize,
    /// The test at which the work for all tests was used up (contract P16); later tests were not run.
    pub too_costly: Option<&'e Example>,
}

/// Failures that are explained; further ones are only counted.
const MAX_EXPLAINED: usize = 100;

/// Steps for one call of a test, beside its decision.
const CALL: u64 = 2000;

/// Runs all tests in order, on one fresh ledger, as if every rule were enforced. A test ends at its first unexpected
/// decision. `is_stale` is called now and then; once it returns true, the remaining tests are skipped.
#[must_use]
pub fn run<'e>(
    policy: &Policy,
    examples: &'e [Example],
    is_stale: &dyn Fn() -> bool,
) -> TestResults<'e> {
    let mut bench = Bench { policy, ledger: MemoryLedger::default(), left: Work::of(Work::TESTS) };
    let mut outcomes = TestResults { failures: Vec::new(), failed: 0, too_costly: None };
    for example in examples {
        match bench.run(example, is_stale) {
            Ok(None) => {}
            Ok(Some(call)) => {
                outcomes.failed = outcomes.failed.saturating_add(1);
                if outcomes.failures.len() < MAX_EXPLAINED {
                    outcomes.failures.extend(bench.explain(example, call));
                }
            }
            Err(TooCostly) => {
                outcomes.too_costly = Some(example);
                break;
            }
        }
        if is_stale() {
            break;
        }
    }
    outcomes
}

/// Runs tests, one after the other.
struct Bench<'p> {
    policy: &'p Policy,
    ledger: MemoryLedger,
    /// The work left for all tests.
    left: Work,
}

impl Bench<'_> {
    /// Makes the calls of one test. Returns the number of the first unexpected decision; that call is not charged.
    fn run(
        &mut self,
        example: &Example,
        is_stale: &dyn Fn() -> bool,
    ) -> Result<Option<u32>, TooCostly> {
        self.left.take(steps(example.arguments.len()).saturating_mul(4))?;
        // The compiler has proved that they parse.
        let Ok(arguments) = Arguments::parse(&example.arguments) else { return Ok(None) };
        let call = ToolCall::of(&example.tool, arguments);
        for nth in 1..=example.times {
            let work = &mut Work::of_decision();
            let Ruled { ruling, reservation, .. } = rule(
                self.policy,
                &call,
                Some(Mode::Enforce),
                work,
                &mut self.ledger,
                example.now(),
            );
            self.left.take(work.spent().saturating_add(CALL))?;
            if !example.is_met(&ruling) {
                reservation.into_iter().for_each(|charge| self.ledger.release(charge));
                return Ok(Some(nth));
            }
            if is_stale() {
                break;
            }
        }
        Ok(None)
    }

    /// Makes the unexpected call again and explains the decision.
    fn explain<'e>(&mut self, example: &'e Example, call: u32) -> Option<TestFailure<'e>> {
        let arguments = Arguments::parse(&example.arguments).ok()?;
        let made = ToolCall::of(&example.tool, arguments);
        let mode = Some(Mode::Enforce);
        let explanation = explain(self.policy, &made, mode, &mut self.ledger, example.now());
        Some(TestFailure { example, call, explanation })
    }
}

impl Example {
    fn now(&self) -> Now {
        Now { wall_ms: self.at_ms, monotonic_ms: self.at_ms }
    }

    fn is_met(&self, ruling: &Ruling) -> bool {
        Expect::of(ruling) == self.expect
            && self.rule.as_deref().is_none_or(|rule| rule == ruling.rule.as_str())
    }
}

impl Compiler<'_> {
    /// An entry of `tests` (contract P16).
    pub(super) fn example(&mut self, node: &Node<'_>) -> Option<Example> {
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
        let at_ms = at_ms.or(self.clock_ms).unwrap_or(START_MS);
        self.clock_ms = Some(at_ms);
        let times = self.optional(&fields, "times", Self::times).unwrap_or(1);
        self.count_calls(node, times);
        let help = "`allow`, `deny`, `ask` or `hide`";
        let expect_node = fields.require("expect", help, &mut self.problems);
        let expect_at = expect_node.as_ref().map(|node| node.value.start());
        let expect = expect_node
            .and_then(|node| word(&node, Expect::WORDS, hints::EXPECTS, &mut self.problems));
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

    /// A time, in milliseconds since the epoch; it may not be earlier than that of the previous test.
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
        let times = times.filter(|times| (1..=MAX_CALLS).contains(times));
        let Some(times) = times else {
            let expected = format!("a whole number from 1 to {MAX_CALLS}");
            self.problems.wrong_type(node, &expected);
            return None;
        };
        Some(times)
    }

    fn count_calls(&mut self, node: &Node<'_>, times: u32) {
        let before = self.calls;
        self.calls = before.saturating_add(times);
        if before <= MAX_CALLS && self.calls > MAX_CALLS {
            let message = format!("up to here, the tests make more than {MAX_CALLS} calls");
            self.problems.add(node, message, None);
        }
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
