#![forbid(unsafe_code)]
//! The wire form of events: the only stable interface of the event log. `docs/events.md` explains every
//! field; a test holds it against the types here.
//!
//! # Wire format, version 1
//!
//! An event is one line: one JSON object in UTF-8 and a newline, nothing else. `v` is the version, `kind`
//! says what happened, and what belongs to one kind alone stands in the section of its kind: `started`
//! (`run.started`), `access` (`access.denied`, `access.flagged`, `access.masked`), `redacted`, `lost`,
//! `ended` (`run.ended`), `host` (the kinds `host.*` and `scope.*`). All other fields are the envelope, the same for every kind.
//!
//! - A field that is not known is absent; there is no `null`.
//! - Paths and arguments are bytes in Linux. One that is UTF-8 is a JSON string; one that is not is
//!   `{"bytes": "…"}` in base64 (RFC 4648 §4, padded). Nothing is replaced or cut.
//! - Control characters, and characters that change how the text around them is shown, are always written
//!   as `\uXXXX`, so that the file is harmless on a terminal.
//! - Times are RFC 3339 in UTC with nine digits of fraction; durations and monotonic times are integers of
//!   nanoseconds. Integers go up to 2^64 - 1: a reader that keeps numbers as doubles rounds them.
//! - Within a version kinds and fields may be added, none changes its meaning or goes away; a reader
//!   ignores fields that it does not know and passes over kinds that it does not know.
//! - A line that is not such an object is a torn line (the disk was full, or the machine stopped). It holds
//!   no event; what it would have held is counted in a later `lost` event if its writer lived.

mod bytes;
mod json;
mod parts;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::{Access, Context, Envelope, Event, HostWhat, Kind, Lost, Mode, Outcome, Tier};
use crate::ids::{IdError, Label, Labels};
use parts::{
    AccessPart, EndedPart, Errno, HostPart, LostPart, Object, Process, RedactedPart, Repeat, StartedPart,
};

/// The version that this module writes, and the only one it reads.
const VERSION: u32 = 1;

/// Why a line is not an event.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No JSON object with the fields that every event has: torn, or not ours.
    #[error("not an event: {source}")]
    Torn {
        /// What the parser stumbled over, with the column.
        source: serde_json::Error,
    },
    /// A later version.
    #[error("event of version {found}, this keyblind reads version 1")]
    Version {
        /// Its `v`.
        found: u32,
    },
    /// A kind that a later keyblind knows.
    #[error("event of unknown kind \"{kind}\"")]
    Kind {
        /// Its `kind`, escaped.
        kind: String,
    },
    /// A field that does not hold what it must.
    #[error("event field {field}: {cause}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        cause: String,
    },
}

/// The event as one line, its newline included.
pub fn encode(event: &Event) -> Vec<u8> {
    json::line(&Line::from(event))
}

/// The event that a line holds; a newline at its end does not matter.
pub fn decode(line: &[u8]) -> Result<Event, WireError> {
    let line: Line = serde_json::from_slice(line).map_err(|source| WireError::Torn { source })?;
    Event::try_from(line)
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    v: u32,
    kind: String,
    id: String,
    time: String,
    monotonic_ns: u64,
    run: String,
    sequence: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    lost_before: u64,
    session: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<String>,
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    labels: std::collections::BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_generation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<Errno>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat: Option<Repeat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lineage: Vec<Process>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<StartedPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<AccessPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacted: Option<RedactedPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<LostPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<EndedPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<HostPart>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl From<&Event> for Line {
    fn from(event: &Event) -> Self {
        let envelope = &event.envelope;
        let context = &*envelope.context;
        let mut line = Self {
            v: VERSION,
            kind: event.kind.name().to_owned(),
            id: envelope.id.to_string(),
            time: envelope.time.to_string(),
            monotonic_ns: envelope.monotonic_ns,
            run: context.run.to_string(),
            sequence: envelope.sequence,
            lost_before: envelope.lost_before,
            session: context.session.to_string(),
            tool: context.tool.clone(),
            principal: context.principal.clone(),
            call_id: context.call_id.as_ref().map(ToString::to_string),
            labels: context.labels.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            traceparent: context.trace.as_ref().map(ToString::to_string),
            boot_id: context.boot_id.clone(),
            tier: context.tier.map(|tier| tier.as_str().to_owned()),
            mode: context.mode.map(|mode| mode.as_str().to_owned()),
            policy_generation: context.policy_generation.clone(),
            verdict: event.kind.verdict().map(|verdict| verdict.as_str().to_owned()),
            errno: envelope.errno.map(Errno::from),
            layer: envelope.layer.clone(),
            hook: envelope.hook.clone(),
            repeat: envelope.repeat.as_ref().map(Repeat::from),
            object: envelope.object.as_ref().map(Object::from),
            process: envelope.process.as_ref().map(Process::from),
            lineage: envelope.lineage.iter().map(Process::from).collect(),
            started: None,
            access: None,
            redacted: None,
            lost: None,
            ended: None,
            host: None,
        };
        match &event.kind {
            Kind::RunStarted(started) => line.started = Some(StartedPart::from(&**started)),
            Kind::Access(access) => line.access = Some(AccessPart::from(access)),
            Kind::Redacted(redacted) => line.redacted = Some(RedactedPart::from(redacted)),
            Kind::Lost(lost) => {
                line.lost = Some(LostPart { lane: lost.lane.clone(), counts: lost.counts.clone() });
            }
            Kind::RunEnded(ended) => line.ended = Some(EndedPart::from(&**ended)),
            Kind::Host(host) => line.host = Some(HostPart::from(&**host)),
        }
        line
    }
}

impl TryFrom<Line> for Event {
    type Error = WireError;

    fn try_from(mut line: Line) -> Result<Self, WireError> {
        if line.v != VERSION {
            return Err(WireError::Version { found: line.v });
        }
        let kind = kind_of(&mut line)?;
        let verdict = kind.verdict().map(|verdict| verdict.as_str());
        if line.verdict.as_deref() != verdict {
            return Err(field("verdict", format!("does not go with {}", kind.name())));
        }
        let envelope = Envelope {
            id: id("id", &line.id)?,
            sequence: line.sequence,
            time: line.time.parse().map_err(|cause| field("time", cause))?,
            monotonic_ns: line.monotonic_ns,
            process: line.process.take().map(|p| p.parse("process")).transpose()?,
            lineage: std::mem::take(&mut line.lineage)
                .into_iter()
                .map(|p| p.parse("lineage"))
                .collect::<Result<_, _>>()?,
            object: line.object.take().map(Object::parse).transpose()?,
            layer: line.layer.take(),
            hook: line.hook.take(),
            errno: line.errno.take().map(|errno| crate::event::Errno(errno.number)),
            repeat: line.repeat.take().map(Repeat::parse).transpose()?,
            lost_before: line.lost_before,
            context: Arc::new(context_of(line)?),
        };
        Ok(Self { envelope, kind })
    }
}

fn kind_of(line: &mut Line) -> Result<Kind, WireError> {
    let missing = |section| move || field(section, "is absent".to_owned());
    let mut access = |outcome: fn(&AccessPart) -> Option<Outcome>| {
        let part = line.access.take().ok_or_else(missing("access"))?;
        let outcome = outcome(&part).ok_or_else(|| field("access.masked_values", "is absent".to_owned()))?;
        Ok(Kind::Access(Access { operation: part.operation()?, outcome }))
    };
    match line.kind.as_str() {
        "run.started" => {
            let part = line.started.take().ok_or_else(missing("started"))?;
            Ok(Kind::RunStarted(Box::new(part.parse()?)))
        }
        "access.denied" => access(|_| Some(Outcome::Denied)),
        "access.flagged" => access(|_| Some(Outcome::Flagged)),
        "access.masked" => access(|part| part.masked_values.map(|values| Outcome::Masked { values })),
        "redacted" => {
            let part = line.redacted.take().ok_or_else(missing("redacted"))?;
            Ok(Kind::Redacted(part.parse()?))
        }
        "lost" => {
            let part = line.lost.take().ok_or_else(missing("lost"))?;
            Ok(Kind::Lost(Lost { lane: part.lane, counts: part.counts }))
        }
        "run.ended" => {
            let part = line.ended.take().ok_or_else(missing("ended"))?;
            Ok(Kind::RunEnded(Box::new(part.parse()?)))
        }
        other if let Some(what) = HostWhat::from_word(other) => {
            let part = line.host.take().ok_or_else(missing("host"))?;
            Ok(Kind::Host(Box::new(part.parse(what)?)))
        }
        other => Err(WireError::Kind { kind: crate::escape::printable(other) }),
    }
}

fn context_of(line: Line) -> Result<Context, WireError> {
    let mut labels = Labels::default();
    for (key, value) in &line.labels {
        let label = Label::new(key, value).and_then(|label| labels.insert(label));
        label.map_err(|error| field("labels", error.to_string()))?;
    }
    Ok(Context {
        run: id("run", &line.run)?,
        session: id("session", &line.session)?,
        tool: line.tool,
        principal: line.principal,
        call_id: line.call_id.as_deref().map(|text| id("call_id", text)).transpose()?,
        labels,
        trace: line.traceparent.as_deref().map(|text| id("traceparent", text)).transpose()?,
        boot_id: line.boot_id,
        tier: line.tier.as_deref().map(|word| known("tier", word, Tier::from_word)).transpose()?,
        mode: line.mode.as_deref().map(|word| known("mode", word, Mode::from_word)).transpose()?,
        policy_generation: line.policy_generation,
    })
}

fn field(field: &'static str, cause: String) -> WireError {
    WireError::Field { field, cause }
}

fn id<T: std::str::FromStr<Err = IdError>>(name: &'static str, text: &str) -> Result<T, WireError> {
    text.parse().map_err(|error: IdError| field(name, error.to_string()))
}

fn known<T>(name: &'static str, word: &str, from: fn(&str) -> Option<T>) -> Result<T, WireError> {
    from(word).ok_or_else(|| field(name, format!("\"{}\" is not known", crate::escape::printable(word))))
}

#[cfg(test)]
pub(crate) mod tests;
