//! Why a run was refused, for the person who reads it.

use std::io;
use std::path::PathBuf;

use keyblind_events::JournalError;
use keyblind_secrets::LockedError;

use crate::guard::AddressError;
use crate::host::PersonError;
use crate::plan::PlanError;
use crate::policy::{LoadError, Loosening};
use crate::registrar::client::ClientError;
use crate::registrar::protocol::MOST_DENIED;
use crate::spawn::{SpawnError, Step, words};

/// keyblind refuses, or failed, before the command was executed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The policy cannot be used.
    #[error("{}", brief(.0))]
    Policy(#[from] LoadError),
    /// Nobody to run as.
    #[error("{0}")]
    Person(#[from] PersonError),
    /// The plan refuses.
    #[error("{0}")]
    Plan(#[from] PlanError),
    /// Events cannot be recorded.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// An option would loosen a policy that the host has locked.
    #[error("{0}")]
    Locked(Loosening),
    /// Secret values cannot be held safely.
    #[error("{0}")]
    Memory(#[from] LockedError),
    /// The command did not start.
    #[error("{0}")]
    Spawn(SpawnError),
    /// Addresses cannot be guarded.
    #[error("{0}")]
    Addresses(#[from] AddressError),
    /// The host service cannot guard the run.
    #[error("{0}")]
    Scope(#[from] ClientError),
    /// One guard cannot be had from kernel programs.
    #[error(
        "guard {guard} ({origin}) cannot be put in force: {why}; mend that, or set tier.layers.bpf_lsm = \"off\""
    )]
    NotGuarded {
        /// The guard.
        guard: String,
        /// Where it was written.
        origin: String,
        /// Why.
        why: String,
    },
    /// More objects than the host service takes for one run.
    #[error("more than 256 guarded objects lie in what the run sees; guard their directories instead")]
    TooManyGuarded,
    /// More addresses than the host service takes for one run.
    #[error("{0} networks are denied, and the host service takes at most {most} from a run; write larger ones", most = MOST_DENIED)]
    TooManyDenied(usize),
    /// The command is not there, or cannot be executed.
    #[error("{command}: {why}")]
    Command {
        /// As typed, escaped.
        command: String,
        /// What is the matter, and what to do.
        why: String,
        /// 126 or 127, as shells say it.
        status: u8,
    },
    /// An option does not make sense here.
    #[error("{option}: {why}")]
    Option {
        /// The option.
        option: String,
        /// What is the matter, and what to do.
        why: String,
    },
    /// The working directory.
    #[error("cannot use the working directory{}; name another with --cwd", unusable(.path, .source))]
    Directory {
        /// The directory, if it has a name.
        path: Option<PathBuf>,
        /// The system's answer.
        source: io::Error,
    },
    /// The home directory is not where its name says.
    #[error("HOME {} is reached through a symbolic link (really {}); set HOME to the real path", .home.display(), .real.display())]
    HomeIsLink {
        /// As given.
        home: PathBuf,
        /// As it is.
        real: PathBuf,
    },
    /// Inside a run already.
    #[error(
        "this is a run already, and a run inside a run is not built yet; start it outside, or run the command itself"
    )]
    Nested,
    /// Something the supervisor needs from the system.
    #[error("cannot {what}: {}", words(.source))]
    System {
        /// What was attempted.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
}

fn brief(error: &LoadError) -> String {
    match error {
        LoadError::Invalid(report) => report.brief().to_string(),
        other => other.to_string(),
    }
}

fn unusable(path: &Option<PathBuf>, source: &io::Error) -> String {
    match path {
        None if source.kind() == io::ErrorKind::NotFound => ": it was removed".to_owned(),
        None => format!(": {}", words(source)),
        Some(path) => format!(" {}: {}", path.display(), words(source)),
    }
}

impl RunError {
    /// keyblind's exit status for it.
    pub fn status(&self) -> u8 {
        match self {
            Self::Command { status, .. } => *status,
            _ => super::REFUSED,
        }
    }

    /// For `map_err` on a call of the system's.
    pub(super) fn system(what: &str) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::System { what: what.to_owned(), source }
    }

    /// A failed start; that of a command which is not there reads like a shell's.
    pub(super) fn spawn(error: SpawnError, command: &str) -> Self {
        if let SpawnError::Child { step, source } = &error
            && step.step == Step::Execute
        {
            let errno = source.raw_os_error().unwrap_or(0);
            let (status, why) = match errno {
                libc::ENOENT => (127, "command not found in the run's PATH and tree".to_owned()),
                libc::EACCES => (126, "not executable, or not readable for the run's user".to_owned()),
                libc::ENOEXEC => (126, "not an executable and not a script".to_owned()),
                libc::E2BIG => (126, "arguments and variables are too long together".to_owned()),
                _ => (126, format!("cannot be executed: {}", words(source))),
            };
            return Self::Command { command: command.to_owned(), why, status };
        }
        Self::Spawn(error)
    }
}
