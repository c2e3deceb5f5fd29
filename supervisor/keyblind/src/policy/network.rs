//! `[network]`: which network a run has, and which addresses it must not reach.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::Located;
use super::word::named;

named!(NetworkMode { Host = "host", Loopback = "loopback", None = "none" });

/// Which network a run has. Ordered: a later one is tighter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NetworkMode {
    /// The host's.
    Host,
    /// Its own loopback interface.
    Loopback,
    /// Nothing.
    None,
}

/// Addresses that a run must not reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NetworkDeny {
    /// The metadata services of clouds, [`METADATA`].
    Metadata,
    /// An address or a network.
    Net {
        /// Host bits are zero.
        address: IpAddr,
        /// Bits that count, at most 32 or 128.
        prefix: u8,
    },
}

/// Addresses at which clouds tell a machine its own credentials: AWS, Azure, Google and others; AWS ECS and EKS;
/// AWS over IPv6; Alibaba.
pub const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
];

/// How many bits an address of that family has.
fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for NetworkDeny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetworkDeny::Metadata => f.write_str("metadata"),
            NetworkDeny::Net { address, prefix } if *prefix == bits_of(*address) => {
                write!(f, "{address}")
            }
            NetworkDeny::Net { address, prefix } => write!(f, "{address}/{prefix}"),
        }
    }
}

/// `metadata`, an address, or a network with its prefix length. The error is a clause for people.
impl FromStr for NetworkDeny {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "metadata" {
            return Ok(NetworkDeny::Metadata);
        }
        let expected =
            "is not an address; expected `metadata`, an IP address or a network such as `10.0.0.0/8`";
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_error| expected.to_owned())?;
        let bits: u8 = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= bits).ok_or(expected)?,
            None => bits,
        };
        let shift = u32::from(bits - prefix);
        let host = match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        let zeroed = host.checked_shr(shift).unwrap_or(0).checked_shl(shift).unwrap_or(0);
        if zeroed != host {
            return Err(format!("has bits set beyond its prefix of {prefix}"));
        }
        Ok(NetworkDeny::Net { address, prefix })
    }
}

impl NetworkDeny {
    /// Whether everything that `other` denies is denied.
    pub fn covers(&self, other: &NetworkDeny) -> bool {
        match (*self, *other) {
            (one, other) if one == other => true,
            (NetworkDeny::Metadata, NetworkDeny::Net { address, prefix }) => {
                prefix == bits_of(address) && self.contains(address)
            }
            (NetworkDeny::Net { .. }, NetworkDeny::Metadata) => {
                METADATA.iter().all(|one| self.contains(*one))
            }
            (NetworkDeny::Net { prefix: ours, .. }, NetworkDeny::Net { address, prefix }) => {
                ours <= prefix && self.contains(address)
            }
            (NetworkDeny::Metadata, NetworkDeny::Metadata) => true,
        }
    }

    /// Whether connecting to `address` is denied. The unspecified address (`0.0.0.0`, `::`) reaches this machine's
    /// loopback interface (ip(7), ipv6(7)), and is denied with any part of it that it may stand for.
    pub fn denies(&self, address: IpAddr) -> bool {
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        self.contains(address)
            || address.to_canonical().is_unspecified()
                && loopback.into_iter().any(|address| self.contains(address))
    }

    /// Whether `address` is in it. An IPv4 address written as IPv6 (`::ffff:a.b.c.d`) is the same address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match *self {
            NetworkDeny::Metadata => METADATA.contains(&address),
            NetworkDeny::Net { address: net, prefix } => match (net, address) {
                (IpAddr::V4(net), IpAddr::V4(address)) => {
                    let differ = net.to_bits() ^ address.to_bits();
                    u32::from(prefix) <= differ.leading_zeros()
                }
                (IpAddr::V6(net), IpAddr::V6(address)) => {
                    let differ = net.to_bits() ^ address.to_bits();
                    u32::from(prefix) <= differ.leading_zeros()
                }
                _ => false,
            },
        }
    }
}

/// `[network]`
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Which network.
    pub mode: Located<NetworkMode>,
    /// Addresses denied in it.
    pub deny: Vec<Located<NetworkDeny>>,
}
