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

/// The running process as a subject, or `None` if no scope is above it. Outside it costs one comparison.
#[inline(always)]
pub fn current(state: &State) -> Option<Subject> {
    let top = kernel::ancestor(1);
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
    current(state()?)
}
