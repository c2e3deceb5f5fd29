//! An object gets one more name.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use keyblind_abi::{Access, Counter, Hook, Offsets};

use crate::emit::{self, Question};
use crate::judge;
use crate::kernel::{self, Pointer};
use crate::labels;
use crate::names;
use crate::scope;

#[lsm(hook = "inode_link")]
pub fn inode_link(ctx: LsmContext) -> i32 {
    let (old, new): (Pointer, Pointer) = (ctx.arg(0), ctx.arg(2));
    if let Some(subject) = scope::subject() {
        emit::count(Hook::InodeLink, Counter::Asked);
        // Another name is a way to read it.
        let access = Access::OPEN | Access::WRITE;
        let source = judge::judge(old, access, &subject).word;
        if !source.is_allow() {
            let errno = Question::about(&subject, Hook::InodeLink, access, old).answer(source);
            if errno != 0 {
                return errno;
            }
        }
        let target = judge::judge(new, Access::WRITE, &subject).word;
        if !target.is_allow() {
            let errno = Question::about(&subject, Hook::InodeLink, Access::WRITE, new).answer(target);
            if errno != 0 {
                return errno;
            }
        }
    }
    mark(old, old);
    mark(old, new);
    0
}

/// Notes on the object of `dentry` that it has, or is about to have, the name of `of`, if that is a guarded one.
/// Whoever gives the name: what a host's process moves aside must stay known.
#[inline(always)]
pub fn mark(dentry: Pointer, of: Pointer) {
    let number = names::number(of);
    if number == 0 || number == names::UNKNOWN {
        return;
    }
    let inode: Pointer = kernel::field::<_, { Offsets::DENTRY_INODE }>(dentry);
    if inode.is_null() || judge::is_directory(inode) {
        return;
    }
    if let Some(label) = labels::of(inode).label {
        label.named = number;
    }
}
