#![forbid(unsafe_code)]
//! Whose process is it, and what do the file systems of the kernel itself show?

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use keyblind_abi::{Access, Entry, Offsets, Reason, Relation, Verdict, procfs_verdict};

use crate::kernel::{self, Pointer};
use crate::scope::Subject;

const PROC: u64 = 0x9fa0;
const BPF: u64 = 0xcafe_4a11;
const TRACEFS: u64 = 0x7472_6163;
const DEBUGFS: u64 = 0x6462_6720;
const SECURITYFS: u64 = 0x7363_6673;
const CGROUP2: u64 = 0x6367_7270;
const CGROUP1: u64 = 0x0027_e0eb;

/// The answer for a file system of the kernel; `None` where objects and names decide.
#[inline(always)]
pub fn special(dentry: Pointer, inode: Pointer, access: u32, subject: &Subject) -> Option<Verdict> {
    let sb: Pointer = kernel::field::<_, { Offsets::INODE_SB }>(inode);
    let magic: u64 = kernel::field::<_, { Offsets::SB_MAGIC }>(sb);
    if magic == PROC {
        return Some(procfs(dentry, inode, subject));
    }
    if controls(magic, access) {
        return Some(Verdict::refuse(&subject.scope, Reason::Control, 0));
    }
    None
}

/// Whether a file system controls the kernel or the guard: programs and their pins, tracing, control groups. Control
/// groups may be read.
#[inline(always)]
pub fn controls(magic: u64, access: u32) -> bool {
    let changes = access & (Access::WRITE | Access::MOVE) != 0;
    matches!(magic, BPF | TRACEFS | DEBUGFS) || (changes && matches!(magic, CGROUP2 | CGROUP1 | SECURITYFS))
}

#[inline(always)]
fn procfs(dentry: Pointer, inode: Pointer, subject: &Subject) -> Verdict {
    let Some(pid) = pid_of(inode) else {
        return Verdict::refuse(&subject.scope, Reason::Failure, 0);
    };
    // No process's entry: /proc/meminfo and its like.
    if pid.is_null() {
        return Verdict::ALLOW;
    }
    let (relation, _) = of_pid(pid, subject);
    // A directory of a foreign process may be opened, as `ps` does; what is in it says no.
    let parent: Pointer = kernel::field::<_, { Offsets::DENTRY_PARENT }>(dentry);
    let (first, second) = start(dentry);
    let entry = match Entry::of(first, second) {
        Entry::Other if matches!(start(parent), (FDINFO, 0)) => Entry::Descriptors,
        entry => entry,
    };
    if entry == Entry::Other && relation == Relation::Foreign && crate::judge::is_directory(inode) {
        return Verdict::ALLOW;
    }
    procfs_verdict(&subject.scope, entry, relation)
}

const FDINFO: u64 = u64::from_ne_bytes(*b"fdinfo\0\0");

/// The first sixteen bytes of a dentry's name, zero after its end.
#[inline(always)]
fn start(dentry: Pointer) -> (u64, u64) {
    let mut bytes = [0u8; 16];
    let len: u32 = kernel::field::<_, { Offsets::DENTRY_NAME_LEN }>(dentry);
    let name: Pointer = kernel::field::<_, { Offsets::DENTRY_NAME }>(dentry);
    let take = if len > 15 { 16 } else { len as usize & 15 };
    let Some(part) = bytes.get_mut(..take) else { return (u64::MAX, 0) };
    if !kernel::read_bytes(name, part) {
        return (u64::MAX, 0);
    }
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
    (u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes([i, j, k, l, m, n, o, p]))
}

/// `proc_inode.pid` of an inode of procfs; null for an entry of no process.
#[inline(always)]
fn pid_of(inode: Pointer) -> Option<Pointer> {
    let proc_inode = (inode as usize).wrapping_sub(kernel::offset::<{ Offsets::PROC_INODE }>());
    kernel::read_field::<Pointer, { Offsets::PROC_PID }>(proc_inode as Pointer)
}

/// Whose the entry of a `struct pid` is, and its thread group. A thread's own directory below `task` has the
/// thread's pid, so the task is asked and not the number.
#[inline(always)]
fn of_pid(pid: Pointer, subject: &Subject) -> (Relation, u32) {
    // `tasks[PIDTYPE_PID].first`, the first word of the array, points at `pid_links[PIDTYPE_PID]` of the task.
    let link = kernel::read_field::<Pointer, { Offsets::PID_TASKS }>(pid).unwrap_or(core::ptr::null());
    if link.is_null() {
        return (Relation::Foreign, 0);
    }
    let task = (link as usize).wrapping_sub(kernel::offset::<{ Offsets::TASK_PID_LINKS }>());
    of_task(task as Pointer, subject)
}

/// Whose a task is, and its thread group.
#[inline(always)]
pub fn of_task(task: Pointer, subject: &Subject) -> (Relation, u32) {
    let Some(tgid) = kernel::read_field::<u32, { Offsets::TASK_TGID }>(task) else {
        return (Relation::Foreign, 0);
    };
    if tgid == (bpf_get_current_pid_tgid() >> 32) as u32 {
        return (Relation::Own, tgid);
    }
    let relation = match cgroup_of(task) {
        Some(cgroup) if is_below(cgroup, subject) => Relation::SameRun,
        _ => Relation::Foreign,
    };
    (relation, tgid)
}

#[inline(always)]
fn cgroup_of(task: Pointer) -> Option<Pointer> {
    let set = kernel::read_field::<Pointer, { Offsets::TASK_CGROUPS }>(task)?;
    kernel::read_field::<Pointer, { Offsets::CSS_SET_CGROUP }>(set)
}

/// Whether a cgroup is the subject's scope or below it.
#[inline(always)]
pub fn is_below(cgroup: Pointer, subject: &Subject) -> bool {
    id_at(cgroup, subject.level) == Some(subject.id)
}

#[inline(always)]
fn id_at(cgroup: Pointer, level: u32) -> Option<u64> {
    let deep = kernel::read_field::<u32, { Offsets::CGROUP_LEVEL }>(cgroup)?;
    if deep < level {
        return None;
    }
    let list = cgroup.wrapping_add(kernel::offset::<{ Offsets::CGROUP_ANCESTORS }>());
    let ancestor = kernel::read::<Pointer>(list.wrapping_add(level as usize * size_of::<Pointer>()))?;
    let node = kernel::read_field::<Pointer, { Offsets::CGROUP_NODE }>(ancestor)?;
    kernel::read_field::<u64, { Offsets::NODE_ID }>(node)
}
