#![forbid(unsafe_code)]
//! Makes the events of one run: counts them and stamps them.

use std::sync::Arc;

use crate::clock::{Wall, monotonic_ns};
use crate::event::{Context, Envelope, Event, Kind};
use crate::ids::EventId;

/// Numbers and stamps the events of one run.
#[derive(Debug)]
pub struct Recorder {
    context: Arc<Context>,
    sequence: u64,
}

impl Recorder {
    /// A recorder for the run that `context` names; its first event is number 1.
    pub fn new(context: Context) -> Self {
        Self { context: Arc::new(context), sequence: 0 }
    }

    /// What is common to the run's events.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Changes what is common to the events from here on: the tier is known after the first of them.
    pub fn amend(&mut self, change: impl FnOnce(&mut Context)) {
        change(Arc::make_mut(&mut self.context));
    }

    /// The next event of the run, happening now. What else is known (process, object, layer, errno) is set
    /// by the caller in its envelope.
    pub fn event(&mut self, kind: Kind) -> Event {
        self.sequence = self.sequence.saturating_add(1);
        Event { envelope: stamp(Arc::clone(&self.context), self.sequence), kind }
    }
}

/// An envelope for something that happens now.
pub(crate) fn stamp(context: Arc<Context>, sequence: u64) -> Envelope {
    let time = Wall::now();
    Envelope {
        id: EventId::new(time),
        sequence,
        time,
        monotonic_ns: monotonic_ns(),
        context,
        process: None,
        lineage: Vec::new(),
        object: None,
        layer: None,
        hook: None,
        errno: None,
        repeat: None,
        lost_before: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Lost, Mode};
    use crate::ids::{RunId, SessionId};

    #[test]
    fn events_are_numbered_and_stamped_in_order() {
        let mut recorder = Recorder::new(Context::new(RunId::new(), SessionId::new()));
        let kind = || Kind::Lost(Lost { lane: "flag".into(), counts: [("x".into(), 1)].into() });
        let first = recorder.event(kind()).envelope;
        recorder.amend(|context| context.mode = Some(Mode::Enforce));
        let second = recorder.event(kind()).envelope;
        assert_eq!((first.sequence, second.sequence), (1, 2));
        assert!(first.monotonic_ns <= second.monotonic_ns);
        assert_ne!(first.id, second.id);
        assert_eq!(first.context.run, second.context.run);
        assert_eq!((first.context.mode, second.context.mode), (None, Some(Mode::Enforce)));
    }
}
