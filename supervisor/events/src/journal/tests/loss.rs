//! What cannot be written is counted, and comes first when writing works again.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::*;

#[test]
fn a_device_that_is_always_full_loses_no_count() {
    let home = tempfile::tempdir().unwrap();
    let place = Place::dir(home.path().join("state"));
    let mut journal = Journal::open(&place).unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    journal.also(Sink::fd(full.as_raw_fd()).unwrap());
    let mut recorder = recorder();
    for n in 1..=3 {
        let error = journal.append(&denied(&mut recorder)).unwrap_err().to_string();
        let fd = full.as_raw_fd();
        assert_eq!(
            error,
            format!(
                "event log fd:{fd}: cannot write: No space left on device; free some space there; \
                 {n} lost so far, counted"
            )
        );
        assert_eq!(journal.unreported(), n);
    }
    assert!(journal.flush().is_err());
    assert_eq!(journal.unreported(), 3);
    // The journal itself has them all.
    assert_eq!(kinds(&events(&fs::read(place.file()).unwrap())), ["access.denied"; 3]);
}

#[test]
fn a_pipe_without_a_reader_is_an_error_and_not_a_signal() {
    let home = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(&Place::dir(home.path().join("state"))).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    journal.also(Sink::fd(writer.as_raw_fd()).unwrap());
    drop(reader);
    let error = journal.append(&denied(&mut recorder())).unwrap_err().to_string();
    assert!(error.contains("cannot write: Broken pipe; its reader is gone; 1 lost"), "{error}");
}

#[test]
fn a_pipe_whose_reader_sleeps_loses_bodies_and_tells_the_counts_when_it_wakes() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut sink = Sink::fd(writer.as_raw_fd()).unwrap();
    let mut recorder = recorder();
    let (mut whole, mut missing) = (0_u64, 0_u64);
    while missing < 5 {
        let event = if missing % 2 == 0 { denied(&mut recorder) } else { masked(&mut recorder) };
        match sink.append(&event, &wire::encode(&event)) {
            Ok(()) => whole += 1,
            Err(errno) => {
                assert_eq!(errno, Errno::EAGAIN);
                missing += 1;
            }
        }
    }
    let lane = sink.name.clone();
    let mut drained = vec![0; 1 << 20];
    let len = reader.read(&mut drained).unwrap();
    drained.truncate(len);
    let last = masked(&mut recorder);
    sink.append(&last, &wire::encode(&last)).unwrap();
    drop((sink, writer));
    reader.read_to_end(&mut drained).unwrap();

    // The last line before the loss may be torn, and is ended; all others are whole.
    let (good, torn): (Vec<_>, Vec<_>) = drained
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .partition(|line| wire::decode(line).is_ok());
    assert!(torn.len() <= 1);
    let read: Vec<Event> = good.into_iter().map(|line| wire::decode(line).unwrap()).collect();
    let (report, before) = (&read[read.len() - 2], &read[read.len() - 3]);
    assert_eq!(u64::try_from(read.len()).unwrap(), whole + 2);
    let counts = [("access.denied".to_owned(), 3), ("access.masked".to_owned(), 2)].into();
    assert_eq!(lost(report), &Lost { lane, counts });
    assert_eq!(report.envelope.lost_before, 5);
    assert_eq!(report.envelope.sequence, before.envelope.sequence + 1);
    assert_eq!(read.last(), Some(&last));
    assert_eq!(last.envelope.sequence, report.envelope.sequence + 5);
}

#[test]
fn a_line_longer_than_the_pipe_is_torn_and_the_next_one_is_whole() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut sink = Sink::fd(writer.as_raw_fd()).unwrap();
    let mut recorder = recorder();
    let mut long = denied(&mut recorder);
    long.envelope.hook = Some("x".repeat(100_000));
    assert!(sink.append(&long, &wire::encode(&long)).is_err());
    let mut start = vec![0; 1 << 20];
    let len = reader.read(&mut start).unwrap();
    assert_eq!(len, 65_536);
    let next = masked(&mut recorder);
    sink.append(&next, &wire::encode(&next)).unwrap();
    drop((sink, writer));
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.first(), Some(&b'\n'));
    assert_eq!(kinds(&events(&rest)), ["lost", "access.masked"]);
}

#[test]
fn the_callers_descriptor_keeps_its_flags() {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let (_reader, writer) = std::io::pipe().unwrap();
    let before = fcntl(&writer, FcntlArg::F_GETFL).unwrap();
    let mut sink = Sink::fd(writer.as_raw_fd()).unwrap();
    let event = denied(&mut recorder());
    sink.append(&event, &wire::encode(&event)).unwrap();
    assert_eq!(fcntl(&writer, FcntlArg::F_GETFL), Ok(before));
    assert_eq!(before & OFlag::O_NONBLOCK.bits(), 0);
}

#[test]
fn a_socket_gets_one_message_per_event_and_never_blocks() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let mut sink = Sink::fd(ours.as_raw_fd()).unwrap();
    let mut recorder = recorder();
    let first = denied(&mut recorder);
    sink.append(&first, &wire::encode(&first)).unwrap();
    let mut message = vec![0; 4096];
    let len = theirs.recv(&mut message).unwrap();
    assert_eq!(wire::decode(&message[..len]).unwrap(), first);
    let mut result = Ok(());
    for _ in 0..100_000 {
        let event = denied(&mut recorder);
        result = sink.append(&event, &wire::encode(&event));
        if result.is_err() {
            break;
        }
    }
    assert_eq!(result, Err(Errno::EAGAIN));
    drop(theirs);
    assert_eq!(sink.report(), Err(Errno::ECONNREFUSED));
}

#[test]
fn a_descriptor_that_is_not_open_is_named_with_the_fix() {
    assert_eq!(
        Sink::fd(777_777).unwrap_err().to_string(),
        "event log fd:777777: the descriptor is not open for writing; open it first, as in 777777>FILE"
    );
    let reading = File::open("/dev/null").unwrap();
    assert!(matches!(Sink::fd(reading.as_raw_fd()), Err(JournalError::Descriptor { .. })));
}

/// A loss event that cannot be written itself hands its counts on.
#[test]
fn counts_of_a_lost_loss_are_kept() {
    let mut pending = Pending::default();
    let mut recorder = recorder();
    let flags = |n| Kind::Lost(Lost { lane: "flag".into(), counts: [("procfs.maps".into(), n)].into() });
    pending.count("journal", &recorder.event(flags(120)));
    pending.count("journal", &denied(&mut recorder));
    pending.count("journal", &recorder.event(flags(3)));
    assert_eq!(pending.total(), 124);
    let first = pending.next().unwrap();
    assert_eq!(first.kind, flags(123));
    assert_eq!(first.envelope.sequence, 1);
    pending.reported(&first);
    let second = pending.next().unwrap();
    assert_eq!(lost(&second), &Lost { lane: "journal".into(), counts: [("access.denied".into(), 1)].into() });
    assert_eq!(second.envelope.sequence, 2);
    pending.reported(&second);
    assert_eq!((pending.next(), pending.total()), (None, 0));
}

/// On a file system that fills up in the middle of a line: nothing panics, nothing is glued to the torn
/// line, and the counts are exact.
#[test]
fn a_full_disk_tears_one_line_and_loses_no_count() {
    if !is_root("needs root to mount a small tmpfs") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let at = home.path().join("small");
    fs::create_dir(&at).unwrap();
    // unshare(2) with CLONE_NEWNS moves the calling thread alone.
    std::thread::scope(|scope| drop(scope.spawn(|| full_disk(&at))));
}

fn full_disk(at: &Path) {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some("size=64k,mode=700")).unwrap();
    let place = Place::dir(at);
    let filler = at.join("filler");
    fs::write(&filler, vec![0; 32 << 10]).unwrap();

    let mut journal = Journal::open(&place).unwrap();
    let mut recorder = recorder();
    let (mut whole, mut missing) = (0_u64, 0_u64);
    while missing < 7 {
        match journal.append(&denied(&mut recorder)) {
            Ok(()) => whole += 1,
            Err(JournalError::Write { source: Errno::ENOSPC, .. }) => missing += 1,
            Err(other) => panic!("{other}"),
        }
    }
    let full = fs::read(place.file()).unwrap();
    assert_eq!(full.len(), 32 << 10, "the last page is full");
    assert_ne!(full.last(), Some(&b'\n'), "the last line is torn");
    assert_eq!(journal.unreported(), 7);

    // Another run's writer that begins while the line is torn, then ours.
    fs::remove_file(&filler).unwrap();
    let other = masked(&mut super::recorder());
    Journal::open(&place).unwrap().append(&other).unwrap();
    let last = masked(&mut recorder);
    journal.append(&last).unwrap();
    assert_eq!(journal.unreported(), 0);

    let text = fs::read(place.file()).unwrap();
    let lines: Vec<_> = text.split_inclusive(|b| *b == b'\n').map(wire::decode).collect();
    let torn = lines.iter().filter(|line| matches!(line, Err(crate::WireError::Torn { .. }))).count();
    let read: Vec<Event> = lines.into_iter().flatten().collect();
    assert_eq!(torn, 1);
    assert_eq!(u64::try_from(read.len()).unwrap(), whole + 3);
    let [.., before, after, report, end] = read.as_slice() else { panic!() };
    assert_eq!((before.kind.name(), after), ("access.denied", &other));
    let counts = [("access.denied".to_owned(), 7)].into();
    assert_eq!(lost(report), &Lost { lane: "journal".into(), counts });
    assert_eq!(report.envelope.sequence, before.envelope.sequence + 1);
    assert_eq!(end, &last);
}
