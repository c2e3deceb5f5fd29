//! What the registrar says.

use keyblind_events::{RunId, SessionId};

use super::{LONGEST, LONGEST_TEXT, MOST_ENTRIES, MOST_GUARDS, ProtocolError, Reader, Result, Writer, open};

/// Bytes of an event's line: what is left of a packet.
const LONGEST_EVENT: usize = LONGEST - 64;

/// A message of the registrar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To [`super::Request::Hello`].
    Welcome {
        /// Each layer and whether it is enforced.
        layers: Vec<LayerReport>,
        /// The generation of the host's policy.
        generation: String,
    },
    /// To [`super::Request::Enter`].
    Done,
    /// To [`super::Request::Register`] and [`super::Request::Guards`]: the numbers of those that were not enrolled, and
    /// why. For a registration those of the host's policy, each once and by its name.
    Enrolled {
        /// Number and reason.
        refused: Vec<(u32, String)>,
    },
    /// To [`super::Request::Begin`]. The cgroup's directory is the one descriptor beside it.
    Begun {
        /// The cgroup's id: its inode number.
        cgroup: u64,
    },
    /// To [`super::Request::End`], when nothing is left of the scope.
    Ended {
        /// Accesses refused in it.
        denied: u64,
        /// Accesses flagged in it.
        flagged: u64,
        /// Reports of it that were lost.
        lost: u64,
    },
    /// One run, before [`Reply::Service`].
    Run(RunStatus),
    /// To [`super::Request::Status`], last.
    Service(ServiceStatus),
    /// To [`super::Request::Down`]: it ends. The socket closes when it has.
    Stopping,
    /// Unasked, of a run that has begun: something that the kernel saw.
    Report {
        /// The client's number of the guard; 0 where it is the host's or none.
        guard: u32,
        /// The event as a line ([`keyblind_events::decode`]).
        line: Vec<u8>,
    },
    /// Unasked: so many reports were not sent because nobody read them.
    Lost(u64),
    /// The request is refused, and with it the connection ends.
    Refused(Refusal, String),
}

/// A layer that the registrar gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// Guards on files and processes: BPF-LSM programs.
    Files,
    /// Denied addresses: cgroup programs.
    Addresses,
    /// A cgroup of the run's own, killed as a whole.
    Scope,
}

impl Layer {
    /// Every layer, strongest first.
    pub const ALL: [Self; 3] = [Self::Files, Self::Addresses, Self::Scope];

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Files => "files and processes (BPF-LSM)",
            Self::Addresses => "addresses (cgroup programs)",
            Self::Scope => "scopes (cgroup v2)",
        }
    }

    fn from_number(number: u8) -> Result<Self> {
        Self::ALL.get(usize::from(number)).copied().ok_or(ProtocolError::Field("layer"))
    }
}

/// A layer, and whether it is enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerReport {
    /// Which.
    pub layer: Layer,
    /// Whether it is.
    pub enforced: bool,
    /// The evidence, or the reason and what to do.
    pub why: String,
}

/// A run, as the registrar knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStatus {
    /// The run.
    pub run: RunId,
    /// Its session.
    pub session: SessionId,
    /// Its user.
    pub uid: u32,
    /// Its command's name.
    pub command: String,
    /// When it began, in seconds since 1970.
    pub began: u64,
    /// Its processes at this moment.
    pub processes: u32,
    /// Whether a registrar of before opened its scope.
    pub adopted: bool,
}

/// The registrar itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStatus {
    /// Its process id.
    pub pid: u32,
    /// keyblind's version.
    pub version: String,
    /// Since when it serves, in seconds since 1970.
    pub since: u64,
    /// Where its policy comes from.
    pub policy: String,
    /// The policy's generation.
    pub generation: String,
    /// Why the last reload was not taken; empty when it was.
    pub stale: String,
    /// Each layer.
    pub layers: Vec<LayerReport>,
    /// Slices always guarded.
    pub slices: Vec<String>,
    /// Runs in all, those of other users included.
    pub runs: u32,
    /// Clients turned away.
    pub refused: u64,
    /// Events of its own journal that were lost.
    pub lost: u64,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The packet is no message, or not in its place.
    Protocol,
    /// The client may not ask for that.
    Forbidden,
    /// Too many connections, runs or guards.
    Limit,
    /// The run id is taken.
    Taken,
    /// Runs are in the way.
    Busy,
    /// The host could not do it.
    Failed,
}

impl Refusal {
    const ALL: [Self; 6] =
        [Self::Protocol, Self::Forbidden, Self::Limit, Self::Taken, Self::Busy, Self::Failed];
}

impl Reply {
    /// The packet.
    pub fn encode(&self) -> Vec<u8> {
        let mut packet = Writer::new(self.verb());
        match self {
            Self::Welcome { layers, generation } => {
                write_layers(&mut packet, layers);
                packet.text(generation, LONGEST_TEXT);
            }
            Self::Done | Self::Stopping => {}
            Self::Enrolled { refused } => packet.list(refused, MOST_GUARDS, |packet, (number, why)| {
                packet.u32(*number);
                packet.text(why, LONGEST_TEXT);
            }),
            Self::Begun { cgroup } => packet.u64(*cgroup),
            Self::Ended { denied, flagged, lost } => {
                packet.u64(*denied);
                packet.u64(*flagged);
                packet.u64(*lost);
            }
            Self::Run(run) => run.write(&mut packet),
            Self::Service(service) => service.write(&mut packet),
            Self::Report { guard, line } => {
                packet.u32(*guard);
                packet.bytes(line, LONGEST_EVENT);
            }
            Self::Lost(count) => packet.u64(*count),
            Self::Refused(refusal, why) => {
                let number = Refusal::ALL.iter().position(|one| one == refusal).unwrap_or_default();
                packet.u8(u8::try_from(number).unwrap_or_default());
                packet.text(why, LONGEST_TEXT);
            }
        }
        packet.finish()
    }

    /// Whether an event's line fits into a packet.
    pub fn fits(line: &[u8]) -> bool {
        line.len() <= LONGEST_EVENT
    }

    /// The message of a packet.
    pub fn decode(packet: &[u8]) -> Result<Self> {
        let (verb, mut reader) = open(packet)?;
        let reply = match verb {
            1 => Self::Welcome {
                layers: read_layers(&mut reader)?,
                generation: text(&mut reader, "generation")?,
            },
            2 => Self::Done,
            3 => Self::Enrolled {
                refused: reader
                    .list("guards", MOST_GUARDS, |reader| Ok((reader.u32()?, text(reader, "reason")?)))?,
            },
            4 => Self::Begun { cgroup: reader.u64()? },
            5 => Self::Ended { denied: reader.u64()?, flagged: reader.u64()?, lost: reader.u64()? },
            6 => Self::Run(RunStatus::read(&mut reader)?),
            7 => Self::Service(ServiceStatus::read(&mut reader)?),
            8 => Self::Stopping,
            9 => Self::Report { guard: reader.u32()?, line: reader.bytes("event", LONGEST_EVENT)?.to_vec() },
            10 => Self::Lost(reader.u64()?),
            11 => {
                let refusal = Refusal::ALL.get(usize::from(reader.u8()?)).copied();
                Self::Refused(refusal.ok_or(ProtocolError::Field("refusal"))?, text(&mut reader, "reason")?)
            }
            other => return Err(ProtocolError::Verb(other)),
        };
        reader.end()?;
        Ok(reply)
    }

    fn verb(&self) -> u8 {
        match self {
            Self::Welcome { .. } => 1,
            Self::Done => 2,
            Self::Enrolled { .. } => 3,
            Self::Begun { .. } => 4,
            Self::Ended { .. } => 5,
            Self::Run(_) => 6,
            Self::Service(_) => 7,
            Self::Stopping => 8,
            Self::Report { .. } => 9,
            Self::Lost(_) => 10,
            Self::Refused(..) => 11,
        }
    }
}

impl RunStatus {
    fn write(&self, packet: &mut Writer) {
        packet.text(self.run.as_str(), LONGEST_TEXT);
        packet.text(self.session.as_str(), LONGEST_TEXT);
        packet.u32(self.uid);
        packet.text(&self.command, LONGEST_TEXT);
        packet.u64(self.began);
        packet.u32(self.processes);
        packet.u8(self.adopted.into());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let id = |_not_an_id| ProtocolError::Field("run");
        Ok(Self {
            run: reader.text("run", LONGEST_TEXT)?.parse().map_err(id)?,
            session: reader.text("session", LONGEST_TEXT)?.parse().map_err(id)?,
            uid: reader.u32()?,
            command: text(reader, "command")?,
            began: reader.u64()?,
            processes: reader.u32()?,
            adopted: reader.flag("adopted")?,
        })
    }
}

impl ServiceStatus {
    fn write(&self, packet: &mut Writer) {
        packet.u32(self.pid);
        packet.text(&self.version, LONGEST_TEXT);
        packet.u64(self.since);
        packet.text(&self.policy, LONGEST_TEXT);
        packet.text(&self.generation, LONGEST_TEXT);
        packet.text(&self.stale, LONGEST_TEXT);
        write_layers(packet, &self.layers);
        packet.list(&self.slices, MOST_ENTRIES, |packet, slice| packet.text(slice, LONGEST_TEXT));
        packet.u32(self.runs);
        packet.u64(self.refused);
        packet.u64(self.lost);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            pid: reader.u32()?,
            version: text(reader, "version")?,
            since: reader.u64()?,
            policy: text(reader, "policy")?,
            generation: text(reader, "generation")?,
            stale: text(reader, "reason")?,
            layers: read_layers(reader)?,
            slices: reader.list("slices", MOST_ENTRIES, |reader| text(reader, "slice"))?,
            runs: reader.u32()?,
            refused: reader.u64()?,
            lost: reader.u64()?,
        })
    }
}

fn write_layers(packet: &mut Writer, layers: &[LayerReport]) {
    packet.list(layers, MOST_ENTRIES, |packet, report| {
        let number = Layer::ALL.iter().position(|layer| *layer == report.layer).unwrap_or_default();
        packet.u8(u8::try_from(number).unwrap_or_default());
        packet.u8(report.enforced.into());
        packet.text(&report.why, LONGEST_TEXT);
    });
}

fn read_layers(reader: &mut Reader<'_>) -> Result<Vec<LayerReport>> {
    reader.list("layers", MOST_ENTRIES, |reader| {
        let layer = Layer::from_number(reader.u8()?)?;
        Ok(LayerReport { layer, enforced: reader.flag("enforced")?, why: text(reader, "reason")? })
    })
}

fn text(reader: &mut Reader<'_>, name: &'static str) -> Result<String> {
    reader.text(name, LONGEST_TEXT).map(str::to_owned)
}
