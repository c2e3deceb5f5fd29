//! The kernel tier on this guest, one scope in it, and a way to run a script inside.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keyblind::guard::kernel::{
    Guard, How, Kernel, NameGuard, PolicySlot, Reach, Refuses, Report, Reports, Scope,
};

const PINS: &str = "/sys/fs/bpf/keyblind";
const HOME: &str = "/sys/fs/cgroup/keyblind";

/// One writer at a time, as in the product.
static ONE: Mutex<u32> = Mutex::new(0);

pub(crate) struct Bed {
    pub(crate) kernel: Kernel,
    pub(crate) slot: PolicySlot,
    pub(crate) dir: PathBuf,
    pub(crate) cgroup: PathBuf,
    pub(crate) scope: u64,
    pub(crate) reports: Reports,
    kept: Vec<File>,
    _one: MutexGuard<'static, u32>,
}

impl Bed {
    /// A bed, or `None` where the guest was booted without bpf.
    pub(crate) fn new() -> Option<Self> {
        Self::with(0)
    }

    /// The same, whose scope has these flags.
    pub(crate) fn with(flags: u32) -> Option<Self> {
        if !crate::guest::has_bpf() {
            return None;
        }
        let mut one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        *one += 1;
        if !Path::new(HOME).exists() {
            fs::create_dir(HOME).expect("the cgroup of scopes");
        }
        let mut kernel = Kernel::start(Path::new(PINS), Path::new(HOME)).expect("the kernel tier");
        let dir = PathBuf::from(format!("/var/tmp/bed-{one}"));
        fs::create_dir(&dir).expect("a directory");
        let cgroup = Path::new(HOME).join(format!("bed-{one}"));
        fs::create_dir(&cgroup).expect("a cgroup");
        let scope = fs::metadata(&cgroup).expect("a cgroup").ino();
        let slot = PolicySlot::new(*one).expect("a slot");
        let value = Scope { slot: slot.number(), generation: 7, flags, ..Scope::default() };
        kernel.enter_scope(scope, &value).expect("a scope");
        let mut reports = kernel.reports().expect("the rings");
        while reports.next().is_some() {}
        Some(Self { kernel, slot, dir, cgroup, scope, reports, kept: Vec::new(), _one: one })
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(&path, content).expect("a file");
        path
    }

    pub(crate) fn guard(&mut self, path: &Path, reach: Reach, refuses: Refuses) {
        let object = File::open(path).expect("the object");
        let guard = Guard { number: 5, object: object.as_fd(), reach, refuses, how: How::Deny };
        self.kernel.enrol(self.slot, &guard).expect("enrolment");
        self.kept.push(object);
    }

    pub(crate) fn guard_names(&mut self, under: &Path, names: &[&[u8]]) {
        let tree = File::open(under).expect("the tree");
        let guard = NameGuard {
            number: 6,
            under: tree.as_fd(),
            names,
            set: 0,
            refuses: Refuses::Opening,
            how: How::Deny,
        };
        self.kernel.enrol_names(self.slot, &guard).expect("enrolment");
        self.kept.push(tree);
    }

    fn start(&self, program: &str, script: &str, inside: bool) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "read go && exec \"$0\" -c \"$1\" 2>&1", program, script]).current_dir(&self.dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a shell");
        if inside {
            fs::write(self.cgroup.join("cgroup.procs"), child.id().to_string()).expect("the move");
        }
        child.stdin.take().expect("a pipe").write_all(b"go\n").expect("go");
        child
    }

    fn output(child: Child) -> String {
        let output = child.wait_with_output().expect("an end");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a script prints inside the scope.
    pub(crate) fn inside(&self, script: &str) -> String {
        Self::output(self.start("/bin/sh", script, true))
    }

    /// What it prints outside.
    pub(crate) fn outside(&self, script: &str) -> String {
        Self::output(self.start("/bin/sh", script, false))
    }

    pub(crate) fn python(&self, script: &str) -> String {
        Self::output(self.start("python3", script, true))
    }

    pub(crate) fn python_outside(&self, script: &str) -> String {
        Self::output(self.start("python3", script, false))
    }

    /// The reports that are there now.
    pub(crate) fn reported(&mut self) -> Vec<Report> {
        std::iter::from_fn(|| self.reports.next()).collect()
    }

    /// Tries a script that prints `canary` bare, inside.
    #[track_caller]
    pub(crate) fn refused(&self, script: &str, canary: &str) {
        let bare = self.outside(script);
        assert!(bare.contains(canary), "bare it must succeed: {script}\n{bare}");
        let held = self.inside(script);
        assert!(!held.contains(canary), "{script}\n{held}");
        assert!(held.contains("ermission denied"), "{script}\n{held}");
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // A test that panicked leaves processes behind; the next bed has its own scope.
        drop(self.kernel.withdraw(self.slot));
        if fs::remove_dir(&self.cgroup).is_ok() {
            drop(self.kernel.leave_scope(self.scope));
        }
    }
}
