//! Waiting for more, through rotations.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::lines::Lines;
use super::{Filter, Item, ReadError, each_item, open, reading};

/// How long to trust inotify(7), in milliseconds: it says nothing of writes by other hosts on a network
/// file system, nor of a directory that is not there yet.
const LOOK_AGAIN: u16 = 1000;

/// Why [`Follow::wait`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There may be more to read.
    Changed,
    /// Nobody reads the output any more.
    ReaderGone,
}

/// The end of a log, as it grows.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    lines: Option<Lines>,
    inotify: Option<Inotify>,
}

impl Follow {
    /// From the start of what is there now.
    pub(super) fn new(path: &Path) -> Result<Self, ReadError> {
        let lines = open(path)?.map(Lines::new);
        Ok(Self { path: path.to_owned(), lines, inotify: None })
    }

    /// Whether `file` is the one being read.
    pub(super) fn reads(&self, file: &File) -> bool {
        let ours = self.lines.as_ref().and_then(|lines| identity(lines.file()));
        ours.is_some() && ours == identity(file)
    }

    /// Passes what came since the last look, and what `filter` admits, to `each`.
    pub fn read(&mut self, filter: &Filter, mut each: impl FnMut(Item)) -> Result<(), ReadError> {
        self.lines(|path, offset, line| each_item(path, offset, line, filter, &mut each))
    }

    /// Passes the whole lines that came since the last look to `each`.
    pub(super) fn lines(&mut self, mut each: impl FnMut(&Path, u64, &[u8])) -> Result<(), ReadError> {
        loop {
            let moved = self.moved();
            if let Some(lines) = &mut self.lines {
                // A writer looks, under the lock, whether the name still means its file. So once the name
                // means another one, nothing more comes into this one, and its end is its end.
                while let Some(line) = lines.next(moved).map_err(|source| reading(&self.path, source))? {
                    each(&self.path, line.offset, line.bytes);
                }
            }
            if !moved {
                return Ok(());
            }
            self.lines = open(&self.path)?.map(Lines::new);
            if self.lines.is_none() {
                return Ok(());
            }
        }
    }

    /// Passes a last line without newline to `each`; it stays unread.
    pub(super) fn rest(&self, mut each: impl FnMut(&Path, u64, &[u8])) {
        if let Some(line) = self.lines.as_ref().and_then(Lines::rest) {
            each(&self.path, line.offset, line.bytes);
        }
    }

    /// Waits for a change of the log, or until `output` has no reader. May come back for nothing, and does
    /// so the first time: what changed before the watch was set is found by looking.
    pub fn wait(&mut self, output: BorrowedFd<'_>) -> Result<Wake, ReadError> {
        if self.inotify.is_none() {
            self.inotify = watch(&self.path);
            if self.inotify.is_some() {
                return Ok(Wake::Changed);
            }
        }
        let mut fds = vec![PollFd::new(output, PollFlags::empty())];
        if let Some(inotify) = &self.inotify {
            fds.push(PollFd::new(inotify.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, LOOK_AGAIN) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(reading(&self.path, errno.into())),
        }
        let gone = PollFlags::POLLERR | PollFlags::POLLNVAL | PollFlags::POLLHUP;
        if fds.first().and_then(PollFd::revents).is_some_and(|events| events.intersects(gone)) {
            return Ok(Wake::ReaderGone);
        }
        if let Some(inotify) = &self.inotify {
            // What exactly changed is found by looking at the file.
            while inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
        }
        Ok(Wake::Changed)
    }

    /// Whether the path means another file than the one that is read.
    fn moved(&self) -> bool {
        let Ok(now) = std::fs::metadata(&self.path) else { return false };
        self.lines.as_ref().and_then(|lines| identity(lines.file())) != Some((now.dev(), now.ino()))
    }
}

fn identity(file: &File) -> Option<(u64, u64)> {
    file.metadata().ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Watches the log's directory: writes to the log, and files put in its place. `None` when there is no such
/// directory or no inotify instance left.
fn watch(path: &Path) -> Option<Inotify> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
    let changes = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    inotify.add_watch(directory, changes).ok()?;
    Some(inotify)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_watch_sees_writing_beginning_and_rotation() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("events.jsonl");
        let watch = watch(&path).unwrap();
        let check = |what: &str, act: &dyn Fn() -> std::io::Result<()>| {
            act().unwrap();
            assert!(watch.read_events().is_ok_and(|events| !events.is_empty()), "{what}");
            assert_eq!(watch.read_events().err(), Some(Errno::EAGAIN));
        };
        check("begin", &|| fs::write(&path, ""));
        check("write", &|| fs::write(&path, "more"));
        check("rotate", &|| fs::rename(&path, home.path().join("events.jsonl.1")));
    }
}
