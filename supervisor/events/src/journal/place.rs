//! Where the journal is.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::{JournalError, walk};

/// The directory of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    directory: PathBuf,
    /// Directories below this one are made when they are missing; this one is not.
    base: PathBuf,
    /// What to do when part of the path is not a directory.
    fix: &'static str,
}

impl Place {
    /// The usual place: `/var/lib/keyblind` for user 0, else `$XDG_STATE_HOME/keyblind`, else
    /// `$HOME/.local/state/keyblind`. `variable` looks up a variable. A value that is no absolute path
    /// counts as unset, as the XDG Base Directory Specification demands.
    pub fn standard(euid: u32, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, JournalError> {
        if euid == 0 {
            let fix = "put a directory of root's there";
            return Ok(Self { directory: "/var/lib/keyblind".into(), base: "/var/lib".into(), fix });
        }
        let path = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(state) = path("XDG_STATE_HOME") {
            let fix = "set XDG_STATE_HOME to a directory of yours by a path without links";
            return Ok(Self { directory: state.join("keyblind"), base: "/".into(), fix });
        }
        let home = path("HOME").ok_or(JournalError::NoPlace)?;
        let fix = "put a directory there, or set XDG_STATE_HOME to one of yours by a path without links";
        Ok(Self { directory: home.join(".local/state/keyblind"), base: home, fix })
    }

    /// A directory, made when only its last part is missing.
    pub fn dir(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        let base = directory.parent().map(Path::to_owned).unwrap_or_default();
        Self { directory, base, fix: "name a directory by a path without links" }
    }

    /// The journal's file.
    pub fn file(&self) -> PathBuf {
        self.directory.join("events.jsonl")
    }

    /// The journal's file of before the last rotation.
    pub fn rotated_file(&self) -> PathBuf {
        self.directory.join("events.jsonl.1")
    }

    /// Opens the directory, made if need be, and checks that nobody else can change what is in it.
    pub(super) fn directory(&self) -> Result<OwnedFd, JournalError> {
        let directory = walk::directory(&self.directory, Some(&self.base), &self.file(), self.fix)?;
        walk::check_own_directory(&directory, &self.directory)?;
        Ok(directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standard(euid: u32, variables: &[(&str, &str)]) -> Option<PathBuf> {
        let find = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.into());
        Place::standard(euid, find).ok().map(|place| place.file())
    }

    #[test]
    fn follows_user_and_variables() {
        let check = |euid, variables: &[(&str, &str)], file: Option<&str>| {
            assert_eq!(standard(euid, variables), file.map(PathBuf::from), "{euid} {variables:?}");
        };
        let home = ("HOME", "/home/jo");
        let state = ("XDG_STATE_HOME", "/srv/state");
        check(0, &[home, state], Some("/var/lib/keyblind/events.jsonl"));
        check(1000, &[home, state], Some("/srv/state/keyblind/events.jsonl"));
        check(1000, &[home], Some("/home/jo/.local/state/keyblind/events.jsonl"));
        check(
            1000,
            &[home, ("XDG_STATE_HOME", "state")],
            Some("/home/jo/.local/state/keyblind/events.jsonl"),
        );
        check(1000, &[home, ("XDG_STATE_HOME", "")], Some("/home/jo/.local/state/keyblind/events.jsonl"));
        check(1000, &[], None);
        check(1000, &[("HOME", "home/jo")], None);
    }

    #[test]
    fn without_a_place_the_error_says_what_to_set() {
        assert_eq!(
            Place::standard(1000, |_| None).unwrap_err().to_string(),
            "event log: neither XDG_STATE_HOME nor HOME is an absolute path; \
             set XDG_STATE_HOME to a directory of yours"
        );
    }
}
