//! One end of a connection: packets of bounded length, with descriptors beside them.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::protocol::{LONGEST, MOST_DESCRIPTORS};
use crate::sys;

/// A packet that came.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// Why there is no packet.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChannelError {
    /// The other side is gone.
    #[error("the connection was closed")]
    Closed,
    /// Nothing is there yet, or the other side does not read.
    #[error("the other side does not answer")]
    Waiting,
    /// Longer than anything in the protocol.
    #[error("a packet that is longer than {LONGEST} bytes or has more than {MOST_DESCRIPTORS} descriptors")]
    TooLong,
    /// The system's answer.
    #[error("{0}")]
    System(io::Error),
}

/// Sends one packet; never waits if `wait` does not say so.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    wait: bool,
) -> Result<(), ChannelError> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let beside = if raw.is_empty() { &[][..] } else { &rights[..] };
    let flags = if wait { MsgFlags::MSG_NOSIGNAL } else { MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT };
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], beside, flags, None) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN) => return Err(ChannelError::Closed),
            // ETOOMANYREFS: too many descriptors of this user are on their way and were not received.
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ETOOMANYREFS) => return Err(ChannelError::Waiting),
            Err(error) => return Err(ChannelError::System(error.into())),
        }
    }
}

/// Receives one packet; the socket says whether it waits.
pub(super) fn receive(socket: &impl AsFd) -> Result<Received, ChannelError> {
    receive_with(socket.as_fd(), true)
}

/// Receives one packet if there is one.
pub(super) fn receive_now(socket: &impl AsFd) -> Result<Received, ChannelError> {
    receive_with(socket.as_fd(), false)
}

fn receive_with(socket: BorrowedFd<'_>, wait: bool) -> Result<Received, ChannelError> {
    let mut buffer = vec![0; LONGEST];
    let mut reset = false;
    let packet = loop {
        match sys::receive(socket, &mut buffer, wait) {
            Ok(packet) => break packet,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(ChannelError::Waiting),
            // Told once, when the other side went without reading all; its last words are behind that.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && !reset => reset = true,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(ChannelError::Closed),
            Err(error) => return Err(ChannelError::System(error)),
        }
    };
    if packet.cut || packet.descriptors.len() > MOST_DESCRIPTORS {
        return Err(ChannelError::TooLong);
    }
    if packet.length == 0 {
        return Err(ChannelError::Closed);
    }
    buffer.truncate(packet.length);
    Ok(Received { bytes: buffer, descriptors: packet.descriptors })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap()
    }

    #[test]
    fn a_packet_comes_with_its_descriptors() {
        let (one, other) = pair();
        let file = File::open("/dev/null").unwrap();
        send(one.as_fd(), b"x", &[file.as_fd(), file.as_fd()], false).unwrap();
        let received = receive(&other).unwrap();
        assert_eq!((received.bytes.as_slice(), received.descriptors.len()), (&b"x"[..], 2));
        assert!(matches!(receive(&other), Err(ChannelError::Waiting)));
        drop(one);
        assert!(matches!(receive(&other), Err(ChannelError::Closed)));
    }

    /// A side that turns the other away may do so before it has read what that one has said.
    #[test]
    fn last_words_are_heard() {
        let (one, other) = pair();
        send(other.as_fd(), b"hello", &[], false).unwrap();
        send(one.as_fd(), b"go away", &[], false).unwrap();
        drop(one);
        assert_eq!(receive(&other).unwrap().bytes, b"go away");
        assert!(matches!(receive(&other), Err(ChannelError::Closed)));
    }

    #[test]
    fn too_much_is_refused_and_nothing_leaks() {
        let (one, other) = pair();
        send(one.as_fd(), &vec![0; LONGEST + 1], &[], false).unwrap();
        assert!(matches!(receive(&other), Err(ChannelError::TooLong)));
        let (read, write) = nix::unistd::pipe().unwrap();
        let many: Vec<_> = std::iter::repeat_n(write.as_fd(), MOST_DESCRIPTORS + 1).collect();
        send(one.as_fd(), b"x", &many, false).unwrap();
        drop(many);
        assert!(matches!(receive(&other), Err(ChannelError::TooLong)));
        drop(write);
        // Were a copy of the writing end left, this would wait for ever.
        assert_eq!(nix::unistd::read(&read, &mut [0]).unwrap(), 0);
    }
}
