//! `callgate replay`: a recorded session, decided again by the recording's own clock.

pub(super) mod judge;
mod report;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::anyhow;

use crate::cli::{FailOn, ReplayArgs};
use crate::engine::policy::Policy;
use crate::shell::file;

use super::policy_file::{self, POLICY};
use super::recording::Recording;
use super::{Failure, print};

use judge::Judge;
use report::{Report, Row};

/// The exit code for "no" (SPEC C2).
const NO: u8 = 1;

/// Decides every call of a recording.
///
/// # Errors
/// A policy or the recording cannot be read, or stdout not be written.
pub fn replay(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    if args.fail_on == Some(FailOn::Change) && args.against.is_none() {
        return Err(
            anyhow!("`--fail-on change` needs a policy to compare with: `--against FILE`").into()
        );
    }
    let judge = Judge::new(load(&args.policy)?, args.shadow);
    let other = args.against.as_deref().map(load).transpose()?;
    let other = other.map(|policy| Judge::new(policy, args.shadow));
    let mut recording = Recording::open(&args.session)?;
    let mut report = Report::new(args.format, other.is_some());
    print::result(|out| {
        decide_all(&mut recording, judge, other, &mut report, out)?;
        report.totals(out)
    })?;
    let is_no = match args.fail_on {
        Some(FailOn::Deny) => report.refusals() > 0,
        Some(FailOn::Change) => report.changes() > 0,
        None => false,
    };
    Ok(if is_no { ExitCode::from(NO) } else { ExitCode::SUCCESS })
}

fn load(path: &Path) -> anyhow::Result<Arc<Policy>> {
    let content = file::read(POLICY, path)?;
    Ok(Arc::new(policy_file::load(path, &content)?.policy))
}

/// Goes through a recording line by line.
fn decide_all(
    recording: &mut Recording,
    mut judge: Judge,
    mut other: Option<Judge>,
    report: &mut Report,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    while let Some((number, entry)) = recording.next_entry()? {
        let ruling = judge.hear(&entry);
        let before = other.as_mut().map(|other| other.hear(&entry));
        let (Some(ruling), before) = (ruling, before.flatten()) else { continue };
        report.row(
            &Row { number, at_ms: entry.at_ms, ruling: &ruling, before: before.as_ref() },
            out,
        )?;
    }
    if let Some(number) = recording.torn() {
        report.note_torn(number);
    }
    Ok(())
}
