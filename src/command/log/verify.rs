//! `callgate log verify`: verifies logs, and shows the first fault.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::cli::{Format, VerifyArgs};
use crate::command::Error;
use crate::command::input::state::state_of;
use crate::command::show::stdout;
use crate::engine::text::escape::{escape_json, escape_line};
use crate::shell::audit::verify::{VerifyFinding, VerifyReport, verify_beside};
use crate::shell::state_dir;

use super::text::many;
use super::{logs, missing};
use crate::shell::audit::files;
use crate::shell::digest::Hash;

/// Verifies the logs. The exit code is 1 if one of them has a fault.
pub(super) fn verify(args: &VerifyArgs) -> Result<(), Error> {
    let directory = state_of(&args.logs.state.state)?.directory()?;
    let logs = logs(&args.logs, &directory)?;
    if logs.is_empty() {
        let place = state_dir::audit_directory(&directory);
        return Err(anyhow!("there is no audit log in `{}`", place.display()).into());
    }
    let noted = args.head.as_deref().and_then(Hash::parse);
    let mut reports = Vec::new();
    for log in logs {
        let head = head_of(&directory, &log);
        if !files::has_files(&log) && !head.exists() {
            return Err(missing(&log).into());
        }
        let witness = state_dir::audit_witness(&directory, &log);
        reports.push(verify_beside(&log, &head, witness.as_deref(), noted)?);
    }
    let are_intact = reports.iter().all(VerifyReport::is_intact);
    // A noted line belongs to only one of the logs.
    let is_found = reports.iter().any(|report| report.found);
    stdout::result(|out| {
        if args.logs.format == Format::Json {
            return Ok(writeln!(out, "{}", escape_json(&serde_json::to_string(&reports)?))?);
        }
        reports.iter().try_for_each(|report| text(out, report))?;
        if are_intact && !is_found {
            let what = "the log was rewritten, or the line is no longer kept";
            writeln!(out, "no line has the noted hash: {what}")?;
        }
        Ok(())
    })?;
    Error::unless(are_intact && is_found)
}

/// The path of a log's head: beside the log, or where callgate 0.1 kept it.
fn head_of(directory: &Path, log: &Path) -> PathBuf {
    let head = files::head_path(log);
    let copied = Some(log.with_extension("head")).filter(|head| head.exists());
    let elsewhere = || state_dir::old_audit_head(directory, log).or(copied);
    if head.exists() { head } else { elsewhere().unwrap_or(head) }
}

fn text(out: &mut dyn Write, report: &VerifyReport) -> anyhow::Result<()> {
    if let Some(wrong) = &report.wrong {
        writeln!(out, "{}", finding(wrong))?;
    } else {
        let VerifyReport { lines, files, from, to, head, .. } = report;
        let log = report.log.display().to_string();
        let [lines, files] =
            [(lines, "line"), (files, "file")].map(|(count, what)| many(*count, what));
        let range = if report.lines > 0 { format!(", {from} to {to}") } else { String::new() };
        writeln!(out, "{}: intact: {lines} in {files}{range}", escape_line(&log))?;
        writeln!(out, "  head {head}")?;
    }
    for note in &report.notes {
        writeln!(out, "  note: {}", finding(note))?;
    }
    Ok(())
}

fn finding(VerifyFinding { file, line, what }: &VerifyFinding) -> String {
    let line = line.map(|line| format!(":{line}")).unwrap_or_default();
    escape_line(&format!("{}{line}: {what}", file.display())).into_owned()
}
