//! What the programs that guard addresses share with user space.

/// The most networks in one set.
pub const MOST_NETWORKS: u32 = 1024;
/// Bytes of the ring: a power of two, of whole pages.
pub const RING_BYTES: u32 = 1 << 15;

/// Value of the map `NETWORKS`: it is refused.
pub const REFUSE: u32 = 1;
/// Value of the map `NETWORKS`: it is reported and passes.
pub const FLAG: u32 = 0;

/// Index in the map `COUNTS`: refusals.
pub const REFUSED: u32 = 0;
/// Index in the map `COUNTS`: reported and passed.
pub const FLAGGED: u32 = 1;
/// Index in the map `COUNTS`: reports that found no room.
pub const LOST: u32 = 2;
/// Elements of the map `COUNTS`.
pub const COUNTS: u32 = 4;

/// One report. Numbers in the byte order of the machine.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addressed {
    /// Counts refusals, or flags, from 1; also those that found no room.
    pub sequence: u64,
    /// CLOCK_BOOTTIME, nanoseconds.
    pub time: u64,
    /// 1 if it was refused.
    pub refused: u32,
    /// Process, in the initial PID namespace.
    pub tgid: u32,
    /// Thread, in the initial PID namespace.
    pub tid: u32,
    /// Real user id, in the initial user namespace.
    pub uid: u32,
    /// Port, in host order.
    pub port: u32,
    /// `IPPROTO_TCP` and its like.
    pub protocol: u32,
    /// An IPv6 address, or an IPv4 address mapped into one; words in network order.
    pub address: [u32; 4],
    /// The bytes of the thread's name.
    pub command: [u64; 2],
}

impl Addressed {
    /// Bytes of a report.
    pub const SIZE: usize = size_of::<Self>();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_no_padding() {
        assert_eq!(Addressed::SIZE, 2 * 8 + 6 * 4 + 16 + 16);
    }
}
