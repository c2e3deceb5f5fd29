//! Why there is no kernel tier, and what went wrong in one.

use std::io;
use std::path::PathBuf;

/// Why this host has no kernel tier. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The binary carries no programs.
    #[error("built without probes; build with `cargo xtask build`, after `cargo xtask setup`")]
    NotBuilt,
    /// Only root may load programs.
    #[error("not permitted: loading kernel programs needs root; start `sudo keyblind host up`")]
    NotRoot,
    /// The security module is not active.
    #[error("bpf is not in the list of security modules ({active}); boot with lsm={active},bpf")]
    NotListed {
        /// What is active.
        active: String,
    },
    /// securityfs cannot be read.
    #[error("the list of security modules cannot be read: {path}: {source}; mount securityfs there", path = path.display())]
    NoSecurityfs {
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// No type information.
    #[error("the kernel has no type information at {path}: {source}; use a kernel with CONFIG_DEBUG_INFO_BTF", path = path.display())]
    NoBtf {
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// The type information cannot be read.
    #[error("the kernel's type information: {0}")]
    Malformed(#[from] super::btf::Malformed),
    /// A field that the programs read is not where any kernel known to us has it.
    #[error(
        "this kernel's struct {structure} has no member {member}; this version of keyblind does not know the kernel"
    )]
    FieldMissing {
        /// The structure.
        structure: &'static str,
        /// The member, as a path.
        member: String,
    },
    /// A hook does not exist.
    #[error("this kernel has no function {function}; 6.1 is the oldest with all hooks")]
    HookMissing {
        /// The function that a program is attached to.
        function: String,
    },
    /// Programs are skipped when they are active on the CPU already, and what they guard is then allowed.
    #[error(
        "this kernel skips a security program that is active on the same CPU already; use 6.1.56 or later"
    )]
    SkipsOnRecursion,
    /// Lockdown forbids reading kernel memory.
    #[error(
        "kernel lockdown is in confidentiality mode, which forbids programs that read kernel memory; boot with lockdown=integrity"
    )]
    Lockdown,
    /// The module is listed, and the kernel refuses the program nevertheless.
    #[error(
        "bpf is in the list of security modules, but loading lsm/file_open: {source}; this kernel refuses it, use tier mount"
    )]
    Refused {
        /// What the kernel said.
        source: io::Error,
    },
    /// No control groups of version 2.
    #[error("no cgroup v2 is mounted; mount one: mount -t cgroup2 none /sys/fs/cgroup")]
    NoCgroup2,
}

/// What went wrong in the kernel tier.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// There cannot be one.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The object could not be loaded.
    #[error("kernel programs: {0}")]
    Load(#[from] aya::EbpfError),
    /// A program was not accepted.
    #[error("kernel program {program}: {source}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What the kernel said, the verifier's words included.
        source: Box<aya::programs::ProgramError>,
    },
    /// A map could not be read or written.
    #[error("kernel map {map}: {source}")]
    Map {
        /// Its name.
        map: &'static str,
        /// What the kernel said.
        source: Box<aya::maps::MapError>,
    },
    /// A pin could not be made, opened or removed.
    #[error("{path}: {source}; is bpffs mounted there?", path = path.display())]
    Pin {
        /// The pin.
        path: PathBuf,
        /// What the kernel said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A map or program of the object is not there.
    #[error("the object has no {0}; rebuild with `cargo xtask build`")]
    Absent(&'static str),
    /// An object could not be enrolled.
    #[error("{what} could not be enrolled: {why}")]
    Enrol {
        /// The object.
        what: String,
        /// The cause and the fix.
        why: String,
    },
    /// What was tried to prove that the guard works did not come out.
    #[error("the self-test failed: {0}; nothing is enforced")]
    SelfTest(String),
}
