//! The reaper: pid 1 of a run, or, with the argument `sweep`, the process that tidies up after a supervisor that
//! was killed.
//!
//! It is executed from a sealed copy with an empty environment and holds nothing but the descriptors below, so
//! there is no secret in it to take. It stands outside the run's Landlock domain: the run can neither signal nor
//! trace it.
//!
//! `reap COMMAND-PID`: descriptor 3 is read: each byte is a signal to pass to the command's process group (255: kill
//! everything), the end of the file means that the supervisor is gone. Descriptor 4 is written: records of [`RECORD`] bytes.
//! `sweep CGROUP SCRATCH`: descriptor 3 as above (any byte: nothing left to do); 4 is the directory in which the
//! run's cgroup is, 5 the one in which its directory for temporary files is. An empty name: there is none.

#![no_std]
#![no_main]

mod processes;
mod sweep;
mod sys;

use sys::PollFd;

/// Size of a record: kind, three bytes of padding, an `i32`, a 16-byte name.
const RECORD: usize = 24;
const SUPERVISOR: i32 = 3;
const REPORT: i32 = 4;

/// In place of a signal: kill everything and report.
const END_ALL: u8 = 255;

const WNOHANG: i32 = 1;
const WUNTRACED: i32 = 2;
const WCONTINUED: i32 = 8;
const SIGKILL: i32 = 9;
const PR_SET_DUMPABLE: usize = 4;
const PR_SET_NAME: usize = 15;

core::arch::global_asm!(".globl _start", "_start:", "mov rdi, rsp", "and rsp, -16", "call {main}", "ud2", main = sym main);

/// # Safety
/// Called once by `_start` with the initial stack: argc, then argv.
unsafe extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: the kernel lays out argc and then argc pointers to NUL-terminated strings (execve(2)).
    let argument = |n: usize| unsafe { if n < *stack { terminated(*stack.add(1 + n) as *const u8) } else { &[0] } };
    sys::prctl(PR_SET_DUMPABLE, 0);
    let child_events = sys::child_events();
    match argument(1).first() {
        Some(b'r') => {
            sys::prctl(PR_SET_NAME, c"keyblind-reaper".as_ptr() as usize);
            reap(number(argument(2)), child_events as i32)
        }
        _ => {
            sys::prctl(PR_SET_NAME, c"keyblind-sweep".as_ptr() as usize);
            sweep::sweep(argument(2), argument(3))
        }
    }
}

/// The string at `start` with its NUL.
///
/// # Safety
/// `start` must point to a NUL-terminated string that lives as long as this process.
unsafe fn terminated(start: *const u8) -> &'static [u8] {
    let mut length = 1;
    // SAFETY: the caller vouches for every byte up to the NUL. A volatile read, since the compiler would make a call
    // to strlen of this loop.
    unsafe {
        while start.add(length - 1).read_volatile() != 0 {
            length += 1;
        }
        core::slice::from_raw_parts(start, length)
    }
}

fn number(digits: &[u8]) -> i32 {
    digits.iter().take_while(|byte| byte.is_ascii_digit()).fold(0, |sum, byte| sum * 10 + i32::from(byte - b'0'))
}

fn reap(command: i32, child_events: i32) -> ! {
    let mut fds = [
        PollFd { fd: SUPERVISOR, events: sys::POLLIN, revents: 0 },
        PollFd { fd: child_events, events: sys::POLLIN, revents: 0 },
    ];
    let mut buffer = [0u8; 256];
    loop {
        let mut end = collect(command);
        if end == End::NotYet {
            sys::poll(&mut fds, -1);
            sys::read(child_events, &mut buffer);
            if fds[0].revents == 0 {
                continue;
            }
            let n = sys::read(SUPERVISOR, &mut buffer);
            if n == 0 || (n < 0 && n != sys::EINTR) {
                end_all(command, false);
                sys::exit(1);
            }
            let signals = &buffer[..n.max(0) as usize];
            if !signals.contains(&END_ALL) {
                signals.iter().for_each(|signal| pass_on(command, i32::from(*signal)));
                continue;
            }
            end = End::Asked;
        }
        let (killed, last) = end_all(command, true);
        let status = match end {
            End::Status(status) => status,
            _ => last,
        };
        report(b'E', status, &[]);
        report(b'N', killed, &[]);
        sys::exit(0);
    }
}

/// To the command's process group, as a terminal would; and to the command itself when it has left its group.
fn pass_on(command: i32, signal: i32) {
    let group = sys::getpgid(command) as i32;
    if group != command {
        sys::kill(command, signal);
    }
    sys::kill(-command, signal);
}

#[derive(PartialEq)]
enum End {
    NotYet,
    /// The command ended with this wait status.
    Status(i32),
    /// The supervisor wants the run ended.
    Asked,
}

/// Waits for everything that has changed state.
fn collect(command: i32) -> End {
    let mut ended = End::NotYet;
    loop {
        let mut status = 0;
        let pid = sys::wait4(&mut status, WNOHANG | WUNTRACED | WCONTINUED);
        if pid == sys::EINTR {
            continue;
        }
        if pid == sys::ECHILD && ended == End::NotYet {
            // Nobody is left, and nobody said how the command ended.
            return End::Status(SIGKILL);
        }
        if pid <= 0 {
            return ended;
        }
        if pid as i32 != command {
            continue;
        }
        match status & 0xff {
            0x7f => report(b'S', (status >> 8) & 0xff, &[]),
            0xff if status == 0xffff => report(b'C', 0, &[]),
            _ => ended = End::Status(status),
        }
    }
}

/// Kills and waits for every process that is left. It is over when there is nobody to wait for: orphans come to
/// this process, so none can be missed by having moved. Returns how many there were besides the command, and the
/// command's wait status if it was among them.
fn end_all(command: i32, name_them: bool) -> (i32, i32) {
    let (mut killed, mut last) = (0, SIGKILL);
    let mut names = name_them;
    loop {
        let mut status = 0;
        let mut pid = sys::wait4(&mut status, WNOHANG);
        if pid == 0 {
            kill_children(command, names);
            names = false;
            pid = sys::wait4(&mut status, 0);
        }
        if pid == sys::ECHILD {
            return (killed, last);
        }
        if pid as i32 == command {
            last = status;
        } else if pid > 0 {
            killed += 1;
        }
    }
}

fn kill_children(command: i32, names: bool) {
    let name = |pid: i32, name: &[u8]| {
        if names && pid != command {
            report(b'K', pid, name);
        }
    };
    if sys::getpid() == 1 {
        if names {
            processes::each_child_of(1, name);
        }
        sys::kill(-1, SIGKILL);
    } else {
        processes::each_child_of(sys::getpid(), |pid, comm| {
            name(pid, comm);
            sys::kill(pid, SIGKILL);
        });
    }
}

fn report(kind: u8, value: i32, name: &[u8]) {
    let mut record = [0u8; RECORD];
    record[0] = kind;
    record[4..8].copy_from_slice(&value.to_ne_bytes());
    let length = name.len().min(16);
    record[8..8 + length].copy_from_slice(&name[..length]);
    // A supervisor that is gone reads nothing; the end of its pipe is seen by the caller.
    sys::write(REPORT, &record);
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    sys::exit(70)
}

/// # Safety
/// As memcpy(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller vouches for both ranges. `rep movsb` keeps the compiler from calling memcpy in here.
    unsafe { core::arch::asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack)) };
    to
}

/// # Safety
/// As memset(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    // SAFETY: the caller vouches for the range.
    unsafe { core::arch::asm!("rep stosb", inout("rcx") count => _, inout("rdi") to => _, in("al") value as u8, options(nostack)) };
    to
}

/// # Safety
/// As memcmp(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    let mut at = 0;
    while at < count {
        // SAFETY: the caller vouches for both ranges. A volatile read keeps the compiler from calling memcmp in here.
        let (x, y) = unsafe { (a.add(at).read_volatile(), b.add(at).read_volatile()) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
        at += 1;
    }
    0
}

/// # Safety
/// As bcmp(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    // SAFETY: the same contract.
    unsafe { memcmp(a, b, count) }
}
