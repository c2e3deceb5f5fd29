//! Caller → command. The command never holds the caller's own descriptor: a terminal or a socket could be written
//! to through it, past the redactor.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::End;
use crate::sys;

/// How the command learns that there is no more input.
#[derive(Debug)]
pub enum Eof {
    /// Its end of the pipe is closed. With the other end of that pipe at hand, what the command left unread of a file
    /// is put back.
    Close(Option<OwnedFd>),
    /// Its terminal gets the end-of-file character (termios(3), VEOF), twice if a line is open.
    Character(u8),
}

/// Small enough that little is taken from the caller which the command will not read.
const CHUNK: usize = 64 * 1024;

/// Pumps until the caller has no more, the command wants no more, or the run has ended.
pub(super) fn pump(source: &File, sink: File, eof: Eof, end: &End) {
    // Our description of the pipe or pty, which the command does not share: waiting for it must not be for ever.
    if set_nonblocking(&sink).is_err() {
        return;
    }
    let undelivered = pass(source, &sink, &eof, end);
    let Eof::Close(Some(other_end)) = eof else { return };
    drop(sink);
    wait(&mut [PollFd::new(end.0.as_fd(), PollFlags::POLLIN)]);
    // A list that a loop reads from (`while read …; do keyblind run …; done < list`): what this command did not read
    // goes back to the next.
    let unread = undelivered + sys::waiting(other_end.as_fd()).unwrap_or(0);
    let mut reader = source;
    // A source that cannot seek keeps what was taken from it, as with every pipe.
    drop(reader.seek(io::SeekFrom::Current(-i64::try_from(unread).unwrap_or(0))));
}

/// Returns how many bytes were taken from the caller and did not reach the command.
fn pass(source: &File, sink: &File, eof: &Eof, end: &End) -> usize {
    let mut buffer = vec![0; CHUNK];
    let mut last = b'\n';
    let ended = || PollFd::new(end.0.as_fd(), PollFlags::POLLIN);
    loop {
        // Of the sink nothing is asked: a pipe without a reader answers POLLERR all the same.
        let mut fds = [
            ended(),
            PollFd::new(sink.as_fd(), PollFlags::empty()),
            PollFd::new(source.as_fd(), PollFlags::POLLIN),
        ];
        if !wait(&mut fds) || is_set(&fds[0]) || is_set(&fds[1]) {
            return 0;
        }
        let mut reader = source;
        let mut rest = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => buffer.get(..n).unwrap_or_default(),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {
                continue;
            }
            Err(_) => break,
        };
        last = rest.last().copied().unwrap_or(last);
        while !rest.is_empty() {
            let mut writer = sink;
            match writer.write(rest) {
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut fds = [ended(), PollFd::new(sink.as_fd(), PollFlags::POLLOUT)];
                    if !wait(&mut fds) || is_set(&fds[0]) {
                        return rest.len();
                    }
                }
                Err(_) => return rest.len(),
            }
        }
    }
    if let Eof::Character(character) = eof {
        let signs = [*character, *character];
        let count = if last == b'\n' { 1 } else { 2 };
        let mut writer = sink;
        // The terminal stays open for output; a command that is gone needs no end of file.
        drop(writer.write(signs.get(..count).unwrap_or_default()));
    }
    0
}

/// Waits until one of them is ready. False when that cannot be waited for.
fn wait(fds: &mut [PollFd<'_>]) -> bool {
    loop {
        match poll(fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            other => return other.is_ok(),
        }
    }
}

fn is_set(fd: &PollFd<'_>) -> bool {
    fd.revents().is_some_and(|events| !events.is_empty())
}

fn set_nonblocking(file: &File) -> nix::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    fcntl(file, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spawn::pipe;

    #[test]
    fn what_the_command_did_not_read_goes_back_to_the_file() {
        let mut list = tempfile::tempfile().expect("a file");
        list.write_all(&b"line\n".repeat(100_000)).expect("written");
        list.rewind().expect("rewound");
        let (mut command, sink) = pipe().expect("a pipe");
        let other_end = command.try_clone().expect("a second descriptor").into();
        let end = End::new().expect("an event");
        let pumping = {
            let (source, end) = (list.try_clone().expect("the caller's"), end.clone());
            std::thread::spawn(move || pump(&source, sink, Eof::Close(Some(other_end)), &end))
        };
        let mut read = [0; 7];
        command.read_exact(&mut read).expect("some input");
        drop(command);
        end.signal().expect("ended");
        pumping.join().expect("the pump ends");
        assert_eq!(list.stream_position().expect("a position"), 7);
    }
}
