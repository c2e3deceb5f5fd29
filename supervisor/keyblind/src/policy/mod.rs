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
mod explain;
mod features;
mod guard;
mod network;
mod options;
mod origin;
mod parse;
mod pattern;
mod problem;
mod reference;
mod settings;
mod show;
mod slice;
mod source;
mod tape;
mod tighten;
mod variables;
mod word;

use std::collections::BTreeMap;

pub use builtin::{BuiltIn, guards_text};
pub use entitlement::{
    Deliver, Environment, Grant, Param, ParamKind, Reference, Scheme, Secret, Tool, ToolLimits, ToolResult,
    Via,
};
pub use explain::{Explanation, Query, Verdict, explain};
pub use features::{Feature, FeatureKind};
pub use guard::{Access, Action, Guard, GuardKeys};
pub use network::{METADATA, Network, NetworkDeny, NetworkMode};
pub use options::Overrides;
pub use origin::{Located, Origin, Source};
pub use pattern::{Base, Glob, NamePattern, PathPattern, PatternError, Roots};
pub use problem::Report;
pub use reference::{markdown, schema};
pub use settings::{
    CacheMode, Check, Device, Encoding, Events, Files, Keep, LateNames, Layer, Layers, Limits, Mark, Mode,
    OnDenied, Redact, RedactFormat, RedactRule, Run, Sink, Socket, SocketRule, SocketUse, Sockets, Store,
    Tier, TierWish, Variables, Wish, WrittenFiles,
};
pub use slice::{HostSettings, Slice};
pub use source::{HOST, HostFile, LoadError, Loaded, Sources, load, load_beside, load_file};
pub use tighten::Loosening;
pub use variables::{Dropped, ScrubError, Scrubbed, Why, looks_secret, scrub, url_password};
pub(crate) use word::Named;

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
    /// What the host service does beyond serving runs.
    pub host: HostSettings,
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

/// The policies of `policies/examples`, by file name.
#[cfg(test)]
fn examples() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/examples");
    let mut examples: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    examples.sort();
    examples
}
