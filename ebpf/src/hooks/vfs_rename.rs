//! A rename is done, or failed: what was found out between the question and now may be about the old place.

use aya_ebpf::macros::fexit;
use aya_ebpf::programs::FExitContext;
use keyblind_abi::Offsets;

use crate::judge;
use crate::kernel::{self, Pointer};

#[fexit(function = "vfs_rename")]
pub fn vfs_rename(ctx: FExitContext) -> i32 {
    let data: Pointer = ctx.arg(0);
    settled(kernel::field::<_, { Offsets::RENAME_OLD }>(data));
    settled(kernel::field::<_, { Offsets::RENAME_NEW }>(data));
    0
}

#[inline(always)]
fn settled(dentry: Pointer) {
    if dentry.is_null() {
        return;
    }
    let inode: Pointer = kernel::field::<_, { Offsets::DENTRY_INODE }>(dentry);
    if inode.is_null() {
        return;
    }
    if judge::is_directory(inode) {
        judge::bump();
    } else if let Some(label) = kernel::value(kernel::label(inode)) {
        kernel::store(&mut label.stamp, 0);
    }
}
