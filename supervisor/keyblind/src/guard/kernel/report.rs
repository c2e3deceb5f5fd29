//! Records as they come out of the rings.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use aya::maps::{MapData, RingBuf};
use keyblind_abi::Record;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::error::KernelError;
use super::maps;

/// Which lane a record came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Refusals.
    Denials,
    /// Everything else.
    Flags,
}

/// A record, and how many before it in its lane found no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The lane.
    pub lane: Lane,
    /// What happened. `hook`, `outcome` and `reason` may be numbers that this version does not know.
    pub record: Record,
    /// Records that are missing before this one. Concurrent programs may send out of order, so that a gap may be
    /// filled by a later record; the counters say what was lost in all.
    pub gap: u64,
}

/// The two rings. Its descriptor is readable while one of them holds something.
pub struct Reports {
    denials: RingBuf<MapData>,
    flags: RingBuf<MapData>,
    ready: OwnedFd,
    last: [u64; 2],
}

impl std::fmt::Debug for Reports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reports").field("last", &self.last).finish_non_exhaustive()
    }
}

impl Reports {
    pub(super) fn open(dir: &Path) -> Result<Self, KernelError> {
        let (denials, flags) = (maps::lane(dir, "DENIALS")?, maps::lane(dir, "FLAGS")?);
        let failed = |source: nix::Error| KernelError::Pin { path: dir.to_path_buf(), source: source.into() };
        let ready = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
        for lane in [&denials, &flags] {
            ready.add(lane.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, 0)).map_err(failed)?;
        }
        Ok(Self { denials, flags, ready: ready.0, last: [0; 2] })
    }
}

impl Iterator for Reports {
    type Item = Report;

    /// The next record, refusals first, or `None` while there is none.
    fn next(&mut self) -> Option<Report> {
        let from = |ring: &mut RingBuf<MapData>| loop {
            // A record of another size is of another layout; nothing can be said of it.
            match ring.next() {
                None => return None,
                Some(item) => match parse(&item) {
                    Some(record) => return Some(record),
                    None => continue,
                },
            }
        };
        let (lane, record) = match from(&mut self.denials) {
            Some(record) => (Lane::Denials, record),
            None => (Lane::Flags, from(&mut self.flags)?),
        };
        let last = &mut self.last[usize::from(lane == Lane::Flags)];
        let gap = record.sequence.saturating_sub(*last + 1);
        *last = (*last).max(record.sequence);
        Some(Report { lane, record, gap })
    }
}

impl AsFd for Reports {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

impl AsRawFd for Reports {
    fn as_raw_fd(&self) -> RawFd {
        self.ready.as_raw_fd()
    }
}

/// A record from its bytes.
pub(super) fn parse(bytes: &[u8]) -> Option<Record> {
    struct Rest<'a>(&'a [u8]);
    impl Rest<'_> {
        fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
            let (taken, rest) = self.0.split_first_chunk::<N>()?;
            self.0 = rest;
            Some(*taken)
        }
        fn u64(&mut self) -> Option<u64> {
            self.take().map(u64::from_ne_bytes)
        }
        fn u32(&mut self) -> Option<u32> {
            self.take().map(u32::from_ne_bytes)
        }
        fn u16(&mut self) -> Option<u16> {
            self.take().map(u16::from_ne_bytes)
        }
    }
    if bytes.len() != Record::SIZE {
        return None;
    }
    let mut rest = Rest(bytes);
    // In the order of the structure, which is the order of evaluation.
    Some(Record {
        sequence: rest.u64()?,
        time: rest.u64()?,
        scope: rest.u64()?,
        started: rest.u64()?,
        inode: rest.u64()?,
        hook: rest.u16()?,
        outcome: rest.u16()?,
        reason: rest.u16()?,
        name_len: rest.u16()?.min(63),
        guard: rest.u32()?,
        slot: rest.u32()?,
        generation: rest.u32()?,
        tgid: rest.u32()?,
        tid: rest.u32()?,
        parent: rest.u32()?,
        uid: rest.u32()?,
        device: rest.u32()?,
        object_generation: rest.u32()?,
        access: rest.u32()?,
        target: rest.u32()?,
        port: rest.u32()?,
        address: rest.take()?,
        command: rest.take()?,
        name: rest.take()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_lie_where_the_programs_put_them() {
        let mut bytes = [0u8; Record::SIZE];
        let mut put = |at: usize, with: &[u8]| bytes[at..at + with.len()].copy_from_slice(with);
        put(std::mem::offset_of!(Record, sequence), &7u64.to_ne_bytes());
        put(std::mem::offset_of!(Record, reason), &3u16.to_ne_bytes());
        put(std::mem::offset_of!(Record, name_len), &700u16.to_ne_bytes());
        put(std::mem::offset_of!(Record, tgid), &41u32.to_ne_bytes());
        put(std::mem::offset_of!(Record, port), &80u32.to_ne_bytes());
        put(std::mem::offset_of!(Record, name), b".env");
        let record = parse(&bytes).unwrap();
        assert_eq!((record.sequence, record.reason, record.tgid, record.port), (7, 3, 41, 80));
        assert_eq!((&record.name[..5], record.name_len), (&b".env\0"[..], 63));
    }

    proptest! {
        #[test]
        fn bytes_of_another_size_are_no_record(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(parse(&bytes).is_some(), bytes.len() == Record::SIZE);
        }
    }
}
