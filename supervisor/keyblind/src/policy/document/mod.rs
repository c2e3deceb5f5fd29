//! The shapes of a policy file. Their comments are the reference (`docs/policy.md`) and the JSON schema
//! (`keyblind policy schema`): each is written for operators.
//!
//! Nothing is checked here beyond types and words; `build` does the rest. The only module that derives
//! `Deserialize`.

mod value;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use value::{At, Bytes, Entries, Name, Period, RuleOfSocket};

use super::settings::{
    CacheMode, LateNames, Mark, Mode, OnDenied, RedactFormat, SocketUse, Tier, Wish, WrittenFiles,
};
use super::{Access, Action, BuiltIn, Deliver, NetworkMode, ParamKind, Via};

/// A list of strings, each with its place.
pub(super) type List<'a> = Option<Vec<At<&'a str>>>;

/// A keyblind policy file. Paths are absolute or start with `~/` or `${project}`, the working directory of the
/// run. Lists add to the inherited ones; an entry `!X` takes the inherited `X` out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Document<'a> {
    /// Version of this format: 1. Mandatory.
    pub(super) version: Option<At<u32>>,
    /// The built-in policy that this file starts from: `default`, `strict` or `audit`.
    pub(super) extends: Option<At<Name<BuiltIn>>>,
    /// `enforce` refuses, `audit` records and lets pass.
    pub(super) mode: Option<At<Name<Mode>>>,
    /// Only in `/etc/keyblind/policy.toml`: every other source may tighten this policy and not loosen it.
    pub(super) locked: Option<At<bool>>,
    /// What the host must offer.
    pub(super) tier: TierDoc,
    /// Who runs, and within which limits.
    #[serde(borrow)]
    pub(super) run: RunDoc<'a>,
    /// The variables of a command: these and nothing else.
    #[serde(borrow)]
    pub(super) variables: VariablesDoc<'a>,
    /// What a run sees and may change. What no list names is not there.
    #[serde(borrow)]
    pub(super) files: FilesDoc<'a>,
    /// Protected objects. `[[guard]]` with `id = "!X"` and a reason takes the inherited guard `X` out.
    #[serde(borrow)]
    pub(super) guard: Vec<GuardDoc<'a>>,
    /// Loosening of the fixed rules for `/proc`.
    pub(super) procfs: ProcfsDoc,
    /// The network of a run.
    #[serde(borrow)]
    pub(super) network: NetworkDoc<'a>,
    /// Sockets of services of the host: `absent`, `sign` (ssh-agent only) or `allow` with a reason.
    #[serde(borrow)]
    pub(super) sockets: SocketsDoc<'a>,
    /// Devices beyond the usual nodes of `/dev`.
    #[serde(borrow)]
    pub(super) devices: DevicesDoc<'a>,
    /// How secrets are taken out of what a run prints and writes.
    #[serde(borrow)]
    pub(super) redact: RedactDoc<'a>,
    /// Where the record goes.
    #[serde(borrow)]
    pub(super) events: EventsDoc<'a>,
    /// What `keyblind host up` does beyond serving runs. It reads the host's policy, or that of its own `--policy`.
    #[serde(borrow)]
    pub(super) host: HostDoc<'a>,
    /// Development, staging, production: where the secrets of each come from. A run is in exactly one.
    #[serde(borrow)]
    pub(super) environment: Entries<'a, EnvironmentDoc<'a>>,
    /// Secrets by name.
    #[serde(borrow)]
    pub(super) secret: Entries<'a, SecretDoc<'a>>,
    /// Commands that an agent may call by name, entitled to secrets that it does not see.
    #[serde(borrow)]
    pub(super) tool: Entries<'a, ToolDoc<'a>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TierDoc {
    /// Below it a run does not start (status 125): `kernel`, `mount`, `user` or `in-place`.
    pub(super) minimum: Option<At<Name<Tier>>>,
    /// Layer by layer `require`, `prefer` or `off`; what is preferred and missing stands in the run's first event.
    pub(super) layers: LayersDoc,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LayersDoc {
    /// The system call filter.
    pub(super) seccomp: Option<At<Name<Wish>>>,
    /// No privileges by set-user-ID programs.
    pub(super) no_new_privs: Option<At<Name<Wish>>>,
    /// Mount and PID namespaces, or Landlock.
    pub(super) confinement: Option<At<Name<Wish>>>,
    /// Kernel programs that judge each open.
    pub(super) bpf_lsm: Option<At<Name<Wish>>>,
    /// A cgroup of the run's own.
    pub(super) cgroup: Option<At<Name<Wish>>>,
    /// Denied addresses, judged in the kernel.
    pub(super) network_limits: Option<At<Name<Wish>>>,
    /// Landlock's scopes for signals and abstract sockets.
    pub(super) landlock_scopes: Option<At<Name<Wish>>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RunDoc<'a> {
    /// The user of a run that root starts. Not set: the user in SUDO_UID, else `keyblind`. Never uid 0.
    #[serde(borrow)]
    pub(super) user: Option<At<&'a str>>,
    /// Whether the first refusal per guard writes one line to the command's stderr.
    pub(super) hint: Option<At<bool>>,
    /// Resource limits.
    pub(super) limits: LimitsDoc,
    /// The environment of a run that does not name one.
    pub(super) environment: Option<At<&'a str>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsDoc {
    /// Processes and threads.
    pub(super) processes: Option<At<u64>>,
    /// Open descriptors per process.
    pub(super) open_files: Option<At<u64>>,
    /// Bytes of a core dump. 1 is the tightest: 0 lets a dump into a pipe pass.
    pub(super) core: Option<At<Bytes>>,
    /// Memory of the run.
    pub(super) memory: Option<At<Bytes>>,
    /// Processor time per process.
    pub(super) cpu: Option<At<Period>>,
    /// Wall time of the run; then it is ended with status 124.
    pub(super) timeout: Option<At<Period>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct VariablesDoc<'a> {
    /// Names that are kept; `*` stands for any characters.
    #[serde(borrow)]
    pub(super) keep: List<'a>,
    /// Names that are kept if the value matches a regular expression, whatever `keep` says. An empty expression
    /// under `!NAME` takes an inherited check out.
    #[serde(borrow)]
    pub(super) check: Entries<'a, At<&'a str>>,
    /// Names and values that every command is given. `!NAME = ""` takes an inherited one out.
    #[serde(borrow)]
    pub(super) set: Entries<'a, At<&'a str>>,
    /// Names that nothing may keep or set: no list, no option, no tool.
    #[serde(borrow)]
    pub(super) never: List<'a>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FilesDoc<'a> {
    /// Trees that a run may change. `/tmp` and `/dev/shm` are the run's own.
    #[serde(borrow)]
    pub(super) write: List<'a>,
    /// Caches of package managers; `cache_mode` says what becomes of writes.
    #[serde(borrow)]
    pub(super) caches: List<'a>,
    /// `session`: a private layer per session; `share`: the host's; `read-only`.
    pub(super) cache_mode: Option<At<Name<CacheMode>>>,
    /// Trees that a run may read. Of HOME it sees these entries only.
    #[serde(borrow)]
    pub(super) read: List<'a>,
    /// Guarded names that appear during a run, without kernel programs: `opener` judges each open,
    /// `existing-only` leaves them open.
    pub(super) late_names: Option<At<Name<LateNames>>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GuardDoc<'a> {
    /// Unique name, cited by events and `policy explain`. Mandatory.
    #[serde(borrow)]
    pub(super) id: At<&'a str>,
    /// Files, and directories with all below them.
    #[serde(borrow, default)]
    pub(super) path: List<'a>,
    /// File names below `under`, with alternatives `{a,b}`. A name with `*` is refused only if the content is
    /// secret.
    #[serde(borrow, default)]
    pub(super) name: List<'a>,
    /// The trees in which `name` counts. Not set: `${project}` and `~`.
    #[serde(borrow, default)]
    pub(super) under: List<'a>,
    /// File names that the guard leaves alone.
    #[serde(borrow, default)]
    pub(super) except: List<'a>,
    /// `read`, or `write` for what the host would run later. Not set: `read`.
    #[serde(default)]
    pub(super) access: Option<At<Name<Access>>>,
    /// `deny` (EACCES), `hide` (ENOENT), `mask` (a copy with the same keys and marked values), `flag` (recorded
    /// only) or `allow` (an exception from other guards). Not set: `deny`.
    #[serde(default)]
    pub(super) action: Option<At<Name<Action>>>,
    /// Whether secret-looking values in it are redacted wherever they turn up.
    #[serde(default)]
    pub(super) needles: Option<At<bool>>,
    /// Keys of a configuration file that must not be set.
    #[serde(borrow, default)]
    pub(super) keys: Option<KeysDoc<'a>>,
    /// Why. Shown to whoever is refused. Mandatory.
    #[serde(borrow)]
    pub(super) reason: At<&'a str>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeysDoc<'a> {
    /// The file, in git's format.
    #[serde(borrow)]
    pub(super) file: At<&'a str>,
    /// Keys, `section.key`; `*` stands for any characters.
    #[serde(borrow)]
    pub(super) deny: Vec<At<&'a str>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProcfsDoc {
    /// Whether processes of one run may trace each other and read each other's memory.
    pub(super) debug: Option<At<bool>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NetworkDoc<'a> {
    /// `host`, `loopback` (the run's own) or `none`.
    pub(super) mode: Option<At<Name<NetworkMode>>>,
    /// Addresses that a run must not reach: `metadata` (the clouds' credential services), an address, or a network
    /// such as `10.0.0.0/8`.
    #[serde(borrow)]
    pub(super) deny: List<'a>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct SocketsDoc<'a> {
    /// The SSH agent. `sign` lists keys and signs, and never shows one.
    #[serde(borrow)]
    pub(super) ssh_agent: Option<At<RuleOfSocket<'a>>>,
    /// The GnuPG agent.
    #[serde(borrow)]
    pub(super) gpg_agent: Option<At<RuleOfSocket<'a>>>,
    /// Docker, Podman, containerd: root on the host in one call.
    #[serde(borrow)]
    pub(super) docker: Option<At<RuleOfSocket<'a>>>,
    /// The system and session bus.
    #[serde(borrow)]
    pub(super) dbus: Option<At<RuleOfSocket<'a>>>,
    /// X11, Wayland and PipeWire.
    #[serde(borrow)]
    pub(super) display: Option<At<RuleOfSocket<'a>>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SocketDoc<'a> {
    /// `absent`, `sign` or `allow`.
    #[serde(rename = "use")]
    pub(super) usage: At<Name<SocketUse>>,
    /// Names of the commands that may use it. Not set: any.
    #[serde(borrow, default)]
    pub(super) commands: List<'a>,
    /// Why. Mandatory for `allow`.
    #[serde(borrow, default)]
    pub(super) reason: Option<At<&'a str>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HostDoc<'a> {
    /// Cgroups, by their path below the top of the hierarchy (`agents.slice`), whose processes are guarded although they
    /// never call keyblind.
    #[serde(borrow)]
    pub(super) always: List<'a>,
    /// Cgroups of which accesses to guarded objects are recorded and let pass.
    #[serde(borrow)]
    pub(super) flag: List<'a>,
    /// How many flags of `flag` are recorded per minute; what is more is counted.
    pub(super) flags_per_minute: Option<At<u32>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DevicesDoc<'a> {
    /// `gpu`, `dri`, `kvm`, `fuse`.
    #[serde(borrow)]
    pub(super) allow: List<'a>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RedactDoc<'a> {
    /// What stands in place of a secret: `name` is `[REDACTED:NAME]`, `plain` is `[REDACTED]`.
    pub(super) mark: Option<At<Name<Mark>>>,
    /// What the streams hold: `text`, `jsonl` or `auto`.
    pub(super) format: Option<At<Name<RedactFormat>>>,
    /// Built-in sets of rules: `default`.
    #[serde(borrow)]
    pub(super) rules: List<'a>,
    /// Rules of your own. `id = "!X"` and a reason takes the inherited rule `X` out.
    #[serde(borrow)]
    pub(super) rule: Vec<RuleDoc<'a>>,
    /// Forms in which known secrets are found: `base64`, `hex`, `url`, `json`, `shell`, `html`, `utf16`, `base32`,
    /// `reverse`.
    #[serde(borrow)]
    pub(super) encodings: List<'a>,
    /// Secrets in files that a run wrote: `off`, `flag`, `redact` or `fail`.
    pub(super) written_files: Option<At<Name<WrittenFiles>>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleDoc<'a> {
    /// Unique name; stands in marks and events. Mandatory.
    #[serde(borrow)]
    pub(super) id: At<&'a str>,
    /// What to hide: plain text with runs of characters such as `<hex 32>`, and `|` where the hidden part begins if
    /// that is not the start (`docs/redaction.md`). Mandatory.
    #[serde(borrow, default)]
    pub(super) pattern: Option<At<&'a str>>,
    /// A text that each example holds: a reader's check, the redactor finds its own.
    #[serde(borrow, default)]
    pub(super) keyword: Option<At<&'a str>>,
    /// Why. Mandatory.
    #[serde(borrow)]
    pub(super) reason: At<&'a str>,
    /// Texts that it must find something in. At least one.
    #[serde(borrow, default)]
    pub(super) examples: List<'a>,
    /// Texts that it must leave alone.
    #[serde(borrow, default)]
    pub(super) counter_examples: List<'a>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EventsDoc<'a> {
    /// The directory of the journal. `auto`: `/var/lib/keyblind` for root, `$XDG_STATE_HOME/keyblind` for others.
    pub(super) store: Option<At<&'a str>>,
    /// How much of it is kept.
    pub(super) keep: KeepDoc,
    /// Where else events go: `journald`, `ocsf:FILE`, `otlp:URL`.
    #[serde(borrow)]
    pub(super) also: List<'a>,
    /// What a refusal does beyond being recorded: `log` (nothing), `stop-run` or `stop-session`.
    pub(super) on_denied: Option<At<Name<OnDenied>>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeepDoc {
    /// Days.
    pub(super) days: Option<At<u32>>,
    /// Bytes.
    pub(super) bytes: Option<At<Bytes>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EnvironmentDoc<'a> {
    /// Where secrets come from, asked in this order: `dotenv:FILE`, `env`, `file:DIRECTORY`, `command:PATH`,
    /// `vault:URL`, `aws:REGION`, `store`.
    #[serde(borrow)]
    pub(super) sources: Vec<At<&'a str>>,
    /// The service principal that runs act as.
    pub(super) principal: Option<At<&'a str>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretDoc<'a> {
    /// By environment, where it is: `dotenv:NAME`, `vault:PATH#FIELD` and so on. Mandatory.
    #[serde(borrow)]
    pub(super) from: Entries<'a, At<&'a str>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolDoc<'a> {
    /// What it does; told to the agent. Mandatory.
    #[serde(borrow)]
    pub(super) description: At<&'a str>,
    /// An absolute path and fixed arguments. Mandatory.
    #[serde(borrow)]
    pub(super) command: At<Vec<At<&'a str>>>,
    /// What the caller may say, by name.
    #[serde(borrow, default)]
    pub(super) params: Entries<'a, ParamDoc<'a>>,
    /// The secrets that it gets.
    #[serde(borrow, default)]
    pub(super) grants: Vec<GrantDoc<'a>>,
    /// What the caller gets back: `status`, `fields:A,B` or `text`. Not set: `status`.
    #[serde(borrow, default)]
    pub(super) result: Option<At<&'a str>>,
    /// Its network, if not the policy's.
    #[serde(default)]
    pub(super) network: ToolNetworkDoc,
    /// Its limits.
    #[serde(default)]
    pub(super) limits: ToolLimitsDoc,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ToolNetworkDoc {
    /// `host`, `loopback` or `none`.
    pub(super) mode: Option<At<Name<NetworkMode>>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ToolLimitsDoc {
    /// Wall time of one call.
    pub(super) timeout: Option<At<Period>>,
    /// Calls per minute of one session.
    pub(super) per_minute: Option<At<u32>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ParamDoc<'a> {
    /// `string`, `integer`, `number` or `boolean`. Mandatory.
    #[serde(rename = "type")]
    pub(super) kind: At<Name<ParamKind>>,
    /// A regular expression for the whole value of a string.
    #[serde(borrow, default)]
    pub(super) pattern: Option<At<&'a str>>,
    /// The least number, or the fewest bytes of a string.
    #[serde(default)]
    pub(super) min: Option<At<i64>>,
    /// The greatest number, or the most bytes of a string.
    #[serde(default)]
    pub(super) max: Option<At<i64>>,
    /// `argument` passes `--name=value`, `stdin` passes it as the whole input. Not set: `argument`.
    #[serde(default)]
    pub(super) via: Option<At<Name<Via>>>,
    /// Whether a call may leave it out.
    #[serde(default)]
    pub(super) optional: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantDoc<'a> {
    /// A name under `[secret]`. Mandatory.
    #[serde(borrow)]
    pub(super) secret: At<&'a str>,
    /// `broker` (the tool never has it), `pipe`, `file` or `env`. Mandatory.
    pub(super) deliver: At<Name<Deliver>>,
    /// Hosts that the broker may send it to. Mandatory for `broker`.
    #[serde(borrow, default)]
    pub(super) hosts: List<'a>,
}
