//! The server: one child in a session of its own, and how it is stopped.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::exit::Exit;
use super::os::descriptor::Descriptor;
use super::os::{self, ProcessGroup, Signal};
use super::wakeup::{News, NewsSender};

/// What the server's pipes hold, in bytes: it can write the next large answer while the one before it is read and
/// passed on.
const PIPE_BYTES: usize = 256 * 1024;

/// How long a server has to end by itself once its stdin is closed; then comes SIGTERM (contract W9).
pub const PATIENCE: Duration = Duration::from_millis(1200);
/// From SIGTERM to SIGKILL.
pub const MERCY: Duration = Duration::from_millis(400);
/// What a server that has exited may still have in its pipe, or a client still take.
pub const AFTERMATH: Duration = Duration::from_millis(200);
/// How often it is looked whether anybody is left of the server's group.
pub const GLANCE: Duration = Duration::from_millis(10);

/// A server that was started.
#[derive(Debug)]
pub struct Upstream {
    group: Option<ProcessGroup>,
}

impl Upstream {
    /// Starts `command`. Returns the server, its stdin to write to and its stdout to read from; its stderr is
    /// ours. It gets our environment without `CALLGATE_*`, no other descriptors, and no terminal to ask at (contract
    /// W10). On Linux it is killed with us (contract W9). Its exit becomes news.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn spawn(
        command: &[OsString],
        news: NewsSender,
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
            // A child that cannot be waited for is as good as killed.
            let code = child.wait().await.map_or(128 + 9, os::exit_code);
            // Nobody listens: the session is over.
            let _ = news.send(News::ServerExited(Exit { code }));
        });
        Ok((Upstream { group }, Descriptor::unshared(stdin)?, Descriptor::unshared(stdout)?))
    }

    /// True as long as anybody is left in the server's process group.
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
