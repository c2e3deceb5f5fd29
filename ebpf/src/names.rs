#![forbid(unsafe_code)]
//! Names of directory entries.

use keyblind_abi::{GuardKey, NAME_BYTES, NameEntry, NameKey, Offsets, fold};

use crate::apart;
use crate::kernel::{self, Pointer};
use crate::maps::{NAMES, SLOT_NAMES};

/// The number of a name that could not be read.
pub const UNKNOWN: u32 = u32::MAX;

/// Where a name is, and whether case counts there.
#[repr(C)]
pub struct Name {
    address: u64,
    len: u32,
    fold: u32,
}

/// Copies the start of a name; returns how many bytes.
#[inline(always)]
pub fn copy(address: u64, len: u32, into: &mut [u8; NAME_BYTES]) -> u16 {
    let take = if len as usize > NAME_BYTES - 1 { NAME_BYTES - 1 } else { len as usize };
    let copied = into
        .get_mut(..kernel::below_64(take))
        .is_some_and(|part| kernel::read_bytes(address as Pointer, part));
    if copied { take as u16 } else { 0 }
}

/// Address and length of a dentry's name.
#[inline(always)]
pub fn of(dentry: Pointer) -> (u64, u32) {
    (
        kernel::field::<_, { Offsets::DENTRY_NAME }>(dentry),
        kernel::field::<_, { Offsets::DENTRY_NAME_LEN }>(dentry),
    )
}

/// The number of a dentry's name among the guarded ones, or 0.
#[inline(always)]
pub fn number(dentry: Pointer) -> u32 {
    let (address, len) = of(dentry);
    let mut name = Name { address, len, fold: u32::from(folds(dentry)) };
    apart::apart_name(&raw mut name)
}

/// The number of a name.
#[inline(always)]
pub fn find(name: &Name) -> u32 {
    // No guarded name is longer, and none that is cut could be taken for one. What is in no directory has none.
    if name.len == 0 || name.len as usize >= NAME_BYTES {
        return 0;
    }
    let mut key = NameKey { bytes: [0; NAME_BYTES] };
    if copy(name.address, name.len, &mut key.bytes) == 0 {
        return UNKNOWN;
    }
    if name.fold != 0 {
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
