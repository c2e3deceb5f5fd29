use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::{Access, Context, Kind, Operation, Outcome, Recorder, RunId, SessionId};

fn recorder() -> Recorder {
    Recorder::new(Context::new(RunId::new(), SessionId::new()))
}

fn denied(recorder: &mut Recorder) -> Event {
    recorder.event(Kind::Access(Access { operation: Operation::Read, outcome: Outcome::Denied }))
}

#[test]
fn events_are_appended_as_lines_for_the_owner_alone() {
    let home = tempfile::tempdir().unwrap();
    let place = Place::dir(home.path().join("state"));
    let mut recorder = recorder();
    let events = [denied(&mut recorder), denied(&mut recorder)];
    for event in &events {
        Journal::open(&place).unwrap().append(event).unwrap();
    }
    let text = fs::read(place.file()).unwrap();
    let read: Vec<Event> = text.split_inclusive(|b| *b == b'\n').map(|l| wire::decode(l).unwrap()).collect();
    assert_eq!(read, events);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&place.file()), 0o600);
    assert_eq!(mode(place.file().parent().unwrap()), 0o700);
}
