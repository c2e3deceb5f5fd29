#![forbid(unsafe_code)]
//! A trial: fakes planted in a place of their own, a command started bare or under `keyblind run`, and what came out
//! of it. What `doctor` and `demo` have in common; neither knows anything that is not seen here.

mod canary;
mod janitor;
mod machine;
mod place;
mod stage;

pub(crate) use canary::{Canary, random_word, shown};
pub(crate) use janitor::sweep;
pub(crate) use machine::{Machine, unused_uid, user};
pub(crate) use place::{Place, PlaceError};
pub(crate) use stage::{Bystander, Observed, Stage, can_execute};
