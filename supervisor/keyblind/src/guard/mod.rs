//! Guards that are in force while a run lasts. They decide and answer; what they return becomes an event later.

mod addresses;
pub mod kernel;
mod tripwire;

pub use addresses::{AddressCounts, AddressError, AddressGuard, AddressPrograms, Denied};
pub use tripwire::{Attempt, Tripwires};
