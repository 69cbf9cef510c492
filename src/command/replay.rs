//! `callgate replay`: a recorded session, decided again by the recording's own clock.

mod judge;
mod report;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use crate::cli::{FailOn, ReplayArgs};
use crate::engine::policy::Policy;
use crate::engine::recording::Reader;
use crate::shell::file;

use super::policy_file::{self, POLICY};
use super::{Failure, print};

use judge::Judge;
use report::{Report, Row};

/// The longest line of a recording. One that callgate wrote holds a message of at most 2 GiB, mostly far less.
const MAX_LINE: u64 = 2 * 1024 * 1024 * 1024;

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
    let recording = open(&args.session)?;
    let mut report = Report::new(args.format, other.is_some());
    print::result(|out| {
        decide_all(recording, &args.session, judge, other, &mut report, out)?;
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

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let what = || format!("failed to read recording `{}`", path.display());
    let file = File::open(path).with_context(what)?;
    if file.metadata().with_context(what)?.is_dir() {
        return Err(anyhow!("it is a directory").context(what()));
    }
    Ok(Box::new(BufReader::with_capacity(256 * 1024, file)))
}

/// Goes through a recording line by line; nothing of it is kept but what is in flight.
fn decide_all(
    mut recording: Box<dyn BufRead>,
    path: &Path,
    mut judge: Judge,
    mut other: Option<Judge>,
    report: &mut Report,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut reader = Reader::default();
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let what = || format!("failed to read recording `{}`", path.display());
        let read = (&mut recording).take(MAX_LINE).read_until(b'\n', &mut line);
        if read.with_context(what)? == 0 {
            break;
        }
        let is_whole = line.pop_if(|last| *last == b'\n').is_some();
        line.pop_if(|last| *last == b'\r');
        let entry = match reader.read(&line) {
            Ok(Some(entry)) => entry,
            Ok(None) => continue,
            Err(_) if !is_whole => {
                report.note_torn(number);
                break;
            }
            Err(no) => {
                let path = path.display();
                return Err(anyhow!("`{path}` is no recording: line {number}: {no}"));
            }
        };
        let ruling = judge.hear(&entry);
        let before = other.as_mut().map(|other| other.hear(&entry));
        let (Some(ruling), before) = (ruling, before.flatten()) else { continue };
        report.row(
            &Row { number, at_ms: entry.at_ms, ruling: &ruling, before: before.as_ref() },
            out,
        )?;
    }
    Ok(())
}
