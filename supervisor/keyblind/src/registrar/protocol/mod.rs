//! The wire between a run and the registrar: one message is one packet of a SOCK_SEQPACKET socket.
//!
//! A packet is a byte of version, a byte that says which message it is, and its fields: integers little-endian, texts and
//! bytes after their length in 16 bits, lists after their count in 16 bits. Nothing follows the last field. Descriptors
//! travel beside the packet (SCM_RIGHTS, unix(7)); a field that means one is its index. Whatever is longer than its bound,
//! unknown, or has bytes left over is an error, and costs the connection that it came on.
//!
//! Pure: no I/O here.

mod packet;
mod reply;
mod request;

use packet::{Reader, Writer};
pub use reply::{Layer, LayerReport, Refusal, Reply, RunStatus, ServiceStatus};
pub use request::{Access, Action, Guard, Registration, Request, Target};

/// The version that this module speaks. Another one is refused by name.
pub const VERSION: u8 = 1;
/// Bytes of the longest packet.
pub const LONGEST: usize = 32 * 1024;
/// Descriptors beside one packet.
pub const MOST_DESCRIPTORS: usize = 64;
/// Guards in one packet.
pub const MOST_GUARDS: usize = 64;
/// Addresses in one registration.
pub const MOST_DENIED: usize = 256;
/// Bytes of the longest name, id or reason.
const LONGEST_TEXT: usize = 512;
/// Entries of any list of texts or layers.
const MOST_ENTRIES: usize = 32;

/// Why a packet is not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The other side is of another release.
    #[error(
        "version {0} of the protocol, this keyblind speaks {VERSION}; restart `keyblind host up` after an upgrade"
    )]
    Version(u8),
    /// It ends early.
    #[error("a message that ends early")]
    Short,
    /// It goes on after its end.
    #[error("a message with bytes after its end")]
    Long,
    /// No such message.
    #[error("a message of unknown kind {0}")]
    Verb(u8),
    /// A field holds what it cannot.
    #[error("a message with a bad {0}")]
    Field(&'static str),
}

type Result<T> = std::result::Result<T, ProtocolError>;

/// Reads the head that all packets have, and gives the message's number and a reader of its fields.
fn open(packet: &[u8]) -> Result<(u8, Reader<'_>)> {
    let mut reader = Reader::new(packet);
    match reader.u8()? {
        VERSION => Ok((reader.u8()?, reader)),
        other => Err(ProtocolError::Version(other)),
    }
}

#[cfg(test)]
mod tests;
