#![forbid(unsafe_code)]
//! What the product does on other kernels than this host's. `cargo xtask vm` starts this in a guest.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod bed;
mod guest;
mod kernel;
mod service;
mod tiers;
