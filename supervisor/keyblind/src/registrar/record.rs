//! The service's journal, written by a thread of its own: nobody waits for a disk.

use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, atomic};
use std::thread;
use std::time::Duration;

use keyblind_events::{
    Context, Envelope, Event, HostEvent, HostWhat, Journal, JournalError, Kind, Label, Lost, Place, Recorder,
    RunId, SessionId,
};

/// Events that may wait to be written.
const WAITING: usize = 8192;
/// How long the end waits for the journal's last line.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What the service records.
#[derive(Debug)]
pub(super) struct Record {
    recorder: Recorder,
    queue: SyncSender<Event>,
    ended: Receiver<()>,
    /// By kind, what found no room in the queue and is not on record yet.
    pending: BTreeMap<String, u64>,
    lost: u64,
    unwritten: Arc<atomic::AtomicU64>,
}

impl Record {
    /// Opens the journal of the host.
    pub(super) fn open(place: &Place) -> Result<Self, JournalError> {
        let mut journal = Journal::open(place)?;
        let session = "host".parse().unwrap_or_else(|_never| SessionId::new());
        let mut context = Context::new(RunId::new(), session);
        context.boot_id =
            fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned());
        let (queue, events) = sync_channel::<Event>(WAITING);
        let (last, ended) = channel();
        let unwritten = Arc::new(atomic::AtomicU64::new(0));
        let behind = Arc::clone(&unwritten);
        thread::spawn(move || {
            for event in events {
                // A journal that cannot be written counts by itself, and makes up for it when it can.
                let _counted = journal.append(&event);
                behind.store(journal.unreported(), atomic::Ordering::Relaxed);
            }
            let _counted = journal.flush();
            let _nobody_waits = last.send(());
        });
        Ok(Self {
            recorder: Recorder::new(context),
            queue,
            ended,
            pending: BTreeMap::new(),
            lost: 0,
            unwritten,
        })
    }

    /// The policy's generation, from now on.
    pub(super) fn generation(&mut self, generation: &str) {
        self.recorder.amend(|context| context.policy_generation = Some(generation.to_owned()));
    }

    /// Something that the service did.
    pub(super) fn host(&mut self, event: HostEvent) {
        self.write(Kind::Host(Box::new(event)));
    }

    /// A client was turned away.
    pub(super) fn refused(&mut self, uid: u32, why: &str) {
        self.host(HostEvent { uid: Some(uid), ..HostEvent::new(HostWhat::Refused, why) });
    }

    /// Something that the kernel reported of a run, or of a slice; what the recorder does not know is `fill`'s. The event,
    /// as it is on record.
    pub(super) fn report(&mut self, of: &str, kind: Kind, fill: impl FnOnce(&mut Envelope)) -> Event {
        self.make_up();
        let mut event = self.recorder.event(kind);
        fill(&mut event.envelope);
        let mut context = Context::clone(&event.envelope.context);
        if let Ok(label) = Label::new("run", of) {
            let _labels_are_few = context.labels.insert(label);
        }
        event.envelope.context = Arc::new(context);
        self.send(event.clone());
        event
    }

    /// So many reports of that lane were lost before they came here.
    pub(super) fn lost_reports(&mut self, lane: &str, count: u64) {
        if count > 0 {
            let counts = [("access".to_owned(), count)].into();
            self.write(Kind::Lost(Lost { lane: lane.to_owned(), counts }));
        }
    }

    /// Events that are lost, or wait for a journal that cannot be written.
    pub(super) fn lost(&self) -> u64 {
        self.lost.saturating_add(self.unwritten.load(atomic::Ordering::Relaxed))
    }

    /// The last event is written, or it takes too long.
    pub(super) fn close(mut self) {
        self.make_up();
        let Self { queue, ended, .. } = self;
        drop(queue);
        match ended.recv_timeout(LAST_WORDS) {
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }

    fn write(&mut self, kind: Kind) {
        self.make_up();
        let event = self.recorder.event(kind);
        self.send(event);
    }

    /// Puts on record what found no room, as soon as there is some.
    fn make_up(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let counts = self.pending.clone();
        let event = self.recorder.event(Kind::Lost(Lost { lane: "host".to_owned(), counts }));
        if self.queue.try_send(event).is_ok() {
            self.pending.clear();
        }
    }

    fn send(&mut self, event: Event) {
        if let Err(TrySendError::Full(event) | TrySendError::Disconnected(event)) = self.queue.try_send(event)
        {
            let count = self.pending.entry(event.kind.name().to_owned()).or_default();
            *count = count.saturating_add(1);
            self.lost = self.lost.saturating_add(1);
        }
    }
}
