use proptest::prelude::*;

use super::*;
use crate::clock::Wall;
use crate::event::{Context, FileId, LayerState, Operation, PolicySource, Sha256, Stream, Tally, Tier, User};
use crate::{Recorder, SessionId};

/// 2026-11-23T14:02:11Z plus milliseconds.
fn at(milliseconds: u64) -> Wall {
    Wall::from_unix_ns(1_795_442_531_000_000_000 + milliseconds * 1_000_000)
}

fn recorder(run: &str) -> Recorder {
    let session: SessionId = "s-41".parse().unwrap();
    let mut context = Context::new(run.parse().unwrap(), session);
    context.tier = Some(Tier::User);
    context.call_id = Some("c-17".parse().unwrap());
    Recorder::new(context)
}

fn started() -> Kind {
    Kind::RunStarted(Box::new(RunStarted {
        command: vec!["codex".into(), "exec".into(), "fix the tests".into()],
        cwd: "/home/jo/project".into(),
        user: User { uid: 1000, gid: 1000, name: Some("jo".into()) },
        layers: vec![
            LayerState { layer: "seccomp".into(), on: true, why: None },
            LayerState { layer: "cgroup".into(), on: false, why: Some("owned by root".into()) },
        ],
        policy: PolicySource::BuiltIn("default".into()),
        policy_sha256: None,
        environment: None,
        not_enforced: vec!["late .env".into(), "host-wide audit".into()],
        absent: vec![],
        version: "0.1.0".into(),
        kernel: None,
    }))
}

fn access(operation: Operation, outcome: Outcome) -> Kind {
    Kind::Access(Access { operation, outcome })
}

fn credentials(path: &str) -> Option<Object> {
    let file = Some(FileId { major: 8, minor: 1, inode: 17, generation: None });
    Some(Object { guard: Some("aws.credentials".into()), path: Some(path.into()), file, ..Object::default() })
}

fn cat() -> Process {
    Process {
        name: Some("cat".into()),
        exe: Some("/usr/bin/cat".into()),
        exe_sha256: Some(Sha256([0x9f; 32])),
        ..Process::new(4711)
    }
}

fn tally(denied: u64, masked: u64, redacted: u64, lost: u64) -> Tally {
    Tally { denied, masked, redacted, lost, ..Tally::default() }
}

fn ended(end: End, milliseconds: u64, tally: Tally) -> Kind {
    let duration = Duration::from_millis(milliseconds);
    Kind::RunEnded(Box::new(RunEnded { end, duration, tally, killed: Vec::new() }))
}

#[test]
fn a_run_reads_like_this() {
    let mut run = recorder("r-8Q2");
    let mut events = Vec::new();
    let mut add = |milliseconds, kind, set: &dyn Fn(&mut Envelope)| {
        let mut event = run.event(kind);
        event.envelope.time = at(milliseconds);
        set(&mut event.envelope);
        events.push(event);
    };
    add(41, started(), &|_| {});
    let denied = || access(Operation::Read, Outcome::Denied);
    add(2377, denied(), &|e| {
        e.object = credentials("/home/jo/.aws/credentials");
        e.errno = Some(Errno::EACCES);
        e.process = Some(cat());
        e.lineage = vec![
            Process { name: Some("bash".into()), ..Process::new(4709) },
            Process { exe: Some("/opt/bin/codex".into()), ..Process::new(4702) },
        ];
    });
    add(2379, denied(), &|e| {
        e.object = credentials("/proc/self/root/home/jo/.aws/credentials");
        e.errno = Some(Errno::EACCES);
        e.process = Some(cat());
        e.repeat = Some(Repeat { count: 3, last: at(2402) });
    });
    add(4120, access(Operation::Read, Outcome::Masked { values: 4 }), &|e| {
        e.object = Some(Object {
            guard: Some("project.dotenv".into()),
            path: Some("/home/jo/project/.env".into()),
            ..Object::default()
        });
    });
    let redacted = |secret, encoding| {
        let fingerprint = Some("k:7d1e".into());
        Kind::Redacted(Redacted {
            secret,
            fingerprint,
            encoding,
            stream: Stream::Stdout,
            offset: 18_204,
            len: 9,
        })
    };
    add(4911, redacted(Secret::Needle("DB_URL".into()), Some("base64".into())), &|_| {});
    add(4912, redacted(Secret::Rule("jwt".into()), None), &|e| e.lost_before = 2);
    add(5004, access(Operation::Connect, Outcome::Denied), &|e| {
        e.object = Some(Object {
            guard: Some("net.metadata".into()),
            address: Some(Address::Inet("169.254.169.254:80".parse().unwrap())),
            ..Object::default()
        });
        e.errno = Some(Errno::EACCES);
    });
    add(6000, access(Operation::Trace, Outcome::Flagged), &|e| {
        e.object = Some(Object { process: Some(Process::new(1)), ..Object::default() });
        e.repeat = Some(Repeat { count: 2, last: at(67_000) });
    });
    let counts = [("procfs.maps".to_owned(), 120)].into();
    add(20_660, Kind::Lost(Lost { lane: "flag".into(), counts }), &|e| e.lost_before = 120);
    add(33_002, ended(End::Finished(Status::Exited(0)), 32_900, tally(5, 1, 1, 120)), &|_| {});

    let mut renderer = Renderer::new(Some("/home/jo".into()));
    let shown: Vec<String> = events.iter().map(|event| renderer.render(event)).collect();
    let expected = r#"
2026-11-23T14:02:11.041Z run.started   r-8Q2  session s-41  tool -                 codex exec "fix the tests"      tier user, off: cgroup, call c-17
                                        not enforced: late .env; host-wide audit
2026-11-23T14:02:13.377Z deny          r-8Q2  read    ~/.aws/credentials             guard aws.credentials  EACCES
                                        by cat(4711) ← bash(4709) ← codex(4702)   exe /usr/bin/cat sha256:9f9f…  call c-17
2026-11-23T14:02:13.379Z deny   ×3     r-8Q2  read    /proc/self/root/home/jo/.aws/credentials   same object, folded 14:02:13.379–.402
2026-11-23T14:02:15.120Z mask          r-8Q2  read    ./.env                         guard project.dotenv   4 values marked
2026-11-23T14:02:15.911Z redacted      r-8Q2  stdout @18,204                         DB_URL (fp k:7d1e), base64
2026-11-23T14:02:15.912Z redacted      r-8Q2  stdout @18,204                         rule jwt (fp k:7d1e)   (2 events before it lost)
2026-11-23T14:02:16.004Z deny          r-8Q2  connect 169.254.169.254:80             guard net.metadata     EACCES
2026-11-23T14:02:17.000Z flag   ×2     r-8Q2  trace   ?(1)                           folded 14:02:17.000–14:03:18.000  let pass
2026-11-23T14:02:31.660Z lost          r-8Q2  bodies 120 of flag lane; counts kept: procfs.maps 120
2026-11-23T14:02:44.002Z run.ended     r-8Q2  exit 0   32.9 s   denied 5  masked 1  redacted 1  lost 120 bodies
"#;
    assert_eq!(format!("\n{}\n", shown.join("\n")), expected);
    assert!(renderer.runs.is_empty());
}

#[test]
fn endings_say_how_and_what_was_killed() {
    let check = |kind: Kind, text: &str| {
        let mut event = recorder("r-8Q2").event(kind);
        event.envelope.time = at(0);
        let shown = Renderer::default().render(&event);
        assert_eq!(shown.strip_prefix("2026-11-23T14:02:11.000Z run.ended     r-8Q2  "), Some(text));
    };
    let none = Tally::default();
    check(ended(End::Finished(Status::Exited(0)), 380, none), "exit 0   0.38 s   denied 0  redacted 0");
    check(
        ended(End::Finished(Status::Signaled(9)), 65_000, none),
        "signal 9 (SIGKILL)   1 m 05 s   denied 0  redacted 0",
    );
    let stopped = |status| End::Stopped { reason: "timeout 3h".into(), status };
    check(
        ended(stopped(Some(Status::Signaled(40))), 10_860_000, none),
        "stopped: timeout 3h, signal 40   3 h 01 m   denied 0  redacted 0",
    );
    check(ended(stopped(None), 0, none), "stopped: timeout 3h   0.00 s   denied 0  redacted 0");
    check(
        ended(End::Refused { reason: "layer bpf_lsm:\nno".into() }, 0, none),
        "refused: layer bpf_lsm:\\nno",
    );
    let killed = vec![Process { name: Some("sleep".into()), ..Process::new(12) }, Process::new(13)];
    let tally = Tally { killed: 3, flagged: 1, ..none };
    let end = End::Finished(Status::Exited(3));
    let duration = Duration::from_secs(1);
    check(
        Kind::RunEnded(Box::new(RunEnded { end, duration, tally, killed })),
        "exit 3   1.00 s   denied 0  flagged 1  redacted 0  killed 3: sleep(12), ?(13)",
    );
}

#[test]
fn paths_are_shortened_at_whole_components_only() {
    let check = |path: &str, cwd: Option<&str>, home: Option<&str>, text: &str| {
        assert_eq!(shown_path(Path::new(path), cwd.map(Path::new), home.map(Path::new)), text);
    };
    let home = Some("/home/jo");
    check("/home/jo/.env", Some("/home/jo"), home, "./.env");
    check("/home/jo/.env", Some("/home/jo/p"), home, "~/.env");
    check("/home/jock/.env", None, home, "/home/jock/.env");
    check("/etc/passwd", Some("/"), Some("/"), "/etc/passwd");
    check("/tmp/a\nb\u{1b}", None, None, "/tmp/a\\nb\\u{1b}");
}

#[test]
fn numbers_have_separators() {
    let check = |n, text: &str| assert_eq!(thousands(n), text);
    check(0, "0");
    check(999, "999");
    check(1000, "1,000");
    check(18_204, "18,204");
    check(u64::MAX, "18,446,744,073,709,551,615");
}

proptest! {
    #[test]
    fn whatever_a_run_chose_stays_text(event in crate::wire::tests::any_event()) {
        let shown = Renderer::default().render(&event);
        for line in shown.lines() {
            prop_assert!(!line.chars().any(crate::escape::is_hostile), "{}", line);
        }
        prop_assert!(shown.lines().count() <= 2, "{}", shown);
    }
}
