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

    /// Opens stdin for reading; see [`Descriptor::reading`].
    ///
    /// # Errors
    /// As [`Descriptor::reading`].
    pub fn stdin() -> io::Result<(Self, Option<oneshot::Receiver<()>>)> {
        Self::reading(io::stdin().as_fd())
    }

    /// Opens stdout for writing; see [`Descriptor::writing`].
    ///
    /// # Errors
    /// As [`Descriptor::reading`].
    pub fn stdout() -> io::Result<(Self, Option<oneshot::Receiver<io::Result<()>>>)> {
        Self::writing(io::stdout().as_fd())
    }

    /// Opens stderr for notices; see [`Descriptor::notices`].
    #[must_use]
    pub fn stderr() -> Option<Self> {
        Self::notices(io::stderr().as_fd())
    }

    /// Opens `fd`, which others may share, for reading. If that takes a thread, the thread tells when nothing will
    /// come that is not there already: nobody writes `fd` any more, or it is a regular file.
    ///
    /// # Errors
    /// The descriptor is closed, or no pipe or thread is to be had.
    pub fn reading(fd: BorrowedFd<'_>) -> io::Result<(Self, Option<oneshot::Receiver<()>>)> {
        if let Some(descriptor) = Self::pollable(fd, OFlags::RDONLY)? {
            return Ok((descriptor, None));
        }
        let source = File::from(fd.try_clone_to_owned()?);
        let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&theirs, true)?;
        let (last, no_more) = oneshot::channel();
        let mut last = Some(last);
        if source.metadata()?.is_file() {
            tell(&mut last);
        }
        // The thread ends with its source, or with the process.
        let copy = move || copy(source, File::from(theirs), last);
        std::thread::Builder::new().name("stdin".to_owned()).spawn(copy)?;
        Ok((Self::unshared(ours)?, Some(no_more)))
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
            let _ = ended.send(copy(File::from(theirs), sink, None));
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

    /// The file behind `fd`, opened once more, so that nothing can be read from it. `None` if it cannot be opened.
    #[must_use]
    pub fn for_writing_only(fd: BorrowedFd<'_>) -> Option<OwnedFd> {
        Self::opened_anew(fd, OFlags::WRONLY | OFlags::NOCTTY)
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
        let fd = Self::opened_anew(fd, access | OFlags::NONBLOCK)?;
        Some(Descriptor { fd, is_socket: false })
    }

    fn opened_anew(fd: BorrowedFd<'_>, flags: OFlags) -> Option<OwnedFd> {
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).ok()
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
/// nonblocking: then the thread waits all the same. `last` is told once nobody writes `from` any more, though not all
/// of it is read; `to` has to be nonblocking for that.
fn copy(mut from: File, mut to: File, mut last: Option<oneshot::Sender<()>>) -> io::Result<()> {
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
                Err(error) if is_passing(&error) => wait_for_room(&to, &from, &mut last)?,
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
    poll_both(&mut [PollFd::new(file, wanted), PollFd::new(to, PollFlags::empty())]).map(|_| ())
}

/// Waits until `to` takes more, or `last` is told that nobody writes `from` any more.
///
/// # Errors
/// Nobody reads `to` any more.
fn wait_for_room(to: &File, from: &File, last: &mut Option<oneshot::Sender<()>>) -> io::Result<()> {
    if last.is_none() {
        // The end of `from` would be reported at once, and for ever.
        return wait_for(to, PollFlags::OUT, to);
    }
    // Its end is reported unasked.
    let mut polled = [PollFd::new(from, PollFlags::empty()), PollFd::new(to, PollFlags::OUT)];
    let [from, _] = poll_both(&mut polled)?;
    if from.intersects(PollFlags::ERR | PollFlags::HUP) {
        tell(last);
    }
    Ok(())
}

fn tell(last: &mut Option<oneshot::Sender<()>>) {
    if let Some(last) = last.take() {
        // Nobody listens: the session is over.
        let _ = last.send(());
    }
}

/// Waits until one of two files is ready; the second is where the bytes go.
///
/// # Errors
/// Nobody reads the second any more.
fn poll_both(polled: &mut [PollFd<'_>; 2]) -> io::Result<[PollFlags; 2]> {
    match rustix::event::poll(polled, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let [first, to] = polled.each_ref().map(PollFd::revents);
    if to.intersects(PollFlags::ERR | PollFlags::HUP) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok([first, to])
}
