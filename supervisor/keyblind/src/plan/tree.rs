//! The tree of a run, from nothing: what is not put here is not there.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::places::{FROZEN, KERNEL_FILES, PRIVATE, Place, SYSFS, lies_in};
use super::tripwires::{Coverage, Tripwire};
use super::{PlanError, Request};
use crate::host::{Kind, Survey};
use crate::spawn::prepared::Mount;

/// Device nodes that programs expect. No console, no kmsg, no block device.
const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// What stands in for something guarded inside a tree that the run sees.
const EMPTY: &str = "/dev/.keyblind/empty";
/// Upper layers of caches while the tree is built; detached before the command sees the tree.
const LAYERS: &str = "/dev/.keyblind/layers";

/// Readable, and empty: what a run sees of [`KERNEL_FILES`].
const NOTHING: &str = "/dev/.keyblind/nothing";

const VAR_TMP: &str = "/var/tmp";

/// Modes of tripwires. Without a fanotify mark an unreadable object refuses; with one a readable object lets the
/// open come as far as the mark, which refuses and records. Either is empty.
const UNMARKED: u32 = 0o000;
const MARKED: u32 = 0o444;

pub(super) fn build(
    places: &[Place],
    tripwires: &[Tripwire],
    request: &Request,
    home: Option<&Path>,
    survey: &Survey,
    marked: bool,
) -> Result<Vec<Mount>, PlanError> {
    let mut tree = Tree { home, mounts: Vec::new(), made: BTreeSet::new(), bound: Vec::new() };
    let mut private: Vec<(&Path, &str, bool)> =
        PRIVATE.iter().map(|path| (Path::new(*path), "mode=1777", false)).collect();
    private.extend(home.map(|home| (home, "mode=700", true)));
    // Else it is a link to /tmp; a project in it needs a real directory.
    if places.iter().any(|place| place.path.starts_with(VAR_TMP)) {
        private.push((Path::new(VAR_TMP), "mode=1777", false));
    }
    tree.device_nodes()?;
    // By path, so that what lies inside another mount is mounted on top of it.
    let mut tops: Vec<(&Path, Top<'_>)> = private
        .iter()
        .map(|(path, options, own)| (*path, Top::Tmpfs(options, *own)))
        .chain(places.iter().map(|place| (place.path.as_path(), Top::Place(place))))
        .chain(
            SYSFS
                .iter()
                .filter(|path| !survey.get(Path::new(path)).is_empty())
                .map(|path| (Path::new(*path), Top::Sysfs)),
        )
        .collect();
    tops.sort_by(|a, b| a.0.cmp(b.0));
    for (path, top) in tops {
        tree.top(path, &top)?;
    }
    tree.system(survey)?;
    tree.tripwires(tripwires, if marked { MARKED } else { UNMARKED })?;
    tree.parents(&request.project)?;
    Ok(tree.mounts)
}

/// Something at the top of its own mount.
enum Top<'a> {
    Tmpfs(&'a str, bool),
    Place(&'a Place),
    Sysfs,
}

struct Tree<'a> {
    home: Option<&'a Path>,
    mounts: Vec<Mount>,
    /// Directories of our own making.
    made: BTreeSet<OsString>,
    /// Trees of the host; their directories are there already.
    bound: Vec<PathBuf>,
}

impl Tree<'_> {
    fn top(&mut self, path: &Path, top: &Top<'_>) -> Result<(), PlanError> {
        match top {
            Top::Tmpfs(options, own) => {
                self.directory(path)?;
                self.mounts.push(Mount::Tmpfs { at: c_path(path)?, options: c_text(options)?, own: *own });
            }
            Top::Sysfs => {
                self.directory(path)?;
                self.bind(path, path, false)?;
            }
            Top::Place(place) => self.place(place)?,
        }
        Ok(())
    }

    fn place(&mut self, place: &Place) -> Result<(), PlanError> {
        let path = &place.path;
        if let (Kind::Link { target, .. }, true) = (&place.kind, path.parent() == Some(Path::new("/"))) {
            // A merged /usr: the link is the object, and what it names is a place of its own.
            self.mounts.push(Mount::Link { target: c_path(target)?, at: c_path(path)? });
            return Ok(());
        }
        if place.is_directory() {
            self.directory(path)?;
        } else {
            self.file(path, 0o444, false)?;
        }
        if let Some(layer) = place.layer {
            return self.overlay(place, layer);
        }
        self.bind(place.source(), path, place.writable)
    }

    /// A cache of the host below a layer of this run's own, so that neither sees the other's writes.
    fn overlay(&mut self, place: &Place, layer: usize) -> Result<(), PlanError> {
        let layers = Path::new(LAYERS);
        if layer == 0 {
            self.directory(layers)?;
            self.mounts.push(Mount::Tmpfs { at: c_path(layers)?, options: c_text("mode=755")?, own: true });
        }
        let (upper, work) = (layers.join(format!("{layer}")), layers.join(format!("{layer}.work")));
        for directory in [&upper, &work] {
            self.mounts.push(Mount::Dir { at: c_path(directory)?, mode: 0o755, own: true });
        }
        let mut options = b"userxattr,lowerdir=".to_vec();
        escape(place.path.strip_prefix("/").unwrap_or(&place.path), &mut options);
        // Relative to the new root, which is the working directory while the tree is built.
        for (key, directory) in [(b",upperdir=".as_slice(), &upper), (b",workdir=".as_slice(), &work)] {
            options.extend_from_slice(key);
            options.extend_from_slice(directory.as_os_str().as_bytes().get(1..).unwrap_or_default());
        }
        let (from, options) = (c_path(place.source())?, c_bytes(options, "overlay options")?);
        self.mounts.push(Mount::Overlay { from, options, at: c_path(&place.path)? });
        self.bound.push(place.path.clone());
        Ok(())
    }

    fn device_nodes(&mut self) -> Result<(), PlanError> {
        for name in NODES {
            let path = Path::new("/dev").join(name);
            self.file(&path, 0o666, false)?;
            self.mounts.push(Mount::Device { from: c_path(&path)?, at: c_path(&path)? });
        }
        for (name, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("ptmx", "pts/ptmx"),
        ] {
            let at = c_path(&Path::new("/dev").join(name))?;
            self.mounts.push(Mount::Link { target: c_text(target)?, at });
        }
        self.directory(Path::new("/dev/pts"))?;
        self.mounts.push(Mount::Devpts { at: c_text("/dev/pts")? });
        self.directory(Path::new("/dev/mqueue"))?;
        self.mounts.push(Mount::Mqueue { at: c_text("/dev/mqueue")? });
        Ok(())
    }

    fn system(&mut self, survey: &Survey) -> Result<(), PlanError> {
        self.directory(Path::new("/proc"))?;
        self.mounts.push(Mount::Proc { at: c_text("/proc")? });
        self.bound.push("/proc".into());
        for path in FROZEN {
            if !survey.get(Path::new(path)).is_empty() {
                self.mounts.push(Mount::Frozen { at: c_text(path)? });
            }
        }
        for path in KERNEL_FILES.iter().filter(|path| !survey.get(Path::new(path)).is_empty()) {
            self.empty_file()?;
            self.mounts.push(Mount::Cover { tripwire: c_text(NOTHING)?, at: c_text(path)? });
        }
        self.directory(Path::new("/run"))?;
        self.directory(Path::new("/var"))?;
        for (target, at) in [("../tmp", VAR_TMP), ("../run", "/var/run")] {
            if self.made.contains(OsStr::new(at)) {
                continue;
            }
            self.mounts.push(Mount::Link { target: c_text(target)?, at: c_text(at)? });
        }
        if self.made.contains(OsStr::new(LAYERS)) {
            self.mounts.push(Mount::Detach { at: c_text(LAYERS)? });
        }
        Ok(())
    }

    /// What covers files of procfs: readable and empty.
    fn empty_file(&mut self) -> Result<(), PlanError> {
        if self
            .mounts
            .iter()
            .any(|mount| matches!(mount, Mount::File { at, .. } if at.as_bytes() == NOTHING.as_bytes()))
        {
            return Ok(());
        }
        self.file(Path::new(NOTHING), 0o444, false)
    }

    fn tripwires(&mut self, tripwires: &[Tripwire], mode: u32) -> Result<(), PlanError> {
        let directory_mode = if mode == UNMARKED { mode } else { 0o555 };
        for (number, tripwire) in tripwires.iter().enumerate() {
            let at = c_path(&tripwire.path)?;
            match (tripwire.coverage, tripwire.directory) {
                (Coverage::Absent, true) => {
                    self.parents(&tripwire.path)?;
                    self.mounts.push(Mount::Dir { at, mode: directory_mode, own: false });
                }
                (Coverage::Absent, false) => self.file(&tripwire.path, mode, false)?,
                (Coverage::Covered, directory) => {
                    // One for each: whoever is asked about an open sees the object that covers, not what it covers.
                    let empty = PathBuf::from(format!("{EMPTY}.{number}"));
                    if directory {
                        self.parents(&empty)?;
                        self.mounts.push(Mount::Dir {
                            at: c_path(&empty)?,
                            mode: directory_mode,
                            own: false,
                        });
                    } else {
                        self.file(&empty, mode, false)?;
                    }
                    self.mounts.push(Mount::Cover { tripwire: c_path(&empty)?, at });
                }
            }
        }
        Ok(())
    }

    fn bind(&mut self, from: &Path, at: &Path, writable: bool) -> Result<(), PlanError> {
        self.mounts.push(Mount::Bind { from: c_path(from)?, at: c_path(at)?, writable });
        self.bound.push(at.to_owned());
        Ok(())
    }

    fn file(&mut self, path: &Path, mode: u32, own: bool) -> Result<(), PlanError> {
        self.parents(path)?;
        if !self.is_bound(path) {
            self.mounts.push(Mount::File { at: c_path(path)?, mode, own });
        }
        Ok(())
    }

    fn directory(&mut self, path: &Path) -> Result<(), PlanError> {
        self.parents(path)?;
        if !self.made.contains(path.as_os_str()) && !self.is_bound(path) {
            self.made.insert(path.into());
            let own = self.home.is_some_and(|home| lies_in(path, home) && path != home);
            self.mounts.push(Mount::Dir { at: c_path(path)?, mode: 0o755, own });
        }
        Ok(())
    }

    fn parents(&mut self, path: &Path) -> Result<(), PlanError> {
        match path.parent() {
            Some(parent) if parent != Path::new("/") => self.directory(parent),
            _ => Ok(()),
        }
    }

    /// Whether the path lies in something that the host brings along.
    fn is_bound(&self, path: &Path) -> bool {
        self.bound.iter().any(|bound| lies_in(path, bound) && path != bound)
    }
}

/// overlayfs reads `:`, `,` and `\` in its options as its own.
fn escape(path: &Path, options: &mut Vec<u8>) {
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b':' | b',' | b'\\') {
            options.push(b'\\');
        }
        options.push(*byte);
    }
}

pub(super) fn c_path(path: &Path) -> Result<CString, PlanError> {
    c_bytes(path.as_os_str().as_bytes().to_vec(), &path.display().to_string())
}

fn c_text(text: &str) -> Result<CString, PlanError> {
    c_bytes(text.as_bytes().to_vec(), text)
}

pub(super) fn c_bytes(bytes: Vec<u8>, what: &str) -> Result<CString, PlanError> {
    CString::new(bytes).map_err(|_nul| PlanError::Nul { what: what.escape_debug().to_string() })
}
