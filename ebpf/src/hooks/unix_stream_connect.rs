//! A stream socket is connected to another on this host. A socket belongs to the cgroup in which it was made: those of
//! the scope are its own, all others are somebody else's agents, buses and daemons.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use keyblind_abi::{Counter, Hook, Offsets, Reason, ScopeFlags};

use crate::emit::{self, Question};
use crate::kernel::{self, Pointer};
use crate::relation;
use crate::scope;

#[lsm(hook = "unix_stream_connect")]
pub fn unix_stream_connect(ctx: LsmContext) -> i32 {
    let Some(subject) = scope::subject() else { return 0 };
    emit::count(Hook::UnixConnect, Counter::Asked);
    if subject.scope.flags & ScopeFlags::FOREIGN_SOCKETS != 0 {
        return 0;
    }
    let other: Pointer = ctx.arg(1);
    if let Some(cgroup) = kernel::read_field::<Pointer, { Offsets::SOCK_CGROUP }>(other)
        && relation::is_below(cgroup, &subject)
    {
        return 0;
    }
    // Null for a name in the abstract namespace.
    let dentry = kernel::read_field::<Pointer, { Offsets::UNIX_DENTRY }>(other).unwrap_or(core::ptr::null());
    let question = Question::of(&subject, Hook::UnixConnect, 0, 0).named(dentry);
    question.answer(subject.refuse(Reason::Foreign))
}
