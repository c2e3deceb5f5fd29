#![forbid(unsafe_code)]
//! Starts a program as a stock container would: namespaces and mounts are refused, and there are no capabilities to
//! begin with. `no-namespaces PROGRAM [ARG]…`.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use keyblind_tests::raw;

/// The container runtimes' own default answers.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fsconfig,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
];
/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWTIME.
const NAMESPACE_FLAGS: u32 = 0x7e02_0080;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        return fail("no program named");
    };
    let filter = filter();
    if let Err(errno) = raw::install_filter(&filter) {
        return fail(&format!("seccomp: {errno}"));
    }
    let error = Command::new(&program).args(words).exec();
    fail(&format!("{}: {error}", program.display()))
}

fn fail(message: &str) -> ExitCode {
    use std::io::Write;
    drop(writeln!(std::io::stderr(), "no-namespaces: {message}"));
    ExitCode::from(125)
}

/// EPERM for each of [`REFUSED`] and for `clone` with a namespace flag; ENOSYS for `clone3`, whose flags lie in memory
/// where a filter cannot look; everything else passes.
fn filter() -> Vec<libc::sock_filter> {
    const LOAD: u16 = 0x20;
    const JUMP_EQUAL: u16 = 0x15;
    const JUMP_ANY: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const NUMBER_AT: u32 = 0;
    const FIRST_ARGUMENT_AT: u32 = 16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let error = |errno: i32| step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs());
    let number = |number: libc::c_long| u32::try_from(number).unwrap_or(u32::MAX);
    let mut program = vec![step(LOAD, 0, 0, NUMBER_AT)];
    for refused in REFUSED {
        program.push(step(JUMP_EQUAL, 0, 1, number(*refused)));
        program.push(error(libc::EPERM));
    }
    program.push(step(JUMP_EQUAL, 0, 1, number(libc::SYS_clone3)));
    program.push(error(libc::ENOSYS));
    program.push(step(JUMP_EQUAL, 0, 3, number(libc::SYS_clone)));
    program.push(step(LOAD, 0, 0, FIRST_ARGUMENT_AT));
    program.push(step(JUMP_ANY, 0, 1, NAMESPACE_FLAGS));
    program.push(error(libc::EPERM));
    program.push(step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    program
}
