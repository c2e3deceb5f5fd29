//! What a client says.

use keyblind_events::{RunId, SessionId};

use super::{
    LONGEST_TEXT, MOST_DENIED, MOST_DESCRIPTORS, MOST_GUARDS, ProtocolError, Reader, Result, Writer, open,
};

use crate::policy::NetworkDeny;

/// Bytes of a name in a directory (NAME_MAX).
const LONGEST_NAME: usize = 255;

/// A message to the registrar. Each is answered by one [`super::Reply`], in order, but for [`Request::Status`], which
/// has one for each run before the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// What is enforced here?
    Hello,
    /// A run of this connection, the only one it will have. The descriptor beside it, if there is one, is its working
    /// directory.
    Register(Registration),
    /// Guards of the run beyond those of the host's policy, before it begins or later: objects of its own tree are there
    /// only then. Descriptors beside it are their objects.
    Guards(Vec<Guard>),
    /// Make the scope.
    Begin,
    /// Move the process whose pidfd is the one descriptor beside it into the scope. It must be a child of the client
    /// and of the same user.
    Enter,
    /// End the run: what is left in the scope is killed.
    End,
    /// Which runs are there? An ordinary user is told of its own.
    Status,
    /// End the service; only for root. What is in a scope by then is killed if `end_runs` says so, else it is refused.
    Down {
        /// Runs are ended rather than in the way.
        end_runs: bool,
    },
}

/// Who asks for a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The run; not yet known to the registrar.
    pub run: RunId,
    /// Its session.
    pub session: SessionId,
    /// The command's name, for people. At most 512 bytes.
    pub command: String,
    /// The user whose rights the run has. Root may say any, others their own.
    pub uid: u32,
    /// Refuse, or record and let pass.
    pub enforce: bool,
    /// Addresses that the run must not reach, beyond those of the host's policy. At most [`MOST_DENIED`].
    pub denied: Vec<NetworkDeny>,
}

/// A guard beyond the host's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The client's number for it: reports cite it.
    pub number: u32,
    /// What is refused.
    pub access: Access,
    /// How.
    pub action: Action,
    /// What it protects.
    pub target: Target,
}

/// What a guard refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Opening for reading.
    Read,
    /// Creating, changing, renaming, removing.
    Write,
}

/// How it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// EACCES.
    Deny,
    /// ENOENT.
    Hide,
    /// Recorded only.
    Flag,
    /// An exception.
    Allow,
}

/// What a guard protects. `descriptor` and `directory` are places in the message's descriptors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file, or a directory with all below it.
    Object {
        /// Which descriptor.
        descriptor: u8,
    },
    /// A directory with something guarded in it: it must not be moved or removed.
    Holds {
        /// Which descriptor.
        descriptor: u8,
    },
    /// One name in one directory, there or not.
    Name {
        /// Which descriptor.
        directory: u8,
        /// The name.
        name: Vec<u8>,
    },
    /// A name anywhere below a directory.
    Below {
        /// Which descriptor.
        directory: u8,
        /// The name.
        name: Vec<u8>,
    },
}

impl Target {
    /// Its place in the message's descriptors.
    pub fn descriptor(&self) -> usize {
        let (Self::Object { descriptor: place }
        | Self::Holds { descriptor: place }
        | Self::Name { directory: place, .. }
        | Self::Below { directory: place, .. }) = self;
        usize::from(*place)
    }
}

impl Request {
    /// The packet.
    pub fn encode(&self) -> Vec<u8> {
        let mut packet = Writer::new(self.verb());
        match self {
            Self::Hello | Self::Begin | Self::Enter | Self::End | Self::Status => {}
            Self::Register(registration) => {
                packet.text(registration.run.as_str(), LONGEST_TEXT);
                packet.text(registration.session.as_str(), LONGEST_TEXT);
                packet.text(&registration.command, LONGEST_TEXT);
                packet.u32(registration.uid);
                packet.u8(registration.enforce.into());
                packet.list(&registration.denied, MOST_DENIED, |packet, denied| {
                    packet.text(&denied.to_string(), LONGEST_TEXT);
                });
            }
            Self::Guards(guards) => packet.list(guards, MOST_GUARDS, |packet, guard| guard.write(packet)),
            Self::Down { end_runs } => packet.u8((*end_runs).into()),
        }
        packet.finish()
    }

    /// The message of a packet.
    pub fn decode(packet: &[u8]) -> Result<Self> {
        let (verb, mut reader) = open(packet)?;
        let request = match verb {
            1 => Self::Hello,
            2 => Self::Register(Registration {
                run: id(reader.text("run", LONGEST_TEXT)?, "run")?,
                session: id(reader.text("session", LONGEST_TEXT)?, "session")?,
                command: reader.text("command", LONGEST_TEXT)?.to_owned(),
                uid: reader.u32()?,
                enforce: reader.flag("mode")?,
                denied: reader.list("addresses", MOST_DENIED, |reader| {
                    let text = reader.text("address", LONGEST_TEXT)?;
                    text.parse().map_err(|_why| ProtocolError::Field("address"))
                })?,
            }),
            3 => Self::Guards(reader.list("guards", MOST_GUARDS, Guard::read)?),
            4 => Self::Begin,
            5 => Self::Enter,
            6 => Self::End,
            7 => Self::Status,
            8 => Self::Down { end_runs: reader.flag("end_runs")? },
            other => return Err(ProtocolError::Verb(other)),
        };
        reader.end()?;
        Ok(request)
    }

    fn verb(&self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::Register(_) => 2,
            Self::Guards(_) => 3,
            Self::Begin => 4,
            Self::Enter => 5,
            Self::End => 6,
            Self::Status => 7,
            Self::Down { .. } => 8,
        }
    }
}

impl Guard {
    fn write(&self, packet: &mut Writer) {
        packet.u32(self.number);
        packet.u8(match self.access {
            Access::Read => 0,
            Access::Write => 1,
        });
        packet.u8(match self.action {
            Action::Deny => 0,
            Action::Hide => 1,
            Action::Flag => 2,
            Action::Allow => 3,
        });
        let (kind, place, name): (u8, u8, &[u8]) = match &self.target {
            Target::Object { descriptor } => (0, *descriptor, &[]),
            Target::Name { directory, name } => (1, *directory, name),
            Target::Below { directory, name } => (2, *directory, name),
            Target::Holds { descriptor } => (3, *descriptor, &[]),
        };
        packet.u8(kind);
        packet.u8(place);
        packet.bytes(name, LONGEST_NAME);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let number = reader.u32()?;
        let access = match reader.u8()? {
            0 => Access::Read,
            1 => Access::Write,
            _ => return Err(ProtocolError::Field("access")),
        };
        let action = match reader.u8()? {
            0 => Action::Deny,
            1 => Action::Hide,
            2 => Action::Flag,
            3 => Action::Allow,
            _ => return Err(ProtocolError::Field("action")),
        };
        let kind = reader.u8()?;
        let place = reader.u8()?;
        if usize::from(place) >= MOST_DESCRIPTORS {
            return Err(ProtocolError::Field("descriptor"));
        }
        let name = reader.bytes("name", LONGEST_NAME)?;
        let target = match kind {
            0 if name.is_empty() => Target::Object { descriptor: place },
            3 if name.is_empty() => Target::Holds { descriptor: place },
            1 | 2 if !is_name(name) => return Err(ProtocolError::Field("name")),
            1 => Target::Name { directory: place, name: name.to_vec() },
            2 => Target::Below { directory: place, name: name.to_vec() },
            _ => return Err(ProtocolError::Field("target")),
        };
        Ok(Self { number, access, action, target })
    }
}

/// Whether a directory can have an entry of that name.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name != b"." && name != b".." && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

fn id<T: std::str::FromStr>(text: &str, name: &'static str) -> Result<T> {
    text.parse().map_err(|_not_an_id| ProtocolError::Field(name))
}
