//! `callgate scan`: proposes a policy for the tools of a server, or for those called in recordings.

mod learn;
mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use super::Error;
use super::input::policy_file::{self, POLICY};
use super::input::server_command;
use super::show::stdout;
use crate::cli::{Format, ScanArgs};
use crate::engine::policy::Policy;
use crate::engine::propose::extend::extend;
use crate::engine::propose::listed_tool::ListedTool;
use crate::engine::propose::matrix::{Matrix, Stray};
use crate::engine::propose::proposal::Proposals;
use crate::engine::text::escape::escape_json;
use crate::engine::wire::discovery::Listed;
use crate::shell::file;

use report::ScanReport;

/// The description of a policy made from a server's list.
const OF_LIST: &str = "Proposed by `callgate scan` from what the server says of its own tools, which nobody has checked: read it before you use it.";

/// Proposes a policy, or additions to one.
///
/// # Errors
/// The server's tools cannot be listed, a file cannot be read or written, or the policy to update is not valid.
pub fn scan(args: &ScanArgs) -> Result<(), Error> {
    let target = PolicyTarget::of(args)?;
    let old = args.update.as_deref().map(Old::read).transpose()?;
    let known = old.as_ref().map(|old| &old.policy);
    let (proposals, strays, notes, description) = if args.sessions.is_empty() {
        let Listed { tools, unfinished } = server_command::tools(&args.command, args.timeout)?;
        let tools: Vec<ListedTool> = tools.iter().filter_map(ListedTool::of).collect();
        let notes = unfinished.map(|why| format!("warning: {why}")).into_iter().collect();
        let strays = known.map(|policy| strays(policy, &tools)).unwrap_or_default();
        (Proposals::for_list(&tools, known), strays, notes, OF_LIST.to_owned())
    } else {
        let (proposals, notes) = learn::learn(&args.sessions, known)?;
        (proposals, Vec::new(), notes, learn::description(args.sessions.len()))
    };
    let text = match &old {
        None => proposals.document(&description),
        Some(old) => old.extended(&proposals)?,
    };
    let is_new = old.as_ref().is_none_or(|old| old.text != text);
    let report = ScanReport {
        proposals: &proposals,
        strays: &strays,
        notes: &notes,
        is_learned: !args.sessions.is_empty(),
        updated: args.update.as_deref(),
    };
    target.write(&text, old.as_ref(), args.format)?;
    match args.format {
        Format::Text => report.show(&target, is_new),
        Format::Json => {
            stdout::result(|out| report.json(out, &target, is_new, &text))?;
        }
    }
    Ok(())
}

/// Names in the policy that the server does not have.
fn strays(policy: &Policy, tools: &[ListedTool]) -> Vec<Stray> {
    let names: Vec<String> = tools.iter().map(|tool| tool.name.clone()).collect();
    Matrix::of(policy, &names).strays
}

/// The policy to update.
struct Old {
    path: PathBuf,
    text: String,
    policy: Policy,
}

impl Old {
    /// Reads a policy. An invalid one is a negative answer, as for `check`.
    fn read(path: &Path) -> Result<Self, Error> {
        let content = file::read(POLICY, path)?;
        let policy = policy_file::load(path, &content).map_err(Error::No)?.policy;
        // The text compiled, so it is UTF-8.
        let text = String::from_utf8(content).map_err(anyhow::Error::new)?;
        Ok(Old { path: path.to_owned(), text, policy })
    }

    /// The policy with the new entries. It is valid, and its own tests still pass.
    fn extended(&self, proposals: &Proposals) -> Result<String, Error> {
        let what = || {
            let path = self.path.display();
            format!("failed to update policy `{path}`: it would not be valid with the new tools")
        };
        let text = extend(&self.text, &proposals.entries)
            .ok_or_else(|| anyhow!("it cannot be read again").context(what()))?;
        policy_file::load(&self.path, text.as_bytes()).with_context(what).map_err(Error::No)?;
        Ok(text)
    }
}

/// Where to write the policy.
enum PolicyTarget {
    Stdout,
    /// A file that does not exist yet.
    New(PathBuf),
    /// The file of `--update`.
    Old(PathBuf),
}

impl PolicyTarget {
    /// The target that the arguments select. A new file must not exist.
    fn of(args: &ScanArgs) -> anyhow::Result<Self> {
        match (&args.output, &args.update) {
            (Some(path), _) if path == Path::new("-") => Ok(PolicyTarget::Stdout),
            (Some(path), _) if path.symlink_metadata().is_ok() => {
                let what = format!("failed to write policy `{}`", path.display());
                Err(anyhow!("it already exists; `--update` adds to a policy").context(what))
            }
            (Some(path), _) => Ok(PolicyTarget::New(path.clone())),
            (None, Some(path)) => Ok(PolicyTarget::Old(path.clone())),
            (None, None) => Ok(PolicyTarget::Stdout),
        }
    }

    fn write(&self, text: &str, old: Option<&Old>, format: Format) -> anyhow::Result<()> {
        match (self, old) {
            (PolicyTarget::New(path), _) => file::create(POLICY, path, text.as_bytes()),
            (PolicyTarget::Old(path), Some(old)) if old.text != text => {
                file::replace(POLICY, path, old.text.as_bytes(), text.as_bytes())
            }
            (PolicyTarget::Old(_), _) => Ok(()),
            (PolicyTarget::Stdout, _) if format == Format::Json => Ok(()),
            (PolicyTarget::Stdout, _) => {
                stdout::result(|out| Ok(out.write_all(escape_json(text).as_bytes())?))
            }
        }
    }
}
