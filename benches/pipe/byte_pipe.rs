//! The baseline: a wrapper that copies bytes without parsing them.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use anyhow::{Context as _, Result};

const BUFFER: usize = 64 * 1024;

/// Runs `command` and copies both directions, with one thread each.
pub fn run(command: &[&str]) -> Result<ExitCode> {
    let (program, arguments) = command.split_first().context("no command")?;
    let mut command = Command::new(program);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let to_server: OwnedFd = child.stdin.take().context("no stdin")?.into();
    let from_server: OwnedFd = child.stdout.take().context("no stdout")?.into();
    let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
    let stdout = std::io::stdout().as_fd().try_clone_to_owned()?;
    thread::spawn(move || copy(stdin, to_server));
    copy(from_server, stdout);
    let status = child.wait()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn copy(from: OwnedFd, to: OwnedFd) {
    let (mut from, mut to) = (File::from(from), File::from(to));
    let mut buffer = vec![0; BUFFER];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}
