//! Secret values of keyblind: where they are kept while the supervisor holds them.
//!
//! [`Locked`] is the one owner of values: memory that is not copied by fork, not dumped, not swapped and, where the
//! kernel has memfd_secret(2), not mapped for the kernel itself. Sources, grants and the store come on top of it.

mod locked;

pub use locked::{Kind, Locked, LockedError};
