//! The journal against real files, pipes, sockets and file systems.

mod hostile;
mod loss;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::event::{Access, Context, Kind, Lost, Operation, Outcome};
use crate::{Recorder, RunId, SessionId};

fn recorder() -> Recorder {
    Recorder::new(Context::new(RunId::new(), SessionId::new()))
}

fn denied(recorder: &mut Recorder) -> Event {
    recorder.event(Kind::Access(Access { operation: Operation::Read, outcome: Outcome::Denied }))
}

fn masked(recorder: &mut Recorder) -> Event {
    recorder
        .event(Kind::Access(Access { operation: Operation::Read, outcome: Outcome::Masked { values: 1 } }))
}

/// The events in `bytes`, each of which must be whole but for blank lines.
fn events(bytes: &[u8]) -> Vec<Event> {
    let lines = bytes.split_inclusive(|b| *b == b'\n').filter(|line| *line != b"\n");
    lines.map(|line| wire::decode(line).unwrap()).collect()
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind.name()).collect()
}

fn lost(event: &Event) -> &Lost {
    match &event.kind {
        Kind::Lost(lost) => lost,
        other => panic!("{other:?}"),
    }
}

/// Whether this is root; if not, the skip is printed, and is a failure when `KEYBLIND_REQUIRE` names root.
fn is_root(reason: &str) -> bool {
    if nix::unistd::geteuid().is_root() {
        return true;
    }
    let required = std::env::var("KEYBLIND_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|one| one.trim() == "root"), "root is required here: {reason}");
    // libtest captures only what the print macros write.
    writeln!(std::io::stderr(), "skipped {}: root: {reason}", std::thread::current().name().unwrap())
        .unwrap();
    false
}

#[test]
fn events_are_appended_as_lines_for_the_owner_alone() {
    let home = tempfile::tempdir().unwrap();
    let place = Place::dir(home.path().join("state"));
    let mut recorder = recorder();
    let written = [denied(&mut recorder), masked(&mut recorder)];
    for event in &written {
        Journal::open(&place).unwrap().append(event).unwrap();
    }
    assert_eq!(events(&fs::read(place.file()).unwrap()), written);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&place.file()), 0o600);
    assert_eq!(mode(place.file().parent().unwrap()), 0o700);
}

#[test]
fn each_sink_gets_each_event() {
    let home = tempfile::tempdir().unwrap();
    let place = Place::dir(home.path().join("state"));
    let copy = home.path().join("copy.jsonl");
    let mut journal = Journal::open(&place).unwrap();
    journal.also(Sink::file(&copy).unwrap());
    let event = denied(&mut recorder());
    journal.append(&event).unwrap();
    assert_eq!(events(&fs::read(&copy).unwrap()), std::slice::from_ref(&event));
    assert_eq!(events(&fs::read(place.file()).unwrap()), [event]);
}

#[test]
fn a_log_that_was_moved_away_is_begun_anew() {
    let home = tempfile::tempdir().unwrap();
    let place = Place::dir(home.path().join("state"));
    let mut recorder = recorder();
    let mut journal = Journal::open(&place).unwrap();
    journal.append(&denied(&mut recorder)).unwrap();
    fs::rename(place.file(), home.path().join("archive")).unwrap();
    let second = masked(&mut recorder);
    journal.append(&second).unwrap();
    assert_eq!(events(&fs::read(place.file()).unwrap()), [second]);
    fs::remove_file(place.file()).unwrap();
    let third = masked(&mut recorder);
    journal.append(&third).unwrap();
    assert_eq!(events(&fs::read(place.file()).unwrap()), [third]);
}

/// A journal in `directory` that rotates at `bytes`.
fn small(directory: &Path, bytes: u64) -> Journal {
    let place = Place::dir(directory.join("state"));
    let file = LogFile::open(place.directory().unwrap(), &place.file(), bytes).unwrap();
    Journal { sinks: vec![Sink::new("journal".into(), Target::File(Box::new(file)))] }
}

#[test]
fn writers_side_by_side_tear_and_lose_nothing_through_rotations() {
    const WRITERS: u64 = 4;
    const EACH: u64 = 300;
    let home = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let mut journal = small(home.path(), 40_000);
                let mut recorder = recorder();
                for _ in 0..EACH {
                    journal.append(&denied(&mut recorder)).unwrap();
                }
            });
        }
    });
    let place = Place::dir(home.path().join("state"));
    let mut kept = events(&fs::read(place.rotated_file()).unwrap());
    kept.extend(events(&fs::read(place.file()).unwrap()));
    let (lost, whole): (Vec<_>, Vec<_>) = kept.iter().partition(|event| matches!(event.kind, Kind::Lost(_)));
    assert!(!lost.is_empty());
    let dropped: u64 = lost.iter().map(|event| super::tests::lost(event).total()).sum();
    assert!(lost.iter().all(|event| super::tests::lost(event).lane == "rotation"));
    assert_eq!(dropped + u64::try_from(whole.len()).unwrap(), WRITERS * EACH);
    assert!(fs::metadata(place.rotated_file()).unwrap().len() >= 40_000);
    assert!(fs::metadata(place.rotated_file()).unwrap().len() < 42_000);
}

#[test]
fn a_writer_that_cannot_have_the_lock_still_writes_whole_lines() {
    let home = tempfile::tempdir().unwrap();
    let place = Place::dir(home.path().join("state"));
    let mut journal = Journal::open(&place).unwrap();
    let holder = fs::File::open(place.file()).unwrap();
    holder.lock().unwrap();
    let mut recorder = recorder();
    journal.append(&denied(&mut recorder)).unwrap();
    // The holder may write at this moment: a newline comes first, needed or not.
    assert!(fs::read(place.file()).unwrap().starts_with(b"\n{"));
    // A holder that is dead or stopped within its line.
    fs::write(place.file(), b"{\"v\":1,\"kind\":\"acc").unwrap();
    let event = denied(&mut recorder);
    journal.append(&event).unwrap();
    let text = fs::read(place.file()).unwrap();
    let (torn, rest) = text.split_at(text.iter().position(|b| *b == b'\n').unwrap());
    assert_eq!(torn, b"{\"v\":1,\"kind\":\"acc");
    assert_eq!(events(rest), [event]);
}
