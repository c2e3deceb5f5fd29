#![forbid(unsafe_code)]
//! What happened: one [`Event`] is one [`Envelope`], the same for every kind, and one [`Kind`].
//!
//! Nothing here does I/O or knows the wire form. A field that is not known is absent (`None`, empty),
//! never a made-up value. No field ever holds a secret's value: a redaction names the rule or the needle.

/// Declares an enum of words and both directions between it and its words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it, on the wire and on the screen.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The one that `word` stands for.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

mod host;
mod object;
mod runs;

use std::sync::Arc;

pub use host::{HostEvent, HostWhat};
pub use object::{Address, Errno, FileId, Object, Process, Sha256};
pub use runs::{End, LayerState, PolicySource, RunEnded, RunStarted, Status, Tally, User};

use crate::clock::Wall;
use crate::ids::{CallId, EventId, Labels, RunId, SessionId, TraceParent};

/// One thing that happened, with who, where and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What every event has.
    pub envelope: Envelope,
    /// What happened.
    pub kind: Kind,
}

/// What every event has, whatever happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// This event, unique everywhere; sorts by time.
    pub id: EventId,
    /// Place of the event in its run, from 1, without gaps: a gap is a loss. A `lost` event that the
    /// journal writes carries the number of the first event it stands for.
    pub sequence: u64,
    /// Wall time. Of a folded event: of the first occurrence.
    pub time: Wall,
    /// CLOCK_MONOTONIC at the same moment, in nanoseconds.
    pub monotonic_ns: u64,
    /// What is the same for all events of the run.
    pub context: Arc<Context>,
    /// The process that did it.
    pub process: Option<Process>,
    /// Its ancestors, parent first, up to the first process of the session.
    pub lineage: Vec<Process>,
    /// What it was done to.
    pub object: Option<Object>,
    /// The layer that saw it or decided it: `fanotify`, `seccomp`, `landlock`, `bpf_lsm`, `opener`, …
    pub layer: Option<String>,
    /// The hook or system call within the layer: `lsm/file_open`, `FAN_OPEN_PERM`, `openat2`.
    pub hook: Option<String>,
    /// What the process was told.
    pub errno: Option<Errno>,
    /// How often it happened, when it happened more than once and was written once.
    pub repeat: Option<Repeat>,
    /// Events of this run that are missing immediately before this one.
    pub lost_before: u64,
}

/// What is common to all events of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The run.
    pub run: RunId,
    /// The session it belongs to.
    pub session: SessionId,
    /// The policy entry it runs as, when it is a tool.
    pub tool: Option<String>,
    /// The service principal it acts as.
    pub principal: Option<String>,
    /// The caller's name for the call.
    pub call_id: Option<CallId>,
    /// What the caller attached.
    pub labels: Labels,
    /// The caller's trace.
    pub trace: Option<TraceParent>,
    /// `/proc/sys/kernel/random/boot_id`: with pid and start time it names a process for good.
    pub boot_id: Option<String>,
    /// Which layers the host offers. Unknown in a run refused before that was found out.
    pub tier: Option<Tier>,
    /// Whether refusals are enforced. Unknown in a run refused because its policy cannot be read.
    pub mode: Option<Mode>,
    /// The policy generation the run began with.
    pub policy_generation: Option<String>,
}

impl Context {
    /// A context with nothing but the two ids that every event must have.
    pub fn new(run: RunId, session: SessionId) -> Self {
        Self {
            run,
            session,
            tool: None,
            principal: None,
            call_id: None,
            labels: Labels::default(),
            trace: None,
            boot_id: None,
            tier: None,
            mode: None,
            policy_generation: None,
        }
    }
}

/// The same thing again and again, written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// Occurrences, the first included.
    pub count: u64,
    /// Wall time of the last one.
    pub last: Wall,
}

/// What happened. More kinds come with more layers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A run was planned and is about to execute its command.
    RunStarted(Box<RunStarted>),
    /// A process reached for a guarded object.
    Access(Access),
    /// Output held a secret and was changed on its way.
    Redacted(Redacted),
    /// Events were lost; their counts were not.
    Lost(Lost),
    /// A run ended, or was refused before it began.
    RunEnded(Box<RunEnded>),
    /// The host service did something.
    Host(Box<HostEvent>),
}

impl Kind {
    /// The name on the wire, in queries and in counts: `run.started`, `access.denied`, …
    pub fn name(&self) -> &'static str {
        match self {
            Self::RunStarted(_) => "run.started",
            Self::Access(Access { outcome: Outcome::Denied, .. }) => "access.denied",
            Self::Access(Access { outcome: Outcome::Flagged, .. }) => "access.flagged",
            Self::Access(Access { outcome: Outcome::Masked { .. }, .. }) => "access.masked",
            Self::Redacted(_) => "redacted",
            Self::Lost(_) => "lost",
            Self::RunEnded(_) => "run.ended",
            Self::Host(host) => host.what.as_str(),
        }
    }

    /// The verdict, of the kinds that have one. A masked access is allowed: what is given is a copy.
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Access(access) => Some(match access.outcome {
                Outcome::Denied => Verdict::Deny,
                Outcome::Flagged => Verdict::Flag,
                Outcome::Masked { .. } => Verdict::Allow,
            }),
            _ => None,
        }
    }
}

/// A process reached for a guarded object ([`Envelope::object`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// What it tried.
    pub operation: Operation,
    /// What came of it.
    pub outcome: Outcome,
}

/// What became of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Refused with [`Envelope::errno`].
    Denied,
    /// Let pass and recorded.
    Flagged,
    /// Answered with a copy in which `values` values are marked.
    Masked {
        /// How many values the copy marks.
        values: u64,
    },
}

/// Output held a secret and was changed on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// What it was: a known value by its name, or a shape by its rule.
    pub secret: Secret,
    /// Keyed fingerprint of the value: tells which secret it was, not what it is.
    pub fingerprint: Option<String>,
    /// How the value was written (`base64`, `hex`, …); absent when as it is.
    pub encoding: Option<String>,
    /// Where.
    pub stream: Stream,
    /// Offset of its first byte in what the command wrote to the stream, in bytes.
    pub offset: u64,
    /// Bytes that the mark replaced.
    pub len: u64,
}

/// How a redaction knew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// A known value, by the name of its variable, key or grant.
    Needle(String),
    /// A shape, by the id of its rule.
    Rule(String),
}

/// Events were lost; their counts were not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The buffer that was full: `journal`, `rotation`, a sink (`fd:3`, a path), a kernel lane (`flag`).
    pub lane: String,
    /// How many of what: by kind, or by guard where the lane knows that.
    pub counts: std::collections::BTreeMap<String, u64>,
}

impl Lost {
    /// All of them together.
    pub fn total(&self) -> u64 {
        self.counts.values().fold(0, |sum, n| sum.saturating_add(*n))
    }
}

words! {
    /// What was decided about an access. The word `ask` is reserved.
    Verdict {
        /// Let pass.
        Allow = "allow",
        /// Let pass and recorded.
        Flag = "flag",
        /// Refused.
        Deny = "deny",
    }
}

words! {
    /// Which layers a host offers (`docs/threat-model.md`), strongest first.
    Tier {
        /// BPF-LSM programs.
        Kernel = "kernel",
        /// fanotify permission events on the run's own mounts.
        Mount = "mount",
        /// User namespaces and the opener.
        User = "user",
        /// Landlock and user notification only.
        InPlace = "in-place",
    }
}

words! {
    /// Whether refusals are enforced or only recorded.
    Mode {
        /// Refused.
        Enforce = "enforce",
        /// Flagged and let pass.
        Audit = "audit",
    }
}

words! {
    /// Which of a run's outputs.
    Stream {
        /// File descriptor 1.
        Stdout = "stdout",
        /// File descriptor 2.
        Stderr = "stderr",
        /// The run's own terminal, which carries both.
        Tty = "tty",
    }
}

words! {
    /// What a process tried to do to an object.
    Operation {
        /// Open for reading, or read.
        Read = "read",
        /// Open for writing, truncate, or write.
        Write = "write",
        /// Make a new name.
        Create = "create",
        /// Move a name.
        Rename = "rename",
        /// Give another name.
        Link = "link",
        /// Remove a name.
        Remove = "remove",
        /// Execute.
        Exec = "exec",
        /// Connect or send to an address.
        Connect = "connect",
        /// Receive a descriptor over a socket.
        Receive = "receive",
        /// Attach to, or read or write the memory of, a process.
        Trace = "trace",
        /// Send a signal.
        Signal = "signal",
        /// Call the kernel in a way that the filter refuses.
        Syscall = "syscall",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_both_ways() {
        for operation in Operation::ALL {
            assert_eq!(Operation::from_word(operation.as_str()), Some(*operation));
        }
        for tier in Tier::ALL {
            assert_eq!(Tier::from_word(tier.as_str()), Some(*tier));
        }
        assert_eq!(Verdict::from_word("ask"), None);
    }

    #[test]
    fn a_masked_access_is_allowed() {
        let access = |outcome| Kind::Access(Access { operation: Operation::Read, outcome });
        let check = |outcome, name, verdict| {
            assert_eq!(access(outcome).name(), name);
            assert_eq!(access(outcome).verdict(), Some(verdict));
        };
        check(Outcome::Denied, "access.denied", Verdict::Deny);
        check(Outcome::Flagged, "access.flagged", Verdict::Flag);
        check(Outcome::Masked { values: 4 }, "access.masked", Verdict::Allow);
        let lost = Lost { lane: "flag".into(), counts: [("a".into(), 2), ("b".into(), u64::MAX)].into() };
        assert_eq!(lost.total(), u64::MAX);
        assert_eq!(Kind::Lost(lost).verdict(), None);
    }
}
