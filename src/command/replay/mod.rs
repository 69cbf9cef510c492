//! `callgate replay`: decides a recorded session again, by the recording's own clock.

mod report;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;

use crate::cli::{FailOn, ReplayArgs};
use crate::engine::policy::Policy;
use crate::shell::file;

use super::Error;
use super::input::policy_file::{self, POLICY};
use super::input::recording::RecordingFile;
use super::show::stdout;

use crate::engine::session::offline::{OfflineDecision, OfflineSession};
use report::{ReplayReport, ReplayRow};

/// How much output to hold back, in bytes.
const MAX_HELD: usize = 1024 * 1024;

/// Decides every call of a recording.
///
/// # Errors
/// A policy or the recording cannot be read, no line of the recording is a message, or stdout cannot be written.
pub fn replay(args: &ReplayArgs) -> Result<(), Error> {
    if args.fail_on == Some(FailOn::Change) && args.against.is_none() {
        return Err(
            anyhow!("`--fail-on change` needs a policy to compare with: `--against FILE`").into()
        );
    }
    let session = OfflineSession::new(load(&args.policy)?, args.shadow);
    let other = args.against.as_deref().map(load).transpose()?;
    let other = other.map(|policy| OfflineSession::new(policy, args.shadow));
    let mut recording = RecordingFile::open(&args.session)?;
    let mut report = ReplayReport::new(args.format, other.is_some());
    stdout::result(|out| {
        let mut held = Held { rows: Vec::new(), out };
        let decided = decide_all(&mut recording, session, other, &mut report, &mut held);
        if recording.has_frame() || decided.is_err() {
            held.let_go()?;
        }
        decided?;
        recording.prove()?;
        report.totals(out)
    })?;
    let is_no = match args.fail_on {
        Some(FailOn::Deny) => report.refusals() > 0,
        Some(FailOn::Change) => report.changes() > 0,
        None => false,
    };
    Error::unless(!is_no)
}

fn load(path: &Path) -> anyhow::Result<Arc<Policy>> {
    let content = file::read(POLICY, path)?;
    Ok(Arc::new(policy_file::load(path, &content)?.policy))
}

/// Holds back rows about refused lines until a call shows that the file is a recording: another file would have a row
/// for each line.
struct Held<'o> {
    rows: Vec<u8>,
    out: &'o mut dyn Write,
}

impl Held<'_> {
    /// Takes a row; prints the rows once there are too many to hold.
    fn take(
        &mut self,
        row: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        row(&mut self.rows)?;
        if self.rows.len() > MAX_HELD { self.let_go() } else { Ok(()) }
    }

    fn let_go(&mut self) -> anyhow::Result<()> {
        Ok(self.out.write_all(&std::mem::take(&mut self.rows))?)
    }
}

/// Decides a recording line by line.
fn decide_all(
    recording: &mut RecordingFile,
    mut session: OfflineSession,
    mut other: Option<OfflineSession>,
    report: &mut ReplayReport,
    held: &mut Held<'_>,
) -> anyhow::Result<()> {
    while let Some((number, entry)) = recording.next_entry()? {
        let ruling = session.decide(&entry);
        let before = other.as_mut().map(|other| other.decide(&entry));
        let (Some(ruling), before) = (ruling, before.flatten()) else { continue };
        let row =
            ReplayRow { number, at_ms: entry.at_ms, ruling: &ruling, before: before.as_ref() };
        if matches!(ruling, OfflineDecision::Call(_)) {
            held.let_go()?;
            report.row(&row, held.out)?;
        } else {
            held.take(|out| report.row(&row, out))?;
        }
    }
    if let Some(number) = recording.torn() {
        report.note_torn(number);
    }
    Ok(())
}
