//! What the service knows.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use keyblind_events::{HostEvent, HostWhat, RunId};

use super::Options;
use crate::policy::Loaded;
use crate::registrar::cgroup::{Cgroup, Hierarchy};
use crate::registrar::enforce::Enforcement;
use crate::registrar::ledger::{Entry, Ledger};
use crate::registrar::limits::Limits;
use crate::registrar::protocol::{LayerReport, RunStatus, ServiceStatus};
use crate::registrar::record::Record;

/// Clients turned away that are recorded one by one between two rounds of housekeeping; all are counted.
const REFUSALS_ON_RECORD: u32 = 20;

/// A run with a scope.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) entry: Entry,
    pub(super) cgroup: Rc<Cgroup>,
    /// A registrar of before opened it, and its client is not connected.
    pub(super) adopted: bool,
    /// It was killed, and somebody waits for its end.
    pub(super) closing: bool,
}

/// Everything, on one thread: nobody holds a borrow while waiting.
#[derive(Debug)]
pub(super) struct State {
    options: Options,
    policy: Loaded,
    /// Why the policy on disk is not the one in force; empty when it is.
    stale: String,
    pub(super) hierarchy: Hierarchy,
    pub(super) enforcement: Enforcement,
    pub(super) ledger: Ledger,
    record: Record,
    limits: Limits,
    pub(super) runs: BTreeMap<RunId, Run>,
    since: u64,
    refused: u64,
    refusals_left: u32,
    unrecorded: u64,
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
            policy,
            stale: String::new(),
            hierarchy,
            enforcement,
            ledger,
            record,
            limits: Limits::default(),
            runs: BTreeMap::new(),
            since: now(),
            refused: 0,
            refusals_left: REFUSALS_ON_RECORD,
            unrecorded: 0,
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
            event.not_enforced.push(format!("slice {}: needs {}", slice.value, "kernel programs"));
        }
        event
    }

    /// Reads the policy again. A file that cannot be used changes nothing, and is named. Runs keep what they began with.
    pub(super) fn reload(&mut self) {
        match super::load(self.options.policy.as_deref()) {
            Ok(loaded) => {
                let detail = format!("generation {} follows {}", loaded.generation, self.policy.generation);
                self.policy = loaded;
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

    /// What is due every few seconds.
    pub(super) fn tidy(&mut self) {
        self.refusals_left = REFUSALS_ON_RECORD;
        let unrecorded = std::mem::take(&mut self.unrecorded);
        if unrecorded > 0 {
            let detail = format!("{unrecorded} more, not recorded one by one");
            self.record.host(HostEvent::new(HostWhat::Refused, detail));
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

    /// The last line is on record. Whoever waits for the end sees it when the result is dropped.
    pub(super) fn finish(self) -> Vec<OwnedFd> {
        self.record.close();
        self.waiting_for_the_end
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
