//! The host service, with real clients of real users.

mod clients;
mod endings;
mod lies;
mod place;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use keyblind_tests::raw::pidfd;
use keyblind_tests::{Site, binary};
use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Where the service keeps what it has made.
const STATE: &str = "/run/keyblind";
/// The ordinary user of the tests, and another one.
const USER: u32 = 1000;
const OTHER: u32 = 1001;
/// How long anything may take.
const LONG: u16 = 30_000;

/// A machine with one host service at a time: tests that start one wait for each other, also those of another checkout.
struct Machine {
    site: Site,
    socket: PathBuf,
    _alone: Flock<File>,
}

impl Machine {
    fn new() -> Self {
        let file = File::create("/run/keyblind-tests.lock").expect("a lock of the tests");
        let alone = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno).expect("the lock");
        let site = Site::new();
        site.add_helper("host-client");
        let place = site.root().join("host");
        fs::create_dir(&place).expect("a directory for the socket");
        let machine = Self { site, socket: place.join("host.sock"), _alone: alone };
        // What a test that failed has left is not this one's.
        let mut service = machine.up(&[]);
        assert!(machine.keyblind(&["down", "--end-runs"]).status.success());
        service.ended();
        machine
    }

    /// Starts the service, and returns when it says that it is ready.
    fn up(&self, options: &[&str]) -> Service {
        self.start(options).unwrap_or_else(|refused| panic!("{refused:?}"))
    }

    /// As `up`; what it said if it did not get ready.
    fn start(&self, options: &[&str]) -> Result<Service, Refused> {
        let notify = self.site.root().join("notify");
        drop(fs::remove_file(&notify));
        let manager = UnixDatagram::bind(&notify).expect("a socket for the service to tell");
        let mut command = Command::new(binary());
        command.args(["host", "up", "--socket"]).arg(&self.socket).args(options);
        command
            .env("NOTIFY_SOCKET", &notify)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().expect("it starts");
        let pidfd = pidfd(child.id()).expect("a pidfd");
        let mut service = Service { child, pidfd, manager };
        if service.hears("READY=1") {
            return Ok(service);
        }
        let (status, said) = service.ended();
        Err(Refused { status, said })
    }

    /// Runs a verb of `keyblind host` to its end, as root.
    fn keyblind(&self, words: &[&str]) -> Output {
        self.keyblind_as(0, words)
    }

    fn keyblind_as(&self, uid: u32, words: &[&str]) -> Output {
        let mut command = Command::new(self.site.bin().join("keyblind"));
        command.arg("host").args(words).arg("--socket").arg(&self.socket).uid(uid).gid(uid);
        command.output().expect("it runs")
    }

    /// What `host status` says.
    fn status(&self, uid: u32) -> Value {
        let output = self.keyblind_as(uid, &["status", "--json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("one JSON object")
    }

    /// Asks for the status until `holds` does.
    fn until(&self, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..10_000 {
            let status = self.status(0);
            if holds(&status) {
                return status;
            }
        }
        panic!("it never holds: {}", self.status(0));
    }

    /// Runs a client to its end: its lines.
    fn client(&self, uid: u32, steps: &[&str]) -> Vec<String> {
        let client = Client::start(self, uid, steps);
        client.end()
    }

    fn client_program(&self) -> PathBuf {
        self.site.project().join("bin/host-client")
    }
}

/// How a service that did not get ready has ended.
#[derive(Debug)]
struct Refused {
    status: Option<i32>,
    said: String,
}

/// A running service.
struct Service {
    child: Child,
    pidfd: OwnedFd,
    manager: UnixDatagram,
}

impl Service {
    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("a signal");
    }

    /// Whether the service manager is told this before the service ends.
    fn hears(&mut self, word: &str) -> bool {
        let mut buffer = [0; 4096];
        loop {
            let mut ready = [
                PollFd::new(self.manager.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN),
            ];
            assert!(poll(&mut ready, PollTimeout::from(LONG)).is_ok_and(|count| count > 0), "it hangs");
            if !ready[0].any().unwrap_or(false) {
                return false;
            }
            let length = self.manager.recv(&mut buffer).expect("a datagram");
            if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == word) {
                return true;
            }
        }
    }

    /// Waits for its end: its status, and what it said on stderr.
    fn ended(&mut self) -> (Option<i32>, String) {
        assert!(over(&self.pidfd), "it does not end");
        let status = self.child.wait().expect("a status");
        let mut text = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            std::io::Read::read_to_string(&mut BufReader::new(stderr), &mut text).expect("stderr");
        }
        (status.code(), text)
    }

    fn killed(mut self) {
        self.signal(Signal::SIGKILL);
        self.ended();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A client that goes on until its stdin is closed, if one of its steps is `hold`.
struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Client {
    fn start(machine: &Machine, uid: u32, steps: &[&str]) -> Self {
        let mut command = Command::new(machine.client_program());
        command.arg(&machine.socket).args(steps).uid(uid).gid(uid).current_dir("/");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a client");
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, stdin, lines }
    }

    /// The next line.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// A client that has begun the run, with a process in its scope, and holds it. The process's id.
    fn with_run(machine: &Machine, uid: u32, run: &str) -> (Self, u32) {
        let mut client = Self::start(machine, uid, &[&format!("begin:{run}"), "child", "hold"]);
        assert_eq!(client.line(), format!("begin:{run}: begun []"));
        let child = client.line();
        let pid = child.strip_prefix("child: ").and_then(|pid| pid.parse().ok());
        assert_eq!(client.line(), "hold: holding");
        (client, pid.unwrap_or_else(|| panic!("{child}")))
    }

    fn kill(mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it ends");
    }

    /// Lets it end: the lines that are left.
    fn end(mut self) -> Vec<String> {
        if let Some(mut stdin) = self.stdin.take() {
            drop(stdin.flush());
        }
        let lines = std::io::BufRead::lines(&mut self.lines).map(|line| line.expect("a line")).collect();
        self.child.wait().expect("it ends");
        lines
    }
}

/// Whether a process ends in time.
fn over(pidfd: &OwnedFd) -> bool {
    let mut ended = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut ended, PollTimeout::from(LONG)).is_ok_and(|count| count > 0)
}

fn is_over(pid: u32) -> bool {
    // A zombie's pidfd is readable; where nothing is left of it there is none.
    pidfd(pid).map_or(true, |pidfd| over(&pidfd))
}

fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The path of a process's cgroup in the v2 hierarchy.
fn cgroup_of(pid: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("a living process");
    text.lines().find_map(|line| line.strip_prefix("0::")).expect("a line of cgroup v2").to_owned()
}

/// The cgroup of all scopes.
fn scopes() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let cgroup2 = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2")).expect("cgroup v2");
    Path::new(cgroup2.split(' ').nth(1).expect("a mount point")).join("keyblind")
}

/// The names in a directory; none if it is not there.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.path().is_dir() || !directory.starts_with("/sys"));
    directories.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The scopes of the tests: those of runs without the service are none of them.
fn open_scopes(prefix: &str) -> BTreeSet<String> {
    names(&scopes()).into_iter().filter(|name| name.starts_with(prefix)).collect()
}
