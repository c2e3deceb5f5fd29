//! keyblind-events: what happened in a run, its wire form, the journal that keeps it, and how it is read.
//!
//! Modules in the order in which they know each other. The model (`event`, `ids`, `clock`) does no I/O;
//! `wire` alone derives `Serialize` and `Deserialize`, and its doc is the wire format; `journal` alone
//! writes.

mod clock;
mod escape;
mod event;
mod ids;
mod journal;
mod read;
mod recorder;
mod render;
mod summary;
mod sys;
mod wire;

pub use clock::Wall;
pub use escape::{printable, quoted};
pub use event::{
    Access, Address, Context, End, Envelope, Errno, Event, FileId, HostEvent, HostWhat, Kind, LayerState,
    Lost, Mode, Object, Operation, Outcome, PolicySource, Process, Redacted, Repeat, RunEnded, RunStarted,
    Secret, Sha256, Status, Stream, Tally, Tier, User, Verdict,
};
pub use ids::{CallId, EventId, IdError, Label, Labels, RunId, SessionId, TraceParent};
pub use journal::{Journal, JournalError, Place, Sink};
pub use read::{Filter, Follow, Item, Log, ReadError, Wake};
pub use recorder::Recorder;
pub use render::Renderer;
pub use summary::Summary;
pub use wire::{WireError, decode, encode};
