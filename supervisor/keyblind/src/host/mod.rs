#![forbid(unsafe_code)]
//! What this host offers. The only module that asks; what to do about the answers is `plan`'s.

use std::fs;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability};
use nix::unistd::{AccessFlags, Gid, Uid, access, getegid, geteuid, getgroups};

use crate::sys;

mod person;
mod process;
mod survey;

pub use person::{Person, PersonError, person};
pub use process::{end_orphans, file_id, lineage};
pub use survey::{Found, Kind, Survey, survey};

/// Whether a feature can be had, with the evidence. Asked in the cheapest way that tells: what only a try can
/// show is tried when a run starts, and `doctor` tries everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// It can be had.
    Available,
    /// It cannot; what was seen, and what would change it.
    Missing {
        /// What was seen.
        evidence: String,
        /// What the operator can do.
        remedy: String,
    },
}

impl Support {
    fn missing(evidence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Missing { evidence: evidence.into(), remedy: remedy.into() }
    }

    /// Whether it can be had.
    pub fn is_available(&self) -> bool {
        *self == Self::Available
    }
}

/// This host, as the caller of keyblind meets it.
#[derive(Debug, Clone)]
pub struct Host {
    /// Effective user id of the caller.
    pub uid: Uid,
    /// Effective group id of the caller.
    pub gid: Gid,
    /// Supplementary groups of the caller. An ordinary user's run keeps them: they cannot be dropped without
    /// privilege.
    pub groups: Vec<Gid>,
    /// Whether user 0 here is the host's own root.
    pub initial_user_namespace: bool,
    /// CAP_SYS_ADMIN in the initial user namespace: mounts and fanotify.
    pub mounts: Support,
    /// An unprivileged user namespace with mounts and a fresh procfs.
    pub user_namespace: Support,
    /// CAP_SETUID and CAP_SETGID: becoming another user.
    pub switch_user: bool,
    /// Landlock's ABI version (landlock(7)); 0 without.
    pub landlock_abi: u32,
    /// Where cgroup v2 is mounted.
    pub cgroup: Option<PathBuf>,
    /// A directory for the run's cgroup can be made.
    pub cgroup_support: Support,
    /// Programs that guard addresses can be loaded and put at a cgroup (capabilities(7), bpf(2)).
    pub address_programs: Support,
    /// The host service guards files and processes of a run by kernel programs (BPF-LSM).
    pub kernel_programs: Support,
    /// The host service makes a cgroup for a run.
    pub scopes: Support,
    /// The host service puts programs that guard addresses at that cgroup.
    pub scope_addresses: Support,
}

impl Host {
    /// Asks the running kernel. Of the host service it knows nothing: `registrar::client::consult` does.
    pub fn probe() -> Self {
        let (uid, gid) = (geteuid(), getegid());
        let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
        let initial_user_namespace = initial_user_namespace();
        let mounts = if !has(Capability::CAP_SYS_ADMIN) {
            Support::missing("no CAP_SYS_ADMIN", "start as root with [run] user, or `sudo keyblind host up`")
        } else if !initial_user_namespace {
            Support::missing("root of a user namespace only", "start it outside the container")
        } else {
            Support::Available
        };
        let may_load = [Capability::CAP_BPF, Capability::CAP_PERFMON, Capability::CAP_NET_ADMIN];
        let address_programs = if !initial_user_namespace || !may_load.into_iter().all(has) {
            Support::missing(
                "addresses are limited by programs at the run's cgroup, which only root can load",
                "start it as root, or sudo keyblind host up, or --net loopback or none",
            )
        } else {
            Support::Available
        };
        let unserved = Support::missing("no keyblind host serves this machine", "sudo keyblind host up");
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let cgroup = cgroup_mount(&mountinfo);
        Self {
            uid,
            gid,
            groups: getgroups().unwrap_or_default(),
            initial_user_namespace,
            user_namespace: user_namespace(&mountinfo),
            cgroup_support: cgroup_support(cgroup.as_deref()),
            mounts,
            switch_user: has(Capability::CAP_SETUID) && has(Capability::CAP_SETGID),
            landlock_abi: sys::landlock_abi(),
            cgroup,
            address_programs,
            kernel_programs: unserved.clone(),
            scopes: unserved.clone(),
            scope_addresses: unserved,
        }
    }
}

/// user_namespaces(7): the initial one maps every id to itself.
pub(crate) fn initial_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().collect::<Vec<_>>() == ["0", "0", "4294967295"]
}

/// What the knobs say. A kernel may still refuse when it is tried; the run then falls to the next tier.
fn user_namespace(mountinfo: &str) -> Support {
    let knob = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    if knob("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") {
        return Support::missing(
            "user.max_user_namespaces = 0",
            "sudo sysctl user.max_user_namespaces=10000",
        );
    }
    if knob("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        return Support::missing(
            "kernel.unprivileged_userns_clone = 0",
            "sudo sysctl kernel.unprivileged_userns_clone=1",
        );
    }
    if knob("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        return Support::missing(
            "kernel.apparmor_restrict_unprivileged_userns = 1",
            "an AppArmor profile for keyblind that allows userns, or sudo keyblind host up",
        );
    }
    // The kernel gives no fresh procfs where something covers a part of the old one (mount_too_revealing).
    if let Some(over) = mount_points(mountinfo).find(|point| point.starts_with("/proc/")) {
        return Support::missing(
            format!("{over} is mounted over procfs, as in a container"),
            "run it outside the container, or with --security-opt systempaths=unconfined",
        );
    }
    Support::Available
}

/// Where cgroup v2 is mounted.
pub(crate) fn cgroup_v2() -> Option<PathBuf> {
    cgroup_mount(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

fn mount_points(mountinfo: &str) -> impl Iterator<Item = &str> {
    mountinfo.lines().filter_map(|line| line.split(' ').nth(4))
}

/// proc_pid_mountinfo(5): the file system type follows the separator "-".
fn cgroup_mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        (after.split(' ').next()? == "cgroup2").then(|| before.split(' ').nth(4).map(PathBuf::from))?
    })
}

fn cgroup_support(mount: Option<&Path>) -> Support {
    match mount {
        None => Support::missing("no cgroup v2 is mounted", "boot with systemd.unified_cgroup_hierarchy=1"),
        Some(path) if access(path, AccessFlags::W_OK).is_err() => Support::missing(
            format!("no right to make a cgroup in {}", path.display()),
            "sudo keyblind host up, or systemd-run --user --scope -p Delegate=yes",
        ),
        Some(_) => Support::Available,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup_mount_is_found_by_type() {
        let hybrid = "30 23 0:26 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
                      31 23 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroup_mount(hybrid), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(cgroup_mount("30 23 0:26 / /x rw - tmpfs cgroup2 rw\n"), None);
    }

    #[test]
    fn procfs_with_something_over_it_gives_no_user_namespace() {
        let docker = "1 0 0:1 / /proc rw - proc proc rw\n2 1 0:2 / /proc/kcore rw - tmpfs tmpfs rw\n";
        assert!(
            matches!(user_namespace(docker), Support::Missing { evidence, .. } if evidence.contains("/proc/kcore"))
        );
    }
}
