#![forbid(unsafe_code)]
//! What came of a run, and what must be true of it.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::site::Site;
use crate::start::Tier;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    pub tier: Tier,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub status: ExitStatus,
    /// Where the events of a supervised run are.
    pub log: PathBuf,
}

/// A run that has not ended by then never will: the test fails instead of the machine standing still.
const LONGEST: Duration = Duration::from_secs(180);

/// Waits for the end of `child`, whose stdout and stderr are pipes.
pub(crate) fn collect(mut child: Child, tier: Tier, events: &Path) -> Outcome {
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    let (ended, end) = mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if end.recv_timeout(LONGEST) == Err(mpsc::RecvTimeoutError::Timeout) {
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).ok();
        }
    });
    let status = child.wait().expect("the command can be waited for");
    let outcome = Outcome {
        tier,
        stdout: stdout.join().expect("the thread that reads stdout"),
        stderr: stderr.join().expect("the thread that reads stderr"),
        status,
        log: events.to_owned(),
    };
    drop(ended);
    guard.join().expect("the thread that watches the time");
    outcome
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    let mut pipe = pipe.expect("the stream is a pipe");
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("the stream can be read");
        bytes
    })
}

/// The status as a shell shows it.
pub(crate) fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

impl Outcome {
    /// stdout and stderr, as far as they are text.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(&self.stderr))
    }

    /// The status as a shell shows it: 128+n for a signal.
    #[must_use]
    pub fn code(&self) -> i32 {
        code(self.status)
    }

    /// The events of a supervised run, in order.
    ///
    /// # Panics
    /// If the log is missing or a line is not JSON.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log)
            .unwrap_or_else(|error| panic!("{}: {error}\n{self}", self.log.display()));
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
            .collect()
    }

    /// The events whose `kind` is this.
    #[must_use]
    pub fn events_of(&self, kind: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["kind"] == kind).collect()
    }

    /// The command ran, and in the tier that was asked for: a refusal to start holds every attack.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    pub fn assert_supervised(&self) -> &Self {
        let started = self.events_of("run.started");
        let tiers: Vec<_> = started.iter().filter_map(|event| event["tier"].as_str()).collect();
        assert_eq!(tiers, [self.tier.name()], "{self}");
        assert_eq!(self.events_of("run.ended").len(), 1, "{self}");
        self
    }

    /// Ends with this status.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code(), code, "{self}");
        self
    }

    /// No piece of a canary is in stdout, stderr, the events or any file that was not planted.
    ///
    /// # Panics
    /// If one is.
    #[track_caller]
    pub fn assert_clean(&self, site: &Site) -> &Self {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let finder = site.finder();
        for (place, bytes) in [("stdout", &self.stdout), ("stderr", &self.stderr), ("the events", &log)] {
            if finder.is_in(bytes) {
                let names: Vec<_> =
                    site.canaries().filter(|canary| canary.is_in(bytes)).map(|canary| canary.name).collect();
                panic!("{names:?} leaked into {place}\n{self}");
            }
        }
        let files = site.leaked_files();
        assert!(files.is_empty(), "a canary leaked into {files:?}\n{self}");
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const MOST: usize = 4000;
        let cut = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]).into_owned();
        writeln!(f, "{}, {}", self.tier.name(), self.status)?;
        writeln!(f, "-- stdout ({} bytes)\n{}", self.stdout.len(), cut(&self.stdout))?;
        write!(f, "-- stderr ({} bytes)\n{}", self.stderr.len(), cut(&self.stderr))
    }
}
