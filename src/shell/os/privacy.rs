//! What other processes of the user may see of callgate.

use std::io;

/// Makes callgate unreadable for other processes of the user: they cannot open its `/proc/PID/environ`, where the
/// password of a Redis may stand, nor its memory or its descriptors, trace it, or find its core (contract W10). A program
/// that callgate starts is not affected: `exec` undoes it.
///
/// # Errors
/// The operating system refuses, as a sandbox may have it do.
#[cfg(target_os = "linux")]
pub fn hide_from_others() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Nothing that is known to be needed.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn hide_from_others() -> io::Result<()> {
    Ok(())
}
