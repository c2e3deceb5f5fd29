//! A file is opened: the object is resolved, and not yet open.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use keyblind_abi::{Access, Counter, Hook, Offsets};

use crate::emit::{self, Question};
use crate::judge;
use crate::kernel::{self, Pointer};
use crate::relation;
use crate::scope::{self, Subject};

#[lsm(hook = "file_open")]
pub fn file_open(ctx: LsmContext) -> i32 {
    let Some(state) = scope::state() else { return 0 };
    let top = scope::top();
    if scope::near(state, top) {
        // Most opens end here: what nobody guards needs no look at whose scope it is.
        let file: Pointer = ctx.arg(0);
        let inode: Pointer = kernel::field::<_, { Offsets::FILE_INODE }>(file);
        if !inode.is_null()
            && let Some(label) = kernel::value(kernel::label(inode))
            && judge::known_clean(label, inode, None)
        {
            return 0;
        }
        if let Some(subject) = scope::current(state, top) {
            return in_scope(file, &subject, Hook::FileOpen);
        }
    }
    if kernel::load(&state.armed) != 0 {
        return crate::hooks::enrol::armed(ctx.arg(0));
    }
    0
}

/// The answer for a file that a process in a scope opens or receives.
#[inline(always)]
pub fn in_scope(file: Pointer, subject: &Subject, hook: Hook) -> i32 {
    let dentry: Pointer = kernel::field::<_, { Offsets::FILE_DENTRY }>(file);
    let inode: Pointer = kernel::field::<_, { Offsets::FILE_INODE }>(file);
    if inode.is_null() {
        return 0;
    }
    if let Some(label) = kernel::value(kernel::label(inode))
        && judge::known_clean(label, inode, Some(subject.scope.slot))
    {
        return 0;
    }
    emit::count(hook, Counter::Asked);
    let access = wanted(file);
    let word = match relation::special(dentry, inode, access, subject) {
        Some(word) => word,
        None => judge::judge_inode(dentry, inode, access, subject).word,
    };
    if word.is_allow() {
        return 0;
    }
    Question::about(subject, hook, access, dentry).answer(word)
}

/// What a descriptor could do. Every open counts as one that reads: `O_WRONLY` on a guarded file has no use that is
/// not better refused.
#[inline(always)]
fn wanted(file: Pointer) -> u32 {
    /// `FMODE_WRITE` of linux/fs.h.
    const WRITE: u32 = 2;
    /// `O_TRUNC` (open(2)).
    const TRUNCATE: u32 = 0o1000;
    let mode: u32 = kernel::field::<_, { Offsets::FILE_MODE }>(file);
    let flags: u32 = kernel::field::<_, { Offsets::FILE_FLAGS }>(file);
    if mode & WRITE != 0 || flags & TRUNCATE != 0 { Access::OPEN | Access::WRITE } else { Access::OPEN }
}
