//! Wish + capability → outcome, layer by layer, and the tier that they add up to.

use super::PlanError;
use crate::host::{Host, Support};
use crate::policy::{Layer, NetworkMode, Policy, Tier, Wish};

/// What became of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerState {
    /// The layer.
    pub layer: Layer,
    /// The outcome.
    pub state: State,
}

/// On, or off and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// In force; with what.
    On {
        /// For example the Landlock ABI.
        detail: String,
    },
    /// Not in force.
    Off {
        /// Policy, or what the host lacks.
        why: String,
    },
}

pub(super) struct Layers {
    pub(super) tier: Tier,
    /// What the run stands on: the tier without kernel programs.
    pub(super) base: Tier,
    pub(super) states: Vec<LayerState>,
    pub(super) cgroup: bool,
}

impl Layers {
    pub(super) fn is_on(&self, layer: Layer) -> bool {
        self.states.iter().any(|state| state.layer == layer && matches!(state.state, State::On { .. }))
    }
}

/// Landlock's first ABI with scopes for signals and abstract sockets (Linux 6.12).
const SCOPES_ABI: u32 = 6;

pub(super) fn decide(policy: &Policy, host: &Host, network: NetworkMode) -> Result<Layers, PlanError> {
    let (base, tier) = tiers(policy, host)?;
    let mut layers = Layers { tier, base, states: Vec::new(), cgroup: false };
    for layer in Layer::ALL {
        let wish = policy.tier.layers.get(layer);
        let support = support(layer, host, base, network, layers.cgroup);
        let state = match (wish.value, &support) {
            (Wish::Off, _) => State::Off { why: format!("off in {}", wish.origin) },
            (Wish::Require | Wish::Prefer, Ok(detail)) => State::On { detail: detail.clone() },
            (Wish::Prefer, Err((evidence, _))) => State::Off { why: evidence.clone() },
            (Wish::Require, Err((evidence, remedy))) => {
                return Err(PlanError::LayerMissing {
                    layer,
                    origin: wish.origin.clone(),
                    evidence: evidence.clone(),
                    remedy: remedy.clone(),
                });
            }
        };
        layers.cgroup |= layer == Layer::Cgroup && matches!(state, State::On { .. });
        layers.states.push(LayerState { layer, state });
    }
    Ok(layers)
}

/// The best tier that the host offers, without kernel programs and with them; without namespaces a run still has Landlock
/// and the filter, and kernel programs do not make up for a PID namespace.
fn tiers(policy: &Policy, host: &Host) -> Result<(Tier, Tier), PlanError> {
    let confined = policy.tier.layers.get(Layer::Confinement).value != Wish::Off;
    let (base, missing) = if host.mounts.is_available() && confined {
        (Tier::Mount, None)
    } else if !host.uid.is_root() && host.user_namespace.is_available() && confined {
        (Tier::User, Some(&host.mounts))
    } else if host.uid.is_root() {
        (Tier::InPlace, Some(&host.mounts))
    } else {
        (Tier::InPlace, Some(&host.user_namespace))
    };
    let programs =
        policy.tier.layers.get(Layer::BpfLsm).value != Wish::Off && host.kernel_programs.is_available();
    let offered = if programs && base != Tier::InPlace { Tier::Kernel } else { base };
    let minimum = &policy.tier.minimum;
    if offered >= minimum.value {
        return Ok((base, offered));
    }
    let (evidence, remedy) = match (minimum.value, missing) {
        (Tier::Kernel, _) if base != Tier::InPlace => missing_programs(host),
        (_, Some(Support::Missing { evidence, remedy })) => (evidence.clone(), remedy.clone()),
        _ => ("tier.layers turns confinement off".to_owned(), "prefer or require it".to_owned()),
    };
    Err(PlanError::TierTooLow {
        minimum: minimum.value,
        offered,
        origin: minimum.origin.clone(),
        evidence,
        remedy,
    })
}

/// Why there are no kernel programs, and what to do.
fn missing_programs(host: &Host) -> (String, String) {
    match &host.kernel_programs {
        Support::Missing { evidence, remedy } => (evidence.clone(), remedy.clone()),
        Support::Available => ("tier.layers turns bpf_lsm off".to_owned(), "prefer or require it".to_owned()),
    }
}

/// What the layer is made of here, or (evidence, remedy).
fn support(
    layer: Layer,
    host: &Host,
    base: Tier,
    network: NetworkMode,
    cgroup: bool,
) -> Result<String, (String, String)> {
    let missing = |evidence: &str, remedy: &str| Err((evidence.to_owned(), remedy.to_owned()));
    let landlock = match host.landlock_abi {
        0 => missing("no Landlock", "a kernel with CONFIG_SECURITY_LANDLOCK=y and landlock in its lsm= list"),
        abi => Ok(format!("Landlock ABI {abi}")),
    };
    match layer {
        Layer::Seccomp => Ok("allow-list, x86_64 only".to_owned()),
        Layer::NoNewPrivs => Ok("set".to_owned()),
        Layer::Confinement => match (base, landlock) {
            (Tier::InPlace, landlock) => landlock,
            (_, Ok(landlock)) => Ok(format!("mount, PID, IPC and UTS namespaces; {landlock}")),
            (_, Err(_)) => Ok("mount, PID, IPC and UTS namespaces; no Landlock".to_owned()),
        },
        Layer::BpfLsm => match &host.kernel_programs {
            Support::Available => Ok("kernel programs of the host service".to_owned()),
            Support::Missing { evidence, remedy } => Err((evidence.clone(), remedy.clone())),
        },
        Layer::Cgroup => match &host.cgroup_support {
            _ if host.scopes.is_available() => Ok("cgroup v2, made by the host service".to_owned()),
            Support::Available => Ok("cgroup v2".to_owned()),
            Support::Missing { evidence, remedy } => Err((evidence.clone(), remedy.clone())),
        },
        Layer::NetworkLimits if network != NetworkMode::Host && base != Tier::InPlace => {
            Ok("own network namespace".to_owned())
        }
        Layer::NetworkLimits => match &host.address_programs {
            Support::Available if cgroup => Ok("programs at the run's cgroup".to_owned()),
            Support::Available => missing(
                "addresses are limited by programs at the run's cgroup, and it has none",
                "the layer `cgroup`, or --net loopback or none, where a network namespace can be had",
            ),
            Support::Missing { .. } if host.scopes.is_available() && host.scope_addresses.is_available() => {
                Ok("programs of the host service at the run's scope".to_owned())
            }
            Support::Missing { evidence, remedy } => Err((evidence.clone(), remedy.clone())),
        },
        Layer::LandlockScopes => match host.landlock_abi {
            abi if abi >= SCOPES_ABI => Ok("signals and abstract sockets".to_owned()),
            abi => missing(&format!("Landlock ABI {abi} has no scopes"), "Linux 6.12 or later"),
        },
    }
}

/// `CLONE_NEW*` of a tier.
pub(super) fn namespaces(base: Tier, network: NetworkMode) -> u64 {
    if base == Tier::InPlace {
        return 0;
    }
    let mut flags = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    if base == Tier::User {
        flags |= libc::CLONE_NEWUSER;
    }
    if network != NetworkMode::Host {
        flags |= libc::CLONE_NEWNET;
    }
    u64::from(flags.unsigned_abs())
}
