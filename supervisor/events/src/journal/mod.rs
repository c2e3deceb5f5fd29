#![forbid(unsafe_code)]
//! The journal: the append-only file of a user's (or the host's) events, and the other places that a run
//! writes its events to.
//!
//! Each event is one line, written whole by one write(2). What cannot be written is counted by kind, and
//! as soon as writing works again the first line is a `lost` event with the counts. Nothing here panics,
//! blocks for long or changes a verdict.

mod descriptor;
mod file;
mod loss;
mod place;
mod walk;

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::escape::{printable, quoted};
use crate::event::Event;
use crate::wire;
use descriptor::Descriptor;
use file::LogFile;
use loss::Pending;
pub use place::Place;

/// Why the journal cannot be opened or written. Each text names the object, the cause and the fix.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// No place is known.
    #[error(
        "event log: neither XDG_STATE_HOME nor HOME is an absolute path; \
         set XDG_STATE_HOME to a directory of yours"
    )]
    NoPlace,
    /// A part of the path is not what it must be: a link, a FIFO, a file where a directory must be.
    #[error("event log {}: {} is a {found}, not a {wanted}; {fix}", shown(.log), shown(.component))]
    Kind {
        /// The log that was to be opened.
        log: PathBuf,
        /// The part of its path.
        component: PathBuf,
        /// What is there.
        found: &'static str,
        /// What must be there.
        wanted: &'static str,
        /// What to do.
        fix: &'static str,
    },
    /// A part of the path is not there and is not ours to make.
    #[error("event log {}: {} does not exist; {fix}", shown(.log), shown(.component))]
    Missing {
        /// The log that was to be opened.
        log: PathBuf,
        /// The part of its path.
        component: PathBuf,
        /// What to do.
        fix: &'static str,
    },
    /// The file or its directory belongs to somebody else.
    #[error(
        "event log {}: it belongs to user {owner}, not to user {ours}; move it away: mv {} {}",
        shown(.path), quoted_path(.path), quoted_path(&.path.with_extension("old"))
    )]
    Owner {
        /// The file or directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Whom it must belong to.
        ours: u32,
    },
    /// Others may read or write the file, or write its directory.
    #[error(
        "event log {}: its mode is {mode:04o}, others have access; chmod {fix} {}",
        shown(.path), quoted_path(.path)
    )]
    Mode {
        /// The file or directory.
        path: PathBuf,
        /// Its mode bits.
        mode: u32,
        /// The mode it should have, as chmod(1) takes it.
        fix: &'static str,
    },
    /// The file has another name somewhere, so writing it would write that too.
    #[error(
        "event log {}: it has {links} names (hard links), it must have one; move it away: mv {} {}",
        shown(.path), quoted_path(.path), quoted_path(&.path.with_extension("old"))
    )]
    HardLink {
        /// The file.
        path: PathBuf,
        /// Its link count.
        links: u64,
    },
    /// A system call failed.
    #[error("event log {}: cannot {action}: {}{}", shown(.path), .source.desc(), advice(*.source))]
    Os {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: Errno,
    },
    /// A descriptor given by number is of no use.
    #[error("event log fd:{fd}: the descriptor is not open for writing; open it first, as in {fd}>FILE")]
    Descriptor {
        /// Its number.
        fd: i32,
    },
    /// An event was not written, and is counted.
    #[error("event log {name}: cannot write: {}{}; {lost} lost so far, counted", .source.desc(), advice(*.source))]
    Write {
        /// The place that failed; the others have the event.
        name: String,
        /// Why.
        source: Errno,
        /// Events not written there and not yet reported there.
        lost: u64,
    },
}

fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_encoded_bytes())
}

fn quoted_path(path: &Path) -> String {
    quoted(path.as_os_str().as_encoded_bytes())
}

/// What to do about an errno that people can do something about.
fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOSPC | Errno::EDQUOT => "; free some space there",
        Errno::EFBIG => "; raise the limit on file size (ulimit -f)",
        Errno::EROFS => "; the file system is mounted read-only",
        Errno::EPIPE => "; its reader is gone",
        Errno::EAGAIN => "; its reader does not read",
        Errno::EACCES | Errno::EPERM => "; check the owner and mode of each directory above it",
        _ => "",
    }
}

/// The event log of a run: the journal file, and the sinks that get each event as well.
#[derive(Debug)]
pub struct Journal {
    sinks: Vec<Sink>,
}

impl Journal {
    /// Opens the journal at `place`, creating file (mode 0600) and directories (0700) that are missing.
    ///
    /// No component of the path may be a symbolic link, and the file must be a regular file of the
    /// effective user with one name and no access for others; else nothing is written or created there.
    pub fn open(place: &Place) -> Result<Self, JournalError> {
        let file = LogFile::open(place.directory()?, &place.file(), file::ROTATE_AT)?;
        Ok(Self { sinks: vec![Sink::new("journal".to_owned(), Target::File(Box::new(file)))] })
    }

    /// Writes all further events to `sink` as well.
    pub fn also(&mut self, sink: Sink) {
        self.sinks.push(sink);
    }

    /// Writes `event` to every place. A place that fails does not keep the others from it; the error is
    /// that of the first that failed. The event is then counted, and that place will begin with a `lost`
    /// event when it works again.
    ///
    /// The process must ignore SIGPIPE and SIGXFSZ (Rust ignores the first): else a pipe without a reader,
    /// or a file at its size limit, kills it.
    pub fn append(&mut self, event: &Event) -> Result<(), JournalError> {
        let line = wire::encode(event);
        self.each(|sink| sink.append(event, &line))
    }

    /// Tries again to put on record what was lost, without a new event. For the end of a run.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        self.each(Sink::report)
    }

    /// Events lost that no `lost` event tells of yet, summed over all places.
    pub fn unreported(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.pending.total()).fold(0, u64::saturating_add)
    }

    fn each(&mut self, mut act: impl FnMut(&mut Sink) -> Result<(), Errno>) -> Result<(), JournalError> {
        let mut first = Ok(());
        for sink in &mut self.sinks {
            if let Err(source) = act(sink)
                && first.is_ok()
            {
                first = Err(JournalError::Write { name: sink.shown(), source, lost: sink.pending.total() });
            }
        }
        first
    }
}

/// A place that gets a run's events besides the journal: `--events FILE|fd:N`.
#[derive(Debug)]
pub struct Sink {
    name: String,
    target: Target,
    pending: Pending,
}

#[derive(Debug)]
enum Target {
    File(Box<LogFile>),
    Fd(Descriptor),
}

impl Sink {
    /// A file, under the same conditions as the journal's own; its directory must exist and may be
    /// anybody's. It is never rotated.
    pub fn file(path: &Path) -> Result<Self, JournalError> {
        let directory = walk::existing(path)?;
        let file = LogFile::open(directory, path, u64::MAX)?;
        Ok(Self::new(shown(path), Target::File(Box::new(file))))
    }

    /// A descriptor that the caller opened for writing: file, pipe, socket or device. It is duplicated; the
    /// number stays the caller's. A pipe whose reader does not read costs 100 ms once, then events.
    pub fn fd(number: i32) -> Result<Self, JournalError> {
        let descriptor =
            Descriptor::new(number).map_err(|_not_open| JournalError::Descriptor { fd: number })?;
        Ok(Self::new(format!("fd:{number}"), Target::Fd(descriptor)))
    }

    fn new(name: String, target: Target) -> Self {
        Self { name, target, pending: Pending::default() }
    }

    fn shown(&self) -> String {
        match &self.target {
            Target::File(file) => shown(file.path()),
            Target::Fd(_) => self.name.clone(),
        }
    }

    fn append(&mut self, event: &Event, line: &[u8]) -> Result<(), Errno> {
        let written = self.report().and_then(|()| self.write(event, line));
        if written.is_err() {
            self.pending.count(&self.name, event);
            return written;
        }
        // What a rotation dropped goes on record at once; if that fails, the event is still written.
        self.report()
    }

    /// Writes the `lost` events that are due; each is forgotten once it is written.
    fn report(&mut self) -> Result<(), Errno> {
        while let Some(event) = self.pending.next() {
            let line = wire::encode(&event);
            self.write(&event, &line)?;
            self.pending.reported(&event);
        }
        Ok(())
    }

    fn write(&mut self, event: &Event, line: &[u8]) -> Result<(), Errno> {
        match &mut self.target {
            Target::Fd(descriptor) => descriptor.append(line),
            Target::File(file) => {
                let written = file.append(line);
                self.pending.rotated(event, &file.take_dropped());
                written
            }
        }
    }
}

#[cfg(test)]
mod tests;
