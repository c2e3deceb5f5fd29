//! What the child needs, complete before the fork: C strings, descriptors, plain numbers.

use std::ffi::{CString, c_char};
use std::os::fd::{OwnedFd, RawFd};

/// One step in building the run's tree. Paths are absolute in the new root; sources are paths of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// A directory; `own` gives it to the run's user. One that is there already is left as it is.
    Dir { at: CString, mode: u32, own: bool },
    /// An empty file; `own` as above.
    File { at: CString, mode: u32, own: bool },
    /// A symbolic link.
    Link { target: CString, at: CString },
    /// A private tmpfs with `mode=…,size=…` options; `own` gives its root to the run's user.
    Tmpfs { at: CString, options: CString, own: bool },
    /// The host's file or tree at `from`, sub-mounts included; read-only unless `writable`.
    Bind { from: CString, at: CString, writable: bool },
    /// A device node of the host.
    Device { from: CString, at: CString },
    /// A tripwire over something that a bind brought in.
    Cover { tripwire: CString, at: CString },
    /// procfs of the run's PID namespace.
    Proc { at: CString },
    /// A devpts instance of the run's own.
    Devpts { at: CString },
    /// The message queues of the run's IPC namespace.
    Mqueue { at: CString },
    /// A layer over the host's directory at `from`, which is bound to `at` first; options `lowerdir=` that place,
    /// `upperdir=…,workdir=…`
    Overlay { from: CString, options: CString, at: CString },
    /// What is at `at` becomes a mount of its own that is read-only.
    Frozen { at: CString },
    /// What is mounted at `at` is out of reach from here on; mounts that use it keep it.
    Detach { at: CString },
}

/// How the child becomes the run's user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The caller's ids, mapped to themselves in a user namespace; lines for the map files.
    Mapped { uid_map: CString, gid_map: CString },
    /// Started by root: these ids, no supplementary groups.
    Switch { uid: u32, gid: u32 },
    /// The caller's ids, unchanged.
    Same,
}

/// A run's descriptors in the child. All are above 9 and close on exec.
#[derive(Debug)]
pub struct Descriptors {
    /// stdin, stdout and stderr of the command: our pipes or our pty.
    pub stdio: [OwnedFd; 3],
    /// The terminal that the run's session gets as its controlling terminal.
    pub terminal: Option<OwnedFd>,
}

/// A Landlock ruleset of the parent's making. Rules name paths of the new tree, so the child adds them.
#[derive(Debug)]
pub struct Landlock {
    /// The ruleset.
    pub ruleset: OwnedFd,
    /// Path and `LANDLOCK_ACCESS_FS_*` bits.
    pub rules: Vec<(CString, u64)>,
}

/// Marks that the child sets on its tripwires while it still may (CAP_SYS_ADMIN in the initial user namespace).
#[derive(Debug)]
pub struct Marks {
    /// The supervisor's fanotify group.
    pub group: OwnedFd,
    /// What to mark, and with which event mask.
    pub objects: Vec<(CString, u64)>,
}

/// Both ends of the socket of [`Prepared::gate`].
#[derive(Debug)]
pub struct Gate {
    /// The child's.
    pub child: OwnedFd,
    /// The number of the parent's, which the child closes.
    pub parent: RawFd,
}

/// Null-terminated vector of pointers for execve(2), with the strings it points to.
#[derive(Debug)]
pub struct Strings {
    owned: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    /// Takes the strings in order.
    pub fn new(owned: Vec<CString>) -> Self {
        let pointers = owned.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect();
        Self { owned, pointers }
    }

    /// For execve(2); valid as long as `self`.
    pub fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }

    /// The strings, for display.
    pub fn strings(&self) -> &[CString] {
        &self.owned
    }
}

/// Everything that happens between fork and exec.
#[derive(Debug)]
pub struct Prepared {
    /// `CLONE_NEW*` flags; 0 when the run is in place.
    pub namespaces: u64,
    /// Who the command runs as.
    pub identity: Identity,
    /// The tree, in order of making; empty when the run is in place.
    pub mounts: Vec<Mount>,
    /// Brings up `lo` in the run's own network namespace.
    pub loopback: bool,
    /// `RLIMIT_*` and the value for both limits.
    pub limits: Vec<(u32, u64)>,
    /// The Landlock domain; `None` only where policy lets a run start without.
    pub landlock: Option<Landlock>,
    /// seccomp programs, installed in this order.
    pub filters: Vec<&'static [u8]>,
    /// Tripwires to mark.
    pub marks: Option<Marks>,
    /// The child's end of a socket on which it shows its root when the tree is built, and waits for a byte before there is
    /// a second process: what has to be done to the tree or to the process from outside is done meanwhile.
    pub gate: Option<Gate>,
    /// The run's cgroup (CLONE_INTO_CGROUP).
    pub cgroup: Option<OwnedFd>,
    /// Working directory of the command.
    pub cwd: CString,
    /// What to execute, first that is there: one path, or one per PATH entry.
    pub candidates: Vec<CString>,
    /// The command's arguments.
    pub argv: Strings,
    /// For each candidate the vector with which sh(1) executes it, should it be a script without `#!`:
    /// `sh CANDIDATE ARG… NULL`, one after the other.
    pub script_argv: Vec<*const c_char>,
    /// The command's variables.
    pub envp: Strings,
    /// File mode creation mask of the caller.
    pub umask: u32,
    /// The signal mask that keyblind was started with.
    pub signal_mask: libc::sigset_t,
    /// Streams.
    pub descriptors: Descriptors,
}

impl Prepared {
    /// Pointers of one candidate in `script_argv`: sh, the candidate, the arguments after the first, and null.
    pub(super) fn script_argv_stride(&self) -> usize {
        2 + self.argv.strings().len()
    }

    /// Fills `script_argv` from `candidates` and `argv`.
    pub fn scripts(candidates: &[CString], argv: &Strings) -> Vec<*const c_char> {
        let arguments = argv.strings().iter().skip(1).map(|string| string.as_ptr());
        candidates
            .iter()
            .flat_map(|candidate| {
                [c"sh".as_ptr(), candidate.as_ptr()]
                    .into_iter()
                    .chain(arguments.clone())
                    .chain([std::ptr::null()])
            })
            .collect()
    }
}

impl Mount {
    /// The step's object, for a message.
    pub(super) fn describe(&self) -> String {
        let text = |string: &CString| string.to_string_lossy().into_owned();
        match self {
            Self::Dir { at, .. }
            | Self::File { at, .. }
            | Self::Tmpfs { at, .. }
            | Self::Proc { at }
            | Self::Devpts { at }
            | Self::Mqueue { at }
            | Self::Cover { at, .. }
            | Self::Overlay { at, .. }
            | Self::Frozen { at }
            | Self::Detach { at } => text(at),
            Self::Link { target, at } => format!("{} -> {}", text(at), text(target)),
            Self::Bind { from, at, .. } | Self::Device { from, at } if from == at => text(at),
            Self::Bind { from, at, .. } | Self::Device { from, at } => {
                format!("{} at {}", text(from), text(at))
            }
        }
    }
}
