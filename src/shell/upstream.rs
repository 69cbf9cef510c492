//! The server: one child process in a session of its own.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;

use tokio::process::Command;

use super::exit::Exit;
use super::os::descriptor::Descriptor;
use super::os::{self, ProcessGroup, Signal};
use super::wakeup::{WakeupEvent, WakeupSender};

/// The size of the server's pipes, in bytes: the server can write the next large answer while the one before it is read
/// and passed on.
const PIPE_BYTES: usize = 256 * 1024;

/// A server that was started.
#[derive(Debug)]
pub struct Upstream {
    group: Option<ProcessGroup>,
}

impl Upstream {
    /// Starts `command`. Returns the server, its stdin to write to and its stdout to read from. The server inherits
    /// stderr and the environment without `CALLGATE_*`, no other descriptors, and no terminal (contract W10). On Linux
    /// it is killed with callgate (contract W9). Its exit becomes an event.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn spawn(
        command: &[OsString],
        wakeups: WakeupSender,
    ) -> io::Result<(Self, Descriptor, Descriptor)> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut builder = Command::new(program);
        builder
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(os::stderr_for_child());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CALLGATE_") {
                builder.env_remove(name);
            }
        }
        os::isolate(&mut builder);
        let mut child = builder.spawn()?;
        let stdin = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?.into_owned_fd()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?.into_owned_fd()?;
        for pipe in [&stdin, &stdout] {
            os::enlarge_pipe(pipe, PIPE_BYTES);
        }
        let group = child.id().and_then(ProcessGroup::of);
        tokio::spawn(async move {
            // A child that cannot be waited for counts as killed.
            let code = child.wait().await.map_or(128 + 9, os::exit_code);
            // Nobody listens: the session is over.
            let _ = wakeups.send(WakeupEvent::ServerExited(Exit { code }));
        });
        Ok((Upstream { group }, Descriptor::unshared(stdin)?, Descriptor::unshared(stdout)?))
    }

    /// True while a process is left in the server's process group.
    #[must_use]
    pub fn has_group(&self) -> bool {
        self.group.is_some_and(ProcessGroup::is_alive)
    }

    /// Signals the server's whole process group. Launchers such as npx leave the real server in it.
    pub fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            group.signal(signal);
        }
    }
}
