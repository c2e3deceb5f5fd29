//! The guest that the tests run in.

use std::fs;

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
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let kinds: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    for kind in [
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
    ] {
        assert!(kinds.contains(&kind), "{kind} is not mounted: {kinds:?}");
    }
    assert!(fs::metadata("/sys/kernel/btf/vmlinux").is_ok_and(|meta| meta.len() > 0));
}
