//! `callgate check`: finds errors and probable mistakes in policies, and runs their tests.

use std::io::Write;
use std::path::Path;

use anyhow::anyhow;
use serde::Serialize;

use super::Error;
use super::input::policy_file;
use super::show::diagnostics::{JsonDiagnostic, SourceFile};
use super::show::stdout;
use crate::cli::{CheckArgs, Format};
use crate::engine::compile::diagnostic::Severity;
use crate::engine::compile::review::Findings;
use crate::engine::text::escape::{escape_json, escape_line};
use crate::shell::file;
use crate::shell::stderr::prose;

/// Checks every file, and prints the findings of each.
///
/// # Errors
/// The result cannot be printed. A file that cannot be read is reported on stderr, and the others are still checked.
pub fn check(args: &CheckArgs) -> Result<(), Error> {
    let mut done = Ok(());
    stdout::result(|out| {
        for path in &args.files {
            let content = match file::read(policy_file::POLICY, path) {
                Ok(content) => content,
                Err(error) => {
                    out.flush()?;
                    // Without a reader of stderr, the exit code has to tell.
                    let _ = writeln!(std::io::stderr(), "error: {}", prose(&error));
                    done = Err(Error::Incomplete);
                    continue;
                }
            };
            out.flush()?;
            for danger in policy_file::dangers(path) {
                // A warning about this machine, not the policy: it does not count.
                let _ = writeln!(std::io::stderr(), "{}", prose(&anyhow!(danger)));
            }
            let findings = Findings::of(&content);
            let is_bad = findings.count(Severity::Error) > 0
                || args.deny_warnings && findings.count(Severity::Warning) > 0;
            if is_bad && done.is_ok() {
                done = Err(Error::AnswerIsNo);
            }
            match args.format {
                Format::Text => show(out, path, &content, &findings)?,
                Format::Json => show_json(out, path, &content, &findings)?,
            }
        }
        Ok(())
    })?;
    done
}

fn show(
    out: &mut dyn Write,
    path: &Path,
    content: &[u8],
    findings: &Findings,
) -> anyhow::Result<()> {
    let source = SourceFile::new(path, content);
    let (columns, in_colour) = (stdout::columns(), stdout::in_colour());
    for diagnostic in &findings.diagnostics {
        writeln!(out, "{}\n", source.show(diagnostic, columns, in_colour))?;
    }
    let path = path.display().to_string();
    let errors = findings.count(Severity::Error);
    let valid = if errors == 0 {
        "valid".to_owned()
    } else {
        format!("not valid, {}", counted(errors, "error"))
    };
    let mut facts = vec![valid];
    match findings.count(Severity::Warning) {
        0 => {}
        count => facts.push(counted(count, "warning")),
    }
    match (findings.tests, findings.failed) {
        (0, _) => {}
        (count, 0) => facts.push(format!("{} passed", counted(count, "test"))),
        (count, failed) => facts.push(format!("{failed} of {} failed", counted(count, "test"))),
    }
    writeln!(out, "policy `{}`: {}", escape_line(&path), facts.join(", "))?;
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The result for one file.
#[derive(Serialize)]
struct JsonFile<'f> {
    path: String,
    valid: bool,
    errors: usize,
    warnings: usize,
    tests: JsonTests,
    diagnostics: Vec<JsonDiagnostic<'f>>,
}

#[derive(Serialize)]
struct JsonTests {
    run: usize,
    failed: usize,
}

fn show_json(
    out: &mut dyn Write,
    path: &Path,
    content: &[u8],
    findings: &Findings,
) -> anyhow::Result<()> {
    let source = SourceFile::new(path, content);
    let errors = findings.count(Severity::Error);
    let file = JsonFile {
        path: path.display().to_string(),
        valid: errors == 0,
        errors,
        warnings: findings.count(Severity::Warning),
        tests: JsonTests { run: findings.tests, failed: findings.failed },
        diagnostics: findings.diagnostics.iter().map(|found| source.json(found)).collect(),
    };
    writeln!(out, "{}", escape_json(&serde_json::to_string(&file)?))?;
    Ok(())
}
