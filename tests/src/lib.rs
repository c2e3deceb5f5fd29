//! The harness: a planted host, a way to run one command bare and in each tier, and what must be true afterwards.
//!
//! A test makes a [`Site`], which holds canaries that exist nowhere else, runs a command with [`Site::run`], and
//! looks at the [`Outcome`]. [`Attack`] and [`Job`] are the two questions that are asked most: does this technique
//! reach a canary, and does this ordinary job do the same bytes. Tests panic, so that the place shows.

#![expect(clippy::expect_used, reason = "a harness fails by panicking, as the tests that call it do")]

mod attack;
mod canary;
mod check;
mod job;
mod outcome;
#[expect(unsafe_code, reason = "system calls that no crate wraps")]
pub mod raw;
mod require;
mod service;
mod site;
mod start;
mod terminal;
mod victim;

pub use attack::{Attack, Attempt, Cell, held, not_applicable, not_held};
pub use canary::{Canary, contains};
pub use check::Check;
pub use job::Job;
pub use outcome::Outcome;
pub use require::{Feature, absent, skip};
pub use service::Service;
pub use site::Site;
pub use start::{Run, Tier, binary};
pub use terminal::Terminal;
pub use victim::Victim;

/// Leaves the test with a printed skip if this machine lacks one of the features; a failure instead when
/// `KEYBLIND_REQUIRE` names it.
#[macro_export]
macro_rules! require {
    ($($feature:ident),+ $(,)?) => {
        $(if let Some(reason) = $crate::absent($crate::Feature::$feature) {
            $crate::skip($crate::Feature::$feature, &reason);
            return;
        })+
    };
}

/// Turns functions that return an [`Attack`] or a [`Job`] into tests, one per tier: `own_environ::user` checks
/// `own_environ()` in the tier `user`. Also defines `ALL`, every function of the list.
#[macro_export]
macro_rules! in_each_tier {
    ($kind:ty; $($name:ident),+ $(,)?) => {
        /// Every row of this module, with the name of its test.
        pub(crate) const ALL: &[(&str, fn() -> $kind)] = &[$((stringify!($name), $name)),+];
        $(mod $name {
            #[test]
            fn mount() {
                super::$name().check($crate::Tier::Mount);
            }
            #[test]
            fn user() {
                super::$name().check($crate::Tier::User);
            }
            #[test]
            fn in_place() {
                super::$name().check($crate::Tier::InPlace);
            }
        })+
    };
}
