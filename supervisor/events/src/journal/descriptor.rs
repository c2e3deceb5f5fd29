//! A descriptor that the caller opened: written without ever waiting long for its reader.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{Mode, SFlag, fstat};

/// How long a full pipe may hold up the run, once; while it stays full it is not waited for again.
const STALL: Duration = Duration::from_millis(100);

/// A duplicate of the caller's descriptor.
#[derive(Debug)]
pub(super) struct Descriptor {
    fd: OwnedFd,
    socket: bool,
    /// The last line was cut short.
    torn: bool,
    /// The last write ran out of time.
    stalled: bool,
}

impl Descriptor {
    pub(super) fn new(number: i32) -> Result<Self, Errno> {
        let mut fd = crate::sys::duplicate(number)?;
        let kind = SFlag::from_bits_truncate(fstat(&fd)?.st_mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFIFO {
            // O_NONBLOCK belongs to the open file, which the caller shares with others (a shell, stderr). A
            // pipe can be opened anew through procfs; where it cannot, poll(2) before each write must do.
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            if let Ok(own) = open(path.as_str(), flags, Mode::empty()) {
                fd = own;
            }
        }
        Ok(Self { fd, socket: kind == SFlag::S_IFSOCK, torn: false, stalled: false })
    }

    /// Writes one line whole, or fails; after a failure within a line the next one ends it first.
    pub(super) fn append(&mut self, line: &[u8]) -> Result<(), Errno> {
        let deadline = Instant::now() + if self.stalled { Duration::ZERO } else { STALL };
        if self.torn {
            self.write(b"\n", deadline)?;
            self.torn = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match self.write(rest, deadline) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(errno) => {
                    self.torn = rest.len() < line.len();
                    return Err(errno);
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], deadline: Instant) -> Result<usize, Errno> {
        loop {
            self.wait(deadline)?;
            let written = if self.socket {
                send(self.fd.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)
            } else {
                nix::unistd::write(&self.fd, bytes)
            };
            match written {
                Err(Errno::EINTR) => {}
                // There is room, but not for this message.
                Err(Errno::EAGAIN) if Instant::now() < deadline => {}
                Ok(0) => return Err(Errno::EIO),
                other => return other,
            }
        }
    }

    /// Until it can be written, or EAGAIN at the deadline.
    fn wait(&mut self, deadline: Instant) -> Result<(), Errno> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            match poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLOUT)], timeout) {
                Ok(0) => {
                    self.stalled = true;
                    return Err(Errno::EAGAIN);
                }
                Ok(_) => {
                    self.stalled = false;
                    return Ok(());
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}
