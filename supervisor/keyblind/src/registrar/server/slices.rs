//! Slices of `[host]`: cgroups that are held to the host's guards although their processes never call keyblind.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Shared;
use super::state::{Held, State};
use crate::guard::kernel::PolicySlot;
use crate::policy::Slice;
use crate::registrar::enforce::Terms;
use crate::registrar::guards;
use crate::registrar::protocol::Layer;

/// Users whose homes are looked at: those that log in.
const MOST_USERS: usize = 32;

/// A slice that is held to guards.
#[derive(Debug)]
pub(super) struct HeldSlice {
    /// The cgroup's id: a slice that was stopped and started is another.
    id: u64,
    enforce: bool,
    held: Held,
}

impl HeldSlice {
    /// The cgroup's id.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Its set of guards.
    pub(super) fn slot(&self) -> Option<PolicySlot> {
        self.held.slot
    }
}

/// Holds the policy's slices to its guards: those that are new, are another cgroup by now, or began with another policy. A
/// slice that is not there is made: systemd takes an existing cgroup for its own, and nothing starts in it unguarded.
/// Errors are clauses for people.
pub(super) async fn hold(state: &Shared) -> Result<(), String> {
    if !state.borrow().enforcement.has(Layer::Files) {
        return Ok(());
    }
    let policy = state.borrow().policy();
    let host = &policy.policy.host;
    let flagged = host.flag.iter().map(|slice| (&slice.value, false));
    // Whatever is guarded as well as watched is guarded.
    let wanted: BTreeMap<&Slice, bool> =
        flagged.chain(host.always.iter().map(|slice| (&slice.value, true))).collect();
    let gone = {
        let state = state.borrow();
        let gone = state.slices.keys().filter(|slice| !wanted.contains_key(slice));
        gone.cloned().collect::<Vec<Slice>>()
    };
    for slice in gone {
        let mut state = state.borrow_mut();
        if let Some(old) = state.slices.remove(&slice) {
            release(&mut state, &old);
        }
    }
    let mount = state.borrow().hierarchy.mount().to_owned();
    let mut roots = Vec::new();
    for (slice, enforce) in wanted {
        let system = |error: io::Error| format!("slice {slice}: {}", crate::spawn::words(&error));
        let (id, top) = identity(&mount, slice).map_err(system)?;
        let level = u32::try_from(slice.level()).unwrap_or(u32::MAX);
        if !roots.contains(&(top, level)) {
            roots.push((top, level));
        }
        let same = state.borrow().slices.get(slice).is_some_and(|have| {
            have.id == id && have.enforce == enforce && have.held.policy.sha256 == policy.sha256
        });
        if same {
            continue;
        }
        let held = held(state).await?;
        let mut state = state.borrow_mut();
        if let Some(slot) = held.slot {
            state.enforcement.enter(id, Terms { slot, enforce })?;
        }
        let old = state.slices.insert(slice.clone(), HeldSlice { id, enforce, held });
        if let Some(old) = old {
            if old.id != id {
                release(&mut state, &old);
            } else {
                // The cgroup is held by the new set; only the old set goes.
                super::scopes::give_up(&mut state, &old.held);
            }
        }
    }
    let home =
        fs::metadata(state.borrow().hierarchy.home()).map_err(|error| crate::spawn::words(&error))?.ino();
    state.borrow_mut().enforcement.watch(home, &roots)
}

fn release(state: &mut State, old: &HeldSlice) {
    // It may be gone with its cgroup.
    let _gone = state.enforcement.leave(old.id);
    super::scopes::give_up(state, &old.held);
}

/// A set of guards over what all users have: in a slice anybody's processes may run.
async fn held(state: &Shared) -> Result<Held, String> {
    let policy = state.borrow().policy();
    let slot = state.borrow_mut().enforcement.open()?;
    let mut held = Held { slot: Some(slot), policy: policy.clone(), objects: Vec::new() };
    for (uid, gid) in users(&fs::read_to_string("/etc/passwd").unwrap_or_default()) {
        let found = guards::resolve(policy.clone(), guards::For { uid, gid, run: false }, None).await?;
        let mut state = state.borrow_mut();
        for target in found {
            match state.enforcement.enrol(slot, &target.protected()) {
                Ok(()) => held.objects.push(target.into_object()),
                Err(_) => state.not_enrolled(),
            }
        }
    }
    Ok(held)
}

/// Root and those who log in, with their primary groups (passwd(5)).
fn users(passwd: &str) -> Vec<(u32, u32)> {
    let users = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(2);
        let (uid, gid) = (fields.next()?.parse::<u32>().ok()?, fields.next()?.parse().ok()?);
        (uid == 0 || (1000..60_000).contains(&uid)).then_some((uid, gid))
    });
    users.take(MOST_USERS).collect()
}

/// The ids of a slice's cgroup and of the one above it at level 1.
fn identity(mount: &Path, slice: &Slice) -> io::Result<(u64, u64)> {
    let path = mount.join(slice.as_str());
    fs::create_dir_all(&path)?;
    let top = slice.as_str().split('/').next().unwrap_or_default();
    Ok((fs::metadata(&path)?.ino(), fs::metadata(mount.join(top))?.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_root_and_those_who_log_in() {
        let passwd = "root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\njo:x:1000:100::/home/jo:/bin/sh\n\
                      nobody:x:65534:65534::/:/bin/false\nbroken\n";
        assert_eq!(users(passwd), [(0, 0), (1000, 100)]);
    }
}
