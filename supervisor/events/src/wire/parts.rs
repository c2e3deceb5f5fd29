//! Mirrors of the model's parts, and both ways between them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::{WireError, field, id, known};
use crate::event::{self, End, Operation, Outcome, PolicySource, Secret, Stream};

/// `event::Errno`; the number counts, the name is for people.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Errno {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    pub(super) number: i32,
}

impl From<event::Errno> for Errno {
    fn from(errno: event::Errno) -> Self {
        Self { name: errno.name(), number: errno.0 }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Repeat {
    count: u64,
    last: String,
}

impl From<&event::Repeat> for Repeat {
    fn from(repeat: &event::Repeat) -> Self {
        Self { count: repeat.count, last: repeat.last.to_string() }
    }
}

impl Repeat {
    pub(super) fn parse(self) -> Result<event::Repeat, WireError> {
        let last = self.last.parse().map_err(|cause| field("repeat.last", cause))?;
        Ok(event::Repeat { count: self.count, last })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FileId {
    /// `major:minor`, as in `/proc/self/mountinfo`.
    dev: String,
    inode: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u32>,
}

impl From<&event::FileId> for FileId {
    fn from(file: &event::FileId) -> Self {
        let dev = format!("{}:{}", file.major, file.minor);
        Self { dev, inode: file.inode, generation: file.generation }
    }
}

impl FileId {
    fn parse(self) -> Result<event::FileId, WireError> {
        let device = self
            .dev
            .split_once(':')
            .and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)));
        let (major, minor) = device.ok_or_else(|| field("dev", "is not major:minor".to_owned()))?;
        Ok(event::FileId { major, minor, inode: self.inode, generation: self.generation })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Process {
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_ticks: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exe: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exe_file: Option<FileId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exe_sha256: Option<String>,
}

impl From<&event::Process> for Process {
    fn from(process: &event::Process) -> Self {
        Self {
            pid: process.pid,
            start_ticks: process.start_ticks,
            uid: process.uid,
            name: process.name.as_ref().map(Bytes::from),
            exe: process.exe.as_ref().map(Bytes::from),
            exe_file: process.exe_file.as_ref().map(FileId::from),
            exe_sha256: process.exe_sha256.map(|hash| hash.to_string()),
        }
    }
}

impl Process {
    pub(super) fn parse(self, name: &'static str) -> Result<event::Process, WireError> {
        Ok(event::Process {
            pid: self.pid,
            start_ticks: self.start_ticks,
            uid: self.uid,
            name: raw(name, self.name)?,
            exe: raw(name, self.exe)?.map(PathBuf::from),
            exe_file: self.exe_file.map(FileId::parse).transpose()?,
            exe_sha256: hash(name, self.exe_sha256.as_deref())?,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Object {
    #[serde(skip_serializing_if = "Option::is_none")]
    guard: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guarded_path: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Address>,
}

impl From<&event::Object> for Object {
    fn from(object: &event::Object) -> Self {
        Self {
            guard: object.guard.clone(),
            rule: object.rule.clone(),
            reason: object.reason.clone(),
            path: object.path.as_ref().map(Bytes::from),
            guarded_path: object.guarded_path.as_ref().map(Bytes::from),
            file: object.file.as_ref().map(FileId::from),
            process: object.process.as_ref().map(Process::from),
            address: object.address.as_ref().map(Address::from),
        }
    }
}

impl Object {
    pub(super) fn parse(self) -> Result<event::Object, WireError> {
        Ok(event::Object {
            guard: self.guard,
            rule: self.rule,
            reason: self.reason,
            path: raw("object.path", self.path)?.map(PathBuf::from),
            guarded_path: raw("object.guarded_path", self.guarded_path)?.map(PathBuf::from),
            file: self.file.map(FileId::parse).transpose()?,
            process: self.process.map(|p| p.parse("object.process")).transpose()?,
            address: self.address.map(Address::parse).transpose()?,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Address {
    Inet(String),
    Unix(Bytes),
    Abstract(Bytes),
}

impl From<&event::Address> for Address {
    fn from(address: &event::Address) -> Self {
        match address {
            event::Address::Inet(inet) => Self::Inet(inet.to_string()),
            event::Address::Unix(path) => Self::Unix(Bytes::from(path)),
            event::Address::Abstract(name) => Self::Abstract(Bytes::from(name)),
        }
    }
}

impl Address {
    fn parse(self) -> Result<event::Address, WireError> {
        let name = "object.address";
        match self {
            Self::Inet(inet) => match inet.parse() {
                Ok(inet) => Ok(event::Address::Inet(inet)),
                Err(_not_an_address) => Err(field(name, "is not ADDRESS:PORT".to_owned())),
            },
            Self::Unix(path) => Ok(event::Address::Unix(bytes(name, path)?.into())),
            Self::Abstract(abstract_name) => Ok(event::Address::Abstract(bytes(name, abstract_name)?)),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StartedPart {
    command: Vec<Bytes>,
    cwd: Bytes,
    user: User,
    layers: Vec<LayerState>,
    policy: Policy,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    not_enforced: Vec<String>,
    absent: Vec<String>,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct User {
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LayerState {
    layer: String,
    on: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Policy {
    #[serde(skip_serializing_if = "Option::is_none")]
    built_in: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

impl From<&event::RunStarted> for StartedPart {
    fn from(started: &event::RunStarted) -> Self {
        let sha256 = started.policy_sha256.map(|hash| hash.to_string());
        let policy = match &started.policy {
            PolicySource::BuiltIn(name) => Policy { built_in: Some(name.clone()), file: None, sha256 },
            PolicySource::File(path) => Policy { built_in: None, file: Some(Bytes::from(path)), sha256 },
        };
        let layer =
            |l: &event::LayerState| LayerState { layer: l.layer.clone(), on: l.on, why: l.why.clone() };
        Self {
            command: started.command.iter().map(Bytes::from).collect(),
            cwd: Bytes::from(&started.cwd),
            user: User { uid: started.user.uid, gid: started.user.gid, name: started.user.name.clone() },
            layers: started.layers.iter().map(layer).collect(),
            policy,
            environment: started.environment.clone(),
            not_enforced: started.not_enforced.clone(),
            absent: started.absent.clone(),
            version: started.version.clone(),
            kernel: started.kernel.clone(),
        }
    }
}

impl StartedPart {
    pub(super) fn parse(self) -> Result<event::RunStarted, WireError> {
        let policy = match (self.policy.built_in, self.policy.file) {
            (Some(name), None) => PolicySource::BuiltIn(name),
            (None, Some(path)) => PolicySource::File(bytes("started.policy.file", path)?.into()),
            _ => return Err(field("started.policy", "is not one of built_in and file".to_owned())),
        };
        let command = self.command.into_iter().map(|word| bytes("started.command", word));
        let layer = |l: LayerState| event::LayerState { layer: l.layer, on: l.on, why: l.why };
        Ok(event::RunStarted {
            command: command.collect::<Result<_, _>>()?,
            cwd: bytes("started.cwd", self.cwd)?.into(),
            user: event::User { uid: self.user.uid, gid: self.user.gid, name: self.user.name },
            layers: self.layers.into_iter().map(layer).collect(),
            policy,
            policy_sha256: hash("started.policy.sha256", self.policy.sha256.as_deref())?,
            environment: self.environment,
            not_enforced: self.not_enforced,
            absent: self.absent,
            version: self.version,
            kernel: self.kernel,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AccessPart {
    operation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) masked_values: Option<u64>,
}

impl From<&event::Access> for AccessPart {
    fn from(access: &event::Access) -> Self {
        let masked_values = match access.outcome {
            Outcome::Masked { values } => Some(values),
            Outcome::Denied | Outcome::Flagged => None,
        };
        Self { operation: access.operation.as_str().to_owned(), masked_values }
    }
}

impl AccessPart {
    pub(super) fn operation(&self) -> Result<Operation, WireError> {
        known("access.operation", &self.operation, Operation::from_word)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RedactedPart {
    #[serde(skip_serializing_if = "Option::is_none")]
    needle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<String>,
    stream: String,
    offset: u64,
    len: u64,
}

impl From<&event::Redacted> for RedactedPart {
    fn from(redacted: &event::Redacted) -> Self {
        let (needle, rule) = match &redacted.secret {
            Secret::Needle(name) => (Some(name.clone()), None),
            Secret::Rule(id) => (None, Some(id.clone())),
        };
        Self {
            needle,
            rule,
            fingerprint: redacted.fingerprint.clone(),
            encoding: redacted.encoding.clone(),
            stream: redacted.stream.as_str().to_owned(),
            offset: redacted.offset,
            len: redacted.len,
        }
    }
}

impl RedactedPart {
    pub(super) fn parse(self) -> Result<event::Redacted, WireError> {
        let secret = match (self.needle, self.rule) {
            (Some(name), None) => Secret::Needle(name),
            (None, Some(id)) => Secret::Rule(id),
            _ => return Err(field("redacted", "is not one of needle and rule".to_owned())),
        };
        Ok(event::Redacted {
            secret,
            fingerprint: self.fingerprint,
            encoding: self.encoding,
            stream: known("redacted.stream", &self.stream, Stream::from_word)?,
            offset: self.offset,
            len: self.len,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LostPart {
    pub(super) lane: String,
    pub(super) counts: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EndedPart {
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    duration_ns: u64,
    tally: Tally,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    killed: Vec<Process>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Tally {
    denied: u64,
    flagged: u64,
    masked: u64,
    redacted: u64,
    lost: u64,
    killed: u64,
}

impl From<&event::RunEnded> for EndedPart {
    fn from(ended: &event::RunEnded) -> Self {
        let (status, stopped, refused) = match &ended.end {
            End::Finished(status) => (Some(*status), None, None),
            End::Stopped { reason, status } => (*status, Some(reason.clone()), None),
            End::Refused { reason } => (None, None, Some(reason.clone())),
        };
        let (exit, signal) = match status {
            Some(event::Status::Exited(code)) => (Some(code), None),
            Some(event::Status::Signaled(number)) => (None, Some(number)),
            None => (None, None),
        };
        let event::Tally { denied, flagged, masked, redacted, lost, killed } = ended.tally;
        Self {
            exit,
            signal,
            stopped,
            refused,
            duration_ns: u64::try_from(ended.duration.as_nanos()).unwrap_or(u64::MAX),
            tally: Tally { denied, flagged, masked, redacted, lost, killed },
            killed: ended.killed.iter().map(Process::from).collect(),
        }
    }
}

impl EndedPart {
    pub(super) fn parse(self) -> Result<event::RunEnded, WireError> {
        let contradiction = || field("ended", "exit, signal, stopped and refused contradict".to_owned());
        let status = match (self.exit, self.signal) {
            (Some(code), None) => Some(event::Status::Exited(code)),
            (None, Some(number)) => Some(event::Status::Signaled(number)),
            (None, None) => None,
            (Some(_), Some(_)) => return Err(contradiction()),
        };
        let end = match (status, self.stopped, self.refused) {
            (Some(status), None, None) => End::Finished(status),
            (status, Some(reason), None) => End::Stopped { reason, status },
            (None, None, Some(reason)) => End::Refused { reason },
            _ => return Err(contradiction()),
        };
        let Tally { denied, flagged, masked, redacted, lost, killed } = self.tally;
        let processes = self.killed.into_iter().map(|p| p.parse("ended.killed"));
        Ok(event::RunEnded {
            end,
            duration: Duration::from_nanos(self.duration_ns),
            tally: event::Tally { denied, flagged, masked, redacted, lost, killed },
            killed: processes.collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HostPart {
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    enforced: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    not_enforced: Vec<String>,
}

impl From<&event::HostEvent> for HostPart {
    fn from(host: &event::HostEvent) -> Self {
        Self {
            detail: host.detail.clone(),
            run: host.run.as_ref().map(ToString::to_string),
            session: host.session.as_ref().map(ToString::to_string),
            uid: host.uid,
            enforced: host.enforced.clone(),
            not_enforced: host.not_enforced.clone(),
        }
    }
}

impl HostPart {
    pub(super) fn parse(self, what: event::HostWhat) -> Result<event::HostEvent, WireError> {
        Ok(event::HostEvent {
            what,
            detail: self.detail,
            run: self.run.as_deref().map(|text| id("host.run", text)).transpose()?,
            session: self.session.as_deref().map(|text| id("host.session", text)).transpose()?,
            uid: self.uid,
            enforced: self.enforced,
            not_enforced: self.not_enforced,
        })
    }
}

fn bytes(name: &'static str, wire: Bytes) -> Result<std::ffi::OsString, WireError> {
    wire.parse().ok_or_else(|| field(name, "is not base64".to_owned()))
}

fn raw(name: &'static str, wire: Option<Bytes>) -> Result<Option<std::ffi::OsString>, WireError> {
    wire.map(|wire| bytes(name, wire)).transpose()
}

fn hash(name: &'static str, text: Option<&str>) -> Result<Option<event::Sha256>, WireError> {
    text.map(|text| text.parse().map_err(|cause| field(name, cause))).transpose()
}
