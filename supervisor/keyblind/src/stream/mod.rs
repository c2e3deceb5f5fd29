#![forbid(unsafe_code)]
//! The streams of a run: bytes of the caller's to the command, bytes of the command's through the redactor to the
//! caller. One thread each, so that a reader who does not read stops the writer and nothing else.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use keyblind_events::Stream;
use keyblind_redact::{Hit, Hits, Redactor};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::{mpsc, oneshot};

mod input;
mod output;
pub mod terminal;

pub use input::Eof;

/// A pipe holds this many bytes, so that writer and reader meet less often. Under the per-user soft limit
/// (pipe(7), pipe-user-pages-soft) even with 200 runs.
pub const PIPE_CAPACITY: i32 = 256 * 1024;
/// What is read at once: a full pipe.
const CHUNK: usize = 256 * 1024;

/// One redaction, as the run's loop hears of it.
#[derive(Debug)]
pub struct Redaction {
    /// Which stream.
    pub stream: Stream,
    /// What was found; never the value.
    pub hit: Hit,
}

/// Redactions on their way to the loop. A full channel loses bodies, never counts.
#[derive(Debug, Clone)]
pub struct Reporter {
    channel: mpsc::Sender<Redaction>,
    counts: Arc<Counts>,
}

/// How much was redacted, exactly.
#[derive(Debug, Default)]
pub struct Counts {
    redacted: std::sync::atomic::AtomicU64,
    lost: std::sync::atomic::AtomicU64,
}

impl Counts {
    /// Marks put into output.
    pub fn redacted(&self) -> u64 {
        self.redacted.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Redactions of which only the count is known.
    pub fn lost(&self) -> u64 {
        self.lost.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Reporter {
    /// A reporter and the end that the loop reads.
    pub fn new() -> (Self, mpsc::Receiver<Redaction>) {
        let (channel, receiver) = mpsc::channel(4096);
        (Self { channel, counts: Arc::default() }, receiver)
    }

    /// The counts, which are right once the pumps have ended.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    fn report(&self, stream: Stream, hits: Hits) {
        for hit in hits {
            self.counts.redacted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if self.channel.try_send(Redaction { stream, hit }).is_err() {
                self.counts.lost.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }
}

/// Tells every pump that the run has ended: output takes what is there and finishes, input stops.
#[derive(Debug, Clone)]
pub struct End(Arc<EventFd>);

impl End {
    /// Not ended yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?)))
    }

    /// Ends it, for good.
    pub fn signal(&self) -> io::Result<()> {
        self.0.write(1)?;
        Ok(())
    }
}

/// A pump that will say when it is through.
#[derive(Debug)]
pub struct Pump {
    /// Resolves when the thread has written its last byte.
    pub done: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Pump {
    /// Output of the command, from `source` through `redactor` to `sink`.
    pub fn output(
        stream: Stream,
        source: OwnedFd,
        sink: OwnedFd,
        redactor: Redactor,
        reporter: Reporter,
        end: End,
    ) -> io::Result<Self> {
        Self::start(stream.as_str(), move || {
            output::pump(stream, source.into(), &sink.into(), redactor, &reporter, &end)
        })
    }

    /// Input of the command, from `source` to `sink`; `eof` says how the command learns that there is no more.
    pub fn input(source: OwnedFd, sink: OwnedFd, eof: Eof, end: End) -> io::Result<Self> {
        Self::start("stdin", move || input::pump(&source.into(), sink.into(), eof, &end))
    }

    fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (finished, done) = oneshot::channel();
        // 64 KiB is far more than a loop over two buffers on the heap needs; the default of 2 MiB is address space
        // that 200 runs would count.
        let thread =
            thread::Builder::new().name(name.to_owned()).stack_size(128 * 1024).spawn(move || {
                work();
                let _loop_may_have_given_up = finished.send(());
            })?;
        Ok(Self { done, thread })
    }

    /// Waits for the thread itself.
    pub fn join(self) {
        // A panic aborts the process in every profile; there is no other way for a thread to fail.
        drop(self.thread.join());
    }
}

/// Duplicates one of the caller's descriptors for a pump.
pub fn duplicate(fd: impl AsFd) -> io::Result<OwnedFd> {
    fd.as_fd().try_clone_to_owned()
}

/// Writes all of `bytes`, waiting where the caller's descriptor does not block.
fn write_all(sink: &File, mut bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let mut sink = sink;
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_writable(sink)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait_writable(sink: &File) -> io::Result<()> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(sink.as_fd(), PollFlags::POLLOUT)];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
