#![forbid(unsafe_code)]
//! Measures.
fn main() {}
