//! Command → redactor → caller. There is no other way from one to the other.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use keyblind_events::Stream;
use keyblind_redact::Redactor;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{CHUNK, End, Reporter, write_all};
use crate::sys;

/// Pumps until the command's end of the stream is closed, or until the run has ended and nothing is left in it.
pub(super) fn pump(
    stream: Stream,
    mut source: File,
    sink: &File,
    mut redactor: Redactor,
    reporter: &Reporter,
    end: &End,
) {
    let mut input = vec![0; CHUNK];
    let mut output = Vec::with_capacity(CHUNK);
    let mut draining = None;
    while let Some(n) = read(&mut source, &mut input, end, &mut draining) {
        let hits = redactor.push(input.get(..n).unwrap_or_default(), &mut output);
        // Counted before it is shown: a reader that kills us must not find an unrecorded mark.
        reporter.report(stream, hits);
        if write_all(sink, &output).is_err() {
            // The reader is gone. Closing our end tells the command, with SIGPIPE, as its own reader would.
            return;
        }
        output.clear();
    }
    let hits = redactor.finish(&mut output);
    reporter.report(stream, hits);
    // Nobody is left to be told that the reader is gone.
    drop(write_all(sink, &output));
}

/// Some bytes, or `None` at the end. `left` is how many are still to come once the run has ended: whoever holds the
/// other end then (a process outside the run that was handed it) has nothing more to say.
fn read(source: &mut File, buffer: &mut [u8], end: &End, left: &mut Option<usize>) -> Option<usize> {
    loop {
        if left.is_none() && wait(source, end)? == Ready::Ended {
            *left = Some(sys::waiting(source.as_fd()).unwrap_or(0));
        }
        let limit = left.unwrap_or(buffer.len()).min(buffer.len());
        if limit == 0 {
            return None;
        }
        match source.read(buffer.get_mut(..limit)?) {
            Ok(0) => return None,
            Ok(n) => {
                *left = left.map(|left| left - n);
                return Some(n);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && left.is_none() => {}
            // EIO is how a pty says that nobody has its other end open any more.
            Err(_) => return None,
        }
    }
}

#[derive(PartialEq)]
enum Ready {
    Source,
    Ended,
}

fn wait(source: &File, end: &End) -> Option<Ready> {
    let mut fds =
        [PollFd::new(source.as_fd(), PollFlags::POLLIN), PollFd::new(end.0.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            Err(_) => return None,
            Ok(_) => break,
        }
    }
    let set = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
    Some(if set(&fds[1]) { Ready::Ended } else { Ready::Source })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use keyblind_redact::Matcher;

    use super::*;
    use crate::spawn::pipe;

    fn matcher() -> Matcher {
        Matcher::builder().needle("KEY", b"k3yk3yk3yk3yk3y!").build()
    }

    /// Runs the pump over what `write` does with the command's end; returns what the caller reads.
    fn check(write: impl FnOnce(File, &End)) -> Vec<u8> {
        let (source, command) = pipe().expect("a pipe");
        let (mut caller, sink) = pipe().expect("a pipe");
        let end = End::new().expect("an event");
        let (reporter, _receiver) = Reporter::new();
        let pumping = {
            let end = end.clone();
            std::thread::spawn(move || {
                pump(Stream::Stdout, source, &sink, matcher().redactor(), &reporter, &end)
            })
        };
        write(command, &end);
        let mut seen = Vec::new();
        caller.read_to_end(&mut seen).expect("what the pump wrote");
        pumping.join().expect("the pump ends");
        seen
    }

    #[test]
    fn bytes_pass_and_secrets_do_not() {
        let seen = check(|mut command, _| command.write_all(b"a k3yk3yk3yk3yk3y! \xff\n").expect("written"));
        assert_eq!(seen, b"a [REDACTED:KEY] \xff\n");
    }

    #[test]
    fn a_late_holder_of_the_pipe_does_not_hold_the_end() {
        let (kept, _reader) = pipe().expect("a pipe");
        let seen = check(|mut command, end| {
            let late = command.try_clone().expect("a second holder");
            command.write_all(b"said before the end").expect("written");
            drop(command);
            end.signal().expect("ended");
            // Kept open beyond the test.
            std::mem::forget(late);
        });
        drop(kept);
        assert_eq!(seen, b"said before the end");
    }

    #[test]
    fn a_reader_that_is_gone_closes_the_commands_pipe() {
        let (source, mut command) = pipe().expect("a pipe");
        let (caller, sink) = pipe().expect("a pipe");
        drop(caller);
        command.write_all(b"a line\n").expect("written");
        let (reporter, _receiver) = Reporter::new();
        let end = End::new().expect("an event");
        pump(Stream::Stdout, source, &sink, matcher().redactor(), &reporter, &end);
        let error = command.write_all(b"y").expect_err("the pump has closed its end");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
