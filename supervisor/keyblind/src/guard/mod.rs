//! Guards that are in force while a run lasts. They decide and answer; what they return becomes an event later.

pub mod kernel;
mod tripwire;

pub use tripwire::{Attempt, Tripwires};
