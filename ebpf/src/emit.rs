#![forbid(unsafe_code)]
//! Reports: counted always, sent where there is room.

use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid};
use keyblind_abi::{Counter, Hook, Label, NAME_BYTES, Offsets, Outcome, Record, Verdict};

use crate::kernel::{self, Pointer};
use crate::maps::{CLOCK, COUNTERS, DENIALS, FLAGS};
use crate::names;
use crate::scope::Subject;

/// What a hook knows about the question.
#[derive(Clone, Copy)]
pub struct Question {
    /// Where it was asked.
    pub hook: Hook,
    /// Bits of access, a mode, a signal or a command.
    pub access: u32,
    /// The object's dentry, or null.
    pub dentry: Pointer,
    /// The other process, or 0.
    pub target: u32,
    /// The address in network order, or zero.
    pub address: [u8; 16],
    /// The port, in host order.
    pub port: u32,
}

impl Question {
    /// A question about a file.
    #[inline(always)]
    pub fn about(hook: Hook, access: u32, dentry: Pointer) -> Self {
        Self { hook, access, dentry, target: 0, address: [0; 16], port: 0 }
    }

    /// A question about a process, or about nothing that has a name.
    #[inline(always)]
    pub fn of(hook: Hook, access: u32, target: u32) -> Self {
        Self { hook, access, dentry: core::ptr::null(), target, address: [0; 16], port: 0 }
    }
}

/// Adds one to a counter.
#[inline(always)]
pub fn count(hook: Hook, kind: Counter) {
    if let Some(word) =
        COUNTERS.get_ptr_mut(hook as u32 * Counter::KINDS + kind as u32).and_then(kernel::value)
    {
        kernel::add(word, 1);
    }
}

/// Counts and reports a verdict, and returns what the hook returns.
#[inline(always)]
pub fn answer(subject: &Subject, question: &Question, verdict: Verdict) -> i32 {
    let refused = match verdict.outcome {
        Outcome::Allow => return 0,
        Outcome::Flag => false,
        Outcome::Deny | Outcome::Hide => true,
    };
    count(question.hook, if refused { Counter::Denied } else { Counter::Flagged });
    report(subject, question, verdict, refused);
    verdict.errno()
}

/// Sends a record, or counts that it was lost.
#[inline(always)]
pub fn report(subject: &Subject, question: &Question, verdict: Verdict, refused: bool) {
    let Some(clock) = CLOCK.get_ptr_mut(0).and_then(kernel::value) else { return };
    let sequence = 1 + kernel::add(if refused { &mut clock.denials } else { &mut clock.flags }, 1);
    let lane = if refused { &DENIALS } else { &FLAGS };
    let Some(mut entry) = lane.reserve::<Record>(0) else {
        count(question.hook, if refused { Counter::LostDenials } else { Counter::LostFlags });
        return;
    };
    let ids = bpf_get_current_pid_tgid();
    let task = kernel::task();
    let leader = kernel::read_field::<Pointer, { Offsets::TASK_LEADER }>(task).unwrap_or(core::ptr::null());
    let parent = kernel::read_field::<Pointer, { Offsets::TASK_PARENT }>(task).unwrap_or(core::ptr::null());
    let (inode, device, object_generation) = identity(question.dentry);
    let record = entry.write(Record {
        sequence,
        time: kernel::now(),
        scope: subject.id,
        started: kernel::read_field::<u64, { Offsets::TASK_START }>(leader).unwrap_or(0),
        inode,
        hook: question.hook as u16,
        outcome: verdict.outcome as u16,
        reason: verdict.reason as u16,
        name_len: 0,
        guard: verdict.guard,
        slot: subject.scope.slot,
        generation: subject.scope.generation,
        tgid: (ids >> 32) as u32,
        tid: ids as u32,
        parent: kernel::read_field::<u32, { Offsets::TASK_TGID }>(parent).unwrap_or(0),
        uid: bpf_get_current_uid_gid() as u32,
        device,
        object_generation,
        access: question.access,
        target: question.target,
        port: question.port,
        address: question.address,
        command: bpf_get_current_comm().unwrap_or([0; 16]),
        name: [0; NAME_BYTES],
    });
    if !question.dentry.is_null() {
        record.name_len = names::copy(question.dentry, &mut record.name);
    }
    entry.submit(0);
}

/// Inode number, device and generation of what a dentry names; zero where it names nothing.
#[inline(always)]
fn identity(dentry: Pointer) -> (u64, u32, u32) {
    if dentry.is_null() {
        return (0, 0, 0);
    }
    let inode: Pointer = kernel::field::<_, { Offsets::DENTRY_INODE }>(dentry);
    if inode.is_null() {
        return (0, 0, 0);
    }
    let sb: Pointer = kernel::field::<_, { Offsets::INODE_SB }>(inode);
    (
        kernel::field::<_, { Offsets::INODE_NUMBER }>(inode),
        kernel::field::<_, { Offsets::SB_DEVICE }>(sb),
        kernel::field::<_, { Offsets::INODE_GENERATION }>(inode),
    )
}

/// A label that says nothing yet.
pub const FRESH: Label = Label { object: 0, named: 0, harmless: 0, reserved: 0, stamp: 0 };
