//! Which scopes are open, on a file system in memory: what the next registrar goes by when one was killed.
//!
//! A scope is written down before its cgroup is made, and struck out after its cgroup is gone. So a cgroup that is not
//! written down is somebody else's, and is left alone.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use keyblind_events::{RunId, SessionId};
use nix::dir::Dir;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// An open scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) run: RunId,
    pub(super) session: SessionId,
    pub(super) uid: u32,
    pub(super) command: String,
    /// Seconds since 1970.
    pub(super) began: u64,
    pub(super) enforce: bool,
}

/// The open scopes, a file each, named by the run.
#[derive(Debug)]
pub(super) struct Ledger {
    directory: OwnedFd,
}

/// Bytes of a file that is read: more than any that is written.
const MOST: u64 = 4096;

impl Ledger {
    /// In a directory that nobody else can write.
    pub(super) fn new(directory: OwnedFd) -> Self {
        Self { directory }
    }

    /// Writes an entry. Errors: one of that run is there.
    pub(super) fn write(&self, entry: &Entry) -> io::Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(0o600);
        let mut file = File::from(openat(&self.directory, entry.run.as_str(), flags, mode)?);
        file.write_all(format(entry).as_bytes())
    }

    /// Strikes an entry out; one that is not there is struck out already.
    pub(super) fn remove(&self, run: &RunId) {
        let _gone = unlinkat(&self.directory, run.as_str(), UnlinkatFlags::NoRemoveDir);
    }

    /// Every entry. One that was torn when its writer was killed has only its run, and then has no cgroup yet.
    pub(super) fn entries(&self) -> io::Result<Vec<Entry>> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        let mut directory = Dir::from_fd(openat(&self.directory, ".", flags, Mode::empty())?)?;
        let names: Vec<RunId> = directory
            .iter()
            .filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse().ok())
            .collect();
        Ok(names.into_iter().map(|run| self.entry(run)).collect())
    }

    fn entry(&self, run: RunId) -> Entry {
        let mut text = String::new();
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        if let Ok(file) = openat(&self.directory, run.as_str(), flags, Mode::empty()) {
            let _torn = File::from(file).take(MOST).read_to_string(&mut text);
        }
        parse(run, &text)
    }
}

fn format(entry: &Entry) -> String {
    let Entry { session, uid, command, began, enforce, .. } = entry;
    // The command stands last: whatever is in it is all of the rest.
    format!("{session}\n{uid}\n{began}\n{enforce}\n{command}")
}

fn parse(run: RunId, text: &str) -> Entry {
    let mut lines = text.splitn(5, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let session = next().parse().unwrap_or_else(|_torn| SessionId::new());
    Entry {
        run,
        session,
        uid: next().parse().unwrap_or(0),
        began: next().parse().unwrap_or(0),
        // What is not known is not loosened.
        enforce: next() != "false",
        command: next().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(run: &str, command: &str) -> Entry {
        let (run, session) = (run.parse().unwrap(), "s-41".parse().unwrap());
        Entry { run, session, uid: 1000, command: command.into(), began: 1_795_442_533, enforce: false }
    }

    fn ledger(place: &tempfile::TempDir) -> Ledger {
        Ledger::new(File::open(place.path()).unwrap().into())
    }

    #[test]
    fn what_is_written_is_there_until_it_is_struck_out() {
        let place = tempfile::tempdir().unwrap();
        let entries = [entry("r-a", "codex"), entry("r-b", "two\nlines\n")];
        for entry in &entries {
            ledger(&place).write(entry).unwrap();
        }
        let mut found = ledger(&place).entries().unwrap();
        found.sort_by(|one, other| one.run.as_str().cmp(other.run.as_str()));
        assert_eq!(found, entries);
        ledger(&place).remove(&entries[0].run);
        ledger(&place).remove(&entries[0].run);
        assert_eq!(ledger(&place).entries().unwrap(), entries[1..]);
        assert!(ledger(&place).write(&entries[1]).is_err(), "a run is written once");
    }

    #[test]
    fn a_torn_entry_still_names_its_run() {
        let whole = format(&entry("r-a", "codex"));
        for end in 0..whole.len() {
            let torn = parse("r-a".parse().unwrap(), &whole[..end]);
            assert_eq!(torn.run.as_str(), "r-a");
        }
        assert!(parse("r-a".parse().unwrap(), "").enforce);
    }

    #[test]
    fn other_files_are_no_entries() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("notes"), "x").unwrap();
        assert_eq!(ledger(&place).entries().unwrap(), []);
    }
}
