#![forbid(unsafe_code)]
//! Policy: what an operator wants of a run, validated and without a trace of how it was written down.
//!
//! `document` reads the file, `build` checks it and lays it over what it extends, `tighten` compares two
//! policies, `source` (the only one here that touches the file system) decides which files count. Nothing here
//! asks the host anything: paths stay symbolic ([`PathPattern`]) and wishes stay wishes ([`Wish`]) until `plan`
//! meets both.
//!
//! `docs/policy.md` is the reference of the file, generated from `document`.

mod build;
mod builtin;
mod decode;
mod document;
mod entitlement;
mod features;
mod guard;
mod origin;
mod parse;
mod pattern;
mod problem;
mod settings;
mod source;
mod tape;
mod tighten;
mod variables;

use std::collections::BTreeMap;

pub use builtin::{BuiltIn, guards_text};
pub use entitlement::{
    Deliver, Environment, Grant, Param, ParamKind, Reference, Scheme, Secret, Tool, ToolLimits, ToolResult,
    Via,
};
pub use features::{Feature, FeatureKind};
pub use guard::{Access, Action, Guard, GuardKeys};
pub use origin::{Located, Origin, Source};
pub use pattern::{Base, Glob, NamePattern, PathPattern, PatternError, Roots};
pub use problem::Report;
pub(crate) use settings::Named;
pub use settings::{
    CacheMode, Check, Device, Encoding, Events, Files, Keep, LateNames, Layer, Layers, Limits, METADATA,
    Mark, Mode, Network, NetworkDeny, NetworkMode, OnDenied, Redact, RedactFormat, RedactRule, Run, Sink,
    Socket, SocketRule, SocketUse, Sockets, Store, Tier, TierWish, Variables, Wish, WrittenFiles,
};
pub use source::{HOST, HostFile, LoadError, Loaded, Sources, load, load_beside};
pub use tighten::Loosening;
pub use variables::{Dropped, ScrubError, Scrubbed, Why, looks_secret, scrub, url_password};

/// A whole policy: the built-in one, or a file laid over what it extends. Sections stand in the order of the
/// file.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Refuse, or record and let pass.
    pub mode: Located<Mode>,
    /// Whether this is the host's policy, which no other source may loosen.
    pub locked: bool,
    /// The least that the host must offer, layer by layer.
    pub tier: TierWish,
    /// Who runs, and within which limits.
    pub run: Run,
    /// What a command starts with.
    pub variables: Variables,
    /// What a run sees and may change.
    pub files: Files,
    /// Protected objects, in the order in which they were written. Ids are unique.
    pub guards: Vec<Guard>,
    /// Whether processes of one run may debug each other.
    pub procfs_debug: Located<bool>,
    /// Which network a run has.
    pub network: Network,
    /// Sockets of the host's services.
    pub sockets: Sockets,
    /// Devices beyond the usual nodes of `/dev`.
    pub devices: Vec<Located<Device>>,
    /// What leaves a run is redacted like this.
    pub redact: Redact,
    /// Where the record goes.
    pub events: Events,
    /// Environments by name.
    pub environments: BTreeMap<String, Located<Environment>>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Located<Secret>>,
    /// Tools by name.
    pub tools: BTreeMap<String, Located<Tool>>,
}

impl Policy {
    /// The guard of that id.
    pub fn guard(&self, id: &str) -> Option<&Guard> {
        self.guards.iter().find(|guard| guard.id.value == id)
    }
}
