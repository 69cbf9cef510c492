//! A file that is read whole and without waiting, and the marks by which a change of it shows.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use rustix::fs::{Mode, OFlags};

/// The largest file that is read, in bytes (SPEC W7).
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Some file systems count time in steps this long: within one, a second change leaves no mark.
const COARSEST_CLOCK: Duration = Duration::from_secs(2);

/// What a file system says of a file: two versions differ in it, unless they are of one tick of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of the file that `path` leads to; `None` if there is none.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::from(&metadata))
    }

    /// True if the file was written so shortly before now that it may be written again without a mark.
    #[must_use]
    pub fn is_young(&self) -> bool {
        let seconds = u64::try_from(self.modified.0).unwrap_or_default();
        let modified = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let age = modified.map(|modified| match SystemTime::now().duration_since(modified) {
            Ok(age) => age,
            Err(ahead) => ahead.duration(),
        });
        // One second for the fraction that is not looked at.
        age.is_some_and(|age| age <= COARSEST_CLOCK.saturating_add(Duration::from_secs(1)))
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Reads a file to its end; `what` it is stands in the error. Only a regular file: a FIFO could make us wait, a
/// device has no end.
///
/// # Errors
/// The file cannot be opened or read, is not regular, or is larger than 16 MiB.
pub fn read(what: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    read_regular(path).with_context(|| format!("failed to read {what} `{}`", path.display()))
}

fn read_regular(path: &Path) -> anyhow::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?);
    if !file.metadata()?.is_file() {
        return Err(anyhow!("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(anyhow!("larger than 16 MiB"));
    }
    Ok(bytes)
}
