//! A program is about to run. Nothing is refused; where the scope asks for it, it is reported, so that a refusal can be
//! traced back through what was executed.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use keyblind_abi::{Hook, Offsets, Outcome, Reason, ScopeFlags, Verdict};

use crate::emit::Question;
use crate::kernel::{self, Pointer};
use crate::scope;

#[lsm(hook = "bprm_committed_creds")]
pub fn bprm_committed_creds(ctx: LsmContext) -> i32 {
    let Some(subject) = scope::subject() else { return 0 };
    if subject.scope.flags & ScopeFlags::LINEAGE == 0 {
        return 0;
    }
    let null = core::ptr::null();
    let file = kernel::read_field::<Pointer, { Offsets::BPRM_FILE }>(ctx.arg(0)).unwrap_or(null);
    let dentry = kernel::read_field::<Pointer, { Offsets::FILE_DENTRY }>(file).unwrap_or(null);
    let executed = Verdict { outcome: Outcome::Flag, reason: Reason::Executed, guard: 0 };
    Question::of(&subject, Hook::Exec, 0, 0).named(dentry).answer(executed.word());
    0
}
