//! The registrar's client. `run` asks for an [`Offer`] before it plans and begins with it once the plan is made;
//! `keyblind host` asks for the status and the end.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use keyblind_events::Event;
use nix::errno::Errno;
use nix::sys::socket::sockopt::{PeerCredentials, ReceiveTimeout, SendTimeout};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::channel::{self, ChannelError};
use super::home;
use super::protocol::{
    Guard, Layer, LayerReport, MOST_DESCRIPTORS, MOST_GUARDS, ProtocolError, Refusal, Registration, Reply,
    Request, RunStatus, ServiceStatus, Target,
};
use crate::host::{Host, Support};

/// How long the registrar may take to be there, and to answer what it answers at once.
const PROMPT: Duration = Duration::from_millis(500);
/// How long it may take where it looks guards up on file systems.
const LOOKED_UP: Duration = Duration::from_secs(5);
/// How long it may take where processes have to end first.
const PATIENT: Duration = Duration::from_secs(30);

/// Why the registrar is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is none.
    #[error("no keyblind host serves at {socket}; start it with `sudo keyblind host up`")]
    Absent {
        /// Where it would listen.
        socket: String,
    },
    /// Somebody else listens there.
    #[error("{socket} belongs to user {uid}, not to root; nothing was said to it")]
    Impostor {
        /// Where.
        socket: String,
        /// Whose it is.
        uid: u32,
    },
    /// It refuses.
    #[error("the host service refuses: {1}")]
    Refused(Refusal, String),
    /// It answers what was not asked, or in another version.
    #[error("host service: {0}")]
    Protocol(#[from] ProtocolError),
    /// It answers out of turn.
    #[error("the host service answers out of turn; restart `keyblind host up` after an upgrade")]
    OutOfTurn,
    /// It does not answer, or is gone.
    #[error("host service: {0}")]
    Silent(String),
}

impl From<ChannelError> for ClientError {
    fn from(error: ChannelError) -> Self {
        Self::Silent(error.to_string())
    }
}

type Result<T> = std::result::Result<T, ClientError>;

/// What a registrar would do for a run. Dropped, it costs nothing.
#[derive(Debug)]
pub struct Offer {
    line: Line,
    layers: Vec<LayerReport>,
    generation: String,
}

/// Asks the registrar at `socket` what it enforces. `None` where there is no registrar, the normal case; errors are worth
/// a word to the user, but no reason not to run in another tier.
pub fn offer(socket: &Path) -> Result<Option<Offer>> {
    let mut line = match Line::open(socket) {
        Ok(line) => line,
        Err(ClientError::Absent { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    match line.ask(&Request::Hello, &[])? {
        Reply::Welcome { layers, generation } => Ok(Some(Offer { line, layers, generation })),
        _ => Err(ClientError::OutOfTurn),
    }
}

/// Asks the registrar what it would do for a run here, and notes it in `host`.
pub fn consult(host: &mut Host) -> Option<Offer> {
    let missing = |evidence: String| Support::Missing {
        evidence,
        remedy: "`keyblind host status` says more".to_owned(),
    };
    match offer(Path::new(super::SOCKET)) {
        Ok(None) => None,
        Err(error) => {
            host.kernel_programs = missing(error.to_string());
            host.scopes = host.kernel_programs.clone();
            host.scope_addresses = host.kernel_programs.clone();
            None
        }
        Ok(Some(offer)) => {
            let support = |layer| match offer.layers.iter().find(|report| report.layer == layer) {
                Some(report) if report.enforced => Support::Available,
                Some(report) => missing(format!("host service: {}", report.why)),
                None => missing("the host service does not know it".to_owned()),
            };
            (host.kernel_programs, host.scopes) = (support(Layer::Files), support(Layer::Scope));
            host.scope_addresses = support(Layer::Addresses);
            Some(offer)
        }
    }
}

impl Offer {
    /// Each layer, enforced or not, and why.
    pub fn layers(&self) -> &[LayerReport] {
        &self.layers
    }

    /// Whether a layer is enforced.
    pub fn enforces(&self, layer: Layer) -> bool {
        self.layers.iter().any(|report| report.layer == layer && report.enforced)
    }

    /// The generation of the host's policy, which is in force besides the run's own.
    pub fn generation(&self) -> &str {
        &self.generation
    }

    /// Registers a run in its working directory, with its guards, and opens its scope. `objects` are the descriptors that
    /// the guards' targets mean by their place in it: opened for reading or with O_PATH, by the run's user.
    ///
    /// Before the run's first process: that one is cloned into [`Scope::directory`] by root, and moved by
    /// [`Scope::enter`] for anybody else, before it is released.
    pub fn begin(
        mut self,
        registration: Registration,
        project: Option<BorrowedFd<'_>>,
        guards: &[Guard],
        objects: &[BorrowedFd<'_>],
    ) -> Result<Scope> {
        // The look-up of what the host guards for a user has a bound of its own, above what answers at once.
        self.line.patience(LOOKED_UP);
        let host = self.line.enrolled(&Request::Register(registration), project.as_slice())?;
        self.line.patience(PROMPT);
        let not_enrolled = self.line.guard(guards, objects)?;
        let (reply, mut descriptors) = self.line.exchange(&Request::Begin, &[])?;
        match (reply, descriptors.pop()) {
            (Reply::Begun { cgroup }, Some(directory)) => {
                Ok(Scope { line: self.line, directory, cgroup, host, not_enrolled })
            }
            _ => Err(ClientError::OutOfTurn),
        }
    }
}

/// Guards in messages of bounded size, each with the objects it needs, counted anew.
fn batches<'o>(guards: &[Guard], objects: &[BorrowedFd<'o>]) -> Vec<(Vec<Guard>, Vec<BorrowedFd<'o>>)> {
    let mut batches = Vec::new();
    for chunk in guards.chunks(MOST_GUARDS.min(MOST_DESCRIPTORS)) {
        let mut places: Vec<usize> = Vec::new();
        let mut beside = Vec::new();
        let mut batch = Vec::new();
        for guard in chunk {
            let wanted = guard.target.descriptor();
            let Some(object) = objects.get(wanted) else { continue };
            let place = places.iter().position(|have| *have == wanted).unwrap_or_else(|| {
                places.push(wanted);
                beside.push(*object);
                places.len() - 1
            });
            let place = u8::try_from(place).unwrap_or(u8::MAX);
            let mut guard = guard.clone();
            match &mut guard.target {
                Target::Object { descriptor: slot }
                | Target::Holds { descriptor: slot }
                | Target::Name { directory: slot, .. }
                | Target::Below { directory: slot, .. } => *slot = place,
            }
            batch.push(guard);
        }
        batches.push((batch, beside));
    }
    batches
}

/// A run's scope. When it is dropped, or its process dies, the registrar kills what is left in it.
#[derive(Debug)]
pub struct Scope {
    line: Line,
    directory: OwnedFd,
    cgroup: u64,
    host: Vec<(u32, String)>,
    not_enrolled: Vec<(u32, String)>,
}

/// Something that the registrar says of a run while it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// What the kernel saw.
    Event {
        /// The caller's number of the guard; 0 where it is the host's, which the event names, or none.
        guard: u32,
        /// As the host's journal has it: context and sequence are the host's, to be replaced.
        event: Box<Event>,
    },
    /// So many events were not sent, since nobody read them.
    Lost(u64),
}

/// How a scope ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Accesses refused in it.
    pub denied: u64,
    /// Accesses flagged in it.
    pub flagged: u64,
    /// Reports of it that were lost.
    pub lost: u64,
}

impl Scope {
    /// The cgroup's directory, for CLONE_INTO_CGROUP by root. An ordinary user may not: the kernel wants the right to
    /// write the common ancestor of both cgroups.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The cgroup's id.
    pub fn cgroup(&self) -> u64 {
        self.cgroup
    }

    /// Guards of the host's policy that are not in force for this run: each by its name, and why.
    pub fn host_not_enrolled(&self) -> impl Iterator<Item = &str> {
        self.host.iter().map(|(_, why)| why.as_str())
    }

    /// Guards that come after the scope, as [`Offer::begin`] has them: for objects of the run's own tree. Returns those that
    /// are not in force, and why.
    pub fn guard(&mut self, guards: &[Guard], objects: &[BorrowedFd<'_>]) -> Result<Vec<(u32, String)>> {
        self.line.guard(guards, objects)
    }

    /// Guards that are not in force, by their number, and why.
    pub fn not_enrolled(&self) -> &[(u32, String)] {
        &self.not_enrolled
    }

    /// Moves the process of `pidfd`, a child of this process and of the same user, into the scope. Once.
    pub fn enter(&mut self, pidfd: BorrowedFd<'_>) -> Result<()> {
        self.line.expect_done(&Request::Enter, &[pidfd])
    }

    /// What there is to report, without waiting. `None`: nothing at the moment. Readable when there is more.
    pub fn report(&mut self) -> Result<Option<Report>> {
        if self.line.unasked.is_empty() {
            match channel::receive_now(&self.line.socket) {
                Ok(received) => self.line.keep(Reply::decode(&received.bytes)?)?,
                Err(ChannelError::Waiting) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.line.unasked.pop_front())
    }

    /// Ends the run: what is left in the scope is killed. What was not read yet is in [`Scope::report`] no more.
    pub fn end(mut self) -> Result<(Totals, Vec<Report>)> {
        self.line.patience(PATIENT);
        match self.line.ask(&Request::End, &[])? {
            Reply::Ended { denied, flagged, lost } => {
                Ok((Totals { denied, flagged, lost }, self.line.unasked.into()))
            }
            _ => Err(ClientError::OutOfTurn),
        }
    }
}

impl AsRawFd for Scope {
    fn as_raw_fd(&self) -> RawFd {
        self.line.socket.as_raw_fd()
    }
}

/// The service and the runs that the caller may know of.
pub fn status(socket: &Path) -> Result<(ServiceStatus, Vec<RunStatus>)> {
    let mut line = Line::open(socket)?;
    let mut runs = Vec::new();
    let mut reply = line.ask(&Request::Status, &[])?;
    loop {
        match reply {
            Reply::Run(run) => runs.push(run),
            Reply::Service(service) => return Ok((service, runs)),
            _ => return Err(ClientError::OutOfTurn),
        }
        reply = line.receive()?.0;
    }
}

/// Ends the service, and returns when it has ended.
pub fn down(socket: &Path, end_runs: bool) -> Result<()> {
    let mut line = Line::open(socket)?;
    if line.ask(&Request::Down { end_runs }, &[])? != Reply::Stopping {
        return Err(ClientError::OutOfTurn);
    }
    line.patience(PATIENT);
    match channel::receive(&line.socket) {
        Err(ChannelError::Closed) => Ok(()),
        Ok(_) => Err(ClientError::OutOfTurn),
        Err(error) => Err(error.into()),
    }
}

/// Who serves this machine although nobody listens at the socket that was asked for.
pub fn other_holder() -> Option<u32> {
    home::holder(Path::new(super::STATE))
}

/// A connection on which one thing is asked at a time.
#[derive(Debug)]
struct Line {
    socket: OwnedFd,
    unasked: VecDeque<Report>,
}

impl Line {
    fn open(path: &Path) -> Result<Self> {
        let shown = || path.display().to_string();
        let failed =
            |errno: Errno| ClientError::Silent(format!("cannot connect to {}: {}", shown(), errno.desc()));
        let socket =
            socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).map_err(failed)?;
        let address = UnixAddr::new(path).map_err(failed)?;
        let line = Self { socket, unasked: VecDeque::new() };
        // Bounds connect(2) too, which waits when the backlog is full.
        line.patience(PROMPT);
        match connect(line.socket.as_raw_fd(), &address) {
            Ok(()) => {}
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ECONNREFUSED) => {
                return Err(ClientError::Absent { socket: shown() });
            }
            Err(errno) => return Err(failed(errno)),
        }
        let owner = getsockopt(&line.socket, PeerCredentials).map_err(failed)?;
        if owner.uid() != 0 {
            return Err(ClientError::Impostor { socket: shown(), uid: owner.uid() });
        }
        Ok(line)
    }

    fn patience(&self, patience: Duration) {
        let time = TimeVal::milliseconds(i64::try_from(patience.as_millis()).unwrap_or(i64::MAX));
        // A socket takes any time; without it the only thing lost is the bound.
        let _bound = setsockopt(&self.socket, ReceiveTimeout, &time);
        let _bound = setsockopt(&self.socket, SendTimeout, &time);
    }

    fn ask(&mut self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<Reply> {
        Ok(self.exchange(request, descriptors)?.0)
    }

    fn enrolled(&mut self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<Vec<(u32, String)>> {
        match self.ask(request, descriptors)? {
            Reply::Enrolled { refused } => Ok(refused),
            _ => Err(ClientError::OutOfTurn),
        }
    }

    fn guard(&mut self, guards: &[Guard], objects: &[BorrowedFd<'_>]) -> Result<Vec<(u32, String)>> {
        let mut refused = Vec::new();
        for (guards, objects) in batches(guards, objects) {
            refused.extend(self.enrolled(&Request::Guards(guards), &objects)?);
        }
        Ok(refused)
    }

    fn expect_done(&mut self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        match self.ask(request, descriptors)? {
            Reply::Done => Ok(()),
            _ => Err(ClientError::OutOfTurn),
        }
    }

    fn exchange(
        &mut self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(Reply, Vec<OwnedFd>)> {
        match channel::send(self.socket.as_fd(), &request.encode(), descriptors, true) {
            // It may have said why before it hung up.
            Ok(()) | Err(ChannelError::Closed) => self.receive(),
            Err(error) => Err(error.into()),
        }
    }

    /// The next answer; what comes unasked before it is kept.
    fn receive(&mut self) -> Result<(Reply, Vec<OwnedFd>)> {
        loop {
            let received = channel::receive(&self.socket)?;
            match Reply::decode(&received.bytes)? {
                Reply::Refused(refusal, why) => return Err(ClientError::Refused(refusal, why)),
                unasked @ (Reply::Report { .. } | Reply::Lost(_)) => self.keep(unasked)?,
                reply => return Ok((reply, received.descriptors)),
            }
        }
    }

    fn keep(&mut self, unasked: Reply) -> Result<()> {
        self.unasked.push_back(match unasked {
            Reply::Lost(count) => Report::Lost(count),
            Reply::Report { guard, line } => match keyblind_events::decode(&line) {
                Ok(event) => Report::Event { guard, event: Box::new(event) },
                Err(_) => return Err(ClientError::OutOfTurn),
            },
            Reply::Refused(refusal, why) => return Err(ClientError::Refused(refusal, why)),
            _ => return Err(ClientError::OutOfTurn),
        });
        Ok(())
    }
}
