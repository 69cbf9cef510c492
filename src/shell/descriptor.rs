//! Reading and writing without waiting, whatever a descriptor is, and without changing it for others.
//!
//! `O_NONBLOCK` belongs to the open file, which the client may share with us: set there, it would be felt by
//! others. A pipe is therefore opened anew, a socket is asked not to wait call by call, and a file or terminal,
//! which cannot be waited for, gets a thread that copies between it and a pipe of our own.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::pipe::PipeFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

/// How much a thread copies at once: what a pipe holds.
const COPY_BYTES: usize = 64 * 1024;

/// A descriptor that never makes its caller wait.
#[derive(Debug)]
pub struct Descriptor {
    fd: OwnedFd,
    is_socket: bool,
}

impl Descriptor {
    /// Takes a descriptor that nobody shares.
    ///
    /// # Errors
    /// It cannot be asked not to wait.
    pub fn unshared(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Descriptor { fd, is_socket: false })
    }

    /// Opens `fd`, which others may share, for reading.
    ///
    /// # Errors
    /// The descriptor is closed, or no pipe or thread is to be had.
    pub fn reading(fd: BorrowedFd<'_>) -> io::Result<Self> {
        if let Some(descriptor) = Self::pollable(fd, OFlags::RDONLY)? {
            return Ok(descriptor);
        }
        let source = File::from(fd.try_clone_to_owned()?);
        let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        // The thread ends with its source, or with the process.
        let copy = move || copy(source, File::from(theirs));
        std::thread::Builder::new().name("stdin".to_owned()).spawn(copy)?;
        Self::unshared(ours)
    }

    /// Opens `fd`, which others may share, for writing. If that takes a thread, it is told how the thread has ended:
    /// mostly because the descriptor is dropped, and everything written.
    ///
    /// # Errors
    /// As [`Descriptor::reading`].
    pub fn writing(
        fd: BorrowedFd<'_>,
    ) -> io::Result<(Self, Option<oneshot::Receiver<io::Result<()>>>)> {
        if let Some(descriptor) = Self::pollable(fd, OFlags::WRONLY)? {
            return Ok((descriptor, None));
        }
        let sink = File::from(fd.try_clone_to_owned()?);
        let (theirs, ours) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (ended, end) = oneshot::channel();
        let copy = move || {
            // Nobody listens: the session is over.
            let _ = ended.send(copy(File::from(theirs), sink));
        };
        std::thread::Builder::new().name("stdout".to_owned()).spawn(copy)?;
        Ok((Self::unshared(ours)?, Some(end)))
    }

    /// Opens `fd` for notices, which nobody may wait for: a pipe, a socket or a terminal.
    #[must_use]
    pub fn notices(fd: BorrowedFd<'_>) -> Option<Self> {
        let stat = rustix::fs::fstat(fd).ok()?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice {
            return Self::reopened(fd, OFlags::WRONLY | OFlags::NOCTTY);
        }
        Self::pollable(fd, OFlags::WRONLY).ok().flatten()
    }

    /// A pipe or socket by itself; `None` for anything else.
    fn pollable(fd: BorrowedFd<'_>, access: OFlags) -> io::Result<Option<Self>> {
        match FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) {
            FileType::Socket => {
                Ok(Some(Descriptor { fd: fd.try_clone_to_owned()?, is_socket: true }))
            }
            // Not to be had for a pipe of another user: that gets a thread.
            FileType::Fifo => Ok(Self::reopened(fd, access)),
            _ => Ok(None),
        }
    }

    /// The same file, opened once more and for us alone, so that it can be asked not to wait.
    fn reopened(fd: BorrowedFd<'_>, access: OFlags) -> Option<Self> {
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).ok()?;
        Some(Descriptor { fd, is_socket: false })
    }

    /// Hands the descriptor to the reactor, which wakes its task when there is something to do.
    ///
    /// # Errors
    /// The reactor cannot take it.
    #[expect(
        deprecated,
        reason = "the successor is unsafe; an OwnedFd that is never replaced meets its terms"
    )]
    pub fn watched(self, interest: Interest) -> io::Result<AsyncFd<Self>> {
        AsyncFd::with_interest(self, interest)
    }

    /// Reads what is there, into the spare capacity of `buffer`; 0 at the end of input.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing is there yet; any other ends the input.
    pub fn read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            let read = if self.is_socket {
                let spare = spare_capacity(buffer);
                rustix::net::recv(&self.fd, spare, RecvFlags::DONTWAIT).map(|(count, _)| count)
            } else {
                rustix::io::read(&self.fd, spare_capacity(buffer))
            };
            match read {
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    /// Writes as much of `bytes` as is taken at once.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing is taken; any other means that nobody will read again.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let written = if self.is_socket {
                rustix::net::send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            } else {
                rustix::io::write(&self.fd, bytes)
            };
            match written {
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_fd().as_raw_fd()
    }
}

/// Copies to the end of `from`, or until nobody reads `to`. `io::copy` would splice: then the kernel holds the pipe
/// as long as a terminal is stopped, and whoever closes its other end waits. Others may have made either descriptor
/// nonblocking: then the thread waits all the same.
fn copy(mut from: File, mut to: File) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        wait_for(&from, PollFlags::IN, &to)?;
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if is_passing(&error) => continue,
            Err(error) => return Err(error),
        };
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            match to.write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if is_passing(&error) => wait_for(&to, PollFlags::OUT, &to)?,
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

/// Waits until `file` is ready as `wanted`.
///
/// # Errors
/// Nobody reads `to` any more.
fn wait_for(file: &File, wanted: PollFlags, to: &File) -> io::Result<()> {
    let mut polled = [PollFd::new(file, wanted), PollFd::new(to, PollFlags::empty())];
    match rustix::event::poll(&mut polled, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let [_, to] = polled;
    if to.revents().intersects(PollFlags::ERR | PollFlags::HUP) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(())
}
