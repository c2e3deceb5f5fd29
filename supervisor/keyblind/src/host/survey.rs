//! Which of the paths that a policy names are there, and what they are. `plan` decides on the answers alone.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::policy::Glob;

/// What a path is, its last component not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, what it says, and where it ends, if it ends anywhere.
    Link {
        /// The text of the link.
        target: PathBuf,
        /// The real path behind it, and whether that is a directory.
        end: Option<(PathBuf, bool)>,
    },
    /// A socket, device or FIFO.
    Other,
}

/// A path that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The path; no `*` is left in it.
    pub path: PathBuf,
    /// The same object by its path without links; the path itself where that cannot be found out.
    pub real: PathBuf,
    /// Names of the object (st_nlink), 1 for directories.
    pub links: u64,
    /// What it is.
    pub kind: Kind,
}

impl Found {
    /// Whether it is a directory, or a link to one.
    pub fn is_directory(&self) -> bool {
        matches!(&self.kind, Kind::Directory | Kind::Link { end: Some((_, true)), .. })
    }
}

/// Answers by pattern.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// What is there, by the bytes of the pattern and sorted by them: comparing paths component by component would be
    /// most of the work.
    found: Vec<(OsString, Vec<Found>)>,
}

impl Survey {
    /// What is there for `pattern`; empty if nothing is, or if it was not asked for.
    pub fn get(&self, pattern: &Path) -> &[Found] {
        let pattern = pattern.as_os_str();
        let place = self.found.binary_search_by(|(have, _)| have.as_os_str().cmp(pattern));
        place.ok().and_then(|place| self.found.get(place)).map_or(&[], |(_, found)| found)
    }

    #[cfg(test)]
    pub(crate) fn with(entries: impl IntoIterator<Item = Found>) -> Self {
        let mut found: Vec<_> =
            entries.into_iter().map(|found| (OsString::from(found.path.clone()), vec![found])).collect();
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self { found }
    }
}

/// Looks each pattern up. A `*` stands for any bytes in one component; a name that starts with a dot is matched
/// only by a component that does (glob(7)). What cannot be looked at counts as absent: it then is absent for the
/// run as well, which has no more rights.
pub fn survey(patterns: impl IntoIterator<Item = PathBuf>) -> Survey {
    let mut patterns: Vec<PathBuf> = patterns.into_iter().collect();
    patterns.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    patterns.dedup_by(|a, b| a.as_os_str() == b.as_os_str());
    let mut found = Vec::new();
    let mut parents = Parents::default();
    for pattern in patterns {
        if !pattern.as_os_str().as_bytes().contains(&b'*') {
            if let Some(entry) = parents.look(&pattern) {
                found.push((pattern.into_os_string(), vec![entry]));
            }
            continue;
        }
        let mut paths = vec![PathBuf::new()];
        for component in pattern.components() {
            let glob = component.as_os_str().as_bytes().contains(&b'*');
            paths = paths
                .into_iter()
                .flat_map(|base| if glob { expand(&base, component) } else { vec![base.join(component)] })
                .collect();
        }
        let entries: Vec<Found> = paths.iter().filter_map(|path| parents.look(path)).collect();
        found.push((pattern.into_os_string(), entries));
    }
    Survey { found }
}

fn expand(base: &Path, component: Component<'_>) -> Vec<PathBuf> {
    let Some(pattern) = component.as_os_str().to_str() else { return Vec::new() };
    let Ok(glob) = Glob::new(pattern) else { return Vec::new() };
    let Ok(entries) = fs::read_dir(base) else { return Vec::new() };
    let mut names: Vec<OsString> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.file_name()))
        .filter(|name| like(&glob, name))
        .collect();
    names.sort();
    names.into_iter().map(|name| base.join(name)).collect()
}

fn like(glob: &Glob, name: &OsStr) -> bool {
    let hidden = name.as_bytes().first() == Some(&b'.');
    (!hidden || glob.as_str().starts_with('.')) && glob.matches(name.as_bytes())
}

/// Real names of directories: most patterns share theirs with others, and to follow each path from the root would be
/// most of the system calls of a start.
#[derive(Default)]
struct Parents(BTreeMap<OsString, Option<PathBuf>>);

impl Parents {
    fn look(&mut self, path: &Path) -> Option<Found> {
        let metadata = fs::symlink_metadata(path).ok()?;
        let (kind, real, links) = if metadata.is_symlink() {
            let end = fs::metadata(path).ok();
            let links = end.as_ref().filter(|end| end.is_file()).map_or(1, MetadataExt::nlink);
            let directory = end.is_some_and(|end| end.is_dir());
            let real = fs::canonicalize(path).ok();
            let end = real.clone().map(|end| (end, directory));
            (Kind::Link { target: fs::read_link(path).ok()?, end }, real, links)
        } else if metadata.is_dir() {
            (Kind::Directory, self.real(path), 1)
        } else if metadata.is_file() {
            (Kind::File, self.real(path), metadata.nlink())
        } else {
            (Kind::Other, self.real(path), 1)
        };
        let real = real.unwrap_or_else(|| path.to_owned());
        Some(Found { path: path.to_owned(), real, links, kind })
    }

    /// The real name of something that is no link itself.
    fn real(&mut self, path: &Path) -> Option<PathBuf> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return fs::canonicalize(path).ok();
        };
        if !self.0.contains_key(parent.as_os_str()) {
            self.0.insert(parent.into(), fs::canonicalize(parent).ok());
        }
        Some(self.0.get(parent.as_os_str())?.as_ref()?.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_in_their_component_and_do_not_match_hidden_names() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["lib", "lib64", "libx/lib", ".lib", "other"] {
            fs::create_dir_all(dir.path().join(name)).expect("a directory");
        }
        let pattern = dir.path().join("lib*");
        let names: Vec<_> = survey([pattern.clone()])
            .get(&pattern)
            .iter()
            .map(|found| found.path.file_name().map(OsStr::to_owned))
            .collect();
        assert_eq!(names, [Some("lib".into()), Some("lib64".into()), Some("libx".into())]);
    }

    #[test]
    fn a_link_is_reported_with_both_ends() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("real"), "").expect("a file");
        std::os::unix::fs::symlink("real", dir.path().join("link")).expect("a link");
        let link = dir.path().join("link");
        let real = fs::canonicalize(dir.path().join("real")).expect("its path");
        assert_eq!(
            survey([link.clone()]).get(&link)[0].kind,
            Kind::Link { target: "real".into(), end: Some((real, false)) }
        );
    }
}
