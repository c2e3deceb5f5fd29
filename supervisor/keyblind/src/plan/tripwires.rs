//! Guarded objects that a run must not reach: absent, with an empty object in their place where the host has one.

use std::path::{Path, PathBuf};

use super::NotEnforced;
use super::places::{Place, lies_in};
use crate::host::{Found, Kind, Survey};
use crate::policy::{Access, Action, Policy, Roots, Tier};

/// An empty object where the host has a guarded one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tripwire {
    /// Id of the guard.
    pub guard: String,
    /// Why it is guarded.
    pub reason: String,
    /// Where the host has the secret and the run has nothing.
    pub path: PathBuf,
    /// Whether the host has a directory there.
    pub directory: bool,
    /// How the object is kept out of the run.
    pub coverage: Coverage,
}

/// How an object is kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// Nothing brings the secret into the tree; the tripwire only records the attempt.
    Absent,
    /// The object lies in a tree that the run sees; an empty one is mounted over it.
    Covered,
}

/// Decides for every guard of policy whether it holds here, and by what.
pub(super) fn decide(
    policy: &Policy,
    roots: &Roots<'_>,
    survey: &Survey,
    places: &[Place],
    tier: Tier,
    not_enforced: &mut Vec<NotEnforced>,
) -> Vec<Tripwire> {
    let mut tripwires: Vec<Tripwire> = Vec::new();
    for guard in &policy.guards {
        if guard.action.value == Action::Allow {
            continue;
        }
        if guard.access != Access::Read {
            continue;
        }
        for pattern in &guard.path {
            let Some(path) = pattern.value.resolve(roots) else { continue };
            for found in survey.get(&path) {
                let guard = Guarded { id: &guard.id.value, reason: &guard.reason };
                for (path, directory) in names(found) {
                    let granted = places.iter().any(|place| lies_in(path, &place.path));
                    if granted && tier == Tier::InPlace {
                        not_enforced.push(guard.gap(format!(
                            "{} lies in a granted tree, and without mounts nothing can be left out of it",
                            path.display()
                        )));
                    } else if !inside(&tripwires, path) {
                        let coverage = if granted { Coverage::Covered } else { Coverage::Absent };
                        tripwires.push(guard.tripwire(path, directory, coverage));
                    }
                }
                if found.links > 1 {
                    not_enforced.push(guard.gap(format!(
                        "{} has {} names, and only this one is known",
                        found.path.display(),
                        found.links
                    )));
                }
            }
        }
    }
    // A guard that came later may hold the directory of one that came earlier.
    let held: Vec<bool> = tripwires
        .iter()
        .map(|one| tripwires.iter().any(|other| other.path != one.path && lies_in(&one.path, &other.path)))
        .collect();
    let mut held = held.into_iter();
    tripwires.retain(|_| !held.next().unwrap_or_default());
    tripwires
}

/// The names under which the object is kept out: the one in policy, and the real one where a link leads elsewhere.
fn names(found: &Found) -> Vec<(&Path, bool)> {
    let directory = match &found.kind {
        Kind::Directory => true,
        Kind::Link { end, .. } => end.as_ref().is_some_and(|(_, directory)| *directory),
        Kind::File | Kind::Other => false,
    };
    let mut names = vec![(found.path.as_path(), directory)];
    if found.real != found.path {
        names.push((&found.real, directory));
    }
    names
}

struct Guarded<'a> {
    id: &'a str,
    reason: &'a str,
}

impl Guarded<'_> {
    fn gap(&self, why: String) -> NotEnforced {
        NotEnforced { what: format!("guard {}", self.id), why }
    }

    fn tripwire(&self, path: &Path, directory: bool, coverage: Coverage) -> Tripwire {
        let (guard, reason) = (self.id.to_owned(), self.reason.to_owned());
        Tripwire { guard, reason, path: path.to_owned(), directory, coverage }
    }
}

fn inside(tripwires: &[Tripwire], path: &Path) -> bool {
    tripwires.iter().any(|tripwire| lies_in(path, &tripwire.path))
}
