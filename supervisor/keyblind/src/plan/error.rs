//! Why a run is not started.

use std::path::PathBuf;

use crate::policy::{Layer, NetworkMode, Origin, Tier};

/// keyblind refuses; nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// No command.
    #[error("no command to run: keyblind run [OPTIONS] -- COMMAND [ARG]...")]
    NoCommand,
    /// Policy asks for what this version does not do.
    #[error("not built yet: {}; remove it, or the run would look safer than it is", list(.wanted))]
    NotBuilt {
        /// What, and where it is written.
        wanted: Vec<(String, Origin)>,
    },
    /// A layer that policy requires cannot be had.
    #[error("{origin}: policy requires {}, which this host does not give: {evidence}; {remedy}", .layer.name())]
    LayerMissing {
        /// The layer.
        layer: Layer,
        /// Where it is required.
        origin: Origin,
        /// What was seen.
        evidence: String,
        /// What would help.
        remedy: String,
    },
    /// The host offers less than policy's minimum.
    #[error(
        "{origin}: policy asks for tier {} or better and this host offers {}: {evidence}; {remedy}",
        .minimum.name(),
        .offered.name()
    )]
    TierTooLow {
        /// Policy's minimum.
        minimum: Tier,
        /// What can be had.
        offered: Tier,
        /// Where the minimum is written.
        origin: Origin,
        /// Why it is not more.
        evidence: String,
        /// What would help.
        remedy: String,
    },
    /// A network of its own needs a namespace.
    #[error(
        "network {} needs a network namespace, which this host does not give the caller; use --net host, or start as root",
        .network.name()
    )]
    NoNetworkNamespace {
        /// What was asked for.
        network: NetworkMode,
    },
    /// A directory that the run may change would hold too much.
    #[error("{origin} {} {why}; start it in a project directory, or name one with --cwd", .path.display())]
    TooWide {
        /// Who named it.
        origin: String,
        /// The directory.
        path: PathBuf,
        /// What is in it.
        why: &'static str,
    },
    /// A path to write to is not there.
    #[error("{origin}: {} is not there; create it, or take it out", .path.display())]
    NoSuchPath {
        /// The path.
        path: PathBuf,
        /// Who named it.
        origin: String,
    },
    /// A name that cannot be handed to the kernel.
    #[error("{what} holds a NUL byte, which no path or argument can")]
    Nul {
        /// Which name.
        what: String,
    },
}

fn list(wanted: &[(String, Origin)]) -> String {
    wanted.iter().map(|(what, origin)| format!("{what} ({origin})")).collect::<Vec<_>>().join(", ")
}
