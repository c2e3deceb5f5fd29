//! A process signals another. Within the scope it may; the supervisor, the host service and all else are out of reach.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use keyblind_abi::{Counter, Hook, Reason, Relation};

use crate::emit::{self, Question};
use crate::relation;
use crate::scope;

#[lsm(hook = "task_kill")]
pub fn task_kill(ctx: LsmContext) -> i32 {
    let Some(subject) = scope::subject() else { return 0 };
    emit::count(Hook::TaskKill, Counter::Asked);
    let signal: u32 = ctx.arg(2);
    let (relation, target) = relation::of_task(ctx.arg(0), &subject);
    if relation != Relation::Foreign {
        return 0;
    }
    Question::of(&subject, Hook::TaskKill, signal, target).refuse(Reason::Foreign, &subject)
}
