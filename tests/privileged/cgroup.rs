//! The run's own cgroup, where root starts it.

use keyblind_tests::{Run, Site, Tier, require};

/// Every process of a run is in it from its first instruction on, and with the run it is gone.
#[test]
fn a_run_of_root_has_its_own_cgroup() {
    require!(Root, CgroupV2);
    let site = Site::new();
    let script =
        "for p in 1 $$; do sed -n 's/^0:://p' /proc/$p/cgroup; done; (sed -n 's/^0:://p' /proc/self/cgroup)";
    let outcome = site.run(Run::bash(Tier::Mount, script));
    outcome.assert_code(0).assert_supervised();
    let run = outcome.events()[0]["run"].as_str().expect("an id").to_owned();
    let text = outcome.text();
    assert_eq!(text.lines().count(), 3, "{outcome}");
    assert!(text.lines().all(|line| line.ends_with(&format!("/{run}"))), "{run}: {outcome}");
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
    let top = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"))
        .and_then(|line| line.split(' ').nth(1));
    let inside = text.lines().next().expect("a line").trim_start_matches('/');
    assert!(!std::path::Path::new(top.expect("the hierarchy")).join(inside).exists());
}
