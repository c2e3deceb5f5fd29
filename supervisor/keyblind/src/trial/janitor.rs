//! The process that removes a place of fakes should the one that made it be killed.
//!
//! `spawn::Sweeper` gives its capabilities up, and so cannot remove what root gave to another user.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// It waits for the end of its stdin.
#[derive(Debug)]
pub(crate) struct Janitor {
    child: Child,
}

impl Janitor {
    /// Starts it, before `place` is made. What is in `place` then belongs to it.
    pub(super) fn start(place: &Path) -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.args([OsStr::new("doctor"), OsStr::new("--sweep"), place.as_os_str()]).current_dir("/");
        // A group of its own: a Ctrl-C at the terminal is not for it.
        command.env_clear().process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
        Ok(Self { child: command.spawn()? })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // A wait that fails leaves nothing to do.
        drop(self.child.wait());
    }
}

/// What it does: when nobody writes to its stdin any more, `place` goes, if it is one.
pub(crate) fn sweep(place: &Path) {
    let ours =
        place.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(super::place::PREFIX));
    let mut end = Vec::new();
    if io::stdin().read_to_end(&mut end).is_err() || !ours {
        return;
    }
    // A command that outlives this process's maker for a moment may write another file meanwhile.
    for _ in 0..100 {
        match fs::remove_dir_all(place) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}
