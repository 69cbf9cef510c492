//! The server: one child process in a session of its own.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal};
use tokio::process::Command;

use super::exit::Exit;
use super::os::descriptor::Descriptor;
use super::wakeup::{WakeupEvent, WakeupSender};

/// The size of the server's pipes, in bytes: the server can write the next large answer while the one before it is read
/// and passed on.
const PIPE_BYTES: usize = 256 * 1024;

/// A server that was started.
#[derive(Debug)]
pub struct Upstream {
    group: Option<Pid>,
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
        builder.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CALLGATE_") {
                builder.env_remove(name);
            }
        }
        isolate(&mut builder);
        let mut child = builder.spawn()?;
        let stdin = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?.into_owned_fd()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?.into_owned_fd()?;
        for pipe in [&stdin, &stdout] {
            // A user with very many pipes is refused; then the pipes are slower.
            let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES);
        }
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        tokio::spawn(async move {
            // A child that cannot be waited for counts as killed.
            let code = child.wait().await.map_or(128 + 9, exit_code);
            // Nobody listens: the session is over.
            let _ = wakeups.send(WakeupEvent::ServerExited(Exit { code }));
        });
        Ok((Upstream { group }, Descriptor::unshared(stdin)?, Descriptor::unshared(stdout)?))
    }

    /// True while a process is left in the server's process group.
    #[must_use]
    pub fn has_group(&self) -> bool {
        self.group.is_some_and(|group| rustix::process::test_kill_process_group(group).is_ok())
    }

    /// Signals the server's whole process group. Launchers such as npx leave the real server in it.
    pub fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The signal fails if no process is left in the group.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

/// callgate's stderr, for the server. A terminal is opened anew, for writing only: a process outside the terminal's
/// session is not stopped when it reads there, and would get what a person types for another program (contract W10).
fn stderr() -> Stdio {
    let stderr = io::stderr();
    let terminal = stderr.is_terminal().then(|| Descriptor::for_writing_only(stderr.as_fd()));
    terminal.flatten().map_or_else(Stdio::inherit, Stdio::from)
}

/// Prepares the child before it becomes the server: it begins a session of its own, which has no terminal, unblocks all
/// signals, and on Linux closes every descriptor but its standard streams and asks to be killed when the thread that
/// starts it ends. That is the main thread, which lives as long as callgate. The session's one process group has the
/// child's process id.
#[expect(unsafe_code, reason = "what runs between fork and exec is the caller's promise")]
fn isolate(command: &mut Command) {
    let parent = rustix::process::getpid();
    let prepare = move || {
        rustix::process::setsid()?;
        #[cfg(target_os = "linux")]
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if rustix::process::getppid() != Some(parent) {
            // callgate died before the child could ask.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut mask = MaybeUninit::uninit();
        // SAFETY: the first call writes the mask that the second one reads.
        unsafe {
            libc::sigemptyset(mask.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, mask.as_ptr(), std::ptr::null_mut());
        }
        #[cfg(target_os = "linux")]
        {
            let cloexec = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
            // SAFETY: takes three numbers and touches no memory. Kernels before 5.11 do not know it: then the server
            // inherits what callgate inherited.
            let _ = unsafe { libc::close_range(3, libc::c_uint::MAX, cloexec) };
        }
        Ok(())
    };
    // SAFETY: `prepare` makes system calls only; it takes no lock and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

fn exit_code(status: ExitStatus) -> u8 {
    let code =
        status.code().unwrap_or_else(|| 128_i32.saturating_add(status.signal().unwrap_or(0)));
    u8::try_from(code & 0xFF).unwrap_or(u8::MAX)
}
