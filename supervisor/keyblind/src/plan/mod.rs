#![forbid(unsafe_code)]
//! Policy + host → plan: what will be enforced in a run, with what, and what will not. Pure: it asks nothing and
//! changes nothing. It alone decides whether a run degrades or is refused.

use std::ffi::{CString, OsString};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::host::{Host, Person, Support, Survey};
use crate::policy::{Layer, Located, Mode, NetworkDeny, NetworkMode, Policy, Roots, Tier, Wish};
use crate::spawn::prepared::{Identity, Mount};
use watched::Watch;

mod command;
mod display;
mod domain;
mod error;
mod filter;
mod layers;
mod places;
mod tree;
mod tripwires;
mod unbuilt;
mod watched;

pub use command::{candidates, home_variables};
pub use domain::{ruleset, terminal_rights};
pub use error::PlanError;
pub use layers::{LayerState, State};
pub use places::wanted;
pub use tripwires::{Coverage, Tripwire};
pub use watched::{Object, Watched};

/// What the caller of keyblind asks for, beyond policy.
#[derive(Debug, Clone)]
pub struct Request {
    /// Command and arguments. Not empty.
    pub command: Vec<OsString>,
    /// The working directory, real and absolute: the run's project.
    pub project: PathBuf,
    /// `--write`
    pub write: Vec<PathBuf>,
    /// Directories and files of keyblind's own, the journal and the policy: no run may change them.
    pub own: Vec<PathBuf>,
    /// `--mode`
    pub mode: Option<Mode>,
    /// `--net`
    pub network: Option<NetworkMode>,
    /// `--timeout`
    pub timeout: Option<Duration>,
    /// A directory of this run alone, for temporary files, where /tmp cannot be made private.
    pub scratch: PathBuf,
}

/// Everything that is decided before the fork.
#[derive(Debug)]
pub struct Plan {
    /// Which layers carry the run.
    pub tier: Tier,
    /// What it stands on: the tier as it would be without kernel programs. Never [`Tier::Kernel`].
    pub base: Tier,
    /// Refuse, or record and let pass.
    pub mode: Mode,
    /// Every layer, on or off, and why.
    pub layers: Vec<LayerState>,
    /// What policy asks for and nothing here does; each with its reason. Stands in the run's first event.
    pub not_enforced: Vec<NotEnforced>,
    /// `CLONE_NEW*`
    pub namespaces: u64,
    /// Who the command runs as.
    pub identity: Identity,
    /// The tree, in the order of making; empty in place.
    pub mounts: Vec<Mount>,
    /// Whether the command gets a Landlock domain.
    pub landlock: bool,
    /// Path and Landlock rights.
    pub grants: Vec<(PathBuf, u64)>,
    /// Empty objects in place of guarded ones.
    pub tripwires: Vec<Tripwire>,
    /// Whether the run's cgroup is to be made, and below what.
    pub cgroup: Option<PathBuf>,
    /// Whether the host service makes it, and guards what is in it.
    pub scope: bool,
    /// What kernel programs guard besides the tripwires.
    pub watched: Vec<Watched>,
    /// Which network.
    pub network: NetworkMode,
    /// Addresses that programs at the run's cgroup refuse. Empty where the run has a network of its own.
    pub denied: Vec<Located<NetworkDeny>>,
    /// `RLIMIT_*` and value.
    pub limits: Vec<(u32, u64)>,
    /// seccomp programs.
    pub filters: [&'static [u8]; 2],
    /// After which time the run is ended.
    pub timeout: Option<Duration>,
    /// The run's project and working directory.
    pub project: PathBuf,
    /// Where temporary files go; a directory of the host to be made and removed, in place only.
    pub scratch: Option<PathBuf>,
}

/// A promise that this run does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotEnforced {
    /// What: a guard's id, a key of policy.
    pub what: String,
    /// Why, and since when it could be had.
    pub why: String,
}

impl fmt::Display for NotEnforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// Decides. `survey` must hold the answers for [`wanted`].
pub fn plan(
    policy: &Policy,
    host: &Host,
    person: &Person,
    request: &Request,
    survey: &Survey,
) -> Result<Plan, PlanError> {
    if request.command.is_empty() {
        return Err(PlanError::NoCommand);
    }
    let home = person.home.as_deref();
    let roots = Roots { project: &request.project, home };
    places::refuse_wide("the working directory", &request.project, home, &request.own)?;
    let mode = request.mode.unwrap_or(policy.mode.value);
    let network = request.network.unwrap_or(policy.network.mode.value);
    let layers = layers::decide(policy, host, network)?;
    let base = layers.base;
    let programs = layers.is_on(Layer::BpfLsm);
    if base == Tier::InPlace && network != NetworkMode::Host {
        return Err(PlanError::NoNetworkNamespace { network });
    }
    let places = places::resolve(policy, &roots, survey, request, base != Tier::InPlace)?;
    let limited = layers.is_on(Layer::NetworkLimits);
    let watch = if programs { watched::decide(policy, &roots, survey, &places) } else { Watch::default() };
    // What the caller can do is not asked of the service.
    let for_cgroup = layers.cgroup && !host.cgroup_support.is_available();
    let for_addresses = limited && network == NetworkMode::Host && !host.address_programs.is_available();
    let scope = host.scopes.is_available() && (programs || for_cgroup || for_addresses);
    let mut not_enforced = unbuilt::check(policy, base, limited, programs.then_some(watch.gaps.as_slice()))?;
    if base == Tier::InPlace {
        not_enforced.extend(in_place_gaps(host));
    }
    not_enforced.extend(groups_that_stay(host, person));
    let tripwires = tripwires::decide(policy, &roots, survey, &places, base, &mut not_enforced);
    let in_place = base == Tier::InPlace;
    let mounts = if in_place {
        Vec::new()
    } else {
        tree::build(&places, &tripwires, request, home, survey, programs || base == Tier::Mount)?
    };
    let grants = domain::grants(&places, request, home, in_place, host.landlock_abi);
    Ok(Plan {
        tier: layers.tier,
        base,
        mode,
        layers: layers.states,
        not_enforced,
        namespaces: layers::namespaces(base, network),
        identity: identity(host, person, base),
        mounts,
        landlock: host.landlock_abi > 0 && policy.tier.layers.get(Layer::Confinement).value != Wish::Off,
        grants,
        tripwires,
        cgroup: (layers.cgroup && !scope).then(|| host.cgroup.clone()).flatten(),
        scope,
        watched: watch.watched,
        network,
        denied: if limited && network == NetworkMode::Host {
            policy.network.deny.clone()
        } else {
            Vec::new()
        },
        limits: limits(policy),
        filters: filter::programs(in_place, policy.procfs_debug.value),
        timeout: request.timeout.or(policy.run.limits.timeout.as_ref().map(|limit| limit.value)),
        project: request.project.clone(),
        scratch: in_place.then(|| request.scratch.clone()),
    })
}

fn identity(host: &Host, person: &Person, base: Tier) -> Identity {
    if person.switch {
        return Identity::Switch { uid: person.uid.as_raw(), gid: person.gid.as_raw() };
    }
    if base == Tier::InPlace {
        return Identity::Same;
    }
    // To themselves, not to 0: files, `id` and ssh look as they do outside.
    Identity::Mapped { uid_map: id_map(host.uid.as_raw()), gid_map: id_map(host.gid.as_raw()) }
}

/// A line of user_namespaces(7)'s map files.
fn id_map(id: u32) -> CString {
    CString::new(format!("{id} {id} 1\n")).unwrap_or_default()
}

fn limits(policy: &Policy) -> Vec<(u32, u64)> {
    let limits = &policy.run.limits;
    // The kernel counts whole seconds; 0 would end the command at once.
    let seconds = |limit: &Located<Duration>| limit.value.as_secs().max(1);
    [
        (libc::RLIMIT_NPROC, limits.processes.as_ref().map(|limit| limit.value)),
        (libc::RLIMIT_NOFILE, limits.open_files.as_ref().map(|limit| limit.value)),
        (libc::RLIMIT_CORE, limits.core.as_ref().map(|limit| limit.value)),
        (libc::RLIMIT_AS, limits.memory.as_ref().map(|limit| limit.value)),
        (libc::RLIMIT_CPU, limits.cpu.as_ref().map(seconds)),
    ]
    .into_iter()
    .filter_map(|(resource, limit)| Some((resource, limit?)))
    .collect()
}

/// Only root can drop supplementary groups (setgroups(2) is denied in an ordinary user's namespace).
fn groups_that_stay(host: &Host, person: &Person) -> Option<NotEnforced> {
    let others = host.groups.iter().filter(|group| **group != host.gid && !person.switch);
    let names: Vec<String> = others.map(ToString::to_string).collect();
    (!names.is_empty()).then(|| NotEnforced {
        what: "supplementary groups".to_owned(),
        why: format!("an ordinary user cannot drop a group; in force: {}", names.join(", ")),
    })
}

/// What no mechanism of the `in-place` tier covers, and why the run is in it.
fn in_place_gaps(host: &Host) -> Vec<NotEnforced> {
    let why = match (&host.mounts, &host.user_namespace) {
        (Support::Missing { evidence, .. }, _) if host.uid.is_root() => evidence.clone(),
        (_, Support::Missing { evidence, .. }) => evidence.clone(),
        _ => "policy turns confinement off".to_owned(),
    };
    [
        ("namespaces and mounts", why),
        ("private /tmp and HOME", "there are no mounts: TMPDIR names a private directory, HOME is refused".to_owned()),
        ("arguments of other processes", "without a PID namespace /proc/PID/cmdline of the host is readable".to_owned()),
        (
            "modes and times of files that cannot be opened",
            "Landlock has no right for chmod, chown and utimes (landlock(7)); the user's own files keep their content"
                .to_owned(),
        ),
    ]
    .into_iter()
    .map(|(what, why)| NotEnforced { what: what.to_owned(), why })
    .collect()
}

/// The host as it is after it refused, with `failure`, what it had seemed to offer.
pub fn without_namespaces(host: &Host, failure: &str) -> Host {
    Host {
        user_namespace: Support::Missing {
            evidence: failure.to_owned(),
            remedy: "`keyblind doctor` says what this host lets a user do".to_owned(),
        },
        ..host.clone()
    }
}

/// The host as it is without its service, which failed with `failure`.
pub fn without_service(host: &Host, failure: &str) -> Host {
    let missing = Support::Missing {
        evidence: failure.to_owned(),
        remedy: "`keyblind host status` says more".to_owned(),
    };
    Host {
        kernel_programs: missing.clone(),
        scopes: missing.clone(),
        scope_addresses: missing,
        ..host.clone()
    }
}

/// The host as it is after it refused, with `failure`, programs that guard addresses.
pub fn without_address_programs(host: &Host, failure: &str) -> Host {
    Host {
        address_programs: Support::Missing {
            evidence: failure.to_owned(),
            remedy: "--net loopback or none, where a network namespace can be had".to_owned(),
        },
        ..host.clone()
    }
}

/// Whether the layer is on in this plan.
pub fn is_on(plan: &Plan, layer: Layer) -> bool {
    plan.layers.iter().any(|state| state.layer == layer && matches!(state.state, State::On { .. }))
}

#[cfg(test)]
mod tests;
