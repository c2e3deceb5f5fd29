//! bpf(2), by which the guard itself could be read, changed and taken down.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use keyblind_abi::{Counter, Hook, Reason};

use crate::emit::{self, Question};
use crate::scope;

#[lsm(hook = "bpf")]
pub fn bpf(ctx: LsmContext) -> i32 {
    let Some(subject) = scope::subject() else { return 0 };
    emit::count(Hook::Bpf, Counter::Asked);
    let command: u32 = ctx.arg(0);
    Question::of(&subject, Hook::Bpf, command, 0).refuse(Reason::Control, &subject)
}
