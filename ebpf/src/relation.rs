#![forbid(unsafe_code)]
//! Whose process is it, and what do the file systems of the kernel itself show?

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use keyblind_abi::{Access, Entry, Offsets, Reason, Relation, Scope, Word, procfs_verdict};

use crate::kernel::{self, Pointer};
use crate::scope::Subject;
use crate::{apart, judge, names};

const PROC: u64 = 0x9fa0;
const BPF: u64 = 0xcafe_4a11;
const TRACEFS: u64 = 0x7472_6163;
const DEBUGFS: u64 = 0x6462_6720;
const SECURITYFS: u64 = 0x7363_6673;
const CGROUP2: u64 = 0x6367_7270;
const CGROUP1: u64 = 0x0027_e0eb;

/// The answer for a file system of the kernel; `None` where objects and names decide.
#[inline(always)]
pub fn special(dentry: Pointer, inode: Pointer, access: u32, subject: &Subject) -> Option<Word> {
    let sb: Pointer = kernel::field::<_, { Offsets::INODE_SB }>(inode);
    let magic: u64 = kernel::field::<_, { Offsets::SB_MAGIC }>(sb);
    if magic == PROC {
        let Some(pid) = pid_of(inode) else {
            return Some(subject.refuse(Reason::Failure));
        };
        // No process's entry: /proc/meminfo and its like.
        if pid.is_null() {
            return Some(Word::ALLOW);
        }
        let mut entry = ProcEntry::new(dentry, inode, pid, subject);
        return Some(Word(apart::apart_procfs(&raw mut entry)));
    }
    if controls(magic, access) {
        return Some(subject.refuse(Reason::Control));
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

/// An entry of procfs, as numbers.
#[repr(C)]
pub struct ProcEntry {
    pid: u64,
    name: u64,
    parent: u64,
    id: u64,
    scope: Scope,
    level: u32,
    name_len: u32,
    parent_len: u32,
    directory: u32,
}

impl ProcEntry {
    #[inline(always)]
    fn new(dentry: Pointer, inode: Pointer, pid: Pointer, subject: &Subject) -> Self {
        let above: Pointer = kernel::field::<_, { Offsets::DENTRY_PARENT }>(dentry);
        let (name, name_len) = names::of(dentry);
        let (parent, parent_len) = names::of(above);
        Self {
            pid: pid as u64,
            name,
            parent,
            id: subject.id,
            scope: subject.scope,
            level: subject.level,
            name_len,
            parent_len,
            directory: u32::from(judge::is_directory(inode)),
        }
    }
}

/// The verdict on an entry that is some process's.
#[inline(always)]
pub fn procfs(entry: &ProcEntry) -> Word {
    let subject = Subject { id: entry.id, level: entry.level, scope: entry.scope };
    let (relation, _) = of_pid(entry.pid as Pointer, &subject);
    let (first, second) = start(entry.name, entry.name_len);
    let kind = match Entry::of(first, second) {
        Entry::Other if matches!(start(entry.parent, entry.parent_len), (FDINFO, 0)) => Entry::Descriptors,
        kind => kind,
    };
    // A directory of a foreign process may be opened, as `ps` does; what is in it says no.
    if kind == Entry::Other && relation == Relation::Foreign && entry.directory != 0 {
        return Word::ALLOW;
    }
    procfs_verdict(&subject.scope, kind, relation).word()
}

const FDINFO: u64 = u64::from_ne_bytes(*b"fdinfo\0\0");

/// The first sixteen bytes of a name, zero after its end.
#[inline(always)]
fn start(name: u64, len: u32) -> (u64, u64) {
    let mut bytes = [0u8; 16];
    let take = if len > 15 { 16 } else { len as usize & 15 };
    let Some(part) = bytes.get_mut(..take) else { return (u64::MAX, 0) };
    if !kernel::read_bytes(name as Pointer, part) {
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
