//! Caller → command. The command never holds the caller's own descriptor: a terminal or a socket could be written
//! to through it, past the redactor.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{End, write_all};

/// How the command learns that there is no more input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eof {
    /// Its end of the pipe is closed.
    Close,
    /// Its terminal gets the end-of-file character (termios(3), VEOF), twice if a line is open.
    Character(u8),
}

/// Small enough that little is taken from the caller which the command will not read; pipes are no seekable files,
/// so what was taken cannot be given back.
const CHUNK: usize = 64 * 1024;

pub(super) fn pump(source: &File, sink: File, eof: Eof, end: &End) {
    let mut buffer = vec![0; CHUNK];
    let mut last = b'\n';
    loop {
        if !wait(source, &sink, end) {
            return;
        }
        let mut reader = source;
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                let bytes = buffer.get(..n).unwrap_or_default();
                last = bytes.last().copied().unwrap_or(last);
                if write_all(&sink, bytes).is_err() {
                    return;
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(_) => break,
        }
    }
    if let Eof::Character(character) = eof {
        let signs = [character, character];
        let count = if last == b'\n' { 1 } else { 2 };
        // The terminal stays open for output; a command that is gone needs no end of file.
        drop(write_all(&sink, signs.get(..count).unwrap_or_default()));
    }
}

/// Waits for input. False when the run has ended or the command no longer reads: then the caller's input is left
/// for whoever comes next.
fn wait(source: &File, sink: &File, end: &End) -> bool {
    let mut fds = [
        PollFd::new(source.as_fd(), PollFlags::POLLIN),
        PollFd::new(end.0.as_fd(), PollFlags::POLLIN),
        // Asked for nothing: a pipe without a reader answers POLLERR all the same.
        PollFd::new(sink.as_fd(), PollFlags::empty()),
    ];
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
            Ok(_) => break,
        }
    }
    let set = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
    !set(&fds[1]) && !set(&fds[2])
}
