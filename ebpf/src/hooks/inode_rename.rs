//! An object is about to get another name. An exchange asks twice, once for each direction.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use keyblind_abi::{Access, Counter, Hook, Offsets, Reason, takes_names_away};

use super::inode_link::mark;
use crate::emit::{self, Question};
use crate::judge;
use crate::kernel::{self, Pointer};
use crate::relation;
use crate::scope::{self, Subject};

#[lsm(hook = "inode_rename")]
pub fn inode_rename(ctx: LsmContext) -> i32 {
    let (old, new): (Pointer, Pointer) = (ctx.arg(1), ctx.arg(3));
    let moved: Pointer = kernel::field::<_, { Offsets::DENTRY_INODE }>(old);
    if moved.is_null() {
        return 0;
    }
    if let Some(subject) = scope::subject() {
        let errno = in_scope(old, new, moved, &subject);
        if errno != 0 {
            return errno;
        }
    }
    if judge::is_directory(moved) {
        // Whatever is below it may be found elsewhere from now on; `vfs_rename` says when it has moved.
        judge::bump();
    } else {
        mark(old, old);
        mark(old, new);
    }
    0
}

#[inline(always)]
fn in_scope(old: Pointer, new: Pointer, moved: Pointer, subject: &Subject) -> i32 {
    emit::count(Hook::InodeRename, Counter::Asked);
    let sb: Pointer = kernel::field::<_, { Offsets::INODE_SB }>(moved);
    let access = Access::OPEN | Access::WRITE | Access::MOVE;
    if relation::controls(kernel::field::<_, { Offsets::SB_MAGIC }>(sb), access) {
        let question = Question::about(subject, Hook::InodeRename, access, old);
        return question.answer(subject.refuse(Reason::Control));
    }
    let from = judge::judge(old, access, subject);
    if !from.word.is_allow() {
        let errno = Question::about(subject, Hook::InodeRename, access, old).answer(from.word);
        if errno != 0 {
            return errno;
        }
    }
    // What is replaced is gone, not read: only write guards count.
    let to = judge::judge(new, Access::WRITE | Access::MOVE, subject);
    if !to.word.is_allow() {
        let question = Question::about(subject, Hook::InodeRename, Access::WRITE | Access::MOVE, new);
        let errno = question.answer(to.word);
        if errno != 0 {
            return errno;
        }
    }
    if judge::is_directory(moved) && takes_names_away(from.names, to.names) {
        let question = Question::about(subject, Hook::InodeRename, access, old);
        return question.answer(subject.refuse(Reason::NamesTaken));
    }
    0
}
