#![forbid(unsafe_code)]
//! Every map, with who writes it and who reads it. Nothing about policy is in `.rodata`.

use aya_ebpf::btf_maps::InodeStorage;
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::{Array, HashMap, RingBuf};
use keyblind_abi::{
    Arm, Clock, Counter, GuardEntry, GuardKey, HOOKS, Label, NameEntry, NameKey, ObjectKey, Scope, State,
};

/// Written by user space: roots of scopes, its part of the epoch, whether a thread is armed.
#[map]
pub static STATE: Array<State> = Array::with_max_entries(1, 0);

/// Written by the programs: their part of the epoch, sequence numbers.
#[map]
pub static CLOCK: Array<Clock> = Array::with_max_entries(1, 0);

/// Written by user space before a run's first process exists, removed after its last is gone. By cgroup id.
#[map]
pub static SCOPES: HashMap<u64, Scope> = HashMap::with_max_entries(4096, 0);

/// What is known of an inode. Written at enrolment and by every walk; goes with the inode.
#[btf_map]
pub static LABELS: InodeStorage<Label> = InodeStorage::new();

/// Written at enrolment by the programs: which object an inode is when its label is gone.
#[map]
pub static KEYS: HashMap<ObjectKey, u32> = HashMap::with_max_entries(65536, 0);

/// Written by user space: what each set of guards says about an object.
#[map]
pub static GUARDS: HashMap<GuardKey, GuardEntry> = HashMap::with_max_entries(65536, 0);

/// Written by user space: numbers of guarded names.
#[map]
pub static NAMES: HashMap<NameKey, u32> = HashMap::with_max_entries(4096, 0);

/// Written by user space: what each set of guards says about a name.
#[map]
pub static SLOT_NAMES: HashMap<GuardKey, NameEntry> = HashMap::with_max_entries(65536, 0);

/// Written by user space: a thread that enrols. Its value by the program that saw the open.
#[map]
pub static ARMED: HashMap<u64, Arm> = HashMap::with_max_entries(256, 0);

/// Written by user space: guarded addresses, as IPv6, and the numbers of their guards.
#[map]
pub static ADDRESSES: HashMap<[u8; 16], u32> = HashMap::with_max_entries(256, 0);

/// Written by the programs, by atomic additions.
#[map]
pub static COUNTERS: Array<u64> = Array::with_max_entries(HOOKS.len() as u32 * Counter::KINDS, 0);

/// Refusals. A lane of their own, which flags cannot fill.
#[map]
pub static DENIALS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Everything else that is reported.
#[map]
pub static FLAGS: RingBuf = RingBuf::with_byte_size(1 << 18, 0);
