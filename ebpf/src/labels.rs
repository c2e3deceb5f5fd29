#![forbid(unsafe_code)]
//! Labels of inodes: which object an inode is, and what was found out about it earlier.

use keyblind_abi::{Label, ObjectKey, Offsets};

use crate::emit::FRESH;
use crate::kernel::{self, Pointer};
use crate::maps::KEYS;

/// What is known of an inode. `label` is `None` only if the kernel has no memory for one.
pub struct Known {
    /// The label.
    pub label: Option<&'static mut Label>,
    /// The object's number, or 0.
    pub object: u32,
}

/// The label of an inode, made if there is none. An inode that the kernel had dropped from memory has lost its label;
/// the key tells which object it is.
#[inline(always)]
pub fn of(inode: Pointer) -> Known {
    if let Some(label) = kernel::value(kernel::label(inode)) {
        let object = label.object;
        return Known { label: Some(label), object };
    }
    let object = object_of(inode);
    Known { label: kernel::value(kernel::label_or(inode, Label { object, ..FRESH })), object }
}

/// The object that an inode is, by its key alone.
#[inline(always)]
pub fn object_of(inode: Pointer) -> u32 {
    match KEYS.get_ptr_mut(key(inode)).and_then(kernel::value) {
        Some(object) => *object,
        None => 0,
    }
}

/// How the object of an inode is found again.
#[inline(always)]
pub fn key(inode: Pointer) -> ObjectKey {
    let sb: Pointer = kernel::field::<_, { Offsets::INODE_SB }>(inode);
    ObjectKey {
        inode: kernel::field::<_, { Offsets::INODE_NUMBER }>(inode),
        device: kernel::field::<_, { Offsets::SB_DEVICE }>(sb),
        generation: kernel::field::<_, { Offsets::INODE_GENERATION }>(inode),
    }
}
