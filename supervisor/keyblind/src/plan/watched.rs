//! What kernel programs are to guard for a run: everything of policy's guards that the run can see.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::places::{Place, lies_in, named_at_top};
use crate::host::Survey;
use crate::policy::{Access, Action, Guard, Policy, Roots};

/// Something that kernel programs guard for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The guard's place in the policy.
    pub guard: usize,
    /// What it refuses.
    pub access: Access,
    /// How. Never [`Action::Mask`]: there is no copy to give.
    pub action: Action,
    /// Which object.
    pub object: Object,
}

/// An object of the host that a run can see. Paths are without links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A file, or a directory with all below it.
    There(PathBuf),
    /// A directory on the way to something guarded: to move it would take the guarded name away.
    Holds(PathBuf),
    /// A name below a directory, whoever makes it and whenever.
    Named {
        /// The directory.
        below: PathBuf,
        /// The name, without `*`.
        name: OsString,
    },
}

/// Why something of a guard is not guarded.
const BY_CONTENT: &str = "names with * are judged by their content, which is not built yet";
const NO_DIRECTORY: &str = "a directory on its path is not there yet, and what comes into it is not guarded";

/// What a run can see and policy guards; and by the guard's place what cannot be guarded, and why.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) watched: Vec<Watched>,
    pub(super) gaps: Vec<(usize, &'static str)>,
}

/// Finds them. `survey` must hold the answers for [`super::wanted`].
pub(super) fn decide(policy: &Policy, roots: &Roots<'_>, survey: &Survey, places: &[Place]) -> Watch {
    let mut watch = Watch::default();
    for (number, guard) in policy.guards.iter().enumerate() {
        let mut one = One { number, guard, policy, places, watch: &mut watch };
        one.paths(roots, survey);
        one.names(roots, survey);
    }
    watch
}

struct One<'a> {
    number: usize,
    guard: &'a Guard,
    policy: &'a Policy,
    places: &'a [Place],
    watch: &'a mut Watch,
}

impl One<'_> {
    /// The place that a path is part of, if the run could do there what is guarded.
    fn place(&self, path: &Path) -> Option<&Place> {
        let open = |place: &&Place| {
            lies_in(path, &place.path)
                && (self.guard.access == Access::Read || (place.writable && place.layer.is_none()))
        };
        self.places.iter().filter(open).max_by_key(|place| place.path.as_os_str().len())
    }

    /// Whether the guard is an exception.
    fn allows(&self) -> bool {
        self.guard.action.value == Action::Allow
    }

    /// The kernel's exceptions are from reading and changing alike: one that would take something from another guard is
    /// none.
    fn is_guarded(&self, path: &Path, roots: &Roots<'_>) -> bool {
        let other = match self.guard.access {
            Access::Read => Access::Write,
            Access::Write => Access::Read,
        };
        let judged = || self.policy.judge(other, path, roots);
        !self.allows() || judged().is_none_or(|judged| judged.action.value == Action::Allow)
    }

    fn add(&mut self, object: Object) {
        let action = match self.guard.action.value {
            Action::Mask => Action::Deny,
            other => other,
        };
        let watched = Watched { guard: self.number, access: self.guard.access, action, object };
        if !self.watch.watched.contains(&watched) {
            self.watch.watched.push(watched);
        }
    }

    fn gap(&mut self, why: &'static str) {
        if !self.watch.gaps.contains(&(self.number, why)) {
            self.watch.gaps.push((self.number, why));
        }
    }

    fn paths(&mut self, roots: &Roots<'_>, survey: &Survey) {
        for pattern in &self.guard.path {
            let Some(path) = pattern.value.resolve(roots) else { continue };
            let found = survey.get(&path);
            for found in found {
                if self.place(&found.real).is_none() || !self.is_guarded(&found.real, roots) {
                    continue;
                }
                self.add(Object::There(found.real.clone()));
                self.ancestors(&found.real);
            }
            if pattern.value.has_glob() || self.place(&path).is_none() || self.allows() {
                continue;
            }
            // The name too: a file that is saved anew is another object, and one that comes later is none yet.
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
            match survey.get(parent).first() {
                Some(parent) if parent.is_directory() => {
                    let below = parent.real.clone();
                    self.ancestors(&below.join(name));
                    self.add(Object::Named { below, name: name.to_owned() });
                }
                _ if found.is_empty() => self.gap(NO_DIRECTORY),
                _ => {}
            }
        }
    }

    fn names(&mut self, roots: &Roots<'_>, survey: &Survey) {
        // The object as well, where it is cheap to find: it may have another name already.
        for path in named_at_top(self.guard, roots) {
            for found in survey.get(&path) {
                if self.place(&found.real).is_some() && self.is_guarded(&found.real, roots) {
                    self.add(Object::There(found.real.clone()));
                }
            }
        }
        for tree in self.guard.under.iter().filter_map(|tree| tree.value.resolve(roots)) {
            let trees: Vec<PathBuf> = survey
                .get(&tree)
                .iter()
                .filter(|found| found.is_directory() && self.place(&found.real).is_some())
                .map(|found| found.real.clone())
                .collect();
            for below in trees.into_iter().filter(|_| !self.allows()).collect::<Vec<_>>() {
                for name in self.guard.name.iter().flat_map(|name| name.value.alternatives()) {
                    if name.is_exact() {
                        self.add(Object::Named { below: below.clone(), name: name.as_str().into() });
                    } else {
                        self.gap(BY_CONTENT);
                    }
                }
            }
        }
    }

    /// The directories between a guarded object and the top of what the run may change: moved away, they would take it
    /// along and leave its place to another.
    fn ancestors(&mut self, path: &Path) {
        let Some(top) = self.place(path).filter(|place| place.writable).map(|place| place.path.clone())
        else {
            return;
        };
        let between: Vec<PathBuf> = path
            .ancestors()
            .skip(1)
            .take_while(|directory| *directory != top && lies_in(directory, &top))
            .map(Path::to_path_buf)
            .collect();
        between.into_iter().for_each(|directory| self.add(Object::Holds(directory)));
    }
}
