//! `tests` of a policy: calls that it must decide as written (SPEC P16).

use super::decide::Outcome;
use super::explain::{Explanation, Ruling, explain};
use super::limits::{MemoryLedger, Now};
use super::mcp::ToolCall;
use super::path::Arguments;
use super::policy::{Mode, Policy};

/// How many calls the tests of one policy may make together.
pub const MAX_CALLS: u32 = 10_000;

/// When the first test is, unless it says so: 2026-01-01T00:00:00Z, in milliseconds since the epoch.
pub const START_MS: u64 = 1_767_225_600_000;

/// An entry of `tests`.
#[derive(Debug, Clone)]
pub struct Example {
    /// What it is called.
    pub name: String,
    /// The tool that is called.
    pub tool: String,
    /// Its arguments, as the policy spells them: an object.
    pub arguments: String,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// How often.
    pub times: u32,
    /// What each of these calls must come to.
    pub expect: Expect,
    /// The rule that must decide them.
    pub rule: Option<String>,
    /// Where it stands in the document: RFC 6901.
    pub pointer: String,
    /// Where in the file `expect` has its value, in bytes.
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

impl Expect {
    /// What a policy may write.
    pub const WORDS: [(&str, Expect); 4] = [
        ("allow", Expect::Allow),
        ("deny", Expect::Deny),
        ("ask", Expect::Ask),
        ("hide", Expect::Hide),
    ];

    /// The word of the policy.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Expect::Allow => "allow",
            Expect::Deny => "deny",
            Expect::Ask => "ask",
            Expect::Hide => "hide",
        }
    }

    /// What a test would have to expect of this.
    #[must_use]
    pub fn of(ruling: &Ruling) -> Self {
        match ruling.outcome {
            None => Expect::Allow,
            Some(Outcome::ApprovalRequired) => Expect::Ask,
            Some(Outcome::Denied) if ruling.rule.as_str() == "(hidden)" => Expect::Hide,
            Some(Outcome::Denied) => Expect::Deny,
        }
    }
}

/// A test that failed.
#[derive(Debug)]
pub struct Failure<'e> {
    /// The test.
    pub example: &'e Example,
    /// Which of its calls, from 1.
    pub call: u32,
    /// How the call was decided.
    pub explanation: Explanation,
}

impl Failure<'_> {
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

    /// Where in the file the expectation stands that was not met, in bytes, and what of the test it is.
    #[must_use]
    pub fn place(&self) -> (usize, &'static str) {
        if Expect::of(&self.explanation.ruling) == self.example.expect {
            (self.example.rule_at, "rule")
        } else {
            (self.example.expect_at, "expect")
        }
    }
}

/// Makes the calls of all tests, in their order, on one fresh ledger, and as if every rule were enforced. A test ends
/// at its first call that is not as expected.
#[must_use]
pub fn run<'e>(policy: &Policy, examples: &'e [Example]) -> Vec<Failure<'e>> {
    let mut ledger = MemoryLedger::default();
    let runs = examples.iter().filter_map(|example| run_one(policy, example, &mut ledger));
    runs.collect()
}

fn run_one<'e>(
    policy: &Policy,
    example: &'e Example,
    ledger: &mut MemoryLedger,
) -> Option<Failure<'e>> {
    // The compiler has read them before.
    let arguments = Arguments::parse(&example.arguments).ok()?;
    let call = ToolCall::of(&example.tool, arguments);
    let now = Now { wall_ms: example.at_ms, monotonic_ms: example.at_ms };
    (1..=example.times).find_map(|nth| {
        let explanation = explain(policy, &call, Some(Mode::Enforce), ledger, now);
        let ruling = &explanation.ruling;
        let is_met = Expect::of(ruling) == example.expect
            && example.rule.as_deref().is_none_or(|rule| rule == ruling.rule.as_str());
        (!is_met).then_some(Failure { example, call: nth, explanation })
    })
}
