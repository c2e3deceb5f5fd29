//! The parent's half of a start: pipes, clone, and words for what the child could not do.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::sys;

#[expect(
    unsafe_code,
    clippy::multiple_unsafe_ops_per_block,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between fork and exec only raw system calls are allowed; a step of several is one block"
)]
mod child;
#[expect(
    unsafe_code,
    clippy::multiple_unsafe_ops_per_block,
    clippy::cast_possible_truncation,
    reason = "as `child`"
)]
mod mounts;
pub mod prepared;
mod step;

pub use prepared::Prepared;
pub use step::Step;

/// The reaper's program, built by `build/reaper.rs`.
static REAPER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/reaper"));

/// Why a command did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The parent could not make what the child needs.
    #[error("cannot {what}: {}", words(source))]
    Parent {
        /// What was attempted.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// A step of the child failed.
    #[error("cannot {step}: {}{}", words(source), step.advice(source))]
    Child {
        /// Which step, on which object.
        step: StepFailed,
        /// The system's answer.
        source: io::Error,
    },
    /// The child ended without a word.
    #[error("the new process ended before it could execute the command")]
    Silent,
}

impl SpawnError {
    /// Whether the host refuses namespaces, or a fresh procfs, as such: not this tree, this user or this command.
    pub fn is_refusal(&self) -> bool {
        const REFUSED: [i32; 5] = [libc::EPERM, libc::EACCES, libc::ENOSYS, libc::ENOSPC, libc::EINVAL];
        let (refused, source) = match self {
            Self::Parent { what, source } => (*what == CLONE, source),
            Self::Child { step, source } => {
                let steps = [Step::MapIds, Step::Private, Step::Root, Step::PivotRoot];
                let procfs = step.step == Step::Mount && step.object.as_deref() == Some("/proc");
                (steps.contains(&step.step) || procfs, source)
            }
            Self::Silent => return false,
        };
        refused && source.raw_os_error().is_some_and(|errno| REFUSED.contains(&errno))
    }
}

/// A step of the child that failed, with the object it worked on.
#[derive(Debug)]
pub struct StepFailed {
    /// The step.
    pub step: Step,
    /// The path of that step, if it has one.
    pub object: Option<String>,
}

impl std::fmt::Display for StepFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.object {
            Some(object) => write!(f, "{} {object}", self.step),
            None => write!(f, "{}", self.step),
        }
    }
}

impl StepFailed {
    fn advice(&self, source: &io::Error) -> &'static str {
        self.step.advice(source.raw_os_error().unwrap_or(0))
    }
}

/// A child that waits to be released. Dropping it ends it: its pipe closes, and it gives up.
#[derive(Debug)]
pub struct Waiting {
    release: File,
    error: File,
    running: Running,
    objects: Vec<Vec<String>>,
}

/// A run whose command was executed.
#[derive(Debug)]
pub struct Running {
    /// The reaper, as this process sees it.
    pub pid: i32,
    /// The reaper.
    pub pidfd: OwnedFd,
    control: File,
    /// Records of the reaper ([`Report`]).
    pub report: File,
}

/// What the reaper says. Layout of `reaper/main.rs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The command was stopped by this signal.
    Stopped(i32),
    /// The command runs again.
    Continued,
    /// The command ended; its wait status.
    Ended(i32),
    /// A process that was still there and is being killed: its name.
    Killing(String),
    /// How many were killed in all. The last record.
    Killed(u32),
}

impl Report {
    /// Size of a record on the pipe.
    pub const SIZE: usize = 24;

    /// Reads one record; `None` for a kind that this version does not know.
    pub fn parse(record: &[u8; Self::SIZE]) -> Option<Self> {
        let value = i32::from_ne_bytes([record[4], record[5], record[6], record[7]]);
        Some(match record[0] {
            b'S' => Self::Stopped(value),
            b'C' => Self::Continued,
            b'E' => Self::Ended(value),
            b'K' => {
                let name = &record[8..];
                let length = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
                Self::Killing(String::from_utf8_lossy(&name[..length]).into_owned())
            }
            b'N' => Self::Killed(u32::try_from(value).unwrap_or(0)),
            _ => return None,
        })
    }
}

impl Running {
    /// Passes `signal` to the command's process group.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        self.control.write_all(&[u8::try_from(signal as i32).unwrap_or(0)])
    }

    /// Takes leave of the reaper, which has ended or is about to: a host whose pid 1 does not reap would keep it.
    pub fn reap(self) -> io::Result<()> {
        drop(self.control);
        waitpid(Pid::from_raw(self.pid), None)?;
        Ok(())
    }

    /// Ends the run: every process of it is killed, whatever group or session it has moved to.
    pub fn end(&mut self) -> io::Result<()> {
        const END_ALL: u8 = 255;
        self.control.write_all(&[END_ALL])
    }
}

/// Forks the run's first process. It builds the tree and waits for [`Waiting::release`].
///
/// Must be called on the thread that lives as long as this process: the parent-death signal is tied to it
/// (prctl(2), PR_SET_PDEATHSIG).
pub fn spawn(prepared: &Prepared) -> Result<Waiting, SpawnError> {
    let parent = |what| move |source: io::Error| SpawnError::Parent { what, source };
    let reaper = sys::sealed_copy("keyblind-reaper", REAPER)
        .and_then(above)
        .map_err(parent("copy the reaper into memory"))?;
    let (control_read, control) = pipe().map_err(parent("make a pipe"))?;
    let (report, report_write) = pipe().map_err(parent("make a pipe"))?;
    let (error, error_write) = pipe().map_err(parent("make a pipe"))?;
    let (release_read, release) = pipe().map_err(parent("make a pipe"))?;
    let (ready_read, ready) = pipe().map_err(parent("make a pipe"))?;
    let plumbing = child::Plumbing {
        reaper: reaper.as_raw_fd(),
        control: control_read.as_raw_fd(),
        report: report_write.as_raw_fd(),
        error: error_write.as_raw_fd(),
        release: release_read.as_raw_fd(),
        ready: (ready_read.as_raw_fd(), ready.as_raw_fd()),
        parents_ends: [control.as_raw_fd(), release.as_raw_fd()],
    };
    let (pid, pidfd) = child::clone(prepared, &plumbing).map_err(parent(CLONE))?;
    let objects = prepared.objects();
    Ok(Waiting { release, error, running: Running { pid, pidfd, control, report }, objects })
}

/// A process that tidies up should this one be killed. It ends with [`Sweeper::dismiss`].
#[derive(Debug)]
pub struct Sweeper {
    pipe: File,
    pid: Pid,
}

/// Something that a run leaves on the host: a name in a directory.
#[derive(Debug)]
pub struct Leftover {
    /// The directory.
    pub parent: OwnedFd,
    /// The name in it.
    pub name: CString,
}

impl Sweeper {
    /// Starts it, before what it is to remove is made.
    pub fn start(cgroup: Option<&Leftover>, scratch: Option<&Leftover>) -> io::Result<Self> {
        let reaper = above(sys::sealed_copy("keyblind-sweeper", REAPER)?)?;
        let (read, pipe) = pipe()?;
        let fd =
            |leftover: Option<&Leftover>| leftover.map_or(read.as_raw_fd(), |left| left.parent.as_raw_fd());
        let name = |leftover: Option<&Leftover>| leftover.map_or(c"".to_owned(), |left| left.name.clone());
        let pid = child::sweeper(
            reaper.as_raw_fd(),
            [read.as_raw_fd(), fd(cgroup), fd(scratch)],
            pipe.as_raw_fd(),
            [name(cgroup), name(scratch)],
        )?;
        Ok(Self { pipe, pid: Pid::from_raw(pid) })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Tells it that nothing is left to do, and waits for its end.
    pub fn dismiss(mut self) -> io::Result<()> {
        self.pipe.write_all(b".")?;
        waitpid(self.pid, None)?;
        Ok(())
    }
}

impl Waiting {
    /// The run's first process, as this process sees it.
    pub fn pid(&self) -> i32 {
        self.running.pid
    }

    /// The run's first process.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.running.pidfd.as_fd()
    }

    /// Waits until the child has built everything that this host could still refuse. Nothing of the command has
    /// run; after an error the run may be planned again with less.
    pub fn ready(&mut self) -> Result<(), SpawnError> {
        match self.hear()? {
            Some(failure) if failure.step == Step::Ready => Ok(()),
            Some(failure) => Err(self.failed(&failure)),
            None => Err(SpawnError::Silent),
        }
    }

    /// Lets the command be executed, and waits until it is or cannot be.
    pub fn release(mut self) -> Result<Running, SpawnError> {
        // A child that is gone has said why; the error pipe is where to look.
        drop(self.release.write_all(b"."));
        match self.hear()? {
            Some(failure) => Err(self.failed(&failure)),
            // The end of the pipe means that both processes executed their programs, or that they were killed.
            None if sys::has_ended(&self.running.pidfd) && self.ended_early() => Err(SpawnError::Silent),
            None => Ok(self.running),
        }
    }

    /// One record, or `None` at the end of the pipe.
    fn hear(&mut self) -> Result<Option<child::Failure>, SpawnError> {
        let mut record = [0u8; child::FAILURE];
        let mut filled = 0;
        while filled < record.len() {
            match self.error.read(&mut record[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(SpawnError::Parent { what: "hear from the new process", source }),
            }
        }
        Ok((filled == record.len()).then(|| child::Failure::parse(&record)))
    }

    fn failed(&self, failure: &child::Failure) -> SpawnError {
        let object =
            self.objects.get(failure.step as usize).and_then(|list| list.get(failure.index)).cloned();
        SpawnError::Child {
            step: StepFailed { step: failure.step, object },
            source: io::Error::from_raw_os_error(failure.errno),
        }
    }

    /// Whether the reaper is gone without having reported anything: a short command may well have ended by now.
    fn ended_early(&self) -> bool {
        let mut fds = [PollFd::new(self.running.report.as_fd(), PollFlags::POLLIN)];
        let readable = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
        !readable || !fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN))
    }
}

impl Prepared {
    /// The objects of each step that has some, by step and index, so that a failure can name them.
    fn objects(&self) -> Vec<Vec<String>> {
        let text = |string: &std::ffi::CString| string.to_string_lossy().into_owned();
        let mut objects = vec![Vec::new(); Step::COUNT];
        objects[Step::Mount as usize] = self.mounts.iter().map(prepared::Mount::describe).collect();
        objects[Step::ChangeDirectory as usize] = vec![text(&self.cwd)];
        if let Some(landlock) = &self.landlock {
            objects[Step::LandlockRule as usize] =
                landlock.rules.iter().map(|(path, _)| text(path)).collect();
        }
        if let Some(marks) = &self.marks {
            objects[Step::Mark as usize] = marks.objects.iter().map(|(path, _)| text(path)).collect();
        }
        objects
    }
}

/// The system's answer without "(os error N)".
pub(crate) fn words(source: &io::Error) -> String {
    source.raw_os_error().map_or_else(|| source.to_string(), |errno| Errno::from_raw(errno).desc().to_owned())
}

const CLONE: &str = "start a process in the run's namespaces and cgroup";

/// A pipe whose ends close on exec and are above the numbers that the child gives away.
pub(crate) fn pipe() -> io::Result<(File, File)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    Ok((above(read)?.into(), above(write)?.into()))
}

/// The parent's end of [`prepared::Gate`].
#[derive(Debug)]
pub struct Gatekeeper(OwnedFd);

impl Gatekeeper {
    /// Both ends of a new one.
    pub fn new() -> io::Result<(Self, prepared::Gate)> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (parent, child) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let (parent, child) = (above(parent)?, above(child)?);
        let number = parent.as_raw_fd();
        Ok((Self(parent), prepared::Gate { child, parent: number }))
    }

    /// The root of the run's tree, when it is built. `None`: the child has failed and said why elsewhere. Call when the
    /// child's end is closed in this process.
    pub fn root(&self) -> io::Result<Option<OwnedFd>> {
        let mut byte = [0u8; 1];
        loop {
            match sys::receive(self.0.as_fd(), &mut byte, true) {
                Ok(mut packet) => return Ok(packet.descriptors.pop()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets the child go on.
    pub fn open(self) {
        // A child that is gone has said why.
        let _gone = send(self.0.as_raw_fd(), b".", MsgFlags::MSG_NOSIGNAL);
    }
}

/// Moves a descriptor above 9, so that no `dup2` in the child can land on it.
pub(crate) fn above(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 9 {
        return Ok(fd);
    }
    let moved: RawFd = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(10))?;
    Ok(sys::own(moved))
}
