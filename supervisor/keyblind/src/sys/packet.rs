//! Packets with descriptors beside them, and a look at a file that asks nobody.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// The most descriptors that the kernel passes beside one packet (SCM_MAX_FD, unix(7)).
const MOST: usize = 253;
/// Room for them, and for a header. Counted in words, so that it is aligned for a header.
const ROOM: usize = (MOST * size_of::<libc::c_int>() + 64) / size_of::<u64>();

/// A packet as it came.
#[derive(Debug)]
pub(crate) struct Packet {
    /// Its bytes in the caller's buffer.
    pub(crate) length: usize,
    /// It was longer than the buffer, or came with more descriptors than there is room for.
    pub(crate) cut: bool,
    /// What came beside it, closed on exec. Also of a packet that was cut: what was received is closed and not leaked.
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// Receives one packet (recvmsg(2)). Waits only if `wait` says so and the socket's own flags do not forbid it. Nothing at
/// all is the end.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], wait: bool) -> io::Result<Packet> {
    let flags = if wait { libc::MSG_CMSG_CLOEXEC } else { libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT };
    let mut room = [0_u64; ROOM];
    let mut bytes = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is plain data; its pointers are to `bytes` and `room`, which outlive the call.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut bytes;
    message.msg_iovlen = 1;
    message.msg_control = room.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&room);
    // SAFETY: the header and all that it points to live until the call returns.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, flags) };
    let Ok(length) = usize::try_from(length) else { return Err(io::Error::last_os_error()) };
    let mut descriptors = Vec::new();
    // SAFETY: the kernel filled `room` up to msg_controllen, and the macros stay within it (cmsg(3)); each descriptor
    // in a SCM_RIGHTS entry is new and read once.
    unsafe {
        let mut entry = libc::CMSG_FIRSTHDR(&message);
        while !entry.is_null() {
            if (*entry).cmsg_level == libc::SOL_SOCKET && (*entry).cmsg_type == libc::SCM_RIGHTS {
                let data = libc::CMSG_DATA(entry).cast::<libc::c_int>();
                let bytes = (*entry).cmsg_len.saturating_sub(data.addr().saturating_sub(entry.addr()));
                for index in 0..bytes / size_of::<libc::c_int>() {
                    descriptors.push(super::own(data.add(index).read_unaligned()));
                }
            }
            entry = libc::CMSG_NXTHDR(&message, entry);
        }
    }
    let cut = message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0;
    Ok(Packet { length, cut, descriptors })
}

/// Mode and device numbers of an open file, as far as the kernel knows them without asking a server (statx(2),
/// AT_STATX_DONT_SYNC): a file system that a user serves cannot make the caller wait.
pub(crate) fn unhurried_stat(file: BorrowedFd<'_>) -> io::Result<(u32, (u32, u32))> {
    let found = unhurried(file)?;
    Ok((u32::from(found.stx_mode), (found.stx_dev_major, found.stx_dev_minor)))
}

/// Mode, device and inode number of an open file, as far as the kernel knows them without asking a server.
pub(crate) fn unhurried_identity(file: BorrowedFd<'_>) -> io::Result<(u32, (u64, u64))> {
    let found = unhurried(file)?;
    let device = u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor);
    Ok((u32::from(found.stx_mode), (device, found.stx_ino)))
}

fn unhurried(file: BorrowedFd<'_>) -> io::Result<libc::statx> {
    const FLAGS: libc::c_int = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC | libc::AT_NO_AUTOMOUNT;
    const WANTED: libc::c_uint = libc::STATX_TYPE | libc::STATX_INO;
    // SAFETY: statx is plain data; the name is an empty string, and both outlive the call.
    unsafe {
        let mut found: libc::statx = std::mem::zeroed();
        if libc::statx(file.as_raw_fd(), c"".as_ptr(), FLAGS, WANTED, &mut found) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(found)
    }
}
