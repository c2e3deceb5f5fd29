//! Where fakes are planted: a directory of this process alone, gone when it ends, however it ends.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, lchown};
use std::path::{Path, PathBuf};

use super::janitor::Janitor;
use super::random_word;

/// How the name of a place begins.
pub(super) const PREFIX: &str = "keyblind-trial-";

/// Why there is no place for fakes.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {source}; set TMPDIR to a directory of yours", .path.display())]
pub(crate) struct PlaceError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A directory below TMPDIR, and who is to own what is planted in it.
#[derive(Debug)]
pub(crate) struct Place {
    root: PathBuf,
    owner: Option<(u32, u32)>,
    /// In the order of making; still this process's own.
    planted: Vec<PathBuf>,
    handed_over: bool,
    janitor: Option<Janitor>,
}

impl Place {
    /// Makes it. `owner` is to get what is planted in it, where this process is root and the commands are not.
    pub(crate) fn new(purpose: &str, owner: Option<(u32, u32)>) -> Result<Self, PlaceError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| PlaceError { what, path, source }
        };
        let parent = env::temp_dir();
        // What a run is told must be the real path: its HOME may not be reached through a link.
        let parent = fs::canonicalize(&parent).map_err(failed("find the temporary directory", &parent))?;
        let name = random_word(10).map_err(failed("make a name in", &parent))?;
        let root = parent.join(format!("{PREFIX}{purpose}-{name}"));
        let janitor = Janitor::start(&root).map_err(failed("watch over", &root))?;
        Self::make(root, owner, Some(janitor))
    }

    fn make(root: PathBuf, owner: Option<(u32, u32)>, janitor: Option<Janitor>) -> Result<Self, PlaceError> {
        let place = Self { root, owner, planted: Vec::new(), handed_over: false, janitor };
        // The top stays this process's own, so that nobody else changes the record in it; its owner passes through.
        let mode = if owner.is_some() { 0o711 } else { 0o700 };
        DirBuilder::new()
            .mode(mode)
            .create(&place.root)
            .map_err(|source| place.failed("make", &place.root, source))?;
        Ok(place)
    }

    /// The directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a directory and those above it.
    pub(crate) fn directory(&mut self, path: impl AsRef<Path>) -> Result<PathBuf, PlaceError> {
        let whole = self.root.join(path);
        let mut above: Vec<PathBuf> =
            whole.ancestors().take_while(|above| *above != self.root).map(Path::to_owned).collect();
        above.reverse();
        for directory in above {
            match DirBuilder::new().mode(0o755).create(&directory) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(self.failed("make", &directory, source)),
                Ok(()) => self.made(directory)?,
            }
        }
        Ok(whole)
    }

    /// Writes a file in place of what was there, and makes the directories above it.
    pub(crate) fn plant(
        &mut self,
        path: impl AsRef<Path>,
        content: impl AsRef<[u8]>,
    ) -> Result<PathBuf, PlaceError> {
        let whole = self.root.join(&path);
        if let Some(parent) = path.as_ref().parent() {
            self.directory(parent)?;
        }
        if self.planted.contains(&whole) || self.handed_over {
            // It need not be there.
            drop(fs::remove_file(&whole));
        }
        let written = File::create_new(&whole).and_then(|mut file| file.write_all(content.as_ref()));
        written.map_err(|source| self.failed("write", &whole, source))?;
        self.made(whole.clone())?;
        Ok(whole)
    }

    /// Puts a copy of this program there: it is then where a run sees it, wherever keyblind is installed.
    pub(crate) fn copy_self(&mut self, path: impl AsRef<Path>) -> Result<PathBuf, PlaceError> {
        let whole = self.root.join(path);
        fs::copy("/proc/self/exe", &whole)
            .map_err(|source| self.failed("copy keyblind to", &whole, source))?;
        self.made(whole.clone())?;
        Ok(whole)
    }

    /// Gives everything to its owner, innermost first. Until then a process of the owner cannot put a link where this
    /// one, being root, is about to write; afterwards only a place whose owner has no processes may be planted in.
    pub(crate) fn hand_over(&mut self) -> Result<(), PlaceError> {
        self.handed_over = true;
        while let Some(path) = self.planted.pop() {
            self.own(&path)?;
        }
        Ok(())
    }

    fn made(&mut self, path: PathBuf) -> Result<(), PlaceError> {
        if self.handed_over {
            return self.own(&path);
        }
        self.planted.push(path);
        Ok(())
    }

    fn own(&self, path: &Path) -> Result<(), PlaceError> {
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        lchown(path, Some(uid), Some(gid)).map_err(|source| self.failed("give away", path, source))
    }

    fn failed(&self, what: &'static str, path: &Path, source: io::Error) -> PlaceError {
        PlaceError { what, path: path.to_owned(), source }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What resists now is left to the janitor.
        drop(fs::remove_dir_all(&self.root));
        self.janitor = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_a_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut place = Place::make(dir.path().join("place"), None, None).expect("a place");
        let root = place.root().to_owned();
        place.plant("home/.aws/credentials", "first").expect("a file");
        let file = place.plant("home/.aws/credentials", "second").expect("the file again");
        assert_eq!(fs::read(&file).expect("its content"), b"second");
        drop(place);
        assert!(!root.exists(), "{} is still there", root.display());
    }

    #[test]
    fn nothing_is_given_away_before_all_is_planted() {
        use std::os::unix::fs::MetadataExt;
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let owner = Some((61_184, 61_184));
        let mut place = Place::make(dir.path().join("place"), owner, None).expect("a place");
        let file = place.plant("project/file", "x").expect("a file");
        let owner = |path: &Path| fs::metadata(path).expect("its metadata").uid();
        assert_eq!(owner(&file), 0);
        place.hand_over().expect("a new owner");
        assert_eq!(
            (owner(&file), owner(&place.root().join("project")), owner(place.root())),
            (61_184, 61_184, 0)
        );
    }
}
