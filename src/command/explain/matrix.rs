//! `callgate explain --matrix`: shows how a policy decides every tool of a server.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::cli::Format;
use crate::command::input::recording::RecordingFile;
use crate::command::show::stdout;
use crate::engine::policy::{BuiltIn, Effect, Policy};
use crate::engine::propose::matrix::{Matrix, MatrixRow, Stray};
use crate::engine::text::escape::{escape_json, escape_line};
use crate::engine::wire::discovery;
use crate::engine::wire::discovery::tool_list::MAX_TOOLS;

/// The names of the tools that a server lists in a recorded session, from all pages, each once. Unreadable lines are
/// skipped.
///
/// # Errors
/// The file cannot be read, or has no list of tools.
pub fn tools_in(session: &Path) -> anyhow::Result<Vec<String>> {
    let mut recording = RecordingFile::open(session)?;
    let mut seen = HashSet::new();
    let mut names = Vec::new();
    let mut is_listed = false;
    while let Some(entry) = recording.next_readable()? {
        let Some(list) = discovery::listed_in(&entry.line) else { continue };
        is_listed = true;
        names.extend(list.names().into_iter().filter(|name| seen.insert(name.clone())));
        if names.len() > MAX_TOOLS {
            return Err(anyhow!("session `{}` lists over {MAX_TOOLS} tools", session.display()));
        }
    }
    if is_listed {
        Ok(names)
    } else {
        Err(anyhow!("session `{}` holds no list of tools", session.display()))
    }
}

/// Prints how the policy decides each tool.
///
/// # Errors
/// stdout cannot be written.
pub fn print(policy: &Policy, tools: &[String], format: Format) -> anyhow::Result<()> {
    let matrix = Matrix::of(policy, tools);
    stdout::result(|out| match format {
        Format::Text => show(out, policy, &matrix),
        Format::Json => Ok(writeln!(out, "{}", escape_json(&matrix_json(&matrix).to_string()))?),
    })
}

fn show(out: &mut dyn Write, policy: &Policy, matrix: &Matrix) -> anyhow::Result<()> {
    let widest = matrix.rows.iter().map(|row| escape_line(&row.tool).chars().count()).max();
    let width = widest.unwrap_or_default().min(40);
    let default = match policy.default {
        Effect::Allow => BuiltIn::DefaultAllow.word(),
        Effect::Deny => BuiltIn::DefaultDeny.word(),
    };
    for MatrixRow { tool, disposition, entries } in &matrix.rows {
        let entries = if entries.is_empty() { default.to_owned() } else { entries.join(" ") };
        let (tool, entries) = (escape_line(tool), escape_line(&entries));
        writeln!(out, "{tool:width$}  {:11}  {entries}", disposition.word())?;
    }
    if policy.all_tools.is_some() {
        writeln!(out, "\n/all_tools applies to each of them as well")?;
    }
    let unnamed = matrix.rows.iter().filter(|row| row.entries.is_empty()).count();
    if unnamed > 0 {
        let are = if unnamed == 1 { "1 tool is" } else { &format!("{unnamed} tools are") };
        writeln!(out, "\n{are} named by no entry, and left to the default")?;
    }
    if !matrix.strays.is_empty() {
        writeln!(out)?;
    }
    for stray in &matrix.strays {
        writeln!(out, "{}", escape_line(&stray_text(stray)))?;
    }
    Ok(())
}

/// Describes a name in the policy that the server does not have.
#[must_use]
pub fn stray_text(Stray { name, pointer, did_you_mean, is_prefixed }: &Stray) -> String {
    let prefix = if *is_prefixed { ", without the client's prefix" } else { "" };
    let meant = did_you_mean.as_ref();
    let meant = meant.map_or(String::new(), |tool| format!("; did you mean `{tool}`{prefix}?"));
    if name.contains(['*', '?']) {
        format!("{pointer}: no tool of the server matches `{name}`{meant}")
    } else {
        format!("{pointer}: the server has no tool `{name}`{meant}")
    }
}

/// The same as JSON.
#[must_use]
pub fn stray_json(Stray { name, pointer, did_you_mean, .. }: &Stray) -> Value {
    json!({ "name": name, "at": pointer, "did_you_mean": did_you_mean })
}

fn matrix_json(matrix: &Matrix) -> Value {
    let rows = matrix.rows.iter().map(|MatrixRow { tool, disposition, entries }| {
        json!({ "tool": tool, "verdict": disposition.word(), "entries": entries })
    });
    let strays = matrix.strays.iter().map(stray_json);
    json!({ "tools": rows.collect::<Vec<_>>(), "not_on_server": strays.collect::<Vec<_>>() })
}
