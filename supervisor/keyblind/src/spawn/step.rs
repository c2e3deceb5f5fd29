//! The steps between fork and exec, in words for the person who reads why one failed.

use std::fmt;

macro_rules! steps {
    ($($name:ident = $words:literal),+ $(,)?) => {
        /// A step of the child. The order is that of the code in `child.rs`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        #[expect(missing_docs, reason = "the words below are the documentation")]
        pub enum Step { $($name),+ }

        impl Step {
            /// Number of steps.
            pub const COUNT: usize = [$(Step::$name),+].len();

            pub(super) fn from_number(number: u16) -> Self {
                const ALL: [Step; Step::COUNT] = [$(Step::$name),+];
                ALL.get(usize::from(number)).copied().unwrap_or(Step::Unknown)
            }
        }

        impl fmt::Display for Step {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Step::$name => $words),+ })
            }
        }
    };
}

steps! {
    Unknown = "an unknown step",
    Session = "start a session for the run",
    MapIds = "map the user and group id in the new user namespace",
    Terminal = "make the pty the run's terminal",
    Private = "make mounts private",
    Root = "mount the run's root",
    Mount = "build the run's tree:",
    PivotRoot = "change to the run's root",
    Loopback = "bring up the loopback interface",
    Mark = "mark the tripwire",
    Limits = "set resource limits",
    BoundingSet = "drop the capability bounding set",
    Groups = "drop supplementary groups",
    Ids = "become the run's user",
    Capabilities = "drop capabilities",
    NoNewPrivileges = "set no_new_privs",
    DeathSignal = "set the parent-death signal",
    Gate = "show the run's tree to the supervisor",
    Fork = "fork the command's process",
    Reaper = "execute the reaper",
    ProcessGroup = "make the command's process group",
    Descriptors = "connect the command's streams",
    ChangeDirectory = "enter the working directory",
    LandlockRule = "grant in the Landlock domain:",
    Landlock = "enter the Landlock domain",
    Ready = "wait to be released",
    Seccomp = "install the seccomp filter",
    Execute = "execute the command",
}

impl Step {
    /// What to do about `errno`, as the end of the message.
    pub(super) fn advice(self, errno: i32) -> &'static str {
        match (self, errno) {
            (Step::MapIds, libc::EPERM | libc::EACCES) => {
                "; this host lets nobody map ids in a user namespace: set tier.minimum = \"in-place\", or start as root"
            }
            (Step::Mount, libc::EPERM | libc::EACCES) => {
                "; `keyblind doctor` says what this host lets a user mount"
            }
            (Step::Mount, libc::ENOENT) => "; it went away while the run was starting",
            (Step::ChangeDirectory, libc::EACCES) => {
                "; the run's user may not enter it: choose another with --cwd, or --user"
            }
            (Step::ChangeDirectory, libc::ENOENT) => {
                "; the run does not see it: add it to files.read or files.write"
            }
            (Step::Limits, libc::EPERM) => {
                "; a limit of policy is above the caller's own: lower [run] limits"
            }
            (Step::Fork, libc::EAGAIN) => "; the limit of processes is reached: raise [run] limits.processes",
            _ => "",
        }
    }
}
