//! Messages there and back, and packets that are none.

use keyblind_events::{RunId, SessionId};
use proptest::prelude::*;

use super::*;
use crate::policy::NetworkDeny;

fn text() -> impl Strategy<Value = String> {
    "[a-zé日 \u{1b}\"\\\\]{0,40}"
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 1..255).prop_filter("a name", |name| {
        !name.iter().any(|byte| matches!(byte, b'/' | 0)) && *name != b"." && *name != b".."
    })
}

fn target() -> impl Strategy<Value = Target> {
    let place = || 0..u8::try_from(MOST_DESCRIPTORS).unwrap();
    prop_oneof![
        place().prop_map(|descriptor| Target::Object { descriptor }),
        place().prop_map(|descriptor| Target::Holds { descriptor }),
        (place(), name()).prop_map(|(directory, name)| Target::Name { directory, name }),
        (place(), name()).prop_map(|(directory, name)| Target::Below { directory, name }),
    ]
}

fn guard() -> impl Strategy<Value = Guard> {
    let access = prop_oneof![Just(Access::Read), Just(Access::Write)];
    let action = prop_oneof![Just(Action::Deny), Just(Action::Hide), Just(Action::Flag), Just(Action::Allow)];
    (any::<u32>(), access, action, target()).prop_map(|(number, access, action, target)| Guard {
        number,
        access,
        action,
        target,
    })
}

fn run() -> impl Strategy<Value = RunId> {
    "r-[a-zA-Z0-9]{1,32}".prop_map(|text| text.parse().unwrap())
}

fn session() -> impl Strategy<Value = SessionId> {
    "[a-z0-9][a-z0-9._:-]{0,60}".prop_map(|text| text.parse().unwrap())
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        Just(Request::Hello),
        (run(), session(), text(), any::<u32>(), any::<bool>()).prop_map(
            |(run, session, command, uid, enforce)| {
                let denied =
                    vec![NetworkDeny::Metadata, "10.0.0.0/8".parse().unwrap(), "fd00::1".parse().unwrap()];
                Request::Register(Registration { run, session, command, uid, enforce, denied })
            }
        ),
        proptest::collection::vec(guard(), 0..=MOST_GUARDS).prop_map(Request::Guards),
        Just(Request::Begin),
        Just(Request::Enter),
        Just(Request::End),
        Just(Request::Status),
        any::<bool>().prop_map(|end_runs| Request::Down { end_runs }),
    ]
}

fn layers() -> impl Strategy<Value = Vec<LayerReport>> {
    let layer = (0..Layer::ALL.len(), any::<bool>(), text()).prop_map(|(place, enforced, why)| LayerReport {
        layer: Layer::ALL[place],
        enforced,
        why,
    });
    proptest::collection::vec(layer, 0..5)
}

fn service() -> impl Strategy<Value = Reply> {
    let counts = (any::<u32>(), any::<u64>(), any::<u32>(), any::<u64>(), any::<u64>());
    let texts = (text(), text(), text(), text());
    (counts, texts, layers(), proptest::collection::vec(text(), 0..4)).prop_map(
        |((pid, since, runs, refused, lost), (version, policy, generation, stale), layers, slices)| {
            Reply::Service(ServiceStatus {
                pid,
                version,
                since,
                policy,
                generation,
                stale,
                layers,
                slices,
                runs,
                refused,
                lost,
            })
        },
    )
}

fn reply() -> impl Strategy<Value = Reply> {
    let run_status = (run(), session(), any::<u32>(), text(), any::<u64>(), any::<u32>(), any::<bool>())
        .prop_map(|(run, session, uid, command, began, processes, adopted)| {
            Reply::Run(RunStatus { run, session, uid, command, began, processes, adopted })
        });
    prop_oneof![
        (layers(), text()).prop_map(|(layers, generation)| Reply::Welcome { layers, generation }),
        Just(Reply::Done),
        proptest::collection::vec((any::<u32>(), text()), 0..8)
            .prop_map(|refused| Reply::Enrolled { refused }),
        any::<u64>().prop_map(|cgroup| Reply::Begun { cgroup }),
        any::<[u64; 3]>().prop_map(|[denied, flagged, lost]| Reply::Ended { denied, flagged, lost }),
        run_status,
        service(),
        Just(Reply::Stopping),
        (any::<u32>(), proptest::collection::vec(any::<u8>(), 0..2000))
            .prop_map(|(guard, line)| Reply::Report { guard, line }),
        any::<u64>().prop_map(Reply::Lost),
        (0..6_u8, text()).prop_map(|(number, why)| {
            let all = [
                Refusal::Protocol,
                Refusal::Forbidden,
                Refusal::Limit,
                Refusal::Taken,
                Refusal::Busy,
                Refusal::Failed,
            ];
            Reply::Refused(all[usize::from(number)], why)
        }),
    ]
}

proptest! {
    #[test]
    fn a_request_comes_back(request in request()) {
        let packet = request.encode();
        prop_assert!(packet.len() <= LONGEST, "{}", packet.len());
        prop_assert_eq!(Request::decode(&packet), Ok(request));
    }

    #[test]
    fn a_reply_comes_back(reply in reply()) {
        let packet = reply.encode();
        prop_assert!(packet.len() <= LONGEST);
        prop_assert_eq!(Reply::decode(&packet), Ok(reply));
    }

    /// A packet has one form: what is read is written as it was.
    #[test]
    fn any_bytes_are_read_or_refused(packet in proptest::collection::vec(any::<u8>(), 0..600), verb in 0..14_u8) {
        for packet in [packet.clone(), [vec![VERSION, verb], packet].concat()] {
            if let Ok(request) = Request::decode(&packet) {
                prop_assert_eq!(request.encode(), packet.clone());
            }
            if let Ok(reply) = Reply::decode(&packet) {
                prop_assert_eq!(reply.encode(), packet);
            }
        }
    }

    #[test]
    fn a_packet_cut_or_lengthened_is_none(request in request(), cut in any::<proptest::sample::Index>()) {
        let packet = request.encode();
        let cut = packet.get(..cut.index(packet.len())).unwrap();
        prop_assert!(Request::decode(cut).is_err());
        prop_assert_eq!(Request::decode(&[packet.as_slice(), &[0]].concat()), Err(ProtocolError::Long));
    }
}

#[test]
fn the_longest_list_of_guards_fits() {
    let guard = |number| Guard {
        number,
        access: Access::Read,
        action: Action::Deny,
        target: Target::Below { directory: 63, name: vec![b'x'; 255] },
    };
    let packet = Request::Guards((0..64).map(guard).collect()).encode();
    assert!(packet.len() <= LONGEST, "{}", packet.len());
    assert!(Request::decode(&packet).is_ok());
}

#[test]
fn another_version_is_named() {
    assert_eq!(Request::decode(&[2, 1]), Err(ProtocolError::Version(2)));
    assert_eq!(Reply::decode(&[0, 1]), Err(ProtocolError::Version(0)));
}

#[test]
fn a_run_id_is_never_a_path() {
    for text in ["../x", "r-../x", "r-", "", "r-a/b", "r-a\0", "R-a"] {
        let mut packet = vec![VERSION, 2];
        for field in [text, "s-1", "true"] {
            packet.extend(u16::try_from(field.len()).unwrap().to_le_bytes());
            packet.extend(field.as_bytes());
        }
        packet.extend([0, 0, 0, 0, 1]);
        assert_eq!(Request::decode(&packet), Err(ProtocolError::Field("run")), "{text:?}");
    }
}

#[test]
fn a_guarded_name_is_one_name() {
    for name in [&b".."[..], b".", b"", b"a/b", b"a\0b"] {
        let mut packet = vec![VERSION, 3, 1, 0, 7, 0, 0, 0, 0, 0, 1, 0];
        packet.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        packet.extend(name);
        assert_eq!(Request::decode(&packet), Err(ProtocolError::Field("name")), "{name:?}");
    }
}

#[test]
fn a_text_is_cut_at_a_character() {
    let why = "é".repeat(400);
    let Ok(Reply::Refused(_, back)) = Reply::decode(&Reply::Refused(Refusal::Failed, why.clone()).encode())
    else {
        panic!("it does not come back");
    };
    assert!(why.starts_with(&back) && back.len() == 512);
}
