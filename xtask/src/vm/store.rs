//! Caches that are either whole or not there: everything is written beside its place and renamed into it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::shell::{Error, Result};

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn trouble(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::File { path: path.clone(), source }
}

/// Writes a file.
pub(super) fn file(path: &Path, bytes: &[u8]) -> Result<()> {
    filled(path, |place| std::fs::write(place, bytes).map_err(trouble(place)))
}

/// Makes a file by calling `fill` with the path to write to.
pub(super) fn filled(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(trouble(dir))?;
    }
    let place = beside(path);
    let done = fill(&place).and_then(|()| std::fs::rename(&place, path).map_err(trouble(path)));
    if done.is_err() {
        drop(std::fs::remove_file(&place));
    }
    done
}

/// Makes a directory by calling `fill` with an empty one.
pub(super) fn directory(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let place = beside(path);
    let done =
        std::fs::create_dir_all(&place).map_err(trouble(&place)).and_then(|()| fill(&place)).and_then(|()| {
            match std::fs::rename(&place, path) {
                // Another call was faster; what it made is as good.
                Err(_) if path.is_dir() => Ok(()),
                renamed => renamed.map_err(trouble(path)),
            }
        });
    drop(std::fs::remove_dir_all(&place));
    done
}

/// A directory below the cache for one call, gone with this value.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(top: &Path) -> Result<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = top.join(format!("scratch-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(trouble(&path))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A name for what was made of `parts`: it changes with any of them.
pub(super) fn key(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// Removes all but the `keep` newest files of `dir` whose names start with `start`.
pub(super) fn prune(dir: &Path, start: &str, keep: usize) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut files: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(start))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    for (_, path) in files.iter().rev().skip(keep) {
        drop(std::fs::remove_file(path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_half_way_leaves_nothing() -> Result<()> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let broken = |place: &Path| {
            std::fs::write(place, "half").unwrap();
            Err(Error::Said("stopped".to_owned()))
        };
        assert!(filled(&path, broken).is_err());
        let broken = |place: &Path| {
            std::fs::write(place.join("x"), "half").unwrap();
            Err(Error::Said("stopped".to_owned()))
        };
        assert!(directory(&path, broken).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        file(&path, b"whole")?;
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        Ok(())
    }

    #[test]
    fn a_directory_that_another_call_made_first_stays() -> Result<()> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        directory(&path, |place| {
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("theirs"), "x").unwrap();
            std::fs::write(place.join("ours"), "x").map_err(trouble(place))
        })?;
        assert!(path.join("theirs").exists() && !path.join("ours").exists());
        Ok(())
    }
}
