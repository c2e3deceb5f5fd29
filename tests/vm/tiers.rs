//! Each tier on this kernel: what doctor says of it, and what a run holds.

use keyblind_tests::{Run, Site, Tier};

const TIERS: [Tier; 3] = [Tier::Mount, Tier::User, Tier::InPlace];

#[test]
fn a_guarded_file_is_refused_in_every_tier() {
    for tier in TIERS {
        let site = Site::new();
        let secret = site.home().join(".aws/credentials");
        let bare = site.run(Run::new(Tier::Bare, ["/bin/cat".into(), secret.clone()]));
        assert!(site.canary(".aws/credentials").is_in(&bare.stdout), "{bare}");
        let outcome = site.run(Run::new(tier, ["/bin/cat".into(), secret]));
        outcome.assert_supervised().assert_code(1).assert_clean(&site);
        assert!(outcome.stdout.is_empty(), "{outcome}");
    }
}
