#![forbid(unsafe_code)]
//! Reports: counted always, sent where there is room.

use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid};
use keyblind_abi::{Counter, Hook, Label, NAME_BYTES, Offsets, Reason, Record, Word};

use crate::apart;
use crate::kernel::{self, Pointer};
use crate::maps::{CLOCK, COUNTERS, DENIALS, FLAGS};
use crate::names;
use crate::scope::Subject;

/// What a hook knows about the question. Only numbers: the function that answers is verified apart.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Question {
    scope: u64,
    inode: u64,
    name: u64,
    name_len: u32,
    hook: u32,
    access: u32,
    target: u32,
    slot: u32,
    generation: u32,
    device: u32,
    object_generation: u32,
}

impl Question {
    /// A question about a file.
    #[inline(always)]
    pub fn about(subject: &Subject, hook: Hook, access: u32, dentry: Pointer) -> Self {
        let mut question = Self::of(subject, hook, access, 0);
        (question.name, question.name_len) = names::of(dentry);
        let inode: Pointer = kernel::field::<_, { Offsets::DENTRY_INODE }>(dentry);
        if !inode.is_null() {
            let sb: Pointer = kernel::field::<_, { Offsets::INODE_SB }>(inode);
            question.inode = kernel::field::<_, { Offsets::INODE_NUMBER }>(inode);
            question.device = kernel::field::<_, { Offsets::SB_DEVICE }>(sb);
            question.object_generation = kernel::field::<_, { Offsets::INODE_GENERATION }>(inode);
        }
        question
    }

    /// A question about a process, or about nothing that has a name.
    #[inline(always)]
    pub fn of(subject: &Subject, hook: Hook, access: u32, target: u32) -> Self {
        Self {
            scope: subject.id,
            inode: 0,
            name: 0,
            name_len: 0,
            hook: hook as u32,
            access,
            target,
            slot: subject.scope.slot,
            generation: subject.scope.generation,
            device: 0,
            object_generation: 0,
        }
    }

    /// The same with the name at a dentry that the verifier does not trust, or null.
    #[inline(always)]
    pub fn named(mut self, dentry: Pointer) -> Self {
        self.name = kernel::read_field::<u64, { Offsets::DENTRY_NAME }>(dentry).unwrap_or(0);
        self.name_len = kernel::read_field::<u32, { Offsets::DENTRY_NAME_LEN }>(dentry).unwrap_or(0);
        self
    }

    /// Refuses what is not about a file: EPERM, as kill(2) and bpf(2) say it.
    #[inline(always)]
    pub fn refuse(self, reason: Reason, subject: &Subject) -> i32 {
        const EPERM: i32 = 1;
        if self.answer(subject.refuse(reason)) == 0 { 0 } else { -EPERM }
    }

    /// Counts and reports a verdict, and returns what the hook returns.
    #[inline(always)]
    pub fn answer(mut self, word: Word) -> i32 {
        apart::apart_tell(&raw mut self, word.0);
        // Here and not there: since 6.12 the verifier wants to see that it is an errno.
        word.errno()
    }
}

/// Adds one to a counter.
#[inline(always)]
pub fn count(hook: Hook, kind: Counter) {
    count_at(hook as u32, kind);
}

#[inline(always)]
fn count_at(hook: u32, kind: Counter) {
    if let Some(word) = COUNTERS.get_ptr_mut(hook * Counter::KINDS + kind as u32).and_then(kernel::value) {
        kernel::add(word, 1);
    }
}

/// Counts and reports a verdict.
#[inline(always)]
pub fn tell(question: &Question, word: Word) {
    let refused = word.refuses();
    count_at(question.hook, if refused { Counter::Denied } else { Counter::Flagged });
    report(question, word, refused);
}

/// Sends a record, or counts that it was lost.
#[inline(always)]
fn report(question: &Question, word: Word, refused: bool) {
    let Some(clock) = CLOCK.get_ptr_mut(0).and_then(kernel::value) else { return };
    let sequence = 1 + kernel::add(if refused { &mut clock.denials } else { &mut clock.flags }, 1);
    let lane = if refused { &DENIALS } else { &FLAGS };
    let Some(mut entry) = lane.reserve::<Record>(0) else {
        count_at(question.hook, if refused { Counter::LostDenials } else { Counter::LostFlags });
        return;
    };
    let ids = bpf_get_current_pid_tgid();
    let task = kernel::task();
    let leader = kernel::read_field::<Pointer, { Offsets::TASK_LEADER }>(task).unwrap_or(core::ptr::null());
    let parent = kernel::read_field::<Pointer, { Offsets::TASK_PARENT }>(task).unwrap_or(core::ptr::null());
    let record = entry.write(Record {
        sequence,
        time: kernel::now(),
        scope: question.scope,
        started: kernel::read_field::<u64, { Offsets::TASK_START }>(leader).unwrap_or(0),
        inode: question.inode,
        hook: question.hook as u16,
        outcome: word.outcome(),
        reason: word.reason(),
        name_len: 0,
        guard: word.guard(),
        slot: question.slot,
        generation: question.generation,
        tgid: (ids >> 32) as u32,
        tid: ids as u32,
        parent: kernel::read_field::<u32, { Offsets::TASK_TGID }>(parent).unwrap_or(0),
        uid: bpf_get_current_uid_gid() as u32,
        device: question.device,
        object_generation: question.object_generation,
        access: question.access,
        target: question.target,
        port: 0,
        address: [0; 16],
        command: bpf_get_current_comm().unwrap_or([0; 16]),
        name: [0; NAME_BYTES],
    });
    if question.name != 0 {
        record.name_len = names::copy(question.name, question.name_len, &mut record.name);
    }
    entry.submit(0);
}

/// A label that says nothing yet.
pub const FRESH: Label = Label { object: 0, named: 0, harmless: 0, reserved: 0, stamp: 0 };
