//! The run's loop: one closed set of things that can happen, one thread that waits for all of them.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use keyblind_events::{End as EventEnd, Process, Status, Stream};
use nix::sys::signal::{Signal, raise};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant as Deadline, sleep_until};

use super::materials::Materials;
use super::record::{Record, status};
use super::scope::{RunScope, Seen};
use super::start::{Started, callers, in_foreground};
use super::{Options, Outcome, RunError};
use crate::guard::{AddressGuard, Tripwires};
use crate::host::{end_orphans, lineage};
use crate::policy::{Located, NetworkDeny};
use crate::registrar::client::ClientError;
use crate::spawn::{Report, Running, Sweeper};
use crate::stream::terminal::CallersTerminal;
use crate::stream::{End, Eof, Pump, Redaction, Reporter, duplicate};
use crate::sys;

/// Between SIGTERM at the time limit and the end of everything.
const GRACE: Duration = Duration::from_secs(2);
/// What timeout(1) returns.
const TIMED_OUT: u8 = 124;

/// Everything that can happen while a run lasts.
enum Input {
    Signal(Signal),
    Report(Report),
    /// The reaper is gone without a last word.
    ReaperGone,
    Tripwire,
    /// Somebody asked for a denied address.
    Address,
    /// The kernel's programs have something to say.
    Kernel,
    Redaction(Redaction),
    TimeLimit,
}

/// Pumps, watches and records until the run has ended and its last byte is out.
pub(super) fn watch(
    options: &Options,
    materials: &Materials,
    mut record: Record,
    started: Started,
    began: Instant,
) -> Result<Outcome, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::system("start the run's loop"))?;
    // The process ends with the run, and its caller waits for that end: what only frees memory and descriptors is left
    // to the kernel, here and below.
    let runtime = ManuallyDrop::new(runtime);
    let Started { running, ours, matcher, tripwires, addresses, scope, mut leavings } = started;
    let failed = || RunError::system("connect the run's streams");
    let matcher = ManuallyDrop::new(matcher);
    let (reporter, redactions) = Reporter::new();
    let counts = reporter.counts();
    let end = End::new().map_err(failed())?;
    let mut pumps = Vec::new();
    let mut sinks = ours.outputs;
    let mut caller = None;
    let mut master = None;
    if let Some(pty) = ours.pty {
        let eof = Eof::Character(pty.eof());
        let to_pty = duplicate(&pty.master).map_err(failed())?;
        let from_pty = duplicate(&pty.master).map_err(failed())?;
        caller = callers(0).ok().and_then(CallersTerminal::raw);
        let source = callers(0).map_err(failed())?;
        let pump = Pump::input(source.into(), to_pty, eof, end.clone());
        pumps.push(pump.map_err(failed())?);
        sinks.push((Stream::Tty, from_pty));
        // The slave goes here: as long as it is open, the master never says that the run is over.
        master = Some(pty.master);
    }
    if let Some(stdin) = ours.stdin {
        let source = callers(0).map_err(failed())?;
        let pump = Pump::input(source.into(), stdin, Eof::Close(ours.stdin_left), end.clone());
        pumps.push(pump.map_err(failed())?);
    }
    for (stream, source) in sinks {
        let sink = callers(if stream == Stream::Stderr { 2 } else { 1 }).map_err(failed())?;
        let redactor = matcher.redactor();
        let pump = Pump::output(stream, source, sink.into(), redactor, reporter.clone(), end.clone());
        pumps.push(pump.map_err(failed())?);
    }
    drop(reporter);
    let mut watch = Watch {
        sources: Sources::new(&runtime, &running, Guards { tripwires, addresses, scope }, redactions)
            .map_err(failed())?,
        running,
        record: &mut record,
        denied: &materials.plan.denied,
        caller,
        master,
        killing: Vec::new(),
        ended: None,
        stopped: None,
        deadline: materials.plan.timeout.map(|limit| Deadline::now() + limit),
        asked_to_end: false,
        spared: leavings.sweeper.as_ref().map(Sweeper::pid),
        service_gone: None,
    };
    // What changed before there was anybody to hear of it.
    watch.resize();
    runtime.block_on(watch.until_ended());
    // Everything that could write is dead. What is in the pipes still has to come out.
    end.signal().map_err(failed())?;
    runtime.block_on(watch.until_drained(pumps));
    let (ended, stopped, killing) = (watch.ended, watch.stopped.take(), std::mem::take(&mut watch.killing));
    // The terminal's modes come back before the last line on it.
    let Watch { running, caller, mut sources, mut service_gone, .. } = watch;
    let scope = sources.scope.take();
    let _left_to_the_kernel = ManuallyDrop::new(sources);
    drop(caller);
    let mut running = Some(running);
    if let Some(scope) = scope {
        // Its cgroup is empty only when the last process is taken leave of; and what the service has still to say belongs
        // before the last event.
        drop(running.take().map(Running::reap));
        let scope = {
            let _inside = runtime.enter();
            scope.into_inner()
        };
        if let Err(error) = end_scope(scope, &mut record, &materials.plan.denied) {
            service_gone.get_or_insert(error.to_string());
        }
    }
    record.lost_redactions(counts.lost());
    record.tally().redacted = counts.redacted();
    let last = ended.map(status);
    let exit = exit_status(last, stopped.is_some());
    let how = match (stopped, last) {
        (Some(reason), status) => EventEnd::Stopped { reason, status },
        (None, Some(status)) => EventEnd::Finished(status),
        (None, None) => EventEnd::Stopped { reason: "the reaper was killed".to_owned(), status: None },
    };
    let killed =
        killing.into_iter().map(|name| Process { name: Some(name.into()), ..Process::default() }).collect();
    let ended = record.ended_with(how, began.elapsed(), killed);
    let mut notes: Vec<String> = record.shortcoming().into_iter().collect();
    notes.extend(service_gone.map(|why| {
        format!("{why}; what the kernel refused since then is not on record here (`keyblind host status`)")
    }));
    if options.json {
        notes.push(summary(&record, &ended, exit));
    }
    // Its namespaces were being taken apart meanwhile, and its cgroup is empty only after that.
    drop(running.map(Running::reap));
    leavings.remove();
    Ok(Outcome { status: exit, plan: None, ended: Some(ended), notes })
}

/// Ends a scope in which nobody is left.
fn end_scope(
    scope: RunScope,
    record: &mut Record,
    denied: &[Located<NetworkDeny>],
) -> Result<(), ClientError> {
    scope.end()?.into_iter().for_each(|seen| hear(seen, record, denied));
    Ok(())
}

fn hear(seen: Seen, record: &mut Record, denied: &[Located<NetworkDeny>]) {
    match seen {
        Seen::Event(event, named) => record.kernel(&event, named.as_ref(), denied),
        Seen::Lost(count) => record.lost_accesses(count),
    }
}

fn exit_status(last: Option<Status>, timed_out: bool) -> u8 {
    match last {
        _ if timed_out => TIMED_OUT,
        Some(Status::Exited(code)) => code,
        Some(Status::Signaled(signal)) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        // The reaper was killed from outside, and the run with it.
        None => 128 + 9,
    }
}

fn summary(record: &Record, ended: &keyblind_events::RunEnded, exit: u8) -> String {
    let tally = ended.tally;
    serde_json::json!({
        "run": record.run().to_string(),
        "exit": exit,
        "seconds": ended.duration.as_secs_f64(),
        "denied": tally.denied,
        "redacted": tally.redacted,
        "killed": tally.killed,
        "lost": tally.lost,
    })
    .to_string()
}

struct Watch<'a> {
    sources: Sources,
    running: Running,
    record: &'a mut Record,
    /// Addresses that policy denies.
    denied: &'a [Located<NetworkDeny>],
    caller: Option<CallersTerminal>,
    master: Option<std::os::fd::OwnedFd>,
    killing: Vec<String>,
    /// The command's wait status.
    ended: Option<i32>,
    /// Why the supervisor stopped it.
    stopped: Option<String>,
    deadline: Option<Deadline>,
    asked_to_end: bool,
    /// A child of this process that is none of the run's.
    spared: Option<u32>,
    /// Why what the kernel refuses is no longer heard of.
    service_gone: Option<String>,
}

impl Watch<'_> {
    async fn until_ended(&mut self) {
        loop {
            let input = self.sources.next(self.deadline).await;
            match input {
                Input::Report(Report::Killed(count)) => {
                    self.record.tally().killed = u64::from(count);
                    return self.last_reports();
                }
                Input::ReaperGone => {
                    // Killed from outside. In its PID namespace nobody is left; in place they are ours now.
                    end_orphans(self.spared);
                    return self.last_reports();
                }
                other => self.handle(other),
            }
        }
    }

    /// Waits for the pumps. A caller whose reader does not read can still end us: the command is gone, so a signal
    /// that was meant for it is meant for the waiting, at once if it comes now and after a grace if it came before.
    async fn until_drained(&mut self, pumps: Vec<Pump>) {
        let impatient = self.asked_to_end || self.stopped.is_some();
        let patience = impatient.then(|| Deadline::now() + GRACE);
        for mut pump in pumps {
            loop {
                tokio::select! {
                    biased;
                    _ = &mut pump.done => { pump.join(); break }
                    input = self.sources.next(patience) => match input {
                        Input::TimeLimit | Input::Signal(Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP | Signal::SIGQUIT) => return,
                        other => self.handle(other),
                    }
                }
            }
        }
        while let Ok(redaction) = self.sources.redactions.try_recv() {
            self.record.redacted(&redaction);
        }
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::Signal(signal) => self.signal(signal),
            Input::Report(Report::Stopped(_)) => self.stop(),
            Input::Report(Report::Continued | Report::Killed(_)) | Input::ReaperGone => {}
            Input::Report(Report::Ended(wait)) => self.ended = Some(wait),
            Input::Report(Report::Killing(name)) => self.killing.push(name),
            Input::Tripwire => self.answer_tripwires(),
            Input::Address => self.record_addresses(),
            Input::Kernel => self.hear_kernel(),
            Input::Redaction(redaction) => self.record.redacted(&redaction),
            Input::TimeLimit => self.time_limit(),
        }
    }

    fn signal(&mut self, signal: Signal) {
        match signal {
            Signal::SIGWINCH => self.resize(),
            Signal::SIGCONT => {
                if let Some(caller) = &self.caller {
                    drop(caller.resume());
                }
                drop(self.running.signal(signal));
            }
            _ => {
                self.asked_to_end |=
                    matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP | Signal::SIGQUIT);
                // A reaper that is gone has ended the run already.
                drop(self.running.signal(signal));
            }
        }
    }

    fn resize(&self) {
        if let (Some(caller), Some(master)) = (&self.caller, &self.master) {
            // The kernel tells the run's foreground group; a size that cannot be had changes nothing.
            drop(caller.resize(master));
        }
    }

    /// The command was stopped, so its caller is to see that keyblind is: a shell then shows its prompt. Only from a
    /// terminal's foreground, where somebody can continue it: elsewhere a command could stop its own supervisor.
    fn stop(&mut self) {
        if !in_foreground() {
            return;
        }
        if let Some(caller) = &self.caller {
            drop(caller.restore());
        }
        // The process stops here, all threads, until SIGCONT; that signal is then passed on.
        // It cannot fail: the signal exists and this process may signal itself.
        let _stopped_and_continued = raise(Signal::SIGSTOP);
    }

    fn time_limit(&mut self) {
        if self.stopped.is_none() {
            self.stopped = Some("the time limit".to_owned());
            self.deadline = Some(Deadline::now() + GRACE);
            drop(self.running.signal(Signal::SIGTERM));
            // A stopped command would not notice.
            drop(self.running.signal(Signal::SIGCONT));
        } else {
            self.deadline = None;
            drop(self.running.end());
        }
    }

    /// What was reported before the run's last process ended.
    fn last_reports(&mut self) {
        self.answer_tripwires();
        self.record_addresses();
        let counts = self.sources.addresses.as_ref().and_then(|guard| guard.get_ref().counts().ok());
        self.record.lost_addresses(counts.map_or(0, |counts| counts.lost));
    }

    fn hear_kernel(&mut self) {
        while let Some(scope) = &mut self.sources.scope {
            match scope.get_mut().next() {
                Ok(Some(seen)) => hear(seen, self.record, self.denied),
                Ok(None) => return,
                Err(error) => {
                    self.service_gone = Some(error.to_string());
                    self.sources.scope = None;
                }
            }
        }
    }

    fn record_addresses(&mut self) {
        let reaper = self.running.pid.unsigned_abs();
        for denied in self.sources.addresses.iter_mut().flat_map(AsyncFd::get_mut) {
            self.record.address(&denied, self.denied, lineage(denied.pid, reaper));
        }
    }

    fn answer_tripwires(&mut self) {
        let reaper = self.running.pid.unsigned_abs();
        // A group that cannot be read answers no more: opens of its empty objects then wait and fail with the run.
        drop(self.sources.answer(reaper, |attempt| self.record.attempt(attempt)));
    }
}

/// What reports while a run lasts.
struct Guards {
    tripwires: Option<Tripwires>,
    addresses: Option<AddressGuard>,
    scope: Option<RunScope>,
}

/// What the loop waits for.
struct Sources {
    signals: Vec<(Signal, SignalStream)>,
    report: AsyncFd<File>,
    reports_ended: bool,
    pending: Vec<u8>,
    tripwires: Option<AsyncFd<Tripwires>>,
    addresses: Option<AsyncFd<AddressGuard>>,
    scope: Option<AsyncFd<RunScope>>,
    redactions: mpsc::Receiver<Redaction>,
}

/// What a shell user can send to a command, and what is passed on.
const FORWARDED: [Signal; 9] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTSTP,
    Signal::SIGCONT,
    Signal::SIGWINCH,
];

impl Sources {
    fn new(
        runtime: &Runtime,
        running: &Running,
        guards: Guards,
        redactions: mpsc::Receiver<Redaction>,
    ) -> io::Result<Self> {
        let _inside = runtime.enter();
        let mut signals = Vec::new();
        for number in FORWARDED {
            signals.push((number, signal(SignalKind::from_raw(number as i32))?));
        }
        let report = running.report.try_clone()?;
        set_nonblocking(&report)?;
        Ok(Self {
            signals,
            report: sys::readiness(report)?,
            reports_ended: false,
            pending: Vec::new(),
            tripwires: guards.tripwires.map(sys::readiness).transpose()?,
            addresses: guards.addresses.map(sys::readiness).transpose()?,
            scope: guards.scope.map(sys::readiness).transpose()?,
            redactions,
        })
    }

    async fn next(&mut self, deadline: Option<Deadline>) -> Input {
        if let Some(report) = self.buffered() {
            return Input::Report(report);
        }
        let never = Deadline::now() + Duration::from_secs(86_400 * 365);
        tokio::select! {
            // What the caller and the clock say comes before what the run can produce at will.
            biased;
            signal = any_signal(&mut self.signals) => Input::Signal(signal),
            () = sleep_until(deadline.unwrap_or(never)) => Input::TimeLimit,
            report = next_report(&self.report, &mut self.pending), if !self.reports_ended => {
                if report.is_none() {
                    self.reports_ended = true;
                }
                report.map_or(Input::ReaperGone, Input::Report)
            }
            () = wait_for(self.tripwires.as_mut()) => Input::Tripwire,
            () = wait_for(self.addresses.as_mut()) => Input::Address,
            () = wait_for(self.scope.as_mut()) => Input::Kernel,
            Some(redaction) = self.redactions.recv() => Input::Redaction(redaction),
        }
    }

    /// A whole record that was read together with an earlier one.
    fn buffered(&mut self) -> Option<Report> {
        take_record(&mut self.pending)
    }

    fn answer(&self, reaper: u32, report: impl FnMut(&crate::guard::Attempt)) -> io::Result<()> {
        self.tripwires.as_ref().map_or(Ok(()), |group| group.get_ref().answer(reaper, report))
    }
}

async fn wait_for<T: AsRawFd>(guard: Option<&mut AsyncFd<T>>) {
    match guard {
        None => std::future::pending().await,
        Some(guard) => match guard.readable().await {
            // Not readable again until the kernel says so; everything that is there is answered now.
            Ok(mut guard) => guard.clear_ready(),
            Err(_) => std::future::pending().await,
        },
    }
}

async fn any_signal(signals: &mut [(Signal, SignalStream)]) -> Signal {
    std::future::poll_fn(|context| {
        for (number, stream) in signals.iter_mut() {
            if stream.poll_recv(context).is_ready() {
                return std::task::Poll::Ready(*number);
            }
        }
        std::task::Poll::Pending
    })
    .await
}

async fn next_report(pipe: &AsyncFd<File>, pending: &mut Vec<u8>) -> Option<Report> {
    use std::io::Read;
    loop {
        let mut guard = pipe.readable().await.ok()?;
        let mut buffer = [0u8; Report::SIZE * 16];
        let read = guard.try_io(|pipe| {
            let mut reader = pipe.get_ref();
            reader.read(&mut buffer)
        });
        match read {
            Err(_would_block) => continue,
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(Ok(0) | Err(_)) => return None,
            Ok(Ok(n)) => pending.extend_from_slice(buffer.get(..n).unwrap_or_default()),
        }
        if let Some(report) = take_record(pending) {
            return Some(report);
        }
    }
}

/// Takes the first whole record that is understood.
fn take_record(pending: &mut Vec<u8>) -> Option<Report> {
    while pending.len() >= Report::SIZE {
        let record: Vec<u8> = pending.drain(..Report::SIZE).collect();
        if let Some(report) = <&[u8; Report::SIZE]>::try_from(record.as_slice()).ok().and_then(Report::parse)
        {
            return Some(report);
        }
    }
    None
}

fn set_nonblocking(file: &File) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    debug_assert!(file.as_raw_fd() > 2, "one of the caller's descriptors");
    fcntl(file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}
