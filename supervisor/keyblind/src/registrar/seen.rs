//! What the kernel reports → what an event says of it.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use keyblind_abi::{HOOKS, Hook, Outcome as Answer};
use keyblind_events::{
    Access, Address, Envelope, Errno, FileId, Kind, Object, Operation, Outcome, Process, Repeat, Wall,
};

use crate::guard::kernel::Record;
use crate::host::lineage;

/// Nanoseconds per clock tick of procfs (USER_HZ is 100 wherever keyblind runs).
const TICK: u64 = 10_000_000;

/// The hook of a record, if this version knows it.
fn hook(record: &Record) -> Option<(Hook, &'static str)> {
    HOOKS.get(usize::from(record.hook)).copied()
}

/// What happened, if it is something to tell.
pub(super) fn kind(record: &Record) -> Option<Kind> {
    let operation = match hook(record)?.0 {
        Hook::FileOpen if record.access & keyblind_abi::Access::WRITE != 0 => Operation::Write,
        Hook::FileOpen => Operation::Read,
        Hook::PtraceAccess => Operation::Trace,
        Hook::InodeRename => Operation::Rename,
        Hook::InodeLink => Operation::Link,
        Hook::InodeCreate => Operation::Create,
        Hook::InodeUnlink => Operation::Remove,
        Hook::InodeSetattr => Operation::Write,
        Hook::FileReceive => Operation::Receive,
        Hook::UnixConnect | Hook::Connect4 | Hook::Connect6 => Operation::Connect,
        Hook::TaskKill => Operation::Signal,
        Hook::Bpf => Operation::Syscall,
        Hook::Exec => return None,
    };
    let outcome = match record.outcome {
        answer if answer == Answer::Flag as u16 => Outcome::Flagged,
        answer if answer == Answer::Allow as u16 => return None,
        _ => Outcome::Denied,
    };
    Some(Kind::Access(Access { operation, outcome }))
}

/// Whether two records are the same thing again: it is then written once, with a count.
pub(super) fn same(one: &Record, other: &Record) -> bool {
    let what = |record: &Record| {
        let what = (record.scope, record.hook, record.outcome, record.guard, record.tgid, record.started);
        (what, record.inode, record.device, record.target, record.port, record.address, record.access)
    };
    what(one) == what(other)
}

/// Fills in who did it and to what. `guard` is the guard's id and reason.
pub(super) fn fill(envelope: &mut Envelope, record: &Record, guard: Option<(&str, &str)>, times: u64) {
    let (mut process, ancestors) = lineage(record.tgid, 0);
    let ticks = record.started / TICK;
    if process.start_ticks != Some(ticks) {
        // It is gone, and its number may be another's by now.
        process = Process { start_ticks: Some(ticks), ..Process::new(record.tgid) };
    } else {
        envelope.lineage = ancestors;
    }
    process.uid = Some(record.uid);
    process.name.get_or_insert_with(|| text(&record.command));
    envelope.process = Some(process);
    envelope.layer = Some("bpf_lsm".to_owned());
    envelope.hook = hook(record).map(|(hook, name)| match hook {
        Hook::Connect4 | Hook::Connect6 => format!("cgroup/{name}"),
        _ => format!("lsm/{name}"),
    });
    envelope.errno = match record.outcome {
        answer if answer == Answer::Deny as u16 => Some(Errno::EACCES),
        answer if answer == Answer::Hide as u16 => Some(Errno(libc::ENOENT)),
        _ => None,
    };
    envelope.repeat = (times > 1).then(|| Repeat { count: times, last: Wall::now() });
    let name = record.name.get(..usize::from(record.name_len)).unwrap_or_default();
    envelope.object = Some(Object {
        guard: guard.map(|(id, _)| id.to_owned()),
        reason: guard.map(|(_, reason)| reason.to_owned()),
        path: (!name.is_empty()).then(|| OsStr::from_bytes(name).into()),
        file: (record.inode != 0).then_some(FileId {
            // `s_dev` has 12 bits of major and 20 of minor (MINORBITS).
            major: record.device >> 20,
            minor: record.device & 0xf_ffff,
            inode: record.inode,
            generation: Some(record.object_generation),
        }),
        process: (record.target != 0).then(|| Process::new(record.target)),
        address: (record.port != 0 || record.address != [0; 16]).then(|| {
            let port = u16::try_from(record.port).unwrap_or(0);
            Address::Inet(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(record.address)).to_canonical(), port))
        }),
        ..Object::default()
    });
}

/// A name that ends at its first zero.
fn text(bytes: &[u8]) -> std::ffi::OsString {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    OsStr::from_bytes(bytes.get(..end).unwrap_or_default()).to_owned()
}
