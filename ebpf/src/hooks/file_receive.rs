//! A descriptor arrives: over a socket, from another process's table, from a seccomp supervisor. A refusal shows as
//! `MSG_CTRUNC` there.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use keyblind_abi::Hook;

use crate::scope;

#[lsm(hook = "file_receive")]
pub fn file_receive(ctx: LsmContext) -> i32 {
    match scope::subject() {
        Some(subject) => super::file_open::in_scope(ctx.arg(0), &subject, Hook::FileReceive),
        None => 0,
    }
}
