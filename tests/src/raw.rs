//! System calls by number, for the helper programs: what they try has no wrapper, or must not go through one.

use std::os::fd::{FromRawFd, OwnedFd};

use nix::errno::Errno;

/// One argument of a system call.
#[derive(Debug)]
pub enum Arg<'a> {
    Int(i64),
    /// The kernel reads this.
    In(&'a [u8]),
    /// The kernel writes this.
    Out(&'a mut [u8]),
}

/// Makes the system call `number` and returns what it returned.
///
/// # Errors
/// With what the kernel said.
pub fn call<const N: usize>(number: libc::c_long, args: [Arg<'_>; N]) -> Result<i64, Errno> {
    let mut words: [libc::c_long; 6] = [0; 6];
    for (word, arg) in words.iter_mut().zip(args) {
        *word = match arg {
            Arg::Int(value) => value,
            Arg::In(bytes) => bytes.as_ptr() as libc::c_long,
            Arg::Out(bytes) => bytes.as_mut_ptr() as libc::c_long,
        };
    }
    // SAFETY: every pointer among the words is a borrow that the caller holds until this returns, and the sizes that
    // the callers pass beside it are those buffers' own; no caller asks for a call that changes this program's mappings
    // under Rust's feet.
    let returned =
        unsafe { libc::syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]) };
    if returned == -1 { Err(Errno::last()) } else { Ok(returned) }
}

/// A descriptor of a process (pidfd_open(2)): readable once the process has ended.
///
/// # Errors
/// With what the kernel said.
pub fn pidfd(pid: u32) -> Result<OwnedFd, Errno> {
    let number = call(libc::SYS_pidfd_open, [Arg::Int(i64::from(pid)), Arg::Int(0)])?;
    let number = i32::try_from(number).or(Err(Errno::EBADF))?;
    // SAFETY: the kernel has just returned this number as a new descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Sets the signals back that a caller such as nohup(1), or a shell without job control, left ignored: a command
/// would inherit that, and a test of signals would test nothing.
pub fn default_signals() {
    for signal in [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGTERM,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
    ] {
        // SAFETY: SIG_DFL runs no code of this program, and nothing here has handlers for these signals.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Sets no_new_privs and installs a seccomp filter, which every later program inherits.
///
/// # Errors
/// With what the kernel said.
pub fn install_filter(program: &[libc::sock_filter]) -> Result<(), Errno> {
    const SET_MODE_FILTER: i64 = 1;
    let length = u16::try_from(program.len()).or(Err(Errno::E2BIG))?;
    let header = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    let header_at = std::ptr::from_ref(&header) as i64;
    call(
        libc::SYS_prctl,
        [Arg::Int(i64::from(libc::PR_SET_NO_NEW_PRIVS)), Arg::Int(1), Arg::Int(0), Arg::Int(0), Arg::Int(0)],
    )?;
    call(libc::SYS_seccomp, [Arg::Int(SET_MODE_FILTER), Arg::Int(0), Arg::Int(header_at)]).map(drop)
}
