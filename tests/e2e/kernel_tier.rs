//! Every attack and every job in the tier `kernel`. That takes a kernel that has BPF-LSM, so `cargo xtask vm` runs this in
//! its guests, apart from the other tiers: while the host service is there, every run is guarded by its programs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use keyblind_tests::{Service, Tier};

use crate::{attacks, jobs};

/// The names of the checks that fail.
fn failing<'a, T>(rows: impl Iterator<Item = &'a (&'a str, fn() -> T)>, check: impl Fn(T)) -> Vec<&'a str>
where
    T: 'a,
{
    let failed = |row: &&(&str, fn() -> T)| catch_unwind(AssertUnwindSafe(|| check(row.1()))).is_err();
    rows.filter(failed).map(|(name, _)| *name).collect()
}

fn every_row(tier: Tier) {
    let Some(_service) = Service::up() else { return };
    let rows = attacks::SECTIONS.iter().flat_map(|(_, rows)| rows.iter());
    let leaking = failing(rows, |attack| attack.check(tier));
    let broken = failing(jobs::ALL.iter().flat_map(|rows| rows.iter()), |job| job.check(tier));
    assert!(leaking.is_empty() && broken.is_empty(), "not held: {leaking:?}; not the same: {broken:?}");
}

#[test]
fn all_is_held_and_all_works_in_a_run_of_roots() {
    every_row(Tier::Kernel);
}

#[test]
fn all_is_held_and_all_works_in_a_run_of_an_ordinary_users() {
    every_row(Tier::KernelByUser);
}
