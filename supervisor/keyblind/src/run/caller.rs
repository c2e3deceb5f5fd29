//! What keyblind takes over from its caller, and what it hides of itself while it does.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use keyblind_secrets::Locked;
use nix::sys::stat::{Mode, umask};

use super::{Options, RunError};
use crate::sys;

/// The caller's circumstances.
#[derive(Debug)]
pub(super) struct Caller {
    /// Its variables. Values are moved out once it is known which of them are secret.
    pub(super) variables: Vec<(OsString, OsString)>,
    /// Its working directory, or `--cwd`: real and absolute.
    pub(super) directory: PathBuf,
    /// Its file mode creation mask.
    pub(super) umask: u32,
    /// Its signal mask.
    pub(super) signal_mask: libc::sigset_t,
}

impl Caller {
    /// Hardens this process, then reads the variables and wipes the block in which /proc/PID/environ shows them.
    pub(super) fn take(options: &Options) -> Result<Self, RunError> {
        sys::harden().map_err(RunError::system("make this process undumpable"))?;
        // Its record would go with the outer run's private home, unseen. That an agent could hide the signs changes
        // nothing: the outer run's confinement stays.
        if is_reaper("/proc/1/comm")
            || is_reaper(&format!("/proc/{}/comm", std::os::unix::process::parent_id()))
        {
            return Err(RunError::Nested);
        }
        let variables: Vec<(OsString, OsString)> = env::vars_os().collect();
        sys::overwrite_environment().map_err(RunError::system("wipe this process's own variables"))?;
        let mask = umask(Mode::from_bits_truncate(0o077));
        let directory = match &options.cwd {
            Some(path) => fs::canonicalize(path)
                .and_then(|real| {
                    if real.is_dir() { Ok(real) } else { Err(std::io::ErrorKind::NotADirectory.into()) }
                })
                .map_err(|source| RunError::Directory { path: Some(path.clone()), source })?,
            // /proc/self/cwd of a directory that was removed reads "… (deleted)"; getcwd(2) says ENOENT.
            None => env::current_dir()
                .and_then(fs::canonicalize)
                .map_err(|source| RunError::Directory { path: None, source })?,
        };
        Ok(Self { variables, directory, umask: mask.bits(), signal_mask: sys::signal_mask() })
    }

    /// The value of a variable.
    pub(super) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_os_str())
    }
}

/// Whether the process is the reaper of a run (`reaper/main.rs`; the kernel keeps 15 bytes of a name).
fn is_reaper(comm: &str) -> bool {
    fs::read(comm).is_ok_and(|name| name.starts_with(b"keyblind-reaper"))
}

/// Overwrites values that are no longer needed.
pub(super) fn wipe(values: impl IntoIterator<Item = OsString>) {
    for value in values {
        Locked::wipe(&mut value.into_vec());
    }
}

/// The home directory as its real path; a link is refused, since what is mounted over it would be somewhere else.
pub(super) fn real_home(home: &Path) -> Result<PathBuf, RunError> {
    match fs::canonicalize(home) {
        Ok(real) if real != home => Err(RunError::HomeIsLink { home: home.to_owned(), real }),
        // A home that does not exist is as private as any.
        Ok(_) | Err(_) => Ok(home.to_owned()),
    }
}
