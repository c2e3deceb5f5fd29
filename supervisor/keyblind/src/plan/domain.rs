//! The run's Landlock domain: what it may do with what it sees. In place it is also all that keeps the rest away.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};

use super::Request;
use super::places::{PRIVATE, Place, SYSFS};

/// The newest ABI whose rights were thought through here.
const NEWEST: ABI = ABI::V7;

/// Every right that this kernel's Landlock handles.
pub(super) fn handled(abi: u32) -> BitFlags<AccessFs> {
    // No more than the ruleset handles: a right beyond it makes the rule invalid (landlock_add_rule(2)).
    AccessFs::from_all(ABI::from(i32::try_from(abi).unwrap_or(0).min(NEWEST as i32)))
}

/// An empty ruleset for everything that this kernel handles, with scopes for signals and abstract sockets if `scopes`.
/// `None` where the kernel has no Landlock.
pub fn ruleset(scopes: bool) -> std::io::Result<Option<OwnedFd>> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .map_err(std::io::Error::other)?;
    let ruleset = if scopes { ruleset.scope(Scope::from_all(NEWEST)) } else { Ok(ruleset) };
    let made = ruleset.and_then(Ruleset::create).map_err(std::io::Error::other)?;
    Ok(made.into())
}

/// What the run's terminal needs where it is a node of the host.
pub fn terminal_rights(abi: u32) -> u64 {
    ((AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev) & handled(abi)).bits()
}

/// What a file, as opposed to a directory, can be granted.
fn of_files() -> BitFlags<AccessFs> {
    AccessFs::Execute | AccessFs::WriteFile | AccessFs::ReadFile | AccessFs::Truncate | AccessFs::IoctlDev
}

/// Grants by path; a path grants what lies below it as well.
pub(super) fn grants(
    places: &[Place],
    request: &Request,
    home: Option<&Path>,
    in_place: bool,
    abi: u32,
) -> Vec<(PathBuf, u64)> {
    let all = handled(abi);
    let read = AccessFs::Execute | AccessFs::ReadFile | AccessFs::ReadDir;
    // A device node in a directory of the run's own would reach hardware; the filter refuses mknod as well.
    let write = all & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let mut grants: Vec<(PathBuf, BitFlags<AccessFs>)> = Vec::new();
    for place in places {
        let rights = if place.writable { write } else { read };
        let rights = if place.is_directory() { rights } else { rights & of_files() };
        grants.push((place.path.clone(), rights));
    }
    grants.push(("/proc".into(), read | AccessFs::WriteFile));
    let device: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    if in_place {
        for node in ["null", "zero", "full", "random", "urandom", "tty"] {
            grants.push((Path::new("/dev").join(node), device));
        }
        grants.extend(SYSFS.iter().map(PathBuf::from).filter(|path| path.exists()).map(|path| (path, read)));
        grants.push((request.scratch.clone(), write));
    } else {
        // Names only; absence says the rest.
        grants.push(("/".into(), AccessFs::ReadDir.into()));
        grants.push(("/dev".into(), device | AccessFs::ReadDir | AccessFs::Truncate));
        for path in ["/sys", "/run", "/var"] {
            grants.push((path.into(), read));
        }
        grants.extend(PRIVATE.iter().map(|path| (PathBuf::from(path), write)));
        grants.extend(home.map(|home| (home.to_owned(), write)));
    }
    grants
        .into_iter()
        .map(|(path, rights)| (path, (rights & all).bits()))
        .filter(|(_, rights)| *rights != 0)
        .collect()
}
