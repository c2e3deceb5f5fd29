//! The guest that the tests run in.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The series of the running kernel, as `cargo xtask vm` spells it.
///
/// # Panics
/// If this is no guest.
pub(crate) fn kernel() -> String {
    std::env::var("KEYBLIND_KERNEL").expect("this test runs in a guest; start it with `cargo xtask vm`")
}

/// Whether `bpf` was asked for among the security modules.
pub(crate) fn has_bpf() -> bool {
    std::env::var("KEYBLIND_BPF").is_ok_and(|value| value == "1")
}

/// What a run must leave as it found it: processes, mounts, cgroups, and files where temporary ones are kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traces(BTreeSet<String>);

impl Traces {
    pub(crate) fn look() -> Self {
        let mut found = BTreeSet::new();
        for entry in fs::read_dir("/proc").expect("procfs").flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            // Threads of the kernel, which come and go, have no arguments.
            if entry.file_name().as_encoded_bytes()[0].is_ascii_digit() && !line.is_empty() {
                found.insert(format!("process {}", String::from_utf8_lossy(&line)));
            }
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        found.extend(mounts.lines().map(|line| format!("mount {line}")));
        for place in ["/sys/fs/cgroup", "/sys/fs/bpf"] {
            directories(Path::new(place), &mut found);
        }
        for place in ["/tmp", "/dev/shm", "/dev/mqueue", "/run"] {
            let entries = fs::read_dir(place).expect("a directory").flatten();
            found.extend(entries.map(|entry| format!("file {}", entry.path().display())));
        }
        Self(found)
    }

    /// What is here and was not there before.
    pub(crate) fn since<'a>(&'a self, before: &'a Self) -> Vec<&'a String> {
        self.0.difference(&before.0).collect()
    }
}

fn directories(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.insert(format!("directory {}", entry.path().display()));
            directories(&entry.path(), found);
        }
    }
}

#[test]
fn the_kernel_is_the_one_that_was_asked_for() {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    assert!(release.starts_with(&format!("{}.", kernel())), "{release}");
    let modules = fs::read_to_string("/sys/kernel/security/lsm").expect("the security modules");
    let listed = |name: &str| modules.trim().split(',').any(|module| module == name);
    assert!(listed("landlock"), "{modules}");
    assert_eq!(listed("bpf"), has_bpf(), "{modules}");
}

/// What the tests stand on: without it they would fail in ways that say nothing.
#[test]
fn the_guest_has_what_a_booted_host_has() {
    const KINDS: [&str; 11] = [
        "ext4",
        "proc",
        "sysfs",
        "devtmpfs",
        "devpts",
        "cgroup2",
        "bpf",
        "securityfs",
        "tracefs",
        "mqueue",
        "tmpfs",
    ];
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let kinds: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    for kind in KINDS {
        assert!(kinds.contains(&kind), "{kind} is not mounted: {kinds:?}");
    }
    assert!(fs::metadata("/sys/kernel/btf/vmlinux").is_ok_and(|meta| meta.len() > 0));
}
