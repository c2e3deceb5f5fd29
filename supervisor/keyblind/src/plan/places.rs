//! Paths of a policy → paths of this run.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{PlanError, Request};
use crate::host::{Found, Kind, Survey};
use crate::policy::{Access, Base, CacheMode, Guard, Located, PathPattern, Policy, Roots};

/// A tree or file that a run sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Where the run sees it.
    pub(super) path: PathBuf,
    /// What it is on the host.
    pub(super) kind: Kind,
    /// Whether the run may change it.
    pub(super) writable: bool,
    /// Number of the private layer that takes the run's writes, if they are not to reach the host.
    pub(super) layer: Option<usize>,
}

impl Place {
    /// The real path of what is there.
    pub(super) fn source(&self) -> &Path {
        match &self.kind {
            Kind::Link { end: Some((end, _)), .. } => end,
            _ => &self.path,
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(&self.kind, Kind::Directory | Kind::Link { end: Some((_, true)), .. })
    }
}

/// Files that a run needs and that lie in directories it does not see.
const NAME_SERVICE: [&str; 3] = ["/etc/resolv.conf", "/etc/hosts", "/etc/localtime"];
/// What of sysfs a run sees: how many processors and how much memory there are, which runtimes ask at start.
pub(super) const SYSFS: [&str; 2] = ["/sys/devices/system", "/sys/kernel/mm/transparent_hugepage"];

/// Through these an owner of the right capability changes the host; read-only whoever the run's user is.
pub(super) const FROZEN: [&str; 5] =
    ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"];

/// Files in which the kernel speaks of all of the host: memory, keys, addresses, timers.
pub(super) const KERNEL_FILES: [&str; 6] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/kallsyms",
    "/proc/timer_list",
    "/proc/sched_debug",
];

/// Places that are private to a run, whatever policy says about the host's.
pub(super) const PRIVATE: [&str; 2] = ["/tmp", "/dev/shm"];

/// Whether `path` is `tree` or lies below it. Both are absolute and tidy, so their text tells; to take paths apart
/// for every pair of them would be most of a plan's time.
pub(super) fn lies_in(path: &Path, tree: &Path) -> bool {
    let (path, tree) = (path.as_os_str().as_bytes(), tree.as_os_str().as_bytes());
    tree == b"/" || path.strip_prefix(tree).is_some_and(|below| matches!(below, [] | [b'/', ..]))
}

/// Every path that [`super::plan`] needs to know of; more of them where kernel programs guard what the run sees.
pub fn wanted(policy: &Policy, roots: &Roots<'_>, programs: bool) -> Vec<PathBuf> {
    let files = &policy.files;
    let guards = policy.guards.iter().filter(|guard| programs || guard.access == Access::Read);
    let mut paths: Vec<PathBuf> = [&files.read, &files.write, &files.caches]
        .into_iter()
        .flatten()
        .chain(guards.flat_map(|guard| &guard.path))
        .filter_map(|pattern| pattern.value.resolve(roots))
        .collect();
    if programs {
        let exact = policy.guards.iter().flat_map(|guard| &guard.path).filter(|path| !path.value.has_glob());
        let parents = exact.filter_map(|path| path.value.resolve(roots)?.parent().map(Path::to_owned));
        let trees = policy.guards.iter().flat_map(|guard| &guard.under);
        let trees = trees.filter_map(|tree| tree.value.resolve(roots));
        let named = policy.guards.iter().flat_map(|guard| named_at_top(guard, roots));
        let more: Vec<PathBuf> = parents.chain(trees).chain(named).collect();
        paths.extend(more);
    }
    paths.extend(NAME_SERVICE.into_iter().chain(SYSFS).chain(FROZEN).chain(KERNEL_FILES).map(PathBuf::from));
    paths
}

/// Where the exact names of a guard would be, directly in the trees in which they count.
pub(super) fn named_at_top(guard: &Guard, roots: &Roots<'_>) -> Vec<PathBuf> {
    let trees: Vec<PathBuf> = guard.under.iter().filter_map(|tree| tree.value.resolve(roots)).collect();
    let names = guard.name.iter().flat_map(|name| name.value.alternatives()).filter(|name| name.is_exact());
    names.flat_map(|name| trees.iter().map(move |tree| tree.join(name.as_str()))).collect()
}

/// A writable directory that holds everything would turn absence into its opposite. `own` are keyblind's files.
pub(super) fn refuse_wide(
    origin: &str,
    path: &Path,
    home: Option<&Path>,
    own: &[PathBuf],
) -> Result<(), PlanError> {
    const SYSTEM: [&str; 17] = [
        "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/media", "/mnt", "/opt", "/proc", "/root",
        "/run", "/srv", "/sys", "/usr", "/var",
    ];
    let refused = |why| Err(PlanError::TooWide { origin: origin.to_owned(), path: path.to_owned(), why });
    if home.is_some_and(|home| home == path) {
        return refused("is the home directory, where the keys are");
    }
    if home.is_some_and(|home| home.starts_with(path)) {
        return refused("holds the home directory, where the keys are");
    }
    if SYSTEM.iter().any(|system| Path::new(system) == path) {
        return refused("belongs to the system");
    }
    if PRIVATE.iter().any(|private| Path::new(private) == path) {
        return refused("is replaced by a private one in every run");
    }
    let of_the_kernel = ["/proc", "/sys", "/dev"].iter().any(|system| path.starts_with(system));
    if of_the_kernel && !path.starts_with("/dev/shm") {
        return refused("belongs to the kernel");
    }
    if own.iter().any(|own| own.starts_with(path) || path.starts_with(own)) {
        return refused("holds keyblind's own log or policy, which no run may change");
    }
    Ok(())
}

/// What a run sees of the host: shorter paths first, no place inside another that grants the same.
pub(super) fn resolve(
    policy: &Policy,
    roots: &Roots<'_>,
    survey: &Survey,
    request: &Request,
    mounts: bool,
) -> Result<Vec<Place>, PlanError> {
    let files = &policy.files;
    let mut places = Vec::new();
    let mut add = |list: &[Located<PathPattern>], writable: bool, layered: bool| {
        for pattern in list {
            let Some(path) = pattern.value.resolve(roots) else { continue };
            // The whole home is never granted as a tree: it is private, with the listed entries in it.
            let whole_home = pattern.value.base == Base::Home && pattern.value.rest().is_empty();
            if whole_home || PRIVATE.iter().any(|private| Path::new(private) == path) {
                continue;
            }
            places.extend(survey.get(&path).iter().filter_map(|found| place(found, writable, layered)));
        }
    };
    add(&files.read, false, false);
    add(&files.write, true, false);
    let cache_mode = files.cache_mode.value;
    // Without mounts there is no layer; a cache is then read, and written by nobody.
    let layered = cache_mode == CacheMode::Session && mounts;
    add(&files.caches, cache_mode == CacheMode::Share || layered, layered);
    for path in NAME_SERVICE {
        // Only where /etc holds a link to a place that the run does not see.
        for found in survey.get(Path::new(path)) {
            if let Kind::Link { end: Some((end, false)), .. } = &found.kind {
                places.push(Place { path: end.clone(), kind: Kind::File, writable: false, layer: None });
            }
        }
    }
    for path in &request.write {
        let directory = path.is_dir();
        if !directory && !path.is_file() {
            return Err(PlanError::NoSuchPath { path: path.clone(), origin: "--write".to_owned() });
        }
        refuse_wide("--write", path, roots.home, &request.own)?;
        let kind = if directory { Kind::Directory } else { Kind::File };
        places.push(Place { path: path.clone(), kind, writable: true, layer: None });
    }
    let places = without_repetition(places);
    for place in places.iter().filter(|place| place.writable && place.layer.is_none()) {
        refuse_wide("files.write", &place.path, roots.home, &request.own)?;
    }
    Ok(places)
}

fn place(found: &Found, writable: bool, layered: bool) -> Option<Place> {
    // A dangling link shows nothing, and a socket or device is not a file that policy can grant.
    match &found.kind {
        Kind::Link { end: None, .. } | Kind::Other => None,
        // A layer needs a directory below it.
        Kind::File | Kind::Link { end: Some((_, false)), .. } if layered => None,
        kind => {
            let layer = layered.then_some(0);
            Some(Place { path: found.path.clone(), kind: kind.clone(), writable, layer })
        }
    }
}

fn without_repetition(mut places: Vec<Place>) -> Vec<Place> {
    // Stable, and writable first, so that of two entries for one path the wider one stays.
    places.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()).then(b.writable.cmp(&a.writable)));
    let mut kept: Vec<Place> = Vec::new();
    for place in places {
        let covered = kept.iter().any(|outer| {
            outer.path == place.path
                || (outer.kind == Kind::Directory
                    && lies_in(&place.path, &outer.path)
                    && outer.writable >= place.writable)
        });
        if !covered {
            kept.push(place);
        }
    }
    for (number, place) in kept.iter_mut().filter(|place| place.layer.is_some()).enumerate() {
        place.layer = Some(number);
    }
    kept
}
