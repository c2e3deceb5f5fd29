//! Addresses that a run must not reach: programs at connect(2), sendto(2) and sendmsg(2) of its cgroup.
//!
//! They need CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and no LSM: kernels that refuse LSM programs take them. They are
//! loaded for each run by itself, with its own maps, so that nothing is left when the run ends; and as part of a start
//! they are loaded without a reader of object files. A refusal shows as EPERM.
//!
//! What they do not see: raw and packet sockets, which need a capability that no run has; and a descriptor that somebody
//! outside the cgroup made and passed on: a socket belongs to the cgroup in which it was made.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use aya::maps::{Array, Map, MapData, MapError, RingBuf};
use keyblind_abi::{Addressed, addressed};
use keyblind_events::{Address, Envelope, Errno, Object, Outcome, Process};

use crate::policy::{METADATA, NetworkDeny};
use crate::sys::bpf::{self, MapKind};

/// A program as it was built.
struct Code {
    words: &'static [u64],
    /// Which instruction loads the address of which map.
    maps: &'static [(usize, usize)],
}

/// In the order of [`HOOKS`], or `None` where the binary was built without probes.
static PROGRAMS: Option<[Code; 4]> = include!(concat!(env!("OUT_DIR"), "/addresses.in"));

/// `BPF_CGROUP_INET4_CONNECT`, `BPF_CGROUP_INET6_CONNECT`, `BPF_CGROUP_UDP4_SENDMSG`, `BPF_CGROUP_UDP6_SENDMSG`.
const HOOKS: [u32; 4] = [10, 11, 14, 15];

/// Why addresses are not guarded.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The binary carries no programs.
    #[error("built without probes; build with `cargo xtask build`, after `cargo xtask setup`")]
    NotBuilt,
    /// More networks than fit.
    #[error("{0} networks are denied, and at most {most} can be; write larger ones", most = addressed::MOST_NETWORKS)]
    TooMany(usize),
    /// The kernel refuses.
    #[error(
        "programs that guard addresses: {step}: {source}; they need root, and a kernel with cgroup programs"
    )]
    Kernel {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A map could not be opened or read.
    #[error("maps of the programs that guard addresses: {0}")]
    Map(#[from] MapError),
}

/// The programs, loaded and not yet in force. Loading needs no cgroup, so that it can be done while other things are.
#[derive(Debug)]
pub struct AddressPrograms {
    programs: Vec<OwnedFd>,
    seen: Seen,
}

/// The programs at a cgroup. They guard it and all cgroups below it for as long as it exists, whoever is killed; this
/// hears of what they refuse.
#[derive(Debug)]
pub struct AddressGuard {
    seen: Seen,
    last: [u64; 2],
}

/// What the programs write.
struct Seen {
    counts: Array<MapData, u64>,
    reports: RingBuf<MapData>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").finish_non_exhaustive()
    }
}

/// Somebody in the cgroup asked for a denied address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Process, in the initial PID namespace.
    pub pid: u32,
    /// Thread, in the initial PID namespace.
    pub tid: u32,
    /// Real user id, in the initial user namespace.
    pub uid: u32,
    /// The thread's name.
    pub command: [u8; 16],
    /// The address; an IPv4 address that was written as IPv6 is an IPv4 address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// `IPPROTO_TCP` and its like.
    pub protocol: u32,
    /// CLOCK_BOOTTIME, nanoseconds.
    pub time: u64,
    /// Whether it was refused; else it was only flagged.
    pub refused: bool,
    /// Reports of this kind that are missing before this one. Threads may report out of order, so that a later report
    /// may fill a gap; the counts say what was lost in all.
    pub gap: u64,
}

impl Denied {
    /// What an event says of it. `seen` is what /proc said of the process and its ancestors when the report was read; the
    /// kernel's report counts where it is gone.
    pub fn describe(&self, seen: (Process, Vec<Process>), envelope: &mut Envelope) {
        let (mut process, lineage) = seen;
        process.uid = process.uid.or(Some(self.uid));
        let name = self.command.split(|byte| *byte == 0).next().unwrap_or_default();
        process.name = process.name.or_else(|| Some(OsStr::from_bytes(name).to_owned()));
        envelope.process = Some(process);
        envelope.lineage = lineage;
        envelope.layer = Some("network_limits".to_owned());
        envelope.errno = self.refused.then_some(Errno::EPERM);
        envelope.object = Some(Object {
            guard: Some("network.deny".to_owned()),
            address: Some(Address::Inet((self.address, self.port).into())),
            ..Object::default()
        });
    }

    /// Refused, or only flagged.
    pub fn outcome(&self) -> Outcome {
        if self.refused { Outcome::Denied } else { Outcome::Flagged }
    }
}

/// What was counted since the programs were loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressCounts {
    /// Refusals.
    pub refused: u64,
    /// Flagged and let pass.
    pub flagged: u64,
    /// Reports that found no room.
    pub lost: u64,
}

impl AddressPrograms {
    /// Loads the programs for these networks, which they refuse, or only report if not `refuse`.
    pub fn load(denied: &[NetworkDeny], refuse: bool) -> Result<Self, AddressError> {
        let failed = |step| move |source| AddressError::Kernel { step, source };
        let code = PROGRAMS.as_ref().ok_or(AddressError::NotBuilt)?;
        let keys: Vec<[u8; 20]> = denied.iter().flat_map(|denied| networks(*denied)).collect();
        let room = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        if room > addressed::MOST_NETWORKS {
            return Err(AddressError::TooMany(keys.len()));
        }
        let networks = bpf::map(MapKind::Trie, 20, 4, room.max(1)).map_err(failed("the networks"))?;
        let said = if refuse { addressed::REFUSE } else { addressed::FLAG };
        for key in &keys {
            bpf::update(&networks, key, &said.to_ne_bytes()).map_err(failed("a network"))?;
        }
        let counts = bpf::map(MapKind::Array, 4, 8, addressed::COUNTS).map_err(failed("the counts"))?;
        let reports = bpf::map(MapKind::Ring, 0, 0, addressed::RING_BYTES).map_err(failed("the reports"))?;
        let maps = [networks.as_fd(), counts.as_fd(), reports.as_fd()];
        let mut programs = Vec::with_capacity(HOOKS.len());
        for (code, hook) in code.iter().zip(HOOKS) {
            let mut words = code.words.to_vec();
            for (at, map) in code.maps {
                if let (Some(word), Some(map)) = (words.get_mut(*at), maps.get(*map)) {
                    *word = bpf::refer(*word, map);
                }
            }
            programs.push(bpf::load(&words, hook, c"Dual MIT/GPL").map_err(failed("a program"))?);
        }
        let seen = Seen { counts: open(counts)?.try_into()?, reports: open(reports)?.try_into()? };
        Ok(Self { programs, seen })
    }

    /// Puts the programs in force for a cgroup of version 2 and what is below it.
    pub fn attach(self, cgroup: BorrowedFd<'_>) -> Result<AddressGuard, AddressError> {
        let mut hooks = self.programs.iter().zip(HOOKS);
        hooks
            .try_for_each(|(program, hook)| bpf::attach(program, cgroup, hook))
            .map_err(|source| AddressError::Kernel { step: "attaching them", source })?;
        Ok(AddressGuard { seen: self.seen, last: [0; 2] })
    }
}

impl AddressGuard {
    /// Loads the programs and puts them in force.
    pub fn attach(
        cgroup: BorrowedFd<'_>,
        denied: &[NetworkDeny],
        refuse: bool,
    ) -> Result<Self, AddressError> {
        AddressPrograms::load(denied, refuse)?.attach(cgroup)
    }

    /// What was counted.
    pub fn counts(&self) -> Result<AddressCounts, AddressError> {
        let get = |index: &u32| self.seen.counts.get(index, 0);
        Ok(AddressCounts {
            refused: get(&addressed::REFUSED)?,
            flagged: get(&addressed::FLAGGED)?,
            lost: get(&addressed::LOST)?,
        })
    }
}

impl Iterator for AddressGuard {
    type Item = Denied;

    /// The next report, or `None` while there is none.
    fn next(&mut self) -> Option<Denied> {
        let report = loop {
            // A report of another size is no report of these programs.
            match parse(&self.seen.reports.next()?) {
                Some(report) => break report,
                None => continue,
            }
        };
        let last = &mut self.last[usize::from(report.refused != 0)];
        let gap = report.sequence.saturating_sub(*last + 1);
        *last = (*last).max(report.sequence);
        let [a, b, c, d] = report.address.map(|word| u128::from(u32::from_be(word)));
        let address = Ipv6Addr::from_bits(a << 96 | b << 64 | c << 32 | d);
        let mut command = [0; 16];
        for (part, word) in command.chunks_mut(8).zip(report.command) {
            part.copy_from_slice(&word.to_ne_bytes());
        }
        Some(Denied {
            pid: report.tgid,
            tid: report.tid,
            uid: report.uid,
            command,
            address: IpAddr::V6(address).to_canonical(),
            port: u16::try_from(report.port).unwrap_or(0),
            protocol: report.protocol,
            time: report.time,
            refused: report.refused != 0,
            gap,
        })
    }
}

impl AsFd for AddressGuard {
    /// Readable while there is a report.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.seen.reports.as_fd()
    }
}

impl AsRawFd for AddressGuard {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

fn open(map: OwnedFd) -> Result<Map, AddressError> {
    Ok(Map::from_map_data(MapData::from_fd(map)?)?)
}

/// Keys of the map `NETWORKS`: how many bits count, and the address as IPv6.
fn networks(denied: NetworkDeny) -> Vec<[u8; 20]> {
    let unspecified = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let unspecified = unspecified.into_iter().filter(|address| denied.denies(*address));
    let mut networks: Vec<[u8; 20]> = unspecified.flat_map(|address| keys(address, 128)).collect();
    networks.append(&mut match denied {
        NetworkDeny::Metadata => METADATA
            .iter()
            .flat_map(|address| keys(*address, if address.is_ipv4() { 32 } else { 128 }))
            .collect(),
        NetworkDeny::Net { address, prefix } => keys(address, prefix),
    });
    networks
}

/// An IPv4 address can be written as IPv6 in two ways that reach it: mapped (RFC 4291, 2.5.5.2), and through a
/// translator under the well-known prefix (RFC 6052, 2.1).
fn keys(address: IpAddr, prefix: u8) -> Vec<[u8; 20]> {
    let key = |address: Ipv6Addr, prefix: u8| {
        let mut key = [0; 20];
        let (bits, rest) = key.split_at_mut(4);
        bits.copy_from_slice(&u32::from(prefix).to_ne_bytes());
        rest.copy_from_slice(&address.octets());
        key
    };
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            let word = |high, low| u16::from_be_bytes([high, low]);
            let translated = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, word(a, b), word(c, d));
            let prefix = 96 + prefix.min(32);
            vec![key(address.to_ipv6_mapped(), prefix), key(translated, prefix)]
        }
        IpAddr::V6(address) => vec![key(address, prefix.min(128))],
    }
}

/// A report from its bytes.
fn parse(bytes: &[u8]) -> Option<Addressed> {
    let bytes: &[u8; Addressed::SIZE] = bytes.try_into().ok()?;
    let long = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let word = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    Some(Addressed {
        sequence: long(0)?,
        time: long(8)?,
        refused: word(16)?,
        tgid: word(20)?,
        tid: word(24)?,
        uid: word(28)?,
        port: word(32)?,
        protocol: word(36)?,
        address: [word(40)?, word(44)?, word(48)?, word(52)?],
        command: [long(56)?, long(64)?],
    })
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use proptest::prelude::*;

    use super::*;

    /// What a look-up of the longest prefix says.
    fn found(keys: &[[u8; 20]], address: Ipv6Addr) -> bool {
        keys.iter().any(|key| {
            let bits = u32::from_ne_bytes(*key.first_chunk().unwrap());
            let net = u128::from_be_bytes(*key.last_chunk().unwrap());
            (net ^ address.to_bits()).leading_zeros() >= bits
        })
    }

    proptest! {
        /// The keys find what the policy says that it denies, however it is written.
        #[test]
        fn the_keys_say_what_the_policy_says(net: u32, prefix in 0u8..=32, near: u32, bits in 0u32..32) {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            let denied = NetworkDeny::Net { address: IpAddr::V4(Ipv4Addr::from_bits(net & mask)), prefix };
            let keys = networks(denied);
            let address = Ipv4Addr::from_bits(net ^ (near >> bits));
            prop_assert_eq!(found(&keys, address.to_ipv6_mapped()), denied.denies(IpAddr::V4(address)));
        }

        #[test]
        fn bytes_of_another_size_are_no_report(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(parse(&bytes).is_some(), bytes.len() == Addressed::SIZE);
        }
    }

    #[test]
    fn metadata_is_found_in_every_spelling() {
        let keys = networks(NetworkDeny::Metadata);
        for address in
            ["::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "fd00:ec2::254", "::ffff:100.100.100.200"]
        {
            assert!(found(&keys, address.parse().unwrap()), "{address}");
        }
        for address in
            ["::ffff:169.254.169.253", "::1", "fd00:ec2::253", "64:ff9b::1.1.1.1", "::", "::ffff:0.0.0.0"]
        {
            assert!(!found(&keys, address.parse().unwrap()), "{address}");
        }
        for (net, prefix) in [("127.0.0.0", 8), ("::1", 128)] {
            let keys = networks(NetworkDeny::Net { address: net.parse().unwrap(), prefix });
            assert!(["::", "::ffff:0.0.0.0"].iter().all(|any| found(&keys, any.parse().unwrap())), "{net}");
        }
    }

    #[test]
    fn fields_lie_where_the_programs_put_them() {
        assert_eq!(
            [
                offset_of!(Addressed, sequence),
                offset_of!(Addressed, time),
                offset_of!(Addressed, refused),
                offset_of!(Addressed, tgid),
                offset_of!(Addressed, tid),
                offset_of!(Addressed, uid),
                offset_of!(Addressed, port),
                offset_of!(Addressed, protocol),
                offset_of!(Addressed, address),
                offset_of!(Addressed, command),
            ],
            [0, 8, 16, 20, 24, 28, 32, 36, 40, 56]
        );
    }

    #[test]
    fn each_program_ends_and_loads_maps_where_it_is_said_to() {
        let Some(programs) = &PROGRAMS else { return };
        for code in programs {
            // exit, and the instruction that loads 64 bits (Documentation/bpf/standardization/instruction-set.rst).
            assert!(code.words.iter().any(|word| word & 0xff == 0x95));
            assert!(code.maps.iter().all(|(at, _)| code.words[*at] & 0xff == 0x18));
        }
    }
}
