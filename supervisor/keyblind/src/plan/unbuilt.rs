//! What policy asks for and this build has no mechanism for. From an operator it stops the run: it must not look as
//! if it worked. From the built-in default it is named in the run's first event.

use super::{NotEnforced, PlanError};
use crate::policy::{FeatureKind, Origin, Policy, Tier};

/// What is missing on `base`; an error for what an operator asked for. `programs` are, where kernel programs guard, what
/// they do not: by the guard's place in the policy, and why.
pub(super) fn check(
    policy: &Policy,
    base: Tier,
    addresses_limited: bool,
    programs: Option<&[(usize, &'static str)]>,
) -> Result<Vec<NotEnforced>, PlanError> {
    let mut wanted: Vec<(String, Origin)> = Vec::new();
    let mut missing: Vec<(&'static str, Vec<String>)> = Vec::new();
    for feature in policy.features() {
        let by_path = feature.guard.is_some_and(|guard| guard.name.is_empty());
        let Some(why) = why(feature.kind, by_path, base, addresses_limited, programs.is_some()) else {
            continue;
        };
        let covered = why == COVERED;
        if !feature.origin.is_built_in() && !covered {
            wanted.push((feature.to_string(), feature.origin.into_owned()));
            continue;
        }
        let what = feature.guard.map_or_else(|| feature.to_string(), |guard| guard.id.value.clone());
        name(&mut missing, why, what);
    }
    for (place, why) in programs.unwrap_or_default() {
        let Some(guard) = policy.guards.get(*place) else { continue };
        if guard.origin().is_built_in() {
            name(&mut missing, why, guard.id.value.clone());
        } else {
            wanted.push((format!("guard `{}`: {why}", guard.id.value), guard.origin().clone()));
        }
    }
    if !wanted.is_empty() {
        return Err(PlanError::NotBuilt { wanted });
    }
    let missing = missing.into_iter();
    let missing = missing.map(|(why, list)| NotEnforced { what: list.join(", "), why: why.to_owned() });
    Ok(missing.collect())
}

/// Adds `what` to those that are missing for the same reason.
fn name(missing: &mut Vec<(&'static str, Vec<String>)>, why: &'static str, what: String) {
    match missing.iter_mut().find(|(have, _)| *have == why) {
        Some((_, list)) if list.contains(&what) => {}
        Some((_, list)) => list.push(what),
        None => missing.push((why, vec![what])),
    }
}

const COVERED: &str = "an empty object is mounted over what exists at the start; not over other links to it, and not \
                       again when the host replaces the file";

/// Why the mechanism is not there; `None` where it is, or where what happens instead is stricter.
fn why(
    kind: FeatureKind,
    by_path: bool,
    base: Tier,
    addresses_limited: bool,
    programs: bool,
) -> Option<&'static str> {
    use FeatureKind as Kind;
    Some(match kind {
        // The kernel goes by the object and by the name, whenever it comes.
        Kind::GuardInside | Kind::LateNames | Kind::GuardWrite if programs => return None,
        Kind::GuardFlag | Kind::GuardAllow if programs && !by_path => return None,
        Kind::GuardInside if by_path && base != Tier::InPlace => COVERED,
        Kind::GuardInside | Kind::LateNames => {
            "guarded names inside granted trees need the opener, which is not built yet, or kernel programs"
        }
        Kind::GuardWrite => "write guards need the opener, which is not built yet, or kernel programs",
        Kind::GuardKeys => "keys of a file that may change otherwise need the opener, which is not built yet",
        Kind::GuardNeedles => "values inside guarded files are not yet looked for in the output",
        // Refused altogether.
        Kind::GuardMask | Kind::GuardHide => return None,
        Kind::GuardFlag | Kind::GuardAllow => "a guarded object is refused or absent, whatever its action",
        Kind::Hint => "a refusal is not yet explained on the command's stderr",
        Kind::NetworkDeny if addresses_limited => return None,
        Kind::NetworkDeny => {
            "addresses are limited by programs at the run's cgroup, which this run does not have"
        }
        Kind::SocketSign => "the agent's socket is absent; signing through it is not built yet",
        Kind::SocketAllow | Kind::Devices => {
            "sockets and devices of the host are absent; letting some in is not built yet"
        }
        Kind::RedactJsonl => "streams are redacted as text",
        Kind::RedactRule => "operators' rules are not yet applied",
        Kind::WrittenFiles => "files that a run wrote are not yet scanned",
        Kind::EventsAlso => "events go to the journal file and to --events only",
        Kind::OnDenied => "a run goes on after a refusal",
        Kind::Environment | Kind::Secret | Kind::Tool => "secrets are not yet delivered to anybody",
    })
}
