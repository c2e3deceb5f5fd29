//! `keyblind events`, the real binary on a real log.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use keyblind_events::{
    Access, Context, Errno, Event, Journal, Kind, Object, Operation, Outcome, Place, Process, Recorder,
    decode,
};

/// A log in a directory of its own.
struct Scene {
    home: tempfile::TempDir,
    place: Place,
    journal: Journal,
}

impl Scene {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let place = Place::dir(home.path().join("state"));
        let journal = Journal::open(&place).unwrap();
        Self { home, place, journal }
    }

    fn append(&mut self, event: &Event) {
        self.journal.append(event).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.place.file()
    }

    /// `keyblind events ARGS --file LOG`, with a home in which nothing is.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyblind"));
        command.arg("events").args(args).arg("--file").arg(self.file());
        command.env_clear().env("HOME", self.home.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }
}

fn recorder(run: &str, session: &str) -> Recorder {
    Recorder::new(Context::new(run.parse().unwrap(), session.parse().unwrap()))
}

fn denied(recorder: &mut Recorder, path: impl AsRef<Path>) -> Event {
    let mut event =
        recorder.event(Kind::Access(Access { operation: Operation::Read, outcome: Outcome::Denied }));
    let guard = Some("aws.credentials".to_owned());
    let path = Some(path.as_ref().to_owned());
    event.envelope.object = Some(Object { guard, path, ..Object::default() });
    event.envelope.errno = Some(Errno::EPERM);
    event.envelope.process = Some(Process { name: Some("cat".into()), ..Process::new(4711) });
    event
}

#[test]
fn tail_shows_the_last_events_and_escapes_what_a_run_chose() {
    let mut scene = Scene::new();
    let mut run = recorder("r-1", "s-1");
    let home = scene.home.path().to_owned();
    for path in ["first", ".aws/credentials", "a\u{1b}]0;owned\u{7}\nfake"] {
        scene.append(&denied(&mut run, home.join(path)));
    }
    let (status, stdout, stderr) = scene.run(&["tail", "-n", "2"]);
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!((status, stderr.as_str(), lines.len()), (0, "", 3), "{stdout}");
    let expected = "Z deny          r-1  read    ~/.aws/credentials             guard aws.credentials  EPERM";
    assert!(lines[0].ends_with(expected), "{stdout}");
    assert!(lines[1].trim_start().starts_with("by cat(4711)"), "{stdout}");
    assert!(lines[2].contains("~/a\\u{1b}]0;owned\\u{7}\\nfake "), "{stdout}");
}

#[test]
fn json_is_the_wire_form_and_filters_hold() {
    let mut scene = Scene::new();
    let (mut one, mut two) = (recorder("r-1", "s-1"), recorder("r-2", "s-2"));
    let events = [denied(&mut one, "/a"), denied(&mut two, "/b"), denied(&mut one, "/c")];
    events.iter().for_each(|event| scene.append(event));
    let check = |args: &[&str], expected: &[&Event]| {
        let (status, stdout, _) = scene.run(args);
        let read: Vec<Event> = stdout.lines().map(|line| decode(line.as_bytes()).unwrap()).collect();
        assert_eq!(read.iter().collect::<Vec<_>>(), expected, "{args:?}");
        assert_eq!(status, 0);
    };
    check(&["tail", "--json"], &[&events[0], &events[1], &events[2]]);
    check(&["tail", "--json", "-n", "1", "--session", "s-1"], &[&events[2]]);
    check(&["tail", "--json", "--run", "r-2"], &[&events[1]]);
    check(&["show", "--json", "--session", "s-1"], &[&events[0], &events[2]]);
    check(&["show", "--json", "--run", "r-2", "--session", "s-2"], &[&events[1]]);
    let (status, stdout, stderr) = scene.run(&["show", "--run", "r-3"]);
    assert_eq!((status, stdout.as_str()), (1, ""));
    assert!(stderr.starts_with("keyblind: events: nothing recorded of that in /"), "{stderr}");
}

#[test]
fn following_shows_events_as_they_come_and_ends_with_its_reader() {
    let mut scene = Scene::new();
    let mut run = recorder("r-1", "s-1");
    scene.append(&denied(&mut run, "/before"));
    let mut child = scene.command(&["tail", "--follow", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || decode(lines.next().unwrap().unwrap().as_bytes()).unwrap();
    assert_eq!(next().envelope.sequence, 1);
    for sequence in 2..6 {
        if sequence == 4 {
            fs::rename(scene.file(), scene.place.rotated_file()).unwrap();
        }
        let event = denied(&mut run, "/later");
        scene.append(&event);
        assert_eq!(next(), event);
    }
    drop(lines);
    assert!(child.wait().unwrap().success());
}

#[test]
fn lines_that_are_no_events_are_told_on_stderr() {
    let mut scene = Scene::new();
    let event = denied(&mut recorder("r-1", "s-1"), "/a");
    fs::write(scene.file(), "{\"v\":1,\"kind\":\"acc").unwrap();
    scene.append(&event);
    let (status, stdout, stderr) = scene.run(&["tail", "--json"]);
    assert_eq!((status, decode(stdout.as_bytes()).unwrap()), (0, event));
    assert!(stderr.contains("events.jsonl: line at byte 0: not an event: EOF while parsing"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1);
}

#[test]
fn alone_it_sums_up_the_last_day_in_ten_lines() {
    let mut scene = Scene::new();
    let mut run = recorder("r-1", "s-1");
    let mut old = denied(&mut run, "/old");
    old.envelope.time = "2001-01-01T00:00:00Z".parse().unwrap();
    scene.append(&old);
    for _ in 0..3 {
        scene.append(&denied(&mut run, "/a"));
    }
    let (status, stdout, stderr) = scene.run(&[]);
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!((status, stderr.as_str(), lines.len()), (0, "", 3), "{stdout}");
    assert!(lines[0].starts_with("last 24 h   1 runs in 1 sessions, 1 without an end; 3 events in /"));
    assert_eq!(lines[1], "denied      3      aws.credentials 3");
    assert!(lines[2].ends_with("Z  r-1  keyblind events show --session s-1"));
}

#[test]
fn mistakes_name_the_object_the_cause_and_the_fix() {
    let scene = Scene::new();
    let check = |args: &[&str], status: i32, text: &str| {
        let (found, stdout, stderr) = scene.run(args);
        assert_eq!((found, stdout.as_str()), (status, ""), "{stderr}");
        assert!(stderr.contains(text), "{stderr}");
    };
    check(
        &["tail", "--session", "a b"],
        2,
        "session id \"a b\": \" \" at byte 1 is not allowed; use 1 to 64 of",
    );
    check(&["tail", "--run", "x"], 2, "run id \"x\": it does not begin with r-; use r- and");
    check(&["show"], 2, "<--session <ID>|--run <ID>>");
    fs::remove_file(scene.file()).unwrap();
    check(&["tail"], 0, "events.jsonl does not exist: nothing recorded yet");
    fs::create_dir(scene.file()).unwrap();
    check(&["tail"], 2, "it is not a regular file; name the file that the events were written to");
}
