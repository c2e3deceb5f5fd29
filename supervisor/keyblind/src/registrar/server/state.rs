//! What the service knows.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use keyblind_events::{
    Access, Envelope, Event, HostEvent, HostWhat, Kind, Operation, Outcome, RunId, encode,
};
use tokio::task::AbortHandle;

use super::Options;
use super::slices::HeldSlice;
use crate::guard::kernel::{Lane, PolicySlot, Report};
use crate::guard::{AddressGuard, Denied};
use crate::host::lineage;
use crate::policy::{Loaded, Slice};
use crate::registrar::cgroup::{Cgroup, Hierarchy};
use crate::registrar::enforce::Enforcement;
use crate::registrar::ledger::{Entry, Ledger};
use crate::registrar::limits::Limits;
use crate::registrar::protocol::{LayerReport, Reply, RunStatus, ServiceStatus};
use crate::registrar::record::Record;
use crate::registrar::{channel, guards, seen};

/// Clients turned away that are recorded one by one between two rounds of housekeeping; all are counted.
const REFUSALS_ON_RECORD: u32 = 20;
/// Reports taken in one go, before clients have their turn.
const AT_ONCE: usize = 1024;

/// A run with a scope.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) entry: Entry,
    pub(super) cgroup: Rc<Cgroup>,
    /// A registrar of before opened it, and its client is not connected.
    pub(super) adopted: bool,
    /// It was killed, and somebody waits for its end.
    pub(super) closing: bool,
    pub(super) held: Held,
    /// Programs at its cgroup that refuse addresses, and who hears of what they refuse. Those of a service of before stay, and
    /// nobody hears of it.
    pub(super) addresses: Option<AddressGuard>,
    pub(super) hearing: Option<Hearing>,
    /// Its client, who is told what the kernel reports.
    pub(super) client: Option<OwnedFd>,
    pub(super) denied: u64,
    pub(super) flagged: u64,
    pub(super) lost: u64,
    /// Reports that the client did not take and was not told of.
    untold: u64,
}

impl Run {
    /// A run whose scope is there.
    pub(super) fn new(entry: Entry, cgroup: Rc<Cgroup>, held: Held, client: Option<OwnedFd>) -> Self {
        let adopted = client.is_none();
        Self {
            entry,
            cgroup,
            adopted,
            closing: false,
            held,
            addresses: None,
            hearing: None,
            client,
            denied: 0,
            flagged: 0,
            lost: 0,
            untold: 0,
        }
    }

    /// Passes an event on. What a client does not take is counted, and told when it takes something again.
    fn tell(&mut self, guard: u32, event: &Event) {
        let Some(client) = &self.client else { return };
        let line = encode(event);
        let send = |reply: Reply| channel::send(client.as_fd(), &reply.encode(), &[], false).is_ok();
        let told = (self.untold == 0 || send(Reply::Lost(self.untold))) && {
            self.untold = 0;
            Reply::fits(&line) && send(Reply::Report { guard, line })
        };
        if !told {
            self.untold = self.untold.saturating_add(1);
            self.lost = self.lost.saturating_add(1);
        }
    }
}

/// A task that ends with its run.
#[derive(Debug)]
pub(super) struct Hearing(pub(super) AbortHandle);

impl Drop for Hearing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a scope is held to.
#[derive(Debug)]
pub(super) struct Held {
    /// Its set of guards, where files are guarded.
    pub(super) slot: Option<PolicySlot>,
    /// The policy that it began with.
    pub(super) policy: Arc<Loaded>,
    /// Guarded objects: the kernel's labels stay as long as these are open.
    pub(super) objects: Vec<Arc<OwnedFd>>,
}

/// Everything, on one thread: nobody holds a borrow while waiting.
#[derive(Debug)]
pub(super) struct State {
    options: Options,
    policy: Arc<Loaded>,
    /// Why the policy on disk is not the one in force; empty when it is.
    stale: String,
    pub(super) hierarchy: Hierarchy,
    pub(super) enforcement: Enforcement,
    pub(super) ledger: Ledger,
    record: Record,
    limits: Limits,
    pub(super) runs: BTreeMap<RunId, Run>,
    pub(super) slices: BTreeMap<Slice, HeldSlice>,
    /// Flags of slices that may still be recorded before the next housekeeping, and those that were above that.
    flags_left: u32,
    flags_over: u64,
    since: u64,
    refused: u64,
    refusals_left: u32,
    unrecorded: u64,
    /// Objects and names of the host's guards that runs of the last moments go without.
    not_enrolled: u64,
    /// Connections that close when the process ends, and not before.
    pub(super) waiting_for_the_end: Vec<OwnedFd>,
}

impl State {
    pub(super) fn new(
        options: Options,
        policy: Loaded,
        hierarchy: Hierarchy,
        enforcement: Enforcement,
        ledger: Ledger,
        mut record: Record,
    ) -> Self {
        record.generation(&policy.generation);
        Self {
            options,
            policy: Arc::new(policy),
            stale: String::new(),
            hierarchy,
            enforcement,
            ledger,
            record,
            limits: Limits::default(),
            runs: BTreeMap::new(),
            slices: BTreeMap::new(),
            flags_left: 0,
            flags_over: 0,
            since: now(),
            refused: 0,
            refusals_left: REFUSALS_ON_RECORD,
            unrecorded: 0,
            not_enrolled: 0,
            waiting_for_the_end: Vec::new(),
        }
    }

    pub(super) fn record(&mut self) -> &mut Record {
        &mut self.record
    }

    pub(super) fn limits(&mut self) -> &mut Limits {
        &mut self.limits
    }

    /// Each layer, in force or not.
    pub(super) fn layers(&self) -> &[LayerReport] {
        self.enforcement.layers()
    }

    /// The policy in force for runs that begin now.
    pub(super) fn policy(&self) -> Arc<Loaded> {
        Arc::clone(&self.policy)
    }

    /// The policy's generation.
    pub(super) fn generation(&self) -> &str {
        &self.policy.generation
    }

    /// Records that it serves, and says it in a few lines, the most important first.
    pub(super) fn announce(&mut self) -> String {
        let event = self.layered(HostWhat::Up, format!("serves at {}", self.options.socket.display()));
        let word = |list: &[String]| if list.is_empty() { "nothing".to_owned() } else { list.join("; ") };
        let summary =
            format!("enforces {}\nnot enforced: {}", word(&event.enforced), word(&event.not_enforced));
        self.record.host(event);
        summary
    }

    fn layered(&self, what: HostWhat, detail: String) -> HostEvent {
        let mut event = HostEvent::new(what, detail);
        for report in self.layers() {
            match report.enforced {
                true => event.enforced.push(report.layer.name().to_owned()),
                false => event.not_enforced.push(format!("{}: {}", report.layer.name(), report.why)),
            }
        }
        let host = &self.policy.policy.host;
        for slice in host.always.iter().chain(&host.flag) {
            match self.slices.contains_key(&slice.value) {
                true => event.enforced.push(format!("slice {}", slice.value)),
                false => event
                    .not_enforced
                    .push(format!("slice {}: files are not guarded on this host", slice.value)),
            }
        }
        event
    }

    /// Reads the policy again. A file that cannot be used changes nothing, and is named. Runs keep what they began with.
    pub(super) fn reload(&mut self) {
        match super::load(self.options.policy.as_deref()) {
            Ok(loaded) => {
                let detail = format!("generation {} follows {}", loaded.generation, self.policy.generation);
                self.policy = Arc::new(loaded);
                self.stale.clear();
                self.record.generation(&self.policy.generation);
                let event = self.layered(HostWhat::Reloaded, detail);
                self.record.host(event);
            }
            Err(error) => {
                let brief = error.to_string().lines().take(2).collect::<Vec<_>>().join(" ");
                self.stale = format!("keeps generation {}: {brief}", self.policy.generation);
                self.record.host(HostEvent::new(HostWhat::Reloaded, self.stale.clone()));
            }
        }
    }

    /// One of the host's guards is not in force for a run.
    pub(super) fn not_enrolled(&mut self) {
        self.not_enrolled = self.not_enrolled.saturating_add(1);
    }

    /// A client was turned away: counted, and recorded unless there are very many.
    pub(super) fn turned_away(&mut self, uid: u32, why: &str) {
        self.refused = self.refused.saturating_add(1);
        match self.refusals_left.checked_sub(1) {
            Some(left) => {
                self.refusals_left = left;
                self.record.refused(uid, why);
            }
            None => self.unrecorded = self.unrecorded.saturating_add(1),
        }
    }

    /// Puts on record what the kernel has reported, and tells the clients. The same thing again and again is written once.
    /// `false` when that was all for the moment.
    pub(super) fn report(&mut self) -> bool {
        let mut reports = Vec::new();
        while reports.len() < AT_ONCE
            && let Some(report) = self.enforcement.next()
        {
            reports.push(report);
        }
        let more = reports.len() == AT_ONCE;
        let mut gaps = (0_u64, 0_u64);
        for report in &reports {
            let gap = if report.lane == Lane::Denials { &mut gaps.0 } else { &mut gaps.1 };
            *gap = gap.saturating_add(report.gap);
        }
        self.record.lost_reports("denials", gaps.0);
        self.record.lost_reports("flags", gaps.1);
        for same in reports.chunk_by(|one, other| seen::same(&one.record, &other.record)) {
            if let [first, ..] = same {
                self.tell(first, same.len() as u64);
            }
        }
        more
    }

    fn tell(&mut self, report: &Report, times: u64) {
        let record = &report.record;
        let Some(kind) = seen::kind(record) else { return };
        let run = self.runs.values_mut().find(|run| run.cgroup.id == record.scope);
        let of =
            run.as_ref().map_or_else(|| format!("cgroup {}", record.scope), |run| run.entry.run.to_string());
        let policy =
            run.as_ref().map_or_else(|| Arc::clone(&self.policy), |run| Arc::clone(&run.held.policy));
        if run.is_none() && matches!(kind, Kind::Access(Access { outcome: Outcome::Flagged, .. })) {
            let Some(left) = self.flags_left.checked_sub(1) else {
                self.flags_over = self.flags_over.saturating_add(times);
                return;
            };
            self.flags_left = left;
        }
        let denied = matches!(kind, Kind::Access(Access { outcome: Outcome::Denied, .. }));
        let guard = guards::named(&policy, record.guard);
        let event = self.record.report(&of, kind, |envelope| seen::fill(envelope, record, guard, times));
        if let Some(run) = run {
            let count = if denied { &mut run.denied } else { &mut run.flagged };
            *count = count.saturating_add(times);
            run.tell(if record.guard < guards::FIRST { record.guard } else { 0 }, &event);
        }
    }

    /// Puts on record which denied addresses a run has asked for, and tells its client. `false` when that was all for the
    /// moment.
    pub(super) fn report_addresses(&mut self, run: &RunId) -> bool {
        let Some(run) = self.runs.get_mut(run) else { return false };
        let of = run.entry.run.to_string();
        let reports: Vec<Denied> =
            run.addresses.iter_mut().flat_map(|guard| guard.by_ref().take(AT_ONCE)).collect();
        for denied in &reports {
            let kind = Kind::Access(Access { operation: Operation::Connect, outcome: denied.outcome() });
            let fill = |envelope: &mut Envelope| denied.describe(lineage(denied.pid, 0), envelope);
            let event = self.record.report(&of, kind, fill);
            let count = if denied.refused { &mut run.denied } else { &mut run.flagged };
            *count = count.saturating_add(1);
            run.tell(0, &event);
        }
        reports.len() == AT_ONCE
    }

    /// What a run's programs for addresses could not report.
    pub(super) fn lost_addresses(&mut self, run: &RunId) {
        let Some(run) = self.runs.get_mut(run) else { return };
        let counts = run.addresses.as_ref().and_then(|guard| guard.counts().ok());
        run.lost = run.lost.saturating_add(counts.map_or(0, |counts| counts.lost));
    }

    /// What is due every few seconds.
    pub(super) fn tidy(&mut self) {
        self.refusals_left = REFUSALS_ON_RECORD;
        let unrecorded = std::mem::take(&mut self.unrecorded);
        if unrecorded > 0 {
            let detail = format!("{unrecorded} more, not recorded one by one");
            self.record.host(HostEvent::new(HostWhat::Refused, detail));
        }
        // Housekeeping comes twelve times a minute.
        self.flags_left = self.policy.policy.host.flags_per_minute.value.div_ceil(12);
        let over = std::mem::take(&mut self.flags_over);
        self.record.lost_reports("flags above host.flags_per_minute", over);
        let missing = std::mem::take(&mut self.not_enrolled);
        if missing > 0 {
            let detail =
                format!("{missing} objects or names of the host's guards could not be enrolled for runs");
            self.record.host(HostEvent::new(HostWhat::ScopeOpened, detail));
        }
        self.limits.forget(Instant::now());
    }

    /// The runs that `uid` may know of.
    pub(super) fn run_status(&self, uid: u32) -> Vec<RunStatus> {
        let visible = self.runs.values().filter(|run| uid == 0 || run.entry.uid == uid);
        visible
            .map(|run| RunStatus {
                run: run.entry.run.clone(),
                session: run.entry.session.clone(),
                uid: run.entry.uid,
                command: run.entry.command.clone(),
                began: run.entry.began,
                processes: run
                    .cgroup
                    .processes()
                    .map_or(0, |list| u32::try_from(list.len()).unwrap_or(u32::MAX)),
                adopted: run.adopted,
            })
            .collect()
    }

    /// The service as a whole.
    pub(super) fn service_status(&self) -> ServiceStatus {
        let host = &self.policy.policy.host;
        ServiceStatus {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: self.since,
            policy: self.policy.source.to_string(),
            generation: self.policy.generation.clone(),
            stale: self.stale.clone(),
            layers: self.layers().to_vec(),
            slices: host.always.iter().map(|slice| slice.value.to_string()).collect(),
            runs: u32::try_from(self.runs.len()).unwrap_or(u32::MAX),
            refused: self.refused,
            lost: self.record.lost(),
        }
    }

    /// The last line is on record, and nothing is guarded any more if `stop` says so. Whoever waits for the end sees it
    /// when the result is dropped.
    pub(super) fn finish(mut self, stop: bool) -> Vec<OwnedFd> {
        if stop && let Err(why) = self.enforcement.stop() {
            self.record.host(HostEvent::new(HostWhat::Down, format!("not all was taken back: {why}")));
        }
        self.record.close();
        self.waiting_for_the_end
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
