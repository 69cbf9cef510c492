//! Learns from recordings, taken together in order of time: which tools were called, and how often at most.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;

use crate::command::input::recording::RecordingFile;
use crate::engine::compile::compile;
use crate::engine::limits::LimitClock;
use crate::engine::policy::Policy;
use crate::engine::propose::classify::{Classification, classify};
use crate::engine::propose::listed_tool::ListedTool;
use crate::engine::propose::proposal::Proposals;
use crate::engine::propose::usage::{ToolId, ToolUses};
use crate::engine::session::offline::{OfflineDecision, OfflineSession};
use crate::engine::wire::discovery::listed_in;
use crate::engine::wire::line::Side;

/// A policy that permits every call and charges it as the proposed policy will.
const CHARGES_ALL: &str = r#"{"version":"1","default":"allow","all_tools":{"limits":[{"counter":"calls","window":"minute","max":1000000000000000}]}}"#;

/// Proposes to permit the calls of these recordings, each tool as often as it was called, with some room. Also returns
/// notes on what was left out.
///
/// # Errors
/// A recording cannot be read, or is not one.
pub(super) fn learn(
    paths: &[PathBuf],
    known: Option<&Policy>,
) -> anyhow::Result<(Proposals, Vec<String>)> {
    let policy = compile(CHARGES_ALL.as_bytes());
    let policy = Arc::new(policy.map_err(|problems| anyhow!("no policy: {problems:?}"))?);
    let mut learned = Learned::default();
    let mut sources: Vec<LearnedSession> = Vec::new();
    let mut next = BinaryHeap::new();
    for path in paths {
        let mut source = LearnedSession {
            recording: RecordingFile::open(path)?,
            session: OfflineSession::new(Arc::clone(&policy), false),
            clock: LimitClock::default(),
            run: 0,
            seen: HashSet::new(),
        };
        if let Some(call) = source.next(&mut learned)? {
            next.push(Reverse((call.at_ms, sources.len(), call.tool)));
        }
        sources.push(source);
    }
    // The earliest call first, since sessions that ran at the same time share limits.
    while let Some(Reverse((at_ms, place, tool))) = next.pop() {
        learned.observations.time(tool, at_ms);
        let Some(source) = sources.get_mut(place) else { continue };
        if let Some(call) = source.next(&mut learned)? {
            next.push(Reverse((call.at_ms, place, call.tool)));
        }
    }
    for source in &sources {
        source.recording.prove()?;
    }
    let torn = paths.iter().zip(&sources).filter_map(|(path, source)| {
        let (path, number) = (path.display(), source.recording.torn()?);
        Some(format!("line {number} of `{path}`, the last, is incomplete and was left out"))
    });
    Ok((learned.proposals(known), torn.collect()))
}

/// The description of a policy made from recordings.
pub(super) fn description(sessions: usize) -> String {
    let recordings = if sessions == 1 { "1 recording" } else { &format!("{sessions} recordings") };
    format!(
        "Proposed by `callgate scan` from {recordings}: it permits what was called there, whether or not it should have been. Read it before you use it."
    )
}

/// What the recordings have shown so far.
#[derive(Default)]
struct Learned {
    observations: ToolUses,
    /// The classes of the tools that servers list in them.
    listed: HashMap<String, Classification>,
}

impl Learned {
    /// Takes up a list of tools from a line, if it has one.
    fn list(&mut self, line: &[u8]) {
        if memchr::memmem::find(line, b"\"tools\"").is_none() {
            return;
        }
        for tool in listed_in(line).unwrap_or_default().iter().filter_map(ListedTool::of) {
            let verdict = classify(&tool);
            match self.listed.get_mut(&tool.name) {
                Some(before) if (verdict.class, verdict.risk) <= (before.class, before.risk) => {}
                Some(before) => *before = verdict,
                None => {
                    self.listed.insert(tool.name, verdict);
                }
            }
        }
    }

    fn proposals(&self, known: Option<&Policy>) -> Proposals {
        let judge = |tool: &str| {
            if let Some(verdict) = self.listed.get(tool) {
                return verdict.clone();
            }
            let mut verdict = classify(&ListedTool::named(tool));
            if !self.listed.is_empty() {
                verdict.reason.push_str("; no server in the recordings lists it");
            }
            verdict
        };
        Proposals::sift(self.observations.proposals(judge), known)
    }
}

/// A call with a known time.
struct LearnedCall {
    at_ms: u64,
    tool: ToolId,
}

/// A recording in progress.
struct LearnedSession {
    recording: RecordingFile,
    session: OfflineSession,
    clock: LimitClock,
    /// The current run.
    run: u64,
    /// The tools called in it.
    seen: HashSet<ToolId>,
}

impl LearnedSession {
    /// The next call to charge, with its time. A recording without times is processed at once.
    fn next(&mut self, learned: &mut Learned) -> anyhow::Result<Option<LearnedCall>> {
        while let Some((_, entry)) = self.recording.next_entry()? {
            if entry.from == Side::Server {
                learned.list(&entry.line);
            }
            let Some(OfflineDecision::Call(call)) = self.session.decide(&entry) else { continue };
            if self.session.runs() != self.run {
                self.run = self.session.runs();
                self.seen.clear();
            }
            let tool = learned.observations.call(&call.tool);
            if self.seen.insert(tool) {
                learned.observations.session(tool);
            }
            let Some(now) = self.session.charged_at() else { continue };
            if entry.at_ms.is_none() {
                learned.observations.untimed(tool);
                continue;
            }
            let at_ms = self.clock.observe(now);
            return Ok(Some(LearnedCall { at_ms, tool }));
        }
        learned.observations.end_untimed();
        Ok(None)
    }
}
