#![forbid(unsafe_code)]
//! The last hours in ten lines.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Wall;
use crate::escape::printable;
use crate::event::{End, Event, Kind, Object, Outcome, Secret};
use crate::ids::{RunId, SessionId};
use crate::render::thousands;

/// How many names to show per line.
const NAMES: usize = 4;

/// Adds events up.
#[derive(Debug, Default)]
pub struct Summary {
    events: u64,
    runs: BTreeSet<RunId>,
    services: BTreeSet<RunId>,
    sessions: BTreeSet<SessionId>,
    ended: BTreeSet<RunId>,
    denied: Counts,
    flagged: Counts,
    masked: Counts,
    redacted: Counts,
    lost: Counts,
    refused: Counts,
    last_denial: Option<(Wall, SessionId, RunId)>,
    unreadable: u64,
}

#[derive(Debug, Default)]
struct Counts(BTreeMap<String, u64>);

impl Counts {
    fn add(&mut self, name: &str, n: u64) {
        let count = self.0.entry(printable(name)).or_default();
        *count = count.saturating_add(n);
    }

    fn total(&self) -> u64 {
        self.0.values().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// `5  aws.credentials 4, net.metadata 1`.
    fn line(&self, word: &str) -> String {
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_by_key(|&(name, n)| (std::cmp::Reverse(*n), name));
        let mut names: Vec<_> =
            sorted.iter().take(NAMES).map(|(name, n)| format!("{name} {}", thousands(**n))).collect();
        if sorted.len() > NAMES {
            names.push(format!("{} more", sorted.len() - NAMES));
        }
        let line = format!("{word:<11} {:<6} {}", thousands(self.total()), names.join(", "));
        line.trim_end().to_owned()
    }
}

impl Summary {
    /// Counts `event`; a folded one as often as it happened.
    pub fn add(&mut self, event: &Event) {
        let context = &event.envelope.context;
        let times = event.envelope.repeat.map_or(1, |repeat| repeat.count);
        self.events = self.events.saturating_add(1);
        self.runs.insert(context.run.clone());
        if !matches!(event.kind, Kind::Host(_)) {
            self.sessions.insert(context.session.clone());
        }
        match &event.kind {
            Kind::RunStarted(_) => {}
            Kind::Access(access) => {
                let counts = match access.outcome {
                    Outcome::Denied => {
                        let last = (event.envelope.time, context.session.clone(), context.run.clone());
                        self.last_denial = Some(last);
                        &mut self.denied
                    }
                    Outcome::Flagged => &mut self.flagged,
                    Outcome::Masked { .. } => &mut self.masked,
                };
                counts.add(guard(event.envelope.object.as_ref()), times);
            }
            Kind::Redacted(redacted) => match &redacted.secret {
                Secret::Needle(name) => self.redacted.add(name, times),
                Secret::Rule(id) => self.redacted.add(&format!("rule {id}"), times),
            },
            Kind::Lost(lost) => self.lost.add(&format!("{} lane", lost.lane), lost.total()),
            Kind::Host(_) => drop(self.services.insert(context.run.clone())),
            Kind::RunEnded(ended) => {
                self.ended.insert(context.run.clone());
                if let End::Refused { reason } = &ended.end {
                    self.refused.add(&format!("\"{reason}\""), 1);
                }
            }
        }
    }

    /// Counts a line that holds no event.
    pub fn add_unreadable(&mut self) {
        self.unreadable = self.unreadable.saturating_add(1);
    }

    /// At most nine lines; `log` names the log, `period` what was added up.
    pub fn lines(&self, period: &str, log: &str) -> Vec<String> {
        // The host service is no run, although its events have a run's id.
        let runs: BTreeSet<_> = self.runs.difference(&self.services).collect();
        let open = runs.iter().filter(|run| !self.ended.contains(**run)).count();
        let mut lines = vec![format!(
            "{period:<11} {} runs in {} sessions, {open} without an end; {} events in {log}",
            runs.len(),
            self.sessions.len(),
            thousands(self.events),
        )];
        lines.push(self.denied.line("denied"));
        let optional = [
            ("flagged", &self.flagged),
            ("masked", &self.masked),
            ("redacted", &self.redacted),
            ("refused", &self.refused),
            ("lost", &self.lost),
        ];
        lines.extend(optional.iter().filter(|(_, counts)| counts.total() > 0).map(|(word, c)| c.line(word)));
        if let Some((time, session, run)) = &self.last_denial {
            let millis = time.millis();
            lines.push(format!("last denial {millis}  {run}  keyblind events show --session {session}"));
        }
        if self.unreadable > 0 {
            let text =
                format!("{:<11} {:<6} lines (torn, or of a later version)", "unreadable", self.unreadable);
            lines.push(text);
        }
        lines
    }
}

fn guard(object: Option<&Object>) -> &str {
    object.and_then(|object| object.guard.as_deref()).unwrap_or("(no guard)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::full_events;

    #[test]
    fn every_kind_is_counted_in_at_most_nine_lines() {
        let mut summary = Summary::default();
        for event in full_events() {
            summary.add(&event);
        }
        let mut other = full_events().remove(2);
        other.envelope.repeat = None;
        for n in 0..5 {
            let object = Object { guard: Some(format!("guard-{n}\u{1b}")), ..Object::default() };
            other.envelope.object = Some(object);
            summary.add(&other);
        }
        summary.add_unreadable();
        let expected = [
            "last 24 h   1 runs in 1 sessions, 0 without an end; 24 events in events.jsonl",
            "denied      8      aws.credentials 3, guard-0\\u{1b} 1, guard-1\\u{1b} 1, guard-2\\u{1b} 1, 2 more",
            "flagged     6      aws.credentials 6",
            "masked      3      aws.credentials 3",
            "redacted    6      DB_URL 3, rule jwt 3",
            "refused     1      \"layer bpf_lsm: not permitted\" 1",
            "lost        120    flag lane 120",
            "last denial 2026-11-23T14:02:13.377Z  r-8Q2kZ0xVb3Lm  keyblind events show --session s-41",
            "unreadable  1      lines (torn, or of a later version)",
        ];
        assert_eq!(summary.lines("last 24 h", "events.jsonl"), expected);
    }

    #[test]
    fn nothing_is_said_of_what_did_not_happen() {
        let lines = Summary::default().lines("last 24 h", "events.jsonl");
        assert_eq!(
            lines,
            ["last 24 h   0 runs in 0 sessions, 0 without an end; 0 events in events.jsonl", "denied      0"]
        );
    }
}
