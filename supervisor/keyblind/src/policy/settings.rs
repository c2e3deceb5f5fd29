//! The plain settings of a policy, section by section.
//!
//! Enums whose values can be compared are ordered so that a greater one is tighter, unless they say otherwise.

use std::fmt;
use std::time::Duration;

use keyblind_redact::OperatorRule;

use super::word::named;
use super::{Glob, Located, PathPattern};

named!(Mode { Enforce = "enforce", Audit = "audit" });
named!(Tier { Kernel = "kernel", Mount = "mount", User = "user", InPlace = "in-place" });
named!(Wish { Require = "require", Prefer = "prefer", Off = "off" });
named!(Layer {
    Seccomp = "seccomp",
    NoNewPrivs = "no_new_privs",
    Confinement = "confinement",
    BpfLsm = "bpf_lsm",
    Cgroup = "cgroup",
    NetworkLimits = "network_limits",
    LandlockScopes = "landlock_scopes",
});
named!(CacheMode { Session = "session", Share = "share", ReadOnly = "read-only" });
named!(LateNames { Opener = "opener", ExistingOnly = "existing-only" });
named!(Socket {
    SshAgent = "ssh-agent",
    GpgAgent = "gpg-agent",
    Docker = "docker",
    Dbus = "dbus",
    Display = "display",
});
named!(SocketUse { Absent = "absent", Sign = "sign", Allow = "allow" });
named!(Device { Gpu = "gpu", Dri = "dri", Kvm = "kvm", Fuse = "fuse" });
named!(Mark { Name = "name", Plain = "plain" });
named!(RedactFormat { Auto = "auto", Text = "text", Jsonl = "jsonl" });
named!(Encoding {
    Base64 = "base64",
    Hex = "hex",
    Url = "url",
    Json = "json",
    Shell = "shell",
    Html = "html",
    Utf16 = "utf16",
    Base32 = "base32",
    Reverse = "reverse",
});
named!(WrittenFiles { Off = "off", Flag = "flag", Redact = "redact", Fail = "fail" });
named!(OnDenied { Log = "log", StopRun = "stop-run", StopSession = "stop-session" });

/// What a verdict against an access means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Recorded, and let pass.
    Audit,
    /// Refused and recorded.
    Enforce,
}

/// What a host offers, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// Landlock and user notification only.
    InPlace,
    /// A user namespace with its own procfs.
    User,
    /// CAP_SYS_ADMIN in the initial user namespace.
    Mount,
    /// BPF-LSM.
    Kernel,
}

/// Whether a run wants a layer. What the host can do about it is `plan`'s question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wish {
    /// Not used.
    Off,
    /// Used where it can be had; its absence stands in the run's first event.
    Prefer,
    /// Without it the run does not start.
    Require,
}

/// One mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// The system call filter.
    Seccomp,
    /// PR_SET_NO_NEW_PRIVS.
    NoNewPrivs,
    /// Mount and PID namespaces, or Landlock.
    Confinement,
    /// Kernel programs that judge opens.
    BpfLsm,
    /// A cgroup of its own.
    Cgroup,
    /// Addresses denied to connect and sendmsg.
    NetworkLimits,
    /// Landlock's scopes for signals and abstract sockets.
    LandlockScopes,
}

/// A wish for each layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Layers {
    pub(super) wishes: [Located<Wish>; 7],
}

impl Layers {
    /// What is wished for `layer`.
    pub fn get(&self, layer: Layer) -> &Located<Wish> {
        let [seccomp, no_new_privs, confinement, bpf_lsm, cgroup, network_limits, landlock_scopes] =
            &self.wishes;
        match layer {
            Layer::Seccomp => seccomp,
            Layer::NoNewPrivs => no_new_privs,
            Layer::Confinement => confinement,
            Layer::BpfLsm => bpf_lsm,
            Layer::Cgroup => cgroup,
            Layer::NetworkLimits => network_limits,
            Layer::LandlockScopes => landlock_scopes,
        }
    }
}

/// `[tier]`
#[derive(Debug, Clone, PartialEq)]
pub struct TierWish {
    /// Below it a run does not start.
    pub minimum: Located<Tier>,
    /// Layer by layer.
    pub layers: Layers,
}

/// `[run]`
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Who runs it when root starts it. `None`: SUDO_UID, else the dedicated user.
    pub user: Option<Located<String>>,
    /// Whether the first refusal per guard writes a line to the command's stderr.
    pub hint: Located<bool>,
    /// Resource limits.
    pub limits: Limits,
    /// The environment of a run that does not say. Need not be defined while no tool asks for a secret.
    pub environment: Located<String>,
}

/// `run.limits`. `None` leaves the host's limit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// Processes and threads.
    pub processes: Option<Located<u64>>,
    /// Open descriptors per process.
    pub open_files: Option<Located<u64>>,
    /// Bytes of a core dump. 1 is the tightest: 0 does not stop a dump into a pipe (core(5)).
    pub core: Option<Located<u64>>,
    /// Bytes.
    pub memory: Option<Located<u64>>,
    /// Processor time per process.
    pub cpu: Option<Located<Duration>>,
    /// Wall time of the run.
    pub timeout: Option<Located<Duration>>,
}

/// A variable that is kept only if its value is harmless.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Its exact name.
    pub name: String,
    /// A regular expression searched in the value; valid, not compiled, since most runs have no such variable.
    pub pattern: Located<String>,
}

/// `[variables]`
#[derive(Debug, Clone, PartialEq)]
pub struct Variables {
    /// Names kept as they are.
    pub keep: Vec<Located<Glob>>,
    /// Names kept if their value matches; sorted by name. Counts before `keep`.
    pub check: Vec<Check>,
    /// Names given by policy, and their values; sorted by name.
    pub set: Vec<(String, Located<String>)>,
    /// Names that nothing may keep or give.
    pub never: Vec<Located<Glob>>,
}

/// What becomes of writes to `files.caches`. Ordered: a later one is tighter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CacheMode {
    /// They reach the host's caches.
    Share,
    /// They live as long as the session.
    Session,
    /// There are none.
    ReadOnly,
}

/// Guarded names that appear during a run, where the kernel does not tell. Ordered: a later one is tighter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LateNames {
    /// Only names that existed at the start are guarded.
    ExistingOnly,
    /// Each open is judged by the opener.
    Opener,
}

/// `[files]`
#[derive(Debug, Clone, PartialEq)]
pub struct Files {
    /// Trees that a run may change.
    pub write: Vec<Located<PathPattern>>,
    /// Caches of package managers.
    pub caches: Vec<Located<PathPattern>>,
    /// What becomes of writes to them.
    pub cache_mode: Located<CacheMode>,
    /// Trees that a run may read. What is in none of the three lists is not there.
    pub read: Vec<Located<PathPattern>>,
    /// What to do about guarded names that appear late.
    pub late_names: Located<LateNames>,
}

/// A service of the host that listens on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Socket {
    /// ssh-agent(1).
    SshAgent,
    /// gpg-agent(1).
    GpgAgent,
    /// Docker, Podman, containerd.
    Docker,
    /// The system and the session bus.
    Dbus,
    /// X11, Wayland, PipeWire.
    Display,
}

/// How much of a service a run gets. Ordered: a later one is tighter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SocketUse {
    /// All of it.
    Allow,
    /// Listing keys and signing (ssh-agent only).
    Sign,
    /// The socket is not there.
    Absent,
}

/// What a run gets of one service.
#[derive(Debug, Clone, PartialEq)]
pub struct SocketRule {
    /// How much.
    pub usage: Located<SocketUse>,
    /// The commands that may use it; empty: any.
    pub commands: Vec<Located<String>>,
    /// Why. Never empty for [`SocketUse::Allow`].
    pub reason: Option<String>,
}

/// `[sockets]`
#[derive(Debug, Clone, PartialEq)]
pub struct Sockets {
    pub(super) rules: [SocketRule; 5],
}

impl Sockets {
    /// What a run gets of `socket`.
    pub fn get(&self, socket: Socket) -> &SocketRule {
        let [ssh_agent, gpg_agent, docker, dbus, display] = &self.rules;
        match socket {
            Socket::SshAgent => ssh_agent,
            Socket::GpgAgent => gpg_agent,
            Socket::Docker => docker,
            Socket::Dbus => dbus,
            Socket::Display => display,
        }
    }
}

/// A family of device nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Device {
    /// `/dev/nvidia*` and kin.
    Gpu,
    /// `/dev/dri`
    Dri,
    /// `/dev/kvm`
    Kvm,
    /// `/dev/fuse`
    Fuse,
}

/// What stands in place of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mark {
    /// `[REDACTED:NAME]`
    Name,
    /// `[REDACTED]`
    Plain,
}

/// What the streams of a run hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedactFormat {
    /// Decided as the bytes come.
    Auto,
    /// Text or anything else.
    Text,
    /// One JSON document per line, which stays one.
    Jsonl,
}

/// A form in which a known secret is still found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encoding {
    /// Base64, at all three offsets.
    Base64,
    /// Hexadecimal digits.
    Hex,
    /// Percent-encoding.
    Url,
    /// JSON string escapes.
    Json,
    /// Shell quoting.
    Shell,
    /// HTML entities.
    Html,
    /// UTF-16.
    Utf16,
    /// Base32.
    Base32,
    /// Back to front.
    Reverse,
}

/// What the scan of files that a run wrote does about secrets. Ordered: a later one is tighter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WrittenFiles {
    /// There is no scan.
    Off,
    /// Recorded.
    Flag,
    /// Recorded and overwritten.
    Redact,
    /// Recorded, and the run fails.
    Fail,
}

/// A shape of secrets that an operator added.
#[derive(Debug, Clone, PartialEq)]
pub struct RedactRule {
    /// Unique; what marks and events cite.
    pub id: Located<String>,
    /// In the redactor's pattern language; valid. Finds something in all `examples` and nothing in
    /// `counter_examples`.
    pub pattern: Located<String>,
    /// A text that each example holds.
    pub keyword: Option<String>,
    /// Why.
    pub reason: String,
    /// Texts that it must find something in.
    pub examples: Vec<String>,
    /// Texts that it must leave alone.
    pub counter_examples: Vec<String>,
}

impl RedactRule {
    /// The rule as the redactor takes it. It takes every rule of a policy: reading the policy has tried.
    pub fn operator_rule(&self) -> OperatorRule {
        OperatorRule {
            id: self.id.value.clone(),
            pattern: self.pattern.value.clone(),
            examples: self.examples.clone(),
            counter_examples: self.counter_examples.clone(),
        }
    }
}

/// `[redact]`
#[derive(Debug, Clone, PartialEq)]
pub struct Redact {
    /// The mark.
    pub mark: Located<Mark>,
    /// What the streams hold.
    pub format: Located<RedactFormat>,
    /// Built-in sets of rules, by name.
    pub rules: Vec<Located<String>>,
    /// Operators' own rules.
    pub own: Vec<RedactRule>,
    /// Forms in which known secrets are found.
    pub encodings: Vec<Located<Encoding>>,
    /// The scan at the end of a run.
    pub written_files: Located<WrittenFiles>,
}

/// Where the journal lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// `/var/lib/keyblind` for root, `$XDG_STATE_HOME/keyblind` for others.
    Auto,
    /// A directory.
    At(PathPattern),
}

/// How much of the journal is kept: both bounds count.
#[derive(Debug, Clone, PartialEq)]
pub struct Keep {
    /// Days.
    pub days: Located<u32>,
    /// Bytes.
    pub bytes: Located<u64>,
}

/// A further place that events go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// The systemd journal.
    Journald,
    /// A file of OCSF records.
    Ocsf(PathPattern),
    /// An OpenTelemetry collector, by URL.
    Otlp(String),
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sink::Journald => f.write_str("journald"),
            Sink::Ocsf(path) => write!(f, "ocsf:{path}"),
            Sink::Otlp(url) => write!(f, "otlp:{url}"),
        }
    }
}

/// What a refusal does beyond being recorded. Ordered: a later one is tighter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OnDenied {
    /// Nothing.
    Log,
    /// Ends the run.
    StopRun,
    /// Ends all runs of the session.
    StopSession,
}

/// `[events]`
#[derive(Debug, Clone, PartialEq)]
pub struct Events {
    /// Where the journal lives.
    pub store: Located<Store>,
    /// How much of it is kept.
    pub keep: Keep,
    /// Where else events go.
    pub also: Vec<Located<Sink>>,
    /// What a refusal does.
    pub on_denied: Located<OnDenied>,
}
