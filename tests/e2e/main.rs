#![forbid(unsafe_code)]
//! The real binary, started by root, by an ordinary user, and behind a container's filter.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod addresses;
mod attacks;
mod bad_input;
mod demo;
mod doctor;
mod endings;
mod jobs;
mod kernel_tier;
mod review;
mod start;
mod streams;
mod terminals;
