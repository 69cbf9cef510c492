//! Stopped lock holders. A callgate that is stopped (SIGSTOP) while it holds a lock would block all others: it is
//! continued, and releases the lock.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Continues whoever holds a lock on the file with this inode, if that is a callgate that was stopped.
pub(in crate::shell::os) fn wake_holder(inode: u64) {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    for pid in holders(&locks, inode) {
        if is_stopped(pid) && is_callgate(pid) {
            // One that has gone meanwhile holds no lock.
            let _ = kill_process(pid, Signal::CONT);
        }
    }
}

/// How often to read the list of locks: it is no snapshot, and may lack lines while other processes lock and unlock.
const LOOKS: usize = 5;

/// Describes the holder of a lock on one of the files with these inodes.
pub(in crate::shell::os) fn blame(inodes: impl IntoIterator<Item = u64>) -> String {
    let inodes: Vec<u64> = inodes.into_iter().collect();
    match (0..LOOKS).find_map(|_| holder_of_any(&inodes)) {
        Some(pid) if is_stopped(pid) => {
            format!("process {pid} has locked it for a second, and is stopped")
        }
        Some(pid) => format!("process {pid} has locked it for a second"),
        None => "another process has locked it for a second".to_owned(),
    }
}

/// A process other than this one that holds a lock on one of the files.
fn holder_of_any(inodes: &[u64]) -> Option<Pid> {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let ours = rustix::process::getpid();
    inodes.iter().flat_map(|inode| holders(&locks, *inode)).find(|pid| *pid != ours)
}

/// The processes with a write lock on the file, as `/proc/locks` lists them:
/// `1: POSIX  ADVISORY  WRITE 1234 fe:00:5678 120 120`
fn holders(locks: &str, inode: u64) -> impl Iterator<Item = Pid> {
    locks.lines().filter_map(move |line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "WRITE")?;
        let [pid, file] = words.get(at.checked_add(1)?..)?.first_chunk()?;
        let found: u64 = file.rsplit(':').next()?.parse().ok()?;
        (found == inode).then(|| pid.parse().ok().and_then(Pid::from_raw))?
    })
}

/// The state follows the name, which is in parentheses and may contain anything.
fn is_stopped(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    state == Some("T")
}

/// A callgate hides its program from all users but root, and few other processes of the user do: if the program cannot
/// be read, the process name has to be ours.
fn is_callgate(pid: Pid) -> bool {
    let program = |exe: &str| -> io::Result<Option<OsString>> {
        Ok(Path::new(exe).canonicalize()?.file_name().map(ToOwned::to_owned))
    };
    match (program(&format!("/proc/{pid}/exe")), program("/proc/self/exe")) {
        (Err(error), _) if error.kind() == io::ErrorKind::PermissionDenied => {
            let name = |pid: &str| fs::read(format!("/proc/{pid}/comm")).ok();
            let theirs = name(&pid.to_string());
            theirs.is_some() && theirs == name("self")
        }
        (Ok(theirs), Ok(ours)) => theirs.is_some() && theirs == ours,
        (Err(_), _) | (_, Err(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::holders;

    #[test]
    fn holders_are_found_by_the_file() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fe:00:5678 120 120\n\
                     1: -> POSIX  ADVISORY  WRITE 12 fe:00:5678 120 120\n\
                     2: POSIX  ADVISORY  READ 13 fe:00:5678 128 128\n\
                     3: FLOCK  ADVISORY  WRITE 14 fe:00:5679 0 EOF\n";
        let found = |inode| -> Vec<i32> {
            holders(locks, inode).map(|pid| pid.as_raw_nonzero().get()).collect()
        };
        assert_eq!(found(5678), [11, 12]);
        assert_eq!(found(5679), [14]);
        assert_eq!(found(1), [0; 0]);
    }
}
