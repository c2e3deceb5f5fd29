//! Who did it and to what: processes, files, addresses.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// One process. With [`super::Context::boot_id`], `pid` and `start_ticks` name it for good: pids are used
/// again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Thread group id in the supervisor's PID namespace.
    pub pid: u32,
    /// Start time in clock ticks since boot, field 22 of `/proc/PID/stat` (proc_pid_stat(5)).
    pub start_ticks: Option<u64>,
    /// Effective user id at the time of the event, in the supervisor's user namespace.
    pub uid: Option<u32>,
    /// The name it gives itself (`/proc/PID/comm`): shown, never trusted.
    pub name: Option<OsString>,
    /// The executable as the supervisor sees its path.
    pub exe: Option<PathBuf>,
    /// Identity of the executable.
    pub exe_file: Option<FileId>,
    /// Hash of the executable's content when it was executed.
    pub exe_sha256: Option<Sha256>,
}

impl Process {
    /// The process `pid`, of which nothing else is known.
    pub fn new(pid: u32) -> Self {
        Self { pid, ..Self::default() }
    }
}

/// What an event was done to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// The guard that protects it: `aws.credentials`.
    pub guard: Option<String>,
    /// Which line of the guard or of the policy matched: `name .env.local`, `/etc/keyblind/policy.toml:41`.
    pub rule: Option<String>,
    /// Why policy protects it.
    pub reason: Option<String>,
    /// The path by which it was reached, best effort: the process may have raced it.
    pub path: Option<PathBuf>,
    /// The path that policy protects, where it differs from the one observed.
    pub guarded_path: Option<PathBuf>,
    /// Identity of the file: the truth where paths are an opinion.
    pub file: Option<FileId>,
    /// The process that it was done to, or whose procfs entry it is.
    pub process: Option<Process>,
    /// The address it would have connected to.
    pub address: Option<Address>,
}

/// A file's identity: st_dev, st_ino (stat(2)), and the generation that tells a reused inode number apart
/// where the file system has one (FS_IOC_GETVERSION).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Major number of the device.
    pub major: u32,
    /// Minor number of the device.
    pub minor: u32,
    /// Inode number.
    pub inode: u64,
    /// Inode generation.
    pub generation: Option<u32>,
}

/// Where a connection was to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An IPv4 or IPv6 address and port.
    Inet(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
    /// An abstract socket (unix(7)), without its leading NUL byte.
    Abstract(OsString),
}

/// The hash of an executable.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256(pub [u8; 32]);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

impl FromStr for Sha256 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || "not 64 hex digits".to_owned();
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut hash = [0; 32];
        for (at, byte) in hash.iter_mut().enumerate() {
            let pair = text.get(2 * at..2 * at + 2).ok_or_else(bad)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_not_hex| bad())?;
        }
        Ok(Self(hash))
    }
}

/// An error number of the kernel (errno(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl Errno {
    /// Permission denied: the errno of BPF-LSM and of the opener.
    pub const EACCES: Self = Self(nix::errno::Errno::EACCES as i32);
    /// Operation not permitted: the errno of fanotify and of seccomp.
    pub const EPERM: Self = Self(nix::errno::Errno::EPERM as i32);
    /// No such file: the errno of absence.
    pub const ENOENT: Self = Self(nix::errno::Errno::ENOENT as i32);

    /// Its name, `EACCES`; none for a number that Linux does not use.
    pub fn name(self) -> Option<String> {
        let known = nix::errno::Errno::from_raw(self.0);
        (known != nix::errno::Errno::UnknownErrno).then(|| format!("{known:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_has_a_name_where_linux_has_one() {
        assert_eq!(Errno(13).name().as_deref(), Some("EACCES"));
        assert_eq!(Errno::ENOENT.name().as_deref(), Some("ENOENT"));
        assert_eq!(Errno(0).name(), None);
        assert_eq!(Errno(9999).name(), None);
    }

    #[test]
    fn hashes_are_hex() {
        let hash = Sha256(std::array::from_fn(|n| u8::try_from(n * 8).unwrap()));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for bad in ["", "9f2c", &"g".repeat(64), &"é".repeat(32)] {
            assert!(bad.parse::<Sha256>().is_err(), "{bad}");
        }
    }
}
