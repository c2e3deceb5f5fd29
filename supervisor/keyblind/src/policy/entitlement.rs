//! Environments, secrets and tools: which secret comes from where, and who may have it how.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Located;
use super::network::NetworkMode;
use super::word::named;

named!(Scheme {
    Dotenv = "dotenv",
    Env = "env",
    File = "file",
    Command = "command",
    Vault = "vault",
    Aws = "aws",
    Store = "store",
});
named!(ParamKind { String = "string", Integer = "integer", Number = "number", Boolean = "boolean" });
named!(Via { Argument = "argument", Stdin = "stdin" });
named!(Deliver { Broker = "broker", Pipe = "pipe", File = "file", Env = "env" });

/// The kind of a place that secrets come from, the word before the colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// A file of `NAME=value` lines.
    Dotenv,
    /// The supervisor's own variables.
    Env,
    /// One file per secret, such as a container's or a systemd unit's mounted secrets.
    File,
    /// The output of a command.
    Command,
    /// HashiCorp Vault or OpenBao.
    Vault,
    /// AWS Secrets Manager.
    Aws,
    /// keyblind's own sealed store.
    Store,
}

/// `scheme:rest`. In `environment.*.sources` the rest says where the source is; in `secret.*.from` it says which
/// secret of that source is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Which kind of source.
    pub scheme: Scheme,
    /// What follows the colon, not interpreted here; empty for a bare `store`.
    pub rest: String,
}

/// One of development, staging, production or the like: where its secrets come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Environment {
    /// Asked in this order.
    pub sources: Vec<Located<Reference>>,
    /// The principal that runs of this environment act as.
    pub principal: Option<Located<String>>,
}

/// One secret, and where it is found in each environment.
#[derive(Debug, Clone, PartialEq)]
pub struct Secret {
    /// By name of environment.
    pub from: BTreeMap<String, Located<Reference>>,
}

/// A command that an agent may call by name, entitled to secrets that the agent does not see.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Told to the agent.
    pub description: String,
    /// An absolute path and fixed arguments.
    pub command: Vec<Located<String>>,
    /// What the caller may say, by name.
    pub params: BTreeMap<String, Param>,
    /// The secrets it gets.
    pub grants: Vec<Grant>,
    /// What the caller gets back.
    pub result: Located<ToolResult>,
    /// Its network, when not the policy's.
    pub network: Option<Located<NetworkMode>>,
    /// Its limits.
    pub limits: ToolLimits,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
}

/// How a parameter reaches the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// As `--name=value`.
    Argument,
    /// As the whole of standard input. At most one parameter.
    Stdin,
}

/// One parameter of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its type.
    pub kind: ParamKind,
    /// A regular expression that the whole value must match; valid, not compiled.
    pub pattern: Option<Located<String>>,
    /// The least number, or the fewest bytes of a string.
    pub min: Option<i64>,
    /// The greatest number, or the most bytes of a string.
    pub max: Option<i64>,
    /// How it is passed.
    pub via: Via,
    /// Whether a call may leave it out.
    pub optional: bool,
}

/// How a secret reaches a tool. Ordered: a later one exposes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Deliver {
    /// Never: the broker makes the request.
    Broker,
    /// A pipe that can be read once.
    Pipe,
    /// A file on a private tmpfs, named by `NAME_FILE`.
    File,
    /// A variable of one exec of one declared binary.
    Env,
}

/// One secret for one tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// The secret's name.
    pub secret: Located<String>,
    /// How it gets there.
    pub deliver: Deliver,
    /// Hosts that the broker may send it to; not empty exactly for [`Deliver::Broker`].
    pub hosts: Vec<Located<String>>,
}

/// What the caller of a tool gets back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolResult {
    /// `Success` or `Failed`.
    Status,
    /// These fields of the JSON object that the tool prints.
    Fields(Vec<String>),
    /// All that the tool prints, redacted.
    Text,
}

/// The limits of a tool.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ToolLimits {
    /// Wall time of one call.
    pub timeout: Option<Located<Duration>>,
    /// Calls per minute of one session.
    pub per_minute: Option<Located<u32>>,
}
