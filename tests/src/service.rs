#![forbid(unsafe_code)]
//! The host service with kernel programs, as guests have it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::start::binary;

/// `keyblind host up` at its usual place, until it is dropped. While it is there, every run on the machine is guarded by
/// its programs.
#[derive(Debug)]
pub struct Service(Option<Child>);

impl Service {
    /// Starts it. `None` where this is no guest with BPF-LSM, which `cargo xtask vm` says.
    ///
    /// # Panics
    /// If it does not enforce there.
    #[must_use]
    pub fn up() -> Option<Self> {
        if std::env::var("KEYBLIND_BPF").as_deref() != Ok("1") {
            return None;
        }
        let mut command = Command::new(binary());
        let mut child = command.args(["host", "up"]).stderr(Stdio::piped()).spawn().expect("the service");
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let enforces = lines.by_ref().map_while(Result::ok).find(|line| {
            said += line;
            line.contains("enforces")
        });
        let enforces = enforces.unwrap_or_else(|| panic!("no service: {said}"));
        assert!(enforces.contains("files and processes (BPF-LSM)"), "{enforces}");
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self(Some(child)))
    }

    /// SIGKILL.
    ///
    /// # Panics
    /// If it is gone already.
    pub fn killed(mut self) {
        let mut child = self.0.take().expect("the service");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
        kill(pid, Signal::SIGKILL).expect("the service is there");
        child.wait().expect("its end");
    }

    /// What it says of itself.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn status(&self) -> serde_json::Value {
        let output = Command::new(binary()).args(["host", "status", "--json"]).output().expect("the status");
        serde_json::from_slice(&output.stdout).expect("an object")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let down = Command::new(binary()).args(["host", "down", "--end-runs"]).status();
            assert!(
                down.is_ok_and(|status| status.success()) || std::thread::panicking(),
                "the service ends"
            );
            drop(child.wait());
        }
    }
}
