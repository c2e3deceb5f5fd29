#![no_main]
//! `cargo +nightly fuzz run text`

#[path = "../properties.rs"]
#[allow(dead_code, reason = "each target has one of the properties")]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::text(data));
