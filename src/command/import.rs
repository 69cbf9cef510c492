//! `callgate import`: a policy of Intercept, in YAML, as a policy of callgate. What cannot be said exactly is an error
//! with its place.

mod intercept;
mod path;
mod pattern;
mod problems;
mod scalar;
mod translate;
mod written;
mod yaml;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};

use self::intercept::Intercept;
use self::problems::{Found, Place, Problems};
use self::written::Document;
use super::diagnostics::Diagnostic;
use super::{Failure, NO, layout, policy_file, print};
use crate::cli::ImportArgs;
use crate::engine::compile::compile;
use crate::engine::visible::escape_json;
use crate::shell::file;

pub use self::translate::Note;

/// A policy that has been imported.
#[derive(Debug)]
pub struct Imported {
    /// The policy file.
    pub policy: String,
    /// What it does in another way than Intercept would.
    pub notes: BTreeSet<Note>,
}

/// Imports a policy, and prints or writes it; what is done in another way is noted on stderr.
///
/// # Errors
/// The policy cannot be read, is not valid, or says what cannot be said exactly; or the result cannot be written.
pub fn import(args: &ImportArgs) -> Result<ExitCode, Failure> {
    let content = file::read("Intercept policy", &args.file)?;
    let Imported { policy, notes } = match import_bytes(&content) {
        Ok(imported) => imported,
        Err(problems) => {
            let summary = format!("failed to import `{}`", args.file.display());
            let report = policy_file::report(&summary, &args.file, &content, &problems);
            return Err(Failure { error: anyhow!(report), exit_code: NO });
        }
    };
    match &args.output {
        Some(path) => write_new(path, &policy)?,
        None => print::result(|out| Ok(out.write_all(policy.as_bytes())?))?,
    }
    for note in notes {
        // Nobody reads stderr: the policy is there all the same.
        let _ = writeln!(std::io::stderr(), "note: {note}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a policy of the bytes of a file of Intercept's. It has been compiled once.
///
/// # Errors
/// Everything that is wrong with the file, or cannot be said exactly, in file order.
pub fn import_bytes(content: &[u8]) -> Result<Imported, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let text = match std::str::from_utf8(content) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            problems.add(&Place::at(at..at), "not UTF-8", Some("save the file as UTF-8"));
            return Err(problems.into_sorted());
        }
    };
    let translated = read(text, &mut problems).map(|policy| {
        let (document, notes) = translate::translate(policy, &mut problems);
        let json = serde_json::to_string(&document).unwrap_or_default();
        (document, layout::pretty(&escape_json(&json)), notes)
    });
    match translated {
        Some((document, policy, notes)) if problems.is_empty() => {
            prove(&document, &policy, &mut problems);
            if problems.is_empty() {
                Ok(Imported { policy, notes })
            } else {
                Err(problems.into_sorted())
            }
        }
        _ => Err(problems.into_sorted()),
    }
}

fn read(text: &str, problems: &mut Problems) -> Option<Intercept> {
    let root = yaml::read(text, problems);
    match root {
        Some(root) if !root.is_null() => Intercept::read(&Found::root(&root), problems),
        Some(_) | None if problems.is_empty() => {
            let help = "the least policy is `version: \"1\"`";
            problems.add(&Place::default(), "the file is empty", Some(help));
            None
        }
        Some(_) | None => None,
    }
}

/// Compiles the policy. What the compiler will not have, such as a pattern that takes too much memory, is told where
/// it comes from.
fn prove(document: &Document, policy: &str, problems: &mut Problems) {
    for problem in compile(policy.as_bytes()).err().unwrap_or_default() {
        let place = document.origin(&problem.pointer).cloned().unwrap_or_default();
        problems.add(&place, problem.message, problem.help.as_deref());
    }
}

/// Writes a file that is not there yet: a policy that somebody made is never lost.
fn write_new(path: &Path, policy: &str) -> anyhow::Result<()> {
    let named = || format!("failed to write policy `{}`", path.display());
    let mut file = std::fs::File::create_new(path).with_context(named)?;
    let written = file.write_all(policy.as_bytes()).and_then(|()| file.sync_all());
    written.with_context(named).inspect_err(|_| {
        // Half a policy helps nobody.
        let _ = std::fs::remove_file(path);
    })
}
