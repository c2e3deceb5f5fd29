#![forbid(unsafe_code)]
//! From an object up to the root of its file system: what do the guards of a scope say?

use keyblind_abi::{
    Access, End, GuardKey, Label, MOST_LEVELS, Offsets, Reason, Scope, Stamp, Verdict, Walk, Word,
};

use crate::apart;
use crate::kernel::{self, Pointer};
use crate::labels;
use crate::maps::{CLOCK, GUARDS};
use crate::names;
use crate::scope::{self, Subject};

/// `S_IFMT` and `S_IFDIR` (inode(7)).
const TYPE: u16 = 0o170000;
const DIRECTORY: u16 = 0o040000;

/// An answer, and the sets of names that count where the object is.
pub struct Judged {
    /// The answer.
    pub word: Word,
    /// Sets of names.
    pub names: u32,
}

/// The epoch at which what is found now is true. Read it before looking.
#[inline(always)]
pub fn epoch() -> u64 {
    let kernel_part = match CLOCK.get_ptr_mut(0).and_then(kernel::value) {
        Some(clock) => kernel::load(&clock.epoch),
        None => 0,
    };
    let user_part = match scope::state() {
        Some(state) => kernel::load(&state.epoch),
        None => 0,
    };
    // Both only go up; 0 is kept for "nothing is known".
    1 + kernel_part + user_part
}

/// Bumps the epoch: a directory is about to move, or has.
#[inline(always)]
pub fn bump() {
    if let Some(clock) = CLOCK.get_ptr_mut(0).and_then(kernel::value) {
        kernel::add(&mut clock.epoch, 1);
    }
}

#[inline(always)]
pub fn is_directory(inode: Pointer) -> bool {
    kernel::field::<u16, { Offsets::INODE_MODE }>(inode) & TYPE == DIRECTORY
}

/// Whether an earlier walk already found that nothing guards a file; for one set of guards, or for all. What is noted on
/// a directory is of what lies in it, and says nothing of itself.
#[inline(always)]
pub fn known_clean(label: &Label, inode: Pointer, slot: Option<u32>) -> bool {
    let stamp = kernel::load(&label.stamp);
    let fresh = match slot {
        Some(slot) => Stamp::names(stamp, epoch(), slot).is_some(),
        None => Stamp::for_all(stamp, epoch()),
    };
    fresh
        && label.named == 0
        && kernel::field::<u32, { Offsets::INODE_LINKS }>(inode) == 1
        && !is_directory(inode)
}

/// What the way up finds. Only numbers: functions that are verified apart take it.
#[repr(C)]
pub struct Facts {
    epoch: u64,
    scope: Scope,
    walk: Walk,
    end: u32,
    objects: u32,
    name: u32,
    named: u32,
    harmless: u32,
}

/// The way up, between two levels.
struct Way {
    at: Pointer,
    leaf: u32,
    facts: Facts,
}

const LIMIT: u32 = 0;
const ROOT: u32 = 1;
const DECIDED: u32 = 2;
const DETACHED: u32 = 3;

/// One level: 0 to go on, 1 to stop. A function of its own, called by the kernel: it is verified once, not once for each
/// level.
extern "C" fn level(index: u32, way: *mut core::ffi::c_void) -> i64 {
    let Some(way) = kernel::value(way.cast::<Way>()) else { return 1 };
    let at = way.at;
    let inode: Pointer = kernel::field::<_, { Offsets::DENTRY_INODE }>(at);
    if !inode.is_null() {
        let object;
        if index == 0 {
            object = way.leaf;
        } else if kernel::path_trusted() {
            let known = labels::of(inode);
            object = known.object;
            if let Some(label) = known.label
                && let Some((names, of)) =
                    Stamp::names(kernel::load(&label.stamp), way.facts.epoch, way.facts.scope.slot)
            {
                way.facts.walk.names |= names;
                way.facts.objects |= of;
                way.facts.end = ROOT;
                return 1;
            }
        } else {
            object = labels::object_of(inode);
        }
        if object != 0 && apart::apart_meet(&raw mut way.facts, object, u32::from(index == 0)) != 0 {
            return 1;
        }
    }
    let parent: Pointer = kernel::field::<_, { Offsets::DENTRY_PARENT }>(at);
    if parent == at {
        way.facts.end = if top(at) == End::Root { ROOT } else { DETACHED };
        return 1;
    }
    way.at = parent;
    0
}

/// Takes what the scope's guards say about one object; whether that decides.
#[inline(always)]
pub fn meet(facts: &mut Facts, object: u32, leaf: bool) -> bool {
    facts.objects |= object;
    let key = GuardKey { slot: facts.scope.slot, object };
    if let Some(entry) = GUARDS.get_ptr_mut(key).and_then(kernel::value)
        && facts.walk.meet(entry, leaf)
    {
        facts.end = DECIDED;
        return true;
    }
    false
}

/// The verdict, when the way has ended.
#[inline(always)]
pub fn conclude(facts: &mut Facts) -> Word {
    let end = match facts.end {
        ROOT => End::Root,
        DECIDED => End::Decided,
        DETACHED => End::Detached,
        _ => End::Limit,
    };
    if facts.name == names::UNKNOWN {
        return Verdict::refuse(&facts.scope, Reason::Failure, 0).word();
    }
    let slot = facts.scope.slot;
    let present = names::entry(slot, facts.name);
    let had = names::entry(slot, facts.named);
    facts.walk.verdict(&facts.scope, end, Some(&present), Some(&had), facts.harmless != 0).word()
}

/// Judges an access to the object that `dentry` names; a dentry without an inode is a name that will be made.
#[inline(always)]
pub fn judge(dentry: Pointer, access: u32, subject: &Subject) -> Judged {
    judge_inode(dentry, kernel::field::<_, { Offsets::DENTRY_INODE }>(dentry), access, subject)
}

/// The same where the inode is known otherwise: the verifier trusts a file's own more than its path's.
#[inline(always)]
pub fn judge_inode(dentry: Pointer, inode: Pointer, access: u32, subject: &Subject) -> Judged {
    let mut way = Way {
        at: dentry,
        leaf: 0,
        facts: Facts {
            epoch: epoch(),
            scope: subject.scope,
            walk: Walk::new(Access(access), 0),
            end: LIMIT,
            objects: 0,
            name: 0,
            named: 0,
            harmless: 0,
        },
    };
    if !inode.is_null() {
        let known = labels::of(inode);
        way.leaf = known.object;
        if let Some(label) = known.label {
            way.facts.named = label.named;
            way.facts.harmless = label.harmless;
        }
    }
    kernel::repeat(MOST_LEVELS, level, (&raw mut way).cast());
    let facts = &mut way.facts;
    if facts.walk.asks_name() {
        facts.name = names::number(dentry);
    }
    let word = Word(apart::apart_conclude(facts));
    if word.is_allow() && facts.end == ROOT && facts.walk.unguarded() {
        let slot = if facts.objects == 0 { 0 } else { facts.scope.slot };
        remember(dentry, inode, facts.epoch, slot, facts.walk.names);
    }
    Judged { word, names: facts.walk.names }
}

/// What it means that a dentry is its own parent.
#[inline(always)]
fn top(dentry: Pointer) -> End {
    let inode: Pointer = kernel::field::<_, { Offsets::DENTRY_INODE }>(dentry);
    if inode.is_null() {
        return End::Detached;
    }
    /// `SB_NOUSER` of linux/fs.h: pipes, sockets, memory files. They are in no tree.
    const NO_USER: u64 = 1 << 31;
    let sb: Pointer = kernel::field::<_, { Offsets::INODE_SB }>(inode);
    let root: Pointer = kernel::field::<_, { Offsets::SB_ROOT }>(sb);
    let flags: u64 = kernel::field::<_, { Offsets::SB_FLAGS }>(sb);
    if root == dentry || flags & NO_USER != 0 { End::Root } else { End::Detached }
}

/// Remembers that nothing guards the object or what is above it: on its directory for those beside it, and on the
/// object itself if it has one name. Only on file systems whose trees change by rename(2) alone.
#[inline(always)]
fn remember(dentry: Pointer, inode: Pointer, epoch: u64, slot: u32, names: u32) {
    let parent: Pointer = kernel::field::<_, { Offsets::DENTRY_PARENT }>(dentry);
    let directory: Pointer = kernel::field::<_, { Offsets::DENTRY_INODE }>(parent);
    if directory.is_null() || parent == dentry || !local(directory) {
        return;
    }
    let stamp = Stamp { epoch, slot, names }.pack();
    if kernel::path_trusted()
        && let Some(label) = kernel::value(kernel::label(directory))
    {
        kernel::store(&mut label.stamp, stamp);
    }
    if inode.is_null() || is_directory(inode) {
        return;
    }
    let name: u64 = kernel::field::<_, { Offsets::DENTRY_NAME }>(dentry);
    if let Some(label) = kernel::value(kernel::label(inode)) {
        kernel::store(&mut label.stamp, stamp);
        // It may have moved or been renamed between the look and the note. What moves it afterwards clears the note.
        let still: Pointer = kernel::field::<_, { Offsets::DENTRY_PARENT }>(dentry);
        let named: u64 = kernel::field::<_, { Offsets::DENTRY_NAME }>(dentry);
        if still != parent || named != name {
            kernel::store(&mut label.stamp, 0);
        }
    }
}

/// Whether nobody else moves files about here.
#[inline(always)]
fn local(inode: Pointer) -> bool {
    let sb: Pointer = kernel::field::<_, { Offsets::INODE_SB }>(inode);
    matches!(
        kernel::field::<u64, { Offsets::SB_MAGIC }>(sb),
        0xef53 | 0x5846_5342 | 0x9123_683e | 0x0102_1994 | 0x794c_7630 | 0xf2f5_2010 | 0x8584_58f6
    )
}
