#![forbid(unsafe_code)]
//! Which scope the running process is in.

use keyblind_abi::{Reason, Scope, State, Verdict, Word};

use crate::kernel;
use crate::maps::{SCOPES, STATE};

/// A process that is in a scope.
#[derive(Clone, Copy)]
pub struct Subject {
    /// The cgroup id of the scope.
    pub id: u64,
    /// Its level.
    pub level: u32,
    /// What counts there.
    pub scope: Scope,
}

impl Subject {
    /// Refused, or only flagged in `audit`.
    #[inline(always)]
    pub fn refuse(&self, reason: Reason) -> Word {
        Verdict::refuse(&self.scope, reason, 0).word()
    }
}

/// The words of user space; present always, as the map is an array of one.
#[inline(always)]
pub fn state() -> Option<&'static State> {
    STATE.get(0)
}

/// The level-1 cgroup of the running process.
#[inline(always)]
pub fn top() -> u64 {
    kernel::ancestor(1)
}

/// Whether there may be scopes below a level-1 cgroup. Outside it costs one comparison.
#[inline(always)]
pub fn near(state: &State, top: u64) -> bool {
    let mut at = 0;
    while at < State::ROOTS {
        let id = state.roots[at].id;
        if id == 0 {
            return false;
        }
        if id == top {
            return true;
        }
        at += 1;
    }
    false
}

/// The running process, whose level-1 cgroup is `top`, as a subject, or `None` if no scope is above it.
#[inline(always)]
pub fn current(state: &State, top: u64) -> Option<Subject> {
    let mut at = 0;
    while at < State::ROOTS {
        let root = &state.roots[at];
        if root.id == 0 {
            return None;
        }
        if root.id == top
            && let Some(subject) = below(root.level)
        {
            return Some(subject);
        }
        at += 1;
    }
    None
}

#[inline(always)]
fn below(level: u32) -> Option<Subject> {
    let id = kernel::ancestor(level);
    let scope = *kernel::value(SCOPES.get_ptr_mut(id)?)?;
    Some(Subject { id, level, scope })
}

/// The running process as a subject.
#[inline(always)]
pub fn subject() -> Option<Subject> {
    current(state()?, top())
}
