//! The verdicts. Nothing here reads the kernel or a map: the programs find facts and hand them in.

use crate::{Entry, GuardEntry, NameEntry, Outcome, Reason, Relation, Scope, flags, mode};

/// The most levels above an object that are looked at. What lies deeper is refused in `enforce`.
pub const MOST_LEVELS: u32 = 128;

/// What is asked for, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access(pub u32);

impl Access {
    /// A descriptor that reads, or another name that could be read by. Read guards count.
    pub const OPEN: u32 = 1;
    /// Content, attributes or the name itself would change. Write guards count.
    pub const WRITE: u32 = 2;
    /// The object moves or goes, and with it what it contains.
    pub const MOVE: u32 = 4;
}

/// How the way up ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// At the root of the file system, or where an earlier walk is still true.
    Root,
    /// Where a guard or an exception decided.
    Decided,
    /// At the last level that is looked at.
    Limit,
    /// At something that is not the root: a directory that was opened by handle, for instance.
    Detached,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// What happens.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// Number of the guard, or 0.
    pub guard: u32,
}

impl Verdict {
    /// Passes, nothing to report.
    pub const ALLOW: Self = Self { outcome: Outcome::Allow, reason: Reason::None, guard: 0 };

    /// Refused, or only flagged in `audit`.
    #[inline(always)]
    pub fn refuse(scope: &Scope, reason: Reason, guard: u32) -> Self {
        Self::by(scope, 0, reason, guard)
    }

    /// What an entry's flags make of a hit in this scope.
    #[inline(always)]
    fn by(scope: &Scope, entry: u32, reason: Reason, guard: u32) -> Self {
        let outcome = if scope.mode == mode::AUDIT || entry & flags::FLAG != 0 {
            Outcome::Flag
        } else if entry & flags::HIDE != 0 {
            Outcome::Hide
        } else {
            Outcome::Deny
        };
        Self { outcome, reason, guard }
    }

    /// As one word.
    #[inline(always)]
    pub fn word(self) -> Word {
        Word(self.outcome as u64 | (self.reason as u64) << 16 | (self.guard as u64) << 32)
    }
}

/// A verdict in one word: what one function of a program returns to another. The verifier follows every value that it
/// knows through all that comes after; of what such a function returned it knows nothing, and so follows one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word(pub u64);

impl Word {
    /// [`Verdict::ALLOW`].
    pub const ALLOW: Self = Self(0);

    /// Whether it is [`Word::ALLOW`].
    #[inline(always)]
    pub fn is_allow(self) -> bool {
        self.0 == 0
    }

    /// The [`Outcome`]'s number.
    #[inline(always)]
    pub fn outcome(self) -> u16 {
        (self.0 & 0xffff) as u16
    }

    /// The [`Reason`]'s number.
    #[inline(always)]
    pub fn reason(self) -> u16 {
        (self.0 >> 16 & 0xffff) as u16
    }

    /// The guard's number, or 0.
    #[inline(always)]
    pub fn guard(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Whether it refuses. An outcome without a meaning does.
    #[inline(always)]
    pub fn refuses(self) -> bool {
        self.outcome() > Outcome::Flag as u16
    }

    /// What a hook returns: 0 or a negative errno (errno(3)).
    #[inline(always)]
    pub fn errno(self) -> i32 {
        const ENOENT: i32 = 2;
        const EACCES: i32 = 13;
        if !self.refuses() {
            0
        } else if self.outcome() == Outcome::Hide as u16 {
            -ENOENT
        } else {
            -EACCES
        }
    }
}

/// What was met on the way from an object to the root of its file system.
///
/// Nothing here is compared with a constant before the way ends: what the verifier does not need to know exactly at one
/// level need not be verified again for each value at the next.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    access: u32,
    /// Sets of names that count for the object.
    pub names: u32,
    seen: u32,
    hit: u32,
    guard: u32,
}

/// Bits of `Walk::hit` beside those of [`flags`].
const HIT: u32 = 1 << 31;
const LEAF: u32 = 1 << 30;
const HELD: u32 = 1 << 29;

impl Walk {
    /// Before the first level. `zero` is 0, from where the verifier does not know that it is.
    #[inline(always)]
    pub fn new(access: Access, zero: u32) -> Self {
        Self { access: access.0, names: zero, seen: zero, hit: zero, guard: zero }
    }

    /// Takes what one level says; `leaf` for the object itself. Returns whether that decides: the nearest guard that is
    /// no mere flag does, and so does an exception.
    #[inline(always)]
    pub fn meet(&mut self, entry: &GuardEntry, leaf: bool) -> bool {
        let said = entry.flags;
        // Names count below a directory, not for the directory itself.
        if !leaf {
            self.names |= entry.names;
        }
        if !leaf && said & flags::TREE == 0 {
            return false;
        }
        self.seen |= said & (flags::READ | flags::WRITE | flags::HOLDS | flags::ALLOW);
        if said & flags::ALLOW != 0 {
            return true;
        }
        let mut hit = HIT | said;
        if leaf {
            hit |= LEAF;
        }
        let guard = if said & flags::READ != 0 && self.access & Access::OPEN != 0 {
            entry.read
        } else if said & flags::WRITE != 0 && self.access & (Access::WRITE | Access::MOVE) != 0 {
            entry.write
        } else if leaf && said & flags::HOLDS != 0 && self.access & Access::MOVE != 0 {
            hit |= HELD;
            entry.write
        } else {
            return false;
        };
        self.hit = hit;
        self.guard = guard;
        said & flags::FLAG == 0
    }

    /// Whether nothing on the way guards, by whatever access: only that is remembered.
    #[inline(always)]
    pub fn unguarded(&self) -> bool {
        self.seen == 0
    }

    /// Whether the answer needs the object's name.
    #[inline(always)]
    pub fn asks_name(&self) -> bool {
        self.names != 0
    }

    /// The answer. `name` is what the set of guards says about the object's present name, `named` about a guarded
    /// name that it once had; `harmless` is whether its content was judged to hold no secret.
    #[inline(always)]
    pub fn verdict(
        &self,
        scope: &Scope,
        end: End,
        name: Option<&NameEntry>,
        named: Option<&NameEntry>,
        harmless: bool,
    ) -> Verdict {
        let hit = if self.hit & HIT == 0 {
            Verdict::ALLOW
        } else {
            let reason = if self.hit & HELD != 0 {
                Reason::Holds
            } else if self.hit & LEAF != 0 {
                Reason::Object
            } else {
                Reason::Below
            };
            Verdict::by(scope, self.hit, reason, self.guard)
        };
        match end {
            End::Root => {}
            End::Decided => return hit,
            End::Limit => return Verdict::refuse(scope, Reason::Depth, 0),
            End::Detached => return Verdict::refuse(scope, Reason::Detached, 0),
        }
        if let Some(entry) = name
            && entry.names & self.names != 0
            && let Some(found) = self.named(scope, entry, Reason::Name, harmless)
        {
            return found;
        }
        if let Some(entry) = named
            && let Some(found) = self.named(scope, entry, Reason::Named, harmless)
        {
            return found;
        }
        hit
    }

    #[inline(always)]
    fn named(&self, scope: &Scope, entry: &NameEntry, reason: Reason, harmless: bool) -> Option<Verdict> {
        if entry.flags & flags::CONTENT != 0 && harmless {
            return None;
        }
        if entry.flags & flags::READ != 0 && self.access & Access::OPEN != 0 {
            return Some(Verdict::by(scope, entry.flags, reason, entry.read));
        }
        if entry.flags & flags::WRITE != 0 && self.access & (Access::WRITE | Access::MOVE) != 0 {
            return Some(Verdict::by(scope, entry.flags, reason, entry.write));
        }
        None
    }
}

/// Whether the move of a directory takes what is below it out of a tree in which names are guarded.
#[inline(always)]
pub fn takes_names_away(from: u32, to: u32) -> bool {
    from & !to != 0
}

/// What procfs shows: rows are entries, columns whose they are.
///
/// | entry | own | same run | foreign |
/// |---|---|---|---|
/// | environ | deny | deny | deny |
/// | layout | allow | allow | deny |
/// | memory, descriptors | allow | deny | deny |
/// | the rest | allow | allow | deny |
#[inline(always)]
pub fn procfs_verdict(scope: &Scope, entry: Entry, relation: Relation) -> Verdict {
    let debug = scope.flags & crate::ScopeFlags::DEBUG != 0;
    let allowed = match (entry, relation) {
        (Entry::Environ, _) | (_, Relation::Foreign) => false,
        (Entry::Layout | Entry::Other, _) | (_, Relation::Own) => true,
        (Entry::Memory | Entry::Descriptors, Relation::SameRun) => debug,
    };
    if allowed { Verdict::ALLOW } else { Verdict::refuse(scope, Reason::Procfs, 0) }
}

#[cfg(test)]
#[path = "verdict/tests.rs"]
mod tests;
