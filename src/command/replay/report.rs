//! The output of a replay: a row for each call, as it is decided, and totals.

use std::io::Write;

use serde_json::json;

use crate::cli::Format;
use crate::command::show::stdout;
use crate::engine::outcome::Outcome;
use crate::engine::policy::BuiltIn;
use crate::engine::session::audit_record::{CallRecord, Verdict};
use crate::engine::text::escape::{escape_json, escape_line};
use crate::engine::text::shorten::cut;
use crate::engine::wire::transcript;

use crate::engine::session::offline::OfflineDecision;

/// The rule that refuses a line (contract 3.5).
const FRAME: &str = BuiltIn::Frame.word();
/// The word for a refused line, which has no outcome.
const REFUSED: &str = "refused";

/// A line of the recording with its decision.
pub(super) struct ReplayRow<'a> {
    pub(super) number: u64,
    pub(super) at_ms: Option<u64>,
    pub(super) ruling: &'a OfflineDecision,
    /// The decision of the policy to compare with.
    pub(super) before: Option<&'a OfflineDecision>,
}

/// Totals of the rows so far.
pub(super) struct ReplayReport {
    format: Format,
    compares: bool,
    columns: usize,
    day: String,
    allowed: u64,
    denied: u64,
    approval: u64,
    refused: u64,
    shadowed: u64,
    changed: u64,
    torn: Option<u64>,
}

impl ReplayReport {
    pub(super) fn new(format: Format, compares: bool) -> Self {
        ReplayReport {
            format,
            compares,
            columns: stdout::columns(),
            day: String::new(),
            allowed: 0,
            denied: 0,
            approval: 0,
            refused: 0,
            shadowed: 0,
            changed: 0,
            torn: None,
        }
    }

    /// Number of calls and lines that did not go out.
    pub(super) fn refusals(&self) -> u64 {
        [self.denied, self.approval, self.refused].into_iter().fold(0, u64::saturating_add)
    }

    /// Number of lines that the policies decide differently.
    pub(super) fn changes(&self) -> u64 {
        self.changed
    }

    /// Notes that the last line was cut off during writing.
    pub(super) fn note_torn(&mut self, number: u64) {
        self.torn = Some(number);
    }

    pub(super) fn row(&mut self, row: &ReplayRow<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
        let changed = self.compares && row.before.map(outcome) != Some(outcome(row.ruling));
        let one = |counter: &mut u64| *counter = counter.saturating_add(1);
        match outcome(row.ruling) {
            Some(Outcome::Allowed) => one(&mut self.allowed),
            Some(Outcome::Denied) => one(&mut self.denied),
            Some(Outcome::ApprovalRequired) => one(&mut self.approval),
            None => one(&mut self.refused),
        }
        if shadowed(row.ruling).is_some() {
            one(&mut self.shadowed);
        }
        if changed {
            one(&mut self.changed);
        }
        if self.compares && !changed {
            return Ok(());
        }
        match self.format {
            Format::Text => self.text(row, out),
            Format::Json => json_line(row, out),
        }
    }

    fn text(&mut self, row: &ReplayRow<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
        let when = match row.at_ms.map(transcript::time) {
            None => format!("line {}", row.number),
            Some(time) => {
                let (day, clock) = time.split_once('T').unwrap_or_default();
                if day != self.day {
                    writeln!(out, "{day}")?;
                    day.clone_into(&mut self.day);
                }
                clock.trim_end_matches('Z').to_owned()
            }
        };
        let (tool, rule) = match row.ruling {
            OfflineDecision::Call(call) => (call.tool.as_str(), call.verdict.rule.as_str()),
            OfflineDecision::Refused(_) => ("-", FRAME),
        };
        let decided = word(outcome(row.ruling));
        let tool = cut(&escape_line(tool), 24);
        let line = format!("{when:<12}  {decided:<8}  {tool:<24}  {}", escape_line(rule));
        writeln!(out, "{}", cut(&line, self.columns))?;
        let mut note = |text: &str| {
            writeln!(out, "{}", cut(&format!("{:14}{}", "", escape_line(text)), self.columns))
        };
        if self.compares {
            match row.before {
                Some(before) => {
                    note(&format!("before: {} by {}", word(outcome(before)), rule_of(before)))?;
                }
                None => note("before: nothing")?,
            }
        }
        if !message(row.ruling).is_empty() {
            note(message(row.ruling))?;
        }
        if let Some(shadowed) = shadowed(row.ruling) {
            note(&format!(
                "in shadow mode: {} by {}: {}",
                word(Some(shadowed.outcome)),
                shadowed.rule,
                shadowed.message
            ))?;
        }
        Ok(())
    }

    pub(super) fn totals(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let calls =
            [self.allowed, self.denied, self.approval].into_iter().fold(0, u64::saturating_add);
        if self.format == Format::Json {
            let mut totals = json!({
                "calls": calls,
                "allowed": self.allowed,
                "denied": self.denied,
                "approval_required": self.approval,
                "refused": self.refused,
                "shadowed": self.shadowed,
                "torn_line": self.torn,
            });
            if self.compares
                && let Some(totals) = totals.as_object_mut()
            {
                totals.insert("changed".to_owned(), self.changed.into());
            }
            writeln!(out, "{}", json!({ "totals": totals }))?;
            return Ok(());
        }
        let plural =
            |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let mut parts =
            vec![format!("{} allowed", self.allowed), format!("{} denied", self.denied)];
        if self.approval > 0 {
            parts.push(format!("{} to be approved", self.approval));
        }
        if self.shadowed > 0 {
            parts.push(format!("{} against a rule in shadow mode", self.shadowed));
        }
        writeln!(out, "{}: {}", plural(calls, "call"), parts.join(", "))?;
        if self.refused > 0 {
            writeln!(out, "{} refused", plural(self.refused, "line"))?;
        }
        if self.compares {
            writeln!(out, "{} decided differently", self.changed)?;
        }
        if let Some(torn) = self.torn {
            writeln!(out, "line {torn}, the last, is incomplete and was left out")?;
        }
        Ok(())
    }
}

fn json_line(row: &ReplayRow<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut line = verdict_json(row.ruling);
    if let Some(object) = line.as_object_mut() {
        object.insert("line".to_owned(), row.number.into());
        object.insert("time".to_owned(), row.at_ms.map(transcript::time).into());
        if let OfflineDecision::Call(call) = row.ruling {
            object.insert("tool".to_owned(), call.tool.as_str().into());
            object.insert("id".to_owned(), serde_json::from_str(&call.id).unwrap_or_default());
        }
        if let Some(before) = row.before {
            object.insert("before".to_owned(), verdict_json(before));
        }
    }
    writeln!(out, "{}", escape_json(&line.to_string()))?;
    Ok(())
}

fn verdict_json(ruling: &OfflineDecision) -> serde_json::Value {
    let mut verdict = json!({ "outcome": outcome(ruling).map(Outcome::word), "rule": rule_of(ruling), "message": message(ruling) });
    if let (Some(shadowed), Some(object)) = (shadowed(ruling), verdict.as_object_mut()) {
        let Verdict { outcome, rule, message, .. } = shadowed;
        object.insert(
            "shadowed".to_owned(),
            json!({ "outcome": outcome.word(), "rule": rule, "message": message }),
        );
    }
    verdict
}

/// The outcome of the decision; `None` for a refused line.
fn outcome(ruling: &OfflineDecision) -> Option<Outcome> {
    match ruling {
        OfflineDecision::Call(call) => Some(call.verdict.outcome),
        OfflineDecision::Refused(_) => None,
    }
}

fn rule_of(ruling: &OfflineDecision) -> &str {
    match ruling {
        OfflineDecision::Call(call) => &call.verdict.rule,
        OfflineDecision::Refused(_) => FRAME,
    }
}

fn message(ruling: &OfflineDecision) -> &str {
    match ruling {
        OfflineDecision::Call(call) => &call.verdict.message,
        OfflineDecision::Refused(reason) => reason,
    }
}

fn shadowed(ruling: &OfflineDecision) -> Option<&Verdict> {
    let call: Option<&CallRecord> = match ruling {
        OfflineDecision::Call(call) => Some(call),
        OfflineDecision::Refused(_) => None,
    };
    call?.shadowed.as_ref()
}

/// An outcome in a narrow column.
fn word(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::ApprovalRequired) => "approval",
        Some(outcome @ (Outcome::Allowed | Outcome::Denied)) => outcome.word(),
        None => REFUSED,
    }
}
