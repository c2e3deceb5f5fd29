//! What the programs report.

/// Where a question was asked. The number indexes the counters.
#[repr(u16)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// A file was opened.
    FileOpen = 0,
    /// A process looked into another.
    PtraceAccess = 1,
    /// An object got another name.
    InodeRename = 2,
    /// An object got one more name.
    InodeLink = 3,
    /// A file, directory, symbolic link or node was made.
    InodeCreate = 4,
    /// A name was removed.
    InodeUnlink = 5,
    /// Size, mode or owner changed.
    InodeSetattr = 6,
    /// A descriptor arrived over a socket.
    FileReceive = 7,
    /// A Unix stream socket was connected.
    UnixConnect = 8,
    /// A signal was sent.
    TaskKill = 9,
    /// bpf(2).
    Bpf = 10,
    /// A program was executed.
    Exec = 11,
    /// An IPv4 address was connected or sent to.
    Connect4 = 12,
    /// An IPv6 address was connected or sent to.
    Connect6 = 13,
}

/// All hooks, in the order of their numbers.
pub const HOOKS: &[(Hook, &str)] = &[
    (Hook::FileOpen, "file_open"),
    (Hook::PtraceAccess, "ptrace_access_check"),
    (Hook::InodeRename, "inode_rename"),
    (Hook::InodeLink, "inode_link"),
    (Hook::InodeCreate, "inode_create"),
    (Hook::InodeUnlink, "inode_unlink"),
    (Hook::InodeSetattr, "inode_setattr"),
    (Hook::FileReceive, "file_receive"),
    (Hook::UnixConnect, "unix_stream_connect"),
    (Hook::TaskKill, "task_kill"),
    (Hook::Bpf, "bpf"),
    (Hook::Exec, "bprm_committed_creds"),
    (Hook::Connect4, "connect4"),
    (Hook::Connect6, "connect6"),
];

/// What is counted for each hook. The element of the map `COUNTERS` is `hook * Counter::KINDS + kind`.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Questions from scopes that could not be answered from what was found before.
    Asked = 0,
    /// Refusals.
    Denied = 1,
    /// Reported and passed.
    Flagged = 2,
    /// Refusals whose record found no room.
    LostDenials = 3,
    /// Other records that found no room.
    LostFlags = 4,
}

impl Counter {
    /// Kinds per hook.
    pub const KINDS: u32 = 8;
}

/// What was answered.
#[repr(u16)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// Passed.
    #[default]
    Allow = 0,
    /// Passed and reported.
    Flag = 1,
    /// Refused with EACCES.
    Deny = 2,
    /// Refused with ENOENT.
    Hide = 3,
}

/// Why.
#[repr(u16)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reason {
    /// Nothing was guarded.
    #[default]
    None = 0,
    /// The object itself is guarded.
    Object = 1,
    /// It lies below a guarded directory.
    Below = 2,
    /// Its name is guarded.
    Name = 3,
    /// It had a guarded name.
    Named = 4,
    /// It is an entry of procfs that is not to be read.
    Procfs = 5,
    /// More levels than are walked lie above it.
    Depth = 6,
    /// It does not hang on the root of its file system.
    Detached = 7,
    /// The move would take it out of the tree in which names are guarded.
    NamesTaken = 8,
    /// It contains something that must not be moved.
    Holds = 9,
    /// Another process's memory or descriptors.
    Process = 10,
    /// A process outside the scope.
    Foreign = 11,
    /// Something that controls the guard: bpf(2), its pins, tracing, control groups.
    Control = 12,
    /// A guarded address.
    Address = 13,
    /// The kernel had no memory, or a map was full.
    Failure = 14,
    /// Not a refusal: a program was executed.
    Executed = 15,
}

/// One report. Numbers in the byte order of the machine.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Counts the records of its lane from 1, also those that found no room.
    pub sequence: u64,
    /// CLOCK_BOOTTIME, nanoseconds.
    pub time: u64,
    /// The scope's cgroup id.
    pub scope: u64,
    /// When the thread group began (CLOCK_BOOTTIME, nanoseconds): with `tgid` and the boot it names a process.
    pub started: u64,
    /// `i_ino` of the object, or 0.
    pub inode: u64,
    /// A [`Hook`].
    pub hook: u16,
    /// An [`Outcome`].
    pub outcome: u16,
    /// A [`Reason`].
    pub reason: u16,
    /// Bytes of `name` that count.
    pub name_len: u16,
    /// The guard's number; 0 where none decided.
    pub guard: u32,
    /// The scope's set of guards.
    pub slot: u32,
    /// The scope's policy generation.
    pub generation: u32,
    /// Process, in the initial PID namespace.
    pub tgid: u32,
    /// Thread, in the initial PID namespace.
    pub tid: u32,
    /// The process's parent.
    pub parent: u32,
    /// Real user id, in the initial user namespace.
    pub uid: u32,
    /// `s_dev` of the object.
    pub device: u32,
    /// `i_generation` of the object.
    pub object_generation: u32,
    /// Bits of [`Access`](crate::Access), a ptrace mode, a signal or a bpf(2) command, by hook.
    pub access: u32,
    /// The process that was looked into or signalled.
    pub target: u32,
    /// Port of an address, in host order.
    pub port: u32,
    /// An IPv6 address, or an IPv4 address mapped into one, in network order.
    pub address: [u8; 16],
    /// The thread's name.
    pub command: [u8; 16],
    /// The last component of the path that was used: best effort, for people.
    pub name: [u8; 64],
}

impl Record {
    /// Bytes of a record.
    pub const SIZE: usize = size_of::<Self>();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_listed_in_the_order_of_their_numbers() {
        for (number, (hook, _)) in HOOKS.iter().enumerate() {
            assert_eq!(*hook as usize, number);
        }
    }

    #[test]
    fn a_record_has_no_padding() {
        assert_eq!(Record::SIZE, 5 * 8 + 4 * 2 + 12 * 4 + 16 + 16 + 64);
    }
}
