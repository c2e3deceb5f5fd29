//! What the host service does, and what happens to it.

use crate::ids::{RunId, SessionId};

/// Something that the host service did, or that happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEvent {
    /// What.
    pub what: HostWhat,
    /// In plain words: why a client was refused, what became of a scope.
    pub detail: String,
    /// The run it is about. The event itself belongs to the service, which has a run id of its own.
    pub run: Option<RunId>,
    /// The session of that run.
    pub session: Option<SessionId>,
    /// The user it is about.
    pub uid: Option<u32>,
    /// What is enforced from now on, of `up` and `reloaded`.
    pub enforced: Vec<String>,
    /// What is not, and why.
    pub not_enforced: Vec<String>,
}

impl HostEvent {
    /// An event of which nothing is known but what happened.
    pub fn new(what: HostWhat, detail: impl Into<String>) -> Self {
        Self {
            what,
            detail: detail.into(),
            run: None,
            session: None,
            uid: None,
            enforced: Vec::new(),
            not_enforced: Vec::new(),
        }
    }
}

words! {
    /// What happened to the host service. The words are kinds on the wire.
    HostWhat {
        /// It serves.
        Up = "host.up",
        /// It ended by order. What is guarded at that moment stays so if the event says it.
        Down = "host.down",
        /// It has another policy, or was given one that it cannot use and keeps the old.
        Reloaded = "host.reloaded",
        /// A client was turned away.
        Refused = "host.refused",
        /// A run has its scope.
        ScopeOpened = "scope.opened",
        /// A scope was found that a service of before had opened.
        ScopeAdopted = "scope.adopted",
        /// A scope is empty and gone.
        ScopeClosed = "scope.closed",
    }
}
