//! The child, from fork to exec.
//!
//! Law of this file: no allocation, no lock, no formatting, no logging, nothing that parses or resolves. Between
//! fork and exec another thread's lock may be held for ever in this copy of the process. Every input is a C
//! string, a descriptor or a number that the parent made; every failure is one record {step, index, errno} and
//! `_exit`; the parent writes the prose.
//!
//! Two processes come of it: the first builds the tree, forks the second, and becomes the reaper; the second
//! becomes the command.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::mounts;
use super::prepared::{Identity, Prepared};
use super::step::Step;

/// Descriptors that only the child and its parent's half know.
pub(super) struct Plumbing {
    pub(super) reaper: RawFd,
    pub(super) control: RawFd,
    pub(super) report: RawFd,
    pub(super) error: RawFd,
    pub(super) release: RawFd,
    /// Closes when the first process has become the reaper.
    pub(super) ready: (RawFd, RawFd),
    /// Write ends whose other copy the parent keeps: closed at once, so that the parent's death is seen.
    pub(super) parents_ends: [RawFd; 2],
}

/// Size of a failure record.
pub(super) const FAILURE: usize = 8;

/// What a child's last words mean.
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) index: usize,
    pub(super) errno: i32,
}

impl Failure {
    pub(super) fn parse(record: &[u8; FAILURE]) -> Self {
        Self {
            step: Step::from_number(u16::from_ne_bytes([record[0], record[1]])),
            index: usize::from(u16::from_ne_bytes([record[2], record[3]])),
            errno: i32::from_ne_bytes([record[4], record[5], record[6], record[7]]),
        }
    }
}

/// linux/sched.h; libc's constant is of a type too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Header and sets of capset(2): _LINUX_CAPABILITY_VERSION_3 of linux/capability.h, two words for each of the three
/// sets, all empty.
static CAPABILITIES: [u32; 2] = [0x2008_0522, 0];
static NO_CAPABILITY: [u32; 6] = [0; 6];

/// Status of a child that failed; nobody reads it, the record says more.
const GAVE_UP: i32 = 125;

/// Where a failing step reports to. Copied around freely: it is one descriptor.
#[derive(Clone, Copy)]
pub(super) struct Report(RawFd);

impl Report {
    fn fail(self, step: Step, index: usize, errno: i32) -> ! {
        self.say(step, index, errno);
        // SAFETY: async-signal-safe (signal-safety(7)).
        unsafe { libc::_exit(GAVE_UP) }
    }

    fn say(self, step: Step, index: usize, errno: i32) {
        let mut record = [0u8; FAILURE];
        record[..2].copy_from_slice(&(step as u16).to_ne_bytes());
        record[2..4].copy_from_slice(&(index.min(0xffff) as u16).to_ne_bytes());
        record[4..].copy_from_slice(&errno.to_ne_bytes());
        // SAFETY: the buffer is valid for its length; write is async-signal-safe (signal-safety(7)).
        unsafe { libc::write(self.0, record.as_ptr().cast(), FAILURE) };
    }

    /// Ends this process unless `result` is a success.
    pub(super) fn check(self, step: Step, index: usize, result: libc::c_long) -> libc::c_long {
        if result < 0 {
            self.fail(step, index, errno());
        }
        result
    }
}

pub(super) fn errno() -> i32 {
    // SAFETY: the location is valid for this thread.
    unsafe { *libc::__errno_location() }
}

/// Clones the first process. Returns its pid and pidfd in the parent only.
pub(super) fn clone(prepared: &Prepared, plumbing: &Plumbing) -> io::Result<(i32, OwnedFd)> {
    let mut pidfd: RawFd = -1;
    let flags = prepared.namespaces | libc::CLONE_PIDFD as u64;
    // Signals wait: a handler of the parent's must not run in the child, and the child must not be stopped
    // half-way by a signal that was meant for the command.
    // SAFETY: a full set outlives both calls.
    let mut old: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: both sets are valid.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &all, &mut old);
    }
    let pid = match &prepared.cgroup {
        Some(cgroup) => {
            // SAFETY: clone_args is plain data; zero is "not used" for every field.
            let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
            args.flags = flags | CLONE_INTO_CGROUP;
            args.pidfd = ptr::from_mut(&mut pidfd) as u64;
            args.exit_signal = libc::SIGCHLD as u64;
            args.cgroup = cgroup.as_raw_fd() as u64;
            // SAFETY: without CLONE_VM the child has its own copy of memory and runs only `first`, which keeps the
            // law above.
            unsafe {
                libc::syscall(libc::SYS_clone3, ptr::from_mut(&mut args), size_of::<libc::clone_args>())
            }
        }
        // The older call where it is enough: container runtimes answer clone3 with ENOSYS.
        // SAFETY: a fork without a stack of its own, that runs only `first`; the pidfd outlives the call (clone(2)).
        None => unsafe {
            libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD as u64, 0, ptr::from_mut(&mut pidfd), 0, 0)
        },
    };
    if pid == 0 {
        first(prepared, plumbing);
    }
    let failed = (pid < 0).then(io::Error::last_os_error);
    // SAFETY: `old` was filled above.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &old, ptr::null_mut()) };
    match failed {
        Some(error) => Err(error),
        // SAFETY: the kernel stored a new descriptor that nobody else owns.
        None => Ok((pid as i32, unsafe { OwnedFd::from_raw_fd(pidfd) })),
    }
}

/// The first process: everything that both processes share, then the fork, then the reaper.
fn first(prepared: &Prepared, plumbing: &Plumbing) -> ! {
    let report = Report(plumbing.error);
    let check = |step, result: libc::c_long| report.check(step, 0, result);
    // First, so that the parent's death is seen from here on.
    for fd in plumbing.parents_ends {
        // SAFETY: a plain descriptor number.
        unsafe { libc::close(fd) };
    }
    if let Some(gate) = &prepared.gate {
        // SAFETY: a plain descriptor number.
        unsafe { libc::close(gate.parent) };
    }
    // A session of its own: the command must have no way to the caller's terminal.
    // SAFETY: no arguments.
    check(Step::Session, unsafe { libc::setsid() }.into());
    // A caller that ignores SIGCHLD would make the reaper deaf; ignoring survives exec.
    // SAFETY: the default action runs no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    // Before any other process exists: without a PID namespace, orphans go to the host's pid 1.
    // SAFETY: plain numbers.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    // Before the mounts: they look sources up with the rights of the run's user, whose groups are these.
    if matches!(prepared.identity, Identity::Switch { .. }) {
        // SAFETY: a null list of length 0. A raw call: the C library's would signal threads that are not here.
        check(Step::Groups, unsafe { libc::syscall(libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>()) });
    }
    // Before the mounts: they need the capabilities that a mapped id has in the new user namespace.
    if let Identity::Mapped { uid_map, gid_map } = &prepared.identity {
        map_ids(report, uid_map, gid_map);
    }
    if let Some(terminal) = &prepared.descriptors.terminal {
        // SAFETY: an open terminal; the argument 0 does not steal it from another session.
        check(Step::Terminal, unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) }.into());
    }
    // The tree's modes are meant as written; the command gets the caller's mask back.
    // SAFETY: no pointers.
    unsafe { libc::umask(0) };
    if !prepared.mounts.is_empty() {
        mounts::build(report, prepared);
    }
    if prepared.loopback {
        bring_up_loopback(report);
    }
    // After the tree is complete and before anybody could open in it.
    if let Some(marks) = &prepared.marks {
        for (index, (path, mask)) in marks.objects.iter().enumerate() {
            // SAFETY: a fanotify descriptor and a NUL-terminated path.
            let result = unsafe {
                libc::fanotify_mark(
                    marks.group.as_raw_fd(),
                    libc::FAN_MARK_ADD,
                    *mask,
                    libc::AT_FDCWD,
                    path.as_ptr(),
                )
            };
            report.check(Step::Mark, index, result.into());
        }
    }
    for (index, (resource, limit)) in prepared.limits.iter().enumerate() {
        // Never above what the caller has: only lowering needs no privilege.
        // SAFETY: rlimit is plain data and outlives both calls.
        let result = unsafe {
            let mut have: libc::rlimit = std::mem::zeroed();
            libc::getrlimit(*resource, &mut have);
            let limit = (*limit).min(have.rlim_max);
            libc::setrlimit(*resource, &libc::rlimit { rlim_cur: limit, rlim_max: limit })
        };
        report.check(Step::Limits, index, result.into());
    }
    drop_privileges(report, prepared);
    // After the last change of credentials, which clears it. Without a PID namespace the reaper must outlive the
    // supervisor for as long as it takes to kill the run; it watches the control pipe instead.
    if prepared.namespaces != 0 {
        // SAFETY: plain numbers.
        check(Step::DeathSignal, unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }.into());
    }
    if let Some(gate) = &prepared.gate {
        show_root(report, gate.child.as_raw_fd());
    }
    // SAFETY: no arguments.
    let reaper = unsafe { libc::getpid() };
    // SAFETY: a plain fork: both sides keep the law above.
    let command = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if check(Step::Fork, command) == 0 {
        second(prepared, plumbing, reaper);
    }
    become_reaper(report, plumbing, command);
}

/// Maps the caller's ids to themselves. The supervisor is not dumpable, so its child's files in /proc belong to
/// root until it is dumpable again; it holds no secret (they live in memory that is not copied by fork).
fn map_ids(report: Report, uid_map: &CStr, gid_map: &CStr) {
    // SAFETY: plain numbers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
    // user_namespaces(7): setgroups must be denied before an unprivileged gid_map is accepted.
    for (index, (path, text)) in [
        (c"/proc/self/setgroups", c"deny"),
        (c"/proc/self/uid_map", uid_map),
        (c"/proc/self/gid_map", gid_map),
    ]
    .into_iter()
    .enumerate()
    {
        // SAFETY: NUL-terminated paths; the text is valid for its length.
        unsafe {
            let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            report.check(Step::MapIds, index, fd.into());
            let written = libc::write(fd, text.as_ptr().cast(), text.count_bytes());
            report.check(Step::MapIds, index, written as libc::c_long);
            libc::close(fd);
        }
    }
    // SAFETY: plain numbers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
}

fn bring_up_loopback(report: Report) {
    // SAFETY: ifreq is plain data; the name is shorter than its array; the socket is closed again.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        report.check(Step::Loopback, 0, socket.into());
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        report.check(Step::Loopback, 1, libc::ioctl(socket, libc::SIOCSIFFLAGS, &request).into());
        libc::close(socket);
    }
}

/// Hands the root directory to the parent and waits for its byte. An end instead of the byte means that the parent is gone
/// or has given up.
fn show_root(report: Report, gate: RawFd) {
    // SAFETY: the structures are plain data and outlive the call; the control buffer is aligned for a header and has room
    // for one descriptor (cmsg(3)); the descriptor is closed again.
    unsafe {
        let root = libc::open(c"/".as_ptr(), libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC);
        report.check(Step::Gate, 0, root.into());
        let mut byte = [b'.'];
        let mut bytes = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        let mut room = [0u64; 4];
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut bytes;
        message.msg_iovlen = 1;
        message.msg_control = room.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as libc::c_uint) as usize;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as libc::c_uint) as usize;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(root);
        let sent = libc::sendmsg(gate, &message, libc::MSG_NOSIGNAL);
        report.check(Step::Gate, 1, sent as libc::c_long);
        libc::close(root);
    }
    wait_for(gate, true);
}

/// Bounding set, groups, ids, capabilities, no_new_privs: each needs what the next takes away.
fn drop_privileges(report: Report, prepared: &Prepared) {
    let check = |step, result: libc::c_long| report.check(step, 0, result);
    // Dropping a bit needs CAP_SETPCAP; without it there is nothing that exec could raise past no_new_privs.
    // SAFETY: plain numbers; EINVAL ends the list of capabilities that this kernel knows.
    unsafe {
        let mut capability: libc::c_ulong = 0;
        while capability < 64 && libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) == 0 {
            capability += 1;
        }
        if !matches!(prepared.identity, Identity::Same) && capability < 38 {
            report.fail(Step::BoundingSet, 0, errno());
        }
    }
    if let Identity::Switch { uid, gid } = prepared.identity {
        // Raw calls, as for the groups.
        // SAFETY: plain numbers.
        check(Step::Ids, unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) });
        // SAFETY: plain numbers.
        check(Step::Ids, unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) });
    }
    // SAFETY: plain numbers.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    // SAFETY: header and sets have the layout that version 3 defines and outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, CAPABILITIES.as_ptr(), NO_CAPABILITY.as_ptr()) };
    check(Step::Capabilities, result);
    // SAFETY: plain numbers.
    check(Step::NoNewPrivileges, unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into());
}

/// Starts the process that tidies up after a supervisor that was killed. `kept` become its descriptors 3, 4 and 5.
pub(super) fn sweeper(
    reaper: RawFd,
    kept: [RawFd; 3],
    parents_end: RawFd,
    names: [CString; 2],
) -> io::Result<libc::pid_t> {
    // Memory is lent, not copied: to copy the page tables of this process would be most of what a sweeper costs. It is
    // never taken back, since nobody can tell when the child has stopped using it.
    let [first, second] = names.map(CString::into_raw);
    let argv = [c"keyblind-sweeper".as_ptr(), c"sweep".as_ptr(), first, second, ptr::null()];
    let sweeper = Box::leak(Box::new(Sweeper { reaper, kept, parents_end, argv, envp: [ptr::null()] }));
    let stack = Box::leak(vec![0u128; SWEEPERS_STACK / size_of::<u128>()].into_boxed_slice());
    // SAFETY: the child has a stack of its own, aligned for any ABI, reads `sweeper`, which nobody writes, and touches
    // nothing else of this memory (`sweep`). Its signal mask is full, so that no handler runs in it and a Ctrl-C for
    // the run does not reach it.
    unsafe {
        let mut old: libc::sigset_t = std::mem::zeroed();
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &all, &mut old);
        let flags = libc::CLONE_VM | libc::SIGCHLD;
        let pid =
            libc::clone(sweep, stack.as_mut_ptr_range().end.cast(), flags, ptr::from_mut(sweeper).cast());
        let failed = (pid < 0).then(io::Error::last_os_error);
        libc::sigprocmask(libc::SIG_SETMASK, &old, ptr::null_mut());
        failed.map_or(Ok(pid), Err)
    }
}

/// For a dozen system calls and no more.
const SWEEPERS_STACK: usize = 16 * 1024;

/// What [`sweep`] needs.
struct Sweeper {
    reaper: RawFd,
    kept: [RawFd; 3],
    parents_end: RawFd,
    argv: [*const libc::c_char; 5],
    envp: [*const libc::c_char; 1],
}

/// The sweeper's process until it executes its program. The parent runs on in the same memory: the C library's calls
/// would write the parent's errno.
extern "C" fn sweep(sweeper: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the pointer is to a `Sweeper` that is never freed and that nobody writes.
    let sweeper = unsafe { &*sweeper.cast::<Sweeper>() };
    let address = |object: *const libc::c_void| object as usize;
    let number = |fd: RawFd| fd as usize;
    // SAFETY: system calls on numbers and on strings and vectors that live for ever; none writes memory.
    unsafe {
        call(libc::SYS_setsid, [0; 5]);
        call(libc::SYS_close, [number(sweeper.parents_end), 0, 0, 0, 0]);
        call(libc::SYS_close_range, [0, 2, 0, 0, 0]);
        let [first, second, third] = sweeper.kept.map(number);
        call(libc::SYS_dup2, [first, 3, 0, 0, 0]);
        call(libc::SYS_dup2, [second, 4, 0, 0, 0]);
        call(libc::SYS_dup2, [third, 5, 0, 0, 0]);
        call(
            libc::SYS_close_range,
            [6, libc::c_uint::MAX as usize, libc::CLOSE_RANGE_CLOEXEC as usize, 0, 0],
        );
        // It removes what belongs to its user; that takes no capability.
        let none = [CAPABILITIES.as_ptr().addr(), NO_CAPABILITY.as_ptr().addr(), 0, 0, 0];
        call(libc::SYS_capset, none);
        call(libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0]);
        call(libc::SYS_chdir, [address(c"/".as_ptr().cast()), 0, 0, 0, 0]);
        let (argv, envp) = (address(sweeper.argv.as_ptr().cast()), address(sweeper.envp.as_ptr().cast()));
        let empty = address(c"".as_ptr().cast());
        call(libc::SYS_execveat, [number(sweeper.reaper), empty, argv, envp, libc::AT_EMPTY_PATH as usize]);
    }
    GAVE_UP
}

/// A system call without the C library: x86-64 calling convention of syscall(2).
///
/// # Safety
/// As for the call.
unsafe fn call(number: libc::c_long, arguments: [usize; 5]) -> isize {
    let [first, second, third, fourth, fifth] = arguments;
    let result: isize;
    // SAFETY: the kernel preserves all registers but rax, rcx and r11.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            in("r8") fifth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

fn become_reaper(report: Report, plumbing: &Plumbing, command: libc::c_long) -> ! {
    let mut digits = [0u8; 24];
    let mut at = digits.len() - 1;
    let mut rest = command;
    while rest > 0 && at > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let argv = [c"keyblind-reaper".as_ptr(), c"reap".as_ptr(), digits[at..].as_ptr().cast(), ptr::null()];
    let envp: [*const libc::c_char; 1] = [ptr::null()];
    // SAFETY: descriptors are plain numbers; the strings are NUL-terminated and the vectors null-terminated.
    unsafe {
        // The caller's descriptors go; what is left closes on exec.
        libc::syscall(libc::SYS_close_range, 0, 2, 0);
        report.check(Step::Reaper, 1, libc::dup2(plumbing.control, 3).into());
        report.check(Step::Reaper, 2, libc::dup2(plumbing.report, 4).into());
        libc::syscall(libc::SYS_close_range, 5, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
        libc::chdir(c"/".as_ptr());
        libc::syscall(
            libc::SYS_execveat,
            plumbing.reaper,
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    report.fail(Step::Reaper, 0, errno());
}

/// The second process: what only the command's process may have, and the layers that only it may be under.
fn second(prepared: &Prepared, plumbing: &Plumbing, reaper: libc::pid_t) -> ! {
    let report = Report(plumbing.error);
    let check = |step, result: libc::c_long| report.check(step, 0, result);
    // SAFETY: plain numbers and descriptors throughout; every pointer is to data of the parent's making.
    unsafe {
        libc::close(plumbing.ready.1);
        // A process group of its own, as a shell would give it: signals for the command reach its children too.
        check(Step::ProcessGroup, libc::setpgid(0, 0).into());
        if let Some(terminal) = &prepared.descriptors.terminal {
            let group = libc::getpid();
            check(Step::Terminal, libc::ioctl(terminal.as_raw_fd(), libc::TIOCSPGRP, &group).into());
        }
        for (target, fd) in prepared.descriptors.stdio.iter().enumerate() {
            check(Step::Descriptors, libc::dup2(fd.as_raw_fd(), target as RawFd).into());
        }
        // Nothing of the caller's is left open in the command, whatever this process inherited.
        check(
            Step::Descriptors,
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC),
        );
        check(Step::ChangeDirectory, libc::chdir(prepared.cwd.as_ptr()).into());
        libc::umask(prepared.umask);
        // Cleared by the change of credentials, which is over. If the reaper died before this line, the kernel
        // sends nothing: ask who the parent is.
        check(Step::DeathSignal, libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL).into());
        if libc::getppid() != reaper {
            libc::_exit(GAVE_UP);
        }
        if let Some(landlock) = &prepared.landlock {
            enter_landlock(report, landlock.ruleset.as_raw_fd(), &landlock.rules);
        }
        // After everything that is not in its list, and before the wait: the kernel compiles it meanwhile.
        for (index, filter) in prepared.filters.iter().enumerate() {
            // Instructions of eight bytes (linux/filter.h); the file is libseccomp's and its length a multiple.
            let program = libc::sock_fprog {
                len: (filter.len() / 8) as libc::c_ushort,
                filter: filter.as_ptr().cast_mut().cast(),
            };
            let result = libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &program);
            report.check(Step::Seccomp, index, result);
        }
        wait_for(plumbing.ready.0, false);
        report.say(Step::Ready, 0, 0);
        wait_for(plumbing.release, true);
        // This process ignores SIGPIPE (Rust's runtime) and SIGXFSZ (`sys::harden`); a command expects the default.
        // Other dispositions are the caller's and stay, as nohup(1) needs.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
        libc::sigprocmask(libc::SIG_SETMASK, &prepared.signal_mask, ptr::null_mut());
        execute(report, prepared);
    }
}

/// Waits for a byte, or for the end of the pipe. With `byte`, an end means that the supervisor is gone.
fn wait_for(fd: RawFd, byte: bool) {
    let mut buffer = [0u8; 1];
    loop {
        // SAFETY: one byte is written to a buffer of one byte.
        let n = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), 1) };
        if n < 0 && errno() == libc::EINTR {
            continue;
        }
        if n != isize::from(byte) {
            // SAFETY: does not return.
            unsafe { libc::_exit(GAVE_UP) };
        }
        return;
    }
}

/// Rules are added here and not in the parent, because the tree that they name exists only here.
fn enter_landlock(report: Report, ruleset: RawFd, rules: &[(std::ffi::CString, u64)]) {
    // struct landlock_path_beneath_attr of linux/landlock.h is packed: 8 bytes of access, 4 of descriptor.
    #[repr(C, packed)]
    struct PathBeneath {
        access: u64,
        parent: i32,
    }
    for (index, (path, access)) in rules.iter().enumerate() {
        // SAFETY: a NUL-terminated path; the attribute outlives the call.
        unsafe {
            let fd = libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC);
            report.check(Step::LandlockRule, index, fd.into());
            let rule = PathBeneath { access: *access, parent: fd };
            let result = libc::syscall(libc::SYS_landlock_add_rule, ruleset, 1, &rule, 0);
            report.check(Step::LandlockRule, index, result);
            libc::close(fd);
        }
    }
    // SAFETY: a ruleset descriptor and no flags.
    report.check(Step::Landlock, 0, unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0) });
}

/// execvp(3) without its allocations: the first candidate that can be executed, and a script without `#!` by sh.
fn execute(report: Report, prepared: &Prepared) -> ! {
    let mut answer = libc::ENOENT;
    for (index, candidate) in prepared.candidates.iter().enumerate() {
        // SAFETY: NUL-terminated string, null-terminated vectors.
        unsafe { libc::execve(candidate.as_ptr(), prepared.argv.as_ptr(), prepared.envp.as_ptr()) };
        match errno() {
            libc::ENOEXEC => {
                let script = &prepared.script_argv[index * prepared.script_argv_stride()..];
                // SAFETY: the slice starts at a null-terminated vector that `Prepared` owns.
                unsafe { libc::execve(c"/bin/sh".as_ptr(), script.as_ptr(), prepared.envp.as_ptr()) };
                report.fail(Step::Execute, index, libc::ENOEXEC);
            }
            // A later PATH entry may have it; if none has, this is the better answer (execvp(3)).
            libc::EACCES => answer = libc::EACCES,
            libc::ENOENT | libc::ENOTDIR => {}
            other => report.fail(Step::Execute, index, other),
        }
    }
    report.fail(Step::Execute, 0, answer);
}
