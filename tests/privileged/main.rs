#![forbid(unsafe_code)]
//! What needs root on this host's kernel.

mod tripwires;
