//! What this host's kernel lets the registrar enforce, layer by layer.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use keyblind_abi::{Root, Scope, mode};

use super::protocol::{Access, Action, Layer, LayerReport};
use crate::guard::AddressPrograms;
use crate::guard::kernel::{Guard, How, Kernel, NameGuard, PolicySlot, Reach, Refuses, Report, Reports};
use crate::sys;

/// The kernel's side: programs, and the tables that they go by.
#[derive(Debug)]
pub(super) struct Enforcement {
    programs: Option<Programs>,
    layers: Vec<LayerReport>,
}

#[derive(Debug)]
struct Programs {
    kernel: Kernel,
    reports: Reports,
    slots: BTreeSet<u32>,
    /// By set of guards: the directories below which names count, by device and inode, in the order of their sets.
    trees: HashMap<u32, Vec<(u64, u64)>>,
}

/// What a cgroup is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) slot: PolicySlot,
    /// Refuse, or report and let pass.
    pub(super) enforce: bool,
}

/// A guard as the kernel takes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Protected<'a> {
    /// What reports call it; not 0.
    pub(super) number: u32,
    pub(super) access: Access,
    pub(super) action: Action,
    /// The object, or the directory below which a name counts.
    pub(super) object: BorrowedFd<'a>,
    pub(super) name: Option<&'a [u8]>,
    /// The object only contains what is guarded: it must not be moved.
    pub(super) holds: bool,
}

/// Sets of guards from here on are not given out: the kernel's self-test has the last one.
const MOST_SLOTS: u32 = PolicySlot::MOST - 1;

impl Enforcement {
    /// Loads what can be loaded, or adopts it, and says of the rest why not. `home` is the cgroup of all scopes.
    pub(super) fn start(pins: &Path, home: &Path) -> Self {
        let started = Kernel::start(pins, home).and_then(|kernel| {
            let reports = kernel.reports()?;
            let slots = kernel.scopes()?.into_iter().map(|(_, scope)| scope.slot).collect();
            Ok(Programs { kernel, reports, slots, trees: HashMap::new() })
        });
        let (programs, files) = match started {
            Ok(programs) => {
                (Some(programs), Ok("lsm/file_open and kin refuse and let pass, as just tried".to_owned()))
            }
            Err(error) => (None, Err(error.to_string())),
        };
        let report = |layer, state: Result<String, String>| {
            let (enforced, why) = state.map_or_else(|why| (false, why), |why| (true, why));
            LayerReport { layer, enforced, why }
        };
        // Loaded and dropped: whether the kernel takes them only a load proves.
        let addresses = AddressPrograms::load(&[], true);
        let addresses = addresses
            .map(|_taken| "cgroup/connect4,6 and sendmsg4,6 were loaded just now".to_owned())
            .map_err(|error| error.to_string());
        let scopes =
            Ok("cgroup v2: every process of a run is in its scope, and is killed with it".to_owned());
        let layers = vec![
            report(Layer::Files, files),
            report(Layer::Addresses, addresses),
            report(Layer::Scope, scopes),
        ];
        Self { programs, layers }
    }

    /// Each layer.
    pub(super) fn layers(&self) -> &[LayerReport] {
        &self.layers
    }

    /// Whether the layer is in force.
    pub(super) fn has(&self, layer: Layer) -> bool {
        self.layers.iter().any(|report| report.layer == layer && report.enforced)
    }

    fn programs(&mut self) -> Result<&mut Programs, String> {
        self.programs.as_mut().ok_or_else(|| "files are not guarded on this host".to_owned())
    }

    /// A new, empty set of guards. Errors are clauses for people.
    pub(super) fn open(&mut self) -> Result<PolicySlot, String> {
        let programs = self.programs()?;
        let free = (1..=MOST_SLOTS).find(|number| !programs.slots.contains(number));
        let slot = free.and_then(PolicySlot::new).ok_or("all sets of guards are in use; end some runs")?;
        programs.slots.insert(slot.number());
        Ok(slot)
    }

    /// Puts a guard into a set. The object's descriptor must stay open as long as it counts.
    pub(super) fn enrol(&mut self, slot: PolicySlot, guard: &Protected<'_>) -> Result<(), String> {
        let programs = self.programs()?;
        let (mode, id) =
            sys::unhurried_identity(guard.object).map_err(|error| crate::spawn::words(&error))?;
        let how = match guard.action {
            Action::Deny | Action::Allow => How::Deny,
            Action::Hide => How::Hide,
            Action::Flag => How::Flag,
        };
        let refuses = match (guard.action, guard.access) {
            (Action::Allow, _) => Refuses::Nothing,
            (_, Access::Read) => Refuses::Opening,
            (_, Access::Write) => Refuses::Changing,
        };
        let (number, object) = (guard.number, guard.object);
        let enrolled = match guard.name {
            None => {
                let directory = mode & libc::S_IFMT == libc::S_IFDIR;
                let reach = match (guard.holds, directory) {
                    (true, _) => Reach::Holds,
                    (false, true) => Reach::Tree,
                    (false, false) => Reach::Object,
                };
                let guard = Guard { number, object, reach, refuses, how };
                programs.kernel.enrol(slot, &guard).map(drop)
            }
            Some(name) if name.contains(&b'*') => {
                return Err("a name with * is judged by its content, which is not built yet".to_owned());
            }
            Some(name) => {
                let trees = programs.trees.entry(slot.number()).or_default();
                let known = trees.iter().position(|tree| *tree == id);
                let set = u32::try_from(known.unwrap_or(trees.len())).unwrap_or(u32::MAX);
                let guard = NameGuard { number, under: object, names: &[name], set, refuses, how };
                let named = match known {
                    Some(_) => programs.kernel.enrol_more_names(slot, &guard),
                    None => programs.kernel.enrol_names(slot, &guard).map(drop),
                };
                if named.is_ok() && known.is_none() {
                    trees.push(id);
                }
                named
            }
        };
        enrolled.map_err(|error| error.to_string())
    }

    /// Takes a set back; no scope goes by it any more.
    pub(super) fn withdraw(&mut self, slot: PolicySlot) -> Result<(), String> {
        let programs = self.programs()?;
        programs.kernel.withdraw(slot).map_err(|error| error.to_string())?;
        programs.slots.remove(&slot.number());
        programs.trees.remove(&slot.number());
        Ok(())
    }

    /// Takes back the sets that a service of before has left and nothing goes by.
    pub(super) fn withdraw_others(&mut self, used: &[PolicySlot]) {
        let Some(programs) = &self.programs else { return };
        let others = programs.slots.iter().filter_map(|number| PolicySlot::new(*number));
        for slot in others.filter(|slot| !used.contains(slot)).collect::<Vec<_>>() {
            // A set that stays costs its number, and guards nothing.
            let _stays = self.withdraw(slot);
        }
    }

    /// What is in this cgroup, or below it, is held to a set of guards from now on.
    pub(super) fn enter(&mut self, cgroup: u64, terms: Terms) -> Result<(), String> {
        let mode = if terms.enforce { mode::ENFORCE } else { mode::AUDIT };
        let scope = Scope { slot: terms.slot.number(), mode, ..Scope::default() };
        self.programs()?.kernel.enter_scope(cgroup, &scope).map_err(|error| error.to_string())
    }

    /// The cgroup is gone.
    pub(super) fn leave(&mut self, cgroup: u64) -> Result<(), String> {
        self.programs()?.kernel.leave_scope(cgroup).map_err(|error| error.to_string())
    }

    /// The cgroups that are held to guards, and which; those of a service of before included.
    pub(super) fn entered(&self) -> Vec<(u64, Option<PolicySlot>)> {
        let scopes = self.programs.as_ref().and_then(|programs| programs.kernel.scopes().ok());
        scopes.unwrap_or_default().into_iter().map(|(id, scope)| (id, PolicySlot::new(scope.slot))).collect()
    }

    /// Watches slices besides the scopes: the level-1 cgroup above each, and its level. At most seven.
    pub(super) fn watch(&mut self, home: u64, slices: &[(u64, u32)]) -> Result<(), String> {
        let root = |(id, level): (u64, u32)| Root { id, level, reserved: 0 };
        let roots: Vec<Root> = [(home, 2)].into_iter().chain(slices.iter().copied()).map(root).collect();
        if roots.len() > keyblind_abi::State::ROOTS {
            return Err("more slices than the kernel programs can watch; name at most seven".to_owned());
        }
        self.programs()?.kernel.watch(&roots).map_err(|error| error.to_string())
    }

    /// Readable when there is something to report.
    pub(super) fn readiness(&self) -> Option<OwnedFd> {
        self.programs.as_ref()?.reports.as_fd().try_clone_to_owned().ok()
    }

    /// The next report, without waiting.
    pub(super) fn next(&mut self) -> Option<Report> {
        self.programs.as_mut()?.reports.next()
    }

    /// Takes everything back: nothing is guarded any more.
    pub(super) fn stop(self) -> Result<(), String> {
        match self.programs {
            Some(programs) => programs.kernel.stop().map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }
}
