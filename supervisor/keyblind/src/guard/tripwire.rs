//! Tripwires in the `mount` tier: fanotify permission events on empty objects of the run's own tree.
//!
//! The objects hold nothing, so the case in which the kernel allows what is pending (the group's last descriptor
//! closes) gives nothing away.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use keyblind_events::Process;
use nix::errno::Errno;
use nix::sys::fanotify::{EventFFlags, Fanotify, FanotifyResponse, InitFlags, MaskFlags, Response};
use nix::sys::stat::fstat;

use crate::host::lineage;
use crate::plan::Tripwire;

/// A fanotify group over a run's tripwires.
#[derive(Debug)]
pub struct Tripwires {
    group: Fanotify,
    tripwires: Vec<Tripwire>,
    deny: bool,
}

/// Somebody opened a tripwire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The process.
    pub process: Process,
    /// Its ancestors within the run, parent first.
    pub ancestors: Vec<Process>,
    /// The path of the object in the run's tree.
    pub path: PathBuf,
    /// Device and inode of the empty object.
    pub file: Option<(u64, u64)>,
    /// The guard it stands for, and why it is guarded.
    pub guard: Option<(String, String)>,
    /// Whether it was refused, with EPERM (the only errno that fanotify has).
    pub denied: bool,
}

impl Tripwires {
    /// A group without marks: the child sets them, in the tree that it builds. `deny` is false in audit mode.
    pub fn new(tripwires: Vec<Tripwire>, deny: bool) -> io::Result<Self> {
        let init = InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        let opened_as = EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC | EventFFlags::O_LARGEFILE;
        Ok(Self { group: Fanotify::init(init, opened_as)?, tripwires, deny })
    }

    /// The group's descriptor for the child.
    pub fn group(&self) -> io::Result<OwnedFd> {
        self.group.as_fd().try_clone_to_owned()
    }

    /// What the child has to mark, and for which events.
    pub fn marks(&self) -> Vec<(CString, u64)> {
        self.tripwires
            .iter()
            .filter_map(|tripwire| {
                let mask = if tripwire.directory {
                    MaskFlags::FAN_OPEN_PERM | MaskFlags::FAN_ONDIR
                } else {
                    MaskFlags::FAN_OPEN_PERM
                };
                Some((CString::new(tripwire.path.as_os_str().as_bytes()).ok()?, mask.bits()))
            })
            .collect()
    }

    /// Answers everything that is pending. Who asks is looked up first, since as long as the process waits, it and the
    /// run's tree (up to `reaper`) are there to be named; then comes the verdict; then `report`, which may take its time.
    pub fn answer(&self, reaper: u32, mut report: impl FnMut(&Attempt)) -> io::Result<()> {
        loop {
            let events = match self.group.read_events() {
                Ok(events) if events.is_empty() => return Ok(()),
                Ok(events) => events,
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in events {
                let Some(fd) = event.fd() else { continue };
                let response = if self.deny { Response::FAN_DENY } else { Response::FAN_ALLOW };
                let attempt = self.attempt(fd, event.pid().unsigned_abs(), reaper);
                self.group.write_response(FanotifyResponse::new(fd, response))?;
                report(&attempt);
            }
        }
    }

    fn attempt(&self, fd: BorrowedFd<'_>, pid: u32, reaper: u32) -> Attempt {
        let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap_or_default();
        let guard = self
            .tripwires
            .iter()
            .find(|tripwire| tripwire.path == path)
            .map(|tripwire| (tripwire.guard.clone(), tripwire.reason.clone()));
        let file = fstat(fd).ok().map(|stat| (stat.st_dev, stat.st_ino));
        let (process, ancestors) = lineage(pid, reaper);
        Attempt { process, ancestors, path, file, guard, denied: self.deny }
    }
}

impl AsFd for Tripwires {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.group.as_fd()
    }
}

impl AsRawFd for Tripwires {
    fn as_raw_fd(&self) -> RawFd {
        self.group.as_fd().as_raw_fd()
    }
}
