//! Enrolment: objects and names become guarded.

use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use aya::maps::MapData;
use keyblind_abi::{Arm, GuardEntry, GuardKey, Label, NameEntry, NameKey, ObjectKey, Stamp, arm, flags};

use super::Kernel;
use super::error::KernelError;
use super::maps::{found, named, removed};
use super::wire::Wire;

type Result<T> = std::result::Result<T, KernelError>;

/// A set of guards, numbered from 1 to [`PolicySlot::MOST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicySlot(u32);

impl PolicySlot {
    /// The highest number.
    pub const MOST: u32 = Stamp::MOST_SLOTS;

    /// The slot of this number, or `None` if there is none.
    pub fn new(number: u32) -> Option<Self> {
        (1..=Self::MOST).contains(&number).then_some(Self(number))
    }

    /// Its number.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// What a guard refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuses {
    /// Opening, and other names by which it could be opened.
    Opening,
    /// Changing, replacing, moving and removing.
    Changing,
    /// Nothing: an exception from guards further up.
    Nothing,
}

/// How it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// EACCES.
    Deny,
    /// ENOENT.
    Hide,
    /// It passes, and is reported.
    Flag,
}

/// How far a guard reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The object alone.
    Object,
    /// A directory and everything below it, on the same mount: each mount below is enrolled itself.
    Tree,
    /// A directory that contains something guarded: it must not be moved or removed.
    Holds,
}

/// A guard on an object.
#[derive(Debug, Clone, Copy)]
pub struct Guard<'a> {
    /// What reports call it; not 0.
    pub number: u32,
    /// The object; a descriptor opened with `O_PATH` is enough. Keep it open while the guard counts: the label then
    /// stays in memory.
    pub object: BorrowedFd<'a>,
    /// How far it reaches.
    pub reach: Reach,
    /// What it refuses.
    pub refuses: Refuses,
    /// How.
    pub how: How,
}

/// A guard on names below a directory.
#[derive(Debug, Clone, Copy)]
pub struct NameGuard<'a> {
    /// What reports call it; not 0.
    pub number: u32,
    /// The directory.
    pub under: BorrowedFd<'a>,
    /// Exact names, in lower case where case shall not count on file systems that fold it.
    pub names: &'a [&'a [u8]],
    /// Which set of names of this slot, below [`NameGuard::SETS`]: each directory counts for whole sets.
    pub set: u32,
    /// What it refuses.
    pub refuses: Refuses,
    /// How.
    pub how: How,
}

impl NameGuard<'_> {
    /// Sets of names per slot.
    pub const SETS: u32 = Stamp::MOST_NAMES;
}

/// An enrolled object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enrolled {
    /// Its number among all objects.
    pub object: u32,
    /// How it is found again.
    pub key: ObjectKey,
}

impl Kernel {
    /// Guards an object for one set of guards.
    pub fn enrol(&mut self, slot: PolicySlot, guard: &Guard<'_>) -> Result<Enrolled> {
        let enrolled = self.label(guard.object)?;
        let reach = match guard.reach {
            Reach::Object => 0,
            Reach::Tree => flags::TREE,
            Reach::Holds => flags::HOLDS,
        };
        let holds = guard.reach == Reach::Holds;
        let says = if holds { 0 } else { says(guard.refuses) };
        self.says(slot, enrolled.object, |entry| {
            entry.flags = together(entry.flags, reach | says | how(guard.how));
            match guard.refuses {
                Refuses::Opening if !holds => entry.read = guard.number,
                _ => entry.write = guard.number,
            }
        })?;
        self.bump()?;
        Ok(enrolled)
    }

    /// Guards names below a directory for one set of guards.
    pub fn enrol_names(&mut self, slot: PolicySlot, guard: &NameGuard<'_>) -> Result<Enrolled> {
        self.name_all(slot, guard)?;
        let enrolled = self.label(guard.under)?;
        let bit = 1 << guard.set;
        self.says(slot, enrolled.object, |entry| entry.names |= bit)?;
        self.bump()?;
        Ok(enrolled)
    }

    /// Guards more names below a directory that is enrolled with this very set of names.
    pub fn enrol_more_names(&mut self, slot: PolicySlot, guard: &NameGuard<'_>) -> Result<()> {
        self.name_all(slot, guard)?;
        // A file of that name may be known as harmless.
        self.bump()
    }

    fn name_all(&mut self, slot: PolicySlot, guard: &NameGuard<'_>) -> Result<()> {
        let refuse = |what: &[u8], why: &str| KernelError::Enrol {
            what: format!("the name {}", String::from_utf8_lossy(what).escape_debug()),
            why: why.to_owned(),
        };
        if guard.set >= NameGuard::SETS {
            return Err(refuse(b"", "a policy has at most 12 sets of names; merge some"));
        }
        let bit = 1 << guard.set;
        for name in guard.names {
            let key =
                NameKey::new(name).ok_or_else(|| refuse(name, "it is empty or longer than 63 bytes"))?;
            let number = self.name_number(key)?;
            let key = GuardKey { slot: slot.0, object: number };
            let mut entry = found("SLOT_NAMES", self.maps.slot_names.get(&Wire(key), 0))?
                .map_or(NameEntry::default(), |Wire(entry)| entry);
            entry.flags = together(entry.flags, says(guard.refuses) | how(guard.how));
            entry.names |= bit;
            match guard.refuses {
                Refuses::Changing => entry.write = guard.number,
                _ => entry.read = guard.number,
            }
            named("SLOT_NAMES", self.maps.slot_names.insert(Wire(key), Wire(entry), 0))?;
        }
        Ok(())
    }

    /// Withdraws a set of guards. No scope may use it any more.
    pub fn withdraw(&mut self, slot: PolicySlot) -> Result<()> {
        let of_slot = |key: std::result::Result<Wire<GuardKey>, _>| match key {
            Ok(Wire(key)) if key.slot == slot.0 => Some(Ok(key)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        };
        let keys: std::result::Result<Vec<_>, _> = self.maps.guards.keys().filter_map(of_slot).collect();
        for key in named("GUARDS", keys)? {
            removed("GUARDS", self.maps.guards.remove(&Wire(key)))?;
        }
        let keys: std::result::Result<Vec<_>, _> = self.maps.slot_names.keys().filter_map(of_slot).collect();
        for key in named("SLOT_NAMES", keys)? {
            removed("SLOT_NAMES", self.maps.slot_names.remove(&Wire(key)))?;
        }
        self.bump()
    }

    /// Notes that the content of a file holds no secret, or that this is no longer known.
    pub fn judged(&mut self, file: BorrowedFd<'_>, harmless: bool) -> Result<()> {
        self.label(file)?;
        let Wire(label) = named("LABELS", self.maps.labels.get(&file, 0))?;
        let label = Label { harmless: u32::from(harmless), stamp: 0, ..label };
        named("LABELS", self.maps.labels.insert(&file, Wire(label), 0))?;
        self.bump()
    }

    fn says(&mut self, slot: PolicySlot, object: u32, change: impl FnOnce(&mut GuardEntry)) -> Result<()> {
        let key = Wire(GuardKey { slot: slot.0, object });
        let mut entry = found("GUARDS", self.maps.guards.get(&key, 0))?
            .map_or(GuardEntry::default(), |Wire(entry)| entry);
        change(&mut entry);
        named("GUARDS", self.maps.guards.insert(key, Wire(entry), 0))
    }

    fn name_number(&mut self, key: NameKey) -> Result<u32> {
        if let Some(number) = found("NAMES", self.maps.names.get(&Wire(key), 0))? {
            return Ok(number);
        }
        self.last_name += 1;
        named("NAMES", self.maps.names.insert(Wire(key), self.last_name, 0))?;
        Ok(self.last_name)
    }

    /// Labels the object behind a descriptor: arms this thread for one open, opens, and looks what became of it.
    fn label(&mut self, object: BorrowedFd<'_>) -> Result<Enrolled> {
        let refuse = |why: String| KernelError::Enrol { what: path_of(object), why };
        let thread =
            u64::from(std::process::id()) << 32 | u64::from(nix::unistd::gettid().as_raw().unsigned_abs());
        let fresh = self.last_object + 1;
        let waiting = Arm { object: fresh, state: arm::WAITING, ..Arm::default() };
        named("ARMED", self.maps.armed.insert(thread, Wire(waiting), 0))?;
        self.arm(true)?;
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(format!("/proc/self/fd/{}", object.as_raw_fd()));
        let became = found("ARMED", self.maps.armed.get(&thread, 0));
        self.arm(false)?;
        removed("ARMED", self.maps.armed.remove(&thread))?;
        let Wire(became) = became?.ok_or_else(|| refuse("the note for it is gone".to_owned()))?;
        match (became.state, opened) {
            (arm::DONE, Err(_)) => {}
            (arm::FAILED, _) => return Err(refuse("the kernel had no memory for a label or key".to_owned())),
            (_, Ok(_)) => {
                return Err(refuse(
                    "its open was not seen; is this process in a PID namespace of its own?".to_owned(),
                ));
            }
            (_, Err(error)) => return Err(refuse(format!("opening it: {error}"))),
        }
        self.last_object = self.last_object.max(became.object);
        Ok(Enrolled {
            object: became.object,
            key: ObjectKey { inode: became.inode, device: became.device, generation: became.generation },
        })
    }
}

/// The highest number in a map, for numbering on.
pub(super) fn highest<K: aya::Pod>(
    map: &'static str,
    of: &aya::maps::HashMap<MapData, K, u32>,
) -> Result<u32> {
    let mut most = 0;
    for pair in of.iter() {
        most = most.max(named(map, pair)?.1);
    }
    Ok(most)
}

fn says(refuses: Refuses) -> u32 {
    match refuses {
        Refuses::Opening => flags::READ,
        Refuses::Changing => flags::WRITE,
        Refuses::Nothing => flags::ALLOW,
    }
}

fn how(how: How) -> u32 {
    match how {
        How::Deny => 0,
        How::Hide => flags::HIDE,
        How::Flag => flags::FLAG,
    }
}

/// What two guards of one set say about one object or name, which has room for one answer: the tighter. Else a guard that
/// only flags changes would let reads pass that another guard refuses, and an exception from the one would be one from the
/// other.
fn together(have: u32, more: u32) -> u32 {
    const GUARDS: u32 = flags::READ | flags::WRITE | flags::HOLDS;
    const SOFTER: u32 = flags::FLAG | flags::HIDE;
    match (have & GUARDS != 0, more & flags::ALLOW != 0) {
        (true, true) => have,
        (true, false) => (have | more) & !(SOFTER | flags::ALLOW) | (have & more & SOFTER),
        (false, true) => have | more,
        (false, false) => (have & !flags::ALLOW) | more,
    }
}

fn path_of(fd: BorrowedFd<'_>) -> String {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    link.map_or_else(|_| "an object".to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tighter_of_two_guards_counts() {
        let (read, write) = (flags::READ, flags::WRITE);
        assert_eq!(together(0, read | flags::FLAG), read | flags::FLAG);
        // Flagged changes do not make a refused read pass, in whichever order they come.
        assert_eq!(together(read, write | flags::FLAG), read | write);
        assert_eq!(together(write | flags::FLAG, read), read | write);
        assert_eq!(together(read | flags::FLAG, write | flags::FLAG), read | write | flags::FLAG);
        assert_eq!(together(read | flags::HIDE, write | flags::FLAG), read | write);
        // Nor does an exception.
        assert_eq!(together(write, flags::ALLOW), write);
        assert_eq!(together(flags::ALLOW, write), write);
        assert_eq!(together(0, flags::ALLOW), flags::ALLOW);
    }
}
