//! A file, directory, symbolic link or node is about to be made. Below a guarded directory or under a guarded name none
//! is, whatever it would be opened for: so a refused open leaves nothing behind.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use keyblind_abi::{Access, Counter, Hook, Offsets, Reason};

use crate::emit::{self, Question};
use crate::judge;
use crate::kernel::{self, Pointer};
use crate::relation;
use crate::scope;

#[lsm(hook = "inode_create")]
pub fn inode_create(ctx: LsmContext) -> i32 {
    made(ctx.arg(1), Access::OPEN | Access::WRITE)
}

#[lsm(hook = "inode_mkdir")]
pub fn inode_mkdir(ctx: LsmContext) -> i32 {
    made(ctx.arg(1), Access::WRITE)
}

#[lsm(hook = "inode_symlink")]
pub fn inode_symlink(ctx: LsmContext) -> i32 {
    made(ctx.arg(1), Access::WRITE)
}

#[lsm(hook = "inode_mknod")]
pub fn inode_mknod(ctx: LsmContext) -> i32 {
    made(ctx.arg(1), Access::OPEN | Access::WRITE)
}

#[inline(always)]
fn made(dentry: Pointer, access: u32) -> i32 {
    let Some(subject) = scope::subject() else { return 0 };
    emit::count(Hook::InodeCreate, Counter::Asked);
    let parent: Pointer = kernel::field::<_, { Offsets::DENTRY_PARENT }>(dentry);
    let directory: Pointer = kernel::field::<_, { Offsets::DENTRY_INODE }>(parent);
    if !directory.is_null() {
        let sb: Pointer = kernel::field::<_, { Offsets::INODE_SB }>(directory);
        if relation::controls(kernel::field::<_, { Offsets::SB_MAGIC }>(sb), access) {
            let question = Question::about(&subject, Hook::InodeCreate, access, dentry);
            return question.answer(subject.refuse(Reason::Control));
        }
    }
    let word = judge::judge(dentry, access, &subject).word;
    if word.is_allow() {
        return 0;
    }
    Question::about(&subject, Hook::InodeCreate, access, dentry).answer(word)
}
