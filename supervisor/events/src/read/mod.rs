#![forbid(unsafe_code)]
//! Reading the log: whole lines in the order in which they were written, across a rotation, filtered, and
//! on request as they come.

mod follow;
mod lines;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

pub use follow::{Follow, Wake};
use lines::Lines;

use crate::clock::Wall;
use crate::escape::printable;
use crate::event::Event;
use crate::ids::{RunId, SessionId};
use crate::journal::Place;
use crate::wire::{self, WireError};

/// Why the log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file is there and cannot be opened or read.
    #[error("event log {}: cannot {action}: {source}{}", shown(.path), advice(.source))]
    Os {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is a directory, a FIFO or a device.
    #[error("event log {}: it is not a regular file; name the file that the events were written to", shown(.path))]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
}

fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_encoded_bytes())
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; read it as the user whose log it is, or as root",
        _ => "",
    }
}

/// Which events to read; all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this session.
    pub session: Option<SessionId>,
    /// Of this run.
    pub run: Option<RunId>,
    /// Not before this moment.
    pub since: Option<Wall>,
}

impl Filter {
    /// Whether `event` is asked for.
    pub fn admits(&self, event: &Event) -> bool {
        let context = &event.envelope.context;
        self.session.as_ref().is_none_or(|session| *session == context.session)
            && self.run.as_ref().is_none_or(|run| *run == context.run)
            && self.since.is_none_or(|since| since <= event.envelope.time)
    }

    /// Whether a line is worth decoding. Ids are made of characters that JSON writes as they are, and times
    /// of one length sort as text; so most lines of other runs need no parser.
    fn may_admit(&self, line: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(line) else { return true };
        let quoted = |id: &str| text.contains(&format!("\"{id}\""));
        let recent = |since: &Wall| {
            const TIME: &str = "\"time\":\"";
            let time = text.split_once(TIME).map(|(_, rest)| rest);
            time.is_none_or(|time| time >= since.to_string().as_str())
        };
        self.session.as_ref().is_none_or(|session| quoted(session.as_str()))
            && self.run.as_ref().is_none_or(|run| quoted(run.as_str()))
            && self.since.as_ref().is_none_or(recent)
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One line of the log.
#[derive(Debug)]
pub enum Item {
    /// An event.
    Event(Box<Event>),
    /// A line that holds none, where and why. Blank lines, which end torn ones, are passed over.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Offset of the line in the file, in bytes.
        offset: u64,
        /// What is wrong with it.
        cause: WireError,
    },
}

/// A log: the file that is written now, and the one of before the last rotation.
#[derive(Clone, Debug)]
pub struct Log {
    current: PathBuf,
    rotated: PathBuf,
}

impl Log {
    /// The journal at `place`.
    pub fn at(place: &Place) -> Self {
        Self { current: place.file(), rotated: place.rotated_file() }
    }

    /// A file that `--events` wrote, or a copy of one.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let current = path.into();
        let mut rotated = current.clone().into_os_string();
        rotated.push(".1");
        Self { current, rotated: rotated.into() }
    }

    /// The file that is written now.
    pub fn path(&self) -> &Path {
        &self.current
    }

    /// Whether there is anything to read.
    pub fn exists(&self) -> bool {
        self.current.exists() || self.rotated.exists()
    }

    /// Passes what `filter` admits to `each`, oldest first. Lines that cannot be read are passed whatever
    /// the filter. A log that does not exist is empty.
    pub fn read(&self, filter: &Filter, mut each: impl FnMut(Item)) -> Result<(), ReadError> {
        self.lines(|path, offset, line| each_item(path, offset, line, filter, &mut each)).map(drop)
    }

    /// The last `count` events that `filter` admits, oldest first, with the unreadable lines among them;
    /// and the place from which to go on.
    pub fn tail(&self, count: usize, filter: &Filter) -> Result<(Vec<Item>, Follow), ReadError> {
        let mut kept: VecDeque<(PathBuf, u64, Vec<u8>)> = VecDeque::new();
        let follow = self.lines(|path, offset, line| {
            // What is not shown is decoded only where the filter cannot tell otherwise.
            if !filter.is_empty() && item(path, offset, line, filter).is_none() {
                return;
            }
            let (_, _, mut bytes) =
                if kept.len() < count { None } else { kept.pop_front() }.unwrap_or_default();
            bytes.clear();
            bytes.extend_from_slice(line);
            kept.push_back((path.to_owned(), offset, bytes));
        })?;
        kept.truncate(count);
        let items = kept.iter().filter_map(|(path, offset, line)| item(path, *offset, line, filter));
        Ok((items.collect(), follow))
    }

    /// Passes all lines there are to `each`, and returns the place after the last.
    fn lines(&self, mut each: impl FnMut(&Path, u64, &[u8])) -> Result<Follow, ReadError> {
        // The current file is opened first: a rotation in between then makes it the rotated one as well,
        // which shows, while the other way round the lines in it would be missed.
        let mut follow = Follow::new(&self.current)?;
        if let Some(file) = open(&self.rotated)?
            && !follow.reads(&file)
        {
            let mut lines = Lines::new(file);
            while let Some(line) = lines.next(true).map_err(|source| reading(&self.rotated, source))? {
                each(&self.rotated, line.offset, line.bytes);
            }
        }
        follow.lines(&mut each)?;
        follow.rest(&mut each);
        Ok(follow)
    }
}

/// Opens a log for reading; `None` when it is not there.
fn open(path: &Path) -> Result<Option<File>, ReadError> {
    // A FIFO would block until somebody writes.
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ReadError::Os { action: "open", path: path.to_owned(), source }),
    };
    let meta = file.metadata().map_err(|source| reading(path, source))?;
    if !meta.is_file() {
        return Err(ReadError::NotAFile { path: path.to_owned() });
    }
    Ok(Some(file))
}

fn reading(path: &Path, source: io::Error) -> ReadError {
    ReadError::Os { action: "read", path: path.to_owned(), source }
}

/// What `line` is, if `filter` admits it.
fn item(path: &Path, offset: u64, line: &[u8], filter: &Filter) -> Option<Item> {
    if !filter.may_admit(line) {
        return None;
    }
    match wire::decode(line) {
        Ok(event) => filter.admits(&event).then(|| Item::Event(Box::new(event))),
        Err(cause) => Some(Item::Unreadable { file: path.to_owned(), offset, cause }),
    }
}

fn each_item(path: &Path, offset: u64, line: &[u8], filter: &Filter, each: &mut impl FnMut(Item)) {
    if let Some(item) = item(path, offset, line, filter) {
        each(item);
    }
}

#[cfg(test)]
mod tests;
