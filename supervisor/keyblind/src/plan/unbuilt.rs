//! What policy asks for and this build has no mechanism for. From an operator it stops the run: it must not look as
//! if it worked. From the built-in default it is named in the run's first event.

use super::{NotEnforced, PlanError};
use crate::policy::{FeatureKind, Origin, Policy, Tier};

/// What is missing in `tier`; an error for what an operator asked for.
pub(super) fn check(
    policy: &Policy,
    tier: Tier,
    addresses_limited: bool,
) -> Result<Vec<NotEnforced>, PlanError> {
    let mut wanted: Vec<(String, Origin)> = Vec::new();
    let mut missing: Vec<(&'static str, Vec<String>)> = Vec::new();
    for feature in policy.features() {
        let by_path = feature.guard.is_some_and(|guard| guard.name.is_empty());
        let Some(why) = why(feature.kind, by_path, tier, addresses_limited) else { continue };
        let covered = why == COVERED;
        if !feature.origin.is_built_in() && !covered {
            wanted.push((feature.to_string(), feature.origin.into_owned()));
            continue;
        }
        let what = feature.guard.map_or_else(|| feature.to_string(), |guard| guard.id.value.clone());
        match missing.iter_mut().find(|(have, _)| *have == why) {
            Some((_, list)) if list.contains(&what) => {}
            Some((_, list)) => list.push(what),
            None => missing.push((why, vec![what])),
        }
    }
    if !wanted.is_empty() {
        return Err(PlanError::NotBuilt { wanted });
    }
    Ok(missing
        .into_iter()
        .map(|(why, list)| NotEnforced { what: list.join(", "), why: why.to_owned() })
        .collect())
}

const COVERED: &str = "an empty object is mounted over what exists at the start; not over other links to it, and not \
                       again when the host replaces the file";

/// Why the mechanism is not there; `None` where it is, or where what happens instead is stricter.
fn why(kind: FeatureKind, by_path: bool, tier: Tier, addresses_limited: bool) -> Option<&'static str> {
    use FeatureKind as Kind;
    Some(match kind {
        Kind::GuardInside if by_path && tier != Tier::InPlace => COVERED,
        Kind::GuardInside | Kind::LateNames => {
            "guarded names inside granted trees need the opener or kernel programs, which no run uses yet"
        }
        Kind::GuardWrite | Kind::GuardKeys => {
            "write guards need the opener or kernel programs, which no run uses yet"
        }
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
