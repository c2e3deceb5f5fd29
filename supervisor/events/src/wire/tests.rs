//! Events made from random bytes, and what must hold for each of them.

mod document;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Wall;
use crate::event::{
    Address, End, Errno, FileId, HostEvent, HostWhat, LayerState, Object, Operation, PolicySource, Process,
    Redacted, Repeat, RunEnded, RunStarted, Secret, Sha256, Status, Stream, Tally, User,
};
use crate::ids::{EventId, RunId, SessionId};

/// Draws values from bytes; at their end everything is zero, empty and absent, so that proptest shrinks
/// towards the smallest event.
pub(crate) struct Draw<'a>(&'a [u8]);

impl Draw<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        let bytes = [0; 8].map(|_zero: u8| self.byte());
        // Small numbers and large ones.
        if self.byte() & 1 == 0 { u64::from(bytes[0]) } else { u64::from_le_bytes(bytes) }
    }

    fn small(&mut self) -> u32 {
        u32::try_from(self.number() & 0xffff_ffff).unwrap()
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn maybe<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| draw(self))
    }

    fn some<T>(&mut self, mut draw: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.byte() % 4).map(|_| draw(self)).collect()
    }

    fn word<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    /// Any bytes without NUL, as paths and arguments are.
    fn raw(&mut self) -> OsString {
        let len = usize::from(self.byte() % 24);
        OsString::from_vec((0..len).map(|_| self.byte().max(1)).collect())
    }

    /// Any text, hostile characters included.
    fn text(&mut self) -> String {
        let picks =
            ['a', '"', '\\', '\n', '\u{1b}', '\u{9b}', '\u{202e}', '\u{7f}', 'é', '日', '\u{e0041}', '\0'];
        (0..self.byte() % 12).map(|_| self.word(&picks)).collect()
    }

    fn id(&mut self) -> String {
        let picks = ['a', 'Z', '0', '9'];
        (0..=self.byte() % 12).map(|_| self.word(&picks)).collect()
    }

    fn wall(&mut self) -> Wall {
        Wall::from_unix_ns(self.number())
    }

    fn hash(&mut self) -> Sha256 {
        Sha256([0; 32].map(|_zero: u8| self.byte()))
    }

    fn file(&mut self) -> FileId {
        FileId {
            major: self.small(),
            minor: self.small(),
            inode: self.number(),
            generation: self.maybe(Self::small),
        }
    }

    fn process(&mut self) -> Process {
        Process {
            pid: self.small(),
            start_ticks: self.maybe(Self::number),
            uid: self.maybe(Self::small),
            name: self.maybe(Self::raw),
            exe: self.maybe(|d| d.raw().into()),
            exe_file: self.maybe(Self::file),
            exe_sha256: self.maybe(Self::hash),
        }
    }

    fn address(&mut self) -> Address {
        let port = u16::try_from(self.small() & 0xffff).unwrap();
        match self.byte() % 4 {
            0 => Address::Inet(SocketAddr::from(([169, 254, 169, self.byte()], port))),
            1 => Address::Inet(SocketAddr::from(([0xfd00; 8], port))),
            2 => Address::Unix(self.raw().into()),
            _ => Address::Abstract(self.raw()),
        }
    }

    fn object(&mut self) -> Object {
        Object {
            guard: self.maybe(Self::text),
            rule: self.maybe(Self::text),
            reason: self.maybe(Self::text),
            path: self.maybe(|d| d.raw().into()),
            guarded_path: self.maybe(|d| d.raw().into()),
            file: self.maybe(Self::file),
            process: self.maybe(Self::process),
            address: self.maybe(Self::address),
        }
    }

    fn context(&mut self) -> Context {
        let mut context = Context::new(
            format!("r-{}", self.id()).parse::<RunId>().unwrap(),
            self.id().parse::<SessionId>().unwrap(),
        );
        context.tool = self.maybe(Self::text);
        context.principal = self.maybe(Self::text);
        context.call_id = self.maybe(|d| d.id().parse().unwrap());
        for n in 0..self.byte() % 3 {
            let label = Label::new(&format!("{}{n}", self.id()), &self.id()).unwrap();
            context.labels.insert(label).unwrap();
        }
        context.trace = self.maybe(|d| {
            format!("00-{:032x}-{:016x}-01", u128::from(d.number()) + 1, d.number() | 1).parse().unwrap()
        });
        context.boot_id = self.maybe(Self::id);
        context.tier = self.maybe(|d| d.word(Tier::ALL));
        context.mode = self.maybe(|d| d.word(Mode::ALL));
        context.policy_generation = self.maybe(Self::id);
        context
    }

    fn status(&mut self) -> Status {
        if self.flag() { Status::Exited(self.byte()) } else { Status::Signaled(i32::from(self.byte())) }
    }

    fn started(&mut self) -> RunStarted {
        RunStarted {
            command: self.some(Self::raw),
            cwd: self.raw().into(),
            user: User { uid: self.small(), gid: self.small(), name: self.maybe(Self::text) },
            layers: self.some(|d| LayerState { layer: d.text(), on: d.flag(), why: d.maybe(Self::text) }),
            policy: if self.flag() {
                PolicySource::BuiltIn(self.text())
            } else {
                PolicySource::File(self.raw().into())
            },
            policy_sha256: self.maybe(Self::hash),
            environment: self.maybe(Self::text),
            not_enforced: self.some(Self::text),
            absent: self.some(Self::text),
            version: self.text(),
            kernel: self.maybe(Self::text),
        }
    }

    fn ended(&mut self) -> RunEnded {
        RunEnded {
            end: match self.byte() % 3 {
                0 => End::Finished(self.status()),
                1 => End::Stopped { reason: self.text(), status: self.maybe(Self::status) },
                _ => End::Refused { reason: self.text() },
            },
            duration: Duration::from_nanos(self.number()),
            tally: Tally {
                denied: self.number(),
                flagged: self.number(),
                masked: self.number(),
                redacted: self.number(),
                lost: self.number(),
                killed: self.number(),
            },
            killed: self.some(Self::process),
        }
    }

    fn kind(&mut self) -> Kind {
        match self.byte() % 8 {
            0 => {
                let counts = self.some(|d| (d.text(), d.number())).into_iter().collect();
                Kind::Lost(Lost { lane: self.text(), counts })
            }
            1 => Kind::Redacted(Redacted {
                secret: if self.flag() { Secret::Needle(self.text()) } else { Secret::Rule(self.text()) },
                fingerprint: self.maybe(Self::text),
                encoding: self.maybe(Self::text),
                stream: self.word(Stream::ALL),
                offset: self.number(),
                len: self.number(),
            }),
            2 => Kind::RunStarted(Box::new(self.started())),
            3 => Kind::RunEnded(Box::new(self.ended())),
            7 => Kind::Host(Box::new(HostEvent {
                what: self.word(HostWhat::ALL),
                detail: self.text(),
                run: self.maybe(|d| format!("r-{}", d.id()).parse().unwrap()),
                session: self.maybe(|d| d.id().parse().unwrap()),
                uid: self.maybe(Self::small),
                enforced: self.some(Self::text),
                not_enforced: self.some(Self::text),
            })),
            n => Kind::Access(Access {
                operation: self.word(Operation::ALL),
                outcome: match n {
                    4 => Outcome::Denied,
                    5 => Outcome::Flagged,
                    _ => Outcome::Masked { values: self.number() },
                },
            }),
        }
    }

    fn event(&mut self) -> Event {
        let kind = self.kind();
        let time = self.wall();
        let envelope = Envelope {
            id: EventId::new(time),
            sequence: self.number(),
            time,
            monotonic_ns: self.number(),
            context: Arc::new(self.context()),
            process: self.maybe(Self::process),
            lineage: self.some(Self::process),
            object: self.maybe(Self::object),
            layer: self.maybe(Self::text),
            hook: self.maybe(Self::text),
            errno: self.maybe(|d| Errno(i32::from(d.byte()))),
            repeat: self.maybe(|d| Repeat { count: d.number(), last: d.wall() }),
            lost_before: self.number(),
        };
        Event { envelope, kind }
    }
}

/// Any event.
pub(crate) fn any_event() -> impl Strategy<Value = Event> {
    prop::collection::vec(any::<u8>(), 0..1500).prop_map(|bytes| Draw(&bytes).event())
}

proptest! {
    #[test]
    fn an_event_survives_the_wire(event in any_event()) {
        let line = encode(&event);
        prop_assert_eq!(decode(&line).unwrap(), event);
    }

    #[test]
    fn an_event_is_one_harmless_line(event in any_event()) {
        let line = String::from_utf8(encode(&event)).unwrap();
        let text = line.strip_suffix('\n').unwrap();
        prop_assert!(!text.chars().any(crate::escape::is_hostile), "{}", text);
        let begin = format!("{{\"v\":1,\"kind\":\"{}\",", event.kind.name());
        prop_assert!(text.starts_with(&begin), "{}", text);
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        prop_assert!(!has_null(&value), "{}", text);
    }

    #[test]
    fn a_torn_line_is_never_an_event(event in any_event(), cut in any::<prop::sample::Index>()) {
        let line = encode(&event);
        let kept = &line[..cut.index(line.len() - 1)];
        let torn = matches!(decode(kept), Err(WireError::Torn { .. }));
        prop_assert!(torn);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(decode(&bytes));
    }
}

fn has_null(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => true,
        serde_json::Value::Array(all) => all.iter().any(has_null),
        serde_json::Value::Object(all) => all.values().any(has_null),
        _ => false,
    }
}

/// An event of every kind in which every field is set, and the variants that exclude each other.
pub(crate) fn full_events() -> Vec<Event> {
    let process = Process {
        pid: 4711,
        start_ticks: Some(812_345),
        uid: Some(1000),
        name: Some("cat".into()),
        exe: Some("/usr/bin/cat".into()),
        exe_file: Some(FileId { major: 259, minor: 2, inode: 1_311_768, generation: Some(7) }),
        exe_sha256: Some(Sha256([0x9f; 32])),
    };
    let time = Wall::from_unix_ns(1_795_442_533_377_000_000);
    let mut context = Context::new("r-8Q2kZ0xVb3Lm".parse().unwrap(), "s-41".parse().unwrap());
    context.tool = Some("send_slack_message".into());
    context.principal = Some("svc-agent".into());
    context.call_id = Some("c-17".parse().unwrap());
    context.labels.insert("team=ci".parse().unwrap()).unwrap();
    context.trace = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap());
    context.boot_id = Some("5f1c6a0e-3d5b-4a52-9e0f-2f6b6c7c2d11".into());
    context.tier = Some(Tier::Mount);
    context.mode = Some(Mode::Enforce);
    context.policy_generation = Some("3f9c".into());
    let envelope = Envelope {
        id: EventId::new(time),
        sequence: 2,
        time,
        monotonic_ns: 81_234_567_890,
        context: Arc::new(context),
        process: Some(process.clone()),
        lineage: vec![
            Process { name: Some("bash".into()), ..Process::new(4709) },
            Process { name: Some("codex".into()), ..Process::new(4702) },
        ],
        object: Some(Object {
            guard: Some("aws.credentials".into()),
            rule: Some("path ~/.aws/credentials".into()),
            reason: Some("long-lived cloud keys; use a grant or a role".into()),
            path: Some("/proc/self/root/home/jo/.aws/credentials".into()),
            guarded_path: Some("/home/jo/.aws/credentials".into()),
            file: Some(FileId { major: 0, minor: 52, inode: 17, generation: Some(1) }),
            process: Some(Process::new(1)),
            address: Some(Address::Inet(SocketAddr::from(([169, 254, 169, 254], 80)))),
        }),
        layer: Some("fanotify".into()),
        hook: Some("FAN_OPEN_PERM".into()),
        errno: Some(Errno::EPERM),
        repeat: Some(Repeat { count: 3, last: Wall::from_unix_ns(1_795_442_533_402_000_000) }),
        lost_before: 1,
    };
    let with = |kind| Event { envelope: envelope.clone(), kind };
    let at = |address| {
        let mut event =
            with(Kind::Access(Access { operation: Operation::Connect, outcome: Outcome::Flagged }));
        event.envelope.object.as_mut().unwrap().address = Some(address);
        event
    };
    let started = |policy| {
        with(Kind::RunStarted(Box::new(RunStarted {
            command: vec!["codex".into(), "exec".into(), "fix the tests".into()],
            cwd: "/home/jo/project".into(),
            user: User { uid: 1000, gid: 1000, name: Some("jo".into()) },
            layers: vec![
                LayerState { layer: "seccomp".into(), on: true, why: Some("native only".into()) },
                LayerState { layer: "cgroup".into(), on: false, why: Some("owned by root".into()) },
            ],
            policy,
            policy_sha256: Some(Sha256([0x3f; 32])),
            environment: Some("development".into()),
            not_enforced: vec!["late .env".into()],
            absent: vec!["docker: by policy".into()],
            version: "0.1.0".into(),
            kernel: Some("6.18.0".into()),
        })))
    };
    let redacted = |secret| {
        with(Kind::Redacted(Redacted {
            secret,
            fingerprint: Some("k:7d1e".into()),
            encoding: Some("base64".into()),
            stream: Stream::Stdout,
            offset: 18_204,
            len: 48,
        }))
    };
    let ended = |end| {
        with(Kind::RunEnded(Box::new(RunEnded {
            end,
            duration: Duration::from_millis(32_900),
            tally: Tally { denied: 5, flagged: 0, masked: 1, redacted: 1, lost: 120, killed: 1 },
            killed: vec![process.clone()],
        })))
    };
    let host = |what: &HostWhat| {
        let mut event = with(Kind::Host(Box::new(HostEvent {
            what: *what,
            detail: "its client died".into(),
            run: Some("r-8Q2kZ0xVb3Lm".parse().unwrap()),
            session: Some("s-41".parse().unwrap()),
            uid: Some(1000),
            enforced: vec!["addresses".into()],
            not_enforced: vec!["files: programs refused".into()],
        })));
        let mut context = Context::clone(&event.envelope.context);
        context.run = "r-Host4kZ0xVb3".parse().unwrap();
        event.envelope.context = Arc::new(context);
        event
    };
    let mut events = vec![
        started(PolicySource::BuiltIn("default".into())),
        started(PolicySource::File("/etc/keyblind/policy.toml".into())),
        with(Kind::Access(Access { operation: Operation::Read, outcome: Outcome::Denied })),
        with(Kind::Access(Access { operation: Operation::Read, outcome: Outcome::Masked { values: 4 } })),
        at(Address::Unix("/run/user/1000/bus".into())),
        at(Address::Abstract("/tmp/.X11-unix/X0".into())),
        redacted(Secret::Needle("DB_URL".into())),
        redacted(Secret::Rule("jwt".into())),
        with(Kind::Lost(Lost { lane: "flag".into(), counts: [("procfs.maps".into(), 120)].into() })),
        ended(End::Finished(Status::Exited(0))),
        ended(End::Stopped { reason: "timeout 30s".into(), status: Some(Status::Signaled(9)) }),
        ended(End::Refused { reason: "layer bpf_lsm: not permitted".into() }),
    ];
    events.extend(HostWhat::ALL.iter().map(host));
    events
}

#[test]
fn full_events_survive_too() {
    for event in full_events() {
        assert_eq!(decode(&encode(&event)).unwrap(), event);
    }
}

#[test]
fn a_line_looks_as_documented() {
    let mut event = full_events().remove(2);
    event.envelope.id = "01a208b6-e401-7000-8000-000000000001".parse().unwrap();
    event.envelope.lineage.clear();
    event.envelope.process =
        Some(Process { name: Some(OsString::from_vec(b"c\xff".into())), ..Process::new(7) });
    event.envelope.object =
        Some(Object { path: Some("/tmp/\u{1b}[2J\u{202e}\u{e0041}\"".into()), ..Object::default() });
    let line = String::from_utf8(encode(&event)).unwrap();
    let expected = concat!(
        r#"{"v":1,"kind":"access.denied","id":"01a208b6-e401-7000-8000-000000000001","#,
        r#""time":"2026-11-23T14:02:13.377000000Z","monotonic_ns":81234567890,"#,
        r#""run":"r-8Q2kZ0xVb3Lm","sequence":2,"lost_before":1,"session":"s-41","#,
        r#""tool":"send_slack_message","principal":"svc-agent","call_id":"c-17","labels":{"team":"ci"},"#,
        r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","#,
        r#""boot_id":"5f1c6a0e-3d5b-4a52-9e0f-2f6b6c7c2d11","tier":"mount","mode":"enforce","#,
        r#""policy_generation":"3f9c","verdict":"deny","errno":{"name":"EPERM","number":1},"#,
        r#""layer":"fanotify","hook":"FAN_OPEN_PERM","#,
        r#""repeat":{"count":3,"last":"2026-11-23T14:02:13.402000000Z"},"#,
        r#""object":{"path":"/tmp/\u001b[2J\u202e\udb40\udc41\""},"#,
        r#""process":{"pid":7,"name":{"bytes":"Y/8="}},"access":{"operation":"read"}}"#,
        "\n"
    );
    assert_eq!(line, expected);
}

#[test]
fn refusals_name_the_field() {
    let mut events = full_events();
    let denied = String::from_utf8(encode(&events.remove(2))).unwrap();
    let check = |from: &str, to: &str, text: &str| {
        assert!(denied.contains(from), "{from}");
        let error = decode(denied.replace(from, to).as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    };
    check("\"v\":1", "\"v\":2", "event of version 2, this keyblind reads version 1");
    check("access.denied", "access.\\u001b[2J", "event of unknown kind \"access.\\u{1b}[2J\"");
    check(
        "\"verdict\":\"deny\"",
        "\"verdict\":\"flag\"",
        "event field verdict: does not go with access.denied",
    );
    check("\"run\":\"r-", "\"run\":\"", "event field run: run id");
    check("\"tier\":\"mount\"", "\"tier\":\"moon\"", "event field tier: \"moon\" is not known");
    check("2026-11-23T14:02:13.377", "2026-13-23T14:02:13.377", "event field time: not a time of RFC 3339");
    check("\"dev\":\"0:52\"", "\"dev\":\"52\"", "event field dev: is not major:minor");
    check("169.254.169.254:80", "169.254.169.254", "event field object.address: is not ADDRESS:PORT");
    check("\"access\":{", "\"axcess\":{", "event field access: is absent");
    check("\"sequence\":2", "\"sequence\":-2", "not an event: ");
}

#[test]
fn unknown_fields_are_ignored() {
    let event = full_events().remove(2);
    let line = String::from_utf8(encode(&event)).unwrap();
    let later = line.replacen("{\"v\":1,", "{\"v\":1,\"later\":{\"x\":[1]},", 1);
    assert_eq!(decode(later.as_bytes()).unwrap(), event);
}
