//! Files on Linux.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
    PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use rustix::fs::{
    Access, AtFlags, CWD, FlockOperation, OFlags, RenameFlags, StatxFlags, access, flock,
    renameat_with, statx,
};
use rustix::io::Errno;

use crate::shell::os::{FileId, Links, Lock};

pub(in crate::shell::os) fn id(found: &Metadata) -> FileId {
    FileId { device: found.dev(), inode: found.ino() }
}

pub(in crate::shell::os) fn modified(found: &Metadata) -> (i64, i64) {
    (found.mtime(), found.mtime_nsec())
}

pub(in crate::shell::os) fn changed(found: &Metadata) -> (i64, i64) {
    (found.ctime(), found.ctime_nsec())
}

pub(in crate::shell::os) fn names(found: &Metadata) -> u64 {
    found.nlink()
}

pub(in crate::shell::os) fn is_pipe(found: &Metadata) -> bool {
    let kind = found.file_type();
    kind.is_fifo() || kind.is_socket()
}

pub(in crate::shell::os) fn without_waiting(
    options: &mut OpenOptions,
    links: Links,
    mode: u32,
) -> &mut OpenOptions {
    let links = match links {
        Links::Followed => OFlags::empty(),
        Links::Refused => OFlags::NOFOLLOW,
    };
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | links).bits();
    options.mode(mode).custom_flags(i32::try_from(flags).unwrap_or_default())
}

pub(in crate::shell::os) fn with_mode(options: &mut OpenOptions, mode: u32) -> &mut OpenOptions {
    options.mode(mode)
}

pub(in crate::shell::os) fn try_lock(file: &File, lock: Lock) -> io::Result<bool> {
    let operation = match lock {
        Lock::Shared => FlockOperation::NonBlockingLockShared,
        Lock::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

pub(in crate::shell::os) fn unlock(file: &File) {
    // An open file cannot fail to be unlocked.
    let _ = flock(file, FlockOperation::Unlock);
}

pub(in crate::shell::os) fn length(file: &File) -> Option<u64> {
    let wanted = StatxFlags::SIZE | StatxFlags::NLINK;
    let found = statx(file, "", AtFlags::EMPTY_PATH, wanted).ok()?;
    (found.stx_nlink > 0).then_some(found.stx_size)
}

pub(in crate::shell::os) fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    file.read_at(buffer, at)
}

pub(in crate::shell::os) fn read_exact_at(
    file: &File,
    buffer: &mut [u8],
    at: u64,
) -> io::Result<()> {
    file.read_exact_at(buffer, at)
}

pub(in crate::shell::os) fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.write_all_at(bytes, at)
}

pub(in crate::shell::os) fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems do not know this. All that rename hold a lock.
        Err(Errno::INVAL | Errno::NOSYS) if !to.exists() => std::fs::rename(from, to),
        renamed => renamed.map_err(io::Error::from),
    }
}

pub(in crate::shell::os) fn copy_owner_and_mode(path: &Path, from: &Metadata) -> io::Result<()> {
    // Only root can give a file away; for others it is theirs already, mostly.
    let _ = std::os::unix::fs::chown(path, Some(from.uid()), Some(from.gid()));
    std::fs::set_permissions(path, Permissions::from_mode(from.permissions().mode() & 0o7777))
}

pub(in crate::shell::os) fn make_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub(in crate::shell::os) fn may_write(path: &Path, also_read: bool) -> io::Result<()> {
    let wanted = if also_read { Access::READ_OK | Access::WRITE_OK } else { Access::WRITE_OK };
    Ok(access(path, wanted)?)
}

pub(in crate::shell::os) fn danger(path: &Path, is_parent: bool) -> Option<String> {
    const GROUP_OR_OTHERS: u32 = 0o022;
    /// In such a directory only the owner of a file can replace it.
    const STICKY: u32 = 0o1000;
    const ROOT: u32 = 0;
    let found = std::fs::metadata(path).ok()?;
    let (owner, mode) = (found.uid(), found.permissions().mode() & 0o7777);
    let path = path.display();
    if owner != ROOT && owner != rustix::process::geteuid().as_raw() {
        return Some(format!("`{path}` belongs to another user (user id {owner})"));
    }
    let is_open = mode & GROUP_OR_OTHERS != 0 && !(is_parent && mode & STICKY != 0);
    is_open.then(|| format!("`{path}` is writable by others than its owner (mode {mode:o})"))
}

pub(in crate::shell::os) fn no_space() -> io::Error {
    Errno::NOSPC.into()
}

pub(in crate::shell::os) fn already_there() -> io::Error {
    Errno::EXIST.into()
}

pub(in crate::shell::os) fn path_of_bytes(bytes: Vec<u8>) -> OsString {
    OsString::from_vec(bytes)
}

/// Relative paths in the environment are to be ignored, says the XDG base directory specification.
pub(in crate::shell::os) fn state_directory() -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let home = || std::env::home_dir().filter(absolute);
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(absolute);
    Some(state.or_else(|| Some(home()?.join(".local/state")))?.join("callgate"))
}
