//! The report of a scan: a class for each tool, and the reason.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::PolicyTarget;
use crate::command::explain::matrix::{stray_json, stray_text};
use crate::command::show::json_layout;
use crate::command::show::stdout;
use crate::engine::propose::class::Class;
use crate::engine::propose::matrix::Stray;
use crate::engine::propose::proposal::{Proposal, Proposals};
use crate::engine::text::escape::{escape_json, escape_line};

/// The widest column of names.
const WIDEST: usize = 32;
/// Indentation of a reason.
const INDENT: usize = 4;

/// The findings of a scan.
pub(super) struct ScanReport<'r> {
    pub(super) proposals: &'r Proposals,
    pub(super) strays: &'r [Stray],
    /// Notes on what was left out, and why.
    pub(super) notes: &'r [String],
    /// True if they come from recordings, not from a server's list.
    pub(super) is_learned: bool,
    /// The policy of `--update`.
    pub(super) updated: Option<&'r Path>,
}

impl ScanReport<'_> {
    /// Prints the report for people, on stderr.
    pub(super) fn show(&self, target: &PolicyTarget, is_new: bool) {
        // stderr may have no reader.
        let _ = self.text(&mut io::stderr().lock(), target, is_new);
    }

    fn text(&self, out: &mut dyn Write, target: &PolicyTarget, is_new: bool) -> io::Result<()> {
        let columns = stdout::error_columns();
        let Proposals { entries, unnamed, known } = self.proposals;
        let width = entries.iter().map(|entry| escape_line(&entry.tool).chars().count()).max();
        let width = width.unwrap_or_default().clamp(4, WIDEST);
        if !entries.is_empty() {
            writeln!(out, "{:width$}  {:11}  {:8}  rule", "tool", "class", "risk")?;
        }
        for Proposal { tool, verdict, treatment, evidence } in entries {
            let (class, risk) = (verdict.class.word(), verdict.risk.word());
            writeln!(
                out,
                "{:width$}  {class:11}  {risk:8}  {}",
                escape_line(tool),
                treatment.words()
            )?;
            wrapped(out, &verdict.reason, columns)?;
            if let Some(evidence) = evidence {
                wrapped(out, evidence, columns)?;
            }
        }
        for (tool, why) in unnamed {
            writeln!(out, "`{}` is left to the default: {}", escape_line(tool), why.reason())?;
        }
        for stray in self.strays {
            writeln!(out, "{}", escape_line(&stray_text(stray)))?;
        }
        for note in self.notes {
            writeln!(out, "{}", escape_line(note))?;
        }
        let others = [unnamed.len(), self.strays.len(), self.notes.len()];
        if !entries.is_empty() || others != [0; 3] {
            writeln!(out)?;
        }
        writeln!(out, "{}", self.summary(*known))?;
        if let PolicyTarget::New(path) | PolicyTarget::Old(path) = target {
            let path = path.display().to_string();
            let done = if is_new { "written" } else { "left as it was" };
            writeln!(out, "policy `{}`: {done}", escape_line(&path))?;
        }
        if entries.is_empty() {
            return Ok(());
        }
        let advice = if self.is_learned {
            "This permits what was recorded, whether or not it should have been: read it before you use it."
        } else {
            "This is a proposal from the server's own words, which nobody has checked: read it before you use it."
        };
        for line in lines(advice, columns) {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    /// How many tools are in each class.
    fn summary(&self, known: usize) -> String {
        let entries = &self.proposals.entries;
        let tools =
            |count: usize| if count == 1 { "1 tool".to_owned() } else { format!("{count} tools") };
        let whose = if self.is_learned { "the recordings" } else { "the server" };
        if entries.is_empty() && self.updated.is_some() {
            return format!("nothing is new: the policy names {} of {whose}", tools(known));
        }
        if entries.is_empty() {
            let has = if self.is_learned { "hold no call" } else { "has no tool" };
            return format!("{whose} {has} that a policy could name: every call is denied");
        }
        let classes = [
            Class::Read,
            Class::Write,
            Class::Execute,
            Class::Destructive,
            Class::Financial,
            Class::Unknown,
        ];
        let counted = classes.into_iter().filter_map(|class| {
            let count = entries.iter().filter(|entry| entry.verdict.class == class).count();
            (count > 0).then(|| format!("{count} {}", class.word()))
        });
        let counted = counted.collect::<Vec<_>>().join(", ");
        let before = match (self.updated, known) {
            (None, _) => String::new(),
            (Some(_), known) => format!("; {} named already", tools(known)),
        };
        let new = if self.updated.is_some() { " added" } else { "" };
        format!("{}{new}: {counted}{before}", tools(entries.len()))
    }

    /// Prints the report as JSON.
    pub(super) fn json(
        &self,
        out: &mut dyn Write,
        target: &PolicyTarget,
        is_new: bool,
        policy: &str,
    ) -> anyhow::Result<()> {
        let Proposals { entries, unnamed, known } = self.proposals;
        let tools = entries.iter().map(|entry| {
            let Proposal { tool, verdict, treatment, evidence } = entry;
            let mut json = json!({
                "tool": tool,
                "class": verdict.class.word(),
                "risk": verdict.risk.word(),
                "rule": treatment.words(),
                "reason": verdict.reason,
            });
            if let (Some(evidence), Some(json)) = (evidence, json.as_object_mut()) {
                json.insert("evidence".to_owned(), evidence.as_str().into());
            }
            json
        });
        let unnamed =
            unnamed.iter().map(|(tool, why)| json!({ "tool": tool, "reason": why.reason() }));
        let policy = match target {
            PolicyTarget::Stdout => Some(RawValue::from_string(json_layout::compact(policy))?),
            PolicyTarget::New(_) | PolicyTarget::Old(_) => None,
        };
        let json = ScanJson {
            tools: tools.collect(),
            left_out: unnamed.collect(),
            notes: self.notes,
            not_on_server: self.strays.iter().map(stray_json).collect(),
            named_already: *known,
            changed: is_new,
            policy,
        };
        writeln!(out, "{}", escape_json(&serde_json::to_string(&json)?))?;
        Ok(())
    }
}

/// A report as JSON.
#[derive(Serialize)]
struct ScanJson<'r> {
    tools: Vec<Value>,
    left_out: Vec<Value>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'r [String],
    not_on_server: Vec<Value>,
    named_already: usize,
    changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Box<RawValue>>,
}

/// Prints an indented text on as many lines as it needs.
fn wrapped(out: &mut dyn Write, text: &str, columns: usize) -> io::Result<()> {
    let text = escape_line(text);
    for line in lines(&text, columns.saturating_sub(INDENT)) {
        writeln!(out, "{:INDENT$}{line}", "")?;
    }
    Ok(())
}

/// The lines of a text, broken between words.
fn lines(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        let longer = line.chars().count().saturating_add(word.chars().count()).saturating_add(1);
        if line.is_empty() {
            line.push_str(word);
        } else if longer <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
