//! The one place with `unsafe`: a descriptor that the caller names by number.
#![expect(unsafe_code, reason = "a descriptor given by number has no owner in this program")]

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// An own, close-on-exec duplicate of descriptor `fd`, which must be open for writing.
///
/// EBADF when it is not open, EACCES when it is open for reading only.
pub(crate) fn duplicate(fd: RawFd) -> Result<OwnedFd, Errno> {
    if fd < 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: `fd` is not -1, which is the one value that a BorrowedFd must not hold. It lives for the one
    // call below, which asks the kernel for a duplicate and fails with EBADF if nothing is open there; it
    // neither closes nor reads nor writes, so whoever owns the descriptor loses nothing.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let copy = nix::unistd::dup(borrowed)?;
    fcntl(&copy, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    let flags = OFlag::from_bits_truncate(fcntl(&copy, FcntlArg::F_GETFL)?);
    if flags & OFlag::O_ACCMODE == OFlag::O_RDONLY {
        return Err(Errno::EACCES);
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn duplicates_close_on_exec_and_refuses_what_cannot_be_written() {
        let null = File::options().write(true).open("/dev/null").unwrap();
        let copy = duplicate(null.as_raw_fd()).unwrap();
        assert_ne!(copy.as_raw_fd(), null.as_raw_fd());
        assert_eq!(fcntl(&copy, FcntlArg::F_GETFD), Ok(nix::libc::FD_CLOEXEC));

        let reading = File::open("/dev/null").unwrap();
        assert_eq!(duplicate(reading.as_raw_fd()).err(), Some(Errno::EACCES));
        assert_eq!(duplicate(-1).err(), Some(Errno::EBADF));
        assert_eq!(duplicate(1_000_000).err(), Some(Errno::EBADF));
    }
}
