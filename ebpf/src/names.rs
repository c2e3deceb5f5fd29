#![forbid(unsafe_code)]
//! Names of directory entries.

use keyblind_abi::{GuardKey, NAME_BYTES, NameEntry, NameKey, Offsets, fold};

use crate::kernel::{self, Pointer};
use crate::maps::{NAMES, SLOT_NAMES};

/// Copies the start of a dentry's name; returns how many bytes.
#[inline(always)]
pub fn copy(dentry: Pointer, into: &mut [u8; NAME_BYTES]) -> u16 {
    let len: u32 = kernel::field::<_, { Offsets::DENTRY_NAME_LEN }>(dentry);
    let take = if len as usize > NAME_BYTES - 1 { NAME_BYTES - 1 } else { len as usize };
    let name: Pointer = kernel::field::<_, { Offsets::DENTRY_NAME }>(dentry);
    let copied = into.get_mut(..take & (NAME_BYTES - 1)).is_some_and(|part| kernel::read_bytes(name, part));
    if copied { take as u16 } else { 0 }
}

/// The number of a dentry's name among the guarded ones, or 0.
#[inline(always)]
pub fn number(dentry: Pointer) -> u32 {
    let len: u32 = kernel::field::<_, { Offsets::DENTRY_NAME_LEN }>(dentry);
    // No guarded name is longer, and none that is cut could be taken for one.
    if len as usize >= NAME_BYTES {
        return 0;
    }
    let mut key = NameKey { bytes: [0; NAME_BYTES] };
    copy(dentry, &mut key.bytes);
    if folds(dentry) {
        fold(&mut key.bytes);
    }
    match NAMES.get_ptr_mut(&key).and_then(kernel::value) {
        Some(number) => *number,
        None => 0,
    }
}

/// What a set of guards says about a name; nothing, if it says nothing. No `Option`: the verifier of 6.1 wants each byte
/// written before it is looked at.
#[inline(always)]
pub fn entry(slot: u32, number: u32) -> NameEntry {
    const NOTHING: NameEntry = NameEntry { flags: 0, read: 0, write: 0, names: 0 };
    if number == 0 {
        return NOTHING;
    }
    match SLOT_NAMES.get_ptr_mut(GuardKey { slot, object: number }).and_then(kernel::value) {
        Some(entry) => *entry,
        None => NOTHING,
    }
}

/// Whether names that differ only in case are the same in this directory.
#[inline(always)]
fn folds(dentry: Pointer) -> bool {
    /// `S_CASEFOLD` of linux/fs.h: ext4, f2fs and tmpfs set it on directories.
    const CASEFOLD: u32 = 1 << 15;
    /// vfat, exFAT, ntfs3, hfsplus, SMB.
    const FOLDING: [u64; 5] = [0x4d44, 0x2011_bab0, 0x7366_746e, 0x482b, 0xff53_4d42];
    let parent: Pointer = kernel::field::<_, { Offsets::DENTRY_PARENT }>(dentry);
    let directory: Pointer = kernel::field::<_, { Offsets::DENTRY_INODE }>(parent);
    if directory.is_null() {
        return false;
    }
    if kernel::field::<u32, { Offsets::INODE_FLAGS }>(directory) & CASEFOLD != 0 {
        return true;
    }
    let sb: Pointer = kernel::field::<_, { Offsets::INODE_SB }>(directory);
    let magic: u64 = kernel::field::<_, { Offsets::SB_MAGIC }>(sb);
    FOLDING[0] == magic
        || FOLDING[1] == magic
        || FOLDING[2] == magic
        || FOLDING[3] == magic
        || FOLDING[4] == magic
}
