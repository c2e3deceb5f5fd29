//! Which processes are concerned, and the words that every program looks at first.

/// A level-1 cgroup below which scopes are, and the level at which they sit.
///
/// The level-1 ancestor is asked first because one comparison with it is all that a process outside pays.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Root {
    /// The id of the level-1 cgroup (its inode number on cgroup2). 0 ends the list.
    pub id: u64,
    /// The level of the scopes below it, 1 to 4.
    pub level: u32,
    /// Zero.
    pub reserved: u32,
}

/// The one element of the map `STATE`, which user space alone writes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// Roots, ended by one with id 0.
    pub roots: [Root; State::ROOTS],
    /// Goes up with each guard that is enrolled or withdrawn.
    pub epoch: u64,
    /// Not 0 while a thread is armed.
    pub armed: u64,
}

/// The one element of the map `CLOCK`, which the programs alone write, by atomic additions.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clock {
    /// Goes up before each move of a directory and after each rename. What was found earlier counts only while the sum of this
    /// and [`State::epoch`] is what it was.
    pub epoch: u64,
    /// Records of refusals.
    pub denials: u64,
    /// All other records.
    pub flags: u64,
}

impl State {
    /// The most roots: `keyblind` itself and seven slices that are always watched.
    pub const ROOTS: usize = 8;
}

/// Value of the map `SCOPES`, whose key is the id of the scope's cgroup.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scope {
    /// The set of guards that counts here.
    pub slot: u32,
    /// [`mode::ENFORCE`] or [`mode::AUDIT`].
    pub mode: u32,
    /// The policy generation it began with; only reported.
    pub generation: u32,
    /// Bits of [`ScopeFlags`].
    pub flags: u32,
}

/// What a scope may do beyond the default.
#[derive(Debug)]
pub struct ScopeFlags;

impl ScopeFlags {
    /// Processes of the scope may trace each other and read each other's memory.
    pub const DEBUG: u32 = 1;
    /// Unix stream sockets of processes outside the scope may be connected to.
    pub const FOREIGN_SOCKETS: u32 = 2;
    /// Report each program that is executed.
    pub const LINEAGE: u32 = 4;
}

/// Whether a scope refuses.
pub mod mode {
    /// What is guarded is refused.
    pub const ENFORCE: u32 = 0;
    /// What is guarded is reported and passes.
    pub const AUDIT: u32 = 1;
}

/// Value of the map `ARMED`, whose key is the thread (`pid_tgid`) that will open one object to enrol it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arm {
    /// The number that the object gets if it has none yet.
    pub object: u32,
    /// [`arm::WAITING`], then what became of it.
    pub state: u32,
    /// Found in the kernel: device as `s_dev` has it (20 bits of minor).
    pub device: u32,
    /// Found in the kernel: `i_generation`.
    pub generation: u32,
    /// Found in the kernel: `i_ino`.
    pub inode: u64,
}

/// What became of an armed open.
pub mod arm {
    /// Not opened yet.
    pub const WAITING: u32 = 0;
    /// Labelled, and the open was refused with ECANCELED: nothing was really opened.
    pub const DONE: u32 = 1;
    /// The kernel had no memory for the label or the key.
    pub const FAILED: u32 = 2;
}
