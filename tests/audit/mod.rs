//! The audit log as a chain of lines (contract S4): several concurrent writers, recovery after crashes, and the
//! findings of `verify`.

mod evidence;
#[cfg(target_os = "linux")]
mod log;
#[cfg(target_os = "linux")]
mod records;

mod crashes;
mod mutations;
mod older;
mod writers;

use std::fs;
use std::path::{Path, PathBuf};

use callgate::shell::audit::chain::{AppendError, Chain};
use callgate::shell::audit::files::rotated_files;
use callgate::shell::audit::verify::{VerifyReport, verify};
use tempfile::TempDir;

/// A log in its own directory.
struct Log {
    dir: TempDir,
    keep: u64,
}

impl Log {
    /// A log that keeps `keep` bytes; each file holds a quarter of that.
    fn new(keep: u64) -> Self {
        Log { dir: tempfile::tempdir().unwrap(), keep }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("server.jsonl")
    }

    fn head(&self) -> PathBuf {
        self.dir.path().join("server.head")
    }

    fn open(&self) -> Chain {
        Chain::open(&self.path(), &self.head(), self.keep).unwrap()
    }

    /// The existing files, oldest first.
    fn files(&self) -> Vec<PathBuf> {
        let rotated = rotated_files(&self.path()).unwrap().into_iter().map(|(_, path)| path);
        rotated.chain(Some(self.path()).filter(|path| path.exists())).collect()
    }

    fn report(&self) -> VerifyReport {
        verify(&self.path(), &self.head(), None).unwrap()
    }

    /// Checks that there is no fault; returns the notes.
    fn is_intact(&self) -> Vec<String> {
        let report = self.report();
        assert_eq!(report.wrong, None, "{report:#?}");
        report.notes.into_iter().map(|note| note.what).collect()
    }

    /// All lines, oldest first.
    fn lines(&self) -> Vec<String> {
        self.files().iter().flat_map(|file| lines(file)).collect()
    }
}

/// The lines of a file.
fn lines(file: &Path) -> Vec<String> {
    let text = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
    text.lines().map(str::to_owned).collect()
}

/// Appends lines, retrying as often as necessary.
fn append(chain: &mut Chain, bodies: &[String]) {
    loop {
        match chain.append(bodies.iter().map(String::as_str)) {
            Ok(()) => return,
            Err(AppendError::Busy) => std::thread::yield_now(),
            Err(AppendError::Failed(error)) => panic!("{error:#}"),
        }
    }
}

/// An event of one of several writers.
fn body(writer: usize, number: usize) -> String {
    let padding = "x".repeat((writer * 7 + number * 13) % 90);
    format!(
        r#"{{"time":"2026-01-01T00:00:00.000Z","writer":{writer},"number":{number},"x":{{"y":"{padding}"}}}}"#
    )
}
