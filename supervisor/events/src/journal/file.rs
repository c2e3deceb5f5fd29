//! One log file: whole lines under a lock, rotation by size.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstatat};

use super::loss::add;
use super::{JournalError, walk};
use crate::event::{Event, Kind};
use crate::wire;

/// Size in bytes at which the journal becomes `events.jsonl.1` and a new one begins.
pub(super) const ROTATE_AT: u64 = 64 << 20;

/// How long to wait for other writers. They hold the lock for microseconds; one that was stopped in between
/// must not stop all runs of the user.
const LOCK_WAIT: Duration = Duration::from_millis(20);

/// An open log file and how to find it again.
#[derive(Debug)]
pub(super) struct LogFile {
    directory: OwnedFd,
    path: PathBuf,
    file: File,
    /// Device and inode of `file`.
    identity: (u64, u64),
    rotate_at: u64,
    /// Counts by kind of what rotations dropped, until they are taken.
    dropped: BTreeMap<String, u64>,
}

/// Unlocks on drop.
struct Locked<'a>(Option<&'a File>);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            // Unlocking a descriptor that is open and locked does not fail; closing it would unlock it too.
            drop(file.unlock());
        }
    }
}

impl LogFile {
    /// Opens the log `path`, whose directory is `directory`.
    pub(super) fn open(directory: OwnedFd, path: &Path, rotate_at: u64) -> Result<Self, JournalError> {
        let (file, identity) = walk::log_file(&directory, path)?;
        Ok(Self { directory, path: path.to_owned(), file, identity, rotate_at, dropped: BTreeMap::new() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one line with one write(2). If the line before it is torn, it is ended first.
    pub(super) fn append(&mut self, line: &[u8]) -> Result<(), Errno> {
        // Each turn but the last found the file moved by another writer or moved it. As a file holds tens of
        // thousands of lines, so many of that in a row is somebody playing with the directory.
        for _ in 0..32 {
            match self.try_append(line)? {
                Turn::Done => return Ok(()),
                Turn::Moved => {}
                Turn::Rotated(counts) => add(&mut self.dropped, &counts),
            }
            self.reopen()?;
        }
        Err(Errno::ESTALE)
    }

    /// Counts by kind of the events that rotations dropped since the last call.
    pub(super) fn take_dropped(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.dropped)
    }

    fn try_append(&self, line: &[u8]) -> Result<Turn, Errno> {
        let lock = self.lock();
        let name = self.path.file_name().unwrap_or_default();
        let size = match fstatat(&self.directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) if (stat.st_dev, stat.st_ino) == self.identity => u64::try_from(stat.st_size),
            Ok(_) | Err(Errno::ENOENT) => return Ok(Turn::Moved),
            Err(errno) => return Err(errno),
        };
        let size = size.unwrap_or_default();
        if size >= self.rotate_at && lock.0.is_some() {
            return self.rotate().map(Turn::Rotated);
        }
        let torn = lock.0.is_none() || !self.ends_with_newline(size)?;
        let written = if torn {
            let mut mended = Vec::with_capacity(line.len() + 1);
            mended.push(b'\n');
            mended.extend_from_slice(line);
            nix::unistd::write(&self.file, &mended)? == mended.len()
        } else {
            nix::unistd::write(&self.file, line)? == line.len()
        };
        // A short write to a file means that space or quota ended within the line.
        if written { Ok(Turn::Done) } else { Err(Errno::ENOSPC) }
    }

    /// Takes the lock, or gives up: then a writer ends the line before its own in any case, so that it
    /// cannot be glued to a torn one.
    fn lock(&self) -> Locked<'_> {
        let begin = Instant::now();
        loop {
            match self.file.try_lock() {
                Ok(()) => return Locked(Some(&self.file)),
                Err(TryLockError::WouldBlock) if begin.elapsed() < LOCK_WAIT => {
                    std::thread::sleep(Duration::from_micros(50));
                }
                // Too long, or a file system without locks.
                Err(_) => return Locked(None),
            }
        }
    }

    fn ends_with_newline(&self, size: u64) -> Result<bool, Errno> {
        let Some(last) = size.checked_sub(1) else { return Ok(true) };
        let mut byte = [0];
        match self.file.read_at(&mut byte, last) {
            Ok(_) => Ok(byte == *b"\n"),
            Err(error) => Err(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)),
        }
    }

    fn reopen(&mut self) -> Result<(), Errno> {
        let (file, identity) = walk::log_file(&self.directory, &self.path).map_err(|error| match error {
            JournalError::Os { source, .. } => source,
            // What stands there now is not a log of ours: nothing is written to it.
            _ => Errno::ESTALE,
        })?;
        self.file = file;
        self.identity = identity;
        Ok(())
    }

    /// Moves the file to `NAME.1`; the caller holds its lock, and knows that the name still means it.
    /// Returns how many events of which kind the file that was there before held.
    fn rotate(&self) -> Result<BTreeMap<String, u64>, Errno> {
        let name = self.path.file_name().unwrap_or_default();
        let mut old = name.to_owned();
        old.push(".1");
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let counts = match openat(&self.directory, old.as_os_str(), flags, Mode::empty()) {
            Ok(file) => count_kinds(File::from(file))?,
            // No file, or nothing of ours.
            Err(_) => BTreeMap::new(),
        };
        renameat(&self.directory, name, &self.directory, old.as_os_str())?;
        Ok(counts)
    }
}

enum Turn {
    Done,
    Moved,
    Rotated(BTreeMap<String, u64>),
}

/// Counts lines by kind, by the text with which `wire` begins each line. A line that begins otherwise is
/// torn and was never an event. A `lost` line hands on its own counts: they are all that is left of what it
/// stands for.
fn count_kinds(file: File) -> Result<BTreeMap<String, u64>, Errno> {
    let mut counts = BTreeMap::new();
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(counts),
            Ok(_) => {}
            Err(error) => return Err(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)),
        }
        let rest = line.strip_prefix(br#"{"v":1,"kind":""#).filter(|_| line.ends_with(b"}\n"));
        let Some(kind) = rest.and_then(|rest| rest.split(|b| *b == b'"').next()) else { continue };
        if kind == b"lost" {
            if let Ok(Event { kind: Kind::Lost(lost), .. }) = wire::decode(&line) {
                add(&mut counts, &lost.counts);
            }
        } else if let Ok(kind) = std::str::from_utf8(kind) {
            match counts.get_mut(kind) {
                Some(count) => *count += 1,
                None => drop(counts.insert(kind.to_owned(), 1)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Context, Lost};
    use crate::{Recorder, RunId, SessionId};

    #[test]
    fn a_rotated_file_is_counted_by_kind() {
        let mut recorder = Recorder::new(Context::new(RunId::new(), SessionId::new()));
        let counts = [("access.denied".to_owned(), 40), ("redacted".to_owned(), 2)].into();
        let lost = wire::encode(&recorder.event(Kind::Lost(Lost { lane: "rotation".into(), counts })));
        let mut text = Vec::new();
        text.extend_from_slice(b"{\"v\":1,\"kind\":\"access.denied\",\"id\":\"x\"}\n");
        text.extend_from_slice(b"{\"v\":1,\"kind\":\"access.denied\",\"id\n\n");
        text.extend_from_slice(&lost);
        text.extend_from_slice(b"{\"v\":1,\"kind\":\"access.denied\"}\n");
        text.extend_from_slice(b"{\"v\":1,\"kind\":\"access.masked\"}");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("old");
        std::fs::write(&path, text).unwrap();
        let counts = count_kinds(File::open(&path).unwrap()).unwrap();
        assert_eq!(counts, [("access.denied".to_owned(), 42), ("redacted".to_owned(), 2)].into());
    }
}
