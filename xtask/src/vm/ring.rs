//! The ring: which guests to boot, and the tests in each.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::boot::{self, Boot, Ended, Verdict};
use super::image::{self, Program};
use super::kernels::{self, Kernel};
use super::{Choice, artifacts, job};
use crate::shell::{self, Error, Result};

/// The kernel that is booted a second time, without `bpf`.
const WITHOUT_BPF: Kernel = Kernel::V6_12;

/// One guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guest {
    pub(super) kernel: Kernel,
    pub(super) bpf: bool,
}

impl Guest {
    /// As it is said.
    pub(super) fn name(self) -> String {
        format!("Linux {}{}", self.kernel.series(), if self.bpf { "" } else { " without bpf" })
    }
}

/// What came of the boots together.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    /// All that the tests wrote.
    pub(crate) output: String,
    /// Each test that could not run in a guest, and why.
    pub(crate) skips: Vec<String>,
    /// A guest gave no verdict, or its job failed.
    pub(crate) broken: bool,
}

/// Each kernel boots once and runs all its tests.
pub(super) fn boots(choice: Choice, no_bpf: bool) -> Vec<Guest> {
    let one = |kernel, bpf| Guest { kernel, bpf };
    match (choice, no_bpf) {
        (Choice::V6_1, _) => vec![one(Kernel::V6_1, !no_bpf)],
        (Choice::V6_12, _) => vec![one(Kernel::V6_12, !no_bpf)],
        (Choice::V7_2, _) => vec![one(Kernel::V7_2, !no_bpf)],
        (Choice::All, true) => vec![one(WITHOUT_BPF, false)],
        (Choice::All, false) => {
            Kernel::ALL.iter().map(|kernel| one(*kernel, true)).chain([one(WITHOUT_BPF, false)]).collect()
        }
    }
}

/// Every guest of the ring, for `cargo xtask test`.
pub(crate) fn ring(filter: Option<&str>, binary: &Path) -> Result<Tried> {
    tests(&boots(Choice::All, false), filter, binary)
}

/// Runs the tests whose names contain `filter` in each guest.
pub(super) fn tests(guests: &[Guest], filter: Option<&str>, binary: &Path) -> Result<Tried> {
    let mut programs = artifacts::tests(&job::targets())?;
    programs.push(Program { from: binary.to_path_buf(), to: artifacts::in_guest("bin", "keyblind") });
    run(guests, &programs, |guest| job::script(guest, filter))
}

/// Runs a line of sh(1) in each guest, with `add` and nothing else of ours but the product if it is built.
pub(super) fn script(guests: &[Guest], script: &str, add: &[PathBuf]) -> Result<Tried> {
    let mut programs = Vec::new();
    for from in add {
        let name = from.file_name().ok_or_else(|| Error::Said(format!("{}: not a file", from.display())))?;
        programs
            .push(Program { from: from.clone(), to: format!("{}/added/{}", image::HOME, name.display()) });
    }
    let binary = shell::target_dir()?.join("release/keyblind");
    if binary.exists() {
        programs.push(Program { from: binary, to: artifacts::in_guest("bin", "keyblind") });
    }
    run(guests, &programs, |_| format!("{script}\n"))
}

fn run(guests: &[Guest], programs: &[Program], script: impl Fn(Guest) -> String) -> Result<Tried> {
    let top = super::top()?;
    let disk = image::get(&top, programs)?;
    let mut tried = Tried::default();
    for guest in guests {
        let kernel = kernels::get(&top, guest.kernel)?;
        let boot = Boot {
            name: guest.name(),
            kernel: &kernel,
            disk: &disk,
            job: script(*guest),
            bpf: guest.bpf,
            count: false,
            limit: super::LIMIT,
        };
        shell::say(format_args!("vm: booting {}", boot.name));
        let start = Instant::now();
        let ended = boot.run(&mut boot::show)?;
        report(&boot.name, &ended);
        shell::say(format_args!("vm: {} took {} s", boot.name, start.elapsed().as_secs()));
        tried.broken |= ended.verdict != Verdict::Passed;
        tried.skips.extend(job::skips(&ended.output).map(|skip| format!("{}: {skip}", boot.name)));
        tried.output += &ended.output;
    }
    Ok(tried)
}

/// Says how a guest ended, and shows the end of its console where that is all there is.
pub(super) fn report(name: &str, ended: &Ended) {
    let why = match &ended.verdict {
        Verdict::Passed => return shell::say(format_args!("vm: {name}: passed")),
        Verdict::Failed => return shell::say(format_args!("vm: {name}: failed; its output stands above")),
        Verdict::None(why) => why,
    };
    shell::say(format_args!("vm: {name}: no verdict: {why}. The last lines of its console:"));
    for line in &ended.console {
        shell::say(format_args!("    {line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kernel_boots_once_and_one_without_bpf() {
        let names: Vec<_> = boots(Choice::All, false).into_iter().map(Guest::name).collect();
        assert_eq!(names, ["Linux 6.1", "Linux 6.12", "Linux 7.2", "Linux 6.12 without bpf"]);
        assert_eq!(boots(Choice::All, true), [Guest { kernel: Kernel::V6_12, bpf: false }]);
        assert_eq!(boots(Choice::V6_1, true), [Guest { kernel: Kernel::V6_1, bpf: false }]);
    }
}
