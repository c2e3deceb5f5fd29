//! Every row in the tier `kernel`. That takes a kernel that has BPF-LSM, so `cargo xtask vm` runs this in its guests, apart
//! from the other tiers: while the host service is there, every run is guarded by its programs.

use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, Stdio};

use keyblind_tests::{Tier, binary};

use super::SECTIONS;

/// `keyblind host up`, until it is dropped.
struct Service(Child);

impl Service {
    /// `None` where this is no guest with BPF-LSM.
    fn up() -> Option<Self> {
        if std::env::var("KEYBLIND_BPF").as_deref() != Ok("1") {
            return None;
        }
        let mut command = Command::new(binary());
        let mut child = command.args(["host", "up"]).stderr(Stdio::piped()).spawn().expect("the service");
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let enforces = lines.by_ref().map_while(Result::ok).find(|line| {
            said += line;
            line.contains("enforces")
        });
        let enforces = enforces.unwrap_or_else(|| panic!("no service: {said}"));
        assert!(enforces.contains("files and processes (BPF-LSM)"), "{enforces}");
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self(child))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let down = Command::new(binary()).args(["host", "down", "--end-runs"]).status();
        assert!(down.is_ok_and(|status| status.success()) || std::thread::panicking(), "the service ends");
        drop(self.0.wait());
    }
}

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
