#![forbid(unsafe_code)]
//! What needs root on this host's kernel.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod addresses;
mod cgroup;
mod host;
mod supervisor;
mod tripwires;
