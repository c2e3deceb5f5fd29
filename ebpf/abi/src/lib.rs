#![no_std]
#![forbid(unsafe_code)]
//! What the kernel programs and user space agree on: the layout of every map value, and the verdicts, which are pure
//! functions and therefore tested where tests are cheap.
//!
//! All structures are `repr(C)` without padding, so that their bytes are all defined. A change to any of them, or to
//! what a flag means, changes [`LAYOUT`].

pub mod addressed;
mod guard;
mod offsets;
mod procfs;
mod record;
mod state;
mod verdict;

pub use addressed::Addressed;
pub use guard::{GuardEntry, GuardKey, Label, NAME_BYTES, NameEntry, NameKey, ObjectKey, Stamp, flags, fold};
pub use offsets::{FIELDS, Offsets};
pub use procfs::{Entry, Relation};
pub use record::{Counter, HOOKS, Hook, Outcome, Reason, Record};
pub use state::{Arm, Clock, Root, Scope, ScopeFlags, State, arm, mode};
pub use verdict::{Access, End, MOST_LEVELS, Verdict, Walk, Word, procfs_verdict, takes_names_away};

/// Version of everything in this crate. User space adopts pinned programs only of its own layout.
pub const LAYOUT: u32 = 1;
