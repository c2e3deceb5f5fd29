//! The few system calls of the reaper, made directly: x86_64 Linux, numbers of syscall_64.tbl.

use core::arch::asm;

pub const READ: usize = 0;
pub const WRITE: usize = 1;
pub const CLOSE: usize = 3;
pub const POLL: usize = 7;
pub const PREAD64: usize = 17;
pub const EXIT_GROUP: usize = 231;
pub const WAIT4: usize = 61;
pub const KILL: usize = 62;
pub const PRCTL: usize = 157;
pub const GETPID: usize = 39;
pub const GETPGID: usize = 121;
pub const FCHMODAT: usize = 268;
pub const GETDENTS64: usize = 217;
pub const OPENAT: usize = 257;
pub const UNLINKAT: usize = 263;
pub const RT_SIGPROCMASK: usize = 14;
pub const SIGNALFD4: usize = 289;

pub const ECHILD: isize = -10;
pub const EINTR: isize = -4;
pub const AT_FDCWD: isize = -100;
pub const O_DIRECTORY_CLOEXEC: usize = 0o200_0000 | 0o20_0000;
pub const O_NOFOLLOW: usize = 0o40_0000;
pub const O_CLOEXEC: usize = 0o200_0000;
pub const O_WRONLY: usize = 1;
pub const AT_REMOVEDIR: usize = 0x200;

#[repr(C)]
pub struct PollFd {
    pub fd: i32,
    pub events: i16,
    pub revents: i16,
}
pub const POLLIN: i16 = 1;

/// Makes system call `number`. Unused arguments are zero.
///
/// # Safety
/// Pointers among the arguments must be valid for what the call does with them.
pub unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: the x86_64 Linux convention: rcx and r11 are clobbered, memory may be written through the caller's
    // pointers, which the caller vouches for.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            out("rcx") _, out("r11") _, options(nostack));
    }
    result
}

pub fn read(fd: i32, buffer: &mut [u8]) -> isize {
    // SAFETY: the buffer is valid for its length.
    unsafe { call(READ, fd as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0) }
}

pub fn pread(fd: i32, buffer: &mut [u8]) -> isize {
    // SAFETY: the buffer is valid for its length.
    unsafe { call(PREAD64, fd as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0) }
}

pub fn write(fd: i32, buffer: &[u8]) -> isize {
    // SAFETY: the buffer is valid for its length.
    unsafe { call(WRITE, fd as usize, buffer.as_ptr() as usize, buffer.len(), 0) }
}

pub fn close(fd: i32) {
    // SAFETY: no pointers.
    unsafe { call(CLOSE, fd as usize, 0, 0, 0) };
}

pub fn poll(fds: &mut [PollFd], timeout_ms: i32) -> isize {
    // SAFETY: the slice is valid for its length.
    unsafe { call(POLL, fds.as_mut_ptr() as usize, fds.len(), timeout_ms as isize as usize, 0) }
}

pub fn kill(pid: i32, signal: i32) -> isize {
    // SAFETY: no pointers.
    unsafe { call(KILL, pid as isize as usize, signal as usize, 0, 0) }
}

pub fn wait4(status: &mut i32, options: i32) -> isize {
    // SAFETY: status is valid for a write of four bytes; rusage is null.
    unsafe { call(WAIT4, usize::MAX, core::ptr::from_mut(status) as usize, options as usize, 0) }
}

pub fn getpid() -> i32 {
    // SAFETY: no pointers.
    unsafe { call(GETPID, 0, 0, 0, 0) as i32 }
}

pub fn getpgid(pid: i32) -> isize {
    // SAFETY: no pointers.
    unsafe { call(GETPGID, pid as usize, 0, 0, 0) }
}

pub fn fchmodat(dir: i32, name: &[u8], mode: usize) {
    debug_assert!(name.contains(&0));
    // SAFETY: callers pass NUL-terminated names.
    unsafe { call(FCHMODAT, dir as usize, name.as_ptr() as usize, mode, 0) };
}

pub fn prctl(option: usize, value: usize) -> isize {
    // SAFETY: the options used here take plain numbers.
    unsafe { call(PRCTL, option, value, 0, 0) }
}

/// Opens `path`, which must end in a NUL byte.
pub fn openat(dir: isize, path: &[u8], flags: usize) -> isize {
    debug_assert!(path.last() == Some(&0));
    // SAFETY: callers pass NUL-terminated paths.
    unsafe { call(OPENAT, dir as usize, path.as_ptr() as usize, flags, 0) }
}

/// Removes `name`, a NUL-terminated string at this address, from `dir`.
///
/// # Safety
/// `name` must point to a NUL-terminated string.
pub unsafe fn unlinkat(dir: i32, name: *const u8, flags: usize) -> isize {
    // SAFETY: the caller vouches for the string.
    unsafe { call(UNLINKAT, dir as usize, name as usize, flags, 0) }
}

pub fn getdents(fd: i32, buffer: &mut [u8]) -> isize {
    // SAFETY: the buffer is valid for its length.
    unsafe { call(GETDENTS64, fd as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0) }
}

/// Blocks every signal and returns a descriptor that becomes readable when a child changes state.
pub fn child_events() -> isize {
    let all = u64::MAX;
    let child = 1u64 << 16; // SIGCHLD = 17
    // SAFETY: both sets are eight bytes and outlive the calls; 0o2000000 | 0o4000 = SFD_CLOEXEC | SFD_NONBLOCK.
    unsafe {
        call(RT_SIGPROCMASK, 0, core::ptr::from_ref(&all) as usize, 0, 8);
        call(SIGNALFD4, usize::MAX, core::ptr::from_ref(&child) as usize, 8, 0o200_4000)
    }
}

pub fn exit(status: i32) -> ! {
    loop {
        // SAFETY: does not return.
        unsafe { call(EXIT_GROUP, status as usize, 0, 0, 0) };
    }
}
