//! What happened → events.

use std::ffi::OsStr;
use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use keyblind_events::{
    Access, Address, Context, End as EventEnd, Errno, Event, Kind, Label, Labels, LayerState, Lost, Object,
    Operation, Outcome, Place, Process, Recorder, Redacted, RunEnded, RunId, RunStarted, Secret, SessionId,
    Sink, Status, Tally, User, Verdict,
};
use keyblind_events::{Journal, JournalError, Tier as EventTier};
use keyblind_redact::{Encoding, HitKind, Matcher};
use nix::sys::utsname::uname;
use nix::unistd::geteuid;

use super::caller::Caller;
use super::materials::{Materials, shown};
use super::scope::Named;
use super::{EventsTo, Options, RunError};
use crate::guard::{Attempt, Denied};
use crate::host::file_id;
use crate::plan::{NotEnforced, Plan, State};
use crate::policy::{Located, Mode, NetworkDeny, Tier};
use crate::stream::Redaction;

/// Why addresses of [`NetworkDeny::Metadata`] are denied.
const METADATA: &str = "there a cloud gives a machine's own credentials to whoever asks";

/// The record of one run. A record that cannot be written changes no verdict: it is counted, and the journal makes up
/// for it when it can.
#[derive(Debug)]
pub(super) struct Record {
    journal: Journal,
    recorder: Recorder,
    tally: Tally,
    failed: Option<String>,
}

impl Record {
    /// Opens the journal; without one no run starts.
    pub(super) fn open(options: &Options, caller: &Caller) -> Result<Self, RunError> {
        let place = place(caller)?;
        // Before anything else is opened: the number is the caller's, and must not be one of ours by now.
        let also = match &options.events {
            Some(EventsTo::File(path)) => Some(Sink::file(path)?),
            Some(EventsTo::Descriptor(number)) => Some(Sink::fd(*number)?),
            None => None,
        };
        let mut journal = Journal::open(&place)?;
        also.into_iter().for_each(|sink| journal.also(sink));
        let mut context = Context::new(RunId::new(), options.session.clone().unwrap_or_else(SessionId::new));
        let mut labels = Labels::default();
        for label in &options.labels {
            labels
                .insert(label.clone())
                .map_err(|error| RunError::Option { option: "--label".into(), why: error.to_string() })?;
        }
        context.labels = labels;
        context.call_id.clone_from(&options.call_id);
        context.boot_id =
            fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned());
        Ok(Self { journal, recorder: Recorder::new(context), tally: Tally::default(), failed: None })
    }

    /// The run's id.
    pub(super) fn run(&self) -> &RunId {
        &self.recorder.context().run
    }

    /// The run's id and its session's.
    pub(super) fn ids(&self) -> (&RunId, &SessionId) {
        (&self.recorder.context().run, &self.recorder.context().session)
    }

    /// The first event of a run, not yet written. `gaps` are what the plan could not know that is not enforced.
    pub(super) fn compose_started(
        &mut self,
        materials: &Materials,
        matcher: &Matcher,
        gaps: &[NotEnforced],
    ) -> Event {
        let plan = &materials.plan;
        self.recorder.amend(|context| {
            context.tier = Some(event_tier(plan.tier));
            context.mode = Some(event_mode(plan.mode));
            context.policy_generation = Some(materials.policy.generation.clone());
            context.labels = redacted_labels(&context.labels, matcher);
        });
        let started = RunStarted {
            command: materials.shown_command(matcher),
            cwd: shown(matcher, plan.project.as_os_str()).into(),
            user: User {
                uid: materials.person.uid.as_raw(),
                gid: materials.person.gid.as_raw(),
                name: materials.person.name.clone(),
            },
            layers: layers(plan),
            policy: materials.policy.event_source(),
            policy_sha256: Some(keyblind_events::Sha256(materials.policy.sha256)),
            environment: Some(materials.environment.clone()),
            not_enforced: plan.not_enforced.iter().chain(gaps).map(ToString::to_string).collect(),
            absent: materials.absent(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: uname().ok().map(|name| name.release().to_string_lossy().into_owned()),
        };
        self.recorder.event(Kind::RunStarted(Box::new(started)))
    }

    /// Writes the first event. It must be on record before anything of the command runs.
    pub(super) fn started(&mut self, event: &Event) -> Result<(), JournalError> {
        self.journal.append(event)
    }

    /// An attempt on a tripwire.
    pub(super) fn attempt(&mut self, attempt: &Attempt) {
        let outcome = if attempt.denied { Outcome::Denied } else { Outcome::Flagged };
        let counted = if attempt.denied { &mut self.tally.denied } else { &mut self.tally.flagged };
        *counted = counted.saturating_add(1);
        let mut event = self.recorder.event(Kind::Access(Access { operation: Operation::Read, outcome }));
        let (guard, reason) = attempt.guard.clone().unzip();
        let envelope = &mut event.envelope;
        envelope.process = Some(attempt.process.clone());
        envelope.lineage.clone_from(&attempt.ancestors);
        envelope.layer = Some("fanotify".to_owned());
        envelope.hook = Some("FAN_OPEN_PERM".to_owned());
        envelope.errno = attempt.denied.then_some(Errno::EPERM);
        envelope.object = Some(Object {
            guard,
            reason,
            path: Some(attempt.path.clone()),
            file: attempt.file.map(|(device, inode)| file_id(device, inode)),
            ..Object::default()
        });
        debug_assert!(event.kind.verdict().is_some_and(|verdict| verdict != Verdict::Allow));
        self.write(&event);
    }

    /// A denied address that a process asked for. `seen` is what /proc said of it and its ancestors when the report was
    /// read; the kernel's report counts where it is gone.
    pub(super) fn address(
        &mut self,
        denied: &Denied,
        policy: &[Located<NetworkDeny>],
        seen: (Process, Vec<Process>),
    ) {
        let outcome = denied.outcome();
        let counted = if denied.refused { &mut self.tally.denied } else { &mut self.tally.flagged };
        *counted = counted.saturating_add(1);
        let mut event = self.recorder.event(Kind::Access(Access { operation: Operation::Connect, outcome }));
        denied.describe(seen, &mut event.envelope);
        if let Some(object) = &mut event.envelope.object {
            because(object, policy, denied.address);
        }
        self.write(&event);
    }

    /// Something that kernel programs saw in the run's scope: the service's event with this run's context, what the run's own
    /// guard is called, and the addresses that policy denies.
    pub(super) fn kernel(&mut self, seen: &Event, named: Option<&Named>, denied: &[Located<NetworkDeny>]) {
        let Kind::Access(access) = &seen.kind else { return };
        let counted = match access.outcome {
            Outcome::Denied => &mut self.tally.denied,
            _ => &mut self.tally.flagged,
        };
        let times = seen.envelope.repeat.as_ref().map_or(1, |repeat| repeat.count);
        *counted = counted.saturating_add(times);
        let mut event = self.recorder.event(seen.kind.clone());
        let envelope = &mut event.envelope;
        envelope.process.clone_from(&seen.envelope.process);
        envelope.lineage.clone_from(&seen.envelope.lineage);
        envelope.layer.clone_from(&seen.envelope.layer);
        envelope.hook.clone_from(&seen.envelope.hook);
        envelope.errno.clone_from(&seen.envelope.errno);
        envelope.repeat.clone_from(&seen.envelope.repeat);
        let mut object = seen.envelope.object.clone().unwrap_or_default();
        if let Some(named) = named {
            object.guard = Some(named.guard.clone());
            object.reason = Some(named.reason.clone());
            object.path = named.path.clone().or(object.path);
        }
        if let Some(Address::Inet(address)) = object.address {
            because(&mut object, denied, address.ip());
        }
        envelope.object = Some(object);
        self.write(&event);
    }

    /// Reports of the kernel of which only the number is known.
    pub(super) fn lost_accesses(&mut self, count: u64) {
        self.lost("bpf_lsm", "access", count);
    }

    /// Refused addresses of which only the number is known.
    pub(super) fn lost_addresses(&mut self, count: u64) {
        self.lost("network_limits", "connect", count);
    }

    /// A redaction.
    pub(super) fn redacted(&mut self, redaction: &Redaction) {
        let hit = &redaction.hit;
        let name = hit.name.to_string();
        let redacted = Redacted {
            secret: match hit.kind {
                HitKind::Needle => Secret::Needle(name),
                HitKind::Shape => Secret::Rule(name),
            },
            fingerprint: None,
            encoding: (hit.encoding != Encoding::Raw).then(|| hit.encoding.name().to_owned()),
            stream: redaction.stream,
            offset: hit.offset,
            len: hit.len,
        };
        let event = self.recorder.event(Kind::Redacted(redacted));
        self.write(&event);
    }

    /// Redactions of which only the number is known.
    pub(super) fn lost_redactions(&mut self, count: u64) {
        self.lost("redaction", "redacted", count);
    }

    fn lost(&mut self, lane: &str, what: &str, count: u64) {
        if count > 0 {
            self.tally.lost = self.tally.lost.saturating_add(count);
            let counts = [(what.to_owned(), count)].into();
            let event = self.recorder.event(Kind::Lost(Lost { lane: lane.to_owned(), counts }));
            self.write(&event);
        }
    }

    /// What is counted while the run lasts.
    pub(super) fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// The last event of a run.
    pub(super) fn ended(&mut self, end: EventEnd, duration: Duration) -> RunEnded {
        self.ended_with(end, duration, Vec::new())
    }

    /// The last event of a run that left processes behind.
    pub(super) fn ended_with(&mut self, end: EventEnd, duration: Duration, killed: Vec<Process>) -> RunEnded {
        let ended = RunEnded { end, duration, tally: self.tally, killed };
        let event = self.recorder.event(Kind::RunEnded(Box::new(ended.clone())));
        self.write(&event);
        if let Err(error) = self.journal.flush() {
            self.failed.get_or_insert_with(|| error.to_string());
        }
        ended
    }

    /// What the caller has to know about the record itself: that events are missing from it, and why.
    pub(super) fn shortcoming(&self) -> Option<String> {
        let unreported = self.journal.unreported();
        match (&self.failed, unreported) {
            (None, 0) => None,
            (Some(why), 0) => Some(format!("{why}; the log names what is missing")),
            (why, lost) => Some(format!(
                "{lost} events of this run are not on record: {}",
                why.as_deref().unwrap_or("the log cannot be written")
            )),
        }
    }

    fn write(&mut self, event: &Event) {
        if let Err(error) = self.journal.append(event) {
            self.failed.get_or_insert_with(|| error.to_string());
        }
    }
}

/// Names the rule of policy that denies an address.
fn because(object: &mut Object, policy: &[Located<NetworkDeny>], address: IpAddr) {
    let rule = policy.iter().find(|entry| entry.value.denies(address));
    object.rule = rule.map(|entry| format!("{} ({})", entry.value, entry.origin));
    object.reason = rule.filter(|entry| entry.value == NetworkDeny::Metadata).map(|_| METADATA.to_owned());
}

/// Where the journal of this caller is.
pub(super) fn place(caller: &Caller) -> Result<Place, JournalError> {
    Place::standard(geteuid().as_raw(), |name| caller.variable(name).map(OsStr::to_owned))
}

/// wait(2)'s status in the event's words.
pub(super) fn status(wait: i32) -> Status {
    if libc::WIFSIGNALED(wait) {
        Status::Signaled(libc::WTERMSIG(wait))
    } else {
        Status::Exited(u8::try_from(libc::WEXITSTATUS(wait)).unwrap_or(u8::MAX))
    }
}

/// Labels are the caller's words; a secret can be among them.
fn redacted_labels(labels: &Labels, matcher: &Matcher) -> Labels {
    let mut redacted = Labels::default();
    for (key, value) in labels.iter() {
        let value = shown(matcher, OsStr::new(value)).to_string_lossy().into_owned();
        // As many as before, with the same keys; a value that a mark made too long is left out.
        if let Ok(label) = Label::new(key, &value) {
            drop(redacted.insert(label));
        }
    }
    redacted
}

fn layers(plan: &Plan) -> Vec<LayerState> {
    plan.layers
        .iter()
        .map(|layer| {
            let (on, why) = match &layer.state {
                State::On { detail } => (true, detail.clone()),
                State::Off { why } => (false, why.clone()),
            };
            LayerState { layer: layer.layer.name().to_owned(), on, why: Some(why) }
        })
        .collect()
}

fn event_tier(tier: Tier) -> EventTier {
    match tier {
        Tier::Kernel => EventTier::Kernel,
        Tier::Mount => EventTier::Mount,
        Tier::User => EventTier::User,
        Tier::InPlace => EventTier::InPlace,
    }
}

fn event_mode(mode: Mode) -> keyblind_events::Mode {
    match mode {
        Mode::Audit => keyblind_events::Mode::Audit,
        Mode::Enforce => keyblind_events::Mode::Enforce,
    }
}
