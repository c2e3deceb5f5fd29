//! `cargo xtask vm --self-test`: a guest that panics and one that hangs must both be noticed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::boot::{self, Boot, Verdict};
use super::kernels::{self, Kernel};
use super::{image, ring};
use crate::shell::{self, Result};

/// Both guests together must be noticed within a minute; a boot takes a few seconds.
const HANG: Duration = Duration::from_secs(30);

/// What each guest does instead of ending. The second stops what would notice it from inside.
const GUESTS: &[(&str, &str)] = &[
    ("a guest that panics", "echo about to panic; echo c > /proc/sysrq-trigger"),
    ("a guest that hangs", "echo about to hang; trap '' HUP INT TERM; while :; do busybox sleep 1000; done"),
];

/// Status 1, which is what a ring in such a guest ends with, if both were noticed; 2 if one passed for well.
pub(super) fn main() -> Result<ExitCode> {
    let top = super::top()?;
    let kernel = kernels::get(&top, Kernel::V6_12)?;
    let disk = image::get(&top, &[])?;
    let mut noticed = true;
    for (name, job) in GUESTS {
        let boot = Boot {
            name: (*name).to_owned(),
            kernel: &kernel,
            disk: &disk,
            job: (*job).to_owned(),
            bpf: true,
            count: false,
            limit: HANG,
        };
        let start = Instant::now();
        let ended = boot.run(&mut boot::show)?;
        let reached = ended.output.contains("about to");
        noticed &= reached && matches!(ended.verdict, Verdict::None(_));
        ring::report(&boot.name, &ended);
        shell::say(format_args!("vm: {name}: noticed after {} s", start.elapsed().as_secs()));
    }
    Ok(ExitCode::from(if noticed { 1 } else { 2 }))
}
