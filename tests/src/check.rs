#![forbid(unsafe_code)]
//! Anything else that must hold in each tier.

use crate::require::{Feature, absent, skip};
use crate::start::Tier;

/// A test of its own making, run once per tier.
#[derive(Debug)]
pub struct Check {
    needs: &'static [Feature],
    body: fn(Tier),
}

impl Check {
    /// `body` panics where something does not hold; it is skipped where the machine lacks one of `needs`.
    #[must_use]
    pub fn new(needs: &'static [Feature], body: fn(Tier)) -> Self {
        Self { needs, body }
    }

    /// Runs it for one tier.
    pub fn check(&self, tier: Tier) {
        if can_run(self.needs, tier) {
            (self.body)(tier);
        }
    }
}

/// Whether the machine has what `tier` needs and `needs`; if not, the skip is said.
pub(crate) fn can_run(needs: &[Feature], tier: Tier) -> bool {
    for feature in needs.iter().copied().chain(tier.needs()) {
        if let Some(reason) = absent(feature) {
            skip(feature, &reason);
            return false;
        }
    }
    true
}
