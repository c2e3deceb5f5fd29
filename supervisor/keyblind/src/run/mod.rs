#![forbid(unsafe_code)]
//! `keyblind run`: policy → plan → spawn → guard → streams → redact → events, and the order in which it must
//! happen. The only module that records events.

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use keyblind_events::{CallId, End as EventEnd, Label, RunEnded, RunId, SessionId};

use crate::policy::{Mode, NetworkMode};

mod caller;
mod end;
mod error;
mod materials;
mod record;
mod scope;
mod start;
mod watch;

pub use error::RunError;
pub(crate) use materials::{own_files, planned, whom};
pub(crate) use scope::RunScope;

/// keyblind refused, or failed before the command was executed.
pub const REFUSED: u8 = 125;

/// What the caller asks for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--policy`
    pub policy: Option<PathBuf>,
    /// `--mode`
    pub mode: Option<Mode>,
    /// `--environment`
    pub environment: Option<String>,
    /// `--session`
    pub session: Option<SessionId>,
    /// `--call-id`
    pub call_id: Option<CallId>,
    /// `--label`
    pub labels: Vec<Label>,
    /// `--user`
    pub user: Option<String>,
    /// `--cwd`
    pub cwd: Option<PathBuf>,
    /// `--env`: names kept besides policy's.
    pub env: Vec<String>,
    /// `--redact-env`: names whose values are redacted.
    pub redact_env: Vec<String>,
    /// `--write`
    pub write: Vec<PathBuf>,
    /// `--net`
    pub network: Option<NetworkMode>,
    /// `--pty`
    pub pty: PtyMode,
    /// `--timeout`
    pub timeout: Option<Duration>,
    /// `--events`
    pub events: Option<EventsTo>,
    /// `--json`: the last line on stderr says how the run ended.
    pub json: bool,
    /// `--dry-run`
    pub dry_run: bool,
    /// The command and its arguments.
    pub command: Vec<OsString>,
}

/// Whether the command gets a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PtyMode {
    /// If the caller's stdin and stdout are one.
    #[default]
    Auto,
    /// Always, for all three streams.
    Always,
    /// Never.
    Never,
}

/// Where events go besides the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventsTo {
    /// A file.
    File(PathBuf),
    /// A descriptor of the caller's.
    Descriptor(i32),
}

/// How a run came out.
#[derive(Debug)]
pub struct Outcome {
    /// keyblind's exit status (`docs/exit-codes.md`).
    pub status: u8,
    /// The plan in words, for `--dry-run`.
    pub plan: Option<String>,
    /// How it ended, as recorded.
    pub ended: Option<RunEnded>,
    /// What the caller is told on stderr, one line each.
    pub notes: Vec<String>,
}

/// Runs the command. Call it first thing in the process, on the thread that lives as long as the process.
pub fn run(options: &Options) -> Result<Outcome, RunError> {
    let began = Instant::now();
    let caller = caller::Caller::take(options)?;
    if options.dry_run {
        let journal = record::place(&caller)?.file();
        let materials =
            materials::Materials::gather(options, (&RunId::new(), &SessionId::new()), &journal, caller)?;
        return Ok(Outcome { status: 0, plan: Some(materials.describe()), ended: None, notes: Vec::new() });
    }
    // First of all: a run that is refused is on record, too.
    let mut record = record::Record::open(options, &caller)?;
    let journal = record::place(&caller)?.file();
    let result =
        materials::Materials::gather(options, record.ids(), &journal, caller).and_then(|mut materials| {
            let started = start::start(options, &mut materials, &mut record)?;
            Ok((materials, started))
        });
    match result {
        Ok((materials, started)) => {
            // The process ends with the run: to take policy and plan apart first would only keep the caller waiting.
            let materials = ManuallyDrop::new(materials);
            watch::watch(options, &materials, record, started, began)
        }
        Err(error) => {
            // That the record is incomplete, too, would only hide the cause from the caller.
            record.ended(EventEnd::Refused { reason: error.to_string() }, began.elapsed());
            Err(error)
        }
    }
}
