#![forbid(unsafe_code)]
//! What a test needs from the machine. A skip is printed; in CI a skip of what the host has is a failure.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::start::Tier;

/// Something that a machine may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    Root,
    UserNamespace,
    Landlock,
    CgroupV2,
    Fanotify,
    Git,
    Python3,
    Pip,
    Npm,
    Node,
    Cargo,
    Gcc,
    Asan,
    Sqlite3,
    Tar,
    Curl,
    Java,
    Vim,
    Less,
    Top,
    Perl,
    /// A crash leaves a file in the working directory, as the kernel does by itself.
    CoreFile,
    /// TIOCSTI works on this kernel.
    TypeInto,
    IoUring,
    PerfEvents,
    /// The kernel runs 32-bit programs.
    Entry32,
    /// The programs for the kernel were built.
    Probes,
}

impl Feature {
    /// As `KEYBLIND_REQUIRE` spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::UserNamespace => "user-namespace",
            Self::Landlock => "landlock",
            Self::CgroupV2 => "cgroup-v2",
            Self::Fanotify => "fanotify",
            Self::Git => "git",
            Self::Python3 => "python3",
            Self::Pip => "pip",
            Self::Npm => "npm",
            Self::Node => "node",
            Self::Cargo => "cargo",
            Self::Gcc => "gcc",
            Self::Asan => "asan",
            Self::Sqlite3 => "sqlite3",
            Self::Tar => "tar",
            Self::Curl => "curl",
            Self::Java => "java",
            Self::Vim => "vim",
            Self::Less => "less",
            Self::Top => "top",
            Self::Perl => "perl",
            Self::CoreFile => "core-file",
            Self::TypeInto => "tiocsti",
            Self::IoUring => "io-uring",
            Self::PerfEvents => "perf-events",
            Self::Entry32 => "ia32",
            Self::Probes => "probes",
        }
    }
}

/// Why `feature` is not to be had here, or `None` if it is.
#[must_use]
pub fn absent(feature: Feature) -> Option<String> {
    let works = |words: &[&str], why: &str| (!succeeds(words)).then(|| why.to_owned());
    let program =
        |name: &str| works(&["sh", "-c", &format!("command -v {name}")], &format!("{name} is not installed"));
    match feature {
        Feature::Root => (!nix::unistd::geteuid().is_root()).then(|| "not started as root".to_owned()),
        Feature::UserNamespace => {
            let made = [
                "unshare",
                "--user",
                "--map-current-user",
                "--pid",
                "--fork",
                "--mount",
                "--mount-proc",
                "true",
            ];
            works(&made, "an ordinary user cannot make a user namespace with its own procfs")
        }
        Feature::Landlock => {
            let list = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
            let listed = list.split(',').any(|lsm| lsm.trim() == "landlock");
            // securityfs is not mounted everywhere; then the symbol of its system call says that it was built.
            let built = || {
                let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
                symbols.contains("landlock_restrict_self")
            };
            (!listed && !built()).then(|| "landlock is not among the kernel's security modules".to_owned())
        }
        Feature::CgroupV2 => {
            let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
            (!mounts.contains(" cgroup2 ")).then(|| "no cgroup v2 hierarchy is mounted".to_owned())
        }
        Feature::Fanotify => {
            let by_root = absent(Feature::Root);
            by_root
                .or_else(|| (!Path::new("/proc/sys/fs/fanotify").exists()).then(|| "no fanotify".to_owned()))
        }
        Feature::Python3 => works(&["/usr/bin/python3", "-c", "pass"], "/usr/bin/python3 does not run"),
        Feature::Pip => {
            works(&["/usr/bin/python3", "-c", "import ensurepip, venv"], "python3-venv is not installed")
        }
        Feature::Asan => {
            works(&["sh", "-c", "test -e \"$(cc -print-file-name=libasan.so)\""], "cc has no libasan")
        }
        Feature::Cargo => works(&["cargo", "--version"], "cargo does not run"),
        Feature::Java => works(&["javac", "-version"], "javac does not run"),
        Feature::CoreFile => {
            let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
            let here = !pattern.starts_with('|') && !pattern.starts_with('/');
            (!here).then(|| "core_pattern sends dumps elsewhere".to_owned())
        }
        Feature::IoUring => {
            let off = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
                .unwrap_or_else(|_| "0".to_owned());
            (off.trim() != "0").then(|| "kernel.io_uring_disabled is set".to_owned())
        }
        Feature::PerfEvents => {
            let paranoid =
                std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
            let open = paranoid.trim().parse::<i32>().is_ok_and(|level| level <= 2);
            (!open).then(|| "kernel.perf_event_paranoid refuses it to ordinary users".to_owned())
        }
        Feature::Entry32 => {
            (!Path::new("/proc/sys/abi/vsyscall32").exists()).then(|| "no 32-bit entry".to_owned())
        }
        Feature::Probes => {
            keyblind::guard::kernel::object().is_none().then(|| "built without probes".to_owned())
        }
        Feature::TypeInto => {
            let legacy = std::fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti")
                .unwrap_or_else(|_| "1".to_owned());
            (legacy.trim() != "1")
                .then(|| "dev.tty.legacy_tiocsti is off: the kernel refuses it to everyone".to_owned())
        }
        other => program(other.name()),
    }
}

/// Runs `words` as the ordinary user of the tests and says whether the status was 0.
fn succeeds(words: &[&str]) -> bool {
    let Some((program, args)) = words.split_first() else { return false };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if program != &"cargo" {
        // Where a run of the tests looks for programs, whatever this process's own PATH is.
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
        Tier::Bare.become_agent(&mut command);
    }
    command.status().is_ok_and(|status| status.success())
}

/// Prints that the running test is skipped and why, and adds it to the list that `KEYBLIND_SKIPS` names.
///
/// # Panics
/// If `KEYBLIND_REQUIRE`, a list with commas, names the feature.
pub fn skip(feature: Feature, reason: &str) {
    let required = std::env::var("KEYBLIND_REQUIRE").unwrap_or_default();
    let name = feature.name();
    assert!(!required.split(',').any(|one| one.trim() == name), "{name} is required here, but: {reason}");
    let line = format!("{}: {name}: {reason}\n", std::thread::current().name().unwrap_or("?"));
    // libtest captures only what the print macros write; this shows although the test passes.
    drop(write!(std::io::stderr(), "skipped {line}"));
    if let Some(list) = std::env::var_os("KEYBLIND_SKIPS") {
        let mut list =
            OpenOptions::new().append(true).create(true).open(list).expect("the list of skips opens");
        list.write_all(line.as_bytes()).expect("the list of skips takes a line");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_nowhere_is_absent() {
        assert!(!succeeds(&["keyblind-no-such-program"]));
        assert!(succeeds(&["sh", "-c", "exit 0"]));
        assert_eq!(absent(Feature::Tar), None);
    }
}
