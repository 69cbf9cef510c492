//! A policy file as commands take it: read whole, compiled, or explained.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use rustix::fs::{Mode, OFlags};

use crate::engine::compile::compile;
use crate::engine::policy::Policy;
use crate::engine::source::{MAX_PROBLEMS, Place, Problem};

/// The largest policy file, in bytes (SPEC W7).
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Reads and compiles a policy file.
///
/// # Errors
/// The file cannot be read, or is not valid: then every problem is named with its place.
pub fn load(path: &Path) -> anyhow::Result<Policy> {
    let file = read(path).with_context(|| format!("failed to read policy `{}`", path.display()))?;
    compile(&file).map_err(|problems| anyhow!(report(path, &file, &problems)))
}

/// Only a regular file is read: a FIFO could make us wait, a device has no end.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?);
    if !file.metadata()?.is_file() {
        return Err(anyhow!("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(anyhow!("larger than 16 MiB"));
    }
    Ok(bytes)
}

fn report(path: &Path, file: &[u8], problems: &[Problem]) -> String {
    let path = path.display();
    let how_many = match problems.len() {
        1 => "1 problem".to_owned(),
        count @ MAX_PROBLEMS.. => format!("the first {count} problems"),
        count => format!("{count} problems"),
    };
    let mut report = format!("policy `{path}` is not valid: {how_many}");
    for problem in problems {
        let place = Place::of(problem.at, file);
        let Problem { pointer, message, help, .. } = problem;
        // Writing to a string cannot fail.
        let _ = write!(report, "\n{path}:{place}: {message}");
        if let Some(help) = help {
            let _ = write!(report, "; {help}");
        }
        if !pointer.is_empty() {
            let _ = write!(report, " (at {pointer})");
        }
    }
    report
}
