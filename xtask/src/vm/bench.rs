//! `cargo xtask bench vm`: what kernel programs cost, in guest instructions.

use std::path::Path;
use std::time::Duration;

use super::boot::{Boot, Verdict};
use super::image::{self, Program};
use super::kernels::{self, Kernel};
use super::{artifacts, job, ring};
use crate::shell::{self, Error, Result};

/// The figures are said of the oldest kernel, whose programs are the costliest.
const KERNEL: Kernel = Kernel::V6_1;

/// Counting takes one processor and no parallel translation.
const LIMIT: Duration = Duration::from_secs(420);

/// Boots a guest whose clock counts instructions, and returns the rows it measured, one JSON object a line.
pub(crate) fn rows(binary: &Path) -> Result<String> {
    let top = super::top()?;
    let mut programs = artifacts::tests(&job::targets())?;
    programs.push(Program { from: binary.to_path_buf(), to: artifacts::in_guest("bin", "keyblind") });
    let boot = Boot {
        name: format!("Linux {}, counting instructions", KERNEL.series()),
        kernel: &kernels::get(&top, KERNEL)?,
        disk: &image::get(&top, &programs)?,
        job: format!(
            "export KEYBLIND_BIN={}\nexec {}\n",
            artifacts::in_guest("bin", "keyblind"),
            artifacts::in_guest("bin", "guest-bench")
        ),
        bpf: true,
        count: true,
        limit: LIMIT,
    };
    shell::say(format_args!("vm: booting {}", boot.name));
    let ended = boot.run(&mut |_| {})?;
    if ended.verdict != Verdict::Passed {
        ring::report(&boot.name, &ended);
        return Err(Error::Said(format!("nothing was measured in the guest; it wrote:\n{}", ended.output)));
    }
    Ok(ended.output)
}
