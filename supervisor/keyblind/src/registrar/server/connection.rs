//! One client: what it may ask for, in which order, and what becomes of its run when it is gone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use keyblind_events::RunId;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant as Deadline, sleep, timeout_at};

use super::state::Held;
use super::{Order, Shared, scopes, state};
use crate::policy::NetworkDeny;
use crate::registrar::cgroup::Cgroup;
use crate::registrar::channel::{self, ChannelError, Received};
use crate::registrar::enforce::Protected;
use crate::registrar::guards;
use crate::registrar::ledger::Entry;
use crate::registrar::limits::{IDLE, MOST_GUARDS_OF_A_RUN};
use crate::registrar::peer::{Peer, Readable};
use crate::registrar::protocol::{Guard, Layer, MOST_GUARDS, Refusal, Registration, Reply, Request, Target};
use crate::sys;

/// A client that is being served.
#[derive(Debug)]
pub(super) struct Connection {
    state: Shared,
    socket: AsyncFd<OwnedFd>,
    peer: Peer,
    orders: UnboundedSender<Order>,
    phase: Phase,
    guards: usize,
}

/// How far a client's run has come.
#[derive(Debug)]
enum Phase {
    /// Nothing is known of one.
    New,
    /// It has said who it is.
    Registered(Registration, Held),
    /// It has its scope.
    Begun { run: RunId, cgroup: Rc<Cgroup>, entered: bool },
    /// It has none any more.
    Over,
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client wanted it, or is gone.
    Gone,
    /// It asked for what it must not.
    Refused(Refusal, String),
}

type Answer = Result<Reply, End>;

fn refuse(refusal: Refusal, why: impl Into<String>) -> End {
    End::Refused(refusal, why.into())
}

/// Denied addresses of the run, and those of the host's policy.
fn with_the_hosts(mut denied: Vec<NetworkDeny>, held: &Held) -> Vec<NetworkDeny> {
    denied.extend(held.policy.policy.network.deny.iter().map(|denied| denied.value));
    denied.sort_unstable();
    denied.dedup();
    denied
}

impl Connection {
    /// Errors: no descriptor is left; with the user whose connection it was.
    pub(super) fn new(
        state: Shared,
        socket: OwnedFd,
        peer: Peer,
        orders: UnboundedSender<Order>,
    ) -> Result<Self, (u32, io::Error)> {
        let uid = peer.uid;
        let socket = sys::readiness(socket).map_err(|error| (uid, error))?;
        Ok(Self { state, socket, peer, orders, phase: Phase::New, guards: 0 })
    }

    /// Answers until the client is gone, then ends its run.
    pub(super) async fn serve(mut self) {
        if let End::Refused(refusal, why) = self.converse().await {
            self.state.borrow_mut().turned_away(self.peer.uid, &why);
            let _not_told = self.send(&Reply::Refused(refusal, why), &[]);
        }
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Begun { run, .. } => {
                if let Err(error) = scopes::close(&self.state, &run, "its client is gone").await {
                    scopes::resists(&self.state, &run, &error);
                }
            }
            Phase::Registered(_, held) => scopes::give_up(&mut self.state.borrow_mut(), &held),
            Phase::New | Phase::Over => {}
        }
        self.state.borrow_mut().limits().disconnect(self.peer.uid, Instant::now());
    }

    async fn converse(&mut self) -> End {
        let deadline = Deadline::now() + IDLE;
        loop {
            let received = match self.phase {
                Phase::Begun { .. } => self.receive().await,
                _ => match timeout_at(deadline, self.receive()).await {
                    Ok(received) => received,
                    Err(_elapsed) => return refuse(Refusal::Limit, "connected for too long without a run"),
                },
            };
            let Received { bytes, descriptors } = match received {
                Ok(received) => received,
                Err(ChannelError::Closed) => return End::Gone,
                Err(error @ ChannelError::TooLong) => return refuse(Refusal::Protocol, error.to_string()),
                Err(_) => return End::Gone,
            };
            // What is too much waits; meanwhile nothing more is read from this client.
            let wait = self.state.borrow_mut().limits().request(self.peer.uid, Instant::now());
            if !wait.is_zero() {
                sleep(wait).await;
            }
            let answered = match Request::decode(&bytes) {
                Ok(request) => self.answer(request, descriptors).await,
                Err(error) => Err(refuse(Refusal::Protocol, error.to_string())),
            };
            match answered {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    async fn receive(&self) -> Result<Received, ChannelError> {
        loop {
            let mut ready = self.socket.readable().await.map_err(ChannelError::System)?;
            match channel::receive(self.socket.get_ref()) {
                Err(ChannelError::Waiting) => ready.clear_ready(),
                other => return other,
            }
        }
    }

    /// A client that does not read its answers is as good as gone.
    fn send(&self, reply: &Reply, descriptors: &[BorrowedFd<'_>]) -> Result<(), End> {
        channel::send(self.socket.get_ref().as_fd(), &reply.encode(), descriptors, false)
            .map_err(|_gone| End::Gone)
    }

    async fn answer(&mut self, request: Request, descriptors: Vec<OwnedFd>) -> Result<(), End> {
        let reply = match request {
            Request::Hello => self.hello(),
            Request::Register(registration) => self.register(registration, descriptors).await?,
            Request::Guards(guards) => self.guards(&guards, descriptors)?,
            Request::Begin => return self.begin(),
            Request::Enter => self.enter(&descriptors)?,
            Request::End => self.end().await?,
            Request::Status => self.status()?,
            Request::Down { end_runs } => return self.down(end_runs),
        };
        self.send(&reply, &[])
    }

    fn hello(&self) -> Reply {
        let state = self.state.borrow();
        Reply::Welcome { layers: state.layers().to_vec(), generation: state.generation().to_owned() }
    }

    async fn register(&mut self, registration: Registration, mut project: Vec<OwnedFd>) -> Answer {
        if !matches!(self.phase, Phase::New) {
            return Err(refuse(Refusal::Protocol, "a connection has one run"));
        }
        self.is_outside()?;
        if self.peer.uid != 0 && registration.uid != self.peer.uid {
            return Err(refuse(
                Refusal::Forbidden,
                format!("a run of user {} was asked for by user {}", registration.uid, self.peer.uid),
            ));
        }
        if project.len() > 1 {
            return Err(refuse(Refusal::Protocol, "at most the working directory comes with a registration"));
        }
        let (held, refused) = self.held(registration.uid, project.pop()).await?;
        self.phase = Phase::Registered(registration, held);
        Ok(Reply::Enrolled { refused })
    }

    /// The host's guards for that user, where files are guarded, and those of them that could not be had.
    async fn held(&self, uid: u32, project: Option<OwnedFd>) -> Result<(Held, Vec<(u32, String)>), End> {
        let policy = self.state.borrow().policy();
        if !self.state.borrow().enforcement.has(Layer::Files) {
            return Ok((Held { slot: None, policy, objects: Vec::new() }, Vec::new()));
        }
        let failed = |why: String| refuse(Refusal::Failed, why);
        if let Some(project) = &project {
            let readable = Readable::by(&self.peer).check(project.as_fd());
            readable.map_err(|why| failed(format!("the working directory: {why}")))?;
        }
        let whom = guards::For { uid, gid: self.peer.gid, run: true };
        let found = guards::resolve(Arc::clone(&policy), whom, project).await.map_err(failed)?;
        let mut state = self.state.borrow_mut();
        let slot = state.enforcement.open().map_err(failed)?;
        let mut held = Held { slot: Some(slot), policy, objects: Vec::new() };
        let mut refused: Vec<(u32, String)> = Vec::new();
        for target in found {
            // What cannot be enrolled leaves the others in force, and is named.
            match state.enforcement.enrol(slot, &target.protected()) {
                Ok(()) => held.objects.push(target.into_object()),
                Err(why) => {
                    state.not_enrolled();
                    if refused.iter().all(|(number, _)| *number != target.number) {
                        let id = guards::named(&held.policy, target.number).map_or("", |(id, _)| id);
                        refused.push((target.number, format!("{id}: {why}")));
                    }
                }
            }
        }
        refused.truncate(MOST_GUARDS);
        Ok((held, refused))
    }

    /// A process of a run asks for nothing here: nested runs are its supervisor's business.
    fn is_outside(&self) -> Result<(), End> {
        match self.peer.cgroup() {
            Some(cgroup) if !cgroup.starts_with("/keyblind/") => Ok(()),
            Some(cgroup) => Err(refuse(
                Refusal::Forbidden,
                format!("a process inside the run {} asked for it", &cgroup[10..]),
            )),
            None => Err(End::Gone),
        }
    }

    fn guards(&mut self, guards: &[Guard], descriptors: Vec<OwnedFd>) -> Answer {
        if !matches!(self.phase, Phase::Registered(..) | Phase::Begun { .. }) {
            return Err(refuse(Refusal::Protocol, "guards belong to a run that is registered"));
        }
        self.guards += guards.len();
        if self.guards > MOST_GUARDS_OF_A_RUN {
            return Err(refuse(
                Refusal::Limit,
                format!("a run has at most {MOST_GUARDS_OF_A_RUN} guards of its own"),
            ));
        }
        let descriptors: Vec<Arc<OwnedFd>> = descriptors.into_iter().map(Arc::new).collect();
        let mut readable = Readable::by(&self.peer);
        let mut borrowed = self.state.borrow_mut();
        let state = &mut *borrowed;
        let held = match &mut self.phase {
            Phase::Registered(_, held) => held,
            Phase::Begun { run, .. } => match state.runs.get_mut(run) {
                Some(run) => &mut run.held,
                None => return Err(refuse(Refusal::Failed, "the run is over")),
            },
            Phase::New | Phase::Over => return Err(refuse(Refusal::Protocol, "there is no run")),
        };
        let enforcement = &mut state.enforcement;
        let mut enrol = |guard: &Guard| -> Result<Arc<OwnedFd>, String> {
            let object = descriptors.get(guard.target.descriptor()).ok_or("there is no such descriptor")?;
            readable.check(object.as_fd())?;
            if !(1..guards::FIRST).contains(&guard.number) {
                return Err(format!("a guard's number is from 1 to {}", guards::FIRST - 1));
            }
            let slot = held.slot.ok_or("files are not guarded on this host")?;
            let name = match &guard.target {
                Target::Object { .. } | Target::Holds { .. } => None,
                Target::Name { name, .. } | Target::Below { name, .. } => Some(name.as_slice()),
            };
            let (number, access, action) = (guard.number, guard.access, guard.action);
            let holds = matches!(guard.target, Target::Holds { .. });
            enforcement
                .enrol(slot, &Protected { number, access, action, object: object.as_fd(), name, holds })?;
            Ok(Arc::clone(object))
        };
        let mut refused = Vec::new();
        for guard in guards {
            match enrol(guard) {
                Ok(object) => held.objects.push(object),
                Err(why) => refused.push((guard.number, why)),
            }
        }
        Ok(Reply::Enrolled { refused })
    }

    fn begin(&mut self) -> Result<(), End> {
        let (registration, held) = match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Registered(registration, held) => (registration, held),
            other => {
                self.phase = other;
                return Err(refuse(Refusal::Protocol, "a run begins once, after its registration"));
            }
        };
        let Registration { run, session, command, uid, enforce, denied } = registration;
        // Root's own runs have programs of their own, and ask for none here.
        let denied = if denied.is_empty() { denied } else { with_the_hosts(denied, &held) };
        let entry = Entry { run: run.clone(), session, uid, command, began: state::now(), enforce };
        let client = self.socket.get_ref().try_clone().ok();
        let opened = scopes::open(&mut self.state.borrow_mut(), entry, &denied, held, client);
        let cgroup = opened.map_err(|(error, held)| {
            scopes::give_up(&mut self.state.borrow_mut(), &held);
            match error.raw_os_error() {
                Some(libc::EEXIST) => refuse(Refusal::Taken, format!("the run id {run} is taken")),
                _ => refuse(Refusal::Failed, format!("cannot make a scope: {}", crate::spawn::words(&error))),
            }
        })?;
        scopes::hear_addresses(&self.state, &run);
        self.phase = Phase::Begun { run, cgroup: Rc::clone(&cgroup), entered: false };
        self.send(&Reply::Begun { cgroup: cgroup.id }, &[cgroup.directory()])
    }

    fn enter(&mut self, descriptors: &[OwnedFd]) -> Answer {
        let Phase::Begun { cgroup, entered, .. } = &mut self.phase else {
            return Err(refuse(Refusal::Protocol, "a scope is entered once it is there"));
        };
        let [pidfd] = descriptors else {
            return Err(refuse(Refusal::Protocol, "one pidfd is wanted beside this message"));
        };
        if std::mem::replace(entered, true) {
            return Err(refuse(
                Refusal::Protocol,
                "a scope is entered once; what the process starts is in it",
            ));
        }
        let not_moved = |why: String| refuse(Refusal::Forbidden, format!("not moved into the scope: {why}"));
        let pid = self.peer.child(pidfd).map_err(not_moved)?;
        cgroup.enter(pid).map_err(|error| refuse(Refusal::Failed, crate::spawn::words(&error)))?;
        // A process that ended meanwhile can have left its number to another, which was then moved in its place.
        if sys::has_ended(pidfd) {
            self.state.borrow().hierarchy.expel(cgroup);
            return Err(not_moved("it ended".to_owned()));
        }
        Ok(Reply::Done)
    }

    async fn end(&mut self) -> Answer {
        let Phase::Begun { run, .. } = std::mem::replace(&mut self.phase, Phase::Over) else {
            return Err(refuse(Refusal::Protocol, "a run ends once it has begun"));
        };
        let totals = {
            let mut state = self.state.borrow_mut();
            // What the kernel has reported by now belongs to the run.
            while state.report() {}
            while state.report_addresses(&run) {}
            state.lost_addresses(&run);
            state.runs.get(&run).map_or((0, 0, 0), |run| (run.denied, run.flagged, run.lost))
        };
        match scopes::close(&self.state, &run, "its run ended").await {
            Ok(()) => Ok(Reply::Ended { denied: totals.0, flagged: totals.1, lost: totals.2 }),
            Err(error) => {
                scopes::resists(&self.state, &run, &error);
                Err(refuse(
                    Refusal::Failed,
                    format!("cannot remove the scope: {}", crate::spawn::words(&error)),
                ))
            }
        }
    }

    fn status(&self) -> Answer {
        let (runs, service) = {
            let state = self.state.borrow();
            (state.run_status(self.peer.uid), state.service_status())
        };
        for run in runs {
            self.send(&Reply::Run(run), &[])?;
        }
        Ok(Reply::Service(service))
    }

    fn down(&mut self, end_runs: bool) -> Result<(), End> {
        if self.peer.uid != 0 {
            return Err(refuse(Refusal::Forbidden, "only root can end the service"));
        }
        self.is_outside()?;
        let active = scopes::active(&self.state.borrow());
        if let (false, [first, rest @ ..]) = (end_runs, active.as_slice()) {
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            let why = format!("{first}{more} would lose its guard; wait for its end, or say --end-runs");
            return Err(refuse(Refusal::Busy, why));
        }
        let held = self.socket.get_ref().try_clone().map_err(|_no_descriptor| End::Gone)?;
        self.state.borrow_mut().waiting_for_the_end.push(held);
        self.send(&Reply::Stopping, &[])?;
        // The service is there as long as this connection is.
        let _it_listens = self.orders.send(Order::Down);
        Ok(())
    }
}
