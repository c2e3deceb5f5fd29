//! The kernel tier: programs on the kernel's LSM hooks, loaded and pinned once per boot by a privileged process.
//!
//! What is pinned goes on enforcing when that process dies. One process at a time writes: the registrar.

use std::path::{Path, PathBuf};

use keyblind_abi::{Counter, HOOKS, Offsets, Root, State};

mod btf;
mod counters;
mod enrol;
mod error;
mod load;
mod maps;
mod object;
mod report;
mod selftest;
mod support;
mod wire;

pub use counters::{Counters, HookCounters};
pub use enrol::{Enrolled, Guard, How, NameGuard, PolicySlot, Reach, Refuses};
pub use error::{KernelError, Refusal};
pub use keyblind_abi::{Record, Scope, ScopeFlags, mode};
pub use object::object;
pub use report::{Lane, Report, Reports};
pub use support::{Support, support};

use maps::{Maps, named, removed};
use wire::Wire;

type Result<T> = std::result::Result<T, KernelError>;

/// The id of a cgroup of version 2: the inode number of its directory.
pub type CgroupId = u64;

/// Loaded, attached and pinned programs, and their maps.
#[derive(Debug)]
pub struct Kernel {
    pins: PathBuf,
    dir: PathBuf,
    maps: Maps,
    offsets: Offsets,
    last_object: u32,
    last_name: u32,
}

impl Kernel {
    /// Adopts what is pinned below `pins`, a directory on bpffs, if this binary pinned it; else loads, attaches and pins
    /// beside it. Tests that the guard refuses and lets pass before it returns, and only then unpins older sets that have
    /// no scope. `home` is the level-1 cgroup below which scopes are made; it must exist.
    pub fn start(pins: &Path, home: &Path) -> Result<Self> {
        let support = support()?;
        load::load(pins, &support.offsets)?;
        let mut kernel = Self::open(pins, support.offsets)?;
        if let Err(error) = selftest::run(&mut kernel, home) {
            // Not with runs in it: they keep what they have.
            if kernel.scopes()?.is_empty() {
                load::remove(&kernel.dir)?;
            }
            return Err(error);
        }
        kernel.retire()?;
        Ok(kernel)
    }

    /// Adopts what this binary pinned, or `None` if there is nothing.
    pub fn adopt_only(pins: &Path) -> Result<Option<Self>> {
        if !load::directory(pins)?.exists() {
            return Ok(None);
        }
        Self::open(pins, support()?.offsets).map(Some)
    }

    fn open(pins: &Path, offsets: Offsets) -> Result<Self> {
        let dir = load::directory(pins)?;
        let maps = Maps::open(&dir)?;
        let last_object = enrol::highest("KEYS", &maps.keys)?;
        let last_name = enrol::highest("NAMES", &maps.names)?;
        Ok(Self { pins: pins.to_path_buf(), dir, maps, offsets, last_object, last_name })
    }

    /// Unpins sets of other binaries that no scope uses any more. Returns how many remain.
    pub fn retire(&self) -> Result<usize> {
        let mut remain = 0;
        for dir in load::sets(&self.pins)? {
            if dir == self.dir {
                continue;
            }
            // A set whose maps this version cannot read may guard a run: it stays until it is told to go.
            match Maps::open(&dir) {
                Ok(old) if old.scopes.keys().next().is_none() => load::remove(&dir)?,
                _ => remain += 1,
            }
        }
        Ok(remain)
    }

    /// Unpins this set: nothing is guarded afterwards.
    pub fn stop(self) -> Result<()> {
        load::remove(&self.dir)
    }

    /// Says below which level-1 cgroups scopes are, and at which level. At most eight.
    pub fn watch(&mut self, roots: &[Root]) -> Result<()> {
        let mut state = self.state()?;
        state.roots = [Root::default(); State::ROOTS];
        for (place, root) in state.roots.iter_mut().zip(roots) {
            *place = *root;
        }
        self.set_state(state)
    }

    /// The roots that are watched.
    pub fn watched(&self) -> Result<Vec<Root>> {
        Ok(self.state()?.roots.into_iter().take_while(|root| root.id != 0).collect())
    }

    /// Makes a cgroup a scope. Before the first process is in it.
    pub fn enter_scope(&mut self, cgroup: CgroupId, scope: &Scope) -> Result<()> {
        named("SCOPES", self.maps.scopes.insert(cgroup, Wire(*scope), 0))
    }

    /// Ends a scope. After the last process is gone and the cgroup is removed.
    pub fn leave_scope(&mut self, cgroup: CgroupId) -> Result<()> {
        removed("SCOPES", self.maps.scopes.remove(&cgroup))
    }

    /// All scopes.
    pub fn scopes(&self) -> Result<Vec<(CgroupId, Scope)>> {
        let mut found = Vec::new();
        for pair in self.maps.scopes.iter() {
            let (id, Wire(scope)) = named("SCOPES", pair)?;
            found.push((id, scope));
        }
        Ok(found)
    }

    /// The rings. One reader at a time: what one takes the other does not see.
    pub fn reports(&self) -> Result<Reports> {
        Reports::open(&self.dir)
    }

    /// What was asked, refused, flagged and lost since the programs were loaded.
    pub fn counters(&self) -> Result<Counters> {
        counters::read(&self.maps, &self.dir)
    }

    /// How many instructions the verifier processed for each program: what accepting it cost, and how near it is to
    /// being refused as too complex, which happens at a million.
    pub fn verified(&self) -> Result<Vec<(&'static str, u32)>> {
        counters::verified(&self.dir)
    }

    /// Where fields lie in this kernel's structures.
    pub fn resolved(&self) -> &Offsets {
        &self.offsets
    }

    fn state(&self) -> Result<State> {
        named("STATE", self.maps.state.get(&0, 0)).map(|Wire(state)| state)
    }

    fn set_state(&mut self, state: State) -> Result<()> {
        named("STATE", self.maps.state.set(0, Wire(state), 0))
    }

    /// What was found out before no longer counts.
    fn bump(&mut self) -> Result<()> {
        let mut state = self.state()?;
        state.epoch += 1;
        self.set_state(state)
    }

    fn arm(&mut self, on: bool) -> Result<()> {
        let mut state = self.state()?;
        state.armed = u64::from(on);
        self.set_state(state)
    }
}

/// Index of a counter in its map.
fn index(hook: usize, kind: Counter) -> u32 {
    u32::try_from(hook.min(HOOKS.len())).unwrap_or(0) * Counter::KINDS + kind as u32
}
