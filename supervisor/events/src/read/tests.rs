use std::fs;
use std::io::Write as _;
use std::os::fd::AsFd as _;

use super::*;
use crate::event::{Access, Context, Kind, Operation, Outcome};
use crate::{Journal, Recorder};

fn recorder(session: &str) -> Recorder {
    Recorder::new(Context::new(RunId::new(), session.parse().unwrap()))
}

fn denied(recorder: &mut Recorder) -> Event {
    recorder.event(Kind::Access(Access { operation: Operation::Read, outcome: Outcome::Denied }))
}

/// A log in which `runs` took turns, each `turns` times.
fn log(runs: &mut [Recorder], turns: usize) -> (tempfile::TempDir, Place, Vec<Event>) {
    let home = tempfile::tempdir().unwrap();
    let place = Place::dir(home.path().join("state"));
    let mut journal = Journal::open(&place).unwrap();
    let mut all = Vec::new();
    for _ in 0..turns {
        for run in runs.iter_mut() {
            all.push(denied(run));
            journal.append(all.last().unwrap()).unwrap();
        }
    }
    (home, place, all)
}

fn events(items: impl IntoIterator<Item = Item>) -> Vec<Event> {
    let event = |item| match item {
        Item::Event(event) => *event,
        Item::Unreadable { cause, .. } => panic!("{cause}"),
    };
    items.into_iter().map(event).collect()
}

fn read(log: &Log, filter: &Filter) -> Vec<Event> {
    let mut items = Vec::new();
    log.read(filter, |item| items.push(item)).unwrap();
    events(items)
}

#[test]
fn a_filter_takes_what_it_names_and_no_more() {
    let mut runs = [recorder("s-1"), recorder("s-1"), recorder("s-11")];
    let (_home, place, all) = log(&mut runs, 3);
    let log = Log::at(&place);
    let of = |keep: &dyn Fn(&Event) -> bool| all.iter().filter(|e| keep(e)).cloned().collect::<Vec<_>>();
    let check = |filter: Filter, keep: &dyn Fn(&Event) -> bool| {
        assert_eq!(read(&log, &filter), of(keep), "{filter:?}");
        let mut last = of(keep);
        last.drain(..last.len().saturating_sub(2));
        assert_eq!(events(log.tail(2, &filter).unwrap().0), last, "{filter:?}");
    };
    check(Filter::default(), &|_| true);
    let session: SessionId = "s-1".parse().unwrap();
    check(Filter { session: Some(session.clone()), ..Filter::default() }, &|e| {
        e.envelope.context.session == session
    });
    let run = runs[1].context().run.clone();
    check(Filter { run: Some(run.clone()), ..Filter::default() }, &|e| e.envelope.context.run == run);
    let since = all[5].envelope.time;
    check(Filter { since: Some(since), ..Filter::default() }, &|e| e.envelope.time >= since);
    let never = Filter { session: Some("s-none".parse().unwrap()), ..Filter::default() };
    check(never, &|_| false);
}

/// An id that stands elsewhere in the line makes no event of it.
#[test]
fn an_id_in_another_field_does_not_fool_the_filter() {
    let mut recorder = recorder("s-1");
    recorder.amend(|context| {
        context.tool = Some("s-2".into());
        context.principal = Some("r-2".into());
    });
    let (_home, place, _all) = log(&mut [recorder], 1);
    let filter = Filter { session: Some("s-2".parse().unwrap()), ..Filter::default() };
    assert_eq!(read(&Log::at(&place), &filter), []);
    let filter = Filter { run: Some("r-2".parse().unwrap()), ..Filter::default() };
    assert_eq!(read(&Log::at(&place), &filter), []);
}

#[test]
fn torn_lines_are_reported_and_passed_over() {
    let (_home, place, mut all) = log(&mut [recorder("s-1")], 2);
    let size = fs::metadata(place.file()).unwrap().len();
    let mut file = fs::OpenOptions::new().append(true).open(place.file()).unwrap();
    file.write_all(b"{\"v\":1,\"kind\":\"acc").unwrap();
    let event = denied(&mut recorder("s-1"));
    Journal::open(&place).unwrap().append(&event).unwrap();
    all.push(event);
    file.write_all(b"{\"v\":9}\n{").unwrap();

    let (mut found, mut bad) = (Vec::new(), Vec::new());
    let filter = Filter { session: Some("s-1".parse().unwrap()), ..Filter::default() };
    Log::at(&place)
        .read(&Filter::default(), |item| match item {
            Item::Event(event) => found.push(*event),
            Item::Unreadable { file, offset, .. } => {
                assert_eq!(file, place.file());
                bad.push(offset);
            }
        })
        .unwrap();
    assert_eq!(found, all);
    assert_eq!((bad.len(), bad[0]), (3, size));
    assert_eq!(read(&Log::at(&place), &filter), all);
}

#[test]
fn the_rotated_file_comes_first() {
    let mut runs = [recorder("s-1")];
    let (_home, place, mut all) = log(&mut runs, 3);
    fs::rename(place.file(), place.rotated_file()).unwrap();
    let event = denied(&mut runs[0]);
    Journal::open(&place).unwrap().append(&event).unwrap();
    all.push(event);
    assert_eq!(read(&Log::at(&place), &Filter::default()), all);
    assert_eq!(events(Log::at(&place).tail(2, &Filter::default()).unwrap().0), all[2..]);
    assert_eq!(events(Log::at(&place).tail(0, &Filter::default()).unwrap().0), []);
}

/// A rotation between the opening of the two files makes one of them.
#[test]
fn a_file_that_is_both_is_read_once() {
    let (_home, place, all) = log(&mut [recorder("s-1")], 2);
    fs::hard_link(place.file(), place.rotated_file()).unwrap();
    assert_eq!(read(&Log::at(&place), &Filter::default()), all);
}

#[test]
fn a_torn_end_of_a_rotated_file_is_reported_when_followed() {
    let (_home, place, _old) = log(&mut [recorder("s-1")], 1);
    let mut follow = Log::at(&place).tail(0, &Filter::default()).unwrap().1;
    fs::OpenOptions::new().append(true).open(place.file()).unwrap().write_all(b"{\"v\":1").unwrap();
    fs::rename(place.file(), place.rotated_file()).unwrap();
    Journal::open(&place).unwrap().append(&denied(&mut recorder("s-1"))).unwrap();
    let mut items = Vec::new();
    follow.read(&Filter::default(), |item| items.push(item)).unwrap();
    assert!(matches!(items.as_slice(), [Item::Unreadable { .. }, Item::Event(_)]), "{items:?}");
}

#[test]
fn a_log_that_is_not_there_is_empty_and_a_fifo_is_none() {
    let home = tempfile::tempdir().unwrap();
    let log = Log::file(home.path().join("absent"));
    assert!(!log.exists());
    assert_eq!(read(&log, &Filter::default()), []);
    let fifo = home.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = Log::file(&fifo).read(&Filter::default(), |_| ()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("fifo: it is not a regular file; name the file that the events were written to")
    );
}

#[test]
fn following_sees_each_event_once_through_rotation_and_beginning() {
    let home = tempfile::tempdir().unwrap();
    let place = Place::dir(home.path().join("state"));
    let mut follow = Log::at(&place).tail(0, &Filter::default()).unwrap().1;
    let (reader, output) = std::io::pipe().unwrap();
    let mut recorder = recorder("s-1");
    let mut written = Vec::new();
    let mut seen = Vec::new();
    let mut look = |follow: &mut Follow| {
        let mut items = Vec::new();
        follow.read(&Filter::default(), |item| items.push(item)).unwrap();
        seen.extend(events(items));
        seen.clone()
    };
    assert_eq!(look(&mut follow), []);

    for turn in 0..4 {
        // A new journal each time: what matters is the name, not who writes.
        let mut journal = Journal::open(&place).unwrap();
        for _ in 0..3 {
            written.push(denied(&mut recorder));
            journal.append(written.last().unwrap()).unwrap();
        }
        assert_eq!(follow.wait(output.as_fd()).unwrap(), Wake::Changed);
        if turn == 1 {
            // Rotated with lines that were not looked at yet.
            fs::rename(place.file(), place.rotated_file()).unwrap();
            written.push(denied(&mut recorder));
            journal.append(written.last().unwrap()).unwrap();
        }
        assert_eq!(look(&mut follow), written, "turn {turn}");
    }
    drop(reader);
    assert_eq!(follow.wait(output.as_fd()).unwrap(), Wake::ReaderGone);
}

#[test]
fn following_begins_at_the_end_and_keeps_a_line_until_it_is_whole() {
    let (_home, place, _old) = log(&mut [recorder("s-1")], 2);
    let mut follow = Log::at(&place).tail(0, &Filter::default()).unwrap().1;
    let event = denied(&mut recorder("s-1"));
    let line = wire::encode(&event);
    let (half, rest) = line.split_at(line.len() / 2);
    let mut file = fs::OpenOptions::new().append(true).open(place.file()).unwrap();
    let mut items = Vec::new();
    for part in [half, rest] {
        assert!(items.is_empty());
        file.write_all(part).unwrap();
        follow.read(&Filter::default(), |item| items.push(item)).unwrap();
    }
    assert_eq!(events(items), [event]);
}
