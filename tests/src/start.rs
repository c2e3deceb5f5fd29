#![forbid(unsafe_code)]
//! Starting a command: bare, or under `keyblind run` in one of the tiers.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::require::Feature;

/// Who starts the command, and what the host lets them do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Without keyblind, as the ordinary user: what a technique must be proven against.
    Bare,
    /// keyblind is started by root where the host service has kernel programs; the command runs as the ordinary user.
    Kernel,
    /// keyblind is started by the ordinary user, there.
    KernelByUser,
    /// keyblind is started by root, with all that root can mount and mark; the command runs as the ordinary user.
    Mount,
    /// keyblind is started by the ordinary user, who can make namespaces.
    User,
    /// The same behind a container's filter: no namespaces, no mounts, no capabilities.
    InPlace,
}

impl Tier {
    /// As events and the attacks page spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Kernel | Self::KernelByUser => "kernel",
            Self::Mount => "mount",
            Self::User => "user",
            Self::InPlace => "in-place",
        }
    }

    /// Its column on the attacks page; a bare run has none, and is looked up as the first.
    pub(crate) fn column(self) -> usize {
        match self {
            Self::Bare | Self::Kernel | Self::KernelByUser => 0,
            Self::Mount => 1,
            Self::User => 2,
            Self::InPlace => 3,
        }
    }

    /// What the machine must offer for it.
    #[must_use]
    pub fn needs(self) -> Option<Feature> {
        match self {
            Self::Bare => None,
            Self::Kernel | Self::KernelByUser | Self::Mount => Some(Feature::Root),
            Self::User => Some(Feature::UserNamespace),
            Self::InPlace => Some(Feature::Landlock),
        }
    }

    /// Whether root starts keyblind.
    pub(crate) fn by_root(self) -> bool {
        matches!(self, Self::Kernel | Self::Mount)
    }

    /// Makes `command` start as the ordinary user, without supplementary groups, where this process is root.
    pub(crate) fn become_agent(self, command: &mut Command) {
        if !self.by_root() && nix::unistd::geteuid().is_root() {
            let (uid, gid) = agent();
            // std clears the supplementary groups when a root process sets an id.
            command.uid(uid).gid(gid);
        }
    }
}

/// The ordinary user's ids: uid 1000 where the tests run as root, else whoever runs them.
#[must_use]
pub(crate) fn agent() -> (u32, u32) {
    const USER: u32 = 1000;
    if nix::unistd::geteuid().is_root() {
        (USER, USER)
    } else {
        (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw())
    }
}

/// One command to start, and how.
#[derive(Debug, Clone)]
pub struct Run {
    pub(crate) tier: Tier,
    pub(crate) words: Vec<OsString>,
    pub(crate) options: Vec<OsString>,
    pub(crate) variables: Vec<(OsString, OsString)>,
    pub(crate) stdin: Vec<u8>,
    pub(crate) caller: Option<String>,
    pub(crate) by_root: bool,
    pub(crate) groups: Vec<u32>,
    pub(crate) cwd: Option<PathBuf>,
}

impl Run {
    /// `words`, in `tier`.
    pub fn new<W: AsRef<OsStr>>(tier: Tier, words: impl IntoIterator<Item = W>) -> Self {
        let words = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        Self {
            tier,
            words,
            options: Vec::new(),
            variables: Vec::new(),
            stdin: Vec::new(),
            caller: None,
            by_root: false,
            groups: Vec::new(),
            cwd: None,
        }
    }

    /// A line of bash, in `tier`.
    #[must_use]
    pub fn bash(tier: Tier, script: &str) -> Self {
        Self::new(tier, ["/bin/bash", "-c", script])
    }

    /// Adds options of `keyblind run`; a bare run has none.
    #[must_use]
    pub fn options<W: AsRef<OsStr>>(mut self, options: impl IntoIterator<Item = W>) -> Self {
        self.options.extend(options.into_iter().map(|option| option.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the caller, on top of the site's.
    #[must_use]
    pub fn variable(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// What stands on the command's stdin. Without it, stdin is empty.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// What the caller's shell does before it becomes the command, or keyblind: opens descriptors, sets limits.
    #[must_use]
    pub fn caller(mut self, script: impl Into<String>) -> Self {
        self.caller = Some(script.into());
        self
    }

    /// The supplementary groups of whoever starts it; only root can set them.
    #[must_use]
    pub fn groups(mut self, groups: &[u32]) -> Self {
        self.groups = groups.to_vec();
        self
    }

    /// Starts a bare command as root, where the test runs as root.
    #[must_use]
    pub fn by_root(mut self) -> Self {
        self.by_root = true;
        self
    }

    /// Where it starts; the site's project if not said.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// The whole line: the command itself, or `keyblind run … -- command`, for the in-place tier behind the filter; on a
    /// host that has our user, where this process may make it so.
    pub(crate) fn line(&self, site: &Path, events: &Path) -> Vec<OsString> {
        let bin = site.join("bin");
        let mut line: Vec<OsString> = Vec::new();
        if nix::unistd::geteuid().is_root() {
            let who = if self.tier.by_root() || self.by_root { "root" } else { "user" };
            let groups: Vec<String> = self.groups.iter().map(u32::to_string).collect();
            line.extend([bin.join("on-host").into(), site.into(), who.into(), groups.join(",").into()]);
        }
        if self.tier == Tier::InPlace {
            line.push(bin.join("no-namespaces").into());
        }
        if let Some(script) = &self.caller {
            line.extend(["/bin/bash", "-c"].map(OsString::from));
            line.extend([format!("{script}\nexec \"$@\"").into(), "caller".into()]);
        }
        if self.tier != Tier::Bare {
            line.extend([bin.join("keyblind").into(), "run".into(), "--events".into(), events.into()]);
            if self.tier.by_root() {
                line.extend(["--user".into(), agent().0.to_string().into()]);
            }
            line.extend(self.options.iter().cloned());
            line.push("--".into());
        }
        line.extend(self.words.iter().cloned());
        line
    }
}

/// The keyblind binary under test: `KEYBLIND_BIN`, else the one beside the test's own build.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("KEYBLIND_BIN") {
        return path.into();
    }
    built("keyblind")
        .expect("no keyblind binary; run the tests with `cargo xtask test`, or build it and set KEYBLIND_BIN")
}

/// A program of this package, built with the tests.
pub(crate) fn helper(name: &str) -> PathBuf {
    built(name).unwrap_or_else(|| panic!("{name} is not built; run the tests with `cargo xtask test`"))
}

fn built(name: &str) -> Option<PathBuf> {
    let exe = std::env::current_exe().expect("the path of the test program");
    exe.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.is_file())
}
