#![forbid(unsafe_code)]
//! Starts a program on a host whose user database has the user of the tests: `on-host SITE root|user GROUPS
//! PROGRAM [ARG]…`, where GROUPS is a list with commas, or nothing.
//! Only root needs it. The host's own files stay as they are: what is changed is seen by this program and its
//! descendants alone. Hard limits are lifted, so that what keyblind lowers was high.

use std::error::Error;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1);
    let site = words.next().ok_or("no site")?;
    let who = words.next().ok_or("neither root nor user")?;
    let groups = words.next().ok_or("no groups")?.into_string().unwrap_or_default();
    let groups: Result<Vec<Gid>, _> =
        groups.split_terminator(',').map(|group| group.parse().map(Gid::from_raw)).collect();
    let program = words.next().ok_or("no program")?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    for name in ["passwd", "group"] {
        let own = Path::new(&site).join(name);
        mount(Some(&own), &Path::new("/etc").join(name), none, MsFlags::MS_BIND, none)?;
    }
    setrlimit(Resource::RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY)?;
    setgroups(&groups?)?;
    if who == "user" {
        const USER: u32 = 1000;
        for stream in [io::stdin().as_fd(), io::stdout().as_fd(), io::stderr().as_fd()] {
            // A pipe belongs to whoever made it, and /dev/stdout can be opened only by its owner.
            if SFlag::from_bits_truncate(fstat(stream)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFIFO {
                std::os::unix::fs::fchown(stream, Some(USER), Some(USER))?;
            }
        }
        setgid(Gid::from_raw(USER))?;
        setuid(Uid::from_raw(USER))?;
    }
    Err(Command::new(program).args(words).exec().into())
}
