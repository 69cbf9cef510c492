//! The output and exit codes of `callgate` on a command line: the transcripts in this folder (contract C1–C4).

mod help;
mod server_names;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::harness::console::{Shell, steps};

#[test]
fn every_transcript_matches() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "console")).collect();
    files.sort();
    assert!(files.len() >= 5, "only {} transcripts", files.len());
    let failures: Vec<String> = files.iter().filter_map(|file| run(file).err()).collect();
    assert!(failures.is_empty(), "what they should say:\n{}", failures.join("\n"));
}

/// Runs a transcript in a directory of its own. The error is the transcript as it should be.
fn run(file: &Path) -> Result<(), String> {
    let ours_alone = fs::Permissions::from_mode(0o700);
    let dir = tempfile::Builder::new().permissions(ours_alone).tempdir().unwrap();
    let shell = Shell::new(dir.path());
    let transcript = fs::read_to_string(file).unwrap();
    let failures: Vec<String> =
        steps(&transcript).iter().filter_map(|step| shell.does_exactly(step).err()).collect();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if failures.is_empty() { Ok(()) } else { Err(format!("{name}:\n{}", failures.concat())) }
}
