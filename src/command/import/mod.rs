//! `callgate import`: converts an Intercept policy (YAML) into a policy of callgate. Anything without an exact
//! equivalent is an error with its place.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;

use super::Error;
use super::input::policy_file::{self, POLICY};
use super::show::diagnostics::{JsonDiagnostic, SourceFile};
use super::show::{json_layout, stdout};
use crate::cli::{Format, ImportArgs};
use crate::engine::compile::compile;
use crate::engine::compile::diagnostic::Diagnostic;
use crate::engine::intercept::document::Intercept;
use crate::engine::intercept::draft::DraftPolicy;
use crate::engine::intercept::fields::PlacedNode;
use crate::engine::intercept::problems::{YamlPlace, YamlProblems};
use crate::engine::intercept::translate;
use crate::engine::intercept::yaml;
use crate::engine::text::escape::{escape_json, escape_line};
use crate::shell::file;

pub use crate::engine::intercept::translate::Note;

/// An imported policy.
#[derive(Debug)]
pub struct Imported {
    /// The policy file.
    pub policy: String,
    /// Where it behaves differently from Intercept.
    pub notes: BTreeSet<Note>,
}

/// Imports a policy, and prints or writes it. Notes on stderr tell where it behaves differently.
///
/// # Errors
/// The policy cannot be read, is not valid, or has no exact equivalent; or the result cannot be written.
pub fn import(args: &ImportArgs) -> Result<(), Error> {
    let content = file::read("Intercept policy", &args.file)?;
    let imported = import_bytes(&content);
    let new_file = args.output.as_deref().filter(|path| *path != Path::new("-"));
    if let (Ok(Imported { policy, .. }), Some(path)) = (&imported, new_file) {
        file::create(POLICY, path, policy.as_bytes())?;
    }
    if args.format == Format::Json {
        let is_done = imported.is_ok();
        let source = SourceFile::new(&args.file, &content);
        stdout::result(|out| show_json(out, &source, &imported, new_file.is_none()))?;
        return Error::unless(is_done);
    }
    let Imported { policy, notes } = imported.map_err(|problems| {
        let summary = format!("failed to import `{}`", args.file.display());
        Error::No(policy_file::report(&summary, &args.file, &content, &problems))
    })?;
    if new_file.is_none() {
        stdout::result(|out| Ok(out.write_all(policy.as_bytes())?))?;
    }
    for note in notes {
        // stderr may have no reader: the policy is there all the same.
        let _ = writeln!(std::io::stderr(), "note: {}", escape_line(&note.to_string()));
    }
    Ok(())
}

/// The result as JSON.
#[derive(Serialize)]
struct ImportJson<'i> {
    imported: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Box<RawValue>>,
    notes: Vec<String>,
    diagnostics: Vec<JsonDiagnostic<'i>>,
}

fn show_json(
    out: &mut dyn Write,
    source: &SourceFile<'_>,
    imported: &Result<Imported, Vec<Diagnostic>>,
    with_policy: bool,
) -> anyhow::Result<()> {
    let json = match imported {
        Ok(Imported { policy, notes }) => ImportJson {
            imported: true,
            policy: with_policy
                .then(|| RawValue::from_string(json_layout::compact(policy)))
                .transpose()?,
            notes: notes.iter().map(ToString::to_string).collect(),
            diagnostics: Vec::new(),
        },
        Err(problems) => ImportJson {
            imported: false,
            policy: None,
            notes: Vec::new(),
            diagnostics: problems.iter().map(|problem| source.json(problem)).collect(),
        },
    };
    writeln!(out, "{}", escape_json(&serde_json::to_string(&json)?))?;
    Ok(())
}

/// Converts the bytes of an Intercept file. The result is known to compile.
///
/// # Errors
/// Everything that is wrong with the file or has no exact equivalent, in file order.
pub fn import_bytes(content: &[u8]) -> Result<Imported, Vec<Diagnostic>> {
    let mut problems = YamlProblems::default();
    let text = match std::str::from_utf8(content) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            problems.add(&YamlPlace::at(at..at), "not UTF-8", Some("save the file as UTF-8"));
            return Err(problems.into_sorted());
        }
    };
    let translated = read(text, &mut problems).map(|policy| {
        let (document, notes) = translate::translate(policy, &mut problems);
        let json = serde_json::to_string(&document).unwrap_or_default();
        (document, json_layout::pretty(&escape_json(&json)), notes)
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

fn read(text: &str, problems: &mut YamlProblems) -> Option<Intercept> {
    let root = yaml::read(text, problems);
    match root {
        Some(root) if !root.is_null() => Intercept::read(&PlacedNode::root(&root), problems),
        Some(_) | None if problems.is_empty() => {
            let help = "the least policy is `version: \"1\"`";
            problems.add(&YamlPlace::default(), "the file is empty", Some(help));
            None
        }
        Some(_) | None => None,
    }
}

/// Compiles the policy. What the compiler rejects, such as a pattern that takes too much memory, is reported at its
/// place in the YAML file.
fn prove(document: &DraftPolicy, policy: &str, problems: &mut YamlProblems) {
    for problem in compile(policy.as_bytes()).err().unwrap_or_default() {
        let place = document.origin(&problem.pointer).cloned().unwrap_or_default();
        problems.add(&place, problem.message, problem.help.as_deref());
    }
}
