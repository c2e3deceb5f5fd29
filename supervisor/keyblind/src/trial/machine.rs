//! Which host this is.

use std::fs;
use std::path::Path;

use keyblind_events::printable;
use nix::sys::utsname::uname;
use nix::unistd::{Uid, User};

use crate::host::Host;

/// This host and this binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    /// `PRETTY_NAME` of os-release(5).
    pub(crate) distribution: String,
    /// `uname -r`
    pub(crate) kernel: String,
    /// The caller: name, if it has one, and number.
    pub(crate) user: String,
    /// What says that this is a container; empty if nothing does.
    pub(crate) container: Vec<String>,
    /// What containers have and this host has although it is none.
    pub(crate) traces: Vec<String>,
}

impl Machine {
    pub(crate) fn look(host: &Host) -> Self {
        let (container, traces) = container(&namespace, &|path| Path::new(path).exists());
        Self {
            distribution: distribution(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
            kernel: uname()
                .map_or_else(|_| "unknown".to_owned(), |name| name.release().to_string_lossy().into_owned()),
            user: user(host.uid),
            container,
            traces,
        }
    }
}

/// `name (number)`, or the number alone.
pub(crate) fn user(uid: Uid) -> String {
    match User::from_uid(uid) {
        Ok(Some(user)) => format!("{} ({uid})", printable(user.name)),
        _ => format!("uid {uid}"),
    }
}

/// A user id that nobody has: runs of root can be tried as it without being somebody.
pub(crate) fn unused_uid() -> Option<u32> {
    // systemd's range for users that exist for one service only (systemd.exec(5), DynamicUser=).
    (61_184..=65_519).find(|uid| matches!(User::from_uid(Uid::from_raw(*uid)), Ok(None)))
}

fn distribution(os_release: &str) -> String {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(printable(line.trim_matches(['"', '\''])))
    };
    value("PRETTY_NAME").or_else(|| value("NAME")).unwrap_or_else(|| "unknown distribution".to_owned())
}

/// The inode of one of this process's namespaces.
fn namespace(kind: &str) -> Option<u64> {
    let link = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
    link.to_str()?.split(['[', ']']).nth(1)?.parse().ok()
}

/// What says that this is a container, and what only looks like it. The initial namespaces have fixed inodes
/// (include/linux/proc_ns.h); marker files are what runtimes leave, and what an image unpacked elsewhere keeps.
fn container(
    namespace: &dyn Fn(&str) -> Option<u64>,
    exists: &dyn Fn(&str) -> bool,
) -> (Vec<String>, Vec<String>) {
    const INITIAL: [(&str, u64); 3] = [("pid", 0xeffffffc), ("user", 0xeffffffd), ("cgroup", 0xeffffffb)];
    const MARKERS: [&str; 3] = ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"];
    let own: Vec<String> = INITIAL
        .iter()
        .filter(|(kind, initial)| namespace(kind).is_some_and(|inode| inode != *initial))
        .map(|(kind, _)| format!("own {kind} namespace"))
        .collect();
    let markers: Vec<String> =
        MARKERS.iter().filter(|path| exists(path)).map(|path| (*path).to_owned()).collect();
    if own.is_empty() { (own, markers) } else { (own.into_iter().chain(markers).collect(), Vec::new()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_is_named_as_it_names_itself() {
        let check = |text: &str, expect: &str| assert_eq!(distribution(text), expect, "{text}");
        check(
            "NAME=\"Debian GNU/Linux\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
            "Debian GNU/Linux 12 (bookworm)",
        );
        check("PRETTY_NAME_X=no\nNAME=Alpine\n", "Alpine");
        check("", "unknown distribution");
    }

    #[test]
    fn a_marker_file_alone_makes_no_container() {
        let initial = |kind: &str| {
            Some(if kind == "pid" { 0xeffffffc } else { 0xeffffffd }).filter(|_| kind != "cgroup")
        };
        let docker = |path: &str| path == "/.dockerenv";
        assert_eq!(container(&initial, &docker), (Vec::new(), vec!["/.dockerenv".to_owned()]));
        let own = |kind: &str| (kind == "pid").then_some(4_026_532_700);
        assert_eq!(
            container(&own, &docker),
            (vec!["own pid namespace".to_owned(), "/.dockerenv".to_owned()], Vec::new())
        );
    }

    #[test]
    fn an_unused_uid_has_no_entry() {
        let uid = unused_uid().expect("4,000 to choose from");
        assert_eq!(User::from_uid(Uid::from_raw(uid)), Ok(None));
    }
}
