//! Loaded is not enforcing: a process in a scope of its own must be refused one file and get another.

use std::fs;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use keyblind_abi::{Root, Scope};

use super::Kernel;
use super::enrol::{Guard, How, PolicySlot, Reach, Refuses};
use super::error::KernelError;

type Result<T> = std::result::Result<T, KernelError>;

/// Not used by policies: these are numbered from 1.
const SLOT: u32 = PolicySlot::MOST;

/// Tries both. `home` is watched afterwards.
pub(super) fn run(kernel: &mut Kernel, home: &Path) -> Result<()> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| KernelError::SelfTest(format!("{what}: {error}"))
    };
    let id = |path: &Path| fs::metadata(path).map(|meta| meta.ino());
    let root = Root { id: id(home).map_err(failed("the cgroup of scopes"))?, level: 2, reserved: 0 };
    let mut roots = kernel.watched()?;
    if !roots.contains(&root) {
        roots.push(root);
        kernel.watch(&roots)?;
    }
    let slot = PolicySlot::new(SLOT).ok_or_else(|| KernelError::SelfTest("no slot".to_owned()))?;
    let cgroup = home.join(format!("self-test-{}", std::process::id()));
    fs::create_dir(&cgroup).map_err(failed("its cgroup"))?;
    let scope = id(&cgroup).map_err(failed("its cgroup"))?;
    kernel.enter_scope(scope, &Scope { slot: SLOT, ..Scope::default() })?;
    let tried = try_both(kernel, slot, &cgroup);
    kernel.withdraw(slot)?;
    fs::remove_dir(&cgroup).map_err(failed("removing its cgroup"))?;
    kernel.leave_scope(scope)?;
    tried
}

fn try_both(kernel: &mut Kernel, slot: PolicySlot, cgroup: &Path) -> Result<()> {
    let failed = |error: io::Error| KernelError::SelfTest(format!("its files: {error}"));
    let dir = std::env::temp_dir().join(format!("keyblind-self-test-{}", std::process::id()));
    fs::create_dir(&dir).map_err(failed)?;
    let (guarded, free) = (dir.join("guarded"), dir.join("free"));
    let tried =
        fs::write(&guarded, "x").and_then(|()| fs::write(&free, "x")).map_err(failed).and_then(|()| {
            let object = fs::File::open(&guarded).map_err(failed)?;
            let guard = Guard {
                number: 1,
                object: object.as_fd(),
                reach: Reach::Object,
                refuses: Refuses::Opening,
                how: How::Deny,
            };
            kernel.enrol(slot, &guard)?;
            let read = |path: &Path| read_inside(path, cgroup).map_err(failed);
            if !read(&free)?.success() {
                return Err(KernelError::SelfTest("a file that nothing guards was refused".to_owned()));
            }
            if read(&guarded)?.success() {
                return Err(KernelError::SelfTest("a guarded file was read".to_owned()));
            }
            Ok(())
        });
    fs::remove_dir_all(&dir).map_err(failed)?;
    tried
}

/// Reads a file from within a cgroup. The reader is moved there before it is told to go on.
fn read_inside(path: &Path, cgroup: &Path) -> io::Result<ExitStatus> {
    let mut reader = Command::new("/bin/sh");
    reader.args(["-c", "read go && exec cat -- \"$0\""]).arg(path).env_clear();
    reader.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut reader = reader.spawn()?;
    let moved = fs::write(cgroup.join("cgroup.procs"), reader.id().to_string());
    if let Some(mut go) = reader.stdin.take()
        && moved.is_ok()
    {
        go.write_all(b"go\n")?;
    }
    let status = reader.wait();
    moved.and(status)
}
