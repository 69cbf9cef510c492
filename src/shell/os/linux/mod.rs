//! Linux.

pub(super) mod child;
pub mod descriptor;
pub(super) mod file;
pub(super) mod stopped;

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{DumpableBehavior, getpid, kill_process, set_dumpable_behavior};
use rustix::rand::GetRandomFlags;
use rustix::time::{ClockId, clock_gettime};
use tokio::signal::unix::SignalKind;

use super::Output;

pub use self::child::ProcessGroup;
/// A signal.
pub use rustix::process::Signal;
/// What a signal is reported to, each time it comes.
pub use tokio::signal::unix::Signal as SignalStream;

/// One end of a pipe.
pub(super) type Pipe = OwnedFd;

pub(super) fn stdin_metadata() -> io::Result<Metadata> {
    File::from(io::stdin().as_fd().try_clone_to_owned()?).metadata()
}

pub(super) fn is_stdout_read(wait: Duration) -> bool {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let wait = Timespec::try_from(wait).ok();
    let _ = rustix::event::poll(&mut polled, wait.as_ref());
    polled.iter().all(|stdout| !stdout.revents().intersects(PollFlags::ERR | PollFlags::HUP))
}

pub(super) fn write_stderr(bytes: &[u8]) -> bool {
    let stderr = io::stderr();
    let mut polled = [PollFd::new(&stderr, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let is_ready = matches!(rustix::event::poll(&mut polled, Some(&at_once)), Ok(1));
    is_ready && rustix::io::write(&stderr, bytes).is_ok()
}

pub(super) fn terminal_size(output: Output) -> Option<(usize, usize)> {
    let size = match output {
        Output::Stdout => rustix::termios::tcgetwinsize(io::stdout()),
        Output::Stderr => rustix::termios::tcgetwinsize(io::stderr()),
    };
    size.ok().map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

pub(super) fn hide_from_others() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

pub(super) fn random(bytes: &mut [u8]) -> io::Result<()> {
    rustix::rand::getrandom(bytes, GetRandomFlags::empty())?;
    Ok(())
}

/// The first half of the identifier, which is random.
pub(super) fn boot_id() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&digits, 16).unwrap_or_default()
}

/// The time since the machine's start, sleep included.
pub(super) fn steady_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

pub(super) fn listen(signal: Signal) -> io::Result<SignalStream> {
    tokio::signal::unix::signal(SignalKind::from_raw(signal.as_raw()))
}

pub(super) fn raise_at(signal: Signal, flag: &Arc<AtomicBool>) -> io::Result<()> {
    signal_hook::flag::register(signal.as_raw(), Arc::clone(flag)).map(drop)
}

pub(super) fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

pub(super) fn suspend() {
    // A process may always stop itself.
    let _ = kill_process(getpid(), Signal::STOP);
}
