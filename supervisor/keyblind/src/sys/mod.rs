//! Safe wrappers over the system calls that nix does not have. The only module, with `spawn::child` and
//! `spawn::mounts`, in which `unsafe` may stand.
#![expect(
    unsafe_code,
    clippy::multiple_unsafe_ops_per_block,
    reason = "raw system calls; a step of several is one block"
)]

pub(crate) mod bpf;
mod packet;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub(crate) use packet::{receive, unhurried_identity, unhurried_stat};

/// Takes ownership of a descriptor that a system call has just returned.
pub(crate) fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the callers pass what a system call returned to them as a new descriptor, once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A file in memory with `content`, closed on exec, sealed against every change (memfd_create(2)).
pub(crate) fn sealed_copy(name: &str, content: &[u8]) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = File::from(fd);
    file.write_all(content)?;
    let seals =
        SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

/// Whether the process of `pidfd` has ended. A pidfd is readable from then on (pidfd_open(2)).
pub(crate) fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// The signal mask of this thread.
pub(crate) fn signal_mask() -> libc::sigset_t {
    // SAFETY: sigset_t is plain data, and a null set with any `how` only reads the mask (pthread_sigmask(3)).
    unsafe {
        let mut mask = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask);
        mask
    }
}

/// Makes orphans of this process's descendants its own children (prctl(2), PR_SET_CHILD_SUBREAPER).
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Bytes that are waiting in a pipe or terminal (FIONREAD, ioctl_pipe(2), ioctl_tty(2)).
pub(crate) fn waiting(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the number outlives the call.
    if unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &mut count) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Landlock's ABI version; 0 when the kernel has none or it is switched off (landlock_create_ruleset(2)).
pub(crate) fn landlock_abi() -> u32 {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: a null attribute of size 0 with this flag asks for the version.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(version).unwrap_or(0)
}

/// Makes this process hard to look into: not dumpable, so that its files in /proc belong to root and nobody of the
/// same user may trace it; no core dump. A file size limit makes writes fail instead of killing it.
pub(crate) fn harden() -> io::Result<()> {
    // SAFETY: ignoring a signal runs no handler.
    unsafe { nix::sys::signal::signal(Signal::SIGXFSZ, nix::sys::signal::SigHandler::SigIgn) }?;
    nix::sys::prctl::set_dumpable(false)?;
    // 1, since 0 does not stop a dump that goes to a pipe (core(5)); a caller that has 0 cannot raise it.
    let (_, most) = getrlimit(Resource::RLIMIT_CORE)?;
    let limit = most.min(1);
    setrlimit(Resource::RLIMIT_CORE, limit, limit)?;
    Ok(())
}

/// Overwrites this process's own environment block, which /proc/PID/environ shows to whoever may look. The
/// variables are gone from this process afterwards. Call before there is a second thread.
pub(crate) fn overwrite_environment() -> io::Result<()> {
    // Fields 50 and 51 of proc_pid_stat(5), env_start and env_end: where the kernel reads /proc/PID/environ.
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let field =
        |number: usize| fields.get(number - 3).and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
    let (start, end) = (field(50), field(51));
    if start == 0 || end < start {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "/proc/self/stat does not say where it is"));
    }
    // SAFETY: the kernel put the block there for this process alone and nothing else lies in it; the pointers into
    // it are dropped by clearenv in the same breath, and there is one thread.
    unsafe {
        libc::clearenv();
        std::ptr::write_bytes(start as *mut u8, 0, end - start);
    }
    // Another mapping of the same page does not exist, but the compiler must not drop the write either.
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
    Ok(())
}

/// The window size of a terminal (ioctl_tty(2)).
pub(crate) fn terminal_size(fd: BorrowedFd<'_>) -> io::Result<libc::winsize> {
    // SAFETY: winsize is plain data and outlives the call.
    unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        if libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &mut size) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(size)
    }
}

/// Sets the window size of a terminal; its foreground process group gets SIGWINCH from the kernel.
pub(crate) fn set_terminal_size(fd: BorrowedFd<'_>, size: &libc::winsize) -> io::Result<()> {
    // SAFETY: the structure outlives the call.
    if unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSWINSZ, size) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Something that owns a descriptor, as tokio can wait for it.
pub(crate) trait Owner: AsRawFd {}
impl Owner for File {}
impl Owner for OwnedFd {}
impl Owner for crate::guard::Tripwires {}
impl Owner for crate::guard::AddressGuard {}
impl Owner for crate::run::RunScope {}

/// Lets the runtime say when `owner` can be read. Call inside a runtime.
pub(crate) fn readiness<T: Owner>(owner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: the descriptor stays open and the same until `owner` is dropped, which is what `Owner` says, and the
    // runtime forgets it before that.
    unsafe { AsyncFd::register_with_interest(owner, Interest::READABLE) }.map_err(io::Error::from)
}

/// As [`readiness`], for what the kernel calls priority data: changes of files of procfs and cgroupfs (poll(2), POLLPRI).
pub(crate) fn attention<T: Owner>(owner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: as in `readiness`: the descriptor stays open and the same until `owner` is dropped.
    unsafe { AsyncFd::register_with_interest(owner, Interest::PRIORITY) }.map_err(io::Error::from)
}
