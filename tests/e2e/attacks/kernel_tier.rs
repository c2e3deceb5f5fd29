//! Every row in the tier `kernel`. That takes a kernel that has BPF-LSM, so `cargo xtask vm` runs this in its guests, apart
//! from the other tiers: while the host service is there, every run is guarded by its programs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use keyblind_tests::{Service, Tier};

use super::SECTIONS;

fn every_row(tier: Tier) {
    let Some(_service) = Service::up() else { return };
    let rows = SECTIONS.iter().flat_map(|(_, rows)| rows.iter());
    let failed: Vec<&str> = rows
        .filter(|(_, attack)| catch_unwind(AssertUnwindSafe(|| attack().check(tier))).is_err())
        .map(|(name, _)| *name)
        .collect();
    assert!(failed.is_empty(), "in the tier kernel: {failed:?}");
}

#[test]
fn each_is_held_in_a_run_of_roots() {
    every_row(Tier::Kernel);
}

#[test]
fn each_is_held_in_a_run_of_an_ordinary_users() {
    every_row(Tier::KernelByUser);
}
