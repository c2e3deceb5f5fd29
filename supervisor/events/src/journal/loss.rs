//! What could not be written: counts by kind, exact, until a `lost` event carries them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::{Context, Event, Kind, Lost};
use crate::recorder::stamp;

/// The lane of a rotation: lines that went away with the file before the last.
const ROTATION: &str = "rotation";

/// Losses not yet on record, at most one entry per run and lane.
#[derive(Debug, Default)]
pub(super) struct Pending(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    context: Arc<Context>,
    lane: String,
    /// Number of the first event lost.
    sequence: u64,
    counts: BTreeMap<String, u64>,
    /// Whether the loss stands where `sequence` says, as against having been before.
    here: bool,
}

impl Pending {
    /// Counts `event` as lost on `lane`. A `lost` event leaves its own counts behind: they are what it was
    /// for.
    pub(super) fn count(&mut self, lane: &str, event: &Event) {
        match &event.kind {
            Kind::Lost(lost) => {
                let entry = self.entry(&lost.lane, event, false);
                add(&mut entry.counts, &lost.counts);
            }
            kind => {
                let counts = [(kind.name().to_owned(), 1)].into();
                let entry = self.entry(lane, event, true);
                add(&mut entry.counts, &counts);
            }
        }
    }

    /// Counts what a rotation dropped while `event` was written.
    pub(super) fn rotated(&mut self, event: &Event, dropped: &BTreeMap<String, u64>) {
        if !dropped.is_empty() {
            add(&mut self.entry(ROTATION, event, false).counts, dropped);
        }
    }

    /// The `lost` event that is due first.
    pub(super) fn next(&self) -> Option<Event> {
        let entry = self.0.first()?;
        let lost = Lost { lane: entry.lane.clone(), counts: entry.counts.clone() };
        let mut envelope = stamp(Arc::clone(&entry.context), entry.sequence);
        if entry.here {
            envelope.lost_before = lost.total();
        }
        Some(Event { envelope, kind: Kind::Lost(lost) })
    }

    /// Forgets what `event`, made by [`Pending::next`], told of. Writing it may have rotated the file and
    /// so have added an entry, or counts to this one.
    pub(super) fn reported(&mut self, event: &Event) {
        let Kind::Lost(lost) = &event.kind else { return };
        if let Some(entry) = self.0.first_mut() {
            for (kind, told) in &lost.counts {
                if let Some(count) = entry.counts.get_mut(kind) {
                    *count = count.saturating_sub(*told);
                }
            }
            entry.counts.retain(|_, count| *count > 0);
        }
        self.0.retain(|entry| !entry.counts.is_empty());
    }

    /// All that is not on record.
    pub(super) fn total(&self) -> u64 {
        self.0.iter().flat_map(|entry| entry.counts.values()).fold(0, |sum, n| sum.saturating_add(*n))
    }

    fn entry(&mut self, lane: &str, event: &Event, here: bool) -> &mut Entry {
        let context = &event.envelope.context;
        let known = self.0.iter().position(|entry| entry.lane == lane && entry.context.run == context.run);
        let at = known.unwrap_or(self.0.len());
        if known.is_none() {
            self.0.push(Entry {
                context: Arc::clone(context),
                lane: lane.to_owned(),
                sequence: event.envelope.sequence,
                counts: BTreeMap::new(),
                here,
            });
        }
        &mut self.0[at]
    }
}

/// Adds `more` to `counts`.
pub(super) fn add(counts: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (kind, n) in more {
        let count = counts.entry(kind.clone()).or_default();
        *count = count.saturating_add(*n);
    }
}
