//! The registrar's directory, its lock, and its socket.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, open, openat};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// The lock, which holds the process id of whoever has it.
const LOCK: &str = "host.pid";
/// Directory of the open scopes.
const SCOPES: &str = "scopes";
/// Connections that may wait to be accepted; the kernel's own bound (net.core.somaxconn) may be lower.
const BACKLOG: i32 = 4096;

/// Why the registrar has no place to be.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Another one is there.
    #[error("another keyblind host (process {pid}) serves this machine; end it with `keyblind host down`")]
    Held {
        /// Its process id as it wrote it down; 0 if it has not yet.
        pid: u32,
    },
    /// What must be a directory of root's is not.
    #[error("{} {what}; move it away, or use another place with --socket", .path.display())]
    Unsafe {
        /// The object.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A system call failed.
    #[error("cannot {what} {}: {}", .path.display(), crate::spawn::words(.source))]
    System {
        /// What was attempted.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl HomeError {
    fn system(what: &'static str, path: &Path) -> impl FnOnce(Errno) -> Self {
        let path = path.to_owned();
        move |errno| Self::System { what, path, source: errno.into() }
    }
}

/// The registrar's directory. While this lives, no other registrar serves the machine.
#[derive(Debug)]
pub(super) struct Home {
    directory: OwnedFd,
    lock: Flock<File>,
    path: PathBuf,
}

impl Home {
    /// Makes the directory if it is not there, and takes the lock in it.
    pub(super) fn take(path: &Path) -> Result<Self, HomeError> {
        let directory = own_directory(path)?;
        let lock = path.join(LOCK);
        loop {
            match try_lock(&directory, &lock)? {
                // Whoever had it may have removed the file meanwhile; the next one is another's to take, too.
                locked if locked.metadata().is_ok_and(|metadata| metadata.nlink() == 0) => {}
                locked => return Ok(Self { directory, lock: locked, path: path.to_owned() }),
            }
        }
    }

    /// Writes down who holds the lock.
    pub(super) fn sign(&mut self) -> Result<(), HomeError> {
        let written = self.lock.set_len(0).and_then(|()| {
            io::Seek::rewind(&mut *self.lock)?;
            writeln!(self.lock, "{}", std::process::id())
        });
        written.map_err(|source| HomeError::System { what: "write", path: self.path.join(LOCK), source })
    }

    /// The directory of the open scopes, made if it is not there.
    pub(super) fn scopes(&self) -> Result<OwnedFd, HomeError> {
        let path = self.path.join(SCOPES);
        match mkdirat(&self.directory, SCOPES, Mode::from_bits_truncate(0o700)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(HomeError::system("make", &path)(errno)),
        }
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        openat(&self.directory, SCOPES, flags, Mode::empty()).map_err(HomeError::system("open", &path))
    }

    /// Nothing of the registrar is left but an empty directory.
    pub(super) fn leave(self) {
        // Each may be gone already; the lock's file goes last, while the lock is still held.
        let _gone = unlinkat(&self.directory, SCOPES, UnlinkatFlags::RemoveDir);
        let _gone = unlinkat(&self.directory, LOCK, UnlinkatFlags::NoRemoveDir);
    }
}

fn try_lock(directory: &OwnedFd, path: &Path) -> Result<Flock<File>, HomeError> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let not_safe = || HomeError::Unsafe { path: path.to_owned(), what: "is no file of root's".to_owned() };
    let mut file = match openat(directory, LOCK, flags, Mode::from_bits_truncate(0o644)) {
        Ok(file) => File::from(file),
        Err(Errno::ELOOP | Errno::EISDIR | Errno::ENXIO) => return Err(not_safe()),
        Err(errno) => return Err(HomeError::system("open", path)(errno)),
    };
    if !file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.uid() == 0) {
        return Err(not_safe());
    }
    let mut text = String::new();
    let _may_be_empty = file.read_to_string(&mut text);
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EAGAIN)) => Err(HomeError::Held { pid: text.trim().parse().unwrap_or(0) }),
        Err((_, errno)) => Err(HomeError::system("lock", path)(errno)),
    }
}

/// Who holds the lock in `path`, as far as it says so; for a client that finds no socket.
pub(super) fn holder(path: &Path) -> Option<u32> {
    let file =
        File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path.join(LOCK));
    let mut file = file.ok()?;
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Err((_, Errno::EAGAIN)) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Opens a directory of root's that nobody else can write, made (mode 0755) if only its last part is missing.
fn own_directory(path: &Path) -> Result<OwnedFd, HomeError> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
    match nix::unistd::mkdir(path, Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(HomeError::system("make", path)(errno)),
    }
    let not_safe = |what: &str| HomeError::Unsafe { path: path.to_owned(), what: what.to_owned() };
    let directory = match open(path, flags, Mode::empty()) {
        Ok(directory) => File::from(directory),
        Err(Errno::ENOTDIR | Errno::ELOOP) => return Err(not_safe("is no directory")),
        Err(errno) => return Err(HomeError::system("open", path)(errno)),
    };
    let metadata = directory.metadata().map_err(|source| HomeError::System {
        what: "look at",
        path: path.to_owned(),
        source,
    })?;
    if metadata.uid() != 0 {
        return Err(not_safe(&format!("belongs to user {}", metadata.uid())));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(not_safe(&format!("can be written by others (mode {:04o})", metadata.mode() & 0o7777)));
    }
    Ok(directory.into())
}

/// The socket that clients connect to.
#[derive(Debug)]
pub(super) struct Listener {
    /// Does not wait.
    pub(super) socket: OwnedFd,
    directory: OwnedFd,
    name: PathBuf,
}

impl Listener {
    /// Makes the socket at `path`, for everybody to connect to. A socket of root's that is there already is one that a
    /// registrar of before has left (the caller holds the lock); anything else is left as it is, and refused.
    pub(super) fn open(path: &Path) -> Result<Self, HomeError> {
        let system = |what| HomeError::system(what, path);
        let not_safe = |what: &str| HomeError::Unsafe { path: path.to_owned(), what: what.to_owned() };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(not_safe("is no path of a socket"));
        };
        let directory = own_directory(parent)?;
        match fstatat(&directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(system("look at")(errno)),
            Ok(found) if found.st_mode & libc::S_IFMT == libc::S_IFSOCK && found.st_uid == 0 => {
                unlinkat(&directory, name, UnlinkatFlags::NoRemoveDir).map_err(system("remove the old"))?;
            }
            Ok(_) => return Err(not_safe("is there and is no socket of root's")),
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).map_err(system("make"))?;
        // By the directory's descriptor: the place is the one that was looked at. bind(2) makes a new object or fails.
        let through = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
        let address = UnixAddr::new(&through).map_err(system("bind"))?;
        bind(socket.as_raw_fd(), &address).map_err(system("bind"))?;
        let all = Mode::from_bits_truncate(0o666);
        fchmodat(&directory, name, all, FchmodatFlags::FollowSymlink).map_err(system("open to everybody"))?;
        let backlog = Backlog::new(BACKLOG).unwrap_or(Backlog::MAXCONN);
        listen(&socket.as_fd(), backlog).map_err(system("listen on"))?;
        Ok(Self { socket, directory, name: name.into() })
    }

    /// Removes the socket's name.
    pub(super) fn remove(&self) {
        let _gone = unlinkat(&self.directory, &self.name, UnlinkatFlags::NoRemoveDir);
    }
}
