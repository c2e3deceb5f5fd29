//! Begin and end of a run.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::Process;

/// A run is about to execute its command: what it is, and what holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunStarted {
    /// The command and its arguments, as redacted by the supervisor.
    pub command: Vec<OsString>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Whom it runs as.
    pub user: User,
    /// Each layer, on or off, and why.
    pub layers: Vec<LayerState>,
    /// Where policy came from.
    pub policy: PolicySource,
    /// Hash of the policy as resolved.
    pub policy_sha256: Option<super::Sha256>,
    /// `development`, `staging`, `production`, …
    pub environment: Option<String>,
    /// Promises that this run does not keep, in plain words.
    pub not_enforced: Vec<String>,
    /// What an ordinary process would have and this run has not, in plain words: `docker: by policy`.
    pub absent: Vec<String>,
    /// keyblind's own version.
    pub version: String,
    /// `uname -r`.
    pub kernel: Option<String>,
}

/// A user, as the initial user namespace knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Login name, if the id has one.
    pub name: Option<String>,
}

/// One layer at the start of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerState {
    /// Its name in policy: `seccomp`, `bpf_lsm`, …
    pub layer: String,
    /// Whether it is in force.
    pub on: bool,
    /// The evidence when on, the reason when off.
    pub why: Option<String>,
}

/// Where a policy came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// The one in the binary, by name: `default`.
    BuiltIn(String),
    /// A file.
    File(PathBuf),
}

/// A run ended, or never began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEnded {
    /// How.
    pub end: End,
    /// From the start of the supervisor's work on the run to now.
    pub duration: Duration,
    /// What was counted.
    pub tally: Tally,
    /// Descendants that were still there and were killed; perhaps fewer than [`Tally::killed`].
    pub killed: Vec<Process>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Finished(Status),
    /// Stopped by the supervisor: time limit, `on_denied`, its own end.
    Stopped {
        /// In plain words: `timeout 30s`, `denied aws.credentials`.
        reason: String,
        /// How the command then ended, if it had begun.
        status: Option<Status>,
    },
    /// Never executed.
    Refused {
        /// The message that the caller got.
        reason: String,
    },
}

/// A process's last word, as of wait(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `exit(code)`, 0 to 255.
    Exited(u8),
    /// Died of the signal of this number.
    Signaled(i32),
}

/// What was counted over a run. Counts are exact even where events were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Accesses refused.
    pub denied: u64,
    /// Accesses flagged.
    pub flagged: u64,
    /// Accesses answered with a marked copy.
    pub masked: u64,
    /// Marks put into output.
    pub redacted: u64,
    /// Events whose body was lost.
    pub lost: u64,
    /// Descendants killed at the end.
    pub killed: u64,
}
