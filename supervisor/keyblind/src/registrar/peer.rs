//! Who a client is, and what it may name. What the kernel says counts; of what the client says, nothing does.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, open};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::{PeerCredentials, PeerPidfd};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

use crate::sys;

/// A client, as it was when it connected.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) pid: u32,
    /// Since Linux 6.5 (SO_PEERPIDFD): tells whether `pid` is still that process.
    pidfd: Option<OwnedFd>,
}

impl Peer {
    pub(super) fn of(socket: &impl AsFd) -> io::Result<Self> {
        let credentials = getsockopt(&socket.as_fd(), PeerCredentials)?;
        let pidfd = getsockopt(&socket.as_fd(), PeerPidfd).ok();
        let pid = u32::try_from(credentials.pid()).unwrap_or(0);
        Ok(Self { uid: credentials.uid(), gid: credentials.gid(), pid, pidfd })
    }

    /// The cgroup it is in, as the path below the top of cgroup v2; `None` if it is gone.
    pub(super) fn cgroup(&self) -> Option<String> {
        let text = fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).ok()?;
        // Now, and not before: the number could have gone to another process.
        if self.pidfd.as_ref().is_some_and(sys::has_ended) {
            return None;
        }
        text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
    }

    /// The process id of `pidfd`, if it is a living child of this client with its user's ids and no others. Root's
    /// children may have any.
    pub(super) fn child(&self, pidfd: &OwnedFd) -> Result<u32, String> {
        let pid = pid_of(pidfd).ok_or("it is no pidfd of a living process")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|_gone| "it is gone")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(|line| line.split_whitespace().filter_map(|word| word.parse::<u32>().ok()).collect())
        };
        let parent: Vec<u32> = field("PPid:").unwrap_or_default();
        let uids: Vec<u32> = field("Uid:").unwrap_or_default();
        if parent != [self.pid] {
            return Err("it is not a child of the client".to_owned());
        }
        if self.uid != 0 && (uids.len() != 4 || uids.iter().any(|uid| *uid != self.uid)) {
            return Err("it is another user's".to_owned());
        }
        if sys::has_ended(pidfd) {
            return Err("it has ended".to_owned());
        }
        Ok(pid)
    }
}

/// The process id of a pidfd (`Pid:` in its fdinfo, pidfd_open(2)), in this PID namespace.
fn pid_of(pidfd: &OwnedFd) -> Option<u32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok()).filter(|pid| *pid > 0)
}

/// What one user may read, asked for many objects in a row.
#[derive(Debug)]
pub(super) struct Readable {
    uid: u32,
    gid: u32,
    /// By device: the type of a file system that a user may serve.
    served: HashMap<(u32, u32), Option<String>>,
    mounts: Option<String>,
}

impl Readable {
    /// For a user, as the kernel names it.
    pub(super) fn by(peer: &Peer) -> Self {
        Self { uid: peer.uid, gid: peer.gid, served: HashMap::new(), mounts: None }
    }

    /// Whether the user itself may read the object of a descriptor that it passed. Only files and directories are
    /// guarded, and none on a file system that a user serves: such a one answers when it likes, or never.
    pub(super) fn check(&mut self, object: BorrowedFd<'_>) -> Result<(), String> {
        let (mode, device) = sys::unhurried_stat(object).map_err(|error| crate::spawn::words(&error))?;
        if !matches!(mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR) {
            return Err("it is neither a file nor a directory".to_owned());
        }
        if let Some(kind) = self.served_by_a_user(device) {
            return Err(format!("it is on a file system of the type {kind}, which a user may serve"));
        }
        if self.uid == 0 {
            return Ok(());
        }
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let path = format!("/proc/self/fd/{}", object.as_raw_fd());
        // Of this thread alone (setfsuid(2)), which drops the capabilities that overrule modes; there is no await
        // between.
        setfsgid(Gid::from_raw(self.gid));
        setfsuid(Uid::from_raw(self.uid));
        let opened = open(path.as_str(), flags, Mode::empty());
        setfsuid(Uid::from_raw(0));
        setfsgid(Gid::from_raw(0));
        match opened {
            Ok(_readable) => Ok(()),
            Err(errno) => Err(format!("the user may not read it: {}", crate::spawn::words(&errno.into()))),
        }
    }

    /// The type of the file system on that device if its answers come from a process. Mounts are read once: a device
    /// number is that of a file system as long as the descriptor is open.
    fn served_by_a_user(&mut self, device: (u32, u32)) -> Option<String> {
        let read = || fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mounts = self.mounts.get_or_insert_with(read);
        self.served.entry(device).or_insert_with(|| user_served(mounts, device)).clone()
    }
}

/// proc_pid_mountinfo(5): the device is the third field, the type the first behind the separator.
fn user_served(mounts: &str, device: (u32, u32)) -> Option<String> {
    let device = format!("{}:{}", device.0, device.1);
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let kind = after.split(' ').next()?;
        (before.split(' ').nth(2)? == device && kind.starts_with("fuse")).then(|| kind.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_served_file_system_is_known_by_its_device() {
        let mounts = "30 23 0:26 / /home rw shared:9 - ext4 /dev/sda rw\n\
                      31 23 0:27 / /home/jo/far rw - fuse.sshfs far: rw,user_id=1000\n";
        assert_eq!(user_served(mounts, (0, 26)), None);
        assert_eq!(user_served(mounts, (0, 27)).as_deref(), Some("fuse.sshfs"));
        assert_eq!(user_served(mounts, (0, 28)), None);
    }
}
