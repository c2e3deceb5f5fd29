//! A plan in words: `run --dry-run`.

use std::fmt;

use super::{Coverage, Plan, State};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "tier       {}", self.tier.name())?;
        writeln!(f, "project    {}", self.project.display())?;
        for layer in &self.layers {
            match &layer.state {
                State::On { detail } => writeln!(f, "layer      {:<16} on   {detail}", layer.layer.name())?,
                State::Off { why } => writeln!(f, "layer      {:<16} off  {why}", layer.layer.name())?,
            }
        }
        for (path, rights) in &self.grants {
            writeln!(f, "grant      {} {}", words(*rights), path.display())?;
        }
        for tripwire in &self.tripwires {
            let how = match tripwire.coverage {
                Coverage::Absent => "absent ",
                Coverage::Covered => "covered",
            };
            writeln!(f, "guard      {how} {} ({})", tripwire.path.display(), tripwire.guard)?;
        }
        for missing in &self.not_enforced {
            writeln!(f, "missing    {missing}")?;
        }
        for (resource, limit) in &self.limits {
            writeln!(f, "limit      {} {limit}", resource_name(*resource))?;
        }
        if let Some(timeout) = self.timeout {
            writeln!(f, "limit      time {timeout:?}")?;
        }
        Ok(())
    }
}

/// Read, write, execute, as ls(1) would; `-` where Landlock grants none of the kind.
fn words(rights: u64) -> String {
    // linux/landlock.h: execute 0, write 1, read file 2, read directory 3, then making and removing.
    let has = |bits: u64, letter: char| if rights & bits != 0 { letter } else { '-' };
    [has(0b1100, 'r'), has(0xfff2 & !0b1101, 'w'), has(0b1, 'x')].iter().collect()
}

fn resource_name(resource: u32) -> &'static str {
    match resource {
        libc::RLIMIT_NPROC => "processes",
        libc::RLIMIT_NOFILE => "open_files",
        libc::RLIMIT_CORE => "core",
        libc::RLIMIT_AS => "memory",
        libc::RLIMIT_CPU => "cpu",
        _ => "other",
    }
}
