#![forbid(unsafe_code)]
//! Events as people read them, one or two lines each.
//!
//! Pure: what is shown depends on the events alone. Text that a run can choose is escaped.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::escape::{printable, quoted};
use crate::event::{
    Access, Address, End, Envelope, Errno, Event, HostEvent, Kind, Lost, Object, Outcome, Process, Redacted,
    Repeat, RunEnded, RunStarted, Secret, Status,
};
use crate::ids::RunId;

/// Where the second line of an event begins.
const INDENT: usize = 40;

/// Turns events into lines. Remembers of each open run what it said last, so as not to say it twice.
#[derive(Debug, Default)]
pub struct Renderer {
    home: Option<PathBuf>,
    runs: HashMap<RunId, Said>,
}

#[derive(Debug, Default)]
struct Said {
    cwd: Option<PathBuf>,
    process: Option<(u32, Option<u64>)>,
    object: Option<Object>,
}

impl Renderer {
    /// A renderer that shows paths below `home` as `~/…`.
    pub fn new(home: Option<PathBuf>) -> Self {
        Self { home, runs: HashMap::new() }
    }

    /// The event as text: lines separated by newlines, none at the end.
    pub fn render(&mut self, event: &Event) -> String {
        let envelope = &event.envelope;
        let run = &envelope.context.run;
        let (word, body) = match &event.kind {
            Kind::RunStarted(started) => {
                let said = Said { cwd: Some(started.cwd.clone()), ..Said::default() };
                self.runs.insert(run.clone(), said);
                ("run.started", self.started(envelope, started))
            }
            Kind::Access(access) => {
                let word = match access.outcome {
                    Outcome::Denied => "deny",
                    Outcome::Flagged => "flag",
                    Outcome::Masked { .. } => "mask",
                };
                (word, self.access(envelope, access))
            }
            Kind::Redacted(what) => ("redacted", redacted(what)),
            Kind::Lost(what) => ("lost", lost(what)),
            Kind::RunEnded(ended) => {
                self.runs.remove(run);
                ("run.ended", run_ended(ended))
            }
            Kind::Host(host) => (host.what.as_str(), host_event(host)),
        };
        let label = match envelope.repeat {
            Some(repeat) => format!("{word:<6} ×{}", repeat.count),
            None => word.to_owned(),
        };
        let before = match (&event.kind, envelope.lost_before) {
            (Kind::Lost(_), _) | (_, 0) => String::new(),
            (_, n) => format!("   ({n} events before it lost)"),
        };
        format!("{} {label:<13} {run}  {body}{before}", envelope.time.millis())
    }

    fn started(&self, envelope: &Envelope, started: &RunStarted) -> String {
        let context = &envelope.context;
        let command: Vec<String> =
            started.command.iter().map(|word| quoted(word.as_encoded_bytes())).collect();
        let tool = printable(context.tool.as_deref().unwrap_or("-"));
        let tier = context.tier.map_or("-", |tier| tier.as_str());
        let mut line =
            format!("session {}  tool {tool:<17} {:<30}  tier {tier}", context.session, command.join(" "));
        let off: Vec<_> =
            started.layers.iter().filter(|layer| !layer.on).map(|l| printable(&l.layer)).collect();
        if !off.is_empty() {
            push(&mut line, format_args!(", off: {}", off.join(", ")));
        }
        if context.mode == Some(crate::event::Mode::Audit) {
            line.push_str(", mode audit");
        }
        if let Some(call) = &context.call_id {
            push(&mut line, format_args!(", call {call}"));
        }
        if !started.not_enforced.is_empty() {
            let promises: Vec<_> = started.not_enforced.iter().map(printable).collect();
            push(&mut line, format_args!("\n{:INDENT$}not enforced: {}", "", promises.join("; ")));
        }
        line
    }

    fn access(&mut self, envelope: &Envelope, access: &Access) -> String {
        let said = self.runs.entry(envelope.context.run.clone()).or_default();
        let object = envelope.object.clone().unwrap_or_default();
        let same = said.object.replace(object.clone()).is_some_and(|last| same_object(&last, &object));
        let what = shown_object(&object, said.cwd.as_deref(), self.home.as_deref());
        let mut line = format!("{:<7} {what:<28}   ", access.operation.as_str());
        let mut parts = Vec::new();
        match envelope.repeat {
            Some(repeat) => {
                let object = if same { "same object, " } else { "" };
                parts.push(format!("{object}folded {}", span(envelope, repeat)));
                if !same {
                    parts.extend(reason_and_answer(envelope, access, &object_guard(envelope)));
                }
            }
            None => parts.extend(reason_and_answer(envelope, access, &object_guard(envelope))),
        }
        line.push_str(&parts.join("  "));
        if let Some(process) = &envelope.process {
            let identity = (process.pid, process.start_ticks);
            if said.process.replace(identity) != Some(identity) {
                push(&mut line, format_args!("\n{:INDENT$}{}", "", by(envelope, process)));
            }
        }
        line
    }
}

/// `r-8Q2 of user 1000: its client died`, and what is enforced on a line of its own.
fn host_event(host: &HostEvent) -> String {
    let run = host.run.as_ref().map(ToString::to_string);
    let uid = host.uid.map(|uid| format!("user {uid}"));
    let whom = match (run, uid) {
        (Some(run), Some(uid)) => format!("{run} of {uid}: "),
        (Some(one), None) | (None, Some(one)) => format!("{one}: "),
        (None, None) => String::new(),
    };
    let mut line = format!("{whom}{}", printable(&host.detail));
    let lists: Vec<String> = [("enforced", &host.enforced), ("not enforced", &host.not_enforced)]
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(word, list)| format!("{word}: {}", list.iter().map(printable).collect::<Vec<_>>().join("; ")))
        .collect();
    if !lists.is_empty() {
        push(&mut line, format_args!("\n{:INDENT$}{}", "", lists.join("; ")));
    }
    line
}

/// Appends to a line; writing to a String does not fail.
fn push(line: &mut String, text: std::fmt::Arguments<'_>) {
    if line.write_fmt(text).is_err() {
        line.push('…');
    }
}

fn object_guard(envelope: &Envelope) -> Option<String> {
    envelope.object.as_ref().and_then(|object| object.guard.as_deref()).map(printable)
}

/// `guard aws.credentials` and `EACCES`, `4 values marked` or `let pass`.
fn reason_and_answer(envelope: &Envelope, access: &Access, guard: &Option<String>) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(guard) = guard {
        parts.push(format!("{:<21}", format!("guard {guard}")));
    }
    parts.push(match access.outcome {
        Outcome::Denied => envelope.errno.map_or("refused".to_owned(), errno),
        Outcome::Flagged => "let pass".to_owned(),
        Outcome::Masked { values: 1 } => "1 value marked".to_owned(),
        Outcome::Masked { values } => format!("{values} values marked"),
    });
    parts
}

fn errno(errno: Errno) -> String {
    errno.name().unwrap_or_else(|| format!("errno {}", errno.0))
}

/// Begin and end of a folded event, what they have in common said once: `14:02:13.379–.402`.
fn span(envelope: &Envelope, repeat: Repeat) -> String {
    let time_of_day = |moment: String| moment.get(11..23).unwrap_or_default().to_owned();
    let (first, last) = (time_of_day(envelope.time.millis()), time_of_day(repeat.last.millis()));
    let same_second = first.get(..8) == last.get(..8);
    let end = if same_second { last.get(8..).unwrap_or_default() } else { last.as_str() };
    format!("{first}–{end}")
}

fn same_object(one: &Object, other: &Object) -> bool {
    match (one.file, other.file) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

fn shown_object(object: &Object, cwd: Option<&Path>, home: Option<&Path>) -> String {
    let path = object.path.as_ref().or(object.guarded_path.as_ref());
    match (path, &object.address, &object.process) {
        (Some(path), _, _) => shown_path(path, cwd, home),
        (_, Some(Address::Inet(inet)), _) => inet.to_string(),
        (_, Some(Address::Unix(path)), _) => shown_path(path, cwd, home),
        (_, Some(Address::Abstract(name)), _) => format!("@{}", printable(name.as_encoded_bytes())),
        (_, _, Some(process)) => shown_process(process),
        _ => "-".to_owned(),
    }
}

fn shown_path(path: &Path, cwd: Option<&Path>, home: Option<&Path>) -> String {
    let below = |base: Option<&Path>, sign: &str| {
        let rest = path.strip_prefix(base.filter(|base| *base != Path::new("/"))?).ok()?;
        Some(format!("{sign}/{}", printable(rest.as_os_str().as_encoded_bytes())))
    };
    below(cwd, ".")
        .or_else(|| below(home, "~"))
        .unwrap_or_else(|| printable(path.as_os_str().as_encoded_bytes()))
}

/// `cat(4711)`.
fn shown_process(process: &Process) -> String {
    let exe = process.exe.as_deref().and_then(Path::file_name);
    let name = process.name.as_deref().or(exe).unwrap_or(OsStr::new("?"));
    format!("{}({})", printable(name.as_encoded_bytes()), process.pid)
}

/// `by cat(4711) ← bash(4709)   exe /usr/bin/cat sha256:9f2c…  call c-17`.
fn by(envelope: &Envelope, process: &Process) -> String {
    let chain: Vec<_> = std::iter::once(process).chain(&envelope.lineage).map(shown_process).collect();
    let mut line = format!("by {}", chain.join(" ← "));
    if let Some(exe) = &process.exe {
        push(&mut line, format_args!("   exe {}", printable(exe.as_os_str().as_encoded_bytes())));
    }
    if let Some(hash) = process.exe_sha256.map(|hash| hash.to_string()) {
        push(&mut line, format_args!(" sha256:{}…", hash.get(..4).unwrap_or_default()));
    }
    if let Some(call) = &envelope.context.call_id {
        push(&mut line, format_args!("  call {call}"));
    }
    line
}

fn redacted(what: &Redacted) -> String {
    let place = format!("{} @{}", what.stream.as_str(), thousands(what.offset));
    let mut line = match &what.secret {
        Secret::Needle(name) => format!("{place:<36}   {}", printable(name)),
        Secret::Rule(id) => format!("{place:<36}   rule {}", printable(id)),
    };
    if let Some(fingerprint) = &what.fingerprint {
        push(&mut line, format_args!(" (fp {})", printable(fingerprint)));
    }
    if let Some(encoding) = &what.encoding {
        push(&mut line, format_args!(", {}", printable(encoding)));
    }
    line
}

fn lost(what: &Lost) -> String {
    let counts: Vec<_> = what.counts.iter().map(|(name, n)| format!("{} {n}", printable(name))).collect();
    format!("bodies {} of {} lane; counts kept: {}", what.total(), printable(&what.lane), counts.join(", "))
}

fn run_ended(ended: &RunEnded) -> String {
    let tally = &ended.tally;
    let mut line = match &ended.end {
        End::Finished(status) => shown_status(*status),
        End::Stopped { reason, status: None } => format!("stopped: {}", printable(reason)),
        End::Stopped { reason, status: Some(status) } => {
            format!("stopped: {}, {}", printable(reason), shown_status(*status))
        }
        End::Refused { reason } => return format!("refused: {}", printable(reason)),
    };
    push(&mut line, format_args!("   {}   denied {}", shown_duration(ended.duration), tally.denied));
    for (word, n) in [("flagged", tally.flagged), ("masked", tally.masked)] {
        if n > 0 {
            push(&mut line, format_args!("  {word} {n}"));
        }
    }
    push(&mut line, format_args!("  redacted {}", tally.redacted));
    if tally.lost > 0 {
        push(&mut line, format_args!("  lost {} bodies", tally.lost));
    }
    if tally.killed > 0 {
        push(&mut line, format_args!("  killed {}", tally.killed));
        let names: Vec<_> = ended.killed.iter().map(shown_process).collect();
        if !names.is_empty() {
            push(&mut line, format_args!(": {}", names.join(", ")));
        }
    }
    line
}

fn shown_status(status: Status) -> String {
    match status {
        Status::Exited(code) => format!("exit {code}"),
        Status::Signaled(number) => match nix::sys::signal::Signal::try_from(number) {
            Ok(signal) => format!("signal {number} ({signal})"),
            Err(_real_time) => format!("signal {number}"),
        },
    }
}

fn shown_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.2} s", duration.as_secs_f64()),
        10..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `18,204`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests;
