//! The operating system: the one place with system calls, `unsafe`, and what differs from platform to platform.
//!
//! This is the list of what callgate needs of a platform, with the contract of each function. A platform's folder has
//! the bodies: `linux`.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use self::linux as platform;
#[cfg(not(target_os = "linux"))]
compile_error!("callgate runs on Linux");

pub mod clock;
pub mod retry;

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::process::Command;

pub use self::platform::descriptor;
pub use self::platform::{ProcessGroup, Signal, SignalStream};

/// What tells a file from any other that may come to stand at its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    /// The device that it lies on.
    pub device: u64,
    /// Its number there, which a lock on it is known by.
    pub inode: u64,
}

/// How a file is locked. A lock belongs to the open file, and ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Others may hold such a lock as well.
    Shared,
    /// Nobody else may hold a lock.
    Exclusive,
}

/// What is opened if a path leads to a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// What the link leads to.
    Followed,
    /// Nothing: it is an error.
    Refused,
}

/// A standard stream that callgate writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// stdout
    Stdout,
    /// stderr
    Stderr,
}

// Files.

/// The identity of a file.
#[must_use]
pub fn file_id(found: &Metadata) -> FileId {
    platform::file::id(found)
}

/// When a file was last written, in seconds and nanoseconds since the epoch.
#[must_use]
pub fn modified(found: &Metadata) -> (i64, i64) {
    platform::file::modified(found)
}

/// When a file or what is known of it (owner, mode, names) last changed, in the same way.
#[must_use]
pub fn changed(found: &Metadata) -> (i64, i64) {
    platform::file::changed(found)
}

/// How many names a file has.
#[must_use]
pub fn names(found: &Metadata) -> u64 {
    platform::file::names(found)
}

/// True for a pipe or a socket.
#[must_use]
pub fn is_pipe(found: &Metadata) -> bool {
    platform::file::is_pipe(found)
}

/// Has the file opened without waiting for whatever it may be, without becoming the terminal of this process, and, if
/// it is made, with this mode.
pub fn without_waiting(options: &mut OpenOptions, links: Links, mode: u32) -> &mut OpenOptions {
    platform::file::without_waiting(options, links, mode)
}

/// Has the file, if it is made, made with this mode.
pub fn with_mode(options: &mut OpenOptions, mode: u32) -> &mut OpenOptions {
    platform::file::with_mode(options, mode)
}

/// Locks a file without waiting; false if another has locked it.
///
/// # Errors
/// The file cannot be locked at all.
pub fn try_lock(file: &File, lock: Lock) -> io::Result<bool> {
    platform::file::try_lock(file, lock)
}

/// Gives a lock back.
pub fn unlock(file: &File) {
    platform::file::unlock(file);
}

/// The length of an open file; `None` if it was removed. Nothing else is asked for: who asks for the time of the last
/// write makes the next one note its own, and that costs more than the write.
#[must_use]
pub fn length(file: &File) -> Option<u64> {
    platform::file::length(file)
}

/// Reads what is at a place of a file, and returns how much that is; 0 at its end.
///
/// # Errors
/// It cannot be read.
pub fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    platform::file::read_at(file, buffer, at)
}

/// Reads as much as fits into `buffer`.
///
/// # Errors
/// It cannot be read, or there is less.
pub fn read_exact_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    platform::file::read_exact_at(file, buffer, at)
}

/// Writes all of `bytes` at a place of a file.
///
/// # Errors
/// It cannot be written.
pub fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    platform::file::write_all_at(file, bytes, at)
}

/// Gives a file a name that no other has.
///
/// # Errors
/// Another has it, or the file cannot be renamed.
pub fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    platform::file::rename_to_new(from, to)
}

/// Gives the file at `path` the mode of another, and its owner if that is possible.
///
/// # Errors
/// The mode cannot be changed.
pub fn copy_owner_and_mode(path: &Path, from: &Metadata) -> io::Result<()> {
    platform::file::copy_owner_and_mode(path, from)
}

/// Makes a directory and those above it, for their owner alone. They may be there.
///
/// # Errors
/// One cannot be made.
pub fn make_private_directory(path: &Path) -> io::Result<()> {
    platform::file::make_private_directory(path)
}

/// Proves that this user may write what is at `path`; `also_read`: and read it.
///
/// # Errors
/// Why not.
pub fn may_write(path: &Path, also_read: bool) -> io::Result<()> {
    platform::file::may_write(path, also_read)
}

/// What lets other users change what is at `path`; of a parent, put something else in the place of what is in it.
#[must_use]
pub fn danger(path: &Path, is_parent: bool) -> Option<String> {
    platform::file::danger(path, is_parent)
}

/// The error that there is no room for what was to be written.
#[must_use]
pub fn no_space() -> io::Error {
    platform::file::no_space()
}

/// The error that a file is there already.
#[must_use]
pub fn already_there() -> io::Error {
    platform::file::already_there()
}

/// A path of these bytes, as [`std::ffi::OsStr::as_encoded_bytes`] gives them.
#[must_use]
pub fn path_of_bytes(bytes: Vec<u8>) -> OsString {
    platform::file::path_of_bytes(bytes)
}

/// The directory in which programs of this user keep state, and callgate its own within (contract C5).
#[must_use]
pub fn state_directory() -> Option<PathBuf> {
    platform::file::state_directory()
}

// Standard streams.

/// What stdin is.
///
/// # Errors
/// It is closed.
pub fn stdin_metadata() -> io::Result<Metadata> {
    platform::stdin_metadata()
}

/// Waits so long, or until nobody reads stdout any more; false then.
#[must_use]
pub fn is_stdout_read(wait: Duration) -> bool {
    platform::is_stdout_read(wait)
}

/// Writes to stderr what it takes at once; false if it takes nothing.
#[must_use]
pub fn write_stderr(bytes: &[u8]) -> bool {
    platform::write_stderr(bytes)
}

/// The columns and rows of the terminal that a stream goes to; `None` if it goes elsewhere, and 0 if they are unknown.
#[must_use]
pub fn terminal_size(output: Output) -> Option<(usize, usize)> {
    platform::terminal_size(output)
}

/// callgate's stderr, for a child that must read no terminal through it: a terminal is opened once more, for writing
/// only. A process outside the terminal's session is not stopped when it reads there, and would get what a person types
/// for another program (contract W10).
#[must_use]
pub fn stderr_for_child() -> Stdio {
    platform::child::stderr()
}

// Processes.

/// Makes callgate unreadable for other processes of the user: they cannot open its `/proc/PID/environ`, where the
/// password of a Redis may stand, nor its memory or its descriptors, trace it, or find its core (contract W10). A program
/// that callgate starts is not affected: `exec` undoes it.
///
/// # Errors
/// The operating system refuses, as a sandbox may have it do.
pub fn hide_from_others() -> io::Result<()> {
    platform::hide_from_others()
}

/// Fills `bytes` with randomness.
///
/// # Errors
/// There is none.
pub fn random(bytes: &mut [u8]) -> io::Result<()> {
    platform::random(bytes)
}

/// A random number of this start of the machine; 0 if there is none.
#[must_use]
pub fn boot_id() -> u64 {
    platform::boot_id()
}

/// Has a signal reported to the stream from here on, in place of what it does by default. Called within a runtime.
///
/// # Errors
/// The operating system refuses.
pub fn listen(signal: Signal) -> io::Result<SignalStream> {
    platform::listen(signal)
}

/// Has a signal raise a flag at once, whatever the process is busy with.
///
/// # Errors
/// The operating system refuses.
pub fn raise_at(signal: Signal, flag: &Arc<AtomicBool>) -> io::Result<()> {
    platform::raise_at(signal, flag)
}

/// The signals that were ignored when callgate was started, one bit each, from 1 on; none if that cannot be told.
#[must_use]
pub fn ignored_signals() -> u64 {
    platform::ignored_signals()
}

/// Stops this process until it is continued, as Ctrl-Z does.
pub fn suspend() {
    platform::suspend();
}

/// Has the child, before it becomes the server, begin a session of its own, which has no terminal; give up every
/// descriptor but its standard streams, unblock all signals, and be killed when the thread that starts it ends: that is
/// the main thread, which lives as long as callgate (contract W9, W10).
pub fn isolate(command: &mut Command) {
    platform::child::isolate(command);
}

/// Has a pipe hold so many bytes, if that is to be had.
pub fn enlarge_pipe(pipe: &platform::Pipe, bytes: usize) {
    platform::child::enlarge_pipe(pipe, bytes);
}

/// The exit code of a process, or 128+N after signal N (contract C2).
#[must_use]
pub fn exit_code(status: ExitStatus) -> u8 {
    platform::child::exit_code(status)
}

/// Who has locked one of the files with these inodes, in words.
#[must_use]
pub fn blame(inodes: impl IntoIterator<Item = u64>) -> String {
    platform::stopped::blame(inodes)
}

/// Continues whoever holds a lock on the file with this inode, if that is a callgate that was stopped.
pub fn wake_holder(inode: u64) {
    platform::stopped::wake_holder(inode);
}
