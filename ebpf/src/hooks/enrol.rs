//! Enrolment: a thread of user space is armed for one open, and the object that it opens gets a label. The open itself
//! is refused with ECANCELED, so that no driver is asked and no FIFO waited for.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use keyblind_abi::{Label, Offsets, arm};

use crate::emit::FRESH;
use crate::kernel::{self, Pointer};
use crate::labels;
use crate::maps::{ARMED, KEYS};

const ECANCELED: i32 = 125;

/// Enrols the object of `file` if this thread is armed; 0 if it is not.
#[inline(always)]
pub fn armed(file: Pointer) -> i32 {
    let Some(arm) = ARMED.get_ptr_mut(bpf_get_current_pid_tgid()).and_then(kernel::value) else { return 0 };
    if arm.state != arm::WAITING {
        return 0;
    }
    let inode: Pointer = kernel::field::<_, { Offsets::FILE_INODE }>(file);
    if inode.is_null() {
        return 0;
    }
    let key = labels::key(inode);
    let known = labels::of(inode);
    if known.object != 0 {
        arm.object = known.object;
    }
    arm.device = key.device;
    arm.generation = key.generation;
    arm.inode = key.inode;
    let labelled = kernel::value(kernel::label_or(inode, Label { object: arm.object, ..FRESH }));
    arm.state = match labelled {
        Some(label) if KEYS.insert(key, arm.object, 0).is_ok() => {
            label.object = arm.object;
            kernel::store(&mut label.stamp, 0);
            arm::DONE
        }
        _ => arm::FAILED,
    };
    -ECANCELED
}
