//! A name goes. Read guards do not mind: what is removed is not read.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use keyblind_abi::{Access, Counter, Hook, Offsets, Reason};

use crate::emit::{self, Question};
use crate::judge;
use crate::kernel::{self, Pointer};
use crate::relation;
use crate::scope;

#[lsm(hook = "inode_unlink")]
pub fn inode_unlink(ctx: LsmContext) -> i32 {
    changed(ctx.arg(1), Access::WRITE | Access::MOVE, Hook::InodeUnlink)
}

#[lsm(hook = "inode_rmdir")]
pub fn inode_rmdir(ctx: LsmContext) -> i32 {
    changed(ctx.arg(1), Access::WRITE | Access::MOVE, Hook::InodeUnlink)
}

/// The answer for a change to an object that is there.
#[inline(always)]
pub fn changed(dentry: Pointer, access: u32, hook: Hook) -> i32 {
    let Some(subject) = scope::subject() else { return 0 };
    emit::count(hook, Counter::Asked);
    let inode: Pointer = kernel::field::<_, { Offsets::DENTRY_INODE }>(dentry);
    if inode.is_null() {
        return 0;
    }
    let sb: Pointer = kernel::field::<_, { Offsets::INODE_SB }>(inode);
    if relation::controls(kernel::field::<_, { Offsets::SB_MAGIC }>(sb), access) {
        let question = Question::about(&subject, hook, access, dentry);
        return question.answer(subject.refuse(Reason::Control));
    }
    let word = judge::judge(dentry, access, &subject).word;
    if word.is_allow() {
        return 0;
    }
    Question::about(&subject, hook, access, dentry).answer(word)
}
