//! What was counted.

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use aya::programs::ProgramInfo;
use keyblind_abi::{Counter, HOOKS, Hook};

use super::error::KernelError;
use super::index;
use super::maps::{Maps, named};
use super::object::{PROGRAMS, Program};

/// Counts of one hook since the programs were loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookCounters {
    /// The hook.
    pub hook: Hook,
    /// Its name.
    pub name: &'static str,
    /// Questions that an earlier answer did not settle.
    pub asked: u64,
    /// Refusals.
    pub denied: u64,
    /// Reported and passed.
    pub flagged: u64,
    /// Refusals whose record was lost.
    pub lost_denials: u64,
    /// Other records that were lost.
    pub lost_flags: u64,
}

/// All counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// One for each hook.
    pub hooks: Vec<HookCounters>,
    /// Programs that the kernel skipped because they were active already, with how often. Empty is right: a program
    /// that was skipped has guarded nothing.
    pub skipped: Vec<(&'static str, u64)>,
}

impl Counters {
    /// The counts of a hook.
    pub fn of(&self, hook: Hook) -> Option<&HookCounters> {
        self.hooks.iter().find(|counts| counts.hook == hook)
    }
}

pub(super) fn read(maps: &Maps, dir: &Path) -> Result<Counters, KernelError> {
    let mut hooks = Vec::new();
    for (number, (hook, name)) in HOOKS.iter().enumerate() {
        let get = |kind| named("COUNTERS", maps.counters.get(&index(number, kind), 0));
        hooks.push(HookCounters {
            hook: *hook,
            name,
            asked: get(Counter::Asked)?,
            denied: get(Counter::Denied)?,
            flagged: get(Counter::Flagged)?,
            lost_denials: get(Counter::LostDenials)?,
            lost_flags: get(Counter::LostFlags)?,
        });
    }
    let mut skipped = Vec::new();
    for program in PROGRAMS {
        let (path, info) = info(program, dir)?;
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| KernelError::Pin {
            path: path.clone(),
            source,
        };
        let fd = info.fd().map_err(|error| failed(error.into()))?;
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd()))
            .map_err(|error| failed(error.into()))?;
        if let Some(times) = misses(&text).filter(|times| *times != 0) {
            skipped.push((program.name, times));
        }
    }
    Ok(Counters { hooks, skipped })
}

/// How many instructions the verifier processed for each program (since Linux 5.16).
pub(super) fn verified(dir: &Path) -> Result<Vec<(&'static str, u32)>, KernelError> {
    let count = |program: &Program| {
        let (_, info) = info(program, dir)?;
        Ok((program.name, info.verified_instruction_count().unwrap_or(0)))
    };
    PROGRAMS.iter().map(count).collect()
}

/// What the kernel says of a pinned program, and where it is pinned.
fn info(program: &Program, dir: &Path) -> Result<(PathBuf, ProgramInfo), KernelError> {
    let path = dir.join(format!("prog_{}", program.name));
    match ProgramInfo::from_pin(&path) {
        Ok(info) => Ok((path, info)),
        Err(error) => Err(KernelError::Pin { path, source: error.into() }),
    }
}

/// `recursion_misses` of a program's fdinfo (since Linux 5.12).
fn misses(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_programs_are_read_off_fdinfo() {
        assert_eq!(misses("pos:\t0\nprog_type:\t29\nrecursion_misses:\t3\n"), Some(3));
        assert_eq!(misses("pos:\t0\n"), None);
    }
}
