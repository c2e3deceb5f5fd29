//! Who a process is and where it comes from, as far as procfs still tells.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use keyblind_events::{FileId, Process};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

/// A lineage longer than this is cut: a run can nest as deep as it likes.
const LONGEST_LINEAGE: usize = 32;

/// The process and its ancestors, parent first, up to but without `until` (the run's reaper). What is gone by now is
/// left out.
pub fn lineage(pid: u32, until: u32) -> (Process, Vec<Process>) {
    let (process, mut parent) = process(pid);
    let mut ancestors = Vec::new();
    while let Some(pid) = parent.filter(|pid| *pid != until && *pid > 1 && ancestors.len() < LONGEST_LINEAGE)
    {
        let (ancestor, next) = self::process(pid);
        ancestors.push(ancestor);
        parent = next;
    }
    (process, ancestors)
}

/// The process and its parent's pid.
fn process(pid: u32) -> (Process, Option<u32>) {
    let base = PathBuf::from(format!("/proc/{pid}"));
    let mut process = Process::new(pid);
    let mut parent = None;
    if let Ok(stat) = fs::read(base.join("stat")) {
        // The name is in parentheses and may hold some itself; fields are counted from behind it (proc_pid_stat(5)).
        let open = stat.iter().position(|byte| *byte == b'(');
        let close = stat.iter().rposition(|byte| *byte == b')');
        if let (Some(open), Some(close)) = (open, close) {
            process.name = stat.get(open + 1..close).map(|name| OsStr::from_bytes(name).to_owned());
            let rest = String::from_utf8_lossy(stat.get(close + 1..).unwrap_or_default()).into_owned();
            let fields: Vec<&str> = rest.split_whitespace().collect();
            parent = fields.get(1).and_then(|text| text.parse().ok());
            process.start_ticks = fields.get(19).and_then(|text| text.parse().ok());
        }
    }
    process.uid = fs::metadata(&base).ok().map(|metadata| metadata.uid());
    let exe = base.join("exe");
    process.exe = fs::read_link(&exe).ok();
    process.exe_file = fs::metadata(&exe).ok().map(|metadata| file_id(metadata.dev(), metadata.ino()));
    (process, parent)
}

/// Kills and reaps every child of this process but `spared`, until there is none: orphans of theirs come here
/// ([`sys::adopt_orphans`]).
pub fn end_orphans(spared: Option<u32>) {
    let me = std::process::id();
    loop {
        let children: Vec<u32> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| Some(*pid) != spared && process(*pid).1 == Some(me))
            .collect();
        if children.is_empty() {
            return;
        }
        for pid in children {
            let pid = Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX));
            // It may have ended by itself; what counts is that it is waited for.
            let _may_be_gone = kill(pid, Signal::SIGKILL);
            let _reaped = waitpid(pid, None);
        }
    }
}

/// A file's identity from what stat(2) says.
pub fn file_id(device: u64, inode: u64) -> FileId {
    FileId { major: libc::major(device), minor: libc::minor(device), inode, generation: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_knows_itself() {
        let (me, ancestors) = lineage(std::process::id(), 0);
        assert_eq!(me.pid, std::process::id());
        assert!(me.start_ticks.is_some_and(|ticks| ticks > 0));
        assert_eq!(me.exe, std::env::current_exe().ok());
        assert_eq!(ancestors.first().map(|parent| parent.pid), Some(std::os::unix::process::parent_id()));
    }

    #[test]
    fn a_process_that_is_gone_has_nothing_but_its_number() {
        let (gone, ancestors) = lineage(u32::MAX / 2, 0);
        assert_eq!((gone, ancestors), (Process::new(u32::MAX / 2), Vec::new()));
    }
}
