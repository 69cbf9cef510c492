//! The server's process on Linux.

use std::io::{self, IsTerminal as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal};
use tokio::process::Command;

use super::Pipe;
use super::descriptor::Descriptor;

/// The processes of a server: those of its process group.
#[derive(Debug, Clone, Copy)]
pub struct ProcessGroup(Pid);

impl ProcessGroup {
    /// The group of an isolated child, by its process id.
    #[must_use]
    pub fn of(child: u32) -> Option<Self> {
        i32::try_from(child).ok().and_then(Pid::from_raw).map(ProcessGroup)
    }

    /// True as long as a process is left in it.
    #[must_use]
    pub fn is_alive(self) -> bool {
        rustix::process::test_kill_process_group(self.0).is_ok()
    }

    /// Sends a signal to all of them.
    pub fn signal(self, signal: Signal) {
        // None is left: just as well.
        let _ = rustix::process::kill_process_group(self.0, signal);
    }
}

pub(in crate::shell::os) fn stderr() -> Stdio {
    let stderr = io::stderr();
    let terminal = stderr.is_terminal().then(|| Descriptor::for_writing_only(stderr.as_fd()));
    terminal.flatten().map_or_else(Stdio::inherit, Stdio::from)
}

/// The session's one process group has the child's process id.
#[expect(unsafe_code, reason = "what runs between fork and exec is the caller's promise")]
pub(in crate::shell::os) fn isolate(command: &mut Command) {
    let parent = rustix::process::getpid();
    let prepare = move || {
        rustix::process::setsid()?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if rustix::process::getppid() != Some(parent) {
            // We died before it could ask.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut mask = MaybeUninit::uninit();
        // SAFETY: the first call writes the mask that the second one reads.
        unsafe {
            libc::sigemptyset(mask.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, mask.as_ptr(), std::ptr::null_mut());
        }
        let cloexec = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
        // SAFETY: takes three numbers and touches no memory. Kernels before 5.11 do not know it: then what we
        // inherited is passed on.
        let _ = unsafe { libc::close_range(3, libc::c_uint::MAX, cloexec) };
        Ok(())
    };
    // SAFETY: `prepare` makes system calls only; it takes no lock and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

pub(in crate::shell::os) fn enlarge_pipe(pipe: &Pipe, bytes: usize) {
    // Not to be had for somebody with very many pipes, and only faster.
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, bytes);
}

pub(in crate::shell::os) fn exit_code(status: ExitStatus) -> u8 {
    let code =
        status.code().unwrap_or_else(|| 128_i32.saturating_add(status.signal().unwrap_or(0)));
    u8::try_from(code & 0xFF).unwrap_or(u8::MAX)
}
