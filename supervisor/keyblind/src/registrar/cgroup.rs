//! Scopes as cgroups: `<v2>/keyblind/<run>`, all at one level, made and removed by the registrar alone.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use keyblind_events::RunId;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::{host, sys};

/// Why there is no place for scopes.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Not mounted.
    #[error(
        "no cgroup v2 is mounted; boot with systemd.unified_cgroup_hierarchy=1, or mount -t cgroup2 none /sys/fs/cgroup/unified"
    )]
    NotMounted,
    /// The level of a cgroup cannot be known from within a namespace.
    #[error("this is a cgroup namespace, as in a container; start it on the host itself")]
    Namespace,
    /// The system's answer.
    #[error("cannot make cgroups in {}: {}; mount it read-write", .path.display(), crate::spawn::words(.source))]
    System {
        /// The mount.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How deep a tree of cgroups below a scope is taken apart. A run cannot make any; root could have.
const DEEPEST: u32 = 16;

/// Where scopes are.
#[derive(Debug)]
pub(super) struct Hierarchy {
    mount: PathBuf,
    top: OwnedFd,
}

impl Hierarchy {
    /// Finds the hierarchy and makes `keyblind` in it.
    pub(super) fn open() -> Result<Self, CgroupError> {
        // The initial cgroup namespace has a fixed number (PROC_CGROUP_INIT_INO).
        let namespace = fs::read_link("/proc/self/ns/cgroup").unwrap_or_default();
        if namespace != Path::new("cgroup:[4026531835]") {
            return Err(CgroupError::Namespace);
        }
        let mount = host::cgroup_v2().ok_or(CgroupError::NotMounted)?;
        let top = (|| {
            let path = mount.join("keyblind");
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            Ok(File::open(path)?.into())
        })();
        match top {
            Ok(top) => Ok(Self { mount, top }),
            Err(source) => Err(CgroupError::System { path: mount, source }),
        }
    }

    /// Where cgroup v2 is mounted.
    pub(super) fn mount(&self) -> &Path {
        &self.mount
    }

    /// The cgroup of all scopes, at level 1.
    pub(super) fn home(&self) -> PathBuf {
        self.mount.join("keyblind")
    }

    /// A new, empty scope.
    pub(super) fn make(&self, run: &RunId) -> io::Result<Cgroup> {
        mkdirat(&self.top, run.as_str(), Mode::from_bits_truncate(0o755))?;
        self.find(run)
    }

    /// The scope of that run.
    pub(super) fn find(&self, run: &RunId) -> io::Result<Cgroup> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        let directory = File::from(openat(&self.top, run.as_str(), flags, Mode::empty())?);
        let id = directory.metadata()?.ino();
        Ok(Cgroup { directory: directory.into(), id })
    }

    /// Removes an empty scope, and what empty cgroups are below it. One that is not there is removed already.
    pub(super) fn remove(&self, run: &RunId) -> io::Result<()> {
        remove(self.top.as_fd(), run.as_str(), DEEPEST)
    }

    /// Moves out of a scope what should not have come into it, to where each process's parent is.
    pub(super) fn expel(&self, scope: &Cgroup) {
        for pid in scope.processes().unwrap_or_default() {
            let parent = fs::read_to_string(format!("/proc/{pid}/status")).ok().and_then(|status| {
                let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
                line.trim().parse::<u32>().ok()
            });
            let cgroup = parent.and_then(|parent| {
                let text = fs::read_to_string(format!("/proc/{parent}/cgroup")).ok()?;
                text.lines().find_map(|line| line.strip_prefix("0::/")).map(str::to_owned)
            });
            let procs = self.mount.join(cgroup.unwrap_or_default()).join("cgroup.procs");
            // It may have ended, which is as good.
            let _gone = File::options().write(true).open(procs).and_then(|mut file| write!(file, "{pid}"));
        }
    }

    /// Removes the cgroup of all scopes if there is none, not even one that a run without the registrar has made.
    pub(super) fn leave(&self) {
        let _others_are_there = fs::remove_dir(self.home());
    }
}

fn remove(parent: BorrowedFd<'_>, name: &str, depth: u32) -> io::Result<()> {
    match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        // A cgroup with children answers EBUSY as one with processes does.
        Err(Errno::EBUSY | Errno::ENOTEMPTY) if depth > 0 => {}
        Err(errno) => return Err(errno.into()),
    }
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
    let directory = openat(parent, name, flags, Mode::empty())?;
    let mut listing = nix::dir::Dir::from_fd(directory.try_clone()?)?;
    let children: Vec<_> = listing
        .iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type() == Some(nix::dir::Type::Directory))
        .filter_map(|entry| entry.file_name().to_str().map(str::to_owned).ok())
        .filter(|name| name != "." && name != "..")
        .collect();
    for child in children {
        remove(directory.as_fd(), &child, depth - 1)?;
    }
    Ok(unlinkat(parent, name, UnlinkatFlags::RemoveDir)?)
}

/// One scope's cgroup.
#[derive(Debug)]
pub(super) struct Cgroup {
    directory: OwnedFd,
    /// Its id: the inode number (kernfs, 64 bit).
    pub(super) id: u64,
}

impl Cgroup {
    /// The directory's descriptor, for a client that may clone into it.
    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    fn file(&self, name: &str, flags: OFlag) -> io::Result<File> {
        Ok(openat(&self.directory, name, flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())?.into())
    }

    /// Kills all that is in it, with no way out for what is just being forked (cgroup.kill, Linux 5.14).
    pub(super) fn kill(&self) -> io::Result<()> {
        self.file("cgroup.kill", OFlag::O_WRONLY)?.write_all(b"1")
    }

    /// Moves a process with all its threads into it.
    pub(super) fn enter(&self, pid: u32) -> io::Result<()> {
        self.file("cgroup.procs", OFlag::O_WRONLY)?.write_all(pid.to_string().as_bytes())
    }

    /// The processes directly in it.
    pub(super) fn processes(&self) -> io::Result<Vec<u32>> {
        let mut text = String::new();
        self.file("cgroup.procs", OFlag::O_RDONLY)?.read_to_string(&mut text)?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Whether a process is in it or below it.
    pub(super) fn is_populated(&self) -> io::Result<bool> {
        populated(&mut self.file("cgroup.events", OFlag::O_RDONLY)?)
    }

    /// Waits until nothing is in it any more. Call inside a runtime.
    pub(super) async fn emptied(&self) -> io::Result<()> {
        // A change makes the file ready with POLLPRI (cgroups(7)); reading it arms it again.
        let mut events = sys::attention(self.file("cgroup.events", OFlag::O_RDONLY)?)?;
        while populated(events.get_mut())? {
            ready(&events).await?;
        }
        Ok(())
    }
}

async fn ready(events: &AsyncFd<File>) -> io::Result<()> {
    events.ready(Interest::PRIORITY).await?.clear_ready();
    Ok(())
}

fn populated(events: &mut File) -> io::Result<bool> {
    let mut text = String::new();
    events.rewind()?;
    events.read_to_string(&mut text)?;
    Ok(!text.lines().any(|line| line == "populated 0"))
}
