//! A process looks into another: `/proc/PID/mem`, `maps`, `fd/N`, ptrace(2), process_vm_readv(2), pidfd_getfd(2).

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use keyblind_abi::{Counter, Hook, Reason, Relation, ScopeFlags};

use crate::emit::{self, Question};
use crate::relation;
use crate::scope;

/// `PTRACE_MODE_ATTACH` of linux/ptrace.h.
const ATTACH: u32 = 2;

#[lsm(hook = "ptrace_access_check")]
pub fn ptrace_access_check(ctx: LsmContext) -> i32 {
    let Some(subject) = scope::subject() else { return 0 };
    emit::count(Hook::PtraceAccess, Counter::Asked);
    let child = ctx.arg(0);
    let mode: u32 = ctx.arg(1);
    let (relation, target) = relation::of_task(child, &subject);
    let reading = mode & ATTACH == 0;
    let allowed = match relation {
        Relation::Own => true,
        Relation::SameRun => reading || subject.scope.flags & ScopeFlags::DEBUG != 0,
        Relation::Foreign => false,
    };
    if allowed {
        return 0;
    }
    Question::of(&subject, Hook::PtraceAccess, mode, target).answer(subject.refuse(Reason::Process))
}
