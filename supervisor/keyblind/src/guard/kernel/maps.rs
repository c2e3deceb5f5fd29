//! The maps of a loaded set of programs, opened by their pins.

use std::path::Path;

use aya::maps::{Array, HashMap, InodeStorage, Map, MapData, MapError, RingBuf};
use keyblind_abi::{Arm, GuardEntry, GuardKey, Label, NameEntry, NameKey, ObjectKey, Scope, State};

use super::error::KernelError;
use super::wire::Wire;

type Result<T> = std::result::Result<T, KernelError>;
type Hash<K, V> = HashMap<MapData, K, V>;

/// What user space reads and writes.
pub(super) struct Maps {
    pub(super) state: Array<MapData, Wire<State>>,
    pub(super) scopes: Hash<u64, Wire<Scope>>,
    pub(super) labels: InodeStorage<MapData, Wire<Label>>,
    pub(super) keys: Hash<Wire<ObjectKey>, u32>,
    pub(super) guards: Hash<Wire<GuardKey>, Wire<GuardEntry>>,
    pub(super) names: Hash<Wire<NameKey>, u32>,
    pub(super) slot_names: Hash<Wire<GuardKey>, Wire<NameEntry>>,
    pub(super) armed: Hash<u64, Wire<Arm>>,
    pub(super) counters: Array<MapData, u64>,
}

impl std::fmt::Debug for Maps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maps").finish_non_exhaustive()
    }
}

impl Maps {
    /// Opens the pins in `dir`.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        Ok(Self {
            state: open(dir, "STATE")?,
            scopes: open(dir, "SCOPES")?,
            labels: open(dir, "LABELS")?,
            keys: open(dir, "KEYS")?,
            guards: open(dir, "GUARDS")?,
            names: open(dir, "NAMES")?,
            slot_names: open(dir, "SLOT_NAMES")?,
            armed: open(dir, "ARMED")?,
            counters: open(dir, "COUNTERS")?,
        })
    }
}

/// A lane of records.
pub(super) fn lane(dir: &Path, name: &'static str) -> Result<RingBuf<MapData>> {
    open(dir, name)
}

fn open<T: TryFrom<Map, Error = MapError>>(dir: &Path, name: &'static str) -> Result<T> {
    let found = MapData::from_pin(dir.join(name)).and_then(Map::from_map_data).and_then(T::try_from);
    found.map_err(|source| KernelError::Map { map: name, source: Box::new(source) })
}

/// Names the map in an error.
pub(super) fn named<T>(map: &'static str, result: std::result::Result<T, MapError>) -> Result<T> {
    result.map_err(|source| KernelError::Map { map, source: Box::new(source) })
}

/// The value under a key, or `None` if there is none.
pub(super) fn found<T>(map: &'static str, result: std::result::Result<T, MapError>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(source) => Err(KernelError::Map { map, source: Box::new(source) }),
    }
}

/// Removes a key that may be absent.
pub(super) fn removed(map: &'static str, result: std::result::Result<(), MapError>) -> Result<()> {
    match result {
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => found(map, result).map(drop),
    }
}
