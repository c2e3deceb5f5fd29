//! `keyblind host up`: the process that serves.
//!
//! One thread does everything that a client can ask for, none of which waits; what waits (the end of a scope) is a task
//! of its own. When the process is killed, what it has made stays in force: programs are pinned, scopes are cgroups, and
//! the ledger says which of them are whose.

mod connection;
mod scopes;
mod slices;
mod state;

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use keyblind_events::{HostEvent, HostWhat, JournalError, Place};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{SockFlag, accept4};
use nix::unistd::geteuid;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::cgroup::{CgroupError, Hierarchy};
use super::enforce::Enforcement;
use super::home::{Home, HomeError, Listener};
use super::ledger::Ledger;
use super::notify::Manager;
use super::peer::Peer;
use super::protocol::{Refusal, Reply};
use super::record::Record;
use super::{STATE, channel};
use crate::policy::{self, LoadError, Loaded, Sources};
use crate::{host, sys};
use state::State;

/// What the operator asks for.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--policy`; else the host's file, else the built-in default.
    pub policy: Option<PathBuf>,
    /// `--pins`
    pub pins: PathBuf,
    /// `--socket`
    pub socket: PathBuf,
}

/// Why the registrar does not serve.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// Not root of the host.
    #[error("only root of the host can serve it; use sudo keyblind host up")]
    NotRoot,
    /// The policy cannot be used.
    #[error("host: {0}")]
    Policy(#[from] LoadError),
    /// There is no place for it.
    #[error("{0}")]
    Home(#[from] HomeError),
    /// There is no place for scopes.
    #[error("nothing can be enforced: {0}")]
    Cgroup(#[from] CgroupError),
    /// Events cannot be recorded.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// Slices of the policy cannot be guarded.
    #[error("[host] of the policy: {0}")]
    Slices(String),
    /// Something it needs from the system.
    #[error("cannot {what}: {}", crate::spawn::words(.source))]
    System {
        /// What was attempted.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl UpError {
    fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Runs that go on, guarded as they were.
    pub left: usize,
}

/// How often what is due without a client is done: scopes that resisted, users to forget.
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// Connections that are accepted before others have their turn.
const AT_ONCE: usize = 64;

/// What ends the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// A signal: what is guarded stays so.
    Signal,
    /// `keyblind host down`: nothing of it is left.
    Down,
}

/// Serves until a signal or `keyblind host down` ends it. `ready` is called when clients are served, with what is and
/// what is not enforced. Call first thing in the process, before there is a second thread.
pub fn up(options: &Options, ready: impl FnOnce(&str)) -> Result<Ended, UpError> {
    if !geteuid().is_root() || !host::initial_user_namespace() {
        return Err(UpError::NotRoot);
    }
    let policy = load(options.policy.as_deref())?;
    let mut home = Home::take(Path::new(STATE))?;
    home.sign()?;
    let hierarchy = Hierarchy::open()?;
    let enforcement = Enforcement::start(&options.pins, &hierarchy.home());
    let place = Place::standard(0, |_| None::<OsString>)?;
    let record = Record::open(&place)?;
    let ledger = Ledger::new(home.scopes()?);
    raise_limits();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(UpError::system("start its event loop"))?;
    let state = State::new(options.clone(), policy, hierarchy, enforcement, ledger, record);
    let listener = Listener::open(&options.socket)?;
    let manager = Manager::new(std::env::var_os("NOTIFY_SOCKET"));
    let tasks = LocalSet::new();
    let served =
        runtime.block_on(tasks.run_until(serve(Rc::new(RefCell::new(state)), &listener, &manager, ready)));
    listener.remove();
    let (ended, order, state) = served?;
    drop(tasks);
    let Some(state) = Rc::into_inner(state).map(RefCell::into_inner) else { return Ok(ended) };
    // A slice that is always guarded stays so when a signal ends the service, as a run does.
    let stop = ended.left == 0 && (order == Order::Down || state.slices.is_empty());
    let waiting = state.finish(stop);
    if ended.left == 0 {
        home.leave();
    }
    drop(waiting);
    Ok(ended)
}

/// The policy of the host; root's own file does not count, since it is about root's own runs.
fn load(option: Option<&Path>) -> Result<Loaded, LoadError> {
    policy::load(&Sources { option: option.map(Path::to_owned), mode: None, variable: &|_| None })
}

/// As many descriptors as the host allows: each client has one, each scope two.
fn raise_limits() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _as_before = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

type Shared = Rc<RefCell<State>>;

async fn serve(
    state: Shared,
    listener: &Listener,
    manager: &Manager,
    ready: impl FnOnce(&str),
) -> Result<(Ended, Order, Shared), UpError> {
    let failed = || UpError::system("wait for signals");
    let mut terminate = signal(SignalKind::terminate()).map_err(failed())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed())?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed())?;
    let socket =
        listener.socket.try_clone().and_then(sys::readiness).map_err(UpError::system("wait for clients"))?;
    let (orders, mut order) = mpsc::unbounded_channel::<Order>();
    // Slices first: those of a service of before change from its guards to these without a gap.
    slices::hold(&state).await.map_err(UpError::Slices)?;
    scopes::adopt(&state).map_err(UpError::system("read which scopes are open"))?;
    let summary = state.borrow_mut().announce();
    manager.tell(&format!("READY=1\nSTATUS={}", summary.lines().next().unwrap_or_default()));
    ready(&summary);
    if let Some(reports) = state.borrow().enforcement.readiness() {
        let reports = sys::readiness(reports).map_err(UpError::system("wait for the kernel's reports"))?;
        tokio::task::spawn_local(report(Rc::clone(&state), reports));
    }
    let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
    let order = loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => break Order::Signal,
            _ = interrupt.recv() => break Order::Signal,
            Some(order) = order.recv() => break order,
            _ = hangup.recv() => {
                manager.tell("RELOADING=1");
                state.borrow_mut().reload();
                watch_slices(&state).await;
                manager.tell("READY=1");
            }
            _ = housekeeping.tick() => {
                state.borrow_mut().tidy();
                watch_slices(&state).await;
            }
            accepted = accept(&socket) => {
                for client in accepted {
                    greet(&state, client, &orders);
                }
            }
        }
    };
    manager.tell("STOPPING=1");
    drop(socket);
    listener.remove();
    let left = scopes::wind_up(&state, order == Order::Down).await;
    let detail = match left {
        0 => "ended by order; nothing of it is left".to_owned(),
        1 => "ended by a signal; 1 run goes on, in its scope".to_owned(),
        more => format!("ended by a signal; {more} runs go on, in their scopes"),
    };
    state.borrow_mut().record().host(HostEvent::new(HostWhat::Down, detail));
    Ok((Ended { left }, order, state))
}

/// Slices come and go, and policies with them.
async fn watch_slices(state: &Shared) {
    if let Err(why) = slices::hold(state).await {
        let event = HostEvent::new(HostWhat::Reloaded, format!("not all slices are guarded: {why}"));
        state.borrow_mut().record().host(event);
    }
}

/// Puts on record what the kernel reports, as long as the service is there.
async fn report(state: Shared, reports: AsyncFd<OwnedFd>) {
    while let Ok(mut ready) = reports.readable().await {
        // Before they are taken: one that comes meanwhile makes it ready again.
        ready.clear_ready();
        while state.borrow_mut().report() {
            tokio::task::yield_now().await;
        }
    }
}

/// Clients that have connected; some at least.
async fn accept(socket: &AsyncFd<OwnedFd>) -> Vec<OwnedFd> {
    let mut clients = Vec::new();
    while clients.is_empty() {
        let Ok(mut ready) = socket.readable().await else { return clients };
        while clients.len() < AT_ONCE {
            match accept4(socket.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK) {
                Ok(client) => clients.push(sys::own(client)),
                Err(Errno::EAGAIN) => {
                    ready.clear_ready();
                    break;
                }
                // A client that is gone already, or no descriptor left: the next one may do.
                Err(Errno::ECONNABORTED | Errno::EINTR) => {}
                // No descriptor is left: one may be free in a moment.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    break;
                }
            }
        }
    }
    clients
}

/// Serves a client in a task of its own, or turns it away.
fn greet(state: &Shared, client: OwnedFd, orders: &mpsc::UnboundedSender<Order>) {
    let Ok(peer) = Peer::of(&client) else { return };
    let turned_away = |why: &str| {
        let refused = Reply::Refused(Refusal::Limit, why.to_owned()).encode();
        // Best effort: it is turned away in any case.
        let _not_told = channel::send(client.as_fd(), &refused, &[], false);
    };
    if !state.borrow_mut().limits().connect(peer.uid, Instant::now()) {
        state.borrow_mut().turned_away(peer.uid, "too many connections");
        turned_away("too many connections of this user; end some of its runs");
        return;
    }
    match connection::Connection::new(Rc::clone(state), client, peer, orders.clone()) {
        Ok(connection) => drop(tokio::task::spawn_local(connection.serve())),
        Err((uid, _no_descriptor)) => state.borrow_mut().limits().disconnect(uid, Instant::now()),
    }
}
