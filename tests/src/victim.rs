#![forbid(unsafe_code)]
//! A process of the host, outside every run, that holds a canary wherever a process can hold one.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::site::Site;
use crate::start::Tier;

/// Runs until it is dropped.
#[derive(Debug)]
pub struct Victim {
    child: Child,
    /// Its process id in the host's PID namespace.
    pub pid: u32,
    /// Where its copy of the canary stands in memory.
    pub address: u64,
    /// Its descriptor of a memory file that holds the canary.
    pub fd: i32,
}

impl Victim {
    /// Starts it as the user whom the runs have, with the canary in its variables, arguments, memory and a memory
    /// file. It holds abstract and path sockets, a System V segment and a key as well: see `victim.rs`.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(site: &Site) -> Self {
        let canary = &site.host;
        let mut command = Command::new(site.bin().join("victim"));
        command
            .arg(&canary.value)
            .arg(site.root().join("log/victim.sock"))
            .env_clear()
            .env("VICTIM", &canary.value);
        command.current_dir(site.root().join("log")).stdin(Stdio::piped()).stdout(Stdio::piped());
        Tier::Bare.become_agent(&mut command);
        let mut child = command.spawn().expect("the victim starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("the victim says where it is");
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, fd] = words.as_slice() else { panic!("the victim said {line:?}") };
        let pid = child.id();
        Self {
            child,
            pid,
            address: address.parse().expect("an address"),
            fd: fd.parse().expect("a descriptor"),
        }
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// If it cannot be asked for.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().expect("the victim can be waited for").is_none()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Its stdin is its life line; closing it is enough, and waiting leaves no zombie.
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}
